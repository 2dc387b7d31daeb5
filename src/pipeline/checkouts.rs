//! Keeps the known checkouts up to date from `GET /history`, and judges held payments again when new ones arrive.

use super::Pipeline;
use super::status::KeyUse;
use crate::clock;
use crate::domain::{Checkout, Memo, Timestamp};
use crate::merchant::{self, OVERLAP, PAGES_MAX};
use crate::store::TakenIn;
use anyhow::Context;
use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

/// How often everything is read, not only both ends: an old entry may have changed.
const FULL_EVERY: Duration = Duration::from_mins(10);
/// An API that was away for less than this was hardly away.
const AWAY_MIN: Duration = Duration::from_mins(1);

/// Reads checkouts.
pub struct Checkouts {
    pipeline: Arc<Pipeline>,
    /// When everything was last read, and how many entries there were.
    full: Option<(Timestamp, usize)>,
    /// Since when it does not answer; before it was asked at all, since ever.
    away_since: Option<Timestamp>,
}

/// What one reading of pages brought.
struct Reading {
    entries: usize,
    changed: u64,
}

/// Where a reading may stop before the end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    AtTheEnd,
    WhenNothingChanged,
}

impl Checkouts {
    /// Reads into the pipeline's store.
    #[must_use]
    pub fn new(pipeline: Arc<Pipeline>) -> Self {
        Self {
            pipeline,
            full: None,
            away_since: Some(Timestamp(0)),
        }
    }

    /// Reads what is new, and judges again the payments that waited for it. Returns how many checkouts are new or changed.
    ///
    /// Every now and then reads everything; otherwise both ends of the list, since its order is not published.
    ///
    /// # Errors
    /// When the API does not answer or the database fails.
    pub async fn step(&mut self) -> anyhow::Result<u64> {
        let now = clock::now();
        let result = self.read(now).await;
        match result.as_ref().map_err(|error| error.downcast_ref()) {
            Ok(_) => self.pipeline.note_key(KeyUse::Read, false),
            Err(Some(merchant::Error::KeyRefused(_))) => self.pipeline.note_key(KeyUse::Read, true),
            Err(_) => {}
        }
        if result.is_err() {
            self.away_since.get_or_insert(now);
        }
        let changed = result?;
        self.pipeline.status.polled(now);
        let away_since = self.away_since.take();
        if away_since.is_some_and(|since| now.since(since) >= AWAY_MIN) {
            self.pipeline.hurry().await?;
        }
        self.pipeline.judge_again().await?;
        self.pipeline.take_up_again().await?;
        Ok(changed)
    }

    async fn read(&mut self, now: Timestamp) -> anyhow::Result<u64> {
        match self.full {
            Some((at, total)) if now.since(at) < FULL_EVERY => {
                let head = self
                    .pipeline
                    .read_pages(0, Stop::WhenNothingChanged)
                    .await?;
                let tail = self
                    .pipeline
                    .read_pages(total.saturating_sub(OVERLAP), Stop::AtTheEnd)
                    .await?;
                self.full = Some((at, total.max(total.saturating_sub(OVERLAP) + tail.entries)));
                Ok(head.changed + tail.changed)
            }
            _ => {
                let all = self.pipeline.read_pages(0, Stop::AtTheEnd).await?;
                self.full = Some((now, all.entries));
                Ok(all.changed)
            }
        }
    }
}

impl Pipeline {
    /// Takes in a checkout that was handed over as it was made, and judges the payments that waited for it: nothing waits for the next
    /// reading of the history, which remains what is believed.
    ///
    /// # Errors
    /// When the database fails; handing it over again does no harm.
    pub async fn take_in(&self, checkout: &Checkout) -> anyhow::Result<TakenIn> {
        let taken = self.store.take_in(checkout).await;
        let taken = taken.context("record a checkout")?;
        if taken == TakenIn::New {
            self.judge_again().await?;
            self.take_up_again().await?;
        }
        Ok(taken)
    }

    /// Judges the held payments that news of checkouts, or of what is watched, may concern.
    pub(super) async fn judge_again(&self) -> anyhow::Result<()> {
        let watching = self.watching();
        let recorded = self.store.rejudge(watching.rules(), clock::now()).await;
        let recorded = recorded.context("judge held payments again")?;
        self.announce(&recorded, &watching);
        self.ring_for(&recorded);
        Ok(())
    }

    /// Reads pages from an offset until one is empty or brings nothing that was not in the ones before. Where all of them are read,
    /// the next one is asked for while one is recorded.
    async fn read_pages(&self, from: usize, stop: Stop) -> anyhow::Result<Reading> {
        let hasher = RandomState::new();
        let mut seen = HashSet::new();
        let mut reading = Reading {
            entries: 0,
            changed: 0,
        };
        let mut offset = from;
        let mut page = self.merchant.history(offset).await?;
        for _ in 0..PAGES_MAX {
            let entries = page.entries();
            let unreadable = page
                .unreadable
                .iter()
                .filter(|text| seen.insert(hasher.hash_one(text)))
                .count();
            let mut new = page.checkouts;
            new.retain(|checkout| seen.insert(hasher.hash_one(&checkout.memo)));
            if new.is_empty() && unreadable == 0 {
                break;
            }
            reading.entries = (offset + entries).saturating_sub(from);
            offset += entries.saturating_sub(OVERLAP).max(1);
            let upserting = self.store.upsert_checkouts(&new);
            let next = if stop == Stop::AtTheEnd {
                let (changed, next) = tokio::join!(upserting, self.merchant.history(offset));
                reading.changed += changed.context("record checkouts")?;
                next
            } else {
                let changed = upserting.await.context("record checkouts")?;
                reading.changed += changed;
                if changed == 0 {
                    break;
                }
                self.merchant.history(offset).await
            };
            page = next?;
        }
        Ok(reading)
    }

    /// Looks one checkout up in the API's history, because the API said no to its confirmation.
    pub(super) async fn look_up(&self, memo: &Memo) -> Result<Option<Checkout>, merchant::Error> {
        let found = merchant::search(&*self.merchant, 1, |one| one.memo == *memo).await?;
        Ok(found.into_iter().next())
    }

    /// Notes whether the API takes the key, and says so once when that changes.
    pub(super) fn note_key(&self, used_to: KeyUse, refused: bool) {
        if self.status.key_refused(used_to, refused) {
            if refused {
                tracing::error!(
                    "the payments API refuses the key: confirmations wait until it is taken again (merchant.api_key)"
                );
            } else {
                tracing::info!("the payments API takes the key again");
            }
        }
    }
}
