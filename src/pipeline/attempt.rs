//! One call to the merchant, and what its answer makes of a confirmation.

use super::key::KeyState;
use super::{Pipeline, next_attempt};
use crate::domain::{Rejected, Timestamp};
use crate::merchant::{Answer, ConfirmResult};
use crate::store::{Attempt, Due, Next};
use crate::{chance, clock};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long confirmations wait after the key was refused.
pub(super) const KEY_PAUSE: Duration = Duration::from_mins(1);

/// An attempt that ended.
pub(super) struct Done {
    pub(super) due: Due,
    pub(super) attempt: Attempt,
    pub(super) next: Next,
    /// What the answer says of the key.
    pub(super) key: KeyState,
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
        Next::NotSent { due_at } => {
            let again_in = due_at.since(clock::now());
            tracing::debug!(%signature, %memo, reason, ?again_in, "confirmation waits until the API takes requests again");
            return;
        }
        Next::Retry { due_at } | Next::Rejected { due_at, .. } => {
            let again_in = due_at.since(clock::now());
            tracing::warn!(%signature, %memo, reason, ?again_in, "confirmation not taken; will be sent again");
            "retry"
        }
        Next::Parked | Next::Refused => {
            tracing::error!(%signature, %memo, reason, "confirmation given up: a person must look");
            "parked"
        }
    };
    metrics::counter!("paywatch_attempts_total", "outcome" => word).increment(1);
}

/// The first instant after a pause. Instants are whole milliseconds: due within the last one of the pause, a confirmation would be taken
/// again and again.
fn after(pause: Duration, now: Timestamp) -> Timestamp {
    now.plus(pause.saturating_add(Duration::from_millis(1)))
}

impl Pipeline {
    /// One call to the merchant, and what it means. Ends in time, so that the lease never ends before it.
    pub(super) async fn attempt(&self, due: Due) -> Done {
        let (at, began) = (clock::now(), Instant::now());
        let end = began + self.longest_attempt();
        let call = self.merchant.confirm(&due.memo, due.signature);
        let result = timeout_at(end, call).await;
        let result = result.unwrap_or_else(|_| ConfirmResult::later("no answer in time"));
        let took = began.elapsed();
        let mut reason = result.reason;
        let (next, key) = match result.answer {
            Answer::Accepted => (Next::Acknowledged, KeyState::Accepted),
            Answer::Later(retry_after) => (self.later(&due, retry_after), KeyState::Unknown),
            Answer::NotSent(pause) => {
                let due_at = after(pause, clock::now());
                (Next::NotSent { due_at }, KeyState::Unknown)
            }
            Answer::Rejected => (self.after_rejection(&due), KeyState::Accepted),
            Answer::KeyRefused => match self.key_state(began, end).await {
                KeyState::Accepted => {
                    reason = format!(
                        "{reason}; elsewhere it takes the key, so this is a no to this confirmation"
                    );
                    (self.after_rejection(&due), KeyState::Accepted)
                }
                KeyState::Refused => {
                    let due_at = clock::now().plus(KEY_PAUSE);
                    (Next::Retry { due_at }, KeyState::Refused)
                }
                KeyState::Unknown => (self.later(&due, None), KeyState::Unknown),
            },
        };
        Done {
            attempt: Attempt {
                at,
                status: result.status,
                took,
                reason,
            },
            next,
            due,
            key,
        }
    }

    async fn key_state(&self, sent_at: Instant, end: Instant) -> KeyState {
        let state = timeout_at(end, self.check_key(sent_at)).await;
        state.unwrap_or(KeyState::Unknown)
    }

    fn later(&self, due: &Due, retry_after: Option<Duration>) -> Next {
        match self.next_try(due, retry_after) {
            Some(due_at) => Next::Retry { due_at },
            None => Next::Parked,
        }
    }

    /// When to try again; `None` when it was tried for long enough.
    fn next_try(&self, due: &Due, retry_after: Option<Duration>) -> Option<Timestamp> {
        let (now, tries) = (clock::now(), due.attempts.saturating_add(1));
        let is_tried_on = now.since(due.queued_at) <= self.config.merchant.give_up_after;
        is_tried_on.then(|| next_attempt(tries, retry_after, now, chance::fraction()))
    }

    /// The API said no. It may lag behind the chain: it is asked again on the schedule, and once when its patience ends. The readings
    /// of the history that happen anyway tell whether the checkout is confirmed, and give the confirmation up when it is not. A
    /// rejection costs no reading of its own.
    fn after_rejection(&self, due: &Due) -> Next {
        // Rejected again long after: no reading of the history said anything of this checkout.
        if due.rejected.is_some_and(Rejected::is_final) {
            return Next::Refused;
        }
        let now = clock::now();
        let since = due.rejected.map_or(now, |rejected| rejected.since.min(now));
        let patience_ends = Rejected { since, last: now }.patience_ends();
        match self.next_try(due, None) {
            Some(due_at) if now < patience_ends => Next::Rejected {
                due_at: due_at.min(patience_ends),
                since,
            },
            Some(due_at) => Next::Rejected { due_at, since },
            None => Next::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_sent_is_due_after_the_pause_and_not_within_it() {
        let now = Timestamp(1_790_000_000_000);
        assert_eq!(after(Duration::from_micros(300), now), Timestamp(now.0 + 1));
        assert_eq!(after(Duration::from_secs(2), now), Timestamp(now.0 + 2_001));
        assert!(after(Duration::MAX, now) > now);
    }
}
