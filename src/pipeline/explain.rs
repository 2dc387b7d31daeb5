//! What is known about a transaction that somebody asks about: what is watched, which checkouts its memos name, what is
//! recorded of it. Nothing is changed.

use super::Pipeline;
use crate::domain::{
    Commitment, Decimals, Explanation, Known, Mint, Payees, Policy, Reason, Rules, Signature,
    TokenBalance, TokenProgram, Transaction, Wallet, WatchList, Watched, decode, explain,
    explain_unreadable,
};
use crate::solana::{Fetched, Rpc, Whom, associated_account};
use crate::store::{Filter, PaymentSummary};
use anyhow::Context;
use std::collections::{BTreeMap, BTreeSet};

/// What bears on a transaction.
#[derive(Clone, Debug)]
pub struct Background {
    /// Accounts that count as watched, and under which name their tokens go.
    pub watch_list: WatchList,
    /// Who is paid, whether or not the transaction has an account of theirs that is watched.
    pub payees: Payees,
    /// The checkouts; `None` if there is nobody to ask.
    pub known: Option<Known>,
    /// What it is judged by.
    pub rules: Rules,
    /// What is recorded of it.
    pub recorded: Vec<PaymentSummary>,
    /// What could not be found out, and why.
    pub notes: Vec<String>,
}

/// A wallet that is paid, in one token or in any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The wallet.
    pub wallet: Wallet,
    /// The token; `None` = any.
    pub mint: Option<Mint>,
    /// The token's name, for people.
    pub symbol: Option<String>,
}

/// What can be said of a transaction.
#[derive(Debug)]
pub enum Explained {
    /// It was read.
    Read(Box<Read>),
    /// It was not.
    Not {
        /// Which it is, if that is known.
        signature: Option<Signature>,
        /// Why.
        reason: Reason,
    },
}

/// A transaction that was read, and what bears on it.
#[derive(Debug)]
pub struct Read {
    /// The transaction.
    pub transaction: Transaction,
    /// How sure the chain is; `None` for a saved answer, which does not tell.
    pub commitment: Option<Commitment>,
    /// What bears on it.
    pub background: Background,
    /// What it did, and why it is judged so.
    pub explanation: Explanation,
}

impl Explained {
    /// What came of asking for a transaction, or why nothing can be said of it.
    ///
    /// # Errors
    /// The reason, for one that is not there or cannot be read.
    pub fn readable(signature: Option<Signature>, fetched: Fetched) -> Result<Transaction, Self> {
        let reason = match fetched {
            Fetched::Transaction(transaction) => return Ok(*transaction),
            Fetched::NotYet => not_found(),
            Fetched::Unreadable(why) => explain_unreadable(&why),
        };
        Err(Self::Not { signature, reason })
    }

    /// A transaction before its background.
    #[must_use]
    pub fn read(
        transaction: Transaction,
        commitment: Option<Commitment>,
        background: Background,
    ) -> Self {
        Self::Read(Box::new(Read {
            explanation: background.explain(&transaction),
            transaction,
            commitment,
            background,
        }))
    }
}

impl Background {
    /// Explains the transaction before this background.
    fn explain(&self, transaction: &Transaction) -> Explanation {
        explain(
            transaction,
            &self.watch_list,
            &self.payees,
            self.known.as_ref(),
            &self.rules,
        )
    }

    /// Without configuration, database and API: these wallets are watched, or every account that gained.
    #[must_use]
    pub fn bare(transaction: &Transaction, recipients: &[Recipient]) -> Self {
        let mut notes = Vec::new();
        let watch_list = if recipients.is_empty() {
            notes.push("nothing says what is watched (--config or --recipient): every token account that gained counts".into());
            watch_list(transaction, &gainers(transaction))
        } else {
            watch_list(transaction, recipients)
        };
        Self {
            rules: Rules::new(Policy::default(), watch_list.clone()),
            watch_list,
            payees: payees(transaction, recipients),
            known: None,
            recorded: Vec::new(),
            notes,
        }
    }
}

/// Asks nodes for a transaction, and how sure the chain is of it.
///
/// # Errors
/// When no node answers.
pub async fn look_at(
    rpc: &Rpc,
    signature: Signature,
) -> anyhow::Result<(Fetched, Option<Commitment>)> {
    let fetched = rpc
        .transaction(signature, Commitment::Confirmed)
        .await
        .context("fetch the transaction")?;
    let statuses = rpc
        .statuses(&[signature])
        .await
        .context("ask for its status")?;
    let commitment = statuses
        .into_iter()
        .flatten()
        .next()
        .and_then(|status| status.commitment);
    Ok((fetched, commitment))
}

