//! How things stand: written by the steps, read by those who report it.

use crate::domain::{Slot, Timestamp, TokenAccount};
use crate::telemetry::lossy;
use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// A snapshot in memory; nothing here survives a restart, and nothing here decides about money.
#[derive(Debug, Default)]
pub struct Status {
    slot: AtomicU64,
    slot_heard_at: AtomicI64,
    /// When a WebSocket last showed that it is alive, by a slot or otherwise.
    alive_at: AtomicI64,
    /// When a WebSocket was first tried; 0 = not yet, or none is configured.
    listening_since: AtomicI64,
    /// Whether a WebSocket has subscribed since the start.
    has_subscribed: AtomicBool,
    swept_at: AtomicI64,
    /// Since when no account's history can be read; 0 = the last sweep read some.
    unread_since: AtomicI64,
    /// Whether a sweep has read history since the start.
    has_read: AtomicBool,
    accounts_swept_at: Mutex<HashMap<TokenAccount, Instant>>,
    unwatchable: Mutex<Vec<String>>,
    polled_at: AtomicI64,
    key_refused_to_read: AtomicBool,
    key_refused_to_confirm: AtomicBool,
    store_failed: AtomicBool,
    notices_refused: AtomicBool,
}

/// What the API's key was used for: it may be good for one and not for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyUse {
    Read,
    Confirm,
}

/// Why the daemon is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unready {
    /// Neither the WebSocket nor the sweep brings news.
    ChainSilent,
    /// No node answers sweeps: what WebSockets bring cannot be relied on alone, nor perhaps be fetched.
    HistoryUnread,
    /// The daemon has just started, and no WebSocket is subscribed.
    NotListening,
    /// The API does not take the key.
    KeyRefused,
    /// The database fails.
    StoreFailed,
}

impl Unready {
    /// For people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ChainSilent => {
                "no sign of life from a WebSocket for 30 s and no sweep has succeeded in three intervals"
            }
            Self::HistoryUnread => "no node answers sweeps",
            Self::NotListening => "no WebSocket is subscribed yet",
            Self::KeyRefused => "the payments API refuses the key",
            Self::StoreFailed => "the database fails",
        }
    }
}

impl Status {
    const SOCKET_PATIENCE: Duration = Duration::from_secs(30);
    const SWEEPS_MISSED_MAX: u32 = 3;
    /// Shortest time for which sweeps may fail while WebSockets are well.
    const UNREAD_PATIENCE: Duration = Duration::from_mins(1);
    /// So long after the start no sweep makes up for a WebSocket that is not subscribed yet. After that it does: payments are found, if
    /// later, and a daemon whose sockets are refused for ever is of use.
    const LISTEN_PATIENCE: Duration = Duration::from_secs(30);

    /// A WebSocket is tried.
    pub(super) fn listens(&self, now: Timestamp) {
        let (not_yet, order) = (0, Ordering::Relaxed);
        // Only the first time counts.
        let _first = self
            .listening_since
            .compare_exchange(not_yet, now.0, order, order);
    }

    /// A WebSocket is subscribed: hints are heard.
    pub(super) fn subscribed(&self) {
        self.has_subscribed.store(true, Ordering::Relaxed);
    }

    /// A WebSocket is alive.
    pub(super) fn heard(&self, now: Timestamp) {
        self.alive_at.store(now.0, Ordering::Relaxed);
    }

    pub(super) fn saw_slot(&self, slot: Slot, now: Timestamp) {
        self.heard(now);
        self.slot.fetch_max(slot, Ordering::Relaxed);
        self.slot_heard_at.store(now.0, Ordering::Relaxed);
        metrics::gauge!("paywatch_slot").set(lossy(self.slot.load(Ordering::Relaxed)));
        metrics::gauge!("paywatch_last_slot_timestamp_seconds")
            .set(lossy(now.unix_seconds().unsigned_abs()));
    }

    /// The newest slot that a WebSocket brought, and when one last did; `None` before the first.
    #[must_use]
    pub fn slot(&self) -> Option<(Slot, Timestamp)> {
        at(&self.slot_heard_at).map(|heard_at| (self.slot.load(Ordering::Relaxed), heard_at))
    }

