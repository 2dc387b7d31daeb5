//! The messages of a WebSocket: subscriptions, and what the node notifies.

use crate::domain::{Signature, Slot, TokenAccount};
use serde_json::{Value, json};

/// A message of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::solana) enum Said {
    /// The answer to a subscription: its number, or the JSON-RPC code of the refusal.
    Answer {
        /// The question's number.
        id: u64,
        /// The number that notifications of the subscription carry, as the node writes it.
        subscription: Result<String, i64>,
    },
    /// The node begins to process a slot.
    Slot(Slot),
    /// A transaction that names the account of a subscription.
    Logs {
        /// The subscription.
        subscription: String,
        /// What is said of the transaction.
        logs: Logs,
    },
    /// Anything else.
    Other,
}

/// A notification of `logsSubscribe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::solana) struct Logs {
    /// The transaction.
    pub(in crate::solana) signature: Signature,
    /// Whether the notification says that it failed.
    pub(in crate::solana) has_error: bool,
    /// Its log lines; none where the node sends null, or anything but lines.
    pub(in crate::solana) lines: Vec<String>,
}

/// Asks for slots.
pub(in crate::solana) fn subscribe_slots(id: u64) -> String {
    question(id, "slotSubscribe", &json!([]))
}

/// Asks for the transactions at `confirmed` that name a token account.
pub(in crate::solana) fn subscribe_logs(id: u64, token_account: TokenAccount) -> String {
    let filter = json!({ "mentions": [token_account.to_string()] });
    let params = json!([filter, { "commitment": "confirmed" }]);
    question(id, "logsSubscribe", &params)
}

fn question(id: u64, method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string()
}

/// Reads a message. A message that cannot be read is [`Said::Other`]: it costs a hint, not the connection.
pub(in crate::solana) fn said(text: &str) -> Said {
    let read = |message: &Value| match message["method"].as_str() {
        Some("slotNotification") => message["params"]["result"]["slot"].as_u64().map(Said::Slot),
        Some("logsNotification") => logs(&message["params"]),
        Some(_) => None,
        None => answer(message),
    };
    let message: Option<Value> = serde_json::from_str(text).ok();
    message.as_ref().and_then(read).unwrap_or(Said::Other)
}

fn answer(message: &Value) -> Option<Said> {
    let (result, error) = (&message["result"], &message["error"]);
    let subscription = if !error.is_null() || result.is_null() {
        Err(error["code"].as_i64().unwrap_or_default())
    } else {
        Ok(result.to_string())
    };
    Some(Said::Answer {
        id: message["id"].as_u64()?,
        subscription,
    })
}

fn logs(params: &Value) -> Option<Said> {
    let value = &params["result"]["value"];
    let lines = value["logs"].as_array();
    let lines = lines.map(|lines| lines.iter().map(|line| line.as_str().map(str::to_owned)));
    let lines: Option<Vec<String>> = lines.into_iter().flatten().collect();
    Some(Said::Logs {
        subscription: params["subscription"].to_string(),
        logs: Logs {
            signature: value["signature"].as_str()?.parse().ok()?,
            has_error: !value["err"].is_null(),
            lines: lines.unwrap_or_default(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notified(value: &Value) -> Said {
        let result = json!({ "context": { "slot": 7 }, "value": value });
        let params = json!({ "subscription": 3, "result": result });
        said(&json!({ "method": "logsNotification", "params": params }).to_string())
    }

    #[test]
    fn a_notification_whose_logs_are_null_is_one_without_lines() {
        let signature = Signature::from([5; 64]);
        let of = |logs: Value, err: Value| {
            notified(&json!({ "signature": signature.to_string(), "err": err, "logs": logs }))
        };
        let logs = |lines: &[&str], has_error| Said::Logs {
            subscription: "3".into(),
            logs: Logs {
                signature,
                has_error,
                lines: lines.iter().map(ToString::to_string).collect(),
            },
        };
        let whole = logs(&["a", "b"], false);
        assert_eq!(of(json!(["a", "b"]), Value::Null), whole);
        for odd in [Value::Null, json!(7), json!(["a", 7]), json!({})] {
            assert_eq!(of(odd.clone(), Value::Null), logs(&[], false), "{odd}");
        }
        assert_eq!(of(json!([]), json!("AccountInUse")), logs(&[], true));
        let bare = notified(&json!({ "signature": signature.to_string() }));
        assert_eq!(bare, logs(&[], false), "both fields are left out");
    }

    #[test]
    fn answers_and_slots_are_read_and_nonsense_is_passed_over() {
        let answered = |text: &str| match said(text) {
            Said::Answer { id, subscription } => (id, subscription),
            other => panic!("{other:?}"),
        };
        assert_eq!(answered(r#"{"id":2,"result":9}"#), (2, Ok("9".into())));
        assert_eq!(
            answered(r#"{"id":2,"error":{"code":-32601}}"#),
            (2, Err(-32601))
        );
        assert_eq!(answered(r#"{"id":2,"result":null}"#), (2, Err(0)));
        let slot = r#"{"method":"slotNotification","params":{"result":{"slot":8}}}"#;
        assert_eq!(said(slot), Said::Slot(8));
        for nonsense in [
            "",
            "7",
            "[]",
            r#"{"method":"slotNotification","params":7}"#,
            r#"{"method":"rootNotification","params":{"result":{"slot":8}}}"#,
            r#"{"id":"x","result":9}"#,
        ] {
            assert_eq!(said(nonsense), Said::Other, "{nonsense}");
        }
        assert_eq!(notified(&json!({ "signature": "x" })), Said::Other);
    }
}