impl Pipeline {
    /// Explains a transaction, as nodes, database and payments API know it.
    ///
    /// # Errors
    /// When no node answers, or the database fails.
    pub async fn explain(&self, signature: Signature) -> anyhow::Result<Explained> {
        let (fetched, commitment) = look_at(&self.rpc, signature).await?;
        let transaction = match Explained::readable(Some(signature), fetched) {
            Ok(transaction) => transaction,
            Err(not) => return Ok(not),
        };
        let background = self.background(&transaction, &[]).await?;
        let other = fuller(&self.rpc, &transaction, &background.watch_list).await;
        let Some(other) = other else {
            return Ok(Explained::read(transaction, commitment, background));
        };
        let background = self.background(&other, &[]).await?;
        Ok(Explained::read(other, commitment, background))
    }

    /// Most memos of one transaction that the API's history is searched for.
    const MEMOS_LOOKED_UP_MAX: usize = 8;

    /// What database, configuration and payments API know about a transaction; `recipients` replace what is watched.
    ///
    /// # Errors
    /// When the database fails. An API that does not answer is noted, and does without.
    pub async fn background(
        &self,
        transaction: &Transaction,
        recipients: &[Recipient],
    ) -> anyhow::Result<Background> {
        let mut notes = Vec::new();
        let replaced = !recipients.is_empty();
        let recipients = if recipients.is_empty() {
            self.recipients(&mut notes).await?
        } else {
            recipients.to_vec()
        };
        let shown = watch_list(transaction, &recipients);
        // A limit for a token that this transaction does not move is matched all the same.
        let watched = self.store.watched().await.context("read what is watched")?;
        let all: WatchList = watched.iter().chain(shown.iter()).cloned().collect();
        let rules = Rules::new(self.config.policy.clone(), all.clone());
        // The transaction may leave out what it should show of accounts that are watched.
        let watch_list = if replaced { shown } else { all };
        let known = self.known(transaction, &watch_list, &mut notes).await?;
        let filter = Filter {
            signature: Some(transaction.signature),
            ..Filter::newest(64)
        };
        let recorded = self.store.payments(&filter).await;
        Ok(Background {
            watch_list,
            payees: payees(transaction, &recipients),
            known: Some(known),
            rules,
            recorded: recorded.context("read what is recorded")?,
            notes,
        })
    }

    /// Who is paid: what the daemon watches or watched, and the configured tokens; failing both, what the API lists.
    async fn recipients(&self, notes: &mut Vec<String>) -> anyhow::Result<Vec<Recipient>> {
        let watched = self.store.watched().await.context("read what is watched")?;
        let of_watched = |watched: &Watched| Recipient {
            wallet: watched.wallet,
            mint: Some(watched.mint),
            symbol: Some(watched.symbol.clone()),
        };
        let mut recipients: Vec<_> = watched.iter().map(of_watched).collect();
        recipients.extend(self.config.watch.tokens.iter().map(|token| Recipient {
            wallet: token.recipient,
            mint: Some(token.mint),
            symbol: Some(token.symbol.clone()),
        }));
        if recipients.is_empty() {
            match self.merchant.supported_tokens().await {
                Ok(tokens) => recipients.extend(tokens.into_iter().map(|token| Recipient {
                    wallet: token.recipient,
                    mint: Some(token.mint),
                    symbol: Some(token.symbol),
                })),
                Err(error) => notes.push(format!("what is watched is not known: {error}")),
            }
        }
        Ok(recipients)
    }

