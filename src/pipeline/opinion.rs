//! Asks each endpoint by itself for the history that sweeps have walked over already, so that a transaction that the preferred endpoint
//! hides is found by another one.
//!
//! The listing of an endpoint begins where its own last listing ended, whatever happened since: that end is in the database. It moves no
//! cursor.

use super::ahead::Ahead;
use super::history::{Floor, History, Range, list};
use super::reach::{Below, Depth, Extent};
use super::sweep::Swept;
use super::walk::Mode;
use super::{Pipeline, Sweep};
use crate::clock;
use crate::domain::{TokenAccount, Watched};
use crate::solana::Rpc;
use crate::store::{Cursor, Store};
use anyhow::{Context, bail};
use std::sync::Arc;

/// Asks one endpoint after the other.
pub struct SecondOpinion {
    sweep: Sweep,
    /// The endpoint that is asked next.
    turn: usize,
    /// How often all endpoints had their turn.
    round: u64,
}

/// Where an endpoint's listing begins.
#[derive(Clone, Copy)]
enum Begin {
    /// At an end of an earlier listing.
    End(Cursor),
    /// At a time, because no earlier listing is old enough, Unix seconds.
    Time(i64),
}

impl SecondOpinion {
    /// For this pipeline. The endpoint after the preferred one is the first to be asked.
    #[must_use]
    pub fn new(pipeline: Arc<Pipeline>) -> Self {
        Self {
            sweep: Sweep::new(pipeline),
            turn: 1,
            round: 0,
        }
    }

    /// Asks the endpoint whose turn it is for every active account that was swept, and for some of the others in turn, and records what is missing. An endpoint that has
    /// failed lately loses its turn; one that lags does not.
    ///
    /// # Errors
    /// The first failure, after all accounts were tried.
    pub async fn step(&mut self) -> anyhow::Result<Swept> {
        let rpc = self.sweep.pipeline.rpc.alone(self.turn);
        self.turn = (self.turn + 1) % self.sweep.pipeline.rpc.endpoints().max(1);
        self.round += u64::from(self.turn == 0);
        let watching = self.sweep.pipeline.watching();
        let (mut total, mut failure) = (Swept::default(), None);
        if rpc.is_resting() {
            return Ok(total);
        }
        let (sweep, rpc) = (&self.sweep, &rpc);
        // What is missing of an account that is being swept, or was not yet, is not known before.
        let is_idle = |one: &Watched| sweep.pipeline.shares.is_idle(one.token_account);
        let due = watching.due(self.round).into_iter();
        let due = due.filter(|one| is_idle(one)).cloned().collect();
        let asked = sweep.side_by_side(due, |watched| async move {
            sweep.ask_alone(rpc, &watched).await
        });
        for (account, asked) in asked.await {
            match asked {
                Ok(swept) => total.add(swept),
                Err(error) => {
                    let context = format!("ask {} for the history of {account}", rpc.label());
                    failure.get_or_insert(error.context(context));
                }
            }
        }
        failure.map_or(Ok(total), Err)
    }
}

impl Sweep {
    /// Asks every endpoint by itself, if there are several. One that fails is named in the log.
    pub(super) async fn ask_each_alone(&self, watched: &Watched) -> Swept {
        let (rpc, account) = (&self.pipeline.rpc, watched.token_account);
        let (mut all, endpoints) = (Swept::default(), rpc.endpoints());
        for index in (0..endpoints).filter(|_| endpoints > 1) {
            let alone = rpc.alone(index);
            match self.ask_alone(&alone, watched).await {
                Ok(swept) => all.add_again(swept),
                Err(error) => {
                    let (endpoint, error) = (alone.label(), format!("{error:#}"));
                    tracing::warn!(%account, endpoint, error, "this endpoint does not say by itself what it lists");
                }
            }
        }
        all
    }

    /// Lists an account's history by one endpoint and records what is missing.
    async fn ask_alone(&self, rpc: &Rpc, watched: &Watched) -> anyhow::Result<Swept> {
        let (pipeline, account) = (&self.pipeline, watched.token_account);
        let (label, key) = (rpc.label(), rpc.key());
        let ends = pipeline.store.opinions(account, &key).await;
        let ends = ends.context("read where the endpoint's last listing ended")?;
        let begin = self.begin(account, &ends).await?;
        let mut ahead = Ahead::new(pipeline.clone(), self.scope, account);
        let (history, begin) = self
            .list_alone(rpc, account, &ends, begin, &mut ahead)
            .await?;
        let (extent, reaches) = (Extent::of(&history), history.reaches);
        let swept = self
            .ingest_all(account, history, None, ahead, Mode::Bounded)
            .await?;
        if let (Some(newest), false) = (ends.first(), reaches || is_at(begin, ends.first())) {
            let below = Below {
                before: None,
                floor: Floor::Slot(newest.slot),
                newest: None,
            };
            // An endpoint that keeps no history of that time any more has no more to tell of it.
            if !matches!(
                self.depth(rpc, account, below, &extent).await?,
                Depth::Short(_)
            ) {
                bail!(
                    "the listing does not reach back to slot {}, where the last one ended; it is asked for again from there",
                    newest.slot
                );
            }
        }
        if swept.payments > 0 {
            tracing::warn!(%account, endpoint = label, payments = swept.payments, "this endpoint lists payments that the sweeps had not found");
        }
        if let Some((slot, signature)) = swept.covered {
            let end = Cursor {
                token_account: account,
                slot,
                signature,
                at: clock::now(),
            };
            let moved = pipeline.store.move_opinion(&key, &end).await;
            moved.context("remember where the endpoint's listing ended")?;
        }
        Ok(swept)
    }

    /// Begins at the older of two ends, so that the newer one must be in the listing. A single end is good enough when it is old.
    async fn begin(&self, account: TokenAccount, ends: &[Cursor]) -> anyhow::Result<Begin> {
        match ends {
            [_, older, ..] => return Ok(Begin::End(*older)),
            [only] if Store::is_far(only, clock::now()) => return Ok(Begin::End(*only)),
            _ => {}
        }
        let reach = self.pipeline.store.reach(account).await;
        let reach = reach.context("read how far back history is recorded")?;
        let start = self.start(account).await?;
        Ok(Begin::Time(
            reach.map_or(start, |reach| reach.back_to.min(start)),
        ))
    }

    /// Lists from where the endpoint's own listing ended; down to its slot, where the endpoint does not know that transaction any more.
    /// Returns from where it listed.
    async fn list_alone(
        &self,
        rpc: &Rpc,
        account: TokenAccount,
        ends: &[Cursor],
        begin: Begin,
        ahead: &mut Ahead,
    ) -> anyhow::Result<(History, Option<Cursor>)> {
        let down_to = |floor| Range {
            look_for: ends.first().map(|end| end.signature),
            ..Range::down_to(account, floor)
        };
        let floor = match begin {
            Begin::Time(start) => Floor::Time(start),
            Begin::End(end) => {
                let range = Range {
                    until: Some(end.signature),
                    ..down_to(Floor::Slot(end.slot))
                };
                match list(rpc, range, &*self.progress, ahead).await {
                    Err(error) if error.is_unknown_anchor() => {}
                    listed => return Ok((listed.context("list history")?, Some(end))),
                }
                Floor::Slot(end.slot)
            }
        };
        let listed = list(rpc, down_to(floor), &*self.progress, ahead).await;
        Ok((listed.context("list history")?, None))
    }
}

/// Whether a listing began at the newest end: that one is not in it.
fn is_at(began: Option<Cursor>, newest: Option<&Cursor>) -> bool {
    began.is_some() && began.as_ref() == newest
}
