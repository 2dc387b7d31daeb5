//! What the operator allows.

use super::{BaseUnits, Commitment, Mint};
use std::collections::BTreeMap;

/// The operator's rules for confirming.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Which amounts satisfy a checkout.
    pub amount: AmountRule,
    /// What to do with a memo that no checkout has.
    pub unknown_memo: UnknownMemo,
    /// What every payment waits for before it is confirmed.
    pub confirm_at: Commitment,
    /// Larger payments of these mints wait for `finalized`, whatever `confirm_at` says.
    pub finalized_above: BTreeMap<Mint, BaseUnits>,
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

/// The careful one: exact amounts, at `confirmed`.
impl Default for Policy {
    fn default() -> Self {
        Self {
            amount: AmountRule::Exact,
            unknown_memo: UnknownMemo::Hold,
            confirm_at: Commitment::Confirmed,
            finalized_above: BTreeMap::new(),
        }
    }
}

impl Policy {
    /// What a payment of this size must wait for.
    #[must_use]
    pub fn wait_for(&self, mint: Mint, received: BaseUnits) -> Commitment {
        let large = self
            .finalized_above
            .get(&mint)
            .is_some_and(|limit| received > *limit);
        if large {
            Commitment::Finalized
        } else {
            self.confirm_at
        }
    }
}
