//! What the watcher needs of whoever sells: what may be paid, and to be told what was paid.

use super::{Error, SupportedToken};
use crate::domain::{Checkout, Memo, Signature};
use async_trait::async_trait;
use std::{collections::HashSet, time::Duration};

/// Who sells. The payments API over HTTP is one; a program that embeds the watcher brings its own.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Credits a checkout with a transaction that paid for it.
    ///
    /// May be called again with the same pair, after a crash say, and must then credit nothing twice. For one checkout it is never
    /// called with another transaction once it answered [`Answer::Accepted`].
    async fn confirm(&self, memo: &Memo, signature: Signature) -> ConfirmResult;

    /// Checkouts from an offset on, pending and confirmed, as many as fit a page; an empty page is the end. None by default: then
    /// all of them must be handed over as they are made.
    ///
    /// # Errors
    /// When nobody answers; the watcher asks again.
    async fn history(&self, offset: usize) -> Result<HistoryPage, Error> {
        let _all_are_handed_over = offset;
        Ok(HistoryPage::default())
    }

    /// The tokens that are taken, and the wallets to be paid. Only asked where none are configured.
    ///
    /// # Errors
    /// When nobody answers; the watcher asks again.
    async fn supported_tokens(&self) -> Result<Vec<SupportedToken>, Error> {
        Ok(Vec::new())
    }
}

/// Entries that pages overlap by: sessions made or removed meanwhile shift the others.
pub(crate) const OVERLAP: usize = 5;
/// Most pages of one reading.
pub(crate) const PAGES_MAX: usize = 100_000;

/// The first checkouts of the history that are looked for, at most so many, each once.
///
/// # Errors
/// When the history cannot be read.
pub async fn search(
    backend: &dyn Backend,
    limit: usize,
    is_wanted: impl Fn(&Checkout) -> bool + Send,
) -> Result<Vec<Checkout>, Error> {
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    let mut offset = 0;
    for _ in 0..PAGES_MAX {
        let page = backend.history(offset).await?;
        let entries = page.entries();
        let mut is_new = !page.unreadable.is_empty();
        for checkout in page.checkouts {
            if !seen.insert(checkout.memo.clone()) {
                continue;
            }
            is_new = true;
            if is_wanted(&checkout) {
                found.push(checkout);
                if found.len() == limit {
                    return Ok(found);
                }
            }
        }
        if !is_new {
            break;
        }
        offset += entries.saturating_sub(OVERLAP).max(1);
    }
    Ok(found)
}

/// What came of a confirmation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfirmResult {
    /// What it means.
    pub answer: Answer,
    /// HTTP status, if there was one.
    pub status: Option<u16>,
    /// In a few words.
    pub reason: String,
}

/// What an answer to a confirmation means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has been credited.
    Accepted,
    /// Try again, not before this if given.
    Later(Option<Duration>),
    /// The key is wrong: nothing will be accepted until it is changed.
    KeyRefused,
    /// It said no: the history is asked why.
    Rejected,
}

/// A page of the history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryPage {
    /// The entries that could be read.
    pub checkouts: Vec<Checkout>,
    /// The others, as text: enough to tell whether they were seen before.
    pub unreadable: Vec<String>,
}

impl HistoryPage {
    /// How many entries there were.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.checkouts.len() + self.unreadable.len()
    }
}

impl ConfirmResult {
    /// The checkout is credited.
    #[must_use]
    pub fn accepted() -> Self {
        Self::of(Answer::Accepted, "accepted")
    }

    /// It cannot be credited now, and will be tried again.
    #[must_use]
    pub fn later(reason: impl Into<String>) -> Self {
        Self::of(Answer::Later(None), reason)
    }

    /// It will not be credited. The watcher tries for ten minutes more, then parks it for a person.
    #[must_use]
    pub fn rejected(reason: impl Into<String>) -> Self {
        Self::of(Answer::Rejected, reason)
    }

    fn of(answer: Answer, reason: impl Into<String>) -> Self {
        Self {
            answer,
            status: None,
            reason: reason.into(),
        }
    }
}
