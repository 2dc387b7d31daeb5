//! Payments as CSV, for spreadsheets. Text from outside stays text there.

use crate::domain::visible;
use crate::store::PaymentSummary;
use std::io::{self, Write};

/// Writes the names of the columns.
///
/// # Errors
/// When nothing more can be written.
pub fn csv_head(to: impl Write) -> io::Result<()> {
    let mut out = csv::Writer::from_writer(to);
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
    ])?;
    out.flush()
}

/// Writes payments, one a line.
///
/// # Errors
/// When nothing more can be written.
pub fn csv_rows(to: impl Write, payments: &[PaymentSummary]) -> io::Result<()> {
    let mut out = csv::Writer::from_writer(to);
    for payment in payments {
        let token = payment.token.as_ref();
        let received = payment
            .received
            .zip(token)
            .map(|(amount, (_, decimals))| amount.human(*decimals));
        let memos: Vec<_> = payment.memos.iter().map(ToString::to_string).collect();
        let checkout = payment.checkout.as_ref().map(ToString::to_string);
        out.write_record([
            super::instant(payment.seen_at),
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
        ])?;
    }
    out.flush()
}

/// Text from outside that no spreadsheet takes for a formula: those begin with one of a few characters.
fn inert(text: &str) -> String {
    let shown = visible(text);
    if shown.starts_with(['=', '+', '-', '@']) {
        format!("'{shown}")
    } else {
        shown
    }
}