    /// The checkouts that the memos name, by the database or else by the API's history, and who holds them.
    async fn known(
        &self,
        transaction: &Transaction,
        watch_list: &WatchList,
        notes: &mut Vec<String>,
    ) -> anyhow::Result<Known> {
        let memos = transaction.memos();
        let mut checkouts = self
            .store
            .checkouts_named(&memos)
            .await
            .context("read checkouts")?;
        let found: BTreeSet<_> = checkouts.iter().map(|one| one.memo.folded()).collect();
        let mut missing = memos.clone();
        missing.retain(|memo| !found.contains(&memo.folded()));
        missing.truncate(Self::MEMOS_LOOKED_UP_MAX);
        for memo in &missing {
            match self.look_up(memo).await {
                Ok(checkout) => checkouts.extend(checkout),
                Err(error) => {
                    notes.push(format!(
                        "the payments API was not asked for checkouts: {error}"
                    ));
                    break;
                }
            }
        }
        let named: Vec<_> = checkouts.iter().map(|one| one.memo.clone()).collect();
        let holders = self
            .store
            .holders(&named)
            .await
            .context("read the outbox")?;
        let held_by: BTreeMap<_, Signature> = holders
            .into_iter()
            .filter(|(_, holder)| *holder != transaction.signature)
            .collect();
        let mut asking = Vec::new();
        if checkouts.is_empty() && !memos.is_empty() {
            let credits = decode(transaction, watch_list).map(|decoded| decoded.credits);
            for credit in credits.unwrap_or_default() {
                let found = self.store.asking_for(&credit).await;
                asking.extend(found.context("read checkouts of the same amount")?);
            }
        }
        Ok(Known {
            checkouts,
            held_by,
            asking,
        })
    }
}

/// The transaction as another endpoint gives it, if what this one gave cannot be read and the other can.
pub async fn fuller(
    rpc: &Rpc,
    transaction: &Transaction,
    watch_list: &WatchList,
) -> Option<Transaction> {
    let is_readable = |told: &Transaction| decode(told, watch_list).is_ok();
    if is_readable(transaction) || rpc.endpoints() < 2 {
        return None;
    }
    let (signature, at) = (transaction.signature, Commitment::Confirmed);
    let asked = rpc.transaction_readable(signature, at, Whom::All, is_readable);
    match asked.await {
        Ok(Fetched::Transaction(other)) if is_readable(&other) => Some(*other),
        _ => None,
    }
}

/// Why nothing can be said of a transaction that the node does not have.
fn not_found() -> Reason {
    Reason {
        why: "The node does not know this transaction, not even at commitment “confirmed”.".into(),
        advice: "If it was sent a moment ago, ask again. Otherwise check signature and network; it may have expired without landing, or the node keeps too little history.".into(),
    }
}

/// The accounts of a transaction that belong to these recipients, before or after it.
fn watch_list(transaction: &Transaction, recipients: &[Recipient]) -> WatchList {
    let watched = |balance: &TokenBalance| {
        let recipient = recipients.iter().find(|one| {
            balance.owner == Some(one.wallet) && one.mint.is_none_or(|mint| mint == balance.mint)
        })?;
        Some(Watched {
            token_account: balance.token_account,
            wallet: recipient.wallet,
            mint: balance.mint,
            token_program: balance.token_program?,
            decimals: balance.decimals.or(Decimals::new(0))?,
            symbol: recipient
                .symbol
                .clone()
                .unwrap_or_else(|| short(balance.mint)),
        })
    };
    transaction
        .pre
        .iter()
        .chain(&transaction.post)
        .filter_map(watched)
        .collect()
}

/// The recipients, with the token accounts that wallet applications derive for them in the tokens of a transaction.
fn payees(transaction: &Transaction, recipients: &[Recipient]) -> Payees {
    let balances = transaction.pre.iter().chain(&transaction.post);
    let tokens: BTreeSet<_> = balances
        .filter_map(|one| Some((one.mint, one.token_program?)))
        .collect();
    let wallets: BTreeSet<_> = recipients.iter().map(|one| one.wallet).collect();
    let derived = wallets.iter().flat_map(|wallet| {
        let of_token =
            |(mint, program): &(Mint, TokenProgram)| associated_account(*wallet, *mint, *program);
        tokens.iter().map(of_token).collect::<Vec<_>>()
    });
    Payees {
        token_accounts: derived.collect(),
        wallets,
    }
}

/// Whoever gained something.
fn gainers(transaction: &Transaction) -> Vec<Recipient> {
    let before = |balance: &TokenBalance| {
        let same = |pre: &&TokenBalance| pre.token_account == balance.token_account;
        transaction
            .pre
            .iter()
            .find(same)
            .map_or(0, |pre| pre.amount.0)
    };
    transaction
        .post
        .iter()
        .filter(|balance| balance.amount.0 > before(balance))
        .filter_map(|balance| {
            Some(Recipient {
                wallet: balance.owner?,
                mint: Some(balance.mint),
                symbol: None,
            })
        })
        .collect()
}

/// A mint that has no name here, short enough for a sentence.
fn short(mint: Mint) -> String {
    let text = mint.to_string();
    let (head, tail) = (text.get(..4), text.get(text.len().saturating_sub(4)..));
    format!("{}…{}", head.unwrap_or_default(), tail.unwrap_or_default())
}
