//! Lets the database answer only while nobody else has anything to do, so that no run depends on which of two threads is faster.
//!
//! The runtime says when its thread is about to sleep: every task waits then, for time, for the database, or for both. The gate opens at
//! that moment and closes when an answer wakes the thread.

use paywatch::store::Store;
use std::{
    future::poll_fn,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Waker},
    time::{Duration, Instant},
};

/// Real time that may pass before everything waits: a loop that never waits is a fault of its own.
const STUCK: Duration = Duration::from_mins(2);

/// Shared between the runtime's thread and the database's.
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<Shared>);

#[derive(Default)]
struct Shared {
    is_closed: AtomicBool,
    /// Held while the gate opens, so that a thread that is about to wait hears of it.
    opening: Mutex<()>,
    opened: Condvar,
    turn: Mutex<Option<Turn>>,
}

/// A task that waits until everything else waits for time.
struct Turn {
    store: Store,
    waker: Waker,
    began: Instant,
    has_come: bool,
}

/// Nobody passes while this lives, but for moments of calm.
pub(super) struct Closed(Gate);

impl Gate {
    pub(super) fn close(&self) -> Closed {
        self.0.is_closed.store(true, Ordering::SeqCst);
        Closed(self.clone())
    }

    /// Waits until the gate is open. For the database's thread.
    pub(super) fn pass(&self) {
        if !self.0.is_closed.load(Ordering::SeqCst) {
            return;
        }
        let opening = locked(&self.0.opening);
        let is_closed = |(): &mut ()| self.0.is_closed.load(Ordering::SeqCst);
        drop(self.0.opened.wait_while(opening, is_closed));
    }

    /// To be called when the runtime's thread is about to sleep.
    pub(super) fn parks(&self) {
        let mut turn = locked(&self.0.turn);
        let Some(turn) = turn.as_mut() else { return };
        assert!(
            turn.began.elapsed() < STUCK,
            "the daemon is busy without end"
        );
        if turn.store.is_idle() {
            turn.has_come = true;
            turn.waker.wake_by_ref();
        } else {
            self.open();
        }
    }

    /// To be called when it was woken.
    pub(super) fn unparks(&self) {
        if locked(&self.0.turn).is_some() {
            self.0.is_closed.store(true, Ordering::SeqCst);
        }
    }

    fn open(&self) {
        let _opening = locked(&self.0.opening);
        self.0.is_closed.store(false, Ordering::SeqCst);
        self.0.opened.notify_all();
    }
}

impl Closed {
    /// Waits until the database has answered everything and every task waits for time.
    pub(super) async fn calm(&self, store: &Store) {
        let began = Instant::now();
        poll_fn(|context| {
            let mut turn = locked(&self.0.0.turn);
            if turn.take_if(|turn| turn.has_come).is_some() {
                return Poll::Ready(());
            }
            *turn = Some(Turn {
                store: store.clone(),
                waker: context.waker().clone(),
                began,
                has_come: false,
            });
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.open();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
