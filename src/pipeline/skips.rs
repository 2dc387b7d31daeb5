//! What a walk over history need not fetch, and why. Everything that saves a request is decided here.

use super::Pipeline;
use crate::config::Scope;
use crate::domain::{Memo, Outcome, Signature, Slot, TokenAccount};
use crate::solana::SignatureEntry;
use crate::store::Reading;
use anyhow::Context;
use std::collections::{HashMap, HashSet};

/// Signatures asked about in one query.
const AT_ONCE: usize = 500;

/// What is known of entries of a history.
#[derive(Default)]
pub(super) struct Skips {
    /// Recorded before, in this slot.
    recorded: HashMap<Signature, Slot>,
    /// What it shows names no known checkout.
    foreign: HashSet<Signature>,
}

impl Skips {
    /// Looks up what need not be fetched.
    ///
    /// With [`Scope::Own`], what shows memos, all of them readable, and none of a known checkout, is somebody else's. That is never the
    /// last word: it is set aside with its memos, and read when a checkout of one of them becomes known.
    pub(super) async fn of(
        pipeline: &Pipeline,
        scope: Scope,
        account: TokenAccount,
        entries: &[SignatureEntry],
    ) -> anyhow::Result<Self> {
        let mut skips = Self::default();
        for chunk in entries.chunks(AT_ONCE) {
            let signatures: Vec<_> = chunk.iter().map(|entry| entry.signature).collect();
            let recorded = pipeline.store.known(account, &signatures).await;
            skips
                .recorded
                .extend(recorded.context("look up recorded signatures")?);
        }
        if scope == Scope::Own {
            skips.foreign = skips.find_foreign(pipeline, entries).await?;
        }
        Ok(skips)
    }

    async fn find_foreign(
        &self,
        pipeline: &Pipeline,
        entries: &[SignatureEntry],
    ) -> anyhow::Result<HashSet<Signature>> {
        let shows_all =
            |entry: &&SignatureEntry| entry.are_hints_whole && self.reading(entry).is_none();
        let candidates: Vec<_> = entries.iter().filter(shows_all).collect();
        let hints: Vec<Memo> = candidates
            .iter()
            .flat_map(|entry| entry.memo_hints.iter().cloned())
            .collect();
        let known = pipeline.store.known_among(&hints).await;
        let known = known.context("look up checkouts by memo")?;
        let foreign = candidates
            .iter()
            .filter(|entry| !entry.names_one_of(&known));
        Ok(foreign.map(|entry| entry.signature).collect())
    }

    /// What becomes of an entry without fetching it; `None`: it must be fetched.
    pub(super) fn reading(&self, entry: &SignatureEntry) -> Option<Reading> {
        if entry.outcome == Outcome::Failed {
            return Some(Reading::Failed);
        }
        // A signature recorded in another slot was on a fork: what it gave may differ.
        if self.recorded.get(&entry.signature) == Some(&entry.slot) {
            return Some(Reading::Known);
        }
        let is_foreign = self.foreign.contains(&entry.signature);
        is_foreign.then(|| Reading::SetAside(entry.memo_hints.clone()))
    }
}
