//! Confirmations that go from whoever recorded them straight to whoever sends them, past the outbox's due time: nobody who pays
//! while watching the screen waits for another look at the database.
//!
//! They are leased in the database all the same. What is lost here, in a crash say, is due again when its lease ends.

use crate::store::Due;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Leased confirmations on their way.
pub(super) struct Handed {
    queue: Mutex<Vec<Due>>,
    /// No more than this many wait here; the others take the way over the outbox.
    max: usize,
    /// Rung when something came.
    pub(super) bell: Notify,
}

impl Handed {
    pub(super) fn new(max: usize) -> Self {
        Self {
            queue: Mutex::default(),
            max,
            bell: Notify::new(),
        }
    }

    /// Whether there is room for one more.
    pub(super) fn has_room(&self) -> bool {
        self.queue().len() < self.max
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue().is_empty()
    }

    pub(super) fn put(&self, all: Vec<Due>) {
        if !all.is_empty() {
            self.queue().extend(all);
            self.bell.notify_one();
        }
    }

    /// Takes up to so many.
    pub(super) fn take(&self, limit: usize) -> Vec<Due> {
        let mut queue = self.queue();
        let count = queue.len().min(limit);
        queue.drain(..count).collect()
    }

    fn queue(&self) -> MutexGuard<'_, Vec<Due>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
