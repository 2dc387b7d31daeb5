//! Step 7: payments at `confirmed` become `finalized`, or `dropped` if their fork died.
//!
//! Most are finalized by the sweep that meets them again. This asks for those that somebody waits for, and for those
//! that should long be.

use super::Pipeline;
use crate::clock;
use crate::domain::{Commitment, Outcome, Signature};
use crate::solana::{Fetched, Rpc};
use crate::store::Unsettled;
use anyhow::Context;
use std::{collections::HashMap, sync::Arc, time::Duration};

/// Payments older than this are asked about even if nobody waits for them.
const OVERDUE: Duration = Duration::from_secs(90);
/// How often in a row the node must know nothing of a payment before its fork counts as dead.
const MISSES_MAX: u32 = 3;

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
            .unsettled(now.minus(OVERDUE), Rpc::STATUSES_MAX)
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
        let (mut finalized, mut missing) = (Vec::new(), Vec::new());
        for (one, status) in waiting.iter().zip(statuses) {
            match status {
                Some(status) if status.commitment == Some(Commitment::Finalized) => {
                    if status.slot == one.slot && status.outcome == Outcome::Succeeded {
                        finalized.push(one.signature);
                    } else if status.outcome == Outcome::Failed {
                        missing.push(*one);
                    } else {
                        // It landed elsewhere than it was seen: the sweep reads it anew.
                        self.pipeline.bells.sweep.notify_one();
                    }
                }
                Some(_) => {
                    self.misses.remove(&one.signature);
                }
                None => missing.push(*one),
            }
        }
        if !finalized.is_empty() {
            store
                .finalize(&finalized, now)
                .await
                .context("record finality")?;
            self.pipeline.bells.confirm.notify_one();
        }
        let dropped = self.drop_dead(&missing).await?;
        Ok(SettleOutcome {
            asked: waiting.len(),
            finalized: finalized.len(),
            dropped,
        })
    }

    /// Whether nobody who answers has it in finalized history: two hosts at least, where there are two.
    async fn is_denied(&self, signature: Signature) -> bool {
        const HOSTS: usize = 2;
        let rpc = &self.pipeline.rpc;
        let told = rpc.testimonies(signature, Commitment::Finalized).await;
        let denies = |one: &Fetched| match one {
            Fetched::NotYet => true,
            Fetched::Transaction(transaction) => transaction.outcome == Outcome::Failed,
            Fetched::Unreadable(_) => false,
        };
        told.len() >= HOSTS.min(rpc.hosts()) && told.iter().all(denies)
    }

    /// A fork is dead when the finalized chain is past it and the transaction is, again and again, nowhere.
    async fn drop_dead(&mut self, missing: &[Unsettled]) -> anyhow::Result<usize> {
        if missing.is_empty() {
            return Ok(0);
        }
        let pipeline = self.pipeline.clone();
        let finalized = pipeline
            .rpc
            .slot(Commitment::Finalized)
            .await
            .context("ask for the finalized slot")?;
        let mut dropped = 0;
        for one in missing.iter().filter(|one| finalized > one.slot) {
            let misses = self.misses.entry(one.signature).or_insert(0);
            *misses += 1;
            if *misses < MISSES_MAX {
                continue;
            }
            if self.is_denied(one.signature).await {
                let was_sent = pipeline
                    .store
                    .drop_payment(one.signature, clock::now())
                    .await
                    .context("drop a payment")?;
                metrics::counter!("paywatch_dropped_total").increment(1);
                dropped += 1;
                if was_sent {
                    tracing::error!(signature = %one.signature, "a confirmed payment's fork died: the merchant was told of money that is not there");
                } else {
                    tracing::warn!(signature = %one.signature, "payment dropped: its fork died before it was confirmed");
                }
            }
        }
        Ok(dropped)
    }
}
