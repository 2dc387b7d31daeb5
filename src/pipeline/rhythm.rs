//! How often history is swept: as configured; more seldom while every WebSocket is open and sweeps find nothing that was not heard;
//! more often right after a WebSocket subscribed.
//!
//! A sweep costs a request for each active token account whether or not somebody paid. It finds what sockets miss; as long as they
//! miss nothing, it may wait. The first sign of trouble brings the configured interval back.
//!
//! A payment that is made while a socket subscribes may be missed by both: its notification goes out before the subscription stands,
//! and the sweep that the subscription asks for lists history before the payment is in it. So sweeps follow each other quickly until
//! one begins after the chain's `confirmed` slot has passed the slot that was newest when the subscription stood.

use super::Pipeline;
use crate::domain::{Commitment, Slot};
use crate::solana::{Rpc, Subscribed};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch as channel;

/// Shared by the listeners, who know how the sockets are, and the sweep.
#[derive(Debug)]
pub(super) struct Rhythm {
    sockets: usize,
    state: Mutex<State>,
    /// Counts the sweeps that found a payment which open sockets should have brought.
    missed: channel::Sender<u64>,
}

#[derive(Debug)]
struct State {
    open: usize,
    /// Of the open sockets, those that subscribed to every account they were told to.
    whole: usize,
    /// The configured interval is stretched by this.
    stretch: u32,
    gap: Option<Gap>,
    /// How often a gap was opened.
    gaps: u64,
    /// The pause before the next sweep while the gap is open.
    gap_pause: Duration,
}

/// The time around a subscription whose payments neither the socket nor an earlier sweep is sure to have brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gap {
    /// The socket tells no slots: the next sweep asks for the newest one. Holds the number of the gap.
    Unknown(u64),
    /// It ends with this slot.
    Until(Slot),
}

impl Rhythm {
    const STRETCH_MAX: u32 = 4;
    /// The first pause after a subscription; each sweep doubles it, so that a chain that stands still costs little.
    const GAP_PAUSE: Duration = Duration::from_millis(250);

    /// For so many sockets.
    pub(super) fn new(sockets: usize) -> Self {
        Self {
            sockets,
            state: Mutex::new(State {
                open: 0,
                whole: 0,
                stretch: 1,
                gap: None,
                gaps: 0,
                gap_pause: Self::GAP_PAUSE,
            }),
            missed: channel::Sender::new(0),
        }
    }

    /// How many sockets are open, of so many.
    pub(super) fn open_sockets(&self) -> (usize, usize) {
        (self.state().open, self.sockets)
    }

    /// A socket subscribed.
    pub(super) fn opened(&self, how: Subscribed) {
        let mut state = self.state();
        state.open += 1;
        state.whole += usize::from(how.refused == 0);
        state.gaps += 1;
        state.gap = Some(match (how.slot, state.gap) {
            (None, _) | (_, Some(Gap::Unknown(_))) => Gap::Unknown(state.gaps),
            (Some(slot), Some(Gap::Until(other))) => Gap::Until(slot.max(other)),
            (Some(slot), None) => Gap::Until(slot),
        });
        state.gap_pause = Self::GAP_PAUSE;
        state.stretch = 1;
    }

    /// A socket that had subscribed is closed.
    pub(super) fn closed(&self, how: Subscribed) {
        let mut state = self.state();
        state.open = state.open.saturating_sub(1);
        state.whole = state.whole.saturating_sub(usize::from(how.refused == 0));
        state.stretch = 1;
    }

    /// A sweep failed, or ended and found so many payments at accounts with a subscription that nobody had heard of. `reached` is the
    /// chain's `confirmed` slot before it began, if a gap was open then.
    pub(super) fn swept(&self, unheard: Option<usize>, reached: Option<Slot>) {
        let mut state = self.state();
        let is_past = |gap| matches!((gap, reached), (Gap::Until(slot), Some(at)) if at > slot);
        if unheard.is_some() && state.gap.is_some_and(is_past) {
            state.gap = None;
        } else if state.gap.is_some() {
            state.gap_pause = state.gap_pause.saturating_mul(2);
        }
        let is_well = self.sockets > 0 && state.whole >= self.sockets && state.gap.is_none();
        let has_missed = unheard.is_some_and(|payments| payments > 0);
        state.stretch = if is_well && unheard == Some(0) {
            Self::STRETCH_MAX.min(state.stretch * 2)
        } else {
            1
        };
        let may_be_deaf = state.open > 0 && state.gap.is_none() && reached.is_none();
        drop(state);
        if has_missed && may_be_deaf {
            self.missed.send_modify(|count| *count += 1);
        }
    }

    /// How long to wait for the next sweep.
    pub(super) fn pause(&self, every: Duration) -> Duration {
        let state = self.state();
        match state.gap {
            Some(_) => state.gap_pause.min(every),
            None => every.saturating_mul(state.stretch),
        }
    }

    /// Changes whenever a sweep found a payment that open sockets should have brought.
    pub(super) fn missed(&self) -> channel::Receiver<u64> {
        self.missed.subscribe()
    }

    fn gap(&self) -> Option<Gap> {
        self.state().gap
    }

