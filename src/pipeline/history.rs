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
) -> Result<Vec<SignatureEntry>, Error> {
    let mut entries: Vec<SignatureEntry> = Vec::new();
    let mut seen = HashSet::new();
    let mut before = None;
    for _ in 0..PAGES_MAX {
        let page = rpc.signatures(account, before, until).await?;
        let Some(last) = page.last() else {
            return Ok(oldest_first(entries));
        };
        before = Some(last.signature);
        let (listed, is_last) = (entries.len(), floor.is_below(last));
        let above = page.into_iter().filter(|entry| !floor.is_below(entry));
        entries.extend(above.filter(|entry| seen.insert(entry.signature)));
        progress.listed(entries.len() - listed);
        if is_last {
            return Ok(oldest_first(entries));
        }
        if entries.len() == listed {
            break;
        }
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
