//! Keeps the known checkouts up to date from `GET /history`, and judges held payments again when new ones arrive.

use super::Pipeline;
use super::status::KeyUse;
use crate::clock;
use crate::domain::{Checkout, Memo, Timestamp};
use crate::merchant::{self, Doubt, HistoryPage, Paging};
use crate::store::TakenIn;
use anyhow::Context;
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::time::Instant;

/// How often everything is read, not only both ends: an old entry may have changed.
const FULL_EVERY: Duration = Duration::from_mins(10);
/// A reading of everything is followed by a pause of at least so many times as long as it took.
const FULL_PAUSE_FACTOR: u32 = 4;
/// A long reading stops after this time to look at the newest entries, and then goes on.
const PART: Duration = Duration::from_secs(5);
/// An API that was away for less than this was hardly away.
const AWAY_MIN: Duration = Duration::from_mins(1);
/// Failures in a row after which a reading that must end is given up.
const FAILURES_MAX: u32 = 5;
/// Longest pause before such a reading goes on.
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// Reads checkouts.
pub struct Checkouts {
    pipeline: Arc<Pipeline>,
    /// The last reading of everything.
    full: Option<Full>,
    /// A reading of everything that is under way, or that broke off.
    reading: Option<Reading>,
    /// The checkouts of the first page that had some, when the newest were last looked at to the end, or everything was first read. All
    /// that is older has been read, or will be by the reading of everything.
    newest: HashSet<Memo>,
    /// Since when the API does not answer; before it was asked at all, since ever.
    away_since: Option<Timestamp>,
    /// What was last told of the end of the history.
    doubt: Option<Doubt>,
}

/// A reading of everything that reached the end.
#[derive(Clone, Copy)]
struct Full {
    /// When everything is read again. Not by the calendar, which may be put back.
    again_at: Instant,
    /// Entries of the history.
    entries: usize,
}

/// A reading of everything.
struct Reading {
    began_at: Instant,
    paging: Paging,
    /// Whether it stopped since its last page.
    paused: bool,
}

impl Checkouts {
    /// Reads into the pipeline's store.
    #[must_use]
    pub fn new(pipeline: Arc<Pipeline>) -> Self {
        Self {
            pipeline,
            full: None,
            reading: None,
            newest: HashSet::new(),
            away_since: Some(Timestamp(0)),
            doubt: None,
        }
    }

    /// Whether a reading of everything is under way: the next step goes on with it, and should come at once.
    #[must_use]
    pub fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    /// Reads what is new, and judges again the payments that waited for it. Returns how many checkouts are new or changed.
    ///
    /// From time to time reads everything, in parts of some seconds; between two parts, and between two readings, looks at both ends
    /// of the list, since its order is not published.
    ///
    /// # Errors
    /// When the API does not answer or the database fails. The next step goes on where this one broke off.
    pub async fn step(&mut self) -> anyhow::Result<u64> {
        let (now, mut news) = (clock::now(), News::default());
        let result = self.read(&mut news).await;
        let refused = result.as_ref().is_err_and(|error| {
            let error = error.downcast_ref::<merchant::Error>();
            matches!(error, Some(merchant::Error::KeyRefused(_)))
        });
        if refused || result.is_ok() {
            self.pipeline.note_key(KeyUse::Read, refused);
        }
        // What came before a failure counts: a page that never comes must not delay the payments for the others.
        if news.pages > 0 {
            let away_since = self.away_since.take();
            if away_since.is_some_and(|since| now.since(since) >= AWAY_MIN) {
                self.pipeline.hurry().await?;
            }
            self.pipeline.judge_again().await?;
            self.pipeline.take_up_again().await?;
        }
        match result {
            Ok(()) if self.full.is_some() => self.pipeline.status.polled(now),
            Ok(()) => {}
            Err(error) => {
                self.away_since.get_or_insert(now);
                return Err(error);
            }
        }
        Ok(news.changed)
    }

