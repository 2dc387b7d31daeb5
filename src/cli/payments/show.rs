//! `paywatch payments show`: one payment with its timeline.

use crate::cli::print;
use crate::domain::{CheckoutStatus, Memo, Signature, visible};
use crate::report::{event_json, event_text, human, instant, summary};
use crate::store::{Event, Filter, PaymentSummary, Store};
use anyhow::{Context, anyhow};
use serde_json::Value;

/// Most payments of one memo that are shown.
const SHOWN_MAX: u32 = 100;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A transaction's signature, or a memo
    #[arg(value_name = "SIGNATURE_OR_MEMO")]
    which: String,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(store: &Store, args: &Args) -> anyhow::Result<()> {
    let signature: Option<Signature> = args.which.trim().parse().ok();
    let memo = Memo::parse(&args.which);
    let filter = Filter {
        signature,
        memo: memo.clone().filter(|_| signature.is_none()),
        ..Filter::newest(SHOWN_MAX)
    };
    let payments = store.payments(&filter).await.context("read payments")?;
    let mut shown = Vec::new();
    for payment in payments {
        let key = (payment.signature.parse(), payment.token_account.parse());
        let (Ok(signature), Ok(token_account)) = key else {
            return Err(anyhow!(
                "the database holds a payment whose keys cannot be read"
            ));
        };
        let events = store
            .timeline(signature, token_account)
            .await
            .context("read the timeline")?;
        shown.push((payment, events));
    }
    if shown.is_empty() {
        return Err(anyhow!(nothing(store, signature, memo).await?));
    }
    if args.json {
        let all: Vec<_> = shown
            .iter()
            .map(|(payment, events)| details(payment, events))
            .collect();
        return print::json(&all);
    }
    let texts: Vec<_> = shown
        .iter()
        .map(|(payment, events)| text(payment, events))
        .collect();
    print::line(texts.join("\n\n").trim_end())
}

/// What to say where there is no payment: the checkout may be known.
async fn nothing(
    store: &Store,
    signature: Option<Signature>,
    memo: Option<Memo>,
) -> anyhow::Result<String> {
    if let Some(signature) = signature {
        return Ok(format!(
            "no payment of transaction {signature} is recorded; `paywatch explain {signature}` says what it did"
        ));
    }
    let Some(memo) = memo else {
        return Ok("an empty memo names no payment".into());
    };
    let known = store
        .checkouts_named(std::slice::from_ref(&memo))
        .await
        .context("read checkouts")?;
    Ok(match known.first().map(|checkout| checkout.status) {
        None => format!("neither a payment nor a checkout with the memo {memo} is known"),
        Some(CheckoutStatus::Pending) => {
            format!("checkout {memo} is pending, and no payment for it has arrived")
        }
        Some(CheckoutStatus::Other(word)) => format!(
            "checkout {memo} is neither pending nor confirmed (the API says \"{word}\"), and no payment for it has arrived"
        ),
        Some(CheckoutStatus::Confirmed(_)) => format!(
            "checkout {memo} is confirmed by the API's word, by no payment that is recorded here"
        ),
    })
}

fn text(payment: &PaymentSummary, events: &[Event]) -> String {
    let mut text = format!(
        "payment of {}, {}: {}\n",
        human(payment),
        payment.verdict,
        payment.state.as_str()
    );
    let memos: Vec<_> = payment
        .memos
        .iter()
        .map(|memo| format!("“{memo}”"))
        .collect();
    for (name, value) in [
        ("signature", payment.signature.clone()),
        ("account", payment.token_account.clone()),
        ("mint", payment.mint.clone().unwrap_or_else(|| "?".into())),
        (
            "payer",
            payment
                .payer
                .clone()
                .unwrap_or_else(|| "not told by the chain".into()),
        ),
        (
            "memos",
            if memos.is_empty() {
                "none".into()
            } else {
                memos.join(", ")
            },
        ),
        (
            "checkout",
            payment
                .checkout
                .as_ref()
                .map_or_else(|| "none".into(), ToString::to_string),
        ),
        (
            "chain",
            format!("slot {}, {}", payment.slot, payment.chain_state),
        ),
        (
            "note",
            payment
                .note
                .clone()
                .map(|note| visible(&note))
                .unwrap_or_default(),
        ),
    ] {
        if !value.is_empty() {
            text += &format!("  {name:<9} {value}\n");
        }
    }
    for event in events {
        text += &format!("  {}  {}\n", instant(event.at), event_text(&event.what));
    }
    text
}

fn details(payment: &PaymentSummary, events: &[Event]) -> Value {
    let mut value = summary(payment);
    value["timeline"] = events.iter().map(event_json).collect();
    value
}
