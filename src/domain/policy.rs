//! The operator's wishes, as written: limits name tokens and hold human units, so nothing can be judged by them alone.

use super::{Commitment, Mint};
use std::fmt;

/// The operator's wishes. [`Rules`](super::Rules) applies them to what is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Which amounts satisfy a checkout.
    pub amount: AmountRule,
    /// What to do with a memo that no checkout has.
    pub unknown_memo: UnknownMemo,
    /// What every payment waits for before it is confirmed.
    pub confirm_at: Commitment,
    /// Larger payments wait for `finalized`, whatever `confirm_at` says.
    pub finalized_above: Vec<Limit>,
    /// Smaller payments that match nothing need nobody.
    pub dust_below: Vec<Limit>,
}

/// Which amounts satisfy a checkout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AmountRule {
    /// The amount due and nothing else.
    Exact,
    /// The amount due or more.
    AtLeast,
}

/// What to do with a memo that no known checkout has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownMemo {
    /// Hold the payment, ask the API for new checkouts.
    Hold,
    /// Send it to the API and leave the judgement to the backend.
    Confirm,
}

/// An amount of a token, as the operator writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The token.
    pub token: TokenName,
    /// The amount, decimal text in human units.
    pub amount: String,
}

/// How an operator names a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenName {
    /// By the address of its mint.
    Mint(Mint),
    /// By its symbol, in upper or lower case.
    Symbol(String),
}

impl TokenName {
    /// An address names a mint, any other text a symbol.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.parse() {
            Ok(mint) => Self::Mint(mint),
            Err(_) => Self::Symbol(text.trim().to_owned()),
        }
    }

    /// Whether it names the token of this mint and symbol.
    #[must_use]
    pub fn names(&self, mint: Mint, symbol: &str) -> bool {
        match self {
            Self::Mint(named) => *named == mint,
            Self::Symbol(named) => named.to_lowercase() == symbol.trim().to_lowercase(),
        }
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mint(mint) => mint.fmt(f),
            Self::Symbol(symbol) => f.write_str(&super::visible(symbol)),
        }
    }
}

/// The careful one: exact amounts, at `confirmed`.
impl Default for Policy {
    fn default() -> Self {
        Self {
            amount: AmountRule::Exact,
            unknown_memo: UnknownMemo::Hold,
            confirm_at: Commitment::Confirmed,
            finalized_above: Vec::new(),
            dust_below: Vec::new(),
        }
    }
}
