//! Tells the log and systemd when payments are watched for.

use super::Host;
use crate::pipeline::Pipeline;
use crate::{clock, systemd};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// How often it is looked whether the daemon has become ready.
const READY_EVERY: Duration = Duration::from_millis(50);
/// How long systemd waits to be told. Its own patience is 90 s by default.
const READY_PATIENCE: Duration = Duration::from_secs(30);

/// Says once that payments are watched for, when hints are heard. systemd is told after half a minute at the latest: it would stop a
/// daemon whose nodes are away, and stopping helps nobody.
pub(super) async fn tell_ready(pipeline: Arc<Pipeline>, host: Host) {
    let (status, every) = (&pipeline.status, pipeline.config.solana.sweep_every);
    let unready = || status.unready(every, clock::now());
    let began = Instant::now();
    let mut tell_systemd = (host == Host::Daemon).then_some(systemd::ready);
    let mut is_late = false;
    while let Some(why) = unready() {
        if !is_late && began.elapsed() > READY_PATIENCE {
            is_late = true;
            tracing::warn!(
                reason = why.as_str(),
                "not ready yet; paywatch goes on trying"
            );
            tell_systemd.take().into_iter().for_each(|tell| tell());
        }
        sleep(READY_EVERY).await;
    }
    tell_systemd.take().into_iter().for_each(|tell| tell());
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "watching for payments");
    std::future::pending::<()>().await;
}
