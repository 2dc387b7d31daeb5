//! The watch list and the policy that belong together: the only thing that payments are judged by.
//!
//! A policy names tokens and human units. Only a watch list says which mints these are and how many decimal places they have,
//! so there are no rules without one, and a payment to an account that is not on it is not judged.

use super::{
    BaseUnits, Commitment, Credit, Held, Limit, Mint, Policy, TokenName, Verdict, WatchList,
};
use std::collections::{BTreeMap, BTreeSet};

/// What is watched, and the operator's policy for it. Can be made from both together only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    accounts: WatchList,
    policy: Policy,
    finalized_above: Limits,
    dust_below: Limits,
}

/// Whether a held payment is worth a person's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// A person must look.
    Money,
    /// Too small to matter: recorded, counted, and nobody is told.
    Dust,
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
            dust_below: Limits::of(&policy.dust_below, &accounts),
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

    /// The tokens of limits in `policy.dust_below` that name nothing watched.
    #[must_use]
    pub fn unmatched_dust(&self) -> &[TokenName] {
        &self.dust_below.unmatched
    }

    /// Whether a credit with this verdict is dust: below its limit in `policy.dust_below`, and it names no known checkout.
    #[must_use]
    pub fn weigh(&self, credit: &Credit, verdict: &Verdict) -> Weight {
        let is_small = self
            .dust_below
            .by_mint
            .get(&credit.mint)
            .is_some_and(|limit| credit.received < *limit);
        match verdict {
            Verdict::Held(reason) if is_small && Held::NAMING_NONE.contains(reason) => Weight::Dust,
            _ => Weight::Money,
        }
    }

    /// Each watched mint with the amount below which payments in it are dust, 0 for none.
    pub fn dust_limits(&self) -> impl Iterator<Item = (Mint, BaseUnits)> {
        let mints: BTreeSet<_> = self.accounts.iter().map(|watched| watched.mint).collect();
        let limit = |mint| self.dust_below.by_mint.get(&mint).copied();
        mints
            .into_iter()
            .map(move |mint| (mint, limit(mint).unwrap_or_default()))
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
            for watched in accounts
                .iter()
                .filter(|watched| token.names(watched.mint, &watched.symbol))
            {
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
