//! Step 1b: history, read back to where all is recorded, then walked forwards.
//!
//! The only code that moves a cursor: over finalized, contiguous, fully recorded history, never past a gap, never on an
//! error. What is only confirmed yet is ingested too, so that payments are found without any WebSocket; the cursor does
//! not cover it, and the next sweep meets it again.

use super::Pipeline;
use super::ahead::Ahead;
use super::gaps::Seen;
use super::history::{Floor, History, Range, list};
use super::progress::{LogLines, Progress};
use super::reach::{Extent, Shortfall};
use super::walk::Mode;
use crate::clock;
use crate::config::Scope;
use crate::domain::{Signature, Slot, Timestamp, TokenAccount, Watched};
use crate::solana::{self, Rpc};
use crate::store::Cursor;
use anyhow::{Context, bail};
use futures_util::{StreamExt, stream};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

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
    /// Where the node's history begins, if that is later than was asked for.
    pub short: Option<Shortfall>,
    /// From where history was asked for, if it is only the nodes' word that there is nothing that old.
    pub claimed: Option<Floor>,
    /// Of the payments, those that no WebSocket has brought.
    pub(super) unheard: usize,
    /// Up to here a walk has recorded everything, all of it finalized.
    pub(super) covered: Option<(Slot, Signature)>,
}

/// Sweeps all watched token accounts.
pub struct Sweep {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) progress: Arc<dyn Progress>,
    /// Whose transactions are read.
    pub(super) scope: Scope,
    /// How often in a row the sweep of an account has failed. Each time another endpoint is asked first.
    failures: HashMap<TokenAccount, usize>,
    /// Which of the accounts beyond the bound are swept next.
    turn: u64,
    /// The same of those that are looked through beside a long sweep.
    pub(super) peeks: AtomicU64,
    pub(super) seen: Seen,
}

