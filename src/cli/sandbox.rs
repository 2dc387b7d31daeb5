//! `paywatch sandbox`: a payments API to develop against.

use super::{Failure, block_on, shutdown_on_signals};
use crate::config::{Log, LogFormat};
use crate::{sandbox, serve, telemetry};
use anyhow::{Context, anyhow};
use std::path::Path;
use tokio::net::TcpListener;

pub(super) fn run(file: Option<&Path>) -> Result<u8, Failure> {
    let file = file.ok_or_else(|| {
        Failure::Configuration(anyhow!(
            "the sandbox needs --config FILE, like config/sandbox.toml"
        ))
    })?;
    let settings = sandbox::Settings::load(file).map_err(Failure::Configuration)?;
    telemetry::init_logs(&Log {
        format: LogFormat::Text,
        level: "info".into(),
    });
    serve::raise_descriptors();
    block_on(async {
        let shutdown = shutdown_on_signals().context("listen for signals")?;
        let listener = TcpListener::bind(settings.listen)
            .await
            .with_context(|| format!("listen on {}", settings.listen))?;
        let address = listener
            .local_addr()
            .context("read the sandbox's address")?;
        tracing::info!("sandbox API at http://{address}/api/v1/payments");
        sandbox::serve(settings, listener, shutdown).await?;
        Ok(0)
    })
}
