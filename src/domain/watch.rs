//! What is watched: token accounts of the recipient wallets.

use super::{Decimals, Mint, Pubkey, TokenAccount, TokenProgram, Wallet};
use std::collections::BTreeMap;

/// One token account whose credits are payments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Where money arrives.
    pub token_account: TokenAccount,
    /// Who must own it.
    pub wallet: Wallet,
    /// What it must hold.
    pub mint: Mint,
    /// The program that must own mint and account.
    pub token_program: TokenProgram,
    /// Decimal places of the mint.
    pub decimals: Decimals,
    /// The token's name by the API or configuration, for people.
    pub symbol: String,
}

/// All watched token accounts, by address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchList(BTreeMap<TokenAccount, Watched>);

impl WatchList {
    /// The watched account at an address.
    #[must_use]
    pub fn get(&self, address: &TokenAccount) -> Option<&Watched> {
        self.0.get(address)
    }

    /// Whether an account is watched.
    #[must_use]
    pub fn contains(&self, address: &TokenAccount) -> bool {
        self.0.contains_key(address)
    }

    /// All of them, in the order of their addresses.
    pub fn iter(&self) -> impl Iterator<Item = &Watched> {
        self.0.values()
    }

    /// Whether nothing is watched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many accounts are watched.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The watched accounts among some keys.
    #[must_use]
    pub fn among(&self, keys: &[Pubkey]) -> Vec<TokenAccount> {
        let mut found: Vec<_> = keys
            .iter()
            .copied()
            .map(TokenAccount)
            .filter(|key| self.contains(key))
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

impl FromIterator<Watched> for WatchList {
    fn from_iter<I: IntoIterator<Item = Watched>>(accounts: I) -> Self {
        Self(
            accounts
                .into_iter()
                .map(|watched| (watched.token_account, watched))
                .collect(),
        )
    }
}
