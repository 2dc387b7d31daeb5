//! Signatures that WebSockets have brought lately.

use crate::domain::Signature;
use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Signatures that are remembered, so that a notification repeated, or heard on two sockets, is one hint.
const RECENT: usize = 8192;

/// What any WebSocket has notified, whatever became of it: a payment that a sweep finds was not missed if its notification waits for
/// a rate limit.
#[derive(Debug, Default)]
pub(super) struct Heard(Mutex<Recent>);

impl Heard {
    pub(super) fn note(&self, signature: Signature) {
        self.recent().insert(signature);
    }

    pub(super) fn knows(&self, signature: &Signature) -> bool {
        self.recent().set.contains(signature)
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last signatures, oldest forgotten first.
#[derive(Debug, Default)]
pub(super) struct Recent {
    set: HashSet<Signature>,
    order: VecDeque<Signature>,
}

impl Recent {
    /// Returns whether it was new.
    pub(super) fn insert(&mut self, signature: Signature) -> bool {
        if !self.set.insert(signature) {
            return false;
        }
        self.order.push_back(signature);
        if self.order.len() > RECENT
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
        true
    }

    pub(super) fn forget(&mut self, signature: Signature) {
        self.set.remove(&signature);
    }
}
