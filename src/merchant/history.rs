//! `GET /history`: how large its pages are, and what its entries are.

use super::wire::{self, Entry};
use super::{Error, HistoryPage, Merchant};
use reqwest::StatusCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// History entries asked for at once; an API that gives fewer is noticed by the page it sends.
const PAGE: usize = 1000;
/// As many as the API's documentation asks for: for one that refuses more, and does not just send less.
const PAGE_SAFE: usize = 50;

/// What is known of the API's pages.
pub(super) struct Pages {
    /// Entries asked for at once.
    limit: AtomicUsize,
    /// Whether the API ever answered with a page of [`PAGE`] entries.
    large_ones_work: AtomicBool,
    /// Whether unreadable entries were logged: they come with every poll.
    told_unreadable: AtomicBool,
}

impl Default for Pages {
    fn default() -> Self {
        Self {
            limit: AtomicUsize::new(PAGE),
            large_ones_work: AtomicBool::new(false),
            told_unreadable: AtomicBool::new(false),
        }
    }
}

impl Merchant {
    /// A page of the history, as large as the API gives. A large one is a try: if it fails, in whatever way, a small one is asked for,
    /// and if that comes, only small ones from then on.
    pub(super) async fn history_page(&self, offset: usize) -> Result<HistoryPage, Error> {
        let limit = self.pages.limit.load(Ordering::Relaxed);
        let error = match self.history_of(limit, offset).await {
            Ok(page) => {
                if limit > PAGE_SAFE {
                    self.pages.large_ones_work.store(true, Ordering::Relaxed);
                }
                return Ok(page);
            }
            Err(error) if limit == PAGE_SAFE => return Err(error),
            Err(error) => error,
        };
        if error.is_rate_limit() {
            // That is no word on the size, unless no large page ever came.
            if !self.pages.large_ones_work.load(Ordering::Relaxed) {
                self.pages.limit.store(PAGE_SAFE, Ordering::Relaxed);
            }
            return Err(error);
        }
        let page = self.history_of(PAGE_SAFE, offset).await?;
        tracing::info!(limit, %error, "the payments API does not answer with large pages of the history; asking for {PAGE_SAFE} entries from now on");
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
