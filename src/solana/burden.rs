//! What nodes may be burdened with: places for requests under way, and a pace, shared by all who ask.

use super::pace::Pace;
use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};
use tokio::sync::Semaphore;

/// What a node may be burdened with.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Deadline of one request.
    pub request_timeout: Duration,
    /// Requests per second over all endpoints, bursts of one second allowed; 0 = no limit.
    pub max_rps: u32,
    /// Requests under way at once.
    pub max_in_flight: usize,
}

/// What all requests together may burden the nodes with.
pub(super) struct Burden {
    pub(super) permits: Semaphore,
    pub(super) pace: Pace,
    /// Requests that were sent.
    pub(super) asked: AtomicU64,
}

impl Burden {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            permits: Semaphore::new(limits.max_in_flight.max(1)),
            pace: Pace::new(limits.max_rps),
            asked: AtomicU64::new(0),
        })
    }
}
