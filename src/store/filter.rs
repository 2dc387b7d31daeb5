//! Which payments are asked for.

use super::bulk::Seen;
use crate::domain::{Memo, Mint, Signature, Timestamp, Wallet};
use std::str::FromStr;

/// Where a payment stands, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentState {
    /// A person must decide, or a checkout must become known.
    Held,
    /// Held, and too small to need a person (`policy.dust_below`).
    Dust,
    /// A person put it aside.
    Dismissed,
    /// Its confirmation waits to be sent.
    Queued,
    /// The API has it.
    Acknowledged,
    /// Its confirmation was given up: a person must look.
    Parked,
    /// The API accepted its confirmation, and its history shows no credit: a person must look.
    Uncredited,
    /// Its fork died.
    Dropped,
}

impl PaymentState {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Held,
        Self::Dust,
        Self::Dismissed,
        Self::Queued,
        Self::Acknowledged,
        Self::Parked,
        Self::Uncredited,
        Self::Dropped,
    ];

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Dust => "dust",
            Self::Dismissed => "dismissed",
            Self::Queued => "queued",
            Self::Acknowledged => "acknowledged",
            Self::Parked => "parked",
            Self::Uncredited => "uncredited",
            Self::Dropped => "dropped",
        }
    }
}

impl FromStr for PaymentState {
    type Err = ();

    fn from_str(word: &str) -> std::result::Result<Self, ()> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == word)
            .ok_or(())
    }
}

/// Which payments are asked for; what is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this transaction.
    pub signature: Option<Signature>,
    /// `matched`, or a reason.
    pub verdict: Option<String>,
    /// In this state.
    pub state: Option<PaymentState>,
    /// In this token.
    pub mint: Option<Mint>,
    /// With this memo, or for the checkout of it.
    pub memo: Option<Memo>,
    /// From this payer.
    pub payer: Option<Wallet>,
    /// Not seen before then.
    pub since: Option<Timestamp>,
    /// Not seen after then.
    pub until: Option<Timestamp>,
    /// Those that nothing was recorded of since.
    pub seen: Option<Seen>,
    /// Recorded before the payment of this row.
    pub before: Option<i64>,
    /// At most so many, the newest.
    pub limit: u32,
}

impl Filter {
    /// The newest payments, whatever they are.
    #[must_use]
    pub fn newest(limit: u32) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }
}
