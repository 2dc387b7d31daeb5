//! `/healthz`: the process answers. `/readyz`: it does its work, or says why not.

use super::Shared;
use crate::clock;
use crate::pipeline::{Pipeline, Unready};
use axum::{extract::State, http::StatusCode};

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
