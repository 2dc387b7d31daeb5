//! `paywatch healthcheck`: asks the daemon's `/healthz`, so that a container needs no other program.

use super::daemon::Daemon;
use super::{Failure, block_on, print};
use crate::config::Config;

pub(super) fn run(config: &Config) -> Result<u8, Failure> {
    let daemon = Daemon::of(config)?;
    block_on(async {
        daemon.get("/healthz").await?;
        print::line("ok")?;
        Ok(0)
    })
}
