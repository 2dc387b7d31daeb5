//! What is looked at before its turn, so that who pours junk into a history makes nobody wait.

use super::ahead::Ahead;
use super::skips::Skips;
use super::{Pipeline, Sweep};
use crate::domain::TokenAccount;
use crate::solana::SignatureEntry;
use anyhow::Context;
use std::collections::HashSet;

/// Most transactions that are looked at before their turn.
pub(super) const FIRST_MAX: usize = 64;

impl Sweep {
    /// Looks through all history since the cursors for what seems to pay, and at that alone: while a long sweep is under way, others
    /// who pay need not wait for its end. Returns how many payments are new.
    ///
    /// # Errors
    /// When the node or the database fails.
    pub async fn peek(&self) -> anyhow::Result<usize> {
        let mut payments = 0;
        for watched in self.pipeline.watching().accounts().iter() {
            let account = watched.token_account;
            let mut ahead = Ahead::nothing(self.pipeline.clone(), self.scope, account);
            let history = self.list(account, &mut ahead).await?;
            let (_, new) = self
                .ingest_promising(account, &history.entries, &mut ahead)
                .await?;
            payments += new;
        }
        Ok(payments)
    }

    /// Looks at what seems to pay, of what was listed before and of these entries. It changes the order only; the walk meets all of
    /// them. Returns how many were fetched, and how many payments are new.
    pub(super) async fn ingest_promising(
        &self,
        account: TokenAccount,
        entries: &[SignatureEntry],
        ahead: &mut Ahead,
    ) -> anyhow::Result<(usize, usize)> {
        if ahead.promising.is_empty() && !self.pipeline.is_worth_a_look(entries.len()) {
            return Ok((0, 0));
        }
        let skips = self.skips(account, entries).await?;
        let mut first = std::mem::take(&mut ahead.promising);
        first.extend(self.pipeline.promising(entries.iter(), &skips).await?);
        let mut seen = HashSet::new();
        first.retain(|entry| seen.insert(entry.signature));
        first.truncate(FIRST_MAX);
        let skips = self.skips(account, &first).await?;
        self.ingest_open(account, &first, &skips).await
    }
}

impl Pipeline {
    /// Among many entries, those that seem to pay for a pending checkout, the newest first: they would wait longest for their turn.
    pub(super) async fn promising<'a>(
        &self,
        oldest_first: impl DoubleEndedIterator<Item = &'a SignatureEntry>,
        skips: &Skips,
    ) -> anyhow::Result<Vec<SignatureEntry>> {
        let new: Vec<_> = oldest_first
            .filter(|entry| entry.commitment.is_some() && skips.reading(entry).is_none())
            .collect();
        if !self.is_worth_a_look(new.len()) {
            return Ok(Vec::new());
        }
        let hints: Vec<_> = new
            .iter()
            .flat_map(|entry| entry.memo_hints.clone())
            .collect();
        let pending = self
            .store
            .pending_among(&hints)
            .await
            .context("look up pending checkouts")?;
        let newest = new.into_iter().rev();
        let paying = newest.filter(|entry| entry.names_one_of(&pending));
        Ok(paying.take(FIRST_MAX).cloned().collect())
    }

    /// Whether so many transactions are more than are fetched at once anyway.
    fn is_worth_a_look(&self, transactions: usize) -> bool {
        transactions > self.config.solana.limits.max_in_flight
    }
}
