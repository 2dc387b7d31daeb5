//! Logs and the metrics recorder: set up once, before anything else runs.

mod catalogue;

pub use catalogue::{Kind, Label, METRICS, Metric};

use crate::clock;
use crate::config::{Log, LogFormat};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use std::{io::IsTerminal, sync::OnceLock};
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

/// Sends log lines to standard error. A second call changes nothing.
pub fn init_logs(log: &Log) {
    let filter: Targets = log
        .level
        .parse()
        .unwrap_or_else(|_| Targets::new().with_default(tracing::Level::INFO));
    // Libraries are heard from `warn` on, unless the operator names them.
    let quiet = [
        "sqlx",
        "hyper",
        "reqwest",
        "solana_pubsub_client",
        "tungstenite",
        "rmcp",
    ];
    let filter = quiet
        .iter()
        .filter(|name| !log.level.contains(**name))
        .fold(filter, |filter, name| {
            filter.with_target(*name, tracing::Level::WARN)
        });
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    // `Err` means that a subscriber is there already, in a test or a demo.
    let _already = match log.format {
        LogFormat::Text => registry
            .with(
                lines
                    .with_target(false)
                    .with_ansi(std::io::stderr().is_terminal()),
            )
            .try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
}

/// The process's metrics, for `/metrics`.
///
/// # Errors
/// When another recorder is installed.
pub fn metrics() -> Result<PrometheusHandle, BuildError> {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets(&[
            0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3600.0,
        ])?
        .install_recorder()?;
    catalogue::describe();
    metrics::gauge!("paywatch_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    let began = clock::now().unix_seconds().unsigned_abs();
    metrics::gauge!("paywatch_start_timestamp_seconds").set(lossy(began));
    Ok(HANDLE.get_or_init(|| handle).clone())
}

/// Prometheus gauges are floats; nothing of this is money.
#[expect(clippy::cast_precision_loss, reason = "a gauge for people")]
pub(crate) fn lossy(value: u64) -> f64 {
    value as f64
}
