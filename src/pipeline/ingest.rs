//! Steps 2 to 5: signature → transaction → credits and memos → verdict → recorded.

use super::fetch::is_readable;
use super::{Pipeline, Swept, Watching};
use crate::domain::{
    Commitment, Credit, Decoded, Held, Matched, Outcome, Signature, Slot, Timestamp, TokenAccount,
    Transaction, Verdict, decode,
};
use crate::solana::{Fetched, SignatureEntry};
use crate::store::{Cursor, Ingested, Occasion, Reading, Recorded};
use crate::{clock, store};
use anyhow::{Context, bail};
use std::time::Duration;

/// A signature that came up, to be looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sighting {
    pub(super) signature: Signature,
    /// The watched account whose history or subscription brought it.
    pub(super) token_account: TokenAccount,
    /// The slot in which history lists it; `None` for a hint, whose slot need not be the transaction's.
    pub(super) listed_in: Option<Slot>,
    /// What the chain must have reached before the transaction is read.
    pub(super) at: Commitment,
    pub(super) seen_at: Timestamp,
}

impl Sighting {
    /// For what a history lists.
    pub(super) fn listed(
        entry: &SignatureEntry,
        token_account: TokenAccount,
        at: Commitment,
        seen_at: Timestamp,
    ) -> Self {
        Self {
            signature: entry.signature,
            token_account,
            listed_in: Some(entry.slot),
            at,
            seen_at,
        }
    }
}

/// Pauses after a null answer to a hint: the notification may run ahead of the node by a second or more.
pub(super) const HINT_PAUSES: [Duration; 9] = millis([15, 30, 60, 120, 250, 500, 1000, 2000, 4000]);
/// Pauses after a null answer for a signature that the node itself has listed.
pub(super) const LISTED_PAUSES: [Duration; 5] = millis([100, 300, 1000, 2000, 4000]);

const fn millis<const N: usize>(values: [u64; N]) -> [Duration; N] {
    let mut pauses = [Duration::ZERO; N];
    let mut index = 0;
    while index < N {
        pauses[index] = Duration::from_millis(values[index]);
        index += 1;
    }
    pauses
}

impl Pipeline {
    /// Keeps what one node told of a large payment only if enough hosts tell the same; otherwise it cannot be read yet.
    pub(super) async fn with_witnesses(
        &self,
        looked_at: Option<Ingested>,
        sighting: Sighting,
    ) -> Option<Ingested> {
        match looked_at {
            Some(ingested) => Some(self.witnessed(ingested, sighting).await),
            None => None,
        }
    }

    async fn witnessed(&self, ingested: Ingested, sighting: Sighting) -> Ingested {
        let (quorum, watching) = (self.config.solana.quorum, self.watching());
        let is_large = |credit: &Credit| watching.rules().is_large(credit);
        let Reading::Decoded(decoded) = &ingested.reading else {
            return ingested;
        };
        if quorum <= 1 || !decoded.credits.iter().any(is_large) {
            return ingested;
        }
        let told = self.rpc.testimonies(sighting.signature, sighting.at).await;
        let (mut agree, mut differ) = (0_usize, 0_usize);
        // A node that does not have it, or gives it so that it cannot be read, says nothing of it.
        for one in &told {
            match one {
                // A node that is behind shows what was on a fork that has died since: the same, but in another slot.
                Fetched::Transaction(other) => match decode(other, watching.accounts()) {
                    Ok(read) if other.slot == ingested.slot && read == *decoded => agree += 1,
                    Ok(_) => differ += 1,
                    Err(_) => {}
                },
                Fetched::NotYet | Fetched::Unreadable(_) => {}
            }
        }
        if agree >= quorum && differ == 0 {
            return ingested;
        }
        let why = format!(
            "of {quorum} nodes that must tell the same of it, {agree} do and {differ} tell something else"
        );
        Ingested {
            reading: Reading::Unreadable(why),
            ..ingested
        }
    }

