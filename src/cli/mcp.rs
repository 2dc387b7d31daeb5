//! `paywatch mcp`: the payments flow for assistants.

use super::{Failure, block_on, buyer, open_empty, open_if_there, shutdown_on_signals};
use crate::config::Config;
use crate::pipeline::Pipeline;
use crate::{mcp, telemetry};
use anyhow::Context;

/// Standard output belongs to the protocol; logs go to standard error, as always.
pub(super) fn run(config: Config) -> Result<u8, Failure> {
    telemetry::init_logs(&config.log);
    block_on(async {
        let shutdown = shutdown_on_signals().context("listen for signals")?;
        let buyer = buyer::open(&config).await?;
        let folder = tempfile::tempdir().context("make a folder for an empty database")?;
        let store = if let Some(store) = open_if_there(&config).await? {
            store
        } else {
            // No daemon runs here: what is asked of the database has the answer "nothing".
            open_empty(&folder).await?
        };
        let pipeline = Pipeline::new(config, store.clone())?;
        let served = mcp::serve(buyer, pipeline, shutdown).await;
        store.close().await;
        served?;
        Ok(0)
    })
}
