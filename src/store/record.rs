//! Step 5 of the road: transactions become payments, payments become confirmations, and the cursor moves
//! over them, all in one SQL transaction. Judging happens inside it, so two payments cannot both win a checkout.

use super::desk::Desk;
use super::payments::Known;
use super::script::Script;
use super::{
    Cursor, Due, Error, Result, Store, Tx, confirmations, finality, payments, quarantine, row,
    set_aside,
};
use crate::domain::{
    Commitment, Credit, Decoded, Held, Memo, Rules, Signature, Slot, Timestamp, TokenAccount,
    Verdict,
};
use std::time::Duration;

/// A transaction that was looked at, ready to be recorded. Recording it again changes nothing.
#[derive(Clone, Debug)]
pub struct Ingested {
    /// Its id.
    pub signature: Signature,
    /// The slot it landed in.
    pub slot: Slot,
    /// Estimated production time of its block, Unix seconds.
    pub block_time: Option<i64>,
    /// How sure the chain was of it when it was looked at.
    pub reached: Commitment,
    /// The watched token accounts it names.
    pub mentions: Vec<TokenAccount>,
    /// When its signature came to us.
    pub seen_at: Timestamp,
    /// What came out of it.
    pub reading: Reading,
}

/// What came out of a transaction.
#[derive(Clone, Debug)]
pub enum Reading {
    /// History lists it as failed: not even fetched.
    Failed,
    /// It was recorded before, at the same slot.
    Known,
    /// It seems to be somebody else's: these are all memos that the node shows of it. Not even fetched.
    SetAside(Vec<Memo>),
    /// It was read.
    Decoded(Decoded),
    /// It cannot be read, for this reason: quarantined, shown, and tried again.
    Unreadable(String),
}

/// Why a payment is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// It was recorded for the first time.
    New,
    /// It was known, and judged again.
    JudgedAgain,
}

/// A payment that was recorded, or judged anew.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Why it is told of.
    pub occasion: Occasion,
    /// The transaction.
    pub signature: Signature,
    /// Its memos.
    pub memos: Vec<Memo>,
    /// What was credited; `None` if the transaction is unreadable.
    pub credit: Option<Credit>,
    /// What is to be done with it.
    pub verdict: Verdict,
}

/// A payment row's id.
pub(super) type PaymentId = i64;

impl Store {
    /// Records transactions and, in a sweep, the cursor that covers them. All or nothing.
    ///
    /// Returns the payments that are new or were judged anew.
    ///
    /// # Errors
    /// When the database fails; then nothing is recorded and the cursor stays.
    pub async fn record(
        &self,
        batch: &[Ingested],
        cursor: Option<&Cursor>,
        rules: &Rules,
        now: Timestamp,
    ) -> Result<Vec<Recorded>> {
        let (recorded, _) = self.record_in(batch, cursor, rules, now, None).await?;
        Ok(recorded)
    }

    /// Records transactions, and leases what is to be confirmed at once to the caller, who sends it: after a crash it comes back
    /// by itself when the lease ends.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub async fn record_and_lease(
        &self,
        batch: &[Ingested],
        rules: &Rules,
        now: Timestamp,
        lease: Duration,
    ) -> Result<(Vec<Recorded>, Vec<Due>)> {
        let until = now.plus(lease);
        self.record_in(batch, None, rules, now, Some(until)).await
    }

    async fn record_in(
        &self,
        batch: &[Ingested],
        cursor: Option<&Cursor>,
        rules: &Rules,
        now: Timestamp,
        lease_until: Option<Timestamp>,
    ) -> Result<(Vec<Recorded>, Vec<Due>)> {
        all_watched(batch, rules)?;
        let mut tx = self.enter().await?;
        let mut desk = Desk::begin_for(&mut tx, batch).await?;
        let mut recorded = Vec::new();
        let news: Vec<_> = batch.iter().filter(|one| !desk.outdates(one)).collect();
        for ingested in &news {
            record_one(&mut tx, &mut desk, ingested, rules, now, &mut recorded).await?;
        }
        finalize_known(&mut tx, batch, now).await?;
        if let Some(cursor) = cursor {
            Self::advance(&mut tx, cursor).await?;
        }
        let leased = lease_until.map(|until| desk.lease(now, until));
        let mut script = Script::new();
        remember(&mut script, &news, now);
        let aside: Vec<_> = batch.iter().filter_map(as_set_aside).collect();
        set_aside::insert(&mut script, &aside, now);
        desk.write_into(&mut script, now);
        script.commit(tx).await?;
        Ok((recorded, leased.unwrap_or_default()))
    }

    /// Which of these signatures are recorded for a token account, with the slot they were seen in.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn known(
        &self,
        token_account: TokenAccount,
        signatures: &[Signature],
    ) -> Result<Vec<(Signature, Slot)>> {
        let mut query =
            sqlx::QueryBuilder::new("SELECT signature, slot FROM ingested WHERE token_account = ");
        query
            .push_bind(token_account.to_string())
            .push(" AND signature IN (");
        let mut list = query.separated(", ");
        for signature in signatures {
            list.push_bind(signature.to_string());
        }
        query.push(")");
        let rows = query.build().fetch_all(&self.read).await?;
        rows.iter()
            .map(|r| Ok((row::parse(r, "signature")?, row::slot(r)?)))
            .collect()
    }
}

