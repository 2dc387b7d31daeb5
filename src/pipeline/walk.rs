//! The walk over listed history, oldest first: fetch what is not recorded, many at once; record in order; and let the cursor
//! follow over what is finalized.

use super::Sweep;
use super::ahead::Ahead;
use super::ingest::{LISTED_PAUSES, Task, not_given};
use super::skips::Skips;
use super::sweep::Swept;
use crate::clock;
use crate::domain::{Commitment, Timestamp, TokenAccount};
use crate::solana::SignatureEntry;
use crate::store::{Cursor, Ingested, Reading};
use anyhow::{Context, bail};
use futures_util::{
    StreamExt,
    stream::{self, FuturesOrdered},
};
use tokio::sync::mpsc;

/// Transactions recorded in one SQL transaction.
const BATCH: usize = 256;
/// Transactions under way in a walk, for each that may be asked for at once.
const WINDOW: usize = 4;

/// Whether a sweep moves the cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The range begins at the cursor: what is recorded, the cursor covers.
    Resume,
    /// Any range: the cursor stays.
    Bounded,
}

/// A step of a walk over history.
enum Walked {
    /// The next transaction was looked at.
    On(Box<Ingested>),
    /// There is no more. A walk that ends without this word broke off.
    ToTheEnd,
}

impl Sweep {
    /// Walks entries forwards, oldest first: fetches what is not recorded, many at once, and records in order.
    pub(super) async fn ingest_all(
        &self,
        account: TokenAccount,
        mut entries: Vec<SignatureEntry>,
        mut ahead: Ahead,
        mode: Mode,
    ) -> anyhow::Result<Swept> {
        ahead.finish().await;
        self.fill_in_commitments(&mut entries).await?;
        let mut skips = self.skips(account, &entries).await?;
        let mut swept = Swept {
            listed: entries.len(),
            ..Swept::default()
        };
        let first = self.promising(&entries, &skips).await?;
        (swept.fetched, swept.payments) = self.ingest_open(account, &first, &skips).await?;
        skips.extend(self.skips(account, &first).await?);
        swept.slots = entries
            .first()
            .zip(entries.last())
            .map(|(oldest, newest)| (oldest.slot, newest.slot));
        let is_final = |entry: &&SignatureEntry| entry.commitment == Some(Commitment::Finalized);
        let finalized = whole_slots(&entries, entries.iter().take_while(is_final).count());
        let (settled, open) = entries.split_at(finalized);
        let (sender, receiver) = mpsc::channel(BATCH);
        let (sent, recorded) = tokio::join!(
            self.fetch_in_order(account, settled, &skips, ahead, sender),
            self.record_in_order(account, receiver, mode),
        );
        // The recorder's failure is the cause of the sender's.
        let (payments, fetched) = (recorded?, sent?);
        swept.payments += payments;
        swept.fetched += fetched;
        let confirmed = |entry: &&SignatureEntry| entry.commitment == Some(Commitment::Confirmed);
        let confirmed: Vec<_> = open.iter().filter(confirmed).cloned().collect();
        let (fetched, payments) = self.ingest_open(account, &confirmed, &skips).await?;
        self.progress.recorded(open.len());
        swept.fetched += fetched;
        swept.payments += payments;
        Ok(swept)
    }

