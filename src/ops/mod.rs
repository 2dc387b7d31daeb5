//! What operators and their machines ask the daemon over HTTP: is it alive, is it ready, what does it count.

mod health;

use crate::pipeline::Pipeline;
use axum::{Router, routing::get};
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
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .with_state(Shared { pipeline, metrics })
}
