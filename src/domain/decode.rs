//! Transaction → what watched token accounts gained, the transfers that explain it, and the memos.
//!
//! The amount is never taken from an instruction: fees are withheld, bridges mint, round trips net to
//! nothing. It is the difference of the balances, and only where owner, mint and program are right.

use super::credit::brought;
use super::transaction::find;
use super::{
    BaseUnits, Credit, Memo, Mint, Outcome, TokenBalance, Transaction, Transfer, Wallet, WatchList,
    Watched,
};
use std::collections::BTreeMap;

/// Everything paywatch reads out of a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// What watched token accounts gained, in the order of their addresses.
    pub credits: Vec<Credit>,
    /// Every transfer, in order of execution.
    pub transfers: Vec<Transfer>,
    /// Every memo, in order of execution.
    pub memos: Vec<Memo>,
}

/// What the node left out, so that a transaction cannot be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Incomplete {
    /// The memo may be among the inner instructions.
    #[error("the node kept no inner instructions of it, where its memo may be")]
    InnerInstructions,
    /// Whose account it is, or of which program, is not told.
    #[error("the node kept no owner or token program of a watched token account")]
    Owner,
    /// A node that leaves out what an account held makes all of it look like a payment.
    #[error(
        "the node tells no balance of a watched token account from before, and its transfers do not explain the one after"
    )]
    BalanceBefore,
}

/// Reads a transaction. One that failed gave nothing to anybody, whatever its balances say.
///
/// # Errors
/// When the node left out what the answer hangs on: such a transaction is held as unreadable, not judged by half.
pub fn decode(transaction: &Transaction, watch_list: &WatchList) -> Result<Decoded, Incomplete> {
    if transaction.outcome == Outcome::Failed {
        return Ok(Decoded::default());
    }
    let transfers = transaction.transfers();
    let is_watched = |balance: &&TokenBalance| watch_list.contains(&balance.token_account);
    for post in transaction.post.iter().filter(is_watched) {
        if post.owner.is_none() || post.token_program.is_none() {
            return Err(Incomplete::Owner);
        }
        let is_new = find(&transaction.pre, post.token_account).is_none();
        if is_new && u128::from(post.amount.0) > explainable(post, &transfers) {
            return Err(Incomplete::BalanceBefore);
        }
    }
    let decoded = Decoded {
        credits: credits(transaction, watch_list, &transfers),
        memos: transaction.memos(),
        transfers,
    };
    if !transaction.inner_known && !decoded.credits.is_empty() && decoded.memos.is_empty() {
        return Err(Incomplete::InnerInstructions);
    }
    Ok(decoded)
}

/// How much a token account that was made in the transaction can hold after it: what transfers brought. An account of the
/// native mint also holds the lamports it was made with.
fn explainable(post: &TokenBalance, transfers: &[Transfer]) -> u128 {
    if post.mint.0 == spl_token::native_mint::id() {
        u128::MAX
    } else {
        brought(post.token_account, transfers)
    }
}

fn credits(
    transaction: &Transaction,
    watch_list: &WatchList,
    transfers: &[Transfer],
) -> Vec<Credit> {
    // Moving tokens between two accounts of one wallet is not income: no wallet is credited more than its sum grew.
    let mut budgets: BTreeMap<(Wallet, Mint), BaseUnits> = BTreeMap::new();
    let mut credits = Vec::new();
    let touched = watch_list.among(&transaction.keys);
    for watched in touched.iter().filter_map(|key| watch_list.get(key)) {
        let Some(gained) = gained(transaction, watched) else {
            continue;
        };
        let budget = budgets
            .entry((watched.wallet, watched.mint))
            .or_insert_with(|| wallet_gain(transaction, watched.wallet, watched.mint));
        let received = gained.min(*budget);
        *budget = BaseUnits(budget.0.saturating_sub(received.0));
        if received > BaseUnits(0) {
            credits.push(Credit {
                token_account: watched.token_account,
                wallet: watched.wallet,
                mint: watched.mint,
                received,
                payer: payer(transaction, watched, transfers),
            });
        }
    }
    credits
}

/// What one account gained, if it is after the transaction what it must be; an account that was not there before held 0.
fn gained(transaction: &Transaction, watched: &Watched) -> Option<BaseUnits> {
    let post = find(&transaction.post, watched.token_account)?;
    let right = post.owner == Some(watched.wallet)
        && post.mint == watched.mint
        && post.token_program == Some(watched.token_program);
    let before = find(&transaction.pre, watched.token_account).map_or(0, |pre| pre.amount.0);
    right.then(|| BaseUnits(post.amount.0.saturating_sub(before)))
}

/// How much all accounts of a wallet gained together; 0 where they lost.
fn wallet_gain(transaction: &Transaction, wallet: Wallet, mint: Mint) -> BaseUnits {
    let sum = |balances: &[TokenBalance]| -> u128 {
        balances
            .iter()
            .filter(|balance| balance.owner == Some(wallet) && balance.mint == mint)
            .map(|balance| u128::from(balance.amount.0))
            .fold(0, u128::saturating_add)
    };
    let gain = sum(&transaction.post).saturating_sub(sum(&transaction.pre));
    BaseUnits(u64::try_from(gain).unwrap_or(u64::MAX))
}

/// Who paid the largest transfer into the account.
fn payer(transaction: &Transaction, watched: &Watched, transfers: &[Transfer]) -> Option<Wallet> {
    let largest = transfers
        .iter()
        .filter(|transfer| transfer.destination == watched.token_account)
        .max_by_key(|transfer| transfer.amount)?;
    transaction.payer_of(largest)
}

#[cfg(test)]
mod tests;