    /// Reads everything to its end. An API that asks for fewer requests, or fails in the middle, is asked again.
    ///
    /// # Errors
    /// When the API does not answer at first, or not for long, or the database fails.
    pub async fn read_all(&mut self) -> anyhow::Result<()> {
        let mut failures = 0;
        loop {
            let error = match self.step().await {
                Ok(_) if self.is_reading() => {
                    failures = 0;
                    continue;
                }
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            failures += 1;
            let Some(why) = error.downcast_ref::<merchant::Error>() else {
                return Err(error);
            };
            let began = self.reading.as_ref().map(|reading| reading.paging.offset());
            let is_worth_it = match why {
                merchant::Error::KeyRefused(_) | merchant::Error::Redirected { .. } => false,
                _ => why.is_rate_limit() || began.is_some_and(|offset| offset > 0),
            };
            if failures >= FAILURES_MAX || !is_worth_it {
                return Err(error);
            }
            let pause = why
                .retry_after()
                .unwrap_or(Duration::from_secs(1 << failures));
            tracing::info!(%error, ?pause, "reading the checkouts goes on after a pause");
            tokio::time::sleep(pause.min(PAUSE_MAX)).await;
        }
    }

    async fn read(&mut self, news: &mut News) -> anyhow::Result<()> {
        let now = Instant::now();
        let is_due = self.full.is_none_or(|full| now >= full.again_at);
        match &self.reading {
            Some(_) => self.read_ends(news).await?,
            None if is_due => {
                self.reading = Some(Reading {
                    began_at: now,
                    paging: Paging::from(0),
                    paused: false,
                });
            }
            None => return self.read_ends(news).await,
        }
        self.read_on(news).await
    }

    /// Goes on with the reading of everything, for a while.
    async fn read_on(&mut self, news: &mut News) -> anyhow::Result<()> {
        let Some(mut reading) = self.reading.take() else {
            return Ok(());
        };
        let newest = &mut self.newest;
        let part = self.pipeline.read_part(&mut reading, newest, news).await;
        match &part {
            Ok(()) if reading.paging.is_done() => self.ended(&reading),
            // What was not recorded must be read again.
            Err(error) if error.downcast_ref::<merchant::Error>().is_none() => {}
            Ok(()) | Err(_) => {
                reading.paused = true;
                self.reading = Some(reading);
            }
        }
        part
    }

    fn ended(&mut self, reading: &Reading) {
        let now = Instant::now();
        let took = now.duration_since(reading.began_at);
        let pause = FULL_EVERY.max(took.saturating_mul(FULL_PAUSE_FACTOR));
        self.full = Some(Full {
            again_at: now + pause,
            entries: reading.paging.end(),
        });
        let doubt = reading.paging.doubt();
        metrics::gauge!("paywatch_history_incomplete").set(if doubt.is_some() { 1.0 } else { 0.0 });
        if let Some(doubt) = doubt
            && self.doubt.is_none()
        {
            tracing::warn!(
                "{doubt}; checkouts beyond it are not known here, and payments for them are held as unknown_memo"
            );
        }
        self.doubt = doubt;
    }

    /// Looks at both ends of the history; the far one is known once everything was read.
    async fn read_ends(&mut self, news: &mut News) -> anyhow::Result<()> {
        // A look that breaks off here is made up for by the next one: it stops at nothing that only this one met.
        self.newest = self.pipeline.read_newest(&self.newest, news).await?;
        if let Some(full) = &mut self.full {
            let from = full.entries.saturating_sub(Paging::OVERLAP);
            let end = self.pipeline.read_from(from, news).await?;
            full.entries = full.entries.max(end);
        }
        Ok(())
    }
}

/// A page, and when it was asked for.
struct Page {
    began_at: Timestamp,
    page: HistoryPage,
}

/// Notes the checkouts of the first page that has some.
fn note_newest(newest: &mut HashSet<Memo>, page: &[Checkout]) {
    if newest.is_empty() {
        newest.extend(page.iter().map(|one| one.memo.clone()));
    }
}

/// What pages brought.
#[derive(Default)]
struct News {
    /// Pages that were recorded.
    pages: u64,
    /// Checkouts that are new or changed.
    changed: u64,
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

    /// Reads pages for [`PART`], to the end, or until one fails; the next part meets the failure again if it lasts. The next page is asked
    /// for while one is recorded.
    async fn read_part(
        &self,
        reading: &mut Reading,
        newest: &mut HashSet<Memo>,
        news: &mut News,
    ) -> anyhow::Result<()> {
        let until = Instant::now() + PART;
        if std::mem::take(&mut reading.paused) {
            reading.paging.step_back();
        }
        let mut page = self.page(reading.paging.offset()).await?;
        loop {
            let fresh = reading.paging.take(page.page);
            note_newest(newest, &fresh);
            let recording = self.note_checkouts(&fresh, page.began_at, news);
            if reading.paging.is_done() || Instant::now() >= until {
                return recording.await.map(|_| ());
            }
            let (recorded, next) = tokio::join!(recording, self.page(reading.paging.offset()));
            recorded?;
            page = match next {
                Ok(page) => page,
                Err(error) => {
                    tracing::debug!(%error, "reading the checkouts broke off");
                    return Ok(());
                }
            };
        }
    }

    /// Reads pages from the beginning on, until one changes nothing and has one of these checkouts, which an earlier look has met. A page
    /// that changes nothing may also be one of checkouts that were handed over. Returns what the first page with checkouts has.
    async fn read_newest(
        &self,
        met: &HashSet<Memo>,
        news: &mut News,
    ) -> anyhow::Result<HashSet<Memo>> {
        let (mut paging, mut newest) = (Paging::from(0), HashSet::new());
        while !paging.is_done() {
            let page = self.page(paging.offset()).await?;
            let fresh = paging.take(page.page);
            let changed = self.note_checkouts(&fresh, page.began_at, news).await?;
            note_newest(&mut newest, &fresh);
            if changed == 0 && fresh.iter().any(|one| met.contains(&one.memo)) {
                break;
            }
        }
        Ok(newest)
    }

    /// Reads pages from an offset on to the end, each after the one before is recorded. Returns up to which offset there are entries.
    async fn read_from(&self, from: usize, news: &mut News) -> anyhow::Result<usize> {
        let mut paging = Paging::from(from);
        while !paging.is_done() {
            let page = self.page(paging.offset()).await?;
            let fresh = paging.take(page.page);
            self.note_checkouts(&fresh, page.began_at, news).await?;
        }
        Ok(paging.end())
    }

    async fn page(&self, offset: usize) -> Result<Page, merchant::Error> {
        let began_at = clock::now();
        let page = self.merchant.history(offset).await?;
        Ok(Page { began_at, page })
    }

    /// Records what a page says, as of the time at which it was asked for.
    async fn note_checkouts(
        &self,
        fresh: &[Checkout],
        began_at: Timestamp,
        news: &mut News,
    ) -> anyhow::Result<u64> {
        let changed = self.record_page(fresh, began_at).await?;
        news.pages += 1;
        news.changed += changed;
        Ok(changed)
    }

    /// Looks one checkout up in the API's history.
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
