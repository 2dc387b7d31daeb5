//! `paywatch payments`: what is recorded, and what people decide about it.

mod bulk;
mod decide;
mod list;
mod show;

use super::{Failure, block_on, open_existing};
use crate::clock;
use crate::config::Config;
use crate::domain::{Held, Memo, Timestamp};
use crate::telemetry;
use std::str::FromStr;

/// Arguments of `paywatch payments`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List payments, newest first
    List(list::Args),
    /// Show the payments of a transaction or memo with all that happened to them
    Show(show::Args),
    /// Confirm a payment for a checkout by hand; sent once the chain has finalized the payment
    Confirm(decide::Confirm),
    /// Put payments aside that are held, given up or uncredited: they are judged no more and need nobody
    Dismiss(decide::Dismiss),
    /// Try at once what waits: a confirmation that is given up, uncredited or queued, or an unreadable transaction
    Retry(decide::Retry),
}

pub(super) fn run(config: &Config, args: &Args) -> Result<u8, Failure> {
    telemetry::init_logs(&config.log);
    block_on(async {
        let store = open_existing(config).await?;
        let done = match &args.command {
            Command::List(args) => list::run(&store, args).await,
            Command::Show(args) => show::run(&store, args).await,
            Command::Confirm(args) => args.run(&store).await,
            Command::Dismiss(args) => args.run(&store).await,
            Command::Retry(args) => args.run(&store).await,
        };
        store.close().await;
        done?;
        Ok(0)
    })
}

/// A time on the command line: so long ago, or an instant.
#[derive(Clone, Copy, Debug)]
struct When(Timestamp);

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(ago) = humantime::parse_duration(text) {
            return Ok(Self(clock::now().minus(ago)));
        }
        clock::read(text).map(Self).ok_or_else(|| {
            "expected a duration (24h) or a time in UTC (2026-11-22T08:00:00Z)".to_owned()
        })
    }
}

fn memo(text: &str) -> Result<Memo, String> {
    Memo::parse(text).ok_or_else(|| "an empty memo".to_owned())
}

/// The words a verdict can have.
fn verdicts() -> Vec<&'static str> {
    let held = Held::ALL.iter().map(|reason| reason.as_str());
    std::iter::once("matched").chain(held).collect()
}
