//! How fast nodes and the payments API are asked: a rate with bursts of a second, slower for a while after they refused requests for
//! being too many, and not at all while they asked for a pause.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::Semaphore, time::Instant};

/// Spaces requests.
pub(crate) struct RateLimit {
    /// Between two requests at full speed; zero = no limit.
    interval: Duration,
    /// Longest penalty.
    penalty_max: Duration,
    /// Held by the request that is next. The others wait behind it in their order, so that a new rate counts for all of them.
    line: Semaphore,
    state: Mutex<State>,
}

struct State {
    /// The turn of the last request.
    last: Option<Instant>,
    /// Nothing goes before this.
    paused_until: Option<Instant>,
    /// Added between two requests, since requests were refused.
    penalty: Duration,
    /// When it was last raised.
    raised_at: Option<Instant>,
}

/// A request's turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn(Instant);

impl RateLimit {
    const BURST: Duration = Duration::from_secs(1);
    const PENALTY_MIN: Duration = Duration::from_millis(20);
    /// What is left of the penalty after each request that was not refused.
    const RECOVERY: f64 = 0.95;

    /// At most so many requests a second, 0 = no limit; slowed down by at most `penalty_max` between two of them.
    pub(crate) fn new(max_rps: u32, penalty_max: Duration) -> Self {
        let second = Duration::from_secs(1);
        Self {
            interval: second.checked_div(max_rps).unwrap_or_default(),
            penalty_max,
            line: Semaphore::new(1),
            state: Mutex::new(State {
                last: None,
                paused_until: None,
                penalty: Duration::ZERO,
                raised_at: None,
            }),
        }
    }

    /// Waits for this request's turn.
    pub(crate) async fn wait(&self) -> Turn {
        // Closed only when the process ends; a missing permit is no reason to lose the request.
        let _next = self.line.acquire().await.ok();
        loop {
            match self.turn(Instant::now()) {
                Ok(turn) => return turn,
                Err(at) => tokio::time::sleep_until(at).await,
            }
        }
    }

    /// Waits for this request's turn, for at most so long.
    ///
    /// # Errors
    /// How long to wait before asking again, if no turn comes in that time; none is taken then.
    pub(crate) async fn wait_at_most(&self, patience: Duration) -> Result<Turn, Duration> {
        let pause = self.pause_left(Instant::now());
        if pause > patience {
            return Err(pause);
        }
        let turn = tokio::time::timeout(patience, self.wait()).await;
        turn.map_err(|_| self.pause_left(Instant::now()).max(patience))
    }

    /// Takes a turn, or says when to look again.
    fn turn(&self, now: Instant) -> Result<Turn, Instant> {
        let mut state = self.state();
        // Requests that were asked to slow down do not get what was saved up before.
        let burst = if state.penalty.is_zero() {
            Self::BURST
        } else {
            Duration::ZERO
        };
        let saved = now.checked_sub(burst).unwrap_or(now);
        let spaced = state.last.map(|last| last + self.interval + state.penalty);
        let at = spaced.unwrap_or(saved).max(saved);
        let at = state.paused_until.map_or(at, |until| at.max(until));
        if at > now {
            return Err(at);
        }
        state.last = Some(at);
        Ok(Turn(now))
    }

    fn pause_left(&self, now: Instant) -> Duration {
        let until = self.state().paused_until;
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The request of this turn was refused for being one too many: from now on half as fast. One that was under way when the rate
    /// was last lowered says nothing of the lower one.
    pub(crate) fn slow_down(&self, turn: Turn) {
        let mut state = self.state();
        if state.raised_at.is_some_and(|at| turn.0 < at) {
            return;
        }
        state.raised_at = Some(Instant::now());
        let doubled = (self.interval + state.penalty * 2).max(Self::PENALTY_MIN);
        state.penalty = doubled.min(self.penalty_max);
    }

    /// Sends nothing for so long.
    pub(crate) fn pause(&self, pause: Duration) {
        let mut state = self.state();
        let until = Instant::now() + pause;
        state.paused_until = state.paused_until.max(Some(until));
    }

    /// A request was not refused: a little faster again, up to full speed.
    pub(crate) fn speed_up(&self) {
        let mut state = self.state();
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

    const SECOND: Duration = Duration::from_secs(1);

    async fn requests_in(limit: &RateLimit, time: Duration) -> u32 {
        let (until, mut count) = (Instant::now() + time, 0);
        while Instant::now() < until {
            limit.wait().await;
            count += 1;
        }
        count
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_kept_after_a_burst_of_a_second() {
        let limit = RateLimit::new(40, SECOND);
        let count = requests_in(&limit, Duration::from_secs(10)).await;
        assert!((400..=442).contains(&count), "{count}");
    }

    #[tokio::test(start_paused = true)]
    async fn it_slows_down_when_told_and_recovers_when_it_goes_well() {
        for limit in [RateLimit::new(40, SECOND), RateLimit::new(0, SECOND)] {
            let early = limit.wait().await;
            for _ in 0..5 {
                let turn = limit.wait().await;
                tokio::time::advance(Duration::from_millis(1)).await;
                limit.slow_down(turn);
                limit.slow_down(early);
            }
            let slow = requests_in(&limit, Duration::from_secs(10)).await;
            // 20 ms, doubled four times; at 40 a second, 25 ms more each time.
            assert!((9..=32).contains(&slow), "{slow}");
            for _ in 0..200 {
                limit.speed_up();
            }
            assert!(limit.state.lock().unwrap().penalty.is_zero());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_goes_out_during_a_pause_and_who_cannot_wait_is_told_how_long_it_is() {
        let limit = RateLimit::new(0, SECOND);
        limit.wait().await;
        limit.pause(60 * SECOND);
        limit.pause(10 * SECOND);
        let wait = async |patience| limit.wait_at_most(patience).await.map(|_| ());
        assert_eq!(wait(59 * SECOND).await, Err(60 * SECOND));
        let began = Instant::now();
        assert_eq!(wait(60 * SECOND).await, Ok(()));
        assert_eq!(began.elapsed(), 60 * SECOND);
        // Over, and without a limit there is no trace of it.
        assert_eq!(wait(Duration::ZERO).await, Ok(()));
        assert_eq!(wait(Duration::ZERO).await, Ok(()));
    }

    /// A server that takes five requests a second finds its rate with few refusals.
    #[tokio::test(start_paused = true)]
    async fn the_rate_of_a_server_is_found_with_few_refusals() {
        let limit = RateLimit::new(0, 2 * SECOND);
        let (began, mut window, mut taken, mut refused) = (Instant::now(), (0, 0), 0, 0);
        while taken < 60 {
            let turn = limit.wait().await;
            let second = began.elapsed().as_secs();
            if window.0 != second {
                window = (second, 0);
            }
            window.1 += 1;
            if window.1 <= 5 {
                taken += 1;
                limit.speed_up();
            } else {
                refused += 1;
                limit.slow_down(turn);
            }
        }
        assert!(refused <= 15, "{refused} refusals");
        assert!(began.elapsed() < 40 * SECOND, "{:?}", began.elapsed());
    }
}
