//! When a confirmation is tried again: pure arithmetic over a schedule that is data.

use crate::domain::Timestamp;
use std::time::Duration;

/// Pause before the attempt of that number; the last repeats.
const SCHEDULE: [Duration; 8] = [
    Duration::ZERO,
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(15),
    Duration::from_hours(1),
];

/// A server that asks for more than this is not obeyed further.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

/// When to try again after `attempts` attempts. `jitter` is 0.0 to 1.0 and stretches the pause by up to a fifth, so that
/// a backlog does not return as one wave. `retry_after` is never undercut.
#[must_use]
pub fn next_attempt(
    attempts: u32,
    retry_after: Option<Duration>,
    now: Timestamp,
    jitter: f64,
) -> Timestamp {
    let last = SCHEDULE[SCHEDULE.len() - 1];
    let pause = usize::try_from(attempts)
        .ok()
        .and_then(|index| SCHEDULE.get(index))
        .copied()
        .unwrap_or(last);
    let asked = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
    now.plus(pause.max(asked).mul_f64(1.0 + 0.2 * jitter.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(attempts: u32, retry_after: Option<u64>, jitter: f64) -> u64 {
        let now = Timestamp(1_000);
        next_attempt(attempts, retry_after.map(Duration::from_secs), now, jitter)
            .since(now)
            .as_secs()
    }

    #[test]
    fn pauses_grow_and_then_stay() {
        let pauses: Vec<_> = (0..10).map(|attempts| pause(attempts, None, 0.0)).collect();
        assert_eq!(pauses, [0, 2, 5, 15, 60, 300, 900, 3600, 3600, 3600]);
        assert_eq!(pause(u32::MAX, None, 0.0), 3600);
    }

    #[test]
    fn retry_after_is_obeyed_within_reason() {
        assert_eq!(pause(1, Some(30), 0.0), 30);
        assert_eq!(pause(4, Some(30), 0.0), 60);
        assert_eq!(pause(1, Some(u64::MAX), 0.0), 24 * 3600);
    }

    #[test]
    fn jitter_only_lengthens() {
        assert_eq!(pause(4, None, 1.0), 72);
        assert_eq!(pause(4, None, -3.0), 60);
    }
}
