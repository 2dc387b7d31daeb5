//! `paywatch card`: a payment by card.

use super::{Failure, buyer, print};
use crate::config::Config;
use crate::merchant::NewCardPayment;
use anyhow::Context;
use serde_json::json;
use url::Url;

/// Arguments of `paywatch card`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Id of the plan to buy, see `paywatch plans`
    #[arg(long, value_name = "ID")]
    plan: u64,
    /// Where the buyer is sent after paying
    #[arg(long, value_name = "URL", value_parser = web_address)]
    success_url: Url,
    /// Where the buyer is sent after giving up
    #[arg(long, value_name = "URL", value_parser = web_address)]
    cancel_url: Url,
    /// Open the page in a browser
    #[arg(long)]
    open: bool,
    /// Print an object as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(config: &Config, args: &Args) -> Result<u8, Failure> {
    buyer::ask(config, async |buyer| {
        let new = NewCardPayment {
            plan: args.plan,
            success_url: args.success_url.clone(),
            cancel_url: args.cancel_url.clone(),
        };
        let link = buyer.card(&new).await?;
        if args.json {
            print::json(&json!({ "payment_link": link.as_str() }))?;
        } else {
            print::line(link.as_str())?;
        }
        if args.open {
            open::that_detached(link.as_str()).context("open the page in a browser")?;
        }
        Ok(())
    })
}

fn web_address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"));
    url.ok_or_else(|| "expected an address http://… or https://…".into())
}
