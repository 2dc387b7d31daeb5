//! What operators and their machines ask the daemon over HTTP: is it alive, is it ready, what does it count.

mod actions;
mod health;
mod metrics;
mod status;

pub use status::{AccountStatus, Outbox, Rate, Snapshot, Standing};

use crate::pipeline::Pipeline;
use axum::{
    Router, middleware,
    routing::{get, post},
};
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;

/// What the handlers need.
#[derive(Clone)]
struct Shared {
    pipeline: Arc<Pipeline>,
    metrics: PrometheusHandle,
}

/// All routes of `ops.listen`.
pub fn router(pipeline: Arc<Pipeline>, metrics: PrometheusHandle) -> Router {
    let shared = Shared { pipeline, metrics };
    let actions = Router::new()
        .route("/v1/sweep", post(actions::sweep))
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
        .with_state(shared)
}
