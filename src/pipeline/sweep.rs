//! Step 1b: history, read back to where all is recorded, then walked forwards.
//!
//! The only code that moves a cursor: over finalized, contiguous, fully recorded history, never past a gap, never on an
//! error. What is only confirmed yet is ingested too, so that payments are found without any WebSocket; the cursor does
//! not cover it, and the next sweep meets it again.

use super::Pipeline;
use super::history::{Floor, Progress, Unwatched, list};
use super::ingest::{LISTED_PAUSES, Task, not_given};
use crate::clock;
use crate::domain::{Commitment, Outcome, Signature, Slot, Timestamp, TokenAccount, Watched};
use crate::solana::SignatureEntry;
use crate::store::{Cursor, Ingested, Reading};
use anyhow::{Context, bail};
use futures_util::{StreamExt, stream::FuturesOrdered};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::mpsc;

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

/// Whether a sweep moves the cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The range begins at the cursor: what is recorded, the cursor covers.
    Resume,
    /// Any range: the cursor stays.
    Bounded,
}

/// Sweeps all watched token accounts.
pub struct Sweep {
    pipeline: Arc<Pipeline>,
    progress: Arc<dyn Progress>,
}

/// Transactions recorded in one SQL transaction.
const BATCH: usize = 256;
/// Signatures asked about in one query.
const KNOWN_AT_ONCE: usize = 500;
/// Anchors younger than this are not relied on: a signature older than them may still be revealed by another node.
const OVERLAP: Duration = Duration::from_mins(1);

impl Sweep {
    /// Sweeps what the pipeline watches.
    #[must_use]
    pub fn new(pipeline: Arc<Pipeline>) -> Self {
        Self::telling(pipeline, Arc::new(Unwatched))
    }

    /// The same, telling somebody how far it is.
    #[must_use]
    pub fn telling(pipeline: Arc<Pipeline>, progress: Arc<dyn Progress>) -> Self {
        Self { pipeline, progress }
    }

    /// Sweeps every watched token account once, from its cursor to now. One that fails does not keep the others from it.
    ///
    /// # Errors
    /// The first failure, after all were tried.
    pub async fn step(&mut self) -> anyhow::Result<Swept> {
        let watching = self.pipeline.watching();
        if watching.accounts.is_empty() {
            bail!("nothing is watched yet");
        }
        let (mut total, mut failure) = (Swept::default(), None);
        for watched in watching.accounts.iter() {
            match self.resume(watched).await {
                Ok(swept) => total.add(swept),
                Err(error) => {
                    let context = format!("sweep {} of {}", watched.token_account, watched.symbol);
                    failure.get_or_insert(error.context(context));
                }
            }
        }
        if let Some(error) = failure {
            Err(error)
        } else {
            self.pipeline.status.swept(clock::now());
            Ok(total)
        }
    }

    /// Sweeps one token account from its cursor; without one, from as far back as a pending checkout or `look_back` reaches.
    ///
    /// # Errors
    /// When the node or the database fails; what was recorded until then stays, and the cursor covers no more than that.
    pub async fn resume(&self, watched: &Watched) -> anyhow::Result<Swept> {
        let (pipeline, now) = (&self.pipeline, clock::now());
        let account = watched.token_account;
        let cursors = pipeline
            .store
            .cursors(account)
            .await
            .context("read cursors")?;
        let entries = if let Some(oldest) = cursors.last() {
            let old_enough = cursors.partition_point(|cursor| now.since(cursor.at) < OVERLAP);
            let anchors = cursors.get(old_enough..).unwrap_or_default();
            self.list_from_anchors(account, anchors, oldest.slot)
                .await?
        } else {
            if !pipeline.status.has_polled() {
                bail!("how far back to look is not known before the checkouts were read once");
            }
            let since = pipeline
                .store
                .watched_since(account, now)
                .await
                .context("read since when it is watched")?;
            let look_back = since.minus(pipeline.config.watch.look_back).unix_seconds();
            let oldest_pending = pipeline
                .store
                .oldest_pending_at()
                .await
                .context("read the oldest checkout")?;
            let floor = Floor::Time(oldest_pending.map_or(look_back, |at| at.min(look_back)));
            list(&pipeline.rpc, account, None, floor, &*self.progress)
                .await
                .context("list history")?
        };
        self.ingest_all(account, entries, Mode::Resume).await
    }

