//! How payments and transactions are told, to terminals, pages and machines alike: text, JSON, CSV. Asks nobody, decides nothing.

mod csv;
mod explanation;
mod payment;
mod timeline;

pub use csv::{csv_head, csv_rows};
pub use explanation::{explanation_json, explanation_text};
pub use payment::{human, purpose, summary};
pub use timeline::{event_json, event_text};

use crate::domain::Timestamp;
use std::time::{Duration, UNIX_EPOCH};

/// An instant in UTC, to the millisecond.
#[must_use]
pub fn instant(at: Timestamp) -> String {
    let since = Timestamp(at.0.max(0)).since(Timestamp(0));
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

/// Unix seconds in UTC.
#[must_use]
pub fn seconds(at: i64) -> String {
    let since = Duration::from_secs(u64::try_from(at).unwrap_or(0));
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string()
}
