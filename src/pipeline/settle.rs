//! Step 7: payments at `confirmed` become `finalized`, or `dropped` if their fork died.
//!
//! Most are finalized by the sweep that meets them again. This asks for those that somebody waits for, for
//! those that were sent in vain, and for those that should long be.

use super::Pipeline;
use super::fetch::is_readable;
use super::ingest::Sighting;
use crate::clock;
use crate::domain::{Commitment, Decoded, Outcome, Signature, Slot, decode};
use crate::solana::{Fetched, Rpc};
use crate::store::Unsettled;
use anyhow::Context;
use std::{collections::HashMap, sync::Arc, time::Duration};

/// Payments older than this are asked about even if nobody waits for them.
const OVERDUE: Duration = Duration::from_secs(90);
/// How often in a row the node must know nothing of a payment, where it was seen, before its fork counts as dead.
const MISSES_MAX: u32 = 3;
/// After how many more all hosts are asked again, if it is not clear then.
const MISSES_AGAIN: u32 = 30;

/// What one step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SettleOutcome {
    /// Payments asked about.
    pub asked: usize,
    /// Now finalized.
    pub finalized: usize,
    /// Now dropped.
    pub dropped: usize,
}

/// Asks the chain how sure it is.
pub struct Settle {
    pipeline: Arc<Pipeline>,
    misses: HashMap<Signature, u32>,
}

impl Settle {
    /// Settles what the pipeline recorded.
    #[must_use]
    pub fn new(pipeline: Arc<Pipeline>) -> Self {
        Self {
            pipeline,
            misses: HashMap::new(),
        }
    }