    /// Records transactions and, in a sweep, the cursor that covers them; then wakes and tells whom it concerns.
    pub(super) async fn record(
        &self,
        batch: &[Ingested],
        cursor: Option<&Cursor>,
    ) -> anyhow::Result<Vec<Recorded>> {
        let watching = self.watching();
        let recorded = self
            .store
            .record(batch, cursor, watching.rules(), clock::now())
            .await;
        let recorded = self.note_recorded(recorded, &watching)?;
        self.ring_for(&recorded);
        Ok(recorded)
    }

    /// The same for transactions somebody may be waiting for: what is to be confirmed is handed over at once, as long as hands keep
    /// up. Returns which payments are new.
    pub(super) async fn record_promptly(&self, some: &[Ingested]) -> anyhow::Result<Swept> {
        if some.is_empty() {
            return Ok(Swept::default());
        }
        if !self.handed.has_room() {
            return Ok(self.new_among(&self.record(some, None).await?));
        }
        let watching = self.watching();
        let (now, lease) = (clock::now(), self.lease());
        let recorded = self
            .store
            .record_and_lease(some, watching.rules(), now, lease)
            .await;
        let (recorded, leased) = match recorded {
            Ok((recorded, leased)) => (Ok(recorded), leased),
            Err(error) => (Err(error), Vec::new()),
        };
        self.handed.put(leased);
        // Whoever sends goes first; telling of it can wait.
        tokio::task::yield_now().await;
        Ok(self.new_among(&self.note_recorded(recorded, &watching)?))
    }

    /// Counts payments that are recorded for the first time, and those of them that no WebSocket has brought.
    pub(super) fn new_among(&self, recorded: &[Recorded]) -> Swept {
        let is_new = |one: &&Recorded| one.occasion == Occasion::New;
        let is_unheard = |one: &&Recorded| !self.heard.knows(&one.signature);
        let new = recorded.iter().filter(is_new);
        Swept {
            payments: new.clone().count(),
            unheard: new.filter(is_unheard).count(),
            ..Swept::default()
        }
    }

    fn note_recorded(
        &self,
        recorded: Result<Vec<Recorded>, store::Error>,
        watching: &Watching,
    ) -> anyhow::Result<Vec<Recorded>> {
        let has_failed = matches!(&recorded, Err(error) if error.is_of_the_database());
        self.status.store_failed(has_failed);
        let recorded = recorded.context("record payments")?;
        self.announce(&recorded, watching);
        Ok(recorded)
    }

    /// Wakes whoever sends what was just queued.
    pub(super) fn ring_for(&self, recorded: &[Recorded]) {
        let is_queued =
            |one: &Recorded| matches!(one.verdict, Verdict::Matched(Matched::Confirm { .. }));
        if recorded.iter().any(is_queued) {
            self.bells.confirm.notify_one();
        }
    }

    /// Tries quarantined transactions again whose time has come. Returns how many could be read.
    ///
    /// # Errors
    /// When the node or the database fails.
    pub async fn retry_quarantined(&self) -> anyhow::Result<usize> {
        const AT_ONCE: u32 = 64;
        let now = clock::now();
        let mut read = 0;
        for one in self
            .store
            .quarantined(now, AT_ONCE)
            .await
            .context("read the quarantine")?
        {
            let sighting = Sighting {
                signature: one.signature,
                token_account: one.token_account,
                listed_in: Some(one.slot),
                at: one.at,
                seen_at: now,
            };
            let is_watched = self.watching().accounts().contains(&one.token_account);
            let ingested = if is_watched {
                let given = self.look_again_at(sighting).await?;
                given.unwrap_or_else(|| not_given(sighting, one.slot))
            } else {
                // Its time comes again; meanwhile it is in nobody's way.
                unreadable(
                    sighting,
                    one.slot,
                    "its token account is not watched now".into(),
                )
            };
            read += usize::from(is_readable(&ingested));
            self.record(&[ingested], None).await?;
        }
        Ok(read)
    }

