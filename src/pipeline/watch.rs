//! Keeps what is watched up to date: the API's token list, the tokens pending checkouts name, and the accounts on chain.

use super::Pipeline;
use super::leaving::Leaving;
use super::turns::{Rank, Turns};
use crate::clock;
use crate::domain::{Credit, Policy, Rules, Timestamp, TokenAccount, WatchList, Watched};
use crate::merchant::SupportedToken;
use crate::solana::{Found, Target, Unwatchable, watched_accounts};
use anyhow::Context;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

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
        Self::new(policy, WatchList::default())
    }

    fn new(policy: &Policy, accounts: WatchList) -> Self {
        let turns = Turns::all(&accounts);
        Self {
            rules: Rules::new(policy.clone(), accounts),
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

/// Refreshes what is watched.
pub struct Watch {
    pipeline: Arc<Pipeline>,
    /// What was looked up on chain, and when.
    looked_up: Option<(Timestamp, Vec<Target>)>,
    leaving: Leaving,
    /// The accounts that wallets pay into by themselves.
    associated: HashSet<TokenAccount>,
    /// Targets whose accounts no node lists.
    unlisted: HashSet<Target>,
    /// When the accounts to listen to were last chosen by rank alone.
    chosen_at: Option<Timestamp>,
}

/// How often the chain is asked for accounts although nothing else changed, in sweep intervals: a wallet seldom gets another
/// account for the same token.
const LOOK_UP_EVERY_SWEEPS: u32 = 20;
/// How long a subscription stays at least, unless its place goes to a matched payment's account: each choice opens sockets again, and
/// strangers must not make that happen.
const LISTENED_FOR: Duration = Duration::from_hours(1);

/// What the chain told of the targets.
#[derive(Default)]
struct LookedUp {
    accounts: Vec<Watched>,
    /// Targets that can be watched.
    targets: Vec<Target>,
    /// Why others cannot.
    unwatchable: Vec<String>,
    /// Whether nothing has to be asked again soon.
    is_complete: bool,
}

impl Watch {
    /// Refreshes for this pipeline.
    #[must_use]
    pub fn new(pipeline: Arc<Pipeline>) -> Self {
        Self {
            pipeline,
            looked_up: None,
            leaving: Leaving::default(),
            associated: HashSet::new(),
            unlisted: HashSet::new(),
            chosen_at: None,
        }
    }

    /// Asks API and chain what to watch. Returns whether it changed.
    ///
    /// An account that is listed no more stays watched until it was swept once more; a target whose mint is not there, or whose
    /// recipient is no wallet, is left out, loudly.
    ///
    /// # Errors
    /// When API, node or database fails; then everything stays as it is.
    pub async fn step(&mut self) -> anyhow::Result<bool> {
        let now = clock::now();
        let targets = self.targets().await?;
        let every = self.pipeline.config.solana.sweep_every * LOOK_UP_EVERY_SWEEPS;
        let is_fresh =
            |(at, known): &(Timestamp, Vec<Target>)| *known == targets && now.since(*at) < every;
        if self.looked_up.as_ref().is_some_and(is_fresh) {
            return self.rank_again().await;
        }
        let mut found = self.look_up(&targets).await?;
        let pipeline = self.pipeline.clone();
        let leaving = self
            .leaving
            .of(&pipeline, &found.targets, &found.accounts, now);
        found.accounts.extend(leaving.await?);
        let accounts: WatchList = found.accounts.into_iter().collect();
        let before = pipeline.watching();
        let is_news = |one: &&Watched| before.accounts().get(&one.token_account) != Some(*one);
        let news: Vec<_> = accounts.iter().filter(is_news).collect();
        if !news.is_empty() {
            let remembered = pipeline.store.remember_watched(news, now).await;
            remembered.context("remember what is watched")?;
        }
        self.looked_up = found.is_complete.then_some((now, targets));
        if pipeline.status.cannot_watch(found.unwatchable.clone()) {
            for why in &found.unwatchable {
                tracing::error!(
                    reason = why,
                    "nothing is watched for a token: no payment of it is found"
                );
            }
        }
        let mut watching = Watching::new(&pipeline.config.policy, accounts);
        watching.turns = self.turns(watching.accounts()).await?;
        self.publish(watching).await
    }

    /// Asks the chain for the accounts of each target.
    async fn look_up(&mut self, targets: &[Target]) -> anyhow::Result<LookedUp> {
        let watching = self.pipeline.watching();
        let mut all = LookedUp {
            is_complete: true,
            ..LookedUp::default()
        };
        for target in targets {
            let same_mint = watching
                .accounts()
                .iter()
                .find(|one| one.mint == target.mint);
            let mint = same_mint.map(|one| (one.token_program, one.decimals));
            match watched_accounts(&self.pipeline.rpc, target, mint).await {
                Ok(found) => {
                    all.is_complete &= self.note_listing(target, &found);
                    if found.unlisted.is_some() || found.left_out > 0 {
                        all.accounts.extend(self.remembered(target).await?);
                    }
                    self.associated.insert(found.associated);
                    all.accounts.extend(found.accounts);
                    all.targets.push(target.clone());
                }
                Err(Unwatchable::Node(error)) => {
                    return Err(error).with_context(|| {
                        format!("look up the token accounts of {}", target.symbol)
                    });
                }
                Err(error) => {
                    let symbol = &target.symbol;
                    all.unwatchable.push(format!("{symbol}: {error}"));
                    all.is_complete = false;
                }
            }
        }
        Ok(all)
    }

    /// Warns once of a node that does not list accounts. Returns whether the answer is good until the next regular look-up.
    fn note_listing(&mut self, target: &Target, found: &Found) -> bool {
        let (symbol, wallet) = (&target.symbol, target.wallet);
        if found.left_out > 0 {
            let left_out = found.left_out;
            tracing::warn!(symbol, %wallet, left_out, "the wallet has too many token accounts: some are not watched");
        }
        let Some(error) = &found.unlisted else {
            self.unlisted.remove(target);
            return true;
        };
        if self.unlisted.insert(target.clone()) {
            tracing::warn!(
                symbol, %wallet, %error,
                "the node does not list the wallet's token accounts: the associated one and those known are watched"
            );
        }
        error.is_refusal()
    }

    /// The accounts of a target that the database knows.
    async fn remembered(&self, target: &Target) -> anyhow::Result<Vec<Watched>> {
        let known = self.pipeline.store.still_watched().await;
        let known = known.context("read what was watched")?;
        let is_of_target = |one: &&Watched| (target.mint, target.wallet) == (one.mint, one.wallet);
        Ok(known.iter().filter(is_of_target).cloned().collect())
    }

    /// An account beyond the bound that received something becomes active, without another look at the chain.
    async fn rank_again(&mut self) -> anyhow::Result<bool> {
        let watching = self.pipeline.watching();
        if watching.turns.in_turn() == 0 {
            return Ok(false);
        }
        let turns = self.turns(watching.accounts()).await?;
        let again = Watching {
            turns,
            ..(*watching).clone()
        };
        self.publish(again).await
    }

    /// Ranks accounts by what they have received.
    async fn turns(&mut self, accounts: &WatchList) -> anyhow::Result<Turns> {
        let accounts_max = self.pipeline.config.watch.max_accounts;
        let receipts = if accounts.len() > accounts_max {
            let receipts = self.pipeline.store.receipts().await;
            receipts.context("read what accounts received")?
        } else {
            HashMap::new()
        };
        let (now, watching) = (clock::now(), self.pipeline.watching());
        let mut to_keep = watching.turns.listened();
        let none = BTreeSet::new();
        if self
            .chosen_at
            .is_none_or(|at| now.since(at) >= LISTENED_FOR)
        {
            (self.chosen_at, to_keep) = (Some(now), &none);
        }
        let ranked = accounts.iter().map(|one| {
            let account = one.token_account;
            let receipts = receipts.get(&account).copied().unwrap_or_default();
            let is_associated = self.associated.contains(&account);
            (Rank::of(one, receipts, is_associated), account)
        });
        Ok(Turns::ranked(ranked, accounts_max, to_keep))
    }

    /// From now on this is watched. Returns whether it is news.
    async fn publish(&self, watching: Watching) -> anyhow::Result<bool> {
        let (before, watching) = (self.pipeline.watching(), Arc::new(watching));
        let is_news = *before != *watching;
        self.pipeline.watching.send_if_modified(|current| {
            *current = watching.clone();
            is_news
        });
        if is_news {
            announce(&watching, &before);
        }
        if before.accounts() != watching.accounts() {
            // Payments into accounts that were not watched until now have not been judged.
            self.pipeline.judge_again().await?;
            let weighed = self.pipeline.store.weigh_again(watching.rules()).await;
            weighed.context("find out what is dust")?;
        }
        Ok(is_news)
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
