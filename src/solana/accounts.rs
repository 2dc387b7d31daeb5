//! Which token accounts to watch for a mint and a wallet.

use super::{Error, Rpc};
use crate::domain::{Decimals, Mint, TokenAccount, TokenProgram, Wallet, Watched};
use spl_associated_token_account_interface::address::get_associated_token_address_with_program_id;

/// A token to be paid in, and the wallet to be paid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The token.
    pub mint: Mint,
    /// The wallet.
    pub wallet: Wallet,
    /// The token's name, for people.
    pub symbol: String,
}

/// Why nothing can be watched for a target.
#[derive(Debug, thiserror::Error)]
pub enum Unwatchable {
    /// The node did not say.
    #[error("the node could not be asked")]
    Node(#[from] Error),
    /// Wrong address, or wrong network.
    #[error("there is no token with mint {0} on this network")]
    NoSuchMint(Mint),
}

/// The associated token account, whether it exists yet or not, and every other token account of the wallet for the mint.
///
/// Program and decimal places of a mint never change: where they are `known`, the node is not asked for them.
///
/// # Errors
/// When the node does not answer, or the mint is not there.
pub async fn watched_accounts(
    rpc: &Rpc,
    target: &Target,
    known: Option<(TokenProgram, Decimals)>,
) -> Result<Vec<Watched>, Unwatchable> {
    let (token_program, decimals) = match known {
        Some(known) => known,
        None => rpc
            .mint(target.mint)
            .await?
            .ok_or(Unwatchable::NoSuchMint(target.mint))?,
    };
    let associated = associated(target.wallet, target.mint, token_program);
    let mut addresses = rpc.token_accounts(target.wallet, target.mint).await?;
    addresses.push(associated);
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses
        .into_iter()
        .map(|token_account| Watched {
            token_account,
            wallet: target.wallet,
            mint: target.mint,
            token_program,
            decimals,
            symbol: target.symbol.clone(),
        })
        .collect())
}

/// The token account that wallets pay into, whether it exists yet or not.
#[must_use]
pub fn associated(wallet: Wallet, mint: Mint, token_program: TokenProgram) -> TokenAccount {
    let address =
        get_associated_token_address_with_program_id(&wallet.0, &mint.0, &token_program.id());
    TokenAccount(address)
}
