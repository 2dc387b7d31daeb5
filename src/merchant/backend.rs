//! What the watcher needs of whoever sells: what may be paid, and to be told what was paid.

use super::{Error, Paging, SupportedToken};
use crate::domain::{Checkout, Memo, Signature};
use async_trait::async_trait;
use std::{collections::BTreeSet, time::Duration};

/// Who sells. The payments API over HTTP is one; a program that embeds the watcher brings its own.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Credits a checkout with a transaction that paid for it.
    ///
    /// May be called again with the same pair, after a crash say, and must then credit nothing twice. For one checkout it is never
    /// called with another transaction once it answered [`Answer::Accepted`]. A call that takes longer than twice
    /// `merchant.request_timeout` is given up, and made again later.
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

    /// Whether the API accepts the key for other calls than a confirmation. Asked after [`Answer::KeyRefused`]: a key that is accepted
    /// elsewhere is not wrong, so only that one confirmation was rejected. `false` by default: the answer is taken at its word.
    ///
    /// # Errors
    /// When nobody answers; then the confirmation is tried again, and the others are not stopped.
    async fn accepts_key(&self) -> Result<bool, Error> {
        Ok(false)
    }

    /// The tokens that are taken, and the wallets to be paid. Only asked where none are configured.
    ///
    /// # Errors
    /// When nobody answers; the watcher asks again.
    async fn supported_tokens(&self) -> Result<Vec<SupportedToken>, Error> {
        Ok(Vec::new())
    }
}

/// The first checkouts of the history that are looked for, at most so many, each once.
///
/// # Errors
/// When the history cannot be read.
pub async fn search(
    backend: &dyn Backend,
    limit: usize,
    is_wanted: impl Fn(&Checkout) -> bool + Send,
) -> Result<Vec<Checkout>, Error> {
    let (mut found, mut paging) = (Vec::new(), Paging::from(0));
    while !paging.is_done() {
        let page = backend.history(paging.offset()).await?;
        for checkout in paging.take(page) {
            if is_wanted(&checkout) {
                found.push(checkout);
                if found.len() == limit {
                    return Ok(found);
                }
            }
        }
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
    /// Nothing was sent, because the API asked for a pause that lasts so much longer. Is no attempt.
    NotSent(Duration),
    /// The API refuses the key. If [`Backend::accepts_key`] agrees, nothing is sent until the key is accepted again.
    KeyRefused,
    /// It said no. The confirmation is tried again for ten minutes, until the history settles it.
    Rejected,
}

/// A page of the history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryPage {
    /// The crypto checkouts.
    pub checkouts: Vec<Checkout>,
    /// The entries that could not be read, as text: enough to tell whether they were seen before.
    pub unreadable: Vec<String>,
    /// The fields that made them unreadable, each once.
    pub unknown_fields: BTreeSet<&'static str>,
    /// The entries that are no crypto checkouts (card sessions, for instance), as text.
    pub ignored: Vec<String>,
    /// What the page says of the entries after its own.
    pub more: More,
}

/// What a page says of the entries after its own. Pages are read until they end, whatever this says; if it contradicts that end, a
/// warning names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum More {
    /// Nothing.
    #[default]
    Untold,
    /// There are some.
    Follows,
    /// The whole history has so many entries.
    Total(usize),
}

impl HistoryPage {
    /// How many entries there were.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.checkouts.len() + self.unreadable.len() + self.ignored.len()
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
