//! Token accounts that were watched and are not listed any more: their owner closed them, or the node left them out.

use super::{Pipeline, Status};
use crate::clock;
use crate::domain::{TokenAccount, WatchList, Watched};
use crate::solana::Target;
use anyhow::Context;
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};
use tokio::time::Instant;

/// An account that is listed no more and cannot be swept is watched for so long.
const LEAVES_AFTER: Duration = Duration::from_hours(1);

/// What is listed no more, and since when. It stays watched until it was swept once more; then it is gone for good, so that accounts
/// which strangers made and closed cost nothing at the next start.
#[derive(Default)]
pub(super) struct Leaving(HashMap<TokenAccount, Instant>);

impl Leaving {
    /// Whether an account is listed no more.
    pub(super) fn contains(&self, account: TokenAccount) -> bool {
        self.0.contains_key(&account)
    }

    /// What was watched for these targets, is not listed, and was not swept since, for an hour at most.
    pub(super) async fn of(
        &mut self,
        pipeline: &Pipeline,
        targets: &[Target],
        listed: &[Watched],
        now: Instant,
    ) -> anyhow::Result<Vec<Watched>> {
        let known = pipeline.store.still_watched().await;
        let known = known.context("read what was watched")?;
        let (gone, leaving) = self.split(&pipeline.status, &known, targets, listed, now);
        if !gone.is_empty() {
            let noted = pipeline.store.note_gone(&gone, clock::now()).await;
            noted.context("note accounts that are gone")?;
        }
        Ok(leaving)
    }

    /// Of the known accounts that are not listed, those that were swept since, and the others.
    fn split(
        &mut self,
        status: &Status,
        known: &WatchList,
        targets: &[Target],
        listed: &[Watched],
        now: Instant,
    ) -> (Vec<Watched>, Vec<Watched>) {
        let is_of_target = |one: &Watched| {
            let mut targets = targets.iter();
            targets.any(|target| (target.mint, target.wallet) == (one.mint, one.wallet))
        };
        let listed: HashSet<_> = listed.iter().map(|one| one.token_account).collect();
        let is_missing = |one: &&Watched| !listed.contains(&one.token_account) && is_of_target(one);
        self.0.retain(|account, _| !listed.contains(account));
        let missing = known.iter().filter(is_missing).cloned();
        missing.partition(|one| {
            let since = *self.0.entry(one.token_account).or_insert(now);
            let swept_at = status.account_swept_at(one.token_account);
            swept_at.is_some_and(|at| at > since) || now - since >= LEAVES_AFTER
        })
    }
}
