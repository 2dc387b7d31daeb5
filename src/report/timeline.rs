//! What happened to a payment, in words and as JSON.

use crate::domain::{Memo, visible};
use crate::store::{Event, Happened};
use serde_json::{Value, json};

/// For people.
#[must_use]
pub fn event_text(what: &Happened) -> String {
    match what {
        Happened::Seen => "seen".into(),
        Happened::Judged {
            verdict,
            checkout: Some(checkout),
        } => format!("judged: {verdict}, for checkout {checkout}"),
        Happened::Judged {
            verdict,
            checkout: None,
        } => format!("judged: {verdict}"),
        Happened::Attempted {
            status,
            took_ms,
            reason,
        } => {
            let status =
                status.map_or_else(|| "no answer".into(), |status| format!("status {status}"));
            format!(
                "told the API: {status} after {took_ms} ms, {}",
                visible(reason)
            )
        }
        Happened::Reconciled { reason } => format!("the API's history: {}", visible(reason)),
        Happened::Settled(state) => state.clone(),
        Happened::Decided {
            action,
            actor,
            reason,
            checkout,
        } => {
            let checkout = checkout
                .as_ref()
                .map(|checkout| format!(" for checkout {checkout}"))
                .unwrap_or_default();
            let reason = if reason.is_empty() {
                String::new()
            } else {
                format!(": {}", visible(reason))
            };
            format!("{action}{checkout} by {}{reason}", visible(actor))
        }
    }
}

/// For machines.
#[must_use]
pub fn event_json(event: &Event) -> Value {
    let at = super::instant(event.at);
    match &event.what {
        Happened::Seen => json!({ "at": at, "event": "seen" }),
        Happened::Judged { verdict, checkout } => {
            json!({ "at": at, "event": "judged", "verdict": verdict, "checkout": checkout.as_ref().map(Memo::as_str) })
        }
        Happened::Attempted {
            status,
            took_ms,
            reason,
        } => {
            json!({ "at": at, "event": "attempted", "status": status, "took_ms": took_ms, "reason": reason })
        }
        Happened::Reconciled { reason } => {
            json!({ "at": at, "event": "reconciled", "reason": reason })
        }
        Happened::Settled(state) => json!({ "at": at, "event": state }),
        Happened::Decided {
            action,
            actor,
            reason,
            checkout,
        } => {
            json!({ "at": at, "event": action, "actor": actor, "reason": reason, "checkout": checkout.as_ref().map(Memo::as_str) })
        }
    }
}
