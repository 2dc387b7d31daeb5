//! How often history is swept: as configured; more seldom while every WebSocket is open and sweeps find nothing that was not heard;
//! more often right after a WebSocket subscribed.
//!
//! A sweep costs a request for each active token account whether or not somebody paid. It finds what sockets miss; as long as they
//! miss nothing, it may wait. The first sign of trouble brings the configured interval back.
//!
//! A payment that is made while a socket subscribes may be missed by both: its notification goes out before the subscription stands,
//! and the sweep that the subscription asks for lists history before the payment is in it. So sweeps follow each other quickly until
//! one begins after the chain's `confirmed` slot has passed the slot that was newest when the subscription stood; where no node tells
//! its slot, until one begins a minute later.

use super::Pipeline;
use crate::domain::{Commitment, Slot, TokenAccount};
use crate::solana::{self, Rpc, Subscribed};
use futures_util::future::join_all;
use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::watch as channel,
    time::{Instant, timeout},
};

/// Shared by the listeners, who know how the sockets are, and the sweep.
#[derive(Debug)]
pub(super) struct Rhythm {
    sockets: usize,
    state: Mutex<State>,
    /// The accounts at which the last sweep that found any found payments which open sockets should have brought.
    missed: channel::Sender<BTreeSet<TokenAccount>>,
}

#[derive(Debug)]
struct State {
    open: usize,
    /// Of the open sockets, those that subscribed to every account they were told to.
    whole: usize,
    /// The configured interval is stretched by this.
    stretch: u32,
    gap: Option<Gap>,
    /// How often a gap was opened, and when it last was.
    gaps: u64,
    gap_since: Instant,
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

/// What is known before a sweep.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    began: Instant,
    /// The `confirmed` slot that every node has reached which may be swept; `None` if none told it, or no gap was open.
    reached: Option<Slot>,
}

