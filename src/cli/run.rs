//! `paywatch run`: the daemon.

use super::{Failure, block_on, shutdown_on_signals};
use crate::{config::Config, serve, supervisor, telemetry};
use anyhow::Context;

pub(super) fn run(config: Config) -> Result<u8, Failure> {
    telemetry::init_logs(&config.log);
    serve::raise_descriptors();
    block_on(async {
        telemetry::metrics().context("install the metrics recorder")?;
        let shutdown = shutdown_on_signals().context("listen for signals")?;
        supervisor::run(config, shutdown).await?;
        Ok(0)
    })
}
