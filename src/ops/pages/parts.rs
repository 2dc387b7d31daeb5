//! Small things that several pages show.

use crate::domain::{Held, Timestamp, visible};
use crate::report;
use crate::store::{PaymentState, PaymentSummary, Waiting};
use maud::{Markup, html};
use serde::{Deserialize, Deserializer, de::Error};
use std::str::FromStr;

/// Most characters of a text from outside that a list shows.
const SHOWN_MAX: usize = 80;

/// Part of an address, for what is no serde type.
pub(super) fn from_text<'de, T: FromStr, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    let text = String::deserialize(from)?;
    text.parse()
        .map_err(|_| D::Error::custom("not a signature or address"))
}

/// Why payments wait, as part of an address.
pub(super) fn from_word<'de, D: Deserializer<'de>>(from: D) -> Result<Waiting, D::Error> {
    let text = String::deserialize(from)?;
    text.parse()
        .map_err(|()| D::Error::custom("no payment waits for such a reason"))
}

/// An instant in UTC, to the second.
pub(super) fn instant(at: Timestamp) -> Markup {
    let text = report::seconds(at.unix_seconds());
    html! { time datetime=(text) { (text.replace('T', " ").replace('Z', " UTC")) } }
}

/// The same to the millisecond.
pub(super) fn exact(at: Timestamp) -> Markup {
    let text = report::instant(at);
    html! { time datetime=(text) { (text.replace('T', " ").replace('Z', " UTC")) } }
}

/// What arrived, in human units; base units on hover.
pub(super) fn amount(payment: &PaymentSummary) -> Markup {
    let base = payment.received.map_or_else(
        || "not known".into(),
        |amount| format!("{amount} base units"),
    );
    html! { span.amount title=(base) { (report::human(payment)) } }
}

pub(super) fn state_badge(state: PaymentState) -> Markup {
    let tone = match state {
        PaymentState::Acknowledged => "good",
        PaymentState::Queued => "busy",
        PaymentState::Held
        | PaymentState::Parked
        | PaymentState::Uncredited
        | PaymentState::Dropped => "bad",
        PaymentState::Dismissed | PaymentState::Dust => "calm",
    };
    html! { span class=(format!("badge {tone}")) { (state.as_str()) } }
}

/// Why it is held; nothing for what is matched.
pub(super) fn reason_badge(payment: &PaymentSummary) -> Markup {
    let reason = payment.verdict.parse::<Held>().ok();
    html! {
        @if let Some(reason) = reason {
            span.badge.calm title=(reason.meaning().why) { (reason) }
        }
    }
}

/// Text from outside, written out and not longer than a line: what is longer is left out of its middle.
pub(super) fn short(text: &str) -> Markup {
    let text = visible(text);
    let length = text.chars().count();
    if length <= SHOWN_MAX {
        return html! { span.outside { (text) } };
    }
    let head: String = text.chars().take(SHOWN_MAX / 2).collect();
    let tail: String = text.chars().skip(length - SHOWN_MAX / 2).collect();
    html! { span.outside title=(text) { (head) "…" (tail) } }
}

/// The beginning and end of a signature or address.
pub(super) fn ends(key: &str) -> String {
    match (key.get(..6), key.get(key.len().saturating_sub(6)..)) {
        (Some(head), Some(tail)) if key.len() > 16 => format!("{head}…{tail}"),
        _ => key.to_owned(),
    }
}

/// Payments in rows, each with a link to its page.
pub(super) fn table(payments: &[PaymentSummary]) -> Markup {
    html! {
        table.payments {
            thead {
                tr { th { "Seen" } th { "State" } th.right { "Amount" } th { "Checkout or memo" } th { "Transaction" } }
            }
            tbody {
                @for payment in payments {
                    tr {
                        td data-label="Seen" { (instant(payment.seen_at)) }
                        td data-label="State" { (state_badge(payment.state)) " " (reason_badge(payment)) }
                        td.right data-label="Amount" { (amount(payment)) }
                        td data-label="Checkout or memo" { (short(&report::purpose(payment))) }
                        td data-label="Transaction" {
                            a.key href=(format!("/payments/{}", payment.signature)) { (ends(&payment.signature)) }
                        }
                    }
                }
            }
        }
    }
}
