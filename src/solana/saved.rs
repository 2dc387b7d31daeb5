//! A saved answer of `getTransaction`, to be read without a node.

use super::error::code;
use super::{Fetched, wire};
use serde_json::Value;

/// Why a text is not a saved answer.
#[derive(Debug, thiserror::Error)]
pub enum NotAnAnswer {
    /// Not JSON at all.
    #[error("it is not JSON")]
    Json(#[from] serde_json::Error),
    /// JSON of another kind.
    #[error(
        "it is no answer of getTransaction with encoding \"base64\" (the whole JSON-RPC answer, or its result)"
    )]
    Form,
    /// The node answered with an error that says nothing of the transaction.
    #[error("the node answered with error {0} when this was saved")]
    Refused(i64),
}

impl Fetched {
    /// Reads a saved answer: the whole JSON-RPC answer, or its `result` alone.
    ///
    /// # Errors
    /// When the text is no such answer. A transaction that cannot be read is no error here, but [`Fetched::Unreadable`].
    pub fn from_saved(text: &str) -> Result<Self, NotAnAnswer> {
        let mut answer: Value = serde_json::from_str(text)?;
        if let Some(refusal) = answer.pointer("/error/code").and_then(Value::as_i64) {
            return match refusal {
                code::UNSUPPORTED_TRANSACTION_VERSION => Ok(Self::unknown_version()),
                other => Err(NotAnAnswer::Refused(other)),
            };
        }
        if let Some(result) = answer.get_mut("result") {
            answer = result.take();
        }
        if answer.is_null() {
            return Ok(Self::NotYet);
        }
        if !wire::is_transaction(&answer) {
            return Err(NotAnAnswer::Form);
        }
        Ok(Self::from(wire::any_transaction(answer)))
    }
}