    /// When the checkouts were last read.
    #[must_use]
    pub fn polled_at(&self) -> Option<Timestamp> {
        at(&self.polled_at)
    }

    pub(super) fn account_swept(&self, account: TokenAccount) {
        let swept_at = self.accounts_swept_at.lock();
        let mut swept_at = swept_at.unwrap_or_else(PoisonError::into_inner);
        swept_at.insert(account, Instant::now());
    }

    /// When a token account was last swept without a failure.
    #[must_use]
    pub fn account_swept_at(&self, account: TokenAccount) -> Option<Instant> {
        let swept_at = self.accounts_swept_at.lock();
        let swept_at = swept_at.unwrap_or_else(PoisonError::into_inner);
        swept_at.get(&account).copied()
    }

    /// Tokens that cannot be watched, and why. Returns whether this is news.
    pub(super) fn cannot_watch(&self, why: Vec<String>) -> bool {
        let count = u32::try_from(why.len()).unwrap_or(u32::MAX);
        metrics::gauge!("paywatch_unwatchable_tokens").set(f64::from(count));
        let unwatchable = self.unwatchable.lock();
        let mut unwatchable = unwatchable.unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *unwatchable, why);
        before != *unwatchable
    }

    /// Tokens that cannot be watched, each with its name and the reason.
    #[must_use]
    pub fn unwatchable(&self) -> Vec<String> {
        let unwatchable = self.unwatchable.lock();
        let unwatchable = unwatchable.unwrap_or_else(PoisonError::into_inner);
        unwatchable.clone()
    }

    pub(super) fn swept(&self, now: Timestamp) {
        self.swept_at.store(now.0, Ordering::Relaxed);
        metrics::gauge!("paywatch_last_sweep_timestamp_seconds")
            .set(lossy(now.unix_seconds().unsigned_abs()));
    }

    /// A sweep has ended, and a node answered for at least one account, or for none.
    pub(super) fn read_history(&self, is_read: bool, now: Timestamp) {
        let order = Ordering::Relaxed;
        if is_read {
            self.has_read.store(true, order);
            self.unread_since.store(0, order);
        } else {
            // Only the first time in a row counts.
            let _first = self.unread_since.compare_exchange(0, now.0, order, order);
        }
    }

    pub(super) fn polled(&self, now: Timestamp) {
        self.polled_at.store(now.0, Ordering::Relaxed);
        metrics::gauge!("paywatch_last_poll_timestamp_seconds")
            .set(lossy(now.unix_seconds().unsigned_abs()));
    }

    /// Returns whether this is news.
    pub(super) fn key_refused(&self, used_to: KeyUse, refused: bool) -> bool {
        let flag = match used_to {
            KeyUse::Read => &self.key_refused_to_read,
            KeyUse::Confirm => &self.key_refused_to_confirm,
        };
        let is_news = flag.swap(refused, Ordering::Relaxed) != refused;
        metrics::gauge!("paywatch_key_refused").set(if self.is_key_refused() { 1.0 } else { 0.0 });
        is_news
    }

    fn is_key_refused(&self) -> bool {
        self.key_refused_to_read.load(Ordering::Relaxed)
            || self.key_refused_to_confirm.load(Ordering::Relaxed)
    }

    /// Notes whether the database works.
    pub fn store_failed(&self, failed: bool) {
        self.store_failed.store(failed, Ordering::Relaxed);
    }

    /// Whether the last that was heard of the database is that it failed.
    #[must_use]
    pub fn has_store_failed(&self) -> bool {
        self.store_failed.load(Ordering::Relaxed)
    }

    /// Notes that the address of notices takes none any more.
    pub fn refuse_notices(&self) {
        self.notices_refused.store(true, Ordering::Relaxed);
    }

    /// Whether the address of notices has answered, since the start, that it takes none any more.
    #[must_use]
    pub fn are_notices_refused(&self) -> bool {
        self.notices_refused.load(Ordering::Relaxed)
    }

    /// Whether the checkouts were read at least once since the start.
    #[must_use]
    pub fn has_polled(&self) -> bool {
        self.polled_at.load(Ordering::Relaxed) > 0
    }

    /// Why not ready, if so.
    #[must_use]
    pub fn unready(&self, sweep_every: Duration, now: Timestamp) -> Option<Unready> {
        let since = |at: &AtomicI64| now.since(Timestamp(at.load(Ordering::Relaxed)));
        let is_new = at(&self.listening_since)
            .is_some_and(|began| now.since(began) <= Self::LISTEN_PATIENCE);
        let not_listening = is_new && !self.has_subscribed.load(Ordering::Relaxed);
        let sweeps_missed = sweep_every.saturating_mul(Self::SWEEPS_MISSED_MAX);
        let silent =
            since(&self.alive_at) > Self::SOCKET_PATIENCE && since(&self.swept_at) > sweeps_missed;
        let unread_max = if self.has_read.load(Ordering::Relaxed) {
            sweeps_missed.max(Self::UNREAD_PATIENCE)
        } else {
            Duration::ZERO
        };
        let unread = at(&self.unread_since).is_some_and(|first| now.since(first) >= unread_max);
        if self.has_store_failed() {
            Some(Unready::StoreFailed)
        } else if self.is_key_refused() {
            Some(Unready::KeyRefused)
        } else if silent {
            Some(Unready::ChainSilent)
        } else if unread {
            Some(Unready::HistoryUnread)
        } else {
            not_listening.then_some(Unready::NotListening)
        }
    }
}

