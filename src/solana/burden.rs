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
    /// Permits for `getTransaction`. One more is reserved for other requests, so that a flood of hints cannot keep a sweep from listing
    /// history.
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

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn fetches_never_take_the_last_place() {
        let limits = |max_in_flight| Limits {
            request_timeout: Duration::from_secs(1),
            max_rps: 0,
            max_in_flight,
        };
        for places in [2, 3, 16] {
            let burden = Burden::new(limits(places));
            let now = |request| burden.place(request).now_or_never();
            let fetch = || now(RpcRequest::GetTransaction);
            let fetches: Vec<_> = std::iter::from_fn(fetch).take(100).collect();
            assert_eq!(fetches.len(), places - 1);
            let listing = now(RpcRequest::GetSignaturesForAddress);
            assert!(listing.is_some(), "{places}: a listing waits for fetches");
            assert!(now(RpcRequest::GetSlot).is_none(), "all are taken");
            drop(fetches);
            assert!(fetch().is_some(), "a place is free again");
        }
        let single = Burden::new(limits(1));
        let fetch = single.place(RpcRequest::GetTransaction).now_or_never();
        assert!(fetch.is_some(), "with a single place fetches are possible");
    }
}
