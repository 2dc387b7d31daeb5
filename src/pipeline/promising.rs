//! What is looked at before its turn, so that who pours junk into a history makes nobody wait.

use super::Sweep;
use super::skips::Skips;
use crate::solana::SignatureEntry;
use anyhow::Context;

/// Most transactions that are looked at before their turn.
const FIRST_MAX: usize = 64;

impl Sweep {
    /// Looks through all history since the cursors for what seems to pay, and at that alone: while a long sweep is under way, others
    /// who pay need not wait for its end. Returns how many payments are new.
    ///
    /// # Errors
    /// When the node or the database fails.
    pub async fn peek(&self) -> anyhow::Result<usize> {
        let mut payments = 0;
        for watched in self.pipeline.watching().accounts.iter() {
            let account = watched.token_account;
            let entries = self.list(account).await?;
            let skips = self.skips(account, &entries).await?;
            let first = self.promising(&entries, &skips).await?;
            payments += self.ingest_open(account, &first, &skips).await?.1;
        }
        Ok(payments)
    }

    /// In a long history, what seems to pay for a pending checkout: looked at first, so that nobody waits while junk that somebody
    /// poured into the history is dealt with. It changes the order only; the walk meets all of them.
    pub(super) async fn promising(
        &self,
        entries: &[SignatureEntry],
        skips: &Skips,
    ) -> anyhow::Result<Vec<SignatureEntry>> {
        let new: Vec<_> = entries
            .iter()
            .filter(|entry| entry.commitment.is_some() && skips.reading(entry).is_none())
            .collect();
        if new.len() <= self.pipeline.config.solana.limits.max_in_flight {
            return Ok(Vec::new());
        }
        let hints: Vec<_> = new
            .iter()
            .flat_map(|entry| entry.memo_hints.clone())
            .collect();
        let pending = self
            .pipeline
            .store
            .pending_among(&hints)
            .await
            .context("look up pending checkouts")?;
        let names_one = |entry: &&SignatureEntry| {
            let mut hints = entry.memo_hints.iter();
            hints.any(|memo| pending.contains(&memo.folded()))
        };
        // The newest: they would wait longest for their turn.
        let newest = new.into_iter().rev();
        Ok(newest.filter(names_one).take(FIRST_MAX).cloned().collect())
    }
}
