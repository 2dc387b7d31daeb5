//! Step 1b: history, read back to where all is recorded, then walked forwards.
//!
//! The only code that moves a cursor: over finalized, contiguous, fully recorded history, never past a gap, never on an
//! error. What is only confirmed yet is ingested too, so that payments are found without any WebSocket; the cursor does
//! not cover it, and the next sweep meets it again.

use super::Pipeline;
use super::ahead::Ahead;
use super::history::{Floor, History, Range, list};
use super::progress::{LogLines, Progress};
use super::walk::Mode;
use crate::clock;
use crate::config::Scope;
use crate::domain::{Slot, Timestamp, TokenAccount, Watched};
use crate::solana::Rpc;
use crate::store::Cursor;
use anyhow::{Context, bail};
use std::{sync::Arc, time::Duration};

/// What a sweep of one token account did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Signatures its history had in range.
    pub listed: usize,
    /// Transactions that had to be fetched.
    pub fetched: usize,
    /// Payments that are new.
    pub payments: usize,
    /// Oldest and newest slot in range.
    pub slots: Option<(Slot, Slot)>,
}

/// Sweeps all watched token accounts.
pub struct Sweep {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) progress: Arc<dyn Progress>,
    /// Whose transactions are read.
    pub(super) scope: Scope,
    /// Whom history is asked of.
    pub(super) rpc: Rpc,
    /// Sweeps until somebody else is asked for it.
    until_second_opinion: u32,
}

/// One sweep in so many, and the one after a failure, asks other endpoints first. Whatever the preferred one hides is found within
/// a few sweeps; it costs no call more.
const SECOND_OPINION_EVERY: u32 = 4;

/// Anchors that were begun less long before the cursor are not relied on: signatures older than them may have been revealed
/// after the last sweep. A minute, and the half minute for which an anchor moves along after it was begun. Counted back from
/// the cursor, not from now, so that a restart does not shorten it.
const OVERLAP: Duration = Duration::from_secs(90);

impl Sweep {
    /// Sweeps what the pipeline watches.
    #[must_use]
    pub fn new(pipeline: Arc<Pipeline>) -> Self {
        Self::telling(pipeline, Arc::new(LogLines::default()))
    }

    /// The same, telling somebody how far it is.
    #[must_use]
    pub fn telling(pipeline: Arc<Pipeline>, progress: Arc<dyn Progress>) -> Self {
        Self {
            rpc: pipeline.rpc.clone(),
            scope: pipeline.config.watch.scope,
            pipeline,
            progress,
            until_second_opinion: SECOND_OPINION_EVERY,
        }
    }

    /// Sweeps every watched token account once, from its cursor to now. One that fails does not keep the others from it.
    ///
    /// # Errors
    /// The first failure, after all were tried.
    pub async fn step(&mut self) -> anyhow::Result<Swept> {
        let watching = self.pipeline.watching();
        if watching.accounts().is_empty() {
            bail!("nothing is watched yet");
        }
        self.choose_whom_to_ask();
        self.progress.begins();
        let (mut total, mut failure) = (Swept::default(), None);
        for watched in watching.accounts().iter() {
            match self.resume(watched).await {
                Ok(swept) => {
                    let account = watched.token_account;
                    self.pipeline.status.account_swept(account, clock::now());
                    total.add(swept);
                }
                Err(error) => {
                    let context = format!("sweep {} of {}", watched.token_account, watched.symbol);
                    failure.get_or_insert(error.context(context));
                }
            }
        }
        let unheard = failure.is_none().then_some(total.payments);
        self.pipeline.rhythm.swept(unheard);
        if let Some(error) = failure {
            self.until_second_opinion = 1;
            Err(error)
        } else {
            self.pipeline.status.swept(clock::now());
            Ok(total)
        }
    }

    fn choose_whom_to_ask(&mut self) {
        let preferred = &self.pipeline.rpc;
        self.until_second_opinion = self.until_second_opinion.saturating_sub(1);
        self.rpc = if self.until_second_opinion == 0 {
            self.until_second_opinion = SECOND_OPINION_EVERY;
            preferred.second_opinion()
        } else {
            preferred.clone()
        };
    }

