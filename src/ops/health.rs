//! `/healthz`: the process answers. `/readyz`: it does its work, or says why not. `/metrics`: Prometheus text.

use super::Shared;
use crate::clock;
use crate::pipeline::{Pipeline, Unready};
use crate::telemetry::lossy;
use axum::{extract::State, http::StatusCode, http::header::CONTENT_TYPE, response::IntoResponse};

pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Why the daemon does not do its work, if so.
pub(super) async fn unready(pipeline: &Pipeline) -> Option<Unready> {
    let (store, status) = (&pipeline.store, &pipeline.status);
    let probed = if status.has_store_failed() {
        store.probe_disk().await
    } else {
        store.probe().await
    };
    status.store_failed(probed.is_err());
    status.unready(pipeline.config.solana.sweep_every, clock::now())
}

pub(super) async fn readyz(State(shared): State<Shared>) -> (StatusCode, String) {
    match unready(&shared.pipeline).await {
        None => (StatusCode::OK, "ready\n".into()),
        Some(why) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: {}\n", why.as_str()),
        ),
    }
}

pub(super) async fn metrics(State(shared): State<Shared>) -> impl IntoResponse {
    gauge_store(&shared).await;
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4")],
        shared.metrics.render(),
    )
}

/// What only the database knows is counted when somebody asks.
async fn gauge_store(shared: &Shared) {
    let store = &shared.pipeline.store;
    let counts = store.count_confirmations().await;
    let checkouts = store.count_checkouts().await;
    if counts.is_err() || checkouts.is_err() {
        shared.pipeline.status.store_failed(true);
    }
    let (Ok(counts), Ok((_, pending))) = (counts, checkouts) else {
        return;
    };
    let oldest = counts
        .oldest_queued_at
        .map_or(0.0, |at| clock::now().since(at).as_secs_f64());
    for (name, value) in [
        ("paywatch_confirmations_queued", counts.queued),
        ("paywatch_confirmations_parked", counts.parked),
        ("paywatch_checkouts_pending", pending),
    ] {
        metrics::gauge!(name).set(f64::from(u32::try_from(value).unwrap_or(u32::MAX)));
    }
    metrics::gauge!("paywatch_oldest_queued_seconds").set(oldest);
    let (requests, payments) = (
        shared.pipeline.rpc.requests(),
        shared.pipeline.status.payments(),
    );
    let per_payment = lossy(requests) / lossy(payments.max(1));
    metrics::gauge!("paywatch_rpc_requests_per_payment").set(per_payment);
}
