//! `paywatch history`: checkouts, as the payments API has them.

use super::{Failure, buyer, print};
use crate::buyer::Which;
use crate::config::Config;
use crate::report::{self, checkout_json, due};
use std::num::NonZeroUsize;

/// Arguments of `paywatch history`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only checkouts that stand so
    #[arg(long, value_enum)]
    status: Option<Status>,
    /// At most so many, in the API's order
    #[arg(long, value_name = "N", default_value = "50")]
    limit: NonZeroUsize,
    /// Print them as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Status {
    /// Made, not credited yet
    Pending,
    /// Verified and credited
    Confirmed,
}

pub(super) fn run(config: &Config, args: &Args) -> Result<u8, Failure> {
    let which = match args.status {
        None => Which::All,
        Some(Status::Pending) => Which::Pending,
        Some(Status::Confirmed) => Which::Confirmed,
    };
    buyer::ask(config, async |buyer| {
        let checkouts = buyer.history(which, args.limit.get()).await?;
        let tokens = buyer.tokens().await?;
        if args.json {
            let all = checkouts
                .iter()
                .map(|checkout| checkout_json(checkout, &tokens));
            return print::json(&all.collect::<Vec<_>>());
        }
        if checkouts.is_empty() {
            return print::line("no checkouts");
        }
        let mut table = print::table(["CREATED", "STATUS", "DUE", "MEMO", "SIGNATURE"]);
        for checkout in &checkouts {
            table.add_row([
                checkout.created_at.map(report::seconds).unwrap_or_default(),
                report::status(checkout).to_owned(),
                due(checkout, &tokens),
                checkout.memo.to_string(),
                report::signature(checkout).unwrap_or_default(),
            ]);
        }
        print::line(&table.to_string())?;
        if checkouts.len() == args.limit.get() {
            eprintln!("these are the first {}; --limit N shows more", args.limit);
        }
        Ok(())
    })
}
