//! What is no gap, although the node that was asked has forgotten the cursor of an account.
//!
//! Nodes keep history for some days. An account that nobody pays, or that was closed, keeps a cursor that is older. As long as sweeps of
//! it met no gap, nothing is missing before them: up to which slot is in the database. A history that begins before that slot lacks
//! nothing.

use super::Sweep;
use super::ahead::Ahead;
use super::walk::Mode;
use crate::domain::{Commitment, Slot, TokenAccount};
use crate::solana::Rpc;
use crate::store::Cursor;
use anyhow::Context;
use std::{collections::HashMap, time::Duration};
use tokio::time::Instant;

/// How often the chain is asked how far it is.
const ASKED_EVERY: Duration = Duration::from_mins(1);
/// Signatures that are younger than this may be revealed after a sweep: some two minutes.
const LATE_SLOTS: Slot = 300;

/// Up to where sweeps have seen everything.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The finalized slot, less what may be revealed late, and when it was asked for.
    chain: Option<(Instant, Option<Slot>)>,
    /// What the database says of each account.
    noted: HashMap<TokenAccount, Slot>,
}

impl Seen {
    /// Everything up to this slot is listed by a sweep that begins now, unless it meets a gap.
    pub(super) async fn chain(&mut self, rpc: &Rpc) -> Option<Slot> {
        match self.chain {
            Some((at, slot)) if at.elapsed() < ASKED_EVERY => slot,
            _ => {
                let finalized = rpc.impatient().slot(Commitment::Finalized).await.ok();
                let slot = finalized.map(|slot| slot.saturating_sub(LATE_SLOTS));
                self.chain = Some((Instant::now(), slot));
                slot
            }
        }
    }
}

impl Sweep {
    /// Remembers that the sweeps of these accounts, begun when the chain was past this slot, met no gap.
    pub(super) async fn note_seen(
        &mut self,
        accounts: Vec<TokenAccount>,
        slot: Slot,
    ) -> anyhow::Result<()> {
        let noted = &mut self.seen.noted;
        let is_news = |account: &TokenAccount| noted.get(account).is_none_or(|at| *at < slot);
        let news: Vec<_> = accounts.into_iter().filter(is_news).collect();
        if news.is_empty() {
            return Ok(());
        }
        let store = &self.pipeline.store;
        let remembered = store.swept_to(&news, slot).await;
        remembered.context("remember up to where sweeps met no gap")?;
        noted.extend(news.into_iter().map(|account| (account, slot)));
        Ok(())
    }

    /// Whether a history without the account's cursor lacks nothing: the node has forgotten the cursor, and its history begins where
    /// sweeps had seen everything. Of several nodes it is not known which one listed: the first one lists again, by itself.
    pub(super) async fn has_only_forgotten(
        &self,
        rpc: &Rpc,
        account: TokenAccount,
        cursors: &[Cursor],
    ) -> anyhow::Result<bool> {
        let seen_to = self.pipeline.store.known_swept_to(account).await;
        let seen_to = seen_to.context("read up to where sweeps met no gap")?;
        let (Some(seen_to), Some(cursor)) = (seen_to, cursors.first()) else {
            return Ok(false);
        };
        let alone = rpc.alone(0).impatient();
        let mut is_listed = rpc.endpoints() == 1;
        if !is_listed {
            let mut ahead = Ahead::nothing(self.pipeline.clone(), self.scope, account);
            let listed = self.list_since(&alone, account, cursors, &mut ahead).await;
            if let Ok((history, _)) = listed {
                self.ingest_all(account, history, None, ahead, Mode::Bounded)
                    .await?;
                is_listed = true;
            }
        }
        // Asked after the listing: histories begin ever later.
        let (begins_in, now) = (alone.oldest_slot().await, alone.slot(Commitment::Confirmed));
        let (Ok(begins_in), Ok(now)) = (begins_in, now.await) else {
            return Ok(false);
        };
        let has_forgotten = cursor.slot < begins_in;
        Ok(is_listed && has_forgotten && begins_in <= seen_to && seen_to <= now)
    }
}
