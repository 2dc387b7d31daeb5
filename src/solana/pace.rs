//! How fast nodes are asked: a rate with bursts of a second, and slower for a while after they said that it was too much.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Spaces requests.
pub(super) struct Pace {
    /// Between two requests at full speed; zero = no limit.
    interval: Duration,
    state: Mutex<State>,
}

struct State {
    /// When the next request may go.
    next: Instant,
    /// Added between two requests, since nodes complained.
    penalty: Duration,
}

impl Pace {
    const BURST: Duration = Duration::from_secs(1);
    const PENALTY_MIN: Duration = Duration::from_millis(20);
    const PENALTY_MAX: Duration = Duration::from_secs(1);
    /// What is left of the penalty after each request that went well.
    const RECOVERY: f64 = 0.95;

    /// At most so many requests a second; 0 = no limit.
    pub(super) fn new(max_rps: u32) -> Self {
        let second = Duration::from_secs(1);
        Self {
            interval: second.checked_div(max_rps).unwrap_or_default(),
            state: Mutex::new(State {
                next: Instant::now(),
                penalty: Duration::ZERO,
            }),
        }
    }

    /// Waits for this request's turn.
    pub(super) async fn wait(&self) {
        let at = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let interval = self.interval + state.penalty;
            if interval.is_zero() {
                return;
            }
            let now = Instant::now();
            // Who is asked to slow down is not given what was saved up before.
            let burst = if state.penalty.is_zero() {
                Self::BURST
            } else {
                Duration::ZERO
            };
            let at = state.next.max(now.checked_sub(burst).unwrap_or(now));
            state.next = at + interval;
            at
        };
        tokio::time::sleep_until(at).await;
    }

    /// A node said that it was asked too often: from now on half as fast, and slower with each complaint.
    pub(super) fn was_too_fast(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let doubled = (self.interval + state.penalty * 2).max(Self::PENALTY_MIN);
        state.penalty = doubled.min(Self::PENALTY_MAX);
        metrics::counter!("paywatch_rpc_slowdowns_total").increment(1);
    }

    /// A request went well: a little faster again, until it is full speed.
    pub(super) fn went_well(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.penalty.is_zero() {
            let left = state.penalty.mul_f64(Self::RECOVERY);
            state.penalty = if left < Duration::from_millis(1) {
                Duration::ZERO
            } else {
                left
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn requests_in(pace: &Pace, time: Duration) -> u32 {
        let (until, mut count) = (Instant::now() + time, 0);
        while Instant::now() < until {
            pace.wait().await;
            count += 1;
        }
        count
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_kept_after_a_burst_of_a_second() {
        let pace = Pace::new(40);
        let count = requests_in(&pace, Duration::from_secs(10)).await;
        assert!((400..=442).contains(&count), "{count}");
    }

    #[tokio::test(start_paused = true)]
    async fn it_slows_down_when_told_and_recovers_when_it_goes_well() {
        for pace in [Pace::new(40), Pace::new(0)] {
            for _ in 0..5 {
                pace.was_too_fast();
            }
            let slow = requests_in(&pace, Duration::from_secs(10)).await;
            assert!((9..=60).contains(&slow), "{slow}");
            for _ in 0..200 {
                pace.went_well();
            }
            assert!(pace.state.lock().unwrap().penalty.is_zero());
        }
    }
}
