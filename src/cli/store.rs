//! `paywatch store check`: whether the database holds what it must.

use super::{Failure, block_on, open_existing, print};
use crate::config::Config;
use crate::store::Store;
use crate::telemetry;
use anyhow::Context;

/// Arguments of `paywatch store`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Check the database against its own rules; exits with 1 and names what is wrong, if anything is
    Check {
        /// Print what is wrong as JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(config: &Config, args: &Args) -> Result<u8, Failure> {
    telemetry::init_logs(&config.log);
    let Command::Check { json } = args.command;
    block_on(async {
        let store = open_existing(config).await?;
        let broken = store.audit().await.context("read the database")?;
        store.close().await;
        if json {
            print::json(&broken)?;
        } else if broken.is_empty() {
            print::line(&format!("all {} rules hold", Store::rules()))?;
        }
        if broken.is_empty() {
            return Ok(0);
        }
        for one in broken.iter().filter(|_| !json) {
            print::line(&format!("broken: {}", one.rule))?;
            for row in &one.rows {
                print::line(&format!("  {}", crate::domain::visible(row)))?;
            }
        }
        Ok(super::FAILED)
    })
}
