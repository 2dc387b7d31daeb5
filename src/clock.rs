//! The one place where the clock is read; everybody else is handed `now`.

use crate::domain::Timestamp;
use std::{
    cell::Cell,
    time::{Duration, UNIX_EPOCH},
};
use tokio::time::Instant;

thread_local! {
    /// In a simulation: when it began, by its own calendar and by the runtime's clock.
    static SIMULATED: Cell<Option<(Timestamp, Instant)>> = const { Cell::new(None) };
}

/// The current time.
#[must_use]
pub fn now() -> Timestamp {
    if let Some((start, began)) = SIMULATED.get() {
        return start.plus(began.elapsed());
    }
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    let now = std::time::SystemTime::now();
    Timestamp(0).plus(now.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// From now on this thread's time begins at `start` and goes as the runtime's clock goes, which a simulation can pause.
pub fn simulate(start: Timestamp) {
    SIMULATED.set(Some((start, Instant::now())));
}

/// Sets this thread's simulated clock forwards by so many milliseconds, or back if they are negative.
pub fn step(milliseconds: i64) {
    if let Some((start, began)) = SIMULATED.get() {
        let start = Timestamp(start.0.saturating_add(milliseconds));
        SIMULATED.set(Some((start, began)));
    }
}

/// Reads an instant as people and machines write it: RFC 3339 in UTC, not before 1970.
#[must_use]
pub fn read(text: &str) -> Option<Timestamp> {
    let at = humantime::parse_rfc3339_weak(text).ok()?;
    let since = at.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp(0).plus(since))
}

/// Unix seconds as people and machines write an instant: RFC 3339 in UTC.
#[must_use]
pub fn written(at: i64) -> String {
    let since = Duration::from_secs(u64::try_from(at).unwrap_or(0));
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string()
}