fn at(instant: &AtomicI64) -> Option<Timestamp> {
    let instant = instant.load(Ordering::Relaxed);
    (instant > 0).then_some(Timestamp(instant))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_never_answered_a_sweep_is_not_waited_for() {
        let (status, every) = (Status::default(), Duration::from_secs(15));
        let at = |seconds: u64| Timestamp(0).plus(Duration::from_secs(1_000_000 + seconds));
        status.subscribed();
        status.heard(at(0));
        assert_eq!(
            status.unready(every, at(1)),
            None,
            "the first sweep goes on"
        );
        status.read_history(false, at(2));
        assert_eq!(status.unready(every, at(2)), Some(Unready::HistoryUnread));
    }

    #[test]
    fn either_slots_or_sweeps_keep_it_ready() {
        let (status, every) = (Status::default(), Duration::from_secs(15));
        let at = |seconds: u64| Timestamp(0).plus(Duration::from_secs(1_000_000 + seconds));
        assert_eq!(status.unready(every, at(0)), Some(Unready::ChainSilent));
        status.swept(at(0));
        assert_eq!(status.unready(every, at(45)), None);
        assert_eq!(status.unready(every, at(46)), Some(Unready::ChainSilent));
        status.saw_slot(7, at(40));
        assert_eq!(status.unready(every, at(70)), None);
        assert_eq!(status.unready(every, at(71)), Some(Unready::ChainSilent));
        status.listens(at(20));
        status.listens(at(60));
        assert_eq!(status.unready(every, at(50)), Some(Unready::NotListening));
        assert_eq!(status.unready(every, at(51)), None, "sweeps are enough now");
        status.subscribed();
        assert_eq!(status.unready(every, at(49)), None, "hints are heard");
        status.read_history(true, at(0));
        status.read_history(false, at(10));
        status.read_history(false, at(60));
        status.saw_slot(8, at(60));
        assert_eq!(status.unready(every, at(69)), None);
        assert_eq!(status.unready(every, at(70)), Some(Unready::HistoryUnread));
        status.read_history(true, at(70));
        assert_eq!(status.unready(every, at(70)), None);
        status.key_refused(KeyUse::Confirm, true);
        status.key_refused(KeyUse::Read, false);
        assert_eq!(status.unready(every, at(50)), Some(Unready::KeyRefused));
        status.store_failed(true);
        assert_eq!(status.unready(every, at(50)), Some(Unready::StoreFailed));
    }
}