async fn record_one(
    tx: &mut Tx,
    desk: &mut Desk,
    ingested: &Ingested,
    rules: &Rules,
    now: Timestamp,
    recorded: &mut Vec<Recorded>,
) -> Result<()> {
    match &ingested.reading {
        Reading::Failed | Reading::Known | Reading::SetAside(_) => {}
        Reading::Unreadable(why) => {
            // Ids are given in order.
            desk.write(tx, now).await?;
            for token_account in &ingested.mentions {
                let new =
                    payments::insert_unreadable(tx, ingested, *token_account, why, now).await?;
                if let Some(id) = new {
                    desk.wrote(id);
                    let verdict = Verdict::Held(Held::Unreadable);
                    desk.judged(id, ingested.signature, &verdict, ingested.reached);
                    recorded.push(Recorded {
                        occasion: Occasion::New,
                        signature: ingested.signature,
                        memos: Vec::new(),
                        credit: None,
                        verdict,
                    });
                }
                quarantine::put(tx, ingested, *token_account, now).await?;
            }
        }
        Reading::Decoded(decoded) => {
            if desk.is_quarantined(ingested.signature) {
                quarantine::release(tx, ingested.signature, &decoded.credits).await?;
            }
            for credit in &decoded.credits {
                let known = desk
                    .known(ingested.signature, credit.token_account)
                    .copied();
                recorded.extend(
                    record_credit(tx, desk, ingested, decoded, credit, known, rules, now).await?,
                );
            }
        }
    }
    Ok(())
}

/// Records one credit, unless it is recorded already and unchanged.
#[expect(
    clippy::too_many_arguments,
    reason = "one credit of one transaction, in one place"
)]
async fn record_credit(
    tx: &mut Tx,
    desk: &mut Desk,
    ingested: &Ingested,
    decoded: &Decoded,
    credit: &Credit,
    known: Option<Known>,
    rules: &Rules,
    now: Timestamp,
) -> Result<Option<Recorded>> {
    let signature = ingested.signature;
    if let Some(known) = known {
        // It may be of this very batch.
        desk.write(tx, now).await?;
        let is_same = known.received == Some(credit.received);
        // Where nothing changed, nobody needs to know.
        let was_attempted =
            (!is_same || known.was_dropped) && confirmations::was_attempted(tx, known.id).await?;
        // Another fork gave another amount, and the merchant may have been told of it. It is sent no more, and settling drops it.
        if was_attempted && !is_same {
            if known.received.is_some() {
                confirmations::park(tx, known.id, now).await?;
            }
            return Ok(None);
        }
        payments::seen_again(tx, &known, ingested, now).await?;
        // What a person put aside stays so.
        if known.is_dismissed || (is_same && !known.was_dropped) {
            return Ok(None);
        }
        if was_attempted {
            confirmations::retry(tx, known.id, now).await?;
            return Ok(None);
        }
        let is_as_decided = is_same || known.received.is_none();
        if is_as_decided && stands_by_hand(tx, desk, &known, ingested.reached, now).await? {
            payments::set_credit(tx, known.id, credit, &decoded.memos).await?;
            desk.holds(known.id, ingested, credit, &decoded.memos);
            return Ok(None);
        }
        confirmations::cancel(tx, known.id, now).await?;
        desk.released(known.id);
    }
    let id = known.map(|known| known.id);
    let verdict = desk.judge(id, signature, credit, &decoded.memos, rules);
    let verdict = verdict.ok_or(Error::NotWatched(credit.token_account))?;
    let weight = rules.weigh(credit, &verdict);
    let id = if let Some(id) = id {
        payments::set_credit(tx, id, credit, &decoded.memos).await?;
        payments::set_verdict(tx, id, &verdict, weight).await?;
        id
    } else {
        desk.insert(ingested, credit, &decoded.memos, (&verdict, weight))
    };
    desk.holds(id, ingested, credit, &decoded.memos);
    // What was seen final before is final, however it was read this time.
    let is_final = known.is_some_and(|known| known.is_final);
    let reached = if is_final {
        Commitment::Finalized
    } else {
        ingested.reached
    };
    desk.judged(id, signature, &verdict, reached);
    Ok(Some(Recorded {
        occasion: match known {
            None => Occasion::New,
            Some(_) => Occasion::JudgedAgain,
        },
        signature,
        memos: decoded.memos.clone(),
        credit: Some(credit.clone()),
        verdict,
    }))
}

