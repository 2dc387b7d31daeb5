//! A transaction as paywatch sees it, and why each payment is judged as it is.

mod json;
mod text;

use crate::pipeline::Explained;
use serde_json::Value;

/// For people, in lines. Text from the chain is escaped; it is not HTML.
#[must_use]
pub fn explanation_text(explained: &Explained) -> String {
    text::of(explained)
}

/// For machines.
#[must_use]
pub fn explanation_json(explained: &Explained) -> Value {
    json::of(explained)
}
