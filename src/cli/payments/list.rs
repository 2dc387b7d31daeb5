//! `paywatch payments list`.

use super::{When, human, memo, purpose, summary, verdicts};
use crate::cli::print;
use crate::domain::{Memo, Mint, Wallet};
use crate::store::{Filter, PaymentState, PaymentSummary, Store};
use anyhow::Context;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use comfy_table::{Table, presets};

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
        limit: args.limit,
    };
    let payments = store.payments(&filter).await.context("read payments")?;
    if args.json {
        print::json(&payments.iter().map(summary).collect::<Vec<_>>())?;
    } else if args.csv {
        csv(&payments)?;
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

fn table(payments: &[PaymentSummary]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header([
        "SEEN",
        "STATE",
        "VERDICT",
        "AMOUNT",
        "CHECKOUT OR MEMO",
        "SIGNATURE",
    ]);
    for payment in payments {
        table.add_row([
            print::instant(payment.seen_at),
            payment.state.as_str().to_owned(),
            payment.verdict.clone(),
            human(payment),
            purpose(payment),
            payment.signature.clone(),
        ]);
    }
    table
}

fn csv(payments: &[PaymentSummary]) -> anyhow::Result<()> {
    const WRITE: &str = "write CSV";
    let mut out = csv::Writer::from_writer(std::io::stdout());
    out.write_record([
        "seen_at",
        "state",
        "verdict",
        "received_base_units",
        "received",
        "symbol",
        "mint",
        "checkout",
        "memos",
        "payer",
        "signature",
        "token_account",
        "slot",
        "chain_state",
    ])
    .context(WRITE)?;
    for payment in payments {
        let token = payment.token.as_ref();
        let received = payment
            .received
            .zip(token)
            .map(|(amount, (_, decimals))| amount.human(*decimals));
        let memos: Vec<_> = payment.memos.iter().map(ToString::to_string).collect();
        let checkout = payment.checkout.as_ref().map(ToString::to_string);
        out.write_record([
            print::instant(payment.seen_at),
            payment.state.as_str().to_owned(),
            payment.verdict.clone(),
            payment
                .received
                .map(|amount| amount.to_string())
                .unwrap_or_default(),
            received.unwrap_or_default(),
            inert(token.map(|(symbol, _)| symbol.as_str()).unwrap_or_default()),
            payment.mint.clone().unwrap_or_default(),
            inert(&checkout.unwrap_or_default()),
            inert(&memos.join(" ")),
            payment.payer.clone().unwrap_or_default(),
            payment.signature.clone(),
            payment.token_account.clone(),
            payment.slot.to_string(),
            payment.chain_state.clone(),
        ])
        .context(WRITE)?;
    }
    out.flush().context(WRITE)
}

/// Text from outside that no spreadsheet takes for a formula: those begin with one of a few characters.
fn inert(text: &str) -> String {
    let shown = crate::domain::visible(text);
    if shown.starts_with(['=', '+', '-', '@']) {
        format!("'{shown}")
    } else {
        shown
    }
}
