//! One call to the merchant, and what its answer makes of a confirmation.

use super::{Pipeline, next_attempt};
use crate::domain::{Checkout, CheckoutStatus, Signature, Timestamp};
use crate::merchant::Answer;
use crate::store::{Attempt, Due, Next};
use crate::{chance, clock};
use std::time::Duration;

/// How long an API that says no is given to catch up with the chain before a person must look.
const REJECTION_PATIENCE: Duration = Duration::from_mins(10);
/// How long confirmations wait after the key was refused.
pub(super) const KEY_PAUSE: Duration = Duration::from_mins(1);

/// An attempt that ended.
pub(super) struct Done {
    pub(super) due: Due,
    pub(super) attempt: Attempt,
    pub(super) next: Next,
    pub(super) answer: Answer,
    /// What the API's history told by the way; it concerns other payments too.
    pub(super) learned: Option<Checkout>,
}

/// Logs and counts what became of an attempt.
pub(super) fn announce(done: &Done) {
    let Done {
        due, attempt, next, ..
    } = done;
    let (signature, memo, reason) = (due.signature, &due.memo, &attempt.reason);
    let word = match next {
        Next::Acknowledged => {
            let took = clock::now().since(due.queued_at);
            metrics::histogram!("paywatch_confirm_seconds").record(took.as_secs_f64());
            tracing::info!(%signature, %memo, reason, ?took, "payment confirmed");
            "acknowledged"
        }
        Next::Retry { due_at, .. } => {
            let again_in = due_at.since(clock::now());
            tracing::warn!(%signature, %memo, reason, ?again_in, "confirmation not taken; will be sent again");
            "retry"
        }
        Next::Parked => {
            tracing::error!(%signature, %memo, reason, "confirmation given up: a person must look");
            "parked"
        }
        Next::PaidByOther => {
            tracing::warn!(%signature, %memo, reason, "checkout was confirmed by another transaction: this payment is held");
            "paid_by_other"
        }
    };
    metrics::counter!("paywatch_attempts_total", "outcome" => word).increment(1);
}

impl Pipeline {
    /// One call to the merchant, and what it means.
    pub(super) async fn attempt(&self, due: Due) -> Done {
        let (at, began) = (clock::now(), tokio::time::Instant::now());
        let result = self.merchant.confirm(&due.memo, due.signature).await;
        let mut learned = None;
        let attempt = |reason: String| Attempt {
            at,
            status: result.status,
            took: began.elapsed(),
            reason,
        };
        let (next, reason) = match result.answer {
            Answer::Accepted => (Next::Acknowledged, result.reason.clone()),
            Answer::KeyRefused => {
                let due_at = clock::now().plus(KEY_PAUSE);
                (
                    Next::Retry {
                        due_at,
                        rejected_since: due.rejected_since,
                    },
                    result.reason.clone(),
                )
            }
            Answer::Later(retry_after) => (
                self.later(&due, retry_after, due.rejected_since),
                result.reason.clone(),
            ),
            Answer::Rejected => match self.look_up(&due.memo).await {
                Ok(checkout) => {
                    let after = self.after_rejection(&due, checkout.as_ref(), &result.reason);
                    learned = checkout;
                    after
                }
                Err(error) => (
                    self.later(&due, None, due.rejected_since),
                    format!("{}; the history could not be read: {error}", result.reason),
                ),
            },
        };
        Done {
            attempt: attempt(reason),
            answer: result.answer,
            next,
            due,
            learned,
        }
    }

    fn later(
        &self,
        due: &Due,
        retry_after: Option<Duration>,
        rejected_since: Option<Timestamp>,
    ) -> Next {
        let now = clock::now();
        if now.since(due.queued_at) > self.config.merchant.give_up_after {
            return Next::Parked;
        }
        let due_at = next_attempt(
            due.attempts.saturating_add(1),
            retry_after,
            now,
            chance::fraction(),
        );
        Next::Retry {
            due_at,
            rejected_since,
        }
    }

    /// The API said no. Its history says why: the checkout is confirmed already, or the API lags behind the chain.
    fn after_rejection(
        &self,
        due: &Due,
        checkout: Option<&Checkout>,
        reason: &str,
    ) -> (Next, String) {
        let now = clock::now();
        match confirmed_by(checkout, due.signature) {
            ConfirmedBy::This => (
                Next::Acknowledged,
                "the history shows it confirmed by this transaction".into(),
            ),
            ConfirmedBy::Untold => (
                Next::Acknowledged,
                "the history shows it confirmed and does not say by which transaction".into(),
            ),
            ConfirmedBy::Other(other) => (
                Next::PaidByOther,
                format!("the history shows it confirmed by {other}"),
            ),
            ConfirmedBy::Nobody => {
                let since = due.rejected_since.unwrap_or(now);
                if now.since(since) > REJECTION_PATIENCE {
                    (
                        Next::Parked,
                        format!("{reason}, and the history still shows it pending"),
                    )
                } else {
                    (
                        self.later(due, None, Some(since)),
                        format!("{reason}, and the history shows it pending"),
                    )
                }
            }
        }
    }
}

enum ConfirmedBy {
    This,
    Untold,
    Other(Signature),
    Nobody,
}

fn confirmed_by(checkout: Option<&Checkout>, signature: Signature) -> ConfirmedBy {
    match checkout.map(|checkout| checkout.status) {
        Some(CheckoutStatus::Confirmed(Some(by))) if by == signature => ConfirmedBy::This,
        Some(CheckoutStatus::Confirmed(Some(by))) => ConfirmedBy::Other(by),
        Some(CheckoutStatus::Confirmed(None)) => ConfirmedBy::Untold,
        Some(CheckoutStatus::Pending | CheckoutStatus::Other(_)) | None => ConfirmedBy::Nobody,
    }
}
