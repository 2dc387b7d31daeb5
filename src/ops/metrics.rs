//! `/metrics`: Prometheus text. What the loops count is there already; how things stand is looked up when somebody asks.

use super::{Shared, Standing};
use crate::clock;
use crate::domain::Held;
use crate::telemetry::lossy;
use axum::{extract::State, http::header::CONTENT_TYPE, response::IntoResponse};
use metrics::gauge;
use std::path::Path;

pub(super) async fn metrics(State(shared): State<Shared>) -> impl IntoResponse {
    let pipeline = &shared.pipeline;
    let standing = Standing::take(pipeline, clock::now()).await;
    if let Ok(standing) = &standing {
        note(standing);
    } else {
        pipeline.status.store_failed(true);
        gauge!("paywatch_ready").set(0.0);
    }
    let has_failed = pipeline.status.has_store_failed();
    gauge!("paywatch_store_failed").set(flag(has_failed));
    let file = pipeline.config.database_file();
    if let Some(free) = file.as_deref().and_then(free_bytes) {
        gauge!("paywatch_disk_free_bytes").set(lossy(free));
    }
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4")],
        shared.metrics.render(),
    )
}

fn note(standing: &Standing) {
    gauge!("paywatch_ready").set(flag(standing.not_ready.is_none()));
    gauge!("paywatch_outbox_depth").set(lossy(standing.outbox.queued));
    gauge!("paywatch_outbox_parked").set(lossy(standing.outbox.parked));
    gauge!("paywatch_uncredited_confirmations").set(lossy(standing.outbox.uncredited));
    let oldest = standing.outbox.oldest_seconds.unwrap_or(0);
    gauge!("paywatch_outbox_oldest_seconds").set(lossy(oldest));
    gauge!("paywatch_checkouts_pending").set(lossy(standing.pending_checkouts));
    gauge!("paywatch_dust_payments").set(lossy(standing.dust));
    for reason in Held::ALL {
        let held = standing.held.get(reason.as_str()).copied().unwrap_or(0);
        gauge!("paywatch_held_payments", "reason" => reason.as_str()).set(lossy(held));
    }
}

fn free_bytes(file: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(file).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn flag(is_set: bool) -> f64 {
    if is_set { 1.0 } else { 0.0 }
}