    /// Sweeps one token account from its cursor; without one, from as far back as a pending checkout or `look_back` reaches.
    ///
    /// The cursor's own signature must be in what the node lists: a history in which it is missing has a gap that nobody
    /// would notice. Such a history is ingested all the same, and the cursor stays.
    ///
    /// # Errors
    /// When the node or the database fails, or of a gap; what was recorded until then stays, and the cursor covers no more.
    pub async fn resume(&self, watched: &Watched) -> anyhow::Result<Swept> {
        let account = watched.token_account;
        let cursors = self.cursors(account).await?;
        let mut ahead = Ahead::new(self.pipeline.clone(), self.scope, account);
        let history = self.list_since(account, &cursors, &mut ahead).await?;
        let gap = cursors.first().filter(|_| !history.reaches);
        let mode = gap.map_or(Mode::Resume, |_| Mode::Bounded);
        let swept = self.ingest_all(account, history, None, ahead, mode).await?;
        if let Some(cursor) = gap {
            bail!(
                "the node's history does not reach back to slot {}, where recording ended: it lags, or has pruned it; the cursor stays",
                cursor.slot
            );
        }
        Ok(swept)
    }

    async fn cursors(&self, account: TokenAccount) -> anyhow::Result<Vec<Cursor>> {
        let store = &self.pipeline.store;
        store.cursors(account).await.context("read cursors")
    }

    /// All history that a sweep would walk over now.
    pub(super) async fn list(
        &self,
        account: TokenAccount,
        ahead: &mut Ahead,
    ) -> anyhow::Result<History> {
        let cursors = self.cursors(account).await?;
        self.list_since(account, &cursors, ahead).await
    }

    /// How far back the first sweep goes.
    async fn floor_of_the_start(&self, account: TokenAccount) -> anyhow::Result<Floor> {
        let pipeline = &self.pipeline;
        if !pipeline.status.has_polled() {
            bail!("how far back to look is not known before the checkouts were read once");
        }
        let store = &pipeline.store;
        let since = store
            .watched_since(account, clock::now())
            .await
            .context("read since when it is watched")?;
        let look_back = since.minus(pipeline.config.watch.look_back).unix_seconds();
        let oldest_pending = store
            .oldest_pending_at()
            .await
            .context("read the oldest checkout")?;
        let oldest = oldest_pending.map_or(look_back, |at| at.min(look_back));
        Ok(Floor::Time(oldest))
    }

    /// Lists what is newer than the first anchor that is far enough behind the cursor and that the node knows. If it knows none
    /// of them, all down to the oldest one's slot; while there is none, all of it.
    async fn list_since(
        &self,
        account: TokenAccount,
        cursors: &[Cursor],
        ahead: &mut Ahead,
    ) -> anyhow::Result<History> {
        let reached = cursors.first().map_or(Timestamp(0), |cursor| cursor.at);
        let down_to = |floor| Range {
            look_for: cursors.first().map(|cursor| cursor.signature),
            ..Range::down_to(account, floor)
        };
        let is_far = |anchor: &&Cursor| reached.since(anchor.at) >= OVERLAP;
        for anchor in cursors.iter().filter(is_far) {
            let range = Range {
                until: Some(anchor.signature),
                ..down_to(Floor::Slot(anchor.slot))
            };
            match list(&self.rpc, range, &*self.progress, ahead).await {
                Err(error) if error.is_unknown_anchor() => {
                    tracing::warn!(%account, slot = anchor.slot, %error, "node does not know this anchor; falling back to an older one");
                }
                listed => return listed.context("list history"),
            }
        }
        let floor = match cursors.last().filter(is_far) {
            Some(oldest) => Floor::Slot(oldest.slot),
            None => self.floor_of_the_start(account).await?,
        };
        let listed = list(&self.rpc, down_to(floor), &*self.progress, ahead).await;
        listed.context("list history")
    }
}

impl Swept {
    /// Adds up two sweeps.
    pub fn add(&mut self, other: Self) {
        self.listed += other.listed;
        self.fetched += other.fetched;
        self.payments += other.payments;
        self.slots = match (self.slots, other.slots) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (a, b) => a.or(b),
        };
    }
}