    /// Lists what is newer than the first of the anchors that the node knows; if it knows none, all down to a slot.
    async fn list_from_anchors(
        &self,
        account: TokenAccount,
        anchors: &[Cursor],
        floor: Slot,
    ) -> anyhow::Result<Vec<SignatureEntry>> {
        for anchor in anchors {
            match list(
                &self.pipeline.rpc,
                account,
                Some(anchor.signature),
                Floor::Slot(anchor.slot),
                &*self.progress,
            )
            .await
            {
                Err(error) if error.is_unknown_anchor() => {
                    tracing::warn!(%account, slot = anchor.slot, %error, "node does not know this anchor; falling back to an older one");
                }
                listed => return listed.context("list history"),
            }
        }
        list(
            &self.pipeline.rpc,
            account,
            None,
            Floor::Slot(floor),
            &*self.progress,
        )
        .await
        .context("list history")
    }

    /// Walks entries forwards, oldest first: fetches what is not recorded, many at once, and records in order.
    pub(super) async fn ingest_all(
        &self,
        account: TokenAccount,
        mut entries: Vec<SignatureEntry>,
        mode: Mode,
    ) -> anyhow::Result<Swept> {
        self.fill_in_commitments(&mut entries).await?;
        let known = self.known(account, &entries).await?;
        let mut swept = Swept {
            listed: entries.len(),
            ..Swept::default()
        };
        swept.slots = entries
            .first()
            .zip(entries.last())
            .map(|(oldest, newest)| (oldest.slot, newest.slot));
        let finalized = entries
            .iter()
            .take_while(|entry| entry.commitment == Some(Commitment::Finalized))
            .count();
        let (settled, open) = entries.split_at(finalized);
        let (sender, receiver) = mpsc::channel(BATCH);
        let (sent, recorded) = tokio::join!(
            self.fetch_in_order(account, settled, &known, sender),
            self.record_in_order(account, receiver, mode),
        );
        // The recorder's failure is the cause of the sender's.
        let (payments, fetched) = (recorded?, sent?);
        swept.payments += payments;
        swept.fetched += fetched;
        let (fetched, payments) = self.ingest_open(account, open, &known).await?;
        self.progress.recorded(open.len());
        swept.fetched += fetched;
        swept.payments += payments;
        Ok(swept)
    }

    /// A node that does not say how sure it is of an entry is asked for its finalized slot.
    async fn fill_in_commitments(&self, entries: &mut [SignatureEntry]) -> anyhow::Result<()> {
        if entries.iter().all(|entry| entry.commitment.is_some()) {
            return Ok(());
        }
        let finalized = self
            .pipeline
            .rpc
            .slot(Commitment::Finalized)
            .await
            .context("ask for the finalized slot")?;
        for entry in entries
            .iter_mut()
            .filter(|entry| entry.commitment.is_none() && entry.slot <= finalized)
        {
            entry.commitment = Some(Commitment::Finalized);
        }
        Ok(())
    }

    /// The slots in which entries were recorded before.
    async fn known(
        &self,
        account: TokenAccount,
        entries: &[SignatureEntry],
    ) -> anyhow::Result<HashMap<Signature, Slot>> {
        let mut known = HashMap::new();
        for chunk in entries.chunks(KNOWN_AT_ONCE) {
            let signatures: Vec<_> = chunk.iter().map(|entry| entry.signature).collect();
            known.extend(
                self.pipeline
                    .store
                    .known(account, &signatures)
                    .await
                    .context("look up recorded signatures")?,
            );
        }
        Ok(known)
    }