/// Whether a person confirmed a payment of this amount, or one that could not be read, of no known amount: what it turns out to be does
/// not change that, nor does another fork, unless its checkout was taken meanwhile.
async fn stands_by_hand(
    tx: &mut Tx,
    desk: &mut Desk,
    known: &Known,
    reached: Commitment,
    now: Timestamp,
) -> Result<bool> {
    if confirmations::is_by_hand(tx, known.id).await? {
        return Ok(true);
    }
    if !known.was_dropped {
        return Ok(false);
    }
    let renewed = confirmations::renew_by_hand(tx, known.id, reached, now).await?;
    let is_renewed = renewed.is_some();
    if let Some(memo) = renewed {
        desk.claimed(known.id, memo);
    }
    Ok(is_renewed)
}

/// What was read by another watch list is read again: its credits could not be judged, and would count as dealt with.
fn all_watched(batch: &[Ingested], rules: &Rules) -> Result<()> {
    let credits = batch.iter().flat_map(|one| match &one.reading {
        Reading::Decoded(decoded) => decoded.credits.as_slice(),
        _ => &[],
    });
    let mut accounts = credits.map(|credit| credit.token_account);
    match accounts.find(|account| !rules.accounts().contains(account)) {
        Some(account) => Err(Error::NotWatched(account)),
        None => Ok(()),
    }
}

/// Remembers which signatures were dealt with, for every watched account they name.
fn remember(script: &mut Script, batch: &[&Ingested], now: Timestamp) {
    let looked_at = batch
        .iter()
        .filter(|one| !matches!(one.reading, Reading::Known | Reading::SetAside(_)));
    let rows: Vec<_> = looked_at
        .flat_map(|one| one.mentions.iter().map(move |account| (account, one)))
        .collect();
    script.insert(
        "INSERT INTO ingested (token_account, signature, slot, at) ",
        &rows,
        " ON CONFLICT (token_account, signature) DO UPDATE SET slot = excluded.slot, at = excluded.at",
        |mut values, (account, one)| {
            values
                .push_bind(account.to_string())
                .push_bind(one.signature.to_string())
                .push_bind(row::slot_column(one.slot))
                .push_bind(now.0);
        },
    );
}

fn as_set_aside(one: &Ingested) -> Option<(TokenAccount, Signature, Option<Slot>, &[Memo])> {
    match (&one.reading, one.mentions.first()) {
        (Reading::SetAside(memos), Some(account)) => {
            Some((*account, one.signature, Some(one.slot), memos))
        }
        _ => None,
    }
}

/// What was recorded at `confirmed` and is met again in finalized history, in the same slot, is final.
async fn finalize_known(tx: &mut Tx, batch: &[Ingested], now: Timestamp) -> Result<()> {
    let is_final = |one: &&Ingested| {
        matches!(one.reading, Reading::Known) && one.reached == Commitment::Finalized
    };
    let seen: Vec<_> = batch
        .iter()
        .filter(is_final)
        .map(|one| (one.signature, one.slot))
        .collect();
    finality::finalize(tx, &seen, now).await
}
