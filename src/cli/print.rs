//! What commands put on the terminal. Text from chain and API is never executed by it.

use crate::domain::{Timestamp, is_invisible};
use anyhow::Context;
use serde::Serialize;
use std::io::Write;

/// Prints JSON, with every character that a terminal would act on as an escape of JSON's own.
///
/// # Errors
/// When standard output is closed.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value).context("write JSON")?;
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_invisible(c) && c != '\n' {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                shown += &format!("\\u{unit:04x}");
            }
        } else {
            shown.push(c);
        }
    }
    line(&shown)
}

/// Prints text and a line break.
///
/// # Errors
/// When standard output is closed.
pub(super) fn line(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}").context("write to standard output")
}

/// An instant in UTC, to the millisecond.
pub(super) fn instant(at: Timestamp) -> String {
    let since = Timestamp(at.0.max(0)).since(Timestamp(0));
    humantime::format_rfc3339_millis(std::time::UNIX_EPOCH + since).to_string()
}

/// Unix seconds in UTC.
pub(super) fn seconds(at: i64) -> String {
    let since = std::time::Duration::from_secs(u64::try_from(at).unwrap_or(0));
    humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + since).to_string()
}
