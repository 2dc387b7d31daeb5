//! Which token accounts to watch for a mint and a wallet.

use super::{AccountKind, Error, Rpc, wire};
use crate::domain::{Decimals, Mint, TokenAccount, TokenProgram, Wallet, Watched};
use serde_json::{Value, json};
use solana_client::rpc_request::RpcRequest;
use spl_associated_token_account_interface::address::get_associated_token_address_with_program_id;

/// Most token accounts of one wallet and mint that are taken from an answer: anybody can make more.
const LISTED_MAX: usize = 10_000;

/// A token to be paid in, and the wallet to be paid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The token.
    pub mint: Mint,
    /// The wallet.
    pub wallet: Wallet,
    /// The token's name, for people.
    pub symbol: String,
}

/// The token accounts of a target.
#[derive(Debug)]
pub struct Found {
    /// The account that wallets pay into by themselves.
    pub associated: TokenAccount,
    /// The associated account, whether it exists yet or not, and every other one that the node lists.
    pub accounts: Vec<Watched>,
    /// Why the node lists none but the associated one.
    pub unlisted: Option<Error>,
    /// Accounts that the node lists beyond the most that are taken.
    pub left_out: usize,
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
    /// Tokens belong to wallets. For such an address a wallet application derives a token account whose tokens no transfer can move.
    #[error("the recipient {0} is {1}, not a wallet: name the wallet that owns the tokens")]
    NotAWallet(Wallet, AccountKind),
}

/// The associated token account, and every other token account of the wallet for the mint.
///
/// # Errors
/// As [`associated_one`].
pub async fn watched_accounts(rpc: &Rpc, target: &Target) -> Result<Found, Unwatchable> {
    let associated = associated_one(rpc, target, None).await?;
    Ok(with_others(rpc, associated).await)
}

/// The associated token account of a target, whether it exists yet or not.
///
/// Program and decimal places of a mint never change: where they are `known`, the node is not asked for them.
///
/// # Errors
/// When the node does not answer, the mint is not there, or the recipient is no wallet.
pub async fn associated_one(
    rpc: &Rpc,
    target: &Target,
    known: Option<(TokenProgram, Decimals)>,
) -> Result<Watched, Unwatchable> {
    let (token_program, decimals) = match known {
        Some(known) => known,
        None => rpc
            .mint(target.mint)
            .await?
            .ok_or(Unwatchable::NoSuchMint(target.mint))?,
    };
    match rpc.impatient().account_kind(target.wallet).await {
        Ok(AccountKind::Other) => {}
        Ok(kind) => return Err(Unwatchable::NotAWallet(target.wallet, kind)),
        // It is not known to be wrong.
        Err(error) if error.is_refusal() || error.is_too_many() => {}
        Err(error) => return Err(error.into()),
    }
    Ok(Watched {
        token_account: associated_account(target.wallet, target.mint, token_program),
        wallet: target.wallet,
        mint: target.mint,
        token_program,
        decimals,
        symbol: target.symbol.clone(),
    })
}

/// An associated token account, and every other token account of the same wallet and mint. A node that does not list them, or not now,
/// does not keep the associated account from being watched.
pub async fn with_others(rpc: &Rpc, associated: Watched) -> Found {
    let rpc = rpc.impatient();
    let listed = rpc.token_accounts(associated.wallet, associated.mint).await;
    let (mut addresses, unlisted) = match listed {
        Ok(listed) => (listed, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    addresses.retain(|address| *address != associated.token_account);
    addresses.sort_unstable();
    addresses.dedup();
    let left_out = addresses.len().saturating_sub(LISTED_MAX);
    addresses.truncate(LISTED_MAX);
    addresses.push(associated.token_account);
    let watched = |token_account| Watched {
        token_account,
        ..associated.clone()
    };
    Found {
        associated: associated.token_account,
        accounts: addresses.into_iter().map(watched).collect(),
        unlisted,
        left_out,
    }
}

/// Whether wallets pay into an account by themselves.
#[must_use]
pub fn is_associated(watched: &Watched) -> bool {
    let Watched { wallet, mint, .. } = *watched;
    watched.token_account == associated_account(wallet, mint, watched.token_program)
}

/// The token account that wallet applications derive for an owner and a mint.
#[must_use]
pub fn associated_account(owner: Wallet, mint: Mint, token_program: TokenProgram) -> TokenAccount {
    let program = token_program.id();
    TokenAccount(get_associated_token_address_with_program_id(
        &owner.0, &mint.0, &program,
    ))
}

impl Rpc {
    /// The token program and decimal places of a mint; `None` if there is no such mint on this network.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn mint(&self, mint: Mint) -> Result<Option<(TokenProgram, Decimals)>, Error> {
        let account = self.account(mint.to_string()).await?;
        Ok(wire::mint(&account)
            .and_then(|(program, places)| Some((program, Decimals::new(places)?))))
    }

    /// What stands at the address of a wallet.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn account_kind(&self, wallet: Wallet) -> Result<AccountKind, Error> {
        let account = self.account(wallet.to_string()).await?;
        Ok(wire::account_kind(&account))
    }

    /// An account, null if it is not there.
    async fn account(&self, address: String) -> Result<Value, Error> {
        let params = json!([address, { "encoding": "base64", "commitment": "confirmed" }]);
        let mut answer = self.ask(RpcRequest::GetAccountInfo, params).await?;
        let account = answer.get_mut("value").map(Value::take);
        account.ok_or_else(|| Self::malformed("getAccountInfo", "an account"))
    }

    /// All token accounts of a wallet for a mint, the associated one or not, that exist now.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn token_accounts(
        &self,
        wallet: Wallet,
        mint: Mint,
    ) -> Result<Vec<TokenAccount>, Error> {
        let options = json!({ "encoding": "base64", "commitment": "confirmed", "dataSlice": { "offset": 0, "length": 0 } });
        let params = json!([wallet.to_string(), { "mint": mint.to_string() }, options]);
        let answer = self
            .ask(RpcRequest::GetTokenAccountsByOwner, params)
            .await?;
        wire::token_accounts(&answer)
            .ok_or_else(|| Self::malformed("getTokenAccountsByOwner", "a list of token accounts"))
    }
}