    /// Asks once about all that waits. Costs no call if nothing does.
    ///
    /// # Errors
    /// When the node or the database fails; then nothing was changed by half.
    pub async fn step(&mut self) -> anyhow::Result<SettleOutcome> {
        let now = clock::now();
        let (store, rpc) = (&self.pipeline.store, &self.pipeline.rpc);
        let waiting = store
            .unsettled(now, OVERDUE, Rpc::STATUSES_MAX)
            .await
            .context("read unsettled payments")?;
        self.misses
            .retain(|signature, _| waiting.iter().any(|one| one.signature == *signature));
        if waiting.is_empty() {
            return Ok(SettleOutcome::default());
        }
        let signatures: Vec<_> = waiting.iter().map(|one| one.signature).collect();
        let statuses = rpc
            .statuses(&signatures)
            .await
            .context("ask for statuses")?;
        let (mut finalized, mut moved, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        for (one, status) in waiting.iter().zip(statuses) {
            match status {
                Some(status) if status.commitment == Some(Commitment::Finalized) => {
                    if status.outcome == Outcome::Failed {
                        missing.push(*one);
                    } else if status.slot == one.slot {
                        finalized.push((one.signature, one.slot));
                    } else {
                        moved.push((*one, status.slot));
                    }
                }
                Some(_) => {
                    self.misses.remove(&one.signature);
                }
                None => missing.push(*one),
            }
        }
        if !finalized.is_empty() {
            self.pipeline.finalize(&finalized).await?;
        }
        for (one, slot) in moved {
            if self.read_anew(&one, slot).await? {
                missing.push(one);
            }
        }
        let (found, dropped) = self.look_for(&missing).await?;
        Ok(SettleOutcome {
            asked: waiting.len(),
            finalized: finalized.len() + found,
            dropped,
        })
    }

    /// Reads a transaction that landed elsewhere than it was seen. Its payment goes along, unless it was given on the fork alone.
    /// Returns whether it could be read; else it is asked about again in the next step.
    async fn read_anew(&self, one: &Unsettled, slot: Slot) -> anyhow::Result<bool> {
        let (pipeline, watching) = (&self.pipeline, self.pipeline.watching());
        if !watching.accounts().contains(&one.token_account) {
            return Ok(false);
        }
        let sighting = Sighting {
            signature: one.signature,
            token_account: one.token_account,
            listed_in: Some(slot),
            at: Commitment::Finalized,
            seen_at: clock::now(),
        };
        // Each endpoint is asked: who lags may be the only one that tells what was given.
        match pipeline.look_again_at(sighting).await? {
            Some(ingested) if ingested.slot == slot && is_readable(&ingested) => {
                pipeline.record(&[ingested], None).await?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// What all hosts say of a payment that the one asked first knows nothing of, or not where it was seen.
    async fn hear(&self, one: &Unsettled) -> Told {
        const HOSTS: usize = 2;
        let (rpc, watching) = (&self.pipeline.rpc, self.pipeline.watching());
        let told = rpc
            .testimonies_back_to(one.slot, one.signature, Commitment::Finalized)
            .await;
        let is_watched = watching.accounts().contains(&one.token_account);
        let gives_it = |decoded: &Decoded| {
            let mut credits = decoded.credits.iter();
            credits.any(|credit| {
                let is_amount = one.received.is_none_or(|given| given == credit.received);
                credit.token_account == one.token_account && is_amount
            })
        };
        let says = |fetched: &Fetched| match fetched {
            Fetched::NotYet => Says::Nothing,
            Fetched::Transaction(transaction) if transaction.outcome == Outcome::Failed => {
                Says::GaveNothing
            }
            Fetched::Transaction(transaction) if transaction.slot == one.slot => Says::Shows,
            Fetched::Transaction(transaction) => match decode(transaction, watching.accounts()) {
                Ok(decoded) if is_watched && !gives_it(&decoded) => Says::GaveNothing,
                Err(_) if is_watched => Says::Elsewhere,
                _ => Says::Unclear,
            },
            Fetched::Unreadable(_) => Says::Unclear,
        };
        let said: Vec<_> = told.iter().map(says).collect();
        // Who shows it elsewhere, and not what it gave there, does not contradict one who does.
        let is_read = said.contains(&Says::GaveNothing) || !said.contains(&Says::Elsewhere);
        if said.contains(&Says::Shows) {
            Told::Finalized
        } else if said.len() < HOSTS.min(rpc.hosts()) || said.contains(&Says::Unclear) || !is_read {
            Told::Unclear
        } else {
            Told::Nowhere
        }
    }

    /// A fork is dead when the finalized chain is past it and the payment is, again and again, nowhere. What only one node
    /// has forgotten is finalized. Returns how many were finalized, and dropped.
    async fn look_for(&mut self, missing: &[Unsettled]) -> anyhow::Result<(usize, usize)> {
        if missing.is_empty() {
            return Ok((0, 0));
        }
        let pipeline = self.pipeline.clone();
        let finalized = pipeline
            .rpc
            .slot(Commitment::Finalized)
            .await
            .context("ask for the finalized slot")?;
        let (mut found, mut dropped) = (0, 0);
        for one in missing.iter().filter(|one| finalized > one.slot) {
            let misses = self.misses.entry(one.signature).or_insert(0);
            *misses += 1;
            if *misses != MISSES_MAX && !misses.is_multiple_of(MISSES_AGAIN) {
                continue;
            }
            let is_first = *misses == MISSES_MAX;
            match self.hear(one).await {
                Told::Finalized => {
                    pipeline.finalize(&[(one.signature, one.slot)]).await?;
                    found += 1;
                }
                Told::Nowhere => dropped += usize::from(pipeline.drop_payment(one).await?),
                Told::Unclear if is_first => {
                    let signature = one.signature;
                    tracing::warn!(%signature, "no telling yet whether a payment is final: hosts differ, do not answer, or keep too little history");
                }
                Told::Unclear => {}
            }
        }
        Ok((found, dropped))
    }
}

/// What one host says of a payment that was seen in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    /// The transaction is there, and succeeded.
    Shows,
    /// It knows no such transaction.
    Nothing,
    /// The transaction failed, or landed elsewhere and did not give it there.
    GaveNothing,
    /// The transaction landed elsewhere; what it gave cannot be read.
    Elsewhere,
    /// It gave the same elsewhere, or the answer cannot be read.
    Unclear,
}

enum Told {
    Finalized,
    Nowhere,
    /// Too few answer whose history goes back so far, or it gave the same elsewhere.
    Unclear,
}

impl Pipeline {
    async fn finalize(&self, seen: &[(Signature, Slot)]) -> anyhow::Result<()> {
        self.store
            .finalize(seen, clock::now())
            .await
            .context("record finality")?;
        self.bells.confirm.notify_one();
        Ok(())
    }

    /// Returns whether there was a payment to drop.
    async fn drop_payment(&self, one: &Unsettled) -> anyhow::Result<bool> {
        let signature = one.signature;
        let dropped = self
            .store
            .drop_payment(signature, one.slot, clock::now())
            .await
            .context("drop a payment")?;
        if dropped.payments == 0 {
            return Ok(false);
        }
        if dropped.sent > 0 {
            metrics::counter!("paywatch_dropped_payments_total").increment(dropped.sent);
            tracing::error!(%signature, "a payment's fork died after it was sent: the merchant was told of money that is not there");
        } else {
            tracing::warn!(%signature, "payment dropped: its fork died before it was sent");
        }
        Ok(true)
    }
}
