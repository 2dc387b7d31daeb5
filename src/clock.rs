//! The one place where the clock is read; everybody else is handed `now`.

use crate::domain::Timestamp;
use std::time::UNIX_EPOCH;

/// The current time.
#[must_use]
pub fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    let now = std::time::SystemTime::now();
    Timestamp(0).plus(now.duration_since(UNIX_EPOCH).unwrap_or_default())
}
