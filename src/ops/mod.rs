//! What operators and their machines ask the daemon over HTTP: is it alive, is it ready, what does it count; and pages for people.

mod actions;
mod checkouts;
mod health;
mod metrics;
mod pages;
mod recent;
mod status;

pub use status::{AccountStatus, Notices, Outbox, Rate, Snapshot, Standing};

use crate::pipeline::Pipeline;
use axum::{
    Router, middleware,
    routing::{get, post},
};
use metrics_exporter_prometheus::PrometheusHandle;
use pages::{Feeds, PayPages};
use recent::Recents;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// What the handlers need.
#[derive(Clone)]
struct Shared {
    pipeline: Arc<Pipeline>,
    metrics: PrometheusHandle,
    recents: Arc<Recents>,
    feeds: Arc<Feeds>,
    /// Places for those who look on.
    streams: Arc<Semaphore>,
    pay_pages: Option<Arc<PayPages>>,
    shutdown: CancellationToken,
}

/// All routes of `ops.listen`. What is sent for as long as somebody looks on ends with `shutdown`.
pub fn router(
    pipeline: Arc<Pipeline>,
    metrics: PrometheusHandle,
    shutdown: CancellationToken,
) -> Router {
    let shared = Shared {
        pay_pages: PayPages::if_on(&pipeline.config.ops),
        feeds: Feeds::new(pipeline.clone()),
        pipeline,
        metrics,
        recents: Arc::default(),
        streams: Arc::new(Semaphore::new(pages::STREAMS_MAX)),
        shutdown,
    };
    let actions = Router::new()
        .route("/v1/sweep", post(actions::sweep))
        .route("/v1/checkouts", post(checkouts::take_in))
        .layer(middleware::from_fn_with_state(
            shared.clone(),
            actions::with_token,
        ));
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::metrics))
        .route("/v1/status", get(status::status))
        .merge(actions)
        .merge(pages::router(&shared))
        .with_state(shared)
}