    /// The newest slot was asked for after the gap with this number had opened.
    fn bound(&self, number: u64, slot: Slot) {
        let mut state = self.state();
        if state.gap == Some(Gap::Unknown(number)) {
            state.gap = Some(Gap::Until(slot));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pipeline {
    /// The chain's `confirmed` slot before a sweep, by the node that the sweep asks; asked for only while a gap is open.
    pub(super) async fn reached_before_sweep(&self, rpc: &Rpc) -> Option<Slot> {
        if let Gap::Unknown(number) = self.rhythm.gap()? {
            let newest = rpc.newest_slot().await.ok()?;
            self.rhythm.bound(number, newest);
        }
        rpc.slot(Commitment::Confirmed).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(15);

    fn whole(slot: Option<Slot>) -> Subscribed {
        Subscribed { slot, refused: 0 }
    }

    /// Seconds until the next sweep, after one that began when the chain had reached this slot.
    fn after(rhythm: &Rhythm, unheard: Option<usize>, reached: Option<Slot>) -> f64 {
        rhythm.swept(unheard, reached);
        rhythm.pause(EVERY).as_secs_f64()
    }

    fn is_near(found: f64, expected: f64) -> bool {
        (found - expected).abs() < 0.001
    }

    #[test]
    fn sweeps_are_seldom_only_while_every_socket_brings_everything() {
        let rhythm = Rhythm::new(2);
        let after = |unheard| {
            rhythm.swept(unheard, None);
            rhythm.pause(EVERY).as_secs()
        };
        let settle = || rhythm.swept(Some(0), Some(8));
        rhythm.opened(whole(Some(7)));
        settle();
        assert_eq!(after(Some(0)), 15, "one socket is missing");
        rhythm.opened(whole(Some(7)));
        settle();
        assert_eq!(rhythm.pause(EVERY).as_secs(), 30);
        assert_eq!([after(Some(0)), after(Some(0))], [60, 60]);
        assert_eq!(after(Some(1)), 15, "a socket missed a payment");
        assert_eq!(after(Some(0)), 30);
        assert_eq!(after(None), 15, "the sweep failed");
        assert_eq!([after(Some(0)), after(Some(0))], [30, 60]);
        rhythm.closed(whole(Some(7)));
        assert_eq!(rhythm.pause(EVERY), EVERY);
        let partly = Subscribed {
            slot: Some(7),
            refused: 1,
        };
        rhythm.opened(partly);
        settle();
        assert_eq!(after(Some(0)), 15, "one socket does not hear every account");
        let deaf = Rhythm::new(0);
        deaf.swept(Some(0), None);
        assert_eq!(deaf.pause(EVERY), EVERY, "only the sweep finds anything");
    }

    #[test]
    fn after_a_subscription_sweeps_follow_each_other_until_one_began_past_it() {
        let rhythm = Rhythm::new(1);
        rhythm.opened(whole(Some(7)));
        assert!(is_near(rhythm.pause(EVERY).as_secs_f64(), 0.25));
        assert!(is_near(after(&rhythm, Some(0), Some(6)), 0.5));
        let same = after(&rhythm, Some(0), Some(7));
        assert!(is_near(same, 1.0), "slot 7 may still bring something");
        let unknown = after(&rhythm, Some(0), None);
        assert!(is_near(unknown, 2.0), "the node did not say");
        let failed = after(&rhythm, None, Some(9));
        assert!(is_near(failed, 4.0), "it did not read everything");
        rhythm.opened(whole(Some(5)));
        let older = after(&rhythm, Some(0), Some(6));
        assert!(is_near(older, 0.5), "the later end counts");
        assert!(is_near(after(&rhythm, Some(0), Some(8)), 30.0));
        assert!(is_near(after(&rhythm, Some(0), None), 60.0));
        rhythm.opened(whole(Some(20)));
        for _ in 0..20 {
            rhythm.swept(Some(0), Some(20));
        }
        assert_eq!(rhythm.pause(EVERY), EVERY, "a chain that stands still");
    }

    #[test]
    fn a_socket_without_slots_waits_for_the_newest_slot_of_the_node() {
        let rhythm = Rhythm::new(1);
        rhythm.opened(whole(None));
        let Some(Gap::Unknown(first)) = rhythm.gap() else {
            panic!("{:?}", rhythm.gap());
        };
        rhythm.swept(Some(0), Some(1_000));
        rhythm.closed(whole(None));
        rhythm.opened(whole(None));
        rhythm.bound(first, 7);
        assert!(
            matches!(rhythm.gap(), Some(Gap::Unknown(_))),
            "asked before the second subscription"
        );
        rhythm.bound(first + 1, 8);
        assert_eq!(rhythm.gap(), Some(Gap::Until(8)));
        rhythm.swept(Some(0), Some(9));
        assert_eq!(rhythm.gap(), None);
    }

    #[test]
    fn a_payment_that_a_sweep_finds_is_missed_by_sockets_only_outside_a_gap() {
        let rhythm = Rhythm::new(1);
        let missed = || *rhythm.missed().borrow();
        rhythm.swept(Some(1), None);
        assert_eq!(missed(), 0, "no socket is open");
        rhythm.opened(whole(Some(7)));
        rhythm.swept(Some(1), Some(7));
        rhythm.swept(Some(1), Some(8));
        assert_eq!(missed(), 0, "it may have come before the subscription");
        rhythm.swept(Some(0), None);
        rhythm.swept(None, None);
        assert_eq!(missed(), 0);
        rhythm.swept(Some(1), None);
        assert_eq!(missed(), 1);
    }
}
