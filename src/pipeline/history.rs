//! Reading a token account's history backwards, down to where all is recorded.

use super::ahead::Ahead;
use super::progress::Progress;
use crate::clock;
use crate::domain::{Signature, Slot, TokenAccount};
use crate::solana::{Error, Rpc, SignatureEntry};
use std::collections::HashSet;

/// Where reading backwards stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Floor {
    /// Below this slot.
    Slot(Slot),
    /// Before this time, Unix seconds. A block without a time is read.
    Time(i64),
}

impl std::fmt::Display for Floor {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Slot(slot) => write!(out, "slot {slot}"),
            Self::Time(at) => out.write_str(&clock::written(*at)),
        }
    }
}

impl Floor {
    /// Whether an entry is not newer: a floor that is a ceiling.
    pub(super) fn covers(self, entry: &SignatureEntry) -> bool {
        match self {
            Self::Slot(slot) => entry.slot <= slot,
            Self::Time(at) => entry.block_time.is_none_or(|time| time <= at),
        }
    }

    fn is_below(self, entry: &SignatureEntry) -> bool {
        match self {
            Self::Slot(slot) => entry.slot < slot,
            Self::Time(at) => entry.block_time.is_some_and(|time| time < at),
        }
    }
}

/// Most pages of one listing: ten million signatures. More is not history, it is a node that repeats itself.
const PAGES_MAX: usize = 10_000;

/// Entries that are kept in memory, and as many again while they gather. What is newer is let go, and listed again when its turn comes.
const KEPT: usize = 20_000;

/// What to list of a token account's history.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) account: TokenAccount,
    /// Only what is older than this.
    pub(super) before: Option<Signature>,
    /// Only what is newer than this.
    pub(super) until: Option<Signature>,
    /// What must be in it. Where it is missing, there is a gap.
    pub(super) look_for: Option<Signature>,
    pub(super) floor: Floor,
}

/// How a listing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It listed a transaction below the floor.
    Floor,
    /// The node had no more. That need not be the end of the history.
    Empty,
}

impl Range {
    /// All down to a floor.
    pub(super) fn down_to(account: TokenAccount, floor: Floor) -> Self {
        Self {
            account,
            before: None,
            until: None,
            look_for: None,
            floor,
        }
    }
}

/// A history that was listed.
pub(super) struct History {
    /// Whom it was asked of. Its newer parts are listed again there.
    pub(super) rpc: Rpc,
    /// Its oldest part, oldest first.
    pub(super) entries: Vec<SignatureEntry>,
    /// Newer parts, to be listed again; the last one follows the entries.
    pub(super) newer: Vec<Range>,
    /// Whether the signature that was looked for is among them.
    pub(super) reaches: bool,
    pub(super) end: End,
}

/// Lists a token account's history, page by page until an empty one, in bounded memory.
///
/// # Errors
/// When the node does not answer, or repeats itself instead of going on: what it would leave out must not pass as the end.
pub(super) async fn list(
    rpc: &Rpc,
    range: Range,
    progress: &dyn Progress,
    ahead: &mut Ahead,
) -> Result<History, Error> {
    let mut history = History {
        rpc: rpc.clone(),
        entries: Vec::new(),
        newer: Vec::new(),
        reaches: false,
        end: End::Empty,
    };
    let mut seen = HashSet::new();
    // Newest first, while they gather.
    let mut entries: Vec<SignatureEntry> = Vec::new();
    let (mut before, mut part_before) = (range.before, range.before);
    for _ in 0..PAGES_MAX {
        let pipeline = ahead.pipeline();
        let page = async {
            let _permit = pipeline.shares.page().await;
            rpc.signatures(range.account, before, range.until).await
        };
        let page = ahead.meanwhile(page).await?;
        let Some(last) = page.last() else {
            history.entries = oldest_first(entries);
            return Ok(history);
        };
        before = Some(last.signature);
        let (listed, is_last) = (entries.len(), range.floor.is_below(last));
        let above = page
            .into_iter()
            .filter(|entry| !range.floor.is_below(entry));
        entries.extend(above.filter(|entry| seen.insert(entry.signature)));
        let new = &entries[listed..];
        let is_stuck = new.is_empty();
        let is_it = |entry: &SignatureEntry| Some(entry.signature) == range.look_for;
        history.reaches |= new.iter().any(is_it);
        progress.listed(new.len());
        if is_last {
            history.end = End::Floor;
            history.entries = oldest_first(entries);
            return Ok(history);
        }
        if is_stuck {
            break;
        }
        ahead.listed(new).await;
        if entries.len() >= 2 * KEPT {
            let kept = entries.split_off(entries.len() - KEPT);
            let let_go = entries.last().map(|entry| entry.signature);
            history.newer.push(Range {
                before: part_before,
                until: kept.first().map(|entry| entry.signature),
                look_for: let_go,
                ..range
            });
            part_before = let_go;
            for entry in &entries {
                seen.remove(&entry.signature);
            }
            entries = kept;
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
