//! `GET /history`: how large its pages are, and what its entries are.

use super::wire::{self, Entry};
use super::{Error, HistoryPage, Merchant};
use reqwest::StatusCode;
use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// History entries asked for at once; an API that gives fewer is noticed by the page it sends.
const PAGE: usize = 1000;
/// As many as the API's documentation asks for: for one that refuses more, and does not just send less.
const PAGE_SAFE: usize = 50;

/// So many large pages that fail in a row at one offset are too large there, even if each failure asks for a pause.
const FAILURES_MAX: u32 = 2;

/// What is known of the API's pages.
pub(super) struct Pages {
    /// Entries asked for at once.
    limit: AtomicUsize,
    /// Whether the API ever answered with a page of [`PAGE`] entries.
    large_ones_work: AtomicBool,
    /// The offset of the last large page that failed and asked for a pause, and how often it did in a row.
    failed: Mutex<(usize, u32)>,
    /// Whether unreadable entries were logged: they come with every poll.
    told_unreadable: AtomicBool,
}

impl Default for Pages {
    fn default() -> Self {
        Self {
            limit: AtomicUsize::new(PAGE),
            large_ones_work: AtomicBool::new(false),
            failed: Mutex::default(),
            told_unreadable: AtomicBool::new(false),
        }
    }
}

impl Pages {
    /// Notes that a large page failed with a request to wait. A status 429 is about the number of requests, not about their size.
    fn note_failure(&self, offset: usize, error: &Error) {
        if matches!(error, Error::Status { status, .. } if *status != StatusCode::TOO_MANY_REQUESTS)
        {
            let mut failed = self.failed();
            let before = if failed.0 == offset { failed.1 } else { 0 };
            *failed = (offset, before.saturating_add(1));
        }
    }

    /// Notes that a large page came.
    fn note_success(&self, offset: usize) {
        self.large_ones_work.store(true, Ordering::Relaxed);
        let mut failed = self.failed();
        if failed.0 == offset {
            *failed = (offset, 0);
        }
    }

    fn is_too_large_at(&self, offset: usize) -> bool {
        let failed = self.failed();
        failed.0 == offset && failed.1 >= FAILURES_MAX
    }

    fn failed(&self) -> MutexGuard<'_, (usize, u32)> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Merchant {
    /// A page of the history, as large as the API gives. A large one is a try: if it fails, in whatever way, a small one is asked for,
    /// and if that comes, only small ones from then on.
    pub(super) async fn history_page(&self, offset: usize) -> Result<HistoryPage, Error> {
        let limit = self.pages.limit.load(Ordering::Relaxed);
        if limit > PAGE_SAFE && self.pages.is_too_large_at(offset) {
            return self.smaller_page(offset).await;
        }
        let error = match self.history_of(limit, offset).await {
            Ok(page) => {
                if limit > PAGE_SAFE {
                    self.pages.note_success(offset);
                }
                return Ok(page);
            }
            Err(error) if limit == PAGE_SAFE => return Err(error),
            Err(error) => error,
        };
        if error.is_rate_limit() {
            // That is no word on the size, unless no large page ever came, or the same one fails again and again.
            if self.pages.large_ones_work.load(Ordering::Relaxed) {
                self.pages.note_failure(offset, &error);
            } else {
                self.pages.limit.store(PAGE_SAFE, Ordering::Relaxed);
            }
            return Err(error);
        }
        tracing::debug!(limit, %error, "a large page of the history failed");
        self.smaller_page(offset).await
    }

    /// A small page where a large one failed.
    async fn smaller_page(&self, offset: usize) -> Result<HistoryPage, Error> {
        let page = self.history_of(PAGE_SAFE, offset).await?;
        tracing::info!(
            "the payments API does not answer with large pages of the history; asking for {PAGE_SAFE} entries from now on"
        );
        self.pages.limit.store(PAGE_SAFE, Ordering::Relaxed);
        Ok(page)
    }

    async fn history_of(&self, limit: usize, offset: usize) -> Result<HistoryPage, Error> {
        let query = [("limit", limit.to_string()), ("offset", offset.to_string())];
        let body = match self.get("history", &query).await {
            // Some APIs answer so where no entry is left.
            Err(Error::Status { status, .. }) if offset > 0 && status == StatusCode::NOT_FOUND => {
                return Ok(HistoryPage::default());
            }
            body => body?,
        };
        let entries = wire::list(&body).ok_or(Error::Malformed("a list of payments"))?;
        let mut page = HistoryPage {
            more: wire::more(&body),
            ..HistoryPage::default()
        };
        for entry in entries {
            match wire::entry(entry) {
                Entry::Checkout {
                    checkout,
                    unknown_field,
                } => {
                    page.checkouts.push(checkout);
                    page.unknown_fields.extend(unknown_field);
                }
                Entry::NoCrypto => page.ignored.push(entry.to_string()),
                Entry::Unreadable(field) => {
                    page.unreadable.push(entry.to_string());
                    page.unknown_fields.insert(field);
                }
            }
        }
        self.tell_unreadable(&page);
        Ok(page)
    }

    fn tell_unreadable(&self, page: &HistoryPage) {
        let unreadable = page.unreadable.len();
        metrics::counter!("paywatch_history_unreadable_total").increment(unreadable as u64);
        metrics::counter!("paywatch_history_ignored_total").increment(page.ignored.len() as u64);
        if !page.unknown_fields.is_empty()
            && !self.pages.told_unreadable.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                unreadable,
                fields = ?page.unknown_fields,
                "history entries have fields that cannot be read; unreadable entries are left out; told once, counted always"
            );
        }
    }
}
