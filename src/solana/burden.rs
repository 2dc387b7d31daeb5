//! What nodes may be burdened with: places for requests under way, and a rate limit, shared by all who ask.

use crate::rate_limit::RateLimit;
use solana_client::rpc_request::RpcRequest;
use std::{sync::Arc, time::Duration};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Longest pause between two requests that refused requests cause.
const PENALTY_MAX: Duration = Duration::from_secs(1);

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
    /// Places for requests under way.
    all: Semaphore,
    /// Those of them that fetches of transactions may take: one is left to whoever asks for something else, so that a flood of hints
    /// never keeps a sweep from listing history.
    for_fetches: Semaphore,
    pub(super) rate_limit: RateLimit,
}

/// A place, free again when dropped. Semaphores close only when the process ends; a missing permit is no reason to lose the request.
pub(super) struct Place<'a> {
    _fetch: Option<SemaphorePermit<'a>>,
    _any: Option<SemaphorePermit<'a>>,
}

impl Burden {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        let places = limits.max_in_flight.max(1);
        Arc::new(Self {
            all: Semaphore::new(places),
            for_fetches: Semaphore::new(places.saturating_sub(1).max(1)),
            rate_limit: RateLimit::new(limits.max_rps, PENALTY_MAX),
        })
    }

    /// Waits for a place.
    pub(super) async fn place(&self, request: RpcRequest) -> Place<'_> {
        let fetch = if request == RpcRequest::GetTransaction {
            self.for_fetches.acquire().await.ok()
        } else {
            None
        };
        Place {
            _fetch: fetch,
            _any: self.all.acquire().await.ok(),
        }
    }
}
