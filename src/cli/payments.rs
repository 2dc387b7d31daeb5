//! `paywatch payments`: what is recorded, and what people decide about it.

mod decide;
mod list;
mod show;
mod timeline;

use super::{Failure, block_on, open_existing, print};
use crate::clock;
use crate::config::Config;
use crate::domain::{Decimals, Held, Memo, Timestamp};
use crate::store::PaymentSummary;
use crate::telemetry;
use serde_json::{Value, json};
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
    /// Put a held or given-up payment aside: it is judged no more and needs nobody
    Dismiss(decide::Dismiss),
    /// Try at once what waits: a given-up or queued confirmation, or an unreadable transaction
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
        let at = humantime::parse_rfc3339_weak(text).map_err(|_| {
            "expected a duration (24h) or a time in UTC (2026-11-22T08:00:00Z)".to_owned()
        })?;
        let since = at
            .duration_since(std::time::UNIX_EPOCH)
            .map_err(|_| "a time before 1970".to_owned())?;
        Ok(Self(Timestamp(0).plus(since)))
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

/// An amount for people, in base units where the token is not known.
fn human(payment: &PaymentSummary) -> String {
    match (payment.received, &payment.token) {
        (Some(received), Some((symbol, decimals))) => format!(
            "{} {}",
            received.human(*decimals),
            crate::domain::visible(symbol)
        ),
        (Some(received), None) => format!("{received} base units"),
        (None, _) => "?".into(),
    }
}

/// The checkout it pays for, or else the memos it came with.
fn purpose(payment: &PaymentSummary) -> String {
    match &payment.checkout {
        Some(checkout) => checkout.to_string(),
        None => payment
            .memos
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" "),
    }
}

/// A payment for machines; amounts are decimal text in base units.
pub(super) fn summary(payment: &PaymentSummary) -> Value {
    let token = payment.token.as_ref();
    json!({
        "signature": payment.signature,
        "token_account": payment.token_account,
        "slot": payment.slot,
        "block_time": payment.block_time.map(print::seconds),
        "seen_at": print::instant(payment.seen_at),
        "mint": payment.mint,
        "symbol": token.map(|(symbol, _)| symbol),
        "received": payment.received.map(|amount| amount.to_string()),
        "received_human": payment.received.zip(token.map(|(_, decimals)| *decimals)).map(|(amount, decimals): (_, Decimals)| amount.human(decimals)),
        "payer": payment.payer,
        "memos": payment.memos.iter().map(Memo::as_str).collect::<Vec<_>>(),
        "verdict": payment.verdict,
        "state": payment.state.as_str(),
        "checkout": payment.checkout.as_ref().map(Memo::as_str),
        "confirmation": payment.confirmation,
        "chain_state": payment.chain_state,
        "note": payment.note,
    })
}
