//! How far a sweep is, for people.

use crate::clock;
use crate::domain::Timestamp;
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Tells a person how far a sweep is. Nothing needs to be told.
pub trait Progress: Send + Sync {
    /// It begins.
    fn begins(&self) {}
    /// So many more signatures were listed.
    fn listed(&self, _signatures: usize) {}
    /// So many more were dealt with.
    fn recorded(&self, _signatures: usize) {}
}

/// Nobody watches.
pub(super) struct Unwatched;

impl Progress for Unwatched {}

/// A line in the log every ten seconds. What is over sooner says nothing.
#[derive(Debug)]
pub struct LogLines(Mutex<Counts>);

#[derive(Debug)]
struct Counts {
    listed: usize,
    recorded: usize,
    said_at: Timestamp,
}

impl Counts {
    fn none() -> Self {
        Self {
            listed: 0,
            recorded: 0,
            said_at: clock::now(),
        }
    }
}

impl Default for LogLines {
    fn default() -> Self {
        Self(Mutex::new(Counts::none()))
    }
}

impl LogLines {
    const EVERY: Duration = Duration::from_secs(10);

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        let counts = self.0.lock();
        let mut counts = counts.unwrap_or_else(PoisonError::into_inner);
        change(&mut counts);
        let now = clock::now();
        if now.since(counts.said_at) >= Self::EVERY {
            counts.said_at = now;
            let (listed, recorded) = (counts.listed, counts.recorded);
            tracing::info!(listed, recorded, "sweeping history");
        }
    }
}

impl Progress for LogLines {
    fn begins(&self) {
        self.count(|counts| *counts = Counts::none());
    }

    fn listed(&self, signatures: usize) {
        self.count(|counts| counts.listed = counts.listed.saturating_add(signatures));
    }

    fn recorded(&self, signatures: usize) {
        self.count(|counts| counts.recorded = counts.recorded.saturating_add(signatures));
    }
}