/// Accounts that are swept at once. Their requests share the limits of the nodes.
const SIDE_BY_SIDE: usize = 64;

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
            scope: pipeline.config.watch.scope,
            pipeline,
            progress,
            failures: HashMap::new(),
            peeks: AtomicU64::new(0),
            seen: Seen::default(),
            // Turns go on where the clock is: a daemon that is often started again must not begin with the same accounts each time.
            turn: clock::now().unix_seconds().unsigned_abs(),
        }
    }

    /// Sweeps every active token account once, and some of the others in turn, from its cursor to now, all of them side by side. An
    /// account that fails does not keep the others from it. Failures of accounts that are swept in turn, or are about to leave, are noted,
    /// and are none of the sweep's: anybody can make such accounts.
    ///
    /// # Errors
    /// The first failure of another account, after all were tried.
    pub async fn step(&mut self) -> anyhow::Result<Swept> {
        if self.pipeline.watching().accounts().is_empty() {
            bail!("nothing is watched yet");
        }
        self.turn = self.turn.wrapping_add(1);
        self.progress.begins();
        let seen_to = self.seen.chain(&self.pipeline.rpc).await;
        let mut before = Some(self.pipeline.before_sweep().await);
        let watching = self.pipeline.watching();
        let due = watching.due(self.turn).into_iter().cloned().collect();
        let (mut total, mut failure, mut missed_at) = (Swept::default(), None, BTreeSet::new());
        let mut seen = Vec::new();
        let mut is_read = false;
        let this = &*self;
        let swept = this.side_by_side(
            due,
            |watched| async move { this.sweep_in_turn(&watched).await },
        );
        for (account, swept) in swept.await {
            match swept {
                Ok(swept) => {
                    self.failures.remove(&account);
                    is_read = true;
                    if swept.is_some() {
                        seen.push(account);
                    } else {
                        // Another task began to sweep it earlier: this sweep proves nothing of what came since.
                        before = None;
                    }
                    let swept = swept.unwrap_or_default();
                    if swept.unheard > 0 && watching.turns.is_listened(account) {
                        missed_at.insert(account);
                    }
                    total.add(swept);
                }
                Err(error) => {
                    let failures = self.failures.entry(account).or_default();
                    *failures += 1;
                    is_read |= !is_of_a_node(&error);
                    if watching.turns.is_needed(account) {
                        failure.get_or_insert(error);
                    } else {
                        note_aside(*failures, &error);
                    }
                }
            }
        }
        let missed_at = failure.is_none().then_some(missed_at);
        self.pipeline.rhythm.swept(missed_at, before);
        if let Some(slot) = seen_to {
            self.note_seen(seen, slot).await?;
        }
        self.pipeline.status.read_history(is_read, clock::now());
        if let Some(error) = failure {
            Err(error)
        } else {
            self.pipeline.status.swept(clock::now());
            Ok(total)
        }
    }

    /// Does the same for every account of a list, many at once. Returns the results in the order in which they came.
    pub(super) async fn side_by_side<F: Future>(
        &self,
        accounts: Vec<Watched>,
        each: impl Fn(Watched) -> F,
    ) -> Vec<(TokenAccount, F::Output)> {
        let begun = accounts.into_iter().map(|watched| {
            let (account, one) = (watched.token_account, each(watched));
            async move { (account, one.await) }
        });
        let done = stream::iter(begun).buffer_unordered(SIDE_BY_SIDE);
        done.collect().await
    }

    /// Sweeps one token account, unless it is being swept already.
    async fn sweep_in_turn(&self, watched: &Watched) -> anyhow::Result<Option<Swept>> {
        let account = watched.token_account;
        let Some(_turn) = self.pipeline.shares.begin(account) else {
            return Ok(None);
        };
        let swept = self.resume(watched).await;
        let swept = swept.with_context(|| format!("sweep {account} of {}", watched.symbol))?;
        self.pipeline.status.account_swept(account);
        Ok(Some(swept))
    }

    /// Sweeps one token account from its cursor; without one, from as far back as `look_back` reaches. Then sweeps older history that a
    /// pending checkout asks for.
    ///
    /// The cursor's own signature must be in what the node lists: a history in which it is missing has a gap that nobody
    /// would notice. Such a history is ingested all the same, and the cursor stays.
    ///
    /// # Errors
    /// When the node or the database fails, or of a gap; what was recorded until then stays, and the cursor covers no more.
    pub async fn resume(&self, watched: &Watched) -> anyhow::Result<Swept> {
        let account = watched.token_account;
        let failures = self.failures.get(&account).copied().unwrap_or_default();
        let rpc = self.pipeline.rpc.preferring(failures);
        let cursors = self.cursors(account).await?;
        let mut ahead = Ahead::new(self.pipeline.clone(), self.scope, account);
        let (history, start) = self.list_since(&rpc, account, &cursors, &mut ahead).await?;
        let extent = Extent::of(&history);
        let lost = cursors.first().filter(|_| !history.reaches);
        let gap = match lost {
            Some(_) if self.has_only_forgotten(&rpc, account, &cursors).await? => None,
            lost => lost,
        };
        let mode = gap.map_or(Mode::Resume, |_| Mode::Bounded);
        let mut swept = self.ingest_all(account, history, None, ahead, mode).await?;
        if let Some(cursor) = gap {
            bail!(
                "the node's history does not reach back to slot {}, where recording ended: it lags, or has pruned it; the cursor stays",
                cursor.slot
            );
        }
        if let Some(floor) = start {
            self.note_reach(account, floor, &extent).await?;
        }
        swept.add(Swept {
            // No WebSocket was open at the time of older history.
            unheard: 0,
            ..self.sweep_older(account).await?
        });
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
        let rpc = &self.pipeline.rpc;
        let (history, _) = self.list_since(rpc, account, &cursors, ahead).await?;
        Ok(history)
    }

    /// Lists what is newer than the first anchor that is far enough behind the cursor and that the node knows. If it knows none
    /// of them, all down to the oldest one's slot; while there is none, all down to the start, whose time is returned too.
    pub(super) async fn list_since(
        &self,
        rpc: &Rpc,
        account: TokenAccount,
        cursors: &[Cursor],
        ahead: &mut Ahead,
    ) -> anyhow::Result<(History, Option<i64>)> {
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
            match list(rpc, range, &*self.progress, ahead).await {
                Err(error) if error.is_unknown_anchor() => {
                    tracing::warn!(%account, slot = anchor.slot, %error, "node does not know this anchor; falling back to an older one");
                }
                listed => return Ok((listed.context("list history")?, None)),
            }
        }
        let (floor, start) = if let Some(oldest) = cursors.last().filter(is_far) {
            (Floor::Slot(oldest.slot), None)
        } else {
            let start = self.start(account).await?;
            (Floor::Time(start), Some(start))
        };
        let listed = list(rpc, down_to(floor), &*self.progress, ahead).await;
        Ok((listed.context("list history")?, start))
    }
}

/// Whether a sweep failed because no node answered as it should.
pub(super) fn is_of_a_node(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(<dyn std::error::Error>::is::<solana::Error>)
}

impl Swept {
    /// Adds up two sweeps.
    pub fn add(&mut self, other: Self) {
        self.listed += other.listed;
        self.fetched += other.fetched;
        self.payments += other.payments;
        self.unheard += other.unheard;
        self.slots = match (self.slots, other.slots) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (a, b) => a.or(b),
        };
        self.short = self.short.max(other.short);
        self.claimed = self.claimed.max(other.claimed);
        self.covered = self.covered.max(other.covered);
    }

    /// The same for two sweeps of one history: what both listed counts once.
    pub(super) fn add_again(&mut self, other: Self) {
        let listed = self.listed.max(other.listed);
        self.add(other);
        self.listed = listed;
    }
}

/// A failure that is none of the sweep's: said once, counted always.
fn note_aside(failures: usize, error: &anyhow::Error) {
    metrics::counter!("paywatch_failed_steps_total", "step" => "sweep").increment(1);
    let error = format!("{error:#}");
    if failures == 1 {
        tracing::warn!(
            error,
            "a token account that is swept in turn, or is listed no more, cannot be swept; it will be tried again"
        );
    } else {
        tracing::debug!(error, "a token account cannot be swept");
    }
}
