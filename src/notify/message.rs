//! What is posted: an event as Standard Webhooks has it, or a line of text as Slack and those like it want it.

use super::{Event, Format};
use crate::domain::{Held, Memo, Timestamp, visible};
use crate::pipeline::Unready;
use crate::report;
use crate::store::{Fact, Notice};
use serde_json::{Value, json};

pub(super) fn of_payment(event: Event, fact: &Fact, format: Format) -> Notice {
    let body = match format {
        Format::Standard => {
            let mut data = report::summary(&fact.payment);
            data["meant"] = json!(fact.meant.as_ref().map(Memo::as_str));
            standard("payment", event, fact.at, &data)
        }
        Format::Slack => slack(&sentence(event, fact)),
    };
    Notice {
        key: fact.key.clone(),
        event: event.to_string(),
        body,
    }
}

pub(super) fn of_health(
    event: Event,
    unready: Option<Unready>,
    now: Timestamp,
    format: Format,
) -> Notice {
    let why = unready.map(Unready::as_str);
    let body = match format {
        Format::Standard => standard("daemon", event, now, &json!({ "reason": why })),
        Format::Slack => slack(&match why {
            Some(why) => format!("paywatch does not do its work: {why}."),
            None => "paywatch does its work again.".to_owned(),
        }),
    };
    Notice {
        key: format!("daemon-{event}-{}", now.0),
        event: event.to_string(),
        body,
    }
}

fn standard(about: &str, event: Event, at: Timestamp, data: &Value) -> String {
    let kind = format!("{about}.{event}");
    json!({ "type": kind, "timestamp": report::instant(at), "data": data }).to_string()
}

/// Such services make links and mentions of what stands in angle brackets.
fn slack(text: &str) -> String {
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    json!({ "text": text }).to_string()
}

fn sentence(event: Event, fact: &Fact) -> String {
    let payment = &fact.payment;
    let (amount, signature) = (report::human(payment), &payment.signature);
    let purpose = visible(&report::purpose(payment));
    match event {
        Event::Confirmed => {
            format!("{amount} confirmed for checkout {purpose}. Transaction {signature}")
        }
        Event::Held => {
            let reason = payment.verdict.parse::<Held>();
            let meaning = reason
                .map(|reason| reason.meaning().why)
                .unwrap_or_default();
            let meant = fact.meant.as_ref();
            let meant = meant.map(|memo| format!(" Did they mean checkout {memo}?"));
            format!(
                "{amount} held ({}): {meaning} Memo: {purpose}.{} Transaction {signature}",
                payment.verdict,
                meant.unwrap_or_default()
            )
        }
        Event::Parked => format!(
            "{amount} for checkout {purpose} given up: the payments API did not take the confirmation. Transaction {signature}"
        ),
        Event::Uncredited => format!(
            "{amount} for checkout {purpose} uncredited: the payments API accepted the confirmation, and its history shows no credit. Transaction {signature}"
        ),
        _ => format!(
            "{amount} dropped: the finalized chain does not give it. Checkout or memo: {purpose}. Transaction {signature}"
        ),
    }
}
