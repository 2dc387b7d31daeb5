//! Where a wallet is shared (`watch.scope = "own"`): what seems to be somebody else's is set aside unread, and read after all when
//! its memo turns out to name a checkout.
//!
//! What a node shows or logs of memos decides only when a transaction is read. What shows none is read at once.

use super::Pipeline;
use super::ingest::Sighting;
use crate::clock;
use crate::config::Scope;
use crate::domain::{Commitment, Memo};
use crate::solana::Hint;
use anyhow::Context;

impl Pipeline {
    /// Whether a hint can wait: the logs show memos, and none of a known checkout. Then it is set aside, and new checkouts are asked for.
    pub(super) async fn can_wait(&self, hint: &Hint) -> anyhow::Result<bool> {
        if self.config.watch.scope == Scope::All || hint.memos.is_empty() {
            return Ok(false);
        }
        let known = self.store.known_among(&hint.memos).await;
        if !known.context("look up checkouts by memo")?.is_empty() {
            return Ok(false);
        }
        let (account, signature) = (hint.token_account, hint.signature);
        let memos: &[Memo] = &hint.memos;
        self.store
            .set_aside(account, signature, memos, clock::now())
            .await
            .context("set a transaction aside")?;
        self.bells.checkouts.notify_one();
        Ok(true)
    }

    /// Reads what was set aside and names a known checkout by now. What the node does not give is tried again the next time.
    pub(super) async fn take_up_again(&self) -> anyhow::Result<()> {
        const AT_ONCE: u32 = 256;
        if self.config.watch.scope == Scope::All {
            return Ok(());
        }
        let (now, mut read) = (clock::now(), Vec::new());
        let waiting = self.store.no_longer_aside(AT_ONCE).await;
        for one in waiting.context("read what was set aside")? {
            // It is read for whoever watches it again; meanwhile it is in nobody's way.
            if !self.watching().accounts().contains(&one.token_account) {
                continue;
            }
            let sighting = Sighting {
                signature: one.signature,
                token_account: one.token_account,
                listed_in: one.slot,
                at: Commitment::Confirmed,
                seen_at: now,
            };
            if let Some(ingested) = self.look_at(sighting, &[]).await? {
                self.record_promptly(&[ingested]).await?;
                read.push(one.signature);
            }
        }
        let cleared = self.store.clear_set_aside(&read, now).await;
        cleared.context("forget what was set aside")
    }
}
