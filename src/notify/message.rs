//! What is posted: an event as Standard Webhooks has it, or a line of text as Slack and those like it want it. `docs/notices.md` shows
//! each body, and a test holds it to what is sent.

use super::{Event, Format};
use crate::domain::{Held, Memo, Timestamp, visible};
use crate::pipeline::Unready;
use crate::report;
use crate::store::{Expected, Fact, Notice};
use serde_json::{Value, json};
use url::Url;

/// How notices look, and where the pages are that they link to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look<'a> {
    pub(super) format: Format,
    pub(super) pages: Option<&'a Url>,
}

impl Look<'_> {
    fn link(self, path: &str) -> Option<String> {
        let root = self.pages?.as_str().trim_end_matches('/');
        Some(format!("{root}{path}"))
    }

    fn body(
        self,
        kind: &str,
        at: Timestamp,
        mut data: Value,
        text: &str,
        link: Option<String>,
    ) -> String {
        match self.format {
            Format::Standard => {
                data["text"] = text.into();
                data["link"] = link.into();
                json!({ "type": kind, "timestamp": report::instant(at), "data": data }).to_string()
            }
            Format::Slack => slack(text, link.as_deref()),
        }
    }
}

pub(super) fn of_payment(event: Event, fact: &Fact, look: Look<'_>) -> Notice {
    let mut data = report::summary(&fact.payment);
    data["meant"] = json!(fact.meant.as_ref().map(Memo::as_str));
    data["expected"] = fact.expected.as_ref().map_or(Value::Null, expected);
    let link = look.link(&format!("/payments/{}", fact.payment.signature));
    let kind = format!("payment.{event}");
    Notice {
        key: fact.key.clone(),
        event: event.to_string(),
        body: look.body(&kind, fact.at, data, &sentence(event, fact), link),
    }
}

pub(super) fn of_health(
    (event, since): (Event, Timestamp),
    unready: Option<Unready>,
    now: Timestamp,
    look: Look<'_>,
) -> Notice {
    let why = unready.map(Unready::as_str);
    let text = match why {
        Some(why) => format!("paywatch does not do its work: {why}."),
        None => "paywatch does its work again.".to_owned(),
    };
    let (kind, data) = (format!("daemon.{event}"), json!({ "reason": why }));
    Notice {
        key: format!("daemon-{event}-{}", since.0),
        event: event.to_string(),
        body: look.body(&kind, now, data, &text, look.link("/")),
    }
}

/// What the checkout asks for; amounts are decimal text in base units.
fn expected(expected: &Expected) -> Value {
    let token = expected.token.as_ref();
    let human = expected.amount.zip(token);
    json!({
        "checkout": expected.checkout.as_str(),
        "amount": expected.amount.map(|amount| amount.to_string()),
        "amount_human": human.map(|(amount, (_, decimals))| amount.human(*decimals)),
        "symbol": token.map(|(symbol, _)| symbol),
        "mint": expected.mint.map(|mint| mint.to_string()),
    })
}

/// Such services make links and mentions of text in angle brackets.
fn slack(text: &str, link: Option<&str>) -> String {
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let link = link.map(|link| format!(" {link}")).unwrap_or_default();
    json!({ "text": text + &link }).to_string()
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
            let (reason, due) = (payment.verdict.parse::<Held>(), due(fact));
            let meaning = reason
                .map(|reason| reason.meaning().why)
                .unwrap_or_default();
            let meant = fact.meant.as_ref();
            let meant = meant.map(|memo| format!(" Did they mean checkout {memo}?"));
            format!(
                "{amount} received, needs attention ({}): {meaning}{due} Memo: {purpose}.{} Transaction {signature}",
                payment.verdict,
                meant.unwrap_or_default()
            )
        }
        Event::Parked => format!(
            "{amount} for checkout {purpose} needs attention: the payments API did not take the confirmation. Transaction {signature}"
        ),
        Event::Uncredited => format!(
            "{amount} for checkout {purpose} needs attention (uncredited): the payments API accepted the confirmation, and its history shows no credit. Transaction {signature}"
        ),
        _ => format!(
            "{amount} dropped: the finalized chain does not give it. Checkout or memo: {purpose}. Transaction {signature}"
        ),
    }
}

/// What the checkout asked for, as a sentence.
fn due(fact: &Fact) -> String {
    let Some(expected) = &fact.expected else {
        return String::new();
    };
    let amount = match (expected.amount, &expected.token) {
        (Some(amount), Some((symbol, decimals))) => {
            format!("{} {}", amount.human(*decimals), visible(symbol))
        }
        (Some(amount), None) => format!("{amount} base units"),
        (None, _) => return String::new(),
    };
    format!(" Due: {amount} for checkout {}.", expected.checkout)
}
