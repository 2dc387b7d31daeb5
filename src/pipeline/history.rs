//! Reading a token account's history backwards, down to where all is recorded.

use crate::domain::{Signature, Slot, TokenAccount};
use crate::solana::{Error, Rpc, SignatureEntry};
use std::collections::HashSet;

/// Tells a person how far a sweep is. Nothing needs to be told.
pub trait Progress: Send + Sync {
    /// So many more signatures were listed.
    fn listed(&self, _signatures: usize) {}
    /// So many more were dealt with.
    fn recorded(&self, _signatures: usize) {}
}

/// Nobody watches.
pub(super) struct Unwatched;

impl Progress for Unwatched {}

/// What goes on while a history is listed.
pub(super) trait Pages: Send {
    /// Waits for a page.
    fn next_page<T: Send>(
        &mut self,
        asked: impl Future<Output = T> + Send,
    ) -> impl Future<Output = T> + Send;

    /// A page came, newest first, and it is not the last.
    fn listed(&mut self, entries: &[SignatureEntry]) -> impl Future<Output = ()> + Send;
}

/// Nothing goes on.
pub(super) struct Quietly;

impl Pages for Quietly {
    async fn next_page<T: Send>(&mut self, asked: impl Future<Output = T> + Send) -> T {
        asked.await
    }

    async fn listed(&mut self, _entries: &[SignatureEntry]) {}
}

/// Where reading backwards stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Floor {
    /// Below this slot.
    Slot(Slot),
    /// Before this time, Unix seconds. A block without a time is read.
    Time(i64),
}

impl Floor {
    fn is_below(self, entry: &SignatureEntry) -> bool {
        match self {
            Self::Slot(slot) => entry.slot < slot,
            Self::Time(at) => entry.block_time.is_some_and(|time| time < at),
        }
    }
}

/// Most pages of one listing: ten million signatures. More is not history, it is a node that repeats itself.
const PAGES_MAX: usize = 10_000;

/// Lists a token account's history down to a floor, page by page until an empty one; returns it oldest first.
///
/// # Errors
/// When the node does not answer, or repeats itself instead of going on: what it would leave out must not pass as the end.
pub(super) async fn list(
    rpc: &Rpc,
    account: TokenAccount,
    until: Option<Signature>,
    floor: Floor,
    progress: &dyn Progress,
    pages: &mut impl Pages,
) -> Result<Vec<SignatureEntry>, Error> {
    let mut entries: Vec<SignatureEntry> = Vec::new();
    let mut seen = HashSet::new();
    let mut before = None;
    for _ in 0..PAGES_MAX {
        let page = pages
            .next_page(rpc.signatures(account, before, until))
            .await?;
        let Some(last) = page.last() else {
            return Ok(oldest_first(entries));
        };
        before = Some(last.signature);
        let (listed, is_last) = (entries.len(), floor.is_below(last));
        let above = page.into_iter().filter(|entry| !floor.is_below(entry));
        entries.extend(above.filter(|entry| seen.insert(entry.signature)));
        let new = &entries[listed..];
        progress.listed(new.len());
        if is_last {
            return Ok(oldest_first(entries));
        }
        if new.is_empty() {
            break;
        }
        pages.listed(new).await;
    }
    Err(Rpc::malformed(
        "getSignaturesForAddress",
        "a history that goes on from page to page, to an end",
    ))
}

/// Stable: entries of one slot stay in the node's order. A page that is out of order does no harm.
fn oldest_first(mut entries: Vec<SignatureEntry>) -> Vec<SignatureEntry> {
    entries.reverse();
    entries.sort_by_key(|entry| entry.slot);
    entries
}
