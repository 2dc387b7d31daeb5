//! Whether the database may answer. While the daemon can go on by itself it may not, so that no run depends on which of two threads
//! is faster.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Shared between the runtime's thread and the database's.
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<(Mutex<bool>, Condvar)>);

/// While this lives, nobody passes.
pub(super) struct Closed(Gate);

impl Gate {
    pub(super) fn close(&self) -> Closed {
        *self.is_closed() = true;
        Closed(self.clone())
    }

    /// Waits until the gate is open.
    pub(super) fn pass(&self) {
        let waited = self
            .0
            .1
            .wait_while(self.is_closed(), |is_closed| *is_closed);
        drop(waited);
    }

    fn is_closed(&self) -> MutexGuard<'_, bool> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Closed {
    /// Lets whoever waits go on for a moment.
    pub(super) fn ajar(&self) {
        *self.0.is_closed() = false;
        self.0.0.1.notify_all();
        std::thread::yield_now();
        *self.0.is_closed() = true;
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        *self.0.is_closed() = false;
        self.0.0.1.notify_all();
    }
}
