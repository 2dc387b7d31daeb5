//! Compares a confirmation with the API's history: the history is proof of a credit, the answer to a confirmation is a promise.

use super::{CheckoutStatus, Signature, Timestamp};
use std::time::Duration;

/// How far a confirmation is, as far as the history can change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Waits to be sent, or to be sent again.
    Queued {
        /// When the API said no, if it did.
        rejected: Option<Rejected>,
        /// Whether the API accepted it before.
        was_accepted: bool,
    },
    /// Given up. The API never accepted it.
    Parked,
    /// The API accepted it, and its history has not shown the credit yet.
    Accepted {
        /// When it last accepted it.
        at: Timestamp,
        /// Whether it was sent once more because the credit did not show.
        asked_again: bool,
    },
    /// The API accepted it, and its history contradicts that.
    Uncredited,
}

/// When the API said no to a confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The first time.
    pub since: Timestamp,
    /// The last time.
    pub last: Timestamp,
}

impl Rejected {
    /// Time for an API that says no to catch up with the chain.
    pub const PATIENCE: Duration = Duration::from_mins(10);

    /// When that time ends.
    #[must_use]
    pub fn patience_ends(self) -> Timestamp {
        self.since.plus(Self::PATIENCE)
    }

    /// Whether the API still said no after that time.
    #[must_use]
    pub fn is_final(self) -> bool {
        self.last >= self.patience_ends()
    }
}

/// What the history makes of a confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The credit of an accepted confirmation shows.
    Credited,
    /// The checkout is confirmed by this transaction, or by one that is not named, although the API did not accept the confirmation.
    Settled,
    /// The checkout is confirmed by another transaction: this payment is one too many.
    PaidByOther(Signature),
    /// The API accepted the confirmation and shows the checkout as pending: the same pair is sent once more.
    SendAgain,
    /// The API accepted the confirmation twice and still shows the checkout as pending: a person must look.
    StillPending,
    /// The API accepted the confirmation, and names another transaction for the checkout: a person must look.
    CreditedOther(Signature),
    /// The API said no for as long as it may, and still shows the checkout as pending: a person must look.
    GiveUp,
}

/// Compares a confirmation of `signature` with a page of the history that was requested at `asked_at`.
///
/// A page that was requested before the API answered proves a credit, and never the lack of one. `credit_within` is the time that the
/// API may take to show a credit after it accepted a confirmation.
#[must_use]
pub fn reconcile(
    told: Told,
    signature: Signature,
    status: CheckoutStatus,
    asked_at: Timestamp,
    credit_within: Duration,
) -> Option<Finding> {
    match (status, told) {
        (CheckoutStatus::Confirmed(Some(by)), _) if by != signature => match told {
            Told::Uncredited => None,
            Told::Accepted { .. }
            | Told::Queued {
                was_accepted: true, ..
            } => Some(Finding::CreditedOther(by)),
            Told::Queued { .. } | Told::Parked => Some(Finding::PaidByOther(by)),
        },
        (CheckoutStatus::Confirmed(_), Told::Accepted { .. }) => Some(Finding::Credited),
        (CheckoutStatus::Confirmed(_), _) => Some(Finding::Settled),
        // A checkout in a state that is neither pending nor confirmed is not credited either.
        (
            CheckoutStatus::Pending | CheckoutStatus::Other(_),
            Told::Accepted { at, asked_again },
        ) => {
            let is_late = asked_at > at.plus(credit_within);
            let finding = if asked_again {
                Finding::StillPending
            } else {
                Finding::SendAgain
            };
            is_late.then_some(finding)
        }
        (CheckoutStatus::Pending | CheckoutStatus::Other(_), Told::Queued { rejected, .. }) => {
            let rejected = rejected?;
            (rejected.is_final() && asked_at > rejected.last).then_some(Finding::GiveUp)
        }
        (CheckoutStatus::Pending | CheckoutStatus::Other(_), Told::Parked | Told::Uncredited) => {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITHIN: Duration = Duration::from_mins(10);

    fn at(seconds: i64) -> Timestamp {
        Timestamp(1_790_000_000_000 + seconds * 1_000)
    }

    fn ours() -> Signature {
        Signature::from([1; 64])
    }

    #[test]
    fn the_history_settles_contradicts_or_says_nothing() {
        let other = Signature::from([2; 64]);
        let queued = |was_accepted| Told::Queued {
            rejected: None,
            was_accepted,
        };
        let accepted = |asked_again| Told::Accepted {
            at: at(0),
            asked_again,
        };
        let by = CheckoutStatus::Confirmed;
        let soon = 1;
        for (told, status, expected) in [
            (queued(false), by(Some(ours())), Some(Finding::Settled)),
            (queued(true), by(Some(ours())), Some(Finding::Settled)),
            (queued(false), by(None), Some(Finding::Settled)),
            (Told::Parked, by(Some(ours())), Some(Finding::Settled)),
            (Told::Parked, by(None), Some(Finding::Settled)),
            (Told::Uncredited, by(Some(ours())), Some(Finding::Settled)),
            (Told::Uncredited, by(None), Some(Finding::Settled)),
            (accepted(false), by(Some(ours())), Some(Finding::Credited)),
            (accepted(true), by(None), Some(Finding::Credited)),
            (
                queued(false),
                by(Some(other)),
                Some(Finding::PaidByOther(other)),
            ),
            (
                Told::Parked,
                by(Some(other)),
                Some(Finding::PaidByOther(other)),
            ),
            (
                queued(true),
                by(Some(other)),
                Some(Finding::CreditedOther(other)),
            ),
            (
                accepted(false),
                by(Some(other)),
                Some(Finding::CreditedOther(other)),
            ),
            (Told::Uncredited, by(Some(other)), None),
            (queued(false), CheckoutStatus::Pending, None),
            (Told::Parked, CheckoutStatus::Pending, None),
            (Told::Uncredited, CheckoutStatus::Pending, None),
            (accepted(false), CheckoutStatus::Pending, None),
        ] {
            let found = reconcile(told, ours(), status, at(soon), WITHIN);
            assert_eq!(found, expected, "{told:?} {status:?}");
        }
    }

    #[test]
    fn a_credit_may_take_its_time_and_is_asked_for_once_more() {
        let found = |asked_again, seconds| {
            let told = Told::Accepted {
                at: at(0),
                asked_again,
            };
            reconcile(told, ours(), CheckoutStatus::Pending, at(seconds), WITHIN)
        };
        // A page that was requested before the API accepted it.
        assert_eq!(found(false, -3_600), None);
        assert_eq!(found(false, 600), None);
        assert_eq!(found(false, 601), Some(Finding::SendAgain));
        assert_eq!(found(true, 600), None);
        assert_eq!(found(true, 601), Some(Finding::StillPending));
    }

    #[test]
    fn a_rejection_is_final_once_it_was_repeated_after_ten_minutes_and_a_later_page_agrees() {
        let found = |last, asked_at| {
            let rejected = Rejected {
                since: at(0),
                last: at(last),
            };
            let told = Told::Queued {
                rejected: Some(rejected),
                was_accepted: false,
            };
            reconcile(told, ours(), CheckoutStatus::Pending, at(asked_at), WITHIN)
        };
        assert_eq!(found(599, 3_600), None, "it is asked once more first");
        assert_eq!(found(600, 601), Some(Finding::GiveUp));
        assert_eq!(found(600, 600), None, "the page is older than the answer");
    }
}
