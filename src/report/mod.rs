//! How checkouts, payments and transactions are told, to terminals, pages and machines alike: text, JSON, CSV, QR codes. Asks nobody,
//! decides nothing.

mod checkout;
mod csv;
mod explanation;
mod payment;
mod qr;
mod timeline;

pub use checkout::{
    checkout_json, due, plan_json, signature, stage_json, stage_words, status, token_json,
    transfer_request_json, transfer_request_text,
};
pub use csv::{csv_head, csv_rows};
pub use explanation::{explanation_json, explanation_text};
pub use payment::{human, purpose, summary};
pub use qr::{qr_png, qr_svg, qr_text};
pub use timeline::{event_json, event_text};

use crate::clock;
use crate::domain::Timestamp;
use std::time::{Duration, UNIX_EPOCH};

/// An instant in UTC, to the millisecond.
#[must_use]
pub fn instant(at: Timestamp) -> String {
    let since = Timestamp(at.0.max(0)).since(Timestamp(0));
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

/// So many seconds, as `1h 5m`.
#[must_use]
pub fn duration(seconds: u64) -> String {
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

/// How long ago, if ever.
#[must_use]
pub fn ago(seconds: Option<u64>) -> String {
    seconds.map_or_else(
        || "not yet".into(),
        |seconds| format!("{} ago", duration(seconds)),
    )
}

/// Unix seconds in UTC.
#[must_use]
pub fn seconds(at: i64) -> String {
    clock::written(at)
}