    /// What of these entries need not be fetched.
    pub(super) async fn skips(
        &self,
        account: TokenAccount,
        entries: &[SignatureEntry],
    ) -> anyhow::Result<Skips> {
        Skips::of(&self.pipeline, self.scope, account, entries).await
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

    async fn fetch_in_order(
        &self,
        account: TokenAccount,
        entries: &[SignatureEntry],
        skips: &Skips,
        mut ahead: Ahead,
        sender: mpsc::Sender<Walked>,
    ) -> anyhow::Result<usize> {
        let seen_at = clock::now();
        // More than may be asked at once: what is done waits for the oldest, and must not keep a place meanwhile.
        let window = self.pipeline.config.solana.limits.max_in_flight * WINDOW;
        let (mut rest, mut under_way, mut fetched) = (entries.iter(), FuturesOrdered::new(), 0);
        loop {
            while under_way.len() < window
                && let Some(entry) = rest.next()
            {
                let (skip, fetched) = (skips.reading(entry), ahead.take(entry));
                under_way.push_back(self.look_at_entry(account, entry, skip, fetched, seen_at));
            }
            let walked = match under_way.next().await {
                Some(result) => {
                    let (ingested, was_fetched) = result?;
                    fetched += usize::from(was_fetched);
                    Walked::On(Box::new(ingested))
                }
                None => Walked::ToTheEnd,
            };
            let is_end = matches!(walked, Walked::ToTheEnd);
            if sender.send(walked).await.is_err() {
                bail!("recording stopped");
            }
            if is_end {
                return Ok(fetched);
            }
        }
    }

    async fn look_at_entry(
        &self,
        account: TokenAccount,
        entry: &SignatureEntry,
        skip: Option<Reading>,
        fetched: Option<Ingested>,
        seen_at: Timestamp,
    ) -> anyhow::Result<(Ingested, bool)> {
        if let Some(reading) = skip {
            let mentions = match reading {
                Reading::SetAside(_) => vec![account],
                _ => Vec::new(),
            };
            let ingested = Ingested {
                signature: entry.signature,
                slot: entry.slot,
                block_time: entry.block_time,
                reached: Commitment::Finalized,
                mentions,
                seen_at,
                reading,
            };
            return Ok((ingested, false));
        }
        if let Some(ingested) = fetched {
            return Ok((ingested, true));
        }
        let task = Task {
            signature: entry.signature,
            token_account: account,
            listed_in: Some(entry.slot),
            at: Commitment::Finalized,
            seen_at,
        };
        let ingested = self.pipeline.look_at(task, &LISTED_PAUSES).await?;
        Ok((
            ingested.unwrap_or_else(|| not_given(task, entry.slot)),
            true,
        ))
    }

    /// Records in batches that end where a slot ends: the order within a slot is not to be relied on. When the walk breaks
    /// off, the slot it was in is left to the next sweep.
    async fn record_in_order(
        &self,
        account: TokenAccount,
        mut receiver: mpsc::Receiver<Walked>,
        mode: Mode,
    ) -> anyhow::Result<usize> {
        let (mut batch, mut payments): (Vec<Ingested>, usize) = (Vec::new(), 0);
        loop {
            match receiver.recv().await {
                Some(Walked::On(next)) => {
                    let ends_slot = batch.last().is_some_and(|last| last.slot != next.slot);
                    if batch.len() >= BATCH && ends_slot {
                        payments += self.record_batch(account, &batch, mode).await?;
                        batch.clear();
                    }
                    batch.push(*next);
                }
                Some(Walked::ToTheEnd) => {
                    return Ok(payments + self.record_batch(account, &batch, mode).await?);
                }
                None => {
                    let broken_off_in = batch.last().map(|last| last.slot);
                    batch.retain(|one| Some(one.slot) != broken_off_in);
                    return Ok(payments + self.record_batch(account, &batch, mode).await?);
                }
            }
        }
    }

    async fn record_batch(
        &self,
        account: TokenAccount,
        batch: &[Ingested],
        mode: Mode,
    ) -> anyhow::Result<usize> {
        let Some(last) = batch.last() else {
            return Ok(0);
        };
        let cursor = Cursor {
            token_account: account,
            slot: last.slot,
            signature: last.signature,
            at: clock::now(),
        };
        let cursor = (mode == Mode::Resume).then_some(&cursor);
        let recorded = self.pipeline.record(batch, cursor).await?;
        self.progress.recorded(batch.len());
        Ok(recorded.len())
    }

    /// Ingests at `confirmed`, and moves no cursor. What the node does not give now, the next sweep meets again.
    pub(super) async fn ingest_open(
        &self,
        account: TokenAccount,
        entries: &[SignatureEntry],
        skips: &Skips,
    ) -> anyhow::Result<(usize, usize)> {
        let seen_at = clock::now();
        let at_once = self.pipeline.config.solana.limits.max_in_flight;
        let is_new = |entry: &&SignatureEntry| skips.reading(entry).is_none();
        let task = |entry: &SignatureEntry| Task {
            signature: entry.signature,
            token_account: account,
            listed_in: Some(entry.slot),
            at: Commitment::Confirmed,
            seen_at,
        };
        let tasks: Vec<_> = entries.iter().filter(is_new).map(task).collect();
        let mut looked_at = stream::iter(tasks)
            .map(|task| self.pipeline.look_at(task, &[]))
            .buffered(at_once)
            .ready_chunks(at_once);
        let (mut fetched, mut payments) = (0, 0);
        while let Some(some) = looked_at.next().await {
            fetched += some.len();
            let some: Vec<_> = some.into_iter().collect::<anyhow::Result<_>>()?;
            let given: Vec<_> = some.into_iter().flatten().collect();
            payments += self.pipeline.record_promptly(&given).await?;
        }
        Ok((fetched, payments))
    }
}

/// The largest part of the first `count` entries that splits no slot.
fn whole_slots(entries: &[SignatureEntry], count: usize) -> usize {
    let (within, beyond) = entries.split_at(count);
    match beyond.first() {
        Some(next) => within.partition_point(|entry| entry.slot < next.slot),
        None => count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Outcome, Signature};

    #[test]
    fn a_part_of_history_never_splits_a_slot() {
        let entry = |slot| SignatureEntry {
            signature: Signature::default(),
            slot,
            block_time: None,
            outcome: Outcome::Succeeded,
            commitment: None,
            memo_hints: Vec::new(),
            are_hints_whole: false,
        };
        let entries = [1, 2, 2, 2, 3].map(entry);
        let parts: Vec<_> = (0..=5).map(|count| whole_slots(&entries, count)).collect();
        assert_eq!(parts, [0, 1, 1, 1, 4, 5]);
    }
}
