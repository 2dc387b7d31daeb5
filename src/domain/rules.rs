//! The watch list and the policy that belong together: the only thing that payments are judged by.
//!
//! A policy names tokens and human units. Only a watch list says which mints these are and how many decimal places they have,
//! so there are no rules without one, and a payment to an account that is not on it is not judged.

use super::{BaseUnits, Commitment, Credit, Limit, Mint, Policy, TokenName, WatchList};
use std::collections::BTreeMap;

/// What is watched, and the operator's policy for it. Can be made from both together only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    accounts: WatchList,
    policy: Policy,
    finalized_above: Limits,
}

/// Limits in base units of watched mints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Limits {
    by_mint: BTreeMap<Mint, BaseUnits>,
    /// Tokens with a limit that are not watched.
    unmatched: Vec<TokenName>,
}

impl Rules {
    /// Applies a policy to a watch list. On an empty watch list nothing is judged.
    #[must_use]
    pub fn new(policy: Policy, accounts: WatchList) -> Self {
        Self {
            finalized_above: Limits::of(&policy.finalized_above, &accounts),
            accounts,
            policy,
        }
    }

    /// The watched token accounts.
    #[must_use]
    pub fn accounts(&self) -> &WatchList {
        &self.accounts
    }

    /// The operator's wishes.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The tokens of limits in `policy.finalized_above` that name nothing watched. While there are any, all payments are large.
    #[must_use]
    pub fn unmatched(&self) -> &[TokenName] {
        &self.finalized_above.unmatched
    }

    /// Whether a credit is above its limit in `policy.finalized_above`.
    #[must_use]
    pub fn is_large(&self, credit: &Credit) -> bool {
        let Limits { by_mint, unmatched } = &self.finalized_above;
        // The limit may have been meant for this very token.
        !unmatched.is_empty()
            || by_mint
                .get(&credit.mint)
                .is_some_and(|limit| credit.received > *limit)
    }

    /// The commitment that a payment of this size waits for.
    #[must_use]
    pub fn wait_for(&self, credit: &Credit) -> Commitment {
        if self.is_large(credit) {
            Commitment::Finalized
        } else {
            self.policy.confirm_at
        }
    }
}

impl Limits {
    /// Of several limits for one mint the lowest counts. One that is finer than the mint, or larger than any amount, counts as 0.
    fn of(written: &[Limit], accounts: &WatchList) -> Self {
        let mut limits = Self::default();
        for Limit { token, amount } in written {
            let mut is_matched = false;
            for watched in accounts.iter().filter(|watched| token.names(watched)) {
                is_matched = true;
                let limit = BaseUnits::parse_human(amount, watched.decimals).unwrap_or_default();
                let lowest = limits.by_mint.entry(watched.mint).or_insert(limit);
                *lowest = limit.min(*lowest);
            }
            if !is_matched {
                limits.unmatched.push(token.clone());
            }
        }
        limits
    }
}

#[cfg(test)]
mod tests;
