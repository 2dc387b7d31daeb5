//! Why the API did not answer a question.

use crate::http::Fault;
use reqwest::StatusCode;
use std::time::Duration;

/// Why the API did not answer a question.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection, no answer in time, or a cut one.
    #[error("the payments API did not answer")]
    Transport(#[source] Fault),
    /// The key is wrong.
    #[error("the payments API refuses the key (HTTP status {0})")]
    KeyRefused(StatusCode),
    /// The API asked for a pause that is not over: nothing was sent.
    #[error(
        "the payments API asked for fewer requests: none is sent for {} s",
        .0.as_secs().saturating_add(1)
    )]
    Paused(Duration),
    /// A redirect, which is not followed: the key and the payments would go elsewhere.
    #[error(
        "the payments API answered with HTTP status {status}, a redirect to {target}, which is not followed: set merchant.base_url to the address that answers"
    )]
    Redirected {
        /// The status.
        status: StatusCode,
        /// Scheme and host of the target.
        target: String,
    },
    /// Any other status that is no answer.
    #[error("the payments API answered with HTTP status {status}{said}")]
    Status {
        /// The status.
        status: StatusCode,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
        /// The beginning of its text, for people alone; it is never read for meaning.
        said: String,
    },
    /// A backend of an embedding program's own does not answer.
    #[error("the backend did not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Not what was asked for.
    #[error("the payments API's answer is not {0}")]
    Malformed(&'static str),
}

impl Error {
    /// Whether the API asked for fewer requests. That says nothing about the request itself.
    #[must_use]
    pub fn is_rate_limit(&self) -> bool {
        match self {
            Self::Paused(_) => true,
            Self::Status {
                status,
                retry_after,
                ..
            } => *status == StatusCode::TOO_MANY_REQUESTS || retry_after.is_some(),
            _ => false,
        }
    }

    /// How long the API asked to wait, if it did.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Paused(pause) => Some(*pause),
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