impl Rhythm {
    const STRETCH_MAX: u32 = 4;
    /// The first pause after a subscription; each sweep doubles it, so that a chain that stands still costs little.
    const GAP_PAUSE: Duration = Duration::from_millis(250);
    /// Where no slot is known, a gap ends with a sweep that begins so long after the subscription.
    const GAP_MAX: Duration = Duration::from_mins(1);

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
                gap_since: Instant::now(),
                gap_pause: Self::GAP_PAUSE,
            }),
            missed: channel::Sender::new(BTreeSet::new()),
        }
    }

    /// How many sockets are open, of so many.
    pub(super) fn open_sockets(&self) -> (usize, usize) {
        (self.state().open, self.sockets)
    }

    /// A socket subscribed.
    pub(super) fn opened(&self, how: &Subscribed) {
        let mut state = self.state();
        state.open += 1;
        state.whole += usize::from(how.refused.is_empty());
        state.gaps += 1;
        state.gap_since = Instant::now();
        state.gap = Some(match (how.slot, state.gap) {
            (None, _) | (_, Some(Gap::Unknown(_))) => Gap::Unknown(state.gaps),
            (Some(slot), Some(Gap::Until(other))) => Gap::Until(slot.max(other)),
            (Some(slot), None) => Gap::Until(slot),
        });
        state.gap_pause = Self::GAP_PAUSE;
        state.stretch = 1;
    }

    /// A socket that had subscribed is closed.
    pub(super) fn closed(&self, how: &Subscribed) {
        let mut state = self.state();
        state.open = state.open.saturating_sub(1);
        state.whole = state
            .whole
            .saturating_sub(usize::from(how.refused.is_empty()));
        state.stretch = 1;
    }

    /// A sweep failed, or ended and found payments that nobody had heard of at these accounts, which have subscriptions. `before` is
    /// `None` if it proves nothing of what came since it began.
    pub(super) fn swept(&self, missed_at: Option<BTreeSet<TokenAccount>>, before: Option<Before>) {
        let mut state = self.state();
        let had_gap = state.gap.is_some();
        if missed_at.is_some() && before.is_some_and(|before| state.is_past_gap(before)) {
            state.gap = None;
        } else if had_gap {
            state.gap_pause = state.gap_pause.saturating_mul(2);
        }
        let is_well = self.sockets > 0 && state.whole >= self.sockets && state.gap.is_none();
        let has_missed_none = missed_at.as_ref().is_some_and(BTreeSet::is_empty);
        state.stretch = if is_well && has_missed_none {
            Self::STRETCH_MAX.min(state.stretch * 2)
        } else {
            1
        };
        let may_be_deaf = state.open > 0 && !had_gap;
        drop(state);
        if let Some(missed_at) = missed_at.filter(|at| may_be_deaf && !at.is_empty()) {
            self.missed.send_replace(missed_at);
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

    /// Changes whenever a sweep found payments that open sockets should have brought: the accounts that were paid.
    pub(super) fn missed(&self) -> channel::Receiver<BTreeSet<TokenAccount>> {
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

impl State {
    /// Whether a sweep about which this was known found everything that the gap may have hidden.
    fn is_past_gap(&self, before: Before) -> bool {
        match (self.gap, before.reached) {
            (Some(Gap::Until(slot)), Some(reached)) => reached > slot,
            (Some(_), None) => before.began.duration_since(self.gap_since) >= Rhythm::GAP_MAX,
            _ => false,
        }
    }
}

/// How long a node may take to tell its slot: no sweep waits longer for it.
const SLOT_PATIENCE: Duration = Duration::from_secs(2);
/// The slots by which the newest one may be ahead of `confirmed`, where a node tells only that.
const AHEAD_OF_CONFIRMED: Slot = 32;

impl Pipeline {
    /// Finds out what must be known before a sweep. While a gap is open, each endpoint that may be swept is asked for its slot: a sweep
    /// may list by any of them.
    pub(super) async fn before_sweep(&self) -> Before {
        let began = Instant::now();
        let Some(gap) = self.rhythm.gap() else {
            return Before {
                began,
                reached: None,
            };
        };
        let all = || (0..self.rpc.endpoints()).map(|index| self.rpc.alone(index));
        let mut asked: Vec<_> = all().filter(|rpc| !rpc.is_unwell()).collect();
        if asked.is_empty() {
            asked = all().collect();
        }
        let told = join_all(asked.iter().map(|rpc| slots_of(rpc, gap))).await;
        if let Gap::Unknown(number) = gap
            && let Some(newest) = told.iter().filter_map(|(newest, _)| *newest).max()
        {
            self.rhythm.bound(number, newest);
        }
        let reached = told.iter().filter_map(|(_, confirmed)| *confirmed).min();
        Before { began, reached }
    }
}

/// The newest slot that a node may process, if the gap asks for it, and its `confirmed` one.
async fn slots_of(rpc: &Rpc, gap: Gap) -> (Option<Slot>, Option<Slot>) {
    let processed = async {
        match gap {
            Gap::Unknown(_) => in_time(rpc.newest_slot()).await,
            Gap::Until(_) => None,
        }
    };
    let confirmed = in_time(rpc.slot(Commitment::Confirmed));
    let (processed, confirmed) = tokio::join!(processed, confirmed);
    let ahead = || confirmed.map(|slot| slot.saturating_add(AHEAD_OF_CONFIRMED));
    (processed.or_else(ahead), confirmed)
}

async fn in_time(slot: impl Future<Output = Result<Slot, solana::Error>>) -> Option<Slot> {
    timeout(SLOT_PATIENCE, slot).await.ok()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(15);

    fn whole(slot: Option<Slot>) -> Subscribed {
        Subscribed {
            slot,
            ..Subscribed::default()
        }
    }

    /// A sweep that began now, when the chain had reached this slot, and found payments that nobody heard of at so many accounts.
    fn sweep(rhythm: &Rhythm, unheard: Option<u8>, reached: Option<Slot>) {
        let began = Instant::now();
        let account = |byte| TokenAccount([byte; 32].into());
        let missed_at = unheard.map(|accounts| (0..accounts).map(account).collect());
        rhythm.swept(missed_at, Some(Before { began, reached }));
    }

    /// Seconds until the next sweep, after one that began when the chain had reached this slot.
    fn after(rhythm: &Rhythm, unheard: Option<u8>, reached: Option<Slot>) -> f64 {
        sweep(rhythm, unheard, reached);
        rhythm.pause(EVERY).as_secs_f64()
    }

    fn is_near(found: f64, expected: f64) -> bool {
        (found - expected).abs() < 0.001
    }

    #[test]
    fn sweeps_are_seldom_only_while_every_socket_brings_everything() {
        let rhythm = Rhythm::new(2);
        let after = |unheard| {
            sweep(&rhythm, unheard, None);
            rhythm.pause(EVERY).as_secs()
        };
        let settle = || sweep(&rhythm, Some(0), Some(8));
        rhythm.opened(&whole(Some(7)));
        settle();
        assert_eq!(after(Some(0)), 15, "one socket is missing");
        rhythm.opened(&whole(Some(7)));
        settle();
        assert_eq!(rhythm.pause(EVERY).as_secs(), 30);
        assert_eq!([after(Some(0)), after(Some(0))], [60, 60]);
        assert_eq!(after(Some(1)), 15, "a socket missed a payment");
        assert_eq!(after(Some(0)), 30);
        assert_eq!(after(None), 15, "the sweep failed");
        assert_eq!([after(Some(0)), after(Some(0))], [30, 60]);
        rhythm.closed(&whole(Some(7)));
        assert_eq!(rhythm.pause(EVERY), EVERY);
        let partly = Subscribed {
            slot: Some(7),
            refused: [TokenAccount([7; 32].into())].into(),
        };
        rhythm.opened(&partly);
        settle();
        assert_eq!(after(Some(0)), 15, "one socket does not hear every account");
        let deaf = Rhythm::new(0);
        sweep(&deaf, Some(0), None);
        assert_eq!(deaf.pause(EVERY), EVERY, "only the sweep finds anything");
    }

    #[test]
    fn after_a_subscription_sweeps_follow_each_other_until_one_began_past_it() {
        let rhythm = Rhythm::new(1);
        rhythm.opened(&whole(Some(7)));
        assert!(is_near(rhythm.pause(EVERY).as_secs_f64(), 0.25));
        assert!(is_near(after(&rhythm, Some(0), Some(6)), 0.5));
        let same = after(&rhythm, Some(0), Some(7));
        assert!(is_near(same, 1.0), "slot 7 may still bring something");
        let unknown = after(&rhythm, Some(0), None);
        assert!(is_near(unknown, 2.0), "the node did not say");
        let failed = after(&rhythm, None, Some(9));
        assert!(is_near(failed, 4.0), "it did not read everything");
        rhythm.opened(&whole(Some(5)));
        let older = after(&rhythm, Some(0), Some(6));
        assert!(is_near(older, 0.5), "the later end counts");
        assert!(is_near(after(&rhythm, Some(0), Some(8)), 30.0));
        assert!(is_near(after(&rhythm, Some(0), None), 60.0));
        rhythm.opened(&whole(Some(20)));
        for _ in 0..20 {
            sweep(&rhythm, Some(0), Some(20));
        }
        assert_eq!(rhythm.pause(EVERY), EVERY, "a chain that stands still");
    }

    #[test]
    fn a_socket_without_slots_waits_for_the_newest_slot_of_the_node() {
        let rhythm = Rhythm::new(1);
        rhythm.opened(&whole(None));
        let Some(Gap::Unknown(first)) = rhythm.gap() else {
            panic!("{:?}", rhythm.gap());
        };
        sweep(&rhythm, Some(0), Some(1_000));
        rhythm.closed(&whole(None));
        rhythm.opened(&whole(None));
        rhythm.bound(first, 7);
        assert!(
            matches!(rhythm.gap(), Some(Gap::Unknown(_))),
            "asked before the second subscription"
        );
        rhythm.bound(first + 1, 8);
        assert_eq!(rhythm.gap(), Some(Gap::Until(8)));
        sweep(&rhythm, Some(0), Some(9));
        assert_eq!(rhythm.gap(), None);
    }

    #[test]
    fn a_payment_that_a_sweep_finds_is_missed_by_sockets_only_outside_a_gap() {
        let rhythm = Rhythm::new(1);
        let missed = || rhythm.missed().borrow().len();
        sweep(&rhythm, Some(1), None);
        assert_eq!(missed(), 0, "no socket is open");
        rhythm.opened(&whole(Some(7)));
        sweep(&rhythm, Some(1), Some(7));
        sweep(&rhythm, Some(1), Some(8));
        assert_eq!(missed(), 0, "it may have come before the subscription");
        sweep(&rhythm, Some(0), None);
        sweep(&rhythm, None, None);
        assert_eq!(missed(), 0);
        sweep(&rhythm, Some(1), None);
        assert_eq!(missed(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_gap_ends_after_a_minute_where_no_node_tells_its_slot() {
        for slot in [None, Some(7)] {
            let rhythm = Rhythm::new(1);
            rhythm.opened(&whole(slot));
            tokio::time::advance(Rhythm::GAP_MAX.saturating_sub(EVERY)).await;
            sweep(&rhythm, Some(0), None);
            assert!(rhythm.gap().is_some(), "it may hide something");
            tokio::time::advance(EVERY).await;
            rhythm.swept(Some(BTreeSet::new()), None);
            assert!(rhythm.gap().is_some(), "a sweep that proves nothing");
            sweep(&rhythm, None, None);
            assert!(rhythm.gap().is_some(), "a sweep that failed");
            sweep(&rhythm, Some(1), None);
            assert_eq!(rhythm.gap(), None);
            assert_eq!(rhythm.missed().borrow().len(), 0);
        }
    }
}
