//! `paywatch payments list`.

use super::{When, memo, verdicts};
use crate::cli::print;
use crate::domain::{Memo, Mint, Wallet};
use crate::report::{self, human, purpose, summary};
use crate::store::{Filter, PaymentState, PaymentSummary, Store};
use anyhow::Context;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use comfy_table::Table;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only payments with this verdict
    #[arg(long, value_parser = PossibleValuesParser::new(verdicts()))]
    verdict: Option<String>,
    /// Only payments that stand so
    #[arg(long, value_parser = PossibleValuesParser::new(PaymentState::ALL.map(PaymentState::as_str)).map(|word| word.parse::<PaymentState>().unwrap_or(PaymentState::Held)))]
    state: Option<PaymentState>,
    /// Only payments in the token of this mint
    #[arg(long)]
    mint: Option<Mint>,
    /// Only payments with this memo, or for the checkout of it
    #[arg(long, value_parser = memo)]
    memo: Option<Memo>,
    /// Only payments from this wallet
    #[arg(long, value_name = "WALLET")]
    payer: Option<Wallet>,
    /// Only payments seen since: a duration (24h) or a time (2026-11-22T08:00:00Z)
    #[arg(long, value_name = "WHEN")]
    since: Option<When>,
    /// Only payments seen until then
    #[arg(long, value_name = "WHEN")]
    until: Option<When>,
    /// At most so many, the newest
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u32,
    /// Print them as JSON
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print them as CSV
    #[arg(long)]
    csv: bool,
}

pub(super) async fn run(store: &Store, args: &Args) -> anyhow::Result<()> {
    let filter = Filter {
        signature: None,
        verdict: args.verdict.clone(),
        state: args.state,
        mint: args.mint,
        memo: args.memo.clone(),
        payer: args.payer,
        since: args.since.map(|when| when.0),
        until: args.until.map(|when| when.0),
        seen: None,
        before: None,
        limit: args.limit,
    };
    let payments = store.payments(&filter).await.context("read payments")?;
    if args.json {
        print::json(&payments.iter().map(summary).collect::<Vec<_>>())?;
    } else if args.csv {
        report::csv_head(std::io::stdout()).context("write CSV")?;
        report::csv_rows(std::io::stdout(), &payments).context("write CSV")?;
    } else if payments.is_empty() {
        print::line("no payments")?;
    } else {
        print::line(&table(&payments).to_string())?;
    }
    if u32::try_from(payments.len()).is_ok_and(|count| count == args.limit) {
        eprintln!("these are the newest {}; --limit N shows more", args.limit);
    }
    Ok(())
}

pub(super) fn table(payments: &[PaymentSummary]) -> Table {
    let mut table = print::table([
        "SEEN",
        "STATE",
        "VERDICT",
        "AMOUNT",
        "CHECKOUT OR MEMO",
        "SIGNATURE",
    ]);
    for payment in payments {
        table.add_row([
            report::instant(payment.seen_at),
            payment.state.as_str().to_owned(),
            payment.verdict.clone(),
            human(payment),
            purpose(payment),
            payment.signature.clone(),
        ]);
    }
    table
}
