//! What the commands of a buyer's side share.

use super::{Failure, block_on, open_if_there};
use crate::buyer::Buyer;
use crate::config::Config;
use crate::merchant::Merchant;
use anyhow::Context;

/// Arguments of a command that lists all there is.
#[derive(Debug, clap::Args)]
pub(super) struct Listing {
    /// Print a list of objects as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Asks the configured API, and the daemon's database where there is one.
pub(super) async fn open(config: &Config) -> anyhow::Result<Buyer> {
    let merchant =
        Merchant::new(&config.merchant.settings).context("build the payments API client")?;
    Ok(Buyer::new(merchant, open_if_there(config).await?))
}

/// Runs a command that asks the payments API and is done.
pub(super) fn ask(
    config: &Config,
    what: impl AsyncFnOnce(Buyer) -> anyhow::Result<()>,
) -> Result<u8, Failure> {
    block_on(async {
        let buyer = open(config).await?;
        what(buyer).await?;
        Ok(0)
    })
}
