//! What commands put on the terminal. Text from chain and API is never executed by it.

use crate::domain::is_unclear;
use anyhow::Context;
use comfy_table::{Table, presets};
use serde::Serialize;
use std::io::{ErrorKind, Write};

/// Prints JSON, with every character that a terminal would act on, or that may look like another, as an escape of JSON's own.
///
/// # Errors
/// When standard output is closed.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value).context("write JSON")?;
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unclear(c) && c != '\n' {
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
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(NobodyReads.into()),
        written => written.context("write to standard output"),
    }
}

/// Whoever read the output has enough of it (`paywatch … | head`): no reason to go on, and nothing to say.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads standard output any more")]
pub(super) struct NobodyReads;

/// A table without lines, under these heads.
pub(super) fn table<const N: usize>(heads: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(heads);
    table
}
