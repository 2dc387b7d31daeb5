//! Step 2: signature → transaction, from whichever endpoint gives it so that it can be read.

use super::ingest::{Sighting, decode_for, read, unreadable};
use super::{Pipeline, Watching};
use crate::domain::{Commitment, Transaction};
use crate::solana::{self, Fetched, Whom};
use crate::store::{Ingested, Reading};
use anyhow::Context;
use std::time::Duration;

/// After so many null answers of the node that is asked first, the others are asked too.
const NULLS_BEFORE_OTHERS: u32 = 3;

impl Pipeline {
    /// Fetches and reads one transaction; `None` if the node still answers null after all pauses.
    ///
    /// A transaction that one endpoint gives so that it cannot be read is asked of the other endpoints before it counts as unreadable.
    /// A hint to one whose slot is unknown is `None` too: the sweep knows its slot, and quarantines it.
    pub(super) async fn look_at(
        &self,
        sighting: Sighting,
        pauses: &[Duration],
    ) -> anyhow::Result<Option<Ingested>> {
        let (mut pauses, mut nulls) = (pauses.iter(), 0_u32);
        loop {
            let (signature, at) = (sighting.signature, sighting.at);
            let fetched = if nulls < NULLS_BEFORE_OTHERS {
                self.rpc.transaction(signature, at).await
            } else {
                self.rpc.transaction_anywhere(signature, at).await
            };
            match self.or_poison(fetched, sighting).await? {
                Fetched::NotYet => nulls += 1,
                fetched => {
                    let looked_at = self.read_or_ask_others(fetched, sighting).await?;
                    return Ok(self.with_witnesses(looked_at, sighting).await);
                }
            }
            let Some(pause) = pauses.next() else {
                return Ok(None);
            };
            tokio::time::sleep(*pause).await;
        }
    }

    /// Does the same for a transaction that is quarantined, or landed elsewhere than it was seen: every endpoint is asked at once, also one
    /// that fails or lags.
    pub(super) async fn look_again_at(
        &self,
        sighting: Sighting,
    ) -> anyhow::Result<Option<Ingested>> {
        let fetched = self.ask_for_readable(sighting, Whom::All).await;
        let fetched = self.or_poison(fetched, sighting).await?;
        let looked_at = interpret(fetched, sighting, &self.watching())?;
        Ok(self.with_witnesses(looked_at, sighting).await)
    }

    async fn or_poison(
        &self,
        fetched: Result<Fetched, solana::Error>,
        sighting: Sighting,
    ) -> anyhow::Result<Fetched> {
        match fetched {
            Err(error) if self.is_poison(&error, sighting).await => {
                Ok(Fetched::Unreadable(error.to_string()))
            }
            fetched => fetched.context("fetch a transaction"),
        }
    }

    /// Reads what an endpoint gave. If that cannot be read, another endpoint may give more.
    async fn read_or_ask_others(
        &self,
        fetched: Fetched,
        sighting: Sighting,
    ) -> anyhow::Result<Option<Ingested>> {
        let first = interpret(fetched, sighting, &self.watching())?;
        if first.as_ref().is_some_and(is_readable) || self.rpc.endpoints() < 2 {
            return Ok(first);
        }
        let other = self.ask_for_readable(sighting, Whom::Well).await;
        let other = other.context("ask other endpoints for a transaction that cannot be read");
        let other = other.and_then(|fetched| interpret(fetched, sighting, &self.watching()));
        match other {
            Ok(Some(other)) if is_readable(&other) => Ok(Some(other)),
            Ok(_) => Ok(first),
            Err(error) => {
                let signature = sighting.signature;
                tracing::debug!(%signature, error = format!("{error:#}"), "no other endpoint answers");
                Ok(first)
            }
        }
    }

    async fn ask_for_readable(
        &self,
        sighting: Sighting,
        whom: Whom,
    ) -> Result<Fetched, solana::Error> {
        let watching = self.watching();
        let account = sighting.token_account;
        let is_readable = |told: &Transaction| decode_for(account, told, &watching).is_ok();
        let (signature, at) = (sighting.signature, sighting.at);
        let rpc = &self.rpc;
        rpc.transaction_readable(signature, at, whom, is_readable)
            .await
    }

    /// Whether a node fails because of this transaction: it has listed it, and does answer another question. Without telling these
    /// apart, one transaction that breaks a node would stall the sweep for ever, and an outage would quarantine everything.
    async fn is_poison(&self, error: &solana::Error, sighting: Sighting) -> bool {
        sighting.listed_in.is_some()
            && !error.is_of_the_node()
            && self.rpc.slot(Commitment::Confirmed).await.is_ok()
    }
}

/// What an endpoint's answer means; `None` if it gives no transaction whose slot is known.
fn interpret(
    fetched: Fetched,
    sighting: Sighting,
    watching: &Watching,
) -> anyhow::Result<Option<Ingested>> {
    match fetched {
        Fetched::Transaction(transaction) => read(&transaction, sighting, watching).map(Some),
        Fetched::NotYet => Ok(None),
        Fetched::Unreadable(why) => {
            let listed_in = sighting.listed_in;
            Ok(listed_in.map(|slot| unreadable(sighting, slot, why)))
        }
    }
}

/// Whether it is known what a transaction gave.
pub(super) fn is_readable(ingested: &Ingested) -> bool {
    !matches!(ingested.reading, Reading::Unreadable(_))
}
