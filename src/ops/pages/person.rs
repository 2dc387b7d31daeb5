//! *Needs a person*: payments that are held, parked or uncredited, why, and what can be done.

use super::super::Shared;
use super::bulk::{self, Shown};
use super::decide::actions;
use super::frame::{Broken, Page};
use super::live::{self, Shows};
use super::parts;
use super::session::Session;
use crate::domain::{Held, Reason};
use crate::report;
use crate::store::{self, Filter, PaymentState, PaymentSummary, Store, Waiting};
use axum::{
    Extension,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use maud::{Markup, html};

/// Most payments of one state that are shown.
const SHOWN_MAX: u32 = 100;

pub(super) async fn page(
    State(shared): State<Shared>,
    session: Option<Extension<Session>>,
    headers: HeaderMap,
) -> Result<Response, Broken> {
    let store = shared.pipeline.store.clone();
    if live::wanted(&headers) {
        return Ok(live::stream(
            &shared,
            &shared.streams,
            ("/needs-a-person", Shows::Records),
            move || list(store.clone()),
        ));
    }
    let page = Page {
        title: "Needs a person",
        session: session.as_deref(),
        above: html! {},
        live: list(store).await?,
        below: html! {},
    };
    Ok(page.render().into_response())
}

async fn list(store: Store) -> store::Result<Markup> {
    let of = |state| Filter {
        state: Some(state),
        ..Filter::newest(SHOWN_MAX)
    };
    let parked = store.payments(&of(PaymentState::Parked)).await?;
    let uncredited = store.payments(&of(PaymentState::Uncredited)).await?;
    let held = store.payments(&of(PaymentState::Held)).await?;
    let nothing = parked.is_empty() && uncredited.is_empty() && held.is_empty();
    let most = held.len().max(parked.len()).max(uncredited.len());
    let is_full = most >= usize::try_from(SHOWN_MAX).unwrap_or(usize::MAX);
    let shown = if is_full { Shown::Newest } else { Shown::All };
    let all = |waiting, payments: &[&PaymentSummary]| bulk::actions(waiting, payments.len(), shown);
    let uncredited: Vec<_> = uncredited.iter().collect();
    let (dropped, alive): (Vec<_>, Vec<_>) = parked.iter().partition(|one| one.was_dropped());
    Ok(html! {
        @if nothing { p.empty { "Nothing needs a person." } }
        (group("parked", &parked_meaning(), &alive, &all(Waiting::Parked, &alive)))
        (group("uncredited", &uncredited_meaning(), &uncredited, &all(Waiting::Uncredited, &uncredited)))
        (group("dropped", &dropped_meaning(), &dropped, &html! {}))
        @for reason in Held::ALL {
            @let payments = with_verdict(&held, reason);
            (group(reason.as_str(), &reason.meaning(), &payments, &all(Waiting::Held(reason), &payments)))
        }
        @if is_full {
            p {
                "These are the newest. " a href="/payments?state=held" { "All held" } " · "
                a href="/payments?state=parked" { "All parked" } " · " a href="/payments?state=uncredited" { "All uncredited" }
            }
        }
    })
}

fn with_verdict(payments: &[PaymentSummary], reason: Held) -> Vec<&PaymentSummary> {
    let all = payments.iter();
    all.filter(|one| one.verdict == reason.as_str()).collect()
}

fn parked_meaning() -> Reason {
    Reason {
        why: "The payment is right, and the payments API did not take its confirmation for so long that it was given up.".into(),
        advice: "Mend the API, then retry: the same pair is sent again. If the buyer was helped otherwise, dismiss it.".into(),
    }
}

fn uncredited_meaning() -> Reason {
    Reason {
        why: "The payments API accepted the confirmation, and its history shows no credit for it: the buyer most likely has nothing for the money.".into(),
        advice: "Look the checkout up at the API and mend the API, then retry: the same pair is sent again. If the buyer was helped otherwise, dismiss it.".into(),
    }
}

fn dropped_meaning() -> Reason {
    Reason {
        why: "The payment was sent to the payments API in vain, and then its fork died: the chain does not give that money. It is sent no more, and keeps its checkout.".into(),
        advice: "Look the checkout up at the API: if it was credited all the same, take that back. Then dismiss the payment, and the checkout is free for another one.".into(),
    }
}

fn group(word: &str, meaning: &Reason, payments: &[&PaymentSummary], all: &Markup) -> Markup {
    html! {
        @if !payments.is_empty() {
            section.card {
                h2 { span.badge.bad { (word) } " " (payments.len()) }
                p { (meaning.why) }
                p.advice { (meaning.advice) }
                @if payments.len() > 1 { (all) }
                ul.cases {
                    @for payment in payments {
                        li {
                            (parts::amount(payment)) " "
                            a.key href=(format!("/payments/{}", payment.signature)) { (parts::ends(&payment.signature)) } " "
                            (parts::instant(payment.seen_at)) " "
                            (parts::short(&report::purpose(payment)))
                            (actions(payment))
                        }
                    }
                }
            }
        }
    }
}
