//! What judging a batch needs to know, read in a few queries instead of a few per payment; and what it writes at the end.
//!
//! Lives inside one write transaction, so that what it read stays true while it judges.

use super::record::PaymentId;
use super::script::Script;
use super::{Due, Ingested, Reading, Result, Tx, confirmations, payments, row};
use crate::domain::{
    Candidate, Checkout, Claim, Commitment, Credit, Held, Matched, Memo, Rules, Signature,
    Timestamp, TokenAccount, Verdict, Weight, judge,
};
use payments::Known;
use sqlx::{Row, sqlite::SqliteRow};
use std::collections::{HashMap, HashSet};

/// Everything known about a batch, kept up to date while the batch is judged.
#[derive(Default)]
pub(super) struct Desk {
    payments: HashMap<(Signature, TokenAccount), Known>,
    quarantined: HashSet<Signature>,
    checkouts: HashMap<String, Vec<Checkout>>,
    /// By the folded memo: the memos of live confirmations, and the payments that hold them.
    claims: HashMap<String, Vec<(Memo, PaymentId)>>,
    /// The largest id that any payment has.
    newest_id: PaymentId,
    /// The same of confirmations; `None` where the database gives the ids.
    newest_confirmation: Option<i64>,
    payments_to_write: Vec<payments::New>,
    memos_to_write: Vec<(PaymentId, String)>,
    judgements_to_write: Vec<(PaymentId, &'static str, Option<String>)>,
    to_queue: Vec<confirmations::New>,
}

impl Desk {
    /// Begins a transaction, and reads what recording this batch needs.
    pub(super) async fn begin_for(tx: &mut Tx, batch: &[Ingested]) -> Result<Self> {
        let read: Vec<_> = batch
            .iter()
            .filter_map(|one| match &one.reading {
                Reading::Decoded(decoded) => Some((one.signature, decoded)),
                _ => None,
            })
            .collect();
        let signatures: Vec<_> = read
            .iter()
            .map(|(signature, _)| signature.to_string())
            .collect();
        let credited = read
            .iter()
            .filter(|(_, decoded)| !decoded.credits.is_empty());
        let memos: HashSet<&Memo> = credited.flat_map(|(_, decoded)| &decoded.memos).collect();
        let mut script = Script::beginning();
        // One row at least, which says how far ids have got.
        script.select_in(
            "SELECT 'payment' AS about, n.payment, n.confirmation, p.id, p.signature, p.token_account, p.received, p.slot, p.chain_state, p.dismissed_at \
             FROM (SELECT (SELECT COALESCE(MAX(id), 0) FROM payments) AS payment, \
               (SELECT COALESCE(MAX(id), 0) FROM confirmations) AS confirmation) n LEFT JOIN payments p ON p.signature IN",
            &signatures,
        );
        select_named(&mut script, &memos);
        let mut desk = Self::default();
        for r in script.fetch(tx).await? {
            if desk.note_named(&r)? {
                continue;
            }
            desk.newest_id = r.try_get("payment")?;
            desk.newest_confirmation = Some(r.try_get("confirmation")?);
            if r.try_get::<Option<PaymentId>, _>("id")?.is_some() {
                let place = (
                    row::parse(&r, "signature")?,
                    row::parse(&r, "token_account")?,
                );
                desk.payments.insert(place, payments::known(&r)?);
            }
        }
        // What is in quarantine is an unreadable payment.
        let again: Vec<_> = desk
            .payments
            .keys()
            .map(|(signature, _)| signature.to_string())
            .collect();
        let mut script = Script::new();
        script.select_in(
            "SELECT signature FROM quarantine WHERE signature IN",
            &again,
        );
        for r in script.fetch(tx).await? {
            desk.quarantined.insert(row::parse(&r, "signature")?);
        }
        Ok(desk)
    }

