//! How far a checkout is, as its buyer sees it.

use super::{Filter, PaymentState, PaymentSummary, Result, Store};
use crate::domain::{Checkout, CheckoutStatus, Held, Memo};
use std::str::FromStr;

/// How far a checkout is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// No payment was seen.
    Waiting,
    /// No payment was seen, and the checkout is neither pending nor confirmed: it is not to be paid.
    Closed,
    /// A payment was seen, and its confirmation is on its way.
    Seen {
        /// Its transaction.
        signature: String,
    },
    /// Credited.
    Confirmed {
        /// By this transaction, if that is known.
        signature: Option<String>,
    },
    /// A payment was seen, and is not credited by itself.
    NeedsHelp {
        /// Its transaction.
        signature: String,
        /// Why it is held: [`Held::UnknownMemo`] means that it came with another memo, which resembles the checkout's. `None` = the
        /// payments API does not credit it.
        reason: Option<Held>,
    },
}

impl Stage {
    /// Its word.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Closed => "closed",
            Self::Seen { .. } => "seen",
            Self::Confirmed { .. } => "confirmed",
            Self::NeedsHelp { .. } => "needs help",
        }
    }

    /// The transaction, if one is known.
    #[must_use]
    pub fn signature(&self) -> Option<&str> {
        match self {
            Self::Waiting | Self::Closed => None,
            Self::Seen { signature } | Self::NeedsHelp { signature, .. } => Some(signature),
            Self::Confirmed { signature } => signature.as_deref(),
        }
    }

    /// Of what the API says of a checkout, nothing being known of payments.
    #[must_use]
    pub fn by_status(status: CheckoutStatus) -> Self {
        match status {
            CheckoutStatus::Pending => Self::Waiting,
            CheckoutStatus::Other(_) => Self::Closed,
            CheckoutStatus::Confirmed(by) => Self::Confirmed {
                signature: by.map(|signature| signature.to_string()),
            },
        }
    }

    /// Of a payment; `None` = it is as if it had not been. What does not know its checkout yet is judged again at once.
    fn of(payment: &PaymentSummary) -> Option<Self> {
        let signature = payment.signature.clone();
        match payment.state {
            PaymentState::Acknowledged => Some(Self::Confirmed {
                signature: Some(signature),
            }),
            PaymentState::Queued => Some(Self::Seen { signature }),
            PaymentState::Parked | PaymentState::Uncredited => Some(Self::NeedsHelp {
                signature,
                reason: None,
            }),
            PaymentState::Held => match Held::from_str(&payment.verdict).ok() {
                Some(Held::UnknownMemo) => Some(Self::Seen { signature }),
                reason => Some(Self::NeedsHelp { signature, reason }),
            },
            // It keeps its checkout: another payment would be one too many.
            PaymentState::Dismissed if payment.confirmation.is_some() => Some(Self::NeedsHelp {
                signature,
                reason: None,
            }),
            PaymentState::Dismissed | PaymentState::Dropped | PaymentState::Dust => None,
        }
    }

    /// Of several payments for one checkout the best news counts.
    fn rank(&self) -> u8 {
        match self {
            Self::Waiting | Self::Closed => 0,
            Self::NeedsHelp { .. } => 1,
            Self::Seen { .. } => 2,
            Self::Confirmed { .. } => 3,
        }
    }
}

impl Store {
    /// Most payments of one checkout that are looked at.
    const PAYMENTS_MAX: u32 = 64;

    /// A checkout by its exact memo, and how far it is; `None` if no such checkout is known.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn stage(&self, memo: &Memo) -> Result<Option<(Checkout, Stage)>> {
        let named = self.checkouts_named(std::slice::from_ref(memo)).await?;
        let Some(checkout) = named.into_iter().find(|one| one.memo == *memo) else {
            return Ok(None);
        };
        let filter = Filter {
            memo: Some(memo.clone()),
            ..Filter::newest(Self::PAYMENTS_MAX)
        };
        let payments = self.payments(&filter).await?;
        let stages = payments.iter().filter_map(Stage::of);
        let all = stages.chain([Stage::by_status(checkout.status)]);
        let mut best = all.max_by_key(Stage::rank).unwrap_or(Stage::Waiting);
        if best == Stage::Waiting
            && let Some(signature) = self.misnamed_for(memo).await?
        {
            let reason = Some(Held::UnknownMemo);
            best = Stage::NeedsHelp { signature, reason };
        }
        Ok(Some((checkout, best)))
    }
}
