//! One payment in a few words.

use crate::domain::{Decimals, Memo, visible};
use crate::store::PaymentSummary;
use serde_json::{Value, json};

/// An amount for people, in base units where the token is not known.
#[must_use]
pub fn human(payment: &PaymentSummary) -> String {
    match (payment.received, &payment.token) {
        (Some(received), Some((symbol, decimals))) => {
            format!("{} {}", received.human(*decimals), visible(symbol))
        }
        (Some(received), None) => format!("{received} base units"),
        (None, _) => "?".into(),
    }
}

/// The checkout it pays for, or else the memos it came with.
#[must_use]
pub fn purpose(payment: &PaymentSummary) -> String {
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
#[must_use]
pub fn summary(payment: &PaymentSummary) -> Value {
    let token = payment.token.as_ref();
    json!({
        "signature": payment.signature,
        "token_account": payment.token_account,
        "slot": payment.slot,
        "block_time": payment.block_time.map(super::seconds),
        "seen_at": super::instant(payment.seen_at),
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
