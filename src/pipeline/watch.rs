//! Keeps what is watched up to date: the API's token list, the tokens pending checkouts name, and the accounts on chain.

use super::leaving::Leaving;
use super::turns::{Rank, Turns};
use super::{Pipeline, Watching};
use crate::clock;
use crate::domain::{TokenAccount, WatchList, Watched};
use crate::merchant::SupportedToken;
use crate::solana::{Found, Target, Unwatchable, associated_one, is_associated, with_others};
use anyhow::Context;
use futures_util::{StreamExt, stream};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Refreshes what is watched.
pub struct Watch {
    pipeline: Arc<Pipeline>,
    /// What was looked up on chain, and when.
    looked_up: Option<(Instant, Vec<Target>)>,
    leaving: Leaving,
    /// Targets whose accounts no node lists.
    unlisted: HashSet<Target>,
    /// When the accounts to listen to were last chosen by rank alone.
    chosen_at: Mutex<Option<Instant>>,
}

/// How often the chain is asked for accounts although nothing else changed, in sweep intervals: a wallet seldom gets another
/// account for the same token.
const LOOK_UP_EVERY_SWEEPS: u32 = 20;
/// How long a subscription stays at least, unless its place goes to a matched payment's account: each choice opens sockets again, and
/// strangers must not make that happen.
const LISTENED_FOR: Duration = Duration::from_hours(1);
/// How long the payments API may take to tell its tokens before what was watched last is watched again.
const API_PATIENCE: Duration = Duration::from_secs(2);
/// How long the nodes may take to list accounts before the associated and the known ones are watched.
const LISTING_PATIENCE: Duration = Duration::from_secs(1);

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
            unlisted: HashSet::new(),
            chosen_at: Mutex::default(),
        }
    }

    /// Asks API and chain what to watch. Returns whether it changed.
    ///
    /// An account that is listed no more stays watched until it was swept once more; a target whose mint is not there, or whose
    /// recipient is no wallet, is left out, loudly. While the API does not answer, what was watched last is watched.
    ///
    /// # Errors
    /// When API, node or database fails; then everything that is watched stays watched.
    pub async fn step(&mut self) -> anyhow::Result<bool> {
        let targets = self.targets_or_remembered().await?;
        let now = Instant::now();
        let every = self.pipeline.config.solana.sweep_every * LOOK_UP_EVERY_SWEEPS;
        let is_fresh =
            |(at, known): &(Instant, Vec<Target>)| *known == targets && now - *at < every;
        if self.looked_up.as_ref().is_some_and(is_fresh) {
            return self.rank_again().await;
        }
        let mut found = self.look_up(&targets).await?;
        let pipeline = self.pipeline.clone();
        let leaving = self
            .leaving
            .of(&pipeline, &found.targets, &found.accounts, now);
        found.accounts.extend(leaving.await?);
        self.looked_up = found.is_complete.then_some((now, targets));
        if self.pipeline.status.cannot_watch(found.unwatchable.clone()) {
            for why in &found.unwatchable {
                tracing::error!(
                    reason = why,
                    "nothing is watched for a token: no payment of it is found"
                );
            }
        }
        self.watch(found.accounts).await
    }

    /// From now on these accounts are watched, also after a restart. Returns whether it is news.
    async fn watch(&self, accounts: impl IntoIterator<Item = Watched>) -> anyhow::Result<bool> {
        let (pipeline, accounts): (_, WatchList) = (&self.pipeline, accounts.into_iter().collect());
        if *pipeline.watching().accounts() != accounts {
            let remembered = pipeline.store.remember_watched(&accounts, clock::now());
            remembered.await.context("remember what is watched")?;
        }
        let turns = self.turns(&accounts).await?;
        let watching = Watching::new(&pipeline.config.policy, accounts, turns);
        pipeline.publish(watching).await
    }

    /// The targets. Where they do not come in time and nothing is watched yet, what was watched last is watched meanwhile: payments
    /// are found although the payments API is away.
    async fn targets_or_remembered(&self) -> anyhow::Result<Vec<Target>> {
        let asked = self.targets();
        if !self.pipeline.watching().accounts().is_empty() {
            return asked.await;
        }
        tokio::pin!(asked);
        let told = {
            let late = async {
                tokio::time::sleep(API_PATIENCE).await;
                self.watch_remembered().await
            };
            // Side by side: the question reads the database, too, and would hold a connection while nobody lets it go on.
            tokio::select! {
                biased;
                told = &mut asked => Some(told),
                remembered = late => {
                    remembered?;
                    None
                }
            }
        };
        match told {
            None => asked.await,
            Some(Ok(targets)) => Ok(targets),
            Some(failed) => {
                self.watch_remembered().await?;
                failed
            }
        }
    }

    /// Watches again what was watched last.
    async fn watch_remembered(&self) -> anyhow::Result<()> {
        let last = self.pipeline.store.watched_last().await;
        let last = last.context("read what was watched")?;
        if !last.is_empty() {
            tracing::warn!(
                accounts = last.len(),
                "the payments API does not tell its tokens: what was watched last is watched until it does"
            );
            self.watch(last.iter().cloned()).await?;
        }
        Ok(())
    }

    /// Asks the chain for the accounts of each target. Listing them may take long, or be refused: the associated accounts and the known
    /// ones do not wait for it.
    async fn look_up(&mut self, targets: &[Target]) -> anyhow::Result<LookedUp> {
        let known = self.pipeline.store.watched().await;
        let known = known.context("read what was watched")?;
        let still = self.pipeline.store.still_watched().await;
        let still = still.context("read what was watched")?;
        let mut all = LookedUp {
            is_complete: true,
            ..LookedUp::default()
        };
        let (mut associated, mut failure) = (Vec::new(), None);
        for target in targets {
            let same_mint = known.iter().find(|one| one.mint == target.mint);
            let mint = same_mint.map(|one| (one.token_program, one.decimals));
            match associated_one(&self.pipeline.rpc, target, mint).await {
                Ok(one) => {
                    associated.push(one);
                    all.targets.push(target.clone());
                }
                Err(Unwatchable::Node(error)) => {
                    let symbol = &target.symbol;
                    let error = anyhow::Error::new(error);
                    let error = error.context(format!("look up the token account of {symbol}"));
                    failure.get_or_insert(error);
                }
                Err(error) => {
                    let symbol = &target.symbol;
                    all.unwatchable.push(format!("{symbol}: {error}"));
                    all.is_complete = false;
                }
            }
        }
        let is_of =
            |target: &Target, one: &Watched| (target.mint, target.wallet) == (one.mint, one.wallet);
        let of_target = |target| still.iter().filter(move |one| is_of(target, one)).cloned();
        let mut early = associated.clone();
        early.extend(all.targets.iter().flat_map(of_target));
        if let Some(error) = failure {
            self.watch_also(early).await?;
            return Err(error);
        }
        let listed = self.list(associated, early).await?;
        for (target, found) in all.targets.iter().zip(listed) {
            all.is_complete &= self.note_listing(target, &found);
            if found.unlisted.is_some() || found.left_out > 0 {
                all.accounts.extend(of_target(target));
            }
            all.accounts.extend(found.accounts);
        }
        Ok(all)
    }

    /// Lists the accounts beside the associated ones. What is there `early` is watched if that takes long.
    async fn list(
        &self,
        associated: Vec<Watched>,
        early: Vec<Watched>,
    ) -> anyhow::Result<Vec<Found>> {
        let rpc = &self.pipeline.rpc;
        let listed = stream::iter(associated)
            .then(|one| with_others(rpc, one))
            .collect();
        tokio::pin!(listed);
        if let Ok(listed) = tokio::time::timeout(LISTING_PATIENCE, &mut listed).await {
            return Ok(listed);
        }
        self.watch_also(early).await?;
        Ok(listed.await)
    }

    /// Watches accounts beside those that are watched.
    async fn watch_also(&self, more: Vec<Watched>) -> anyhow::Result<bool> {
        let watching = self.pipeline.watching();
        let all = watching.accounts().iter().cloned().chain(more);
        self.watch(all).await
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

    /// An account beyond the bound that received something becomes active, without another look at the chain.
    async fn rank_again(&self) -> anyhow::Result<bool> {
        let watching = self.pipeline.watching();
        if watching.turns.in_turn() == 0 {
            return Ok(false);
        }
        let turns = self.turns(watching.accounts()).await?;
        self.pipeline.publish(watching.ranked(turns)).await
    }

    /// Ranks accounts by what they have received.
    async fn turns(&self, accounts: &WatchList) -> anyhow::Result<Turns> {
        let accounts_max = self.pipeline.config.watch.max_accounts;
        let receipts = if accounts.len() > accounts_max {
            let receipts = self.pipeline.store.receipts().await;
            receipts.context("read what accounts received")?
        } else {
            HashMap::new()
        };
        let watching = self.pipeline.watching();
        let none = BTreeSet::new();
        let to_keep = if self.chooses_anew() {
            &none
        } else {
            watching.turns.listened()
        };
        let ranked = accounts.iter().map(|one| {
            let account = one.token_account;
            let receipts = receipts.get(&account).copied().unwrap_or_default();
            (Rank::of(one, receipts, is_associated(one)), account)
        });
        let is_leaving = |account: &TokenAccount| self.leaving.contains(*account);
        Ok(Turns::ranked(ranked, accounts_max, to_keep).without(is_leaving))
    }

    /// Whether it is time to choose the accounts to listen to by rank alone. The next time is later.
    fn chooses_anew(&self) -> bool {
        let chosen_at = self.chosen_at.lock();
        let mut chosen_at = chosen_at.unwrap_or_else(PoisonError::into_inner);
        let is_time = chosen_at.is_none_or(|at| at.elapsed() >= LISTENED_FOR);
        if is_time {
            *chosen_at = Some(Instant::now());
        }
        is_time
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