    /// Reads what judging payments with these memos needs.
    pub(super) async fn for_memos(tx: &mut Tx, memos: HashSet<&Memo>) -> Result<Self> {
        let (mut desk, mut script) = (Self::default(), Script::new());
        select_named(&mut script, &memos);
        for r in script.fetch(tx).await? {
            desk.note_named(&r)?;
        }
        Ok(desk)
    }

    /// Takes in a checkout or a claim; `false` if the row is neither.
    fn note_named(&mut self, r: &SqliteRow) -> Result<bool> {
        match r.try_get("about")? {
            "checkout" => {
                let checkout = row::checkout(r)?;
                let alike = self.checkouts.entry(r.try_get("folded")?);
                alike.or_default().push(checkout);
            }
            "claim" => {
                let claim = (row::memo(r, "memo")?, r.try_get("payment_id")?);
                let alike = self.claims.entry(r.try_get("folded")?);
                alike.or_default().push(claim);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The payment recorded for a credit before.
    pub(super) fn known(
        &self,
        signature: Signature,
        token_account: TokenAccount,
    ) -> Option<&Known> {
        self.payments.get(&(signature, token_account))
    }

    /// Whether a reading says nothing of what is recorded of its transaction: it is of a fork that is known to be dead.
    pub(super) fn outdates(&self, ingested: &Ingested) -> bool {
        let mut known = ingested
            .mentions
            .iter()
            .filter_map(|account| self.known(ingested.signature, *account));
        known.any(|known| known.outdates(ingested))
    }

    /// Whether a transaction could not be read before.
    pub(super) fn is_quarantined(&self, signature: Signature) -> bool {
        self.quarantined.contains(&signature)
    }

    /// Judges one credit; `payment` is its row, if it has one already. `None` if its token account is not watched.
    pub(super) fn judge(
        &self,
        payment: Option<PaymentId>,
        signature: Signature,
        credit: &Credit,
        memos: &[Memo],
        rules: &Rules,
    ) -> Option<Verdict> {
        let candidates = Candidate::named_by(
            memos,
            |memo| self.alike(memo),
            |memo| self.claim(memo, payment),
        );
        Some(match judge(signature, credit, memos, &candidates, rules)? {
            // A memo that is left to the backend is still good for one payment only.
            Verdict::Matched(Matched::Confirm { memo, .. })
                if self.claim(&memo, payment) == Claim::Taken =>
            {
                Verdict::Held(Held::AlreadyPaid)
            }
            verdict => verdict,
        })
    }

    fn alike(&self, memo: &Memo) -> &[Checkout] {
        self.checkouts
            .get(&memo.folded())
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// Another spelling of a memo claims it too, unless it is the memo of another known checkout: the API may hold both for one.
    fn claim(&self, memo: &Memo, payment: Option<PaymentId>) -> Claim {
        let alike = self.alike(memo);
        let is_of_this = |claimed: &Memo| {
            claimed == memo || alike.iter().all(|checkout| checkout.memo != *claimed)
        };
        let mut claims = self.claims.get(&memo.folded()).into_iter().flatten();
        if claims.any(|(claimed, holder)| Some(*holder) != payment && is_of_this(claimed)) {
            Claim::Taken
        } else {
            Claim::Free
        }
    }

    /// Notes a new payment, to be written with its memos; returns its id.
    pub(super) fn insert(
        &mut self,
        ingested: &Ingested,
        credit: &Credit,
        memos: &[Memo],
        judged: (&Verdict, Weight),
    ) -> PaymentId {
        self.newest_id += 1;
        let new = payments::New::of(self.newest_id, ingested, credit, memos, judged);
        self.payments_to_write.push(new);
        self.newest_id
    }

    /// Notes the id of a payment that was written by itself.
    pub(super) fn wrote(&mut self, id: PaymentId) {
        self.newest_id = self.newest_id.max(id);
    }

    /// Notes what a payment's row says now, with its memos to be written.
    pub(super) fn holds(
        &mut self,
        id: PaymentId,
        ingested: &Ingested,
        credit: &Credit,
        memos: &[Memo],
    ) {
        let known = Known {
            id,
            slot: ingested.slot,
            received: Some(credit.received),
            was_dropped: false,
            is_final: false,
            is_dismissed: false,
        };
        self.payments
            .insert((ingested.signature, credit.token_account), known);
        let folded: HashSet<String> = memos.iter().map(Memo::folded).collect();
        self.memos_to_write
            .extend(folded.into_iter().map(|folded| (id, folded)));
    }

    /// Notes a verdict, and what it asks for to be queued.
    pub(super) fn judged(
        &mut self,
        payment: PaymentId,
        signature: Signature,
        verdict: &Verdict,
        reached: Commitment,
    ) {
        let words = payments::Words::of(verdict);
        self.judgements_to_write
            .push((payment, words.word(), words.checkout.map(str::to_owned)));
        if let Some(mut new) = confirmations::New::of(payment, signature, verdict, reached) {
            if let Some(newest) = &mut self.newest_confirmation {
                *newest += 1;
                new.id = Some(*newest);
            }
            new.is_unknown = self.alike(&new.memo).is_empty();
            let claims = self.claims.entry(new.memo.folded()).or_default();
            claims.push((new.memo.clone(), payment));
            self.to_queue.push(new);
        }
    }

    /// Notes that a payment holds a checkout again.
    pub(super) fn claimed(&mut self, payment: PaymentId, memo: Memo) {
        let claims = self.claims.entry(memo.folded()).or_default();
        claims.push((memo, payment));
    }

    /// Leases what is due at once to the caller.
    pub(super) fn lease(&mut self, now: Timestamp, until: Timestamp) -> Vec<Due> {
        let to_queue = self.to_queue.iter_mut();
        to_queue.filter_map(|new| new.lease(now, until)).collect()
    }

    /// Forgets the claims of a payment whose confirmation was taken back.
    pub(super) fn released(&mut self, payment: PaymentId) {
        for claims in self.claims.values_mut() {
            claims.retain(|(_, holder)| *holder != payment);
        }
    }

    /// Writes what was noted.
    pub(super) async fn write(&mut self, tx: &mut Tx, now: Timestamp) -> Result<()> {
        let mut script = Script::new();
        self.write_into(&mut script, now);
        script.run(tx).await?;
        Ok(())
    }

    /// The same, as part of more.
    pub(super) fn write_into(&mut self, script: &mut Script, now: Timestamp) {
        payments::insert(script, &self.payments_to_write, now);
        script.insert(
            "INSERT INTO payment_memos (payment_id, folded) ",
            &self.memos_to_write,
            " ON CONFLICT (payment_id, folded) DO NOTHING",
            |mut values, (id, folded)| {
                values.push_bind(*id).push_bind(folded.clone());
            },
        );
        script.insert(
            "INSERT INTO judgements (payment_id, at, verdict, checkout) ",
            &self.judgements_to_write,
            "",
            |mut values, (id, verdict, checkout)| {
                values.push_bind(*id).push_bind(now.0);
                values.push_bind(*verdict).push_bind(checkout.clone());
            },
        );
        confirmations::insert(script, &self.to_queue, now);
        self.payments_to_write.clear();
        self.memos_to_write.clear();
        self.judgements_to_write.clear();
        self.to_queue.clear();
    }
}

/// Asks for the checkouts that memos name, and for who holds these memos in any spelling.
fn select_named(script: &mut Script, memos: &HashSet<&Memo>) {
    let folded: HashSet<String> = memos.iter().map(|memo| memo.folded()).collect();
    let folded: Vec<String> = folded.into_iter().collect();
    script.select_in(
        "SELECT 'checkout' AS about, c.* FROM checkouts c WHERE c.folded IN",
        &folded,
    );
    script.select_in(
        "SELECT 'claim' AS about, f.folded, f.memo, f.payment_id FROM confirmations f WHERE f.state <> 'cancelled' AND f.folded IN",
        &folded,
    );
}