    async fn fetch_in_order(
        &self,
        account: TokenAccount,
        entries: &[SignatureEntry],
        known: &HashMap<Signature, Slot>,
        sender: mpsc::Sender<Ingested>,
    ) -> anyhow::Result<usize> {
        let seen_at = clock::now();
        let at_once = self.pipeline.config.solana.limits.max_in_flight;
        let (mut rest, mut under_way, mut fetched) = (entries.iter(), FuturesOrdered::new(), 0);
        loop {
            while under_way.len() < at_once
                && let Some(entry) = rest.next()
            {
                under_way.push_back(self.look_at_entry(
                    account,
                    *entry,
                    known.get(&entry.signature).copied(),
                    seen_at,
                ));
            }
            let Some(result) = under_way.next().await else {
                return Ok(fetched);
            };
            let (ingested, was_fetched) = result?;
            fetched += usize::from(was_fetched);
            if sender.send(ingested).await.is_err() {
                bail!("recording stopped");
            }
        }
    }

    async fn look_at_entry(
        &self,
        account: TokenAccount,
        entry: SignatureEntry,
        recorded_in: Option<Slot>,
        seen_at: Timestamp,
    ) -> anyhow::Result<(Ingested, bool)> {
        let task = Task {
            signature: entry.signature,
            token_account: account,
            listed_in: Some(entry.slot),
            at: Commitment::Finalized,
            seen_at,
        };
        // A signature recorded in another slot was on a fork: what it gave may differ.
        let reading = if entry.outcome == Outcome::Failed {
            Some(Reading::Failed)
        } else {
            (recorded_in == Some(entry.slot)).then_some(Reading::Known)
        };
        if let Some(reading) = reading {
            let ingested = Ingested {
                signature: entry.signature,
                slot: entry.slot,
                block_time: entry.block_time,
                reached: Commitment::Finalized,
                mentions: Vec::new(),
                seen_at,
                reading,
            };
            return Ok((ingested, false));
        }
        let ingested = self.pipeline.look_at(task, &LISTED_PAUSES).await?;
        Ok((
            ingested.unwrap_or_else(|| not_given(task, entry.slot)),
            true,
        ))
    }

    /// Records in batches that end where a slot ends: the order within a slot is not to be relied on.
    async fn record_in_order(
        &self,
        account: TokenAccount,
        mut receiver: mpsc::Receiver<Ingested>,
        mode: Mode,
    ) -> anyhow::Result<usize> {
        let (mut batch, mut payments): (Vec<Ingested>, usize) = (Vec::new(), 0);
        loop {
            let next = receiver.recv().await;
            let ends_slot = match (&next, batch.last()) {
                (Some(next), Some(last)) => next.slot != last.slot,
                _ => true,
            };
            let full = batch.len() >= BATCH && ends_slot;
            if (full || next.is_none())
                && let Some(last) = batch.last()
            {
                let cursor = Cursor {
                    token_account: account,
                    slot: last.slot,
                    signature: last.signature,
                    at: clock::now(),
                };
                let cursor = (mode == Mode::Resume).then_some(&cursor);
                payments += self.pipeline.record(&batch, cursor).await?.len();
                self.progress.recorded(batch.len());
                batch.clear();
            }
            match next {
                Some(ingested) => batch.push(ingested),
                None => return Ok(payments),
            }
        }
    }

    /// Ingests what is confirmed and not finalized yet. What the node does not give now, the next sweep meets again.
    async fn ingest_open(
        &self,
        account: TokenAccount,
        entries: &[SignatureEntry],
        known: &HashMap<Signature, Slot>,
    ) -> anyhow::Result<(usize, usize)> {
        let seen_at = clock::now();
        let at_once = self.pipeline.config.solana.limits.max_in_flight;
        let (mut rest, mut under_way) = (entries.iter(), FuturesOrdered::new());
        let (mut fetched, mut payments) = (0, 0);
        loop {
            while under_way.len() < at_once
                && let Some(entry) = rest.next()
            {
                let confirmed = entry.outcome == Outcome::Succeeded
                    && entry.commitment == Some(Commitment::Confirmed);
                if confirmed && known.get(&entry.signature) != Some(&entry.slot) {
                    let task = Task {
                        signature: entry.signature,
                        token_account: account,
                        listed_in: Some(entry.slot),
                        at: Commitment::Confirmed,
                        seen_at,
                    };
                    under_way.push_back(self.pipeline.look_at(task, &[]));
                }
            }
            let Some(result) = under_way.next().await else {
                return Ok((fetched, payments));
            };
            fetched += 1;
            if let Some(ingested) = result? {
                payments += self.pipeline.record(&[ingested], None).await?.len();
            }
        }
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
