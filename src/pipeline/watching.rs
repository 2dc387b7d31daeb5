//! What is watched now, and how that changes.

use super::Pipeline;
use super::turns::Turns;
use crate::domain::{Credit, Policy, Rules, WatchList, Watched};
use anyhow::Context;
use std::sync::Arc;

/// What is watched, and the rules for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watching {
    rules: Rules,
    /// How often each account is swept, and which are listened to.
    pub turns: Turns,
}

impl Watching {
    /// Before anything is known to be watched. Nothing is judged by it.
    pub(super) fn nothing(policy: &Policy) -> Self {
        Self::new(policy, WatchList::default(), Turns::default())
    }

    /// These accounts, judged by a policy.
    pub(super) fn new(policy: &Policy, accounts: WatchList, turns: Turns) -> Self {
        Self {
            rules: Rules::new(policy.clone(), accounts),
            turns,
        }
    }

    /// The same accounts, swept in another order.
    pub(super) fn ranked(&self, turns: Turns) -> Self {
        Self {
            rules: self.rules.clone(),
            turns,
        }
    }

    /// The token accounts.
    #[must_use]
    pub fn accounts(&self) -> &WatchList {
        self.rules.accounts()
    }

    /// What payments into them are judged by.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The accounts that a sweep takes: all active ones, and some of the others in turn.
    #[must_use]
    pub fn due(&self, turn: u64) -> Vec<&Watched> {
        self.turns.due(self.accounts(), turn)
    }

    /// The accounts that are swept each time.
    pub fn active(&self) -> impl Iterator<Item = &Watched> {
        let accounts = self.accounts().iter();
        accounts.filter(|one| self.turns.is_active(one.token_account))
    }

    /// A credit for people, `19 USDC`.
    #[must_use]
    pub fn human(&self, credit: &Credit) -> String {
        match self.accounts().get(&credit.token_account) {
            Some(watched) => format!(
                "{} {}",
                credit.received.human(watched.decimals),
                watched.symbol
            ),
            None => format!("{} base units", credit.received),
        }
    }
}

impl Pipeline {
    /// From now on this is watched. Returns whether it is news.
    pub(super) async fn publish(&self, watching: Watching) -> anyhow::Result<bool> {
        let (before, watching) = (self.watching(), Arc::new(watching));
        let is_news = *before != *watching;
        self.watching.send_if_modified(|current| {
            *current = watching.clone();
            is_news
        });
        if is_news {
            announce(&watching, &before);
            self.bells.sweep.notify_one();
        }
        if before.accounts() != watching.accounts() {
            // Payments into accounts that were not watched until now have not been judged.
            self.judge_again().await?;
            let weighed = self.store.weigh_again(watching.rules()).await;
            weighed.context("find out what is dust")?;
        }
        Ok(is_news)
    }
}

/// Logs what is watched from now on, and every limit that names none of it.
fn announce(watching: &Watching, before: &Watching) {
    let is_new = |one: &&Watched| !before.turns.is_active(one.token_account);
    for watched in watching.active().filter(is_new) {
        tracing::info!(symbol = watched.symbol, token_account = %watched.token_account, wallet = %watched.wallet, "watching");
    }
    let in_turn = watching.turns.in_turn();
    if in_turn > 0 && before.turns.in_turn() == 0 {
        tracing::warn!(
            in_turn,
            "more token accounts than watch.max_accounts: these are swept in turn"
        );
    }
    let unmatched = watching.rules().unmatched();
    let are_others = before.accounts() != watching.accounts();
    for token in unmatched.iter().filter(|_| are_others) {
        tracing::warn!(
            %token,
            "a limit in policy.finalized_above names no watched token: all payments wait for finalized until it does; name a symbol or mint that `paywatch check` lists"
        );
    }
    let unmatched_dust = watching.rules().unmatched_dust().iter();
    for token in unmatched_dust.filter(|_| are_others) {
        tracing::warn!(%token, "a limit in policy.dust_below names no watched token: no payment is dust by it");
    }
    metrics::gauge!("paywatch_token_accounts").set(count(watching.accounts().len()));
    metrics::gauge!("paywatch_token_accounts_in_turn").set(count(in_turn));
    metrics::gauge!("paywatch_unmatched_limits").set(count(unmatched.len()));
}

fn count(many: usize) -> f64 {
    f64::from(u32::try_from(many).unwrap_or(u32::MAX))
}
