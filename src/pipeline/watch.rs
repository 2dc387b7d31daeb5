//! Keeps what is watched up to date: the API's token list, the tokens pending checkouts name, and the accounts on chain.

use super::Pipeline;
use crate::clock;
use crate::domain::{Credit, Policy, Rules, Timestamp, TokenAccount, WatchList, Watched};
use crate::merchant::SupportedToken;
use crate::solana::{Target, Unwatchable, watched_accounts};
use anyhow::Context;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

/// What is watched, and the rules for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watching {
    rules: Rules,
}

impl Watching {
    /// Before anything is known to be watched. Nothing is judged by it.
    pub(super) fn nothing(policy: &Policy) -> Self {
        Self::new(policy, WatchList::default())
    }

    fn new(policy: &Policy, accounts: WatchList) -> Self {
        Self {
            rules: Rules::new(policy.clone(), accounts),
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

/// Refreshes what is watched.
pub struct Watch {
    pipeline: Arc<Pipeline>,
    /// What was looked up on chain, and when.
    looked_up: Option<(Timestamp, Vec<Target>)>,
    /// What is listed no more, and since when.
    leaving: HashMap<TokenAccount, Timestamp>,
}

/// How often the chain is asked for accounts although nothing else changed, in sweep intervals: a wallet seldom gets another
/// account for the same token.
const LOOK_UP_EVERY_SWEEPS: u32 = 20;

impl Watch {
    /// Refreshes for this pipeline.
    #[must_use]
    pub fn new(pipeline: Arc<Pipeline>) -> Self {
        Self {
            pipeline,
            looked_up: None,
            leaving: HashMap::new(),
        }
    }

    /// Asks API and chain what to watch. Returns whether it changed.
    ///
    /// An account that is listed no more stays watched until it was swept once more; a target whose mint is not there is left out,
    /// loudly.
    ///
    /// # Errors
    /// When API, node or database fails; then everything stays as it is.
    pub async fn step(&mut self) -> anyhow::Result<bool> {
        let (pipeline, now) = (self.pipeline.clone(), clock::now());
        let targets = self.targets().await?;
        let every = pipeline.config.solana.sweep_every * LOOK_UP_EVERY_SWEEPS;
        let is_fresh =
            |(at, known): &(Timestamp, Vec<Target>)| *known == targets && now.since(*at) < every;
        if self.looked_up.as_ref().is_some_and(is_fresh) {
            return Ok(false);
        }
        let watching = pipeline.watching();
        let mut accounts: Vec<Watched> = Vec::new();
        let mut is_complete = true;
        for target in &targets {
            let same_mint = watching
                .accounts()
                .iter()
                .find(|one| one.mint == target.mint);
            let mint = same_mint.map(|one| (one.token_program, one.decimals));
            match watched_accounts(&pipeline.rpc, target, mint).await {
                Ok(found) => accounts.extend(found),
                Err(error @ Unwatchable::NoSuchMint(_)) => {
                    tracing::error!(symbol = target.symbol, %error, "token is not watched");
                    is_complete = false;
                }
                Err(Unwatchable::Node(error)) => {
                    return Err(error).with_context(|| {
                        format!("look up the token accounts of {}", target.symbol)
                    });
                }
            }
        }
        accounts.extend(self.leaving(&targets, &accounts, now).await?);
        let accounts: WatchList = accounts.into_iter().collect();
        if accounts != *watching.accounts() {
            pipeline
                .store
                .remember_watched(&accounts, clock::now())
                .await
                .context("remember what is watched")?;
        }
        self.looked_up = is_complete.then_some((now, targets));
        let watching = Arc::new(Watching::new(&pipeline.config.policy, accounts));
        let changed = pipeline.watching.send_if_modified(|current| {
            let changed = **current != *watching;
            *current = watching.clone();
            changed
        });
        if changed {
            announce(&watching);
            // Payments into accounts that were not watched until now have not been judged.
            pipeline.judge_again().await?;
            let weighed = pipeline.store.weigh_again(watching.rules()).await;
            weighed.context("find out what is dust")?;
        }
        Ok(changed)
    }

    /// What was watched for these targets and is not listed: its owner closed it, or the node left it out. What was paid into it before
    /// is read first.
    async fn leaving(
        &mut self,
        targets: &[Target],
        listed: &[Watched],
        now: Timestamp,
    ) -> anyhow::Result<Vec<Watched>> {
        let status = &self.pipeline.status;
        let known = self.pipeline.store.watched().await;
        let known = known.context("read what was watched")?;
        let is_of_target = |one: &Watched| {
            let mut targets = targets.iter();
            targets.any(|target| (target.mint, target.wallet) == (one.mint, one.wallet))
        };
        let listed: HashSet<_> = listed.iter().map(|one| one.token_account).collect();
        let is_gone = |one: &&Watched| !listed.contains(&one.token_account) && is_of_target(one);
        let mut gone: Vec<_> = known.iter().filter(is_gone).cloned().collect();
        self.leaving.retain(|account, _| !listed.contains(account));
        gone.retain(|one| {
            let since = *self.leaving.entry(one.token_account).or_insert(now);
            let swept_at = status.account_swept_at(one.token_account);
            swept_at.is_none_or(|at| at <= since)
        });
        Ok(gone)
    }

    /// What is to be paid in and to whom: the configured tokens; else the enabled ones of the API, and whatever a pending
    /// checkout still names.
    async fn targets(&self) -> anyhow::Result<Vec<Target>> {
        let configured = &self.pipeline.config.watch.tokens;
        if !configured.is_empty() {
            let target = |token: &crate::config::Token| Target {
                mint: token.mint,
                wallet: token.recipient,
                symbol: token.symbol.clone(),
            };
            return Ok(configured.iter().map(target).collect());
        }
        let listed = self
            .pipeline
            .merchant
            .supported_tokens()
            .await
            .context("ask the payments API for its tokens")?;
        let symbol_of = |mint| {
            listed
                .iter()
                .find(|token: &&SupportedToken| token.mint == mint)
                .map(|token| token.symbol.clone())
        };
        let mut pairs: BTreeSet<_> = listed
            .iter()
            .filter(|token| token.enabled)
            .map(|token| (token.mint, token.recipient))
            .collect();
        let pending = self
            .pipeline
            .store
            .pending_targets()
            .await
            .context("read the tokens of pending checkouts")?;
        pairs.extend(pending.iter().map(|target| (target.mint, target.recipient)));
        // A disabled token whose pending checkouts do not name a wallet is still paid to the one the API lists.
        let still_named = |token: &&SupportedToken| {
            !token.enabled && pending.iter().any(|target| target.mint == token.mint)
        };
        pairs.extend(
            listed
                .iter()
                .filter(still_named)
                .map(|token| (token.mint, token.recipient)),
        );
        Ok(pairs
            .into_iter()
            .map(|(mint, wallet)| Target {
                mint,
                wallet,
                symbol: symbol_of(mint).unwrap_or_else(|| mint.to_string()),
            })
            .collect())
    }
}

/// Logs what is watched from now on, and every limit that names none of it.
fn announce(watching: &Watching) {
    for watched in watching.accounts().iter() {
        tracing::info!(symbol = watched.symbol, token_account = %watched.token_account, wallet = %watched.wallet, "watching");
    }
    let unmatched = watching.rules().unmatched();
    for token in unmatched {
        tracing::warn!(
            %token,
            "a limit in policy.finalized_above names no watched token: all payments wait for finalized until it does; name a symbol or mint that `paywatch check` lists"
        );
    }
    for token in watching.rules().unmatched_dust() {
        tracing::warn!(%token, "a limit in policy.dust_below names no watched token: no payment is dust by it");
    }
    metrics::gauge!("paywatch_token_accounts").set(count(watching.accounts().len()));
    metrics::gauge!("paywatch_unmatched_limits").set(count(unmatched.len()));
}

fn count(many: usize) -> f64 {
    f64::from(u32::try_from(many).unwrap_or(u32::MAX))
}
