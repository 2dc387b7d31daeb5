//! Transaction → what watched token accounts gained, the transfers that explain it, and the memos.
//!
//! The amount is never taken from an instruction: fees are withheld, bridges mint, round trips net to
//! nothing. It is the difference of the balances, and only where owner, mint and program are right.

use super::balances::{Account, WalletGain, check_told_once};
use super::{
    BaseUnits, Credit, Memo, Mint, Outcome, Transaction, Transfer, Wallet, WatchList, Watched,
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
    /// The memo, or a transfer to a watched account, may be among the inner instructions.
    #[error("the node kept no inner instructions of it, where its memo or a transfer may be")]
    InnerInstructions,
    /// Owner or program of a watched account is unknown.
    #[error("the node kept no owner or token program of a watched token account")]
    Owner,
    /// A node that leaves out what an account held makes all of it look like a payment.
    #[error(
        "the node tells no balance of a watched token account from before, and its transfers do not explain the one after"
    )]
    BalanceBefore,
    /// A node that leaves out what an account holds makes a payment look like none.
    #[error(
        "the node tells no balance of a watched token account from after it, although the account received tokens or held some, and was not closed"
    )]
    BalanceAfter,
    /// A credit depends on other accounts of the wallet.
    #[error(
        "the node leaves out an owner or a balance of an account that may be another one of the watched wallet"
    )]
    Wallet,
    /// Tokens of the native mint may be lamports that came in an earlier transaction.
    #[error(
        "the node tells no lamports of a watched account of wrapped SOL, and its transfers do not explain what it gained"
    )]
    Lamports,
    /// One of the two is wrong.
    #[error("the node tells two different things of one token account")]
    Contradiction,
}

/// Reads a transaction. One that failed gave nothing to anybody, whatever its balances say.
///
/// # Errors
/// When the node left out a part that the answer depends on: such a transaction is held as unreadable.
pub fn decode(transaction: &Transaction, watch_list: &WatchList) -> Result<Decoded, Incomplete> {
    if transaction.outcome == Outcome::Failed {
        return Ok(Decoded::default());
    }
    check_told_once(&transaction.pre)?;
    check_told_once(&transaction.post)?;
    let transfers = transaction.transfers();
    let decoded = Decoded {
        credits: credits(transaction, watch_list, &transfers)?,
        memos: transaction.memos(),
        transfers,
    };
    if !transaction.inner_known && !decoded.credits.is_empty() && decoded.memos.is_empty() {
        return Err(Incomplete::InnerInstructions);
    }
    Ok(decoded)
}

fn credits(
    transaction: &Transaction,
    watch_list: &WatchList,
    transfers: &[Transfer],
) -> Result<Vec<Credit>, Incomplete> {
    // Tokens that move between two accounts of one wallet are no income: no wallet is credited more than its sum grew.
    let mut budgets: BTreeMap<(Wallet, Mint), WalletGain> = BTreeMap::new();
    let mut credits = Vec::new();
    let touched = watch_list.among(&transaction.keys);
    for watched in touched.iter().filter_map(|key| watch_list.get(key)) {
        let account = Account::of(watched.token_account, transaction);
        account.check_watched(transaction)?;
        let gained = account.gained(watched).filter(|gained| gained.0 > 0);
        let Some(gained) = gained else {
            continue;
        };
        let (wallet, mint) = (watched.wallet, watched.mint);
        let budget = budgets
            .entry((wallet, mint))
            .or_insert_with(|| WalletGain::of(wallet, mint, transaction, transfers));
        let received = budget.spend(gained)?;
        if received > BaseUnits(0) {
            credits.push(Credit {
                token_account: watched.token_account,
                wallet,
                mint,
                received,
                payer: payer(transaction, watched, transfers),
            });
        }
    }
    Ok(credits)
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
