//! The walk over listed history, oldest first: fetch what is not recorded, many at once; record in order; and let the cursor
//! follow over what is finalized.

use super::Sweep;
use super::ahead::Ahead;
use super::history::{Floor, History, list};
use super::ingest::{LISTED_PAUSES, Sighting, not_given};
use super::progress::Unwatched;
use super::skips::Skips;
use super::sweep::Swept;
use crate::clock;
use crate::domain::{Commitment, Signature, Slot, Timestamp, TokenAccount};
use crate::solana::SignatureEntry;
use crate::store::{Cursor, Ingested, Reading};
use anyhow::{Context, bail};
use futures_util::{
    StreamExt,
    stream::{self, FuturesOrdered},
};
use tokio::sync::mpsc;

/// Transactions recorded in one SQL transaction.
const BATCH: usize = 64;
/// Transactions under way in all walks together, for each request that may be under way.
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
    /// Walks a history forwards, oldest first, part by part: fetches what is not recorded, many at once, and records in order.
    /// `newest` is the end of the range, if it has one.
    pub(super) async fn ingest_all(
        &self,
        account: TokenAccount,
        history: History,
        newest: Option<Floor>,
        mut ahead: Ahead,
        mut mode: Mode,
    ) -> anyhow::Result<Swept> {
        ahead.finish().await;
        let (rpc, mut entries, mut newer) = (history.rpc, history.entries, history.newer);
        let promising = self.ingest_promising(account, &entries, &mut ahead).await;
        let mut swept = promising.unwrap_or_else(|error| {
            // The walk comes to the same transactions, and fails there if it must.
            tracing::debug!(%account, error = format!("{error:#}"), "what seems to pay cannot be fetched before its turn");
            Swept::default()
        });
        let mut is_covered = true;
        let mut carried: Vec<SignatureEntry> = Vec::new();
        loop {
            if !carried.is_empty() {
                carried.append(&mut entries);
                entries = std::mem::take(&mut carried);
            }
            if !newer.is_empty() {
                // The newest slot of this part may go on in the next.
                let split = entries.last().map_or(0, |last| {
                    entries.partition_point(|entry| entry.slot < last.slot)
                });
                carried = entries.split_off(split);
            }
            entries.retain(|entry| newest.is_none_or(|newest| newest.covers(entry)));
            let (covered, is_final) = self
                .ingest_part(account, &mut entries, &mut ahead, mode, &mut swept)
                .await?;
            if is_covered {
                swept.covered = covered.or(swept.covered);
            }
            if !is_final {
                // No cursor may pass the part that is not final.
                (mode, is_covered) = (Mode::Bounded, false);
            }
            let Some(next) = newer.pop() else {
                return Ok(swept);
            };
            let mut nothing = Ahead::nothing(self.pipeline.clone(), self.scope, account);
            let part = list(&rpc, next, &Unwatched, &mut nothing).await;
            let part = part.context("list history again")?;
            if !part.reaches {
                bail!("the node's history, listed again, ends before what it had in it");
            }
            newer.extend(part.newer);
            entries = part.entries;
        }
    }

    /// Walks one part, and adds up the results. Returns the newest place that a cursor may cover, and whether the whole part is final.
    async fn ingest_part(
        &self,
        account: TokenAccount,
        entries: &mut [SignatureEntry],
        ahead: &mut Ahead,
        mode: Mode,
        swept: &mut Swept,
    ) -> anyhow::Result<(Option<(Slot, Signature)>, bool)> {
        self.fill_in_commitments(entries).await?;
        let skips = self.skips(account, entries).await?;
        let is_final = |entry: &&SignatureEntry| entry.commitment == Some(Commitment::Finalized);
        let finalized = whole_slots(entries, entries.iter().take_while(is_final).count());
        let (settled, open) = entries.split_at(finalized);
        let (sender, receiver) = mpsc::channel(BATCH);
        let (sent, recorded) = tokio::join!(
            self.fetch_in_order(account, settled, &skips, ahead, sender),
            self.record_in_order(account, receiver, mode),
        );
        // The recorder's failure is the cause of the sender's.
        let (recorded, fetched) = (recorded?, sent?);
        let is_open = |entry: &&SignatureEntry| entry.commitment.is_some();
        let unsettled: Vec<_> = open.iter().filter(is_open).cloned().collect();
        swept.add(recorded);
        swept.add(self.ingest_open(account, &unsettled, &skips).await?);
        self.progress.recorded(open.len());
        swept.add(Swept {
            listed: entries.len(),
            fetched,
            slots: entries
                .first()
                .zip(entries.last())
                .map(|(oldest, newest)| (oldest.slot, newest.slot)),
            ..Swept::default()
        });
        let covered = settled.last().map(|last| (last.slot, last.signature));
        Ok((covered, open.is_empty()))
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
        ahead: &mut Ahead,
        sender: mpsc::Sender<Walked>,
    ) -> anyhow::Result<usize> {
        let seen_at = clock::now();
        // More than may be asked at once: what is done waits for the oldest, and must not keep a place meanwhile.
        let window = || self.pipeline.shares.of(WINDOW);
        let (mut rest, mut under_way, mut fetched) = (entries.iter(), FuturesOrdered::new(), 0);
        loop {
            while under_way.len() < window()
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
        let sighting = Sighting::listed(entry, account, Commitment::Finalized, seen_at);
        let ingested = match fetched {
            Some(ingested) => Some(ingested),
            None => self.pipeline.look_at(sighting, &LISTED_PAUSES).await?,
        };
        let mut ingested = ingested.unwrap_or_else(|| not_given(sighting, entry.slot));
        // The cursor walks over finalized history as it is listed. Finality rules out another fork.
        ingested.slot = entry.slot;
        Ok((ingested, true))
    }

    /// Records in batches that end where a slot ends: the order within a slot is not to be relied on. When the walk breaks
    /// off, the slot it was in is left to the next sweep.
    async fn record_in_order(
        &self,
        account: TokenAccount,
        mut receiver: mpsc::Receiver<Walked>,
        mode: Mode,
    ) -> anyhow::Result<Swept> {
        let (mut batch, mut swept): (Vec<Ingested>, Swept) = (Vec::new(), Swept::default());
        loop {
            match receiver.recv().await {
                Some(Walked::On(next)) => {
                    let ends_slot = batch.last().is_some_and(|last| last.slot != next.slot);
                    if batch.len() >= BATCH && ends_slot {
                        swept.add(self.record_batch(account, &batch, mode).await?);
                        batch.clear();
                    }
                    batch.push(*next);
                }
                Some(Walked::ToTheEnd) => break,
                None => {
                    let broken_off_in = batch.last().map(|last| last.slot);
                    batch.retain(|one| Some(one.slot) != broken_off_in);
                    break;
                }
            }
        }
        swept.add(self.record_batch(account, &batch, mode).await?);
        Ok(swept)
    }

    async fn record_batch(
        &self,
        account: TokenAccount,
        batch: &[Ingested],
        mode: Mode,
    ) -> anyhow::Result<Swept> {
        let Some(last) = batch.last() else {
            return Ok(Swept::default());
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
        Ok(self.pipeline.new_among(&recorded))
    }

    /// Ingests at `confirmed`, and moves no cursor. What the node does not give now, the next sweep meets again.
    pub(super) async fn ingest_open(
        &self,
        account: TokenAccount,
        entries: &[SignatureEntry],
        skips: &Skips,
    ) -> anyhow::Result<Swept> {
        let seen_at = clock::now();
        let at_once = self.pipeline.shares.of(1);
        let is_new = |entry: &&SignatureEntry| skips.reading(entry).is_none();
        let sighting = |entry: &SignatureEntry| {
            Sighting::listed(entry, account, Commitment::Confirmed, seen_at)
        };
        let sightings: Vec<_> = entries.iter().filter(is_new).map(sighting).collect();
        let mut looked_at = stream::iter(sightings)
            .map(|sighting| self.pipeline.look_at(sighting, &[]))
            .buffered(at_once)
            .ready_chunks(at_once);
        let mut swept = Swept::default();
        while let Some(some) = looked_at.next().await {
            swept.fetched += some.len();
            let (given, failed): (Vec<_>, Vec<_>) = some.into_iter().partition(Result::is_ok);
            let given: Vec<_> = given.into_iter().flatten().flatten().collect();
            swept.add(self.pipeline.record_promptly(&given).await?);
            if let Some(Err(error)) = failed.into_iter().next() {
                return Err(error);
            }
        }
        Ok(swept)
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
    use crate::domain::Outcome;

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
