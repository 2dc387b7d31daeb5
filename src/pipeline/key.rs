//! Whether the API refuses the key, or one confirmation: the same status says both.

use super::Pipeline;
use tokio::{sync::Mutex, time::Instant};

/// What the API says of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyState {
    Accepted,
    Refused,
    /// The API did not answer.
    Unknown,
}

/// The last question about the key: when it was asked, and the answer.
#[derive(Default)]
pub(super) struct KeyCheck(Mutex<Option<(Instant, KeyState)>>);

impl Pipeline {
    /// Asks the API whether it accepts the key, for a confirmation that was sent at `sent_at` and refused with the key as the reason.
    /// Confirmations that are refused together share one question.
    pub(super) async fn check_key(&self, sent_at: Instant) -> KeyState {
        let mut last = self.key_check.0.lock().await;
        if let Some((asked_at, state)) = *last
            && asked_at >= sent_at
        {
            return state;
        }
        let asked_at = Instant::now();
        let state = match self.merchant.accepts_key().await {
            Ok(true) => KeyState::Accepted,
            Ok(false) => KeyState::Refused,
            Err(error) => {
                tracing::debug!(%error, "the API was not asked about the key");
                KeyState::Unknown
            }
        };
        *last = Some((asked_at, state));
        state
    }
}
