//! Reading a token account's history backwards, down to where all is recorded.

use crate::domain::{Signature, Slot, TokenAccount};
use crate::solana::{Rpc, SignatureEntry};
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
pub(super) async fn list(
    rpc: &Rpc,
    account: TokenAccount,
    until: Option<Signature>,
    floor: Floor,
    progress: &dyn Progress,
) -> Result<Vec<SignatureEntry>, crate::solana::Error> {
    let mut entries: Vec<SignatureEntry> = Vec::new();
    let mut seen = HashSet::new();
    let mut before = None;
    for _ in 0..PAGES_MAX {
        let page = rpc.signatures(account, before, until).await?;
        let Some(last) = page.last() else { break };
        before = Some(last.signature);
        let at_floor = floor.is_below(last);
        let new: Vec<_> = page
            .iter()
            .filter(|entry| !floor.is_below(entry) && seen.insert(entry.signature))
            .copied()
            .collect();
        let nothing_new = new.is_empty();
        progress.listed(new.len());
        entries.extend(new);
        if at_floor || nothing_new {
            break;
        }
    }
    // Stable: entries of one slot stay in the node's order. A page that is out of order does no harm.
    entries.reverse();
    entries.sort_by_key(|entry| entry.slot);
    Ok(entries)
}