    /// Logs and counts payments that are new or judged anew, and asks for new checkouts where a memo is unknown.
    pub(super) fn announce(&self, recorded: &[Recorded], watching: &Watching) {
        for one in recorded {
            let memo = one
                .memos
                .first()
                .map(ToString::to_string)
                .unwrap_or_default();
            let amount = one
                .credit
                .as_ref()
                .map(|credit| watching.human(credit))
                .unwrap_or_default();
            let payer = one
                .credit
                .as_ref()
                .and_then(|credit| credit.payer)
                .map(|payer| payer.to_string());
            let payer = payer.unwrap_or_default();
            let signature = one.signature;
            let word = match &one.verdict {
                Verdict::Matched(Matched::Confirm { .. }) => {
                    tracing::info!(%signature, memo, amount, payer, "payment matched");
                    "matched"
                }
                Verdict::Matched(Matched::Settled { .. }) => {
                    tracing::info!(%signature, memo, amount, payer, "payment matched; the API had it confirmed already");
                    "matched"
                }
                Verdict::Held(Held::Unreadable) => {
                    tracing::error!(%signature, "transaction cannot be read: quarantined, will be tried again");
                    Held::Unreadable.as_str()
                }
                Verdict::Held(reason) => {
                    if *reason == Held::UnknownMemo {
                        self.bells.checkouts.notify_one();
                    }
                    tracing::info!(%signature, memo, amount, payer, %reason, "payment held");
                    reason.as_str()
                }
            };
            let counter = match one.occasion {
                Occasion::New => metrics::counter!("paywatch_payments_total", "verdict" => word),
                Occasion::JudgedAgain => {
                    metrics::counter!("paywatch_rejudged_payments_total", "verdict" => word)
                }
            };
            counter.increment(1);
        }
    }
}

/// What a fetched transaction means for what is watched now.
///
/// An account that is not watched (yet, or any more) is not read for: what is recorded as dealt with is never read again.
pub(super) fn read(
    transaction: &Transaction,
    sighting: Sighting,
    watching: &Watching,
) -> anyhow::Result<Ingested> {
    if !watching.accounts().contains(&sighting.token_account) {
        bail!("{} is not watched", sighting.token_account);
    }
    let mut mentions = watching.accounts().among(&transaction.keys);
    if !mentions.contains(&sighting.token_account) {
        // What it gave to others is read where it is listed for them.
        mentions = vec![sighting.token_account];
    }
    let reading = match decode_for(sighting.token_account, transaction, watching) {
        Ok(decoded) => Reading::Decoded(decoded),
        Err(why) => Reading::Unreadable(why),
    };
    Ok(Ingested {
        signature: transaction.signature,
        // What was given counts for the slot it was given in. A listing, perhaps of another node, may be of another fork.
        slot: transaction.slot,
        block_time: transaction.block_time,
        reached: sighting.at,
        mentions,
        seen_at: sighting.seen_at,
        reading,
    })
}

/// Decodes a transaction of an account's history, or says why that is not possible.
pub(super) fn decode_for(
    token_account: TokenAccount,
    transaction: &Transaction,
    watching: &Watching,
) -> Result<Decoded, String> {
    let is_named = transaction.keys.contains(&token_account.0);
    if transaction.outcome == Outcome::Succeeded && !is_named {
        return Err(format!(
            "a node lists it for the token account {token_account}, and what it gives does not name that account"
        ));
    }
    decode(transaction, watching.accounts()).map_err(|why| why.to_string())
}

pub(super) fn unreadable(sighting: Sighting, slot: Slot, why: String) -> Ingested {
    Ingested {
        signature: sighting.signature,
        slot,
        block_time: None,
        reached: sighting.at,
        mentions: vec![sighting.token_account],
        seen_at: sighting.seen_at,
        reading: Reading::Unreadable(why),
    }
}

/// A transaction that the node lists and does not give: quarantined, so that it stalls nothing and is not forgotten.
pub(super) fn not_given(sighting: Sighting, slot: Slot) -> Ingested {
    unreadable(
        sighting,
        slot,
        "the node lists it and answers null when asked for it".into(),
    )
}
