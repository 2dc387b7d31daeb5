//! What is looked at before its turn, so that who pours junk into a history makes nobody wait.

use super::ahead::Ahead;
use super::skips::Skips;
use super::{Pipeline, Sweep, Swept};
use crate::domain::TokenAccount;
use crate::solana::SignatureEntry;
use anyhow::Context;
use std::{collections::HashSet, sync::atomic::Ordering};

/// Most transactions that are looked at before their turn.
pub(super) const FIRST_MAX: usize = 64;

impl Sweep {
    /// While a long sweep is under way, takes in the payments that wait behind it: all new transactions of an account if they are few;
    /// else those that seem to pay and, of an account whose own sweep has ended, the oldest ones. Accounts beyond the bound have their turns. The work is bounded, so that no account
    /// waits long for another one. Returns how many payments are new.
    ///
    /// # Errors
    /// The first failure, after all accounts were tried.
    pub async fn peek(&self) -> anyhow::Result<usize> {
        let (watching, turn) = (self.pipeline.watching(), &self.peeks);
        let due = watching.due(turn.fetch_add(1, Ordering::Relaxed));
        let due = due.into_iter().cloned().collect();
        let peeked = self.side_by_side(due, |watched| self.peek_at(watched.token_account));
        let (mut payments, mut failure) = (0, None);
        for (account, peeked) in peeked.await {
            match peeked {
                Ok(new) => payments += new,
                Err(error) => {
                    failure.get_or_insert(error.context(format!("look ahead in {account}")));
                }
            }
        }
        failure.map_or(Ok(payments), Err)
    }

    async fn peek_at(&self, account: TokenAccount) -> anyhow::Result<usize> {
        let is_idle = self.pipeline.shares.is_idle(account);
        let mut ahead = Ahead::nothing(self.pipeline.clone(), self.scope, account);
        let history = self.list(account, &mut ahead).await?;
        let skips = self.skips(account, &history.entries).await?;
        let is_new =
            |entry: &&SignatureEntry| entry.commitment.is_some() && skips.reading(entry).is_none();
        let mut new: Vec<_> = history.entries.iter().filter(is_new).cloned().collect();
        let mut payments = 0;
        if self.pipeline.is_worth_a_look(new.len()) {
            let promising = self.ingest_promising(account, &history.entries, &mut ahead);
            payments += promising.await?.payments;
            new.truncate(if is_idle { FIRST_MAX } else { 0 });
        }
        let skips = self.skips(account, &new).await?;
        let taken_in = self.ingest_open(account, &new, &skips).await?;
        Ok(payments + taken_in.payments)
    }

    /// Looks at what seems to pay, of what was listed before and of these entries. It changes the order only; the walk meets all of
    /// them.
    pub(super) async fn ingest_promising(
        &self,
        account: TokenAccount,
        entries: &[SignatureEntry],
        ahead: &mut Ahead,
    ) -> anyhow::Result<Swept> {
        if ahead.promising.is_empty() && !self.pipeline.is_worth_a_look(entries.len()) {
            return Ok(Swept::default());
        }
        let skips = self.skips(account, entries).await?;
        let mut first = std::mem::take(&mut ahead.promising);
        first.extend(self.pipeline.promising(entries.iter(), &skips).await?);
        let mut seen = HashSet::new();
        first.retain(|entry| seen.insert(entry.signature));
        first.truncate(FIRST_MAX);
        let skips = self.skips(account, &first).await?;
        first.retain(|entry| skips.reading(entry).is_none());
        let fetched: Vec<_> = first.iter().filter_map(|entry| ahead.take(entry)).collect();
        let mut swept = self.pipeline.record_promptly(&fetched).await?;
        first.retain(|entry| fetched.iter().all(|one| one.signature != entry.signature));
        swept.add(self.ingest_open(account, &first, &skips).await?);
        Ok(swept)
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
