//! *One payment*: what is recorded of a transaction, all that happened to it, and why it is judged so.

use super::super::Shared;
use super::decide::actions;
use super::frame::{Broken, Page, message};
use super::live::{self, Shows};
use super::parts;
use super::session::Session;
use crate::domain::{Memo, Signature, TokenAccount, visible};
use crate::pipeline::Pipeline;
use crate::report;
use crate::store::{self, Event, Filter, PaymentSummary, Store};
use axum::{
    Extension,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use maud::{Markup, html};
use serde::Deserialize;
use std::time::Duration;

/// A transaction credits few accounts.
const PAYMENTS_MAX: u32 = 64;
/// How long the page waits for a node.
const PATIENCE: Duration = Duration::from_secs(4);

/// Which transaction, as it stands in the address.
#[derive(Clone, Copy, Deserialize)]
pub(super) struct Which {
    #[serde(deserialize_with = "parts::from_text")]
    signature: Signature,
}

async fn of(store: &Store, signature: Signature) -> store::Result<Vec<PaymentSummary>> {
    let filter = Filter {
        signature: Some(signature),
        ..Filter::newest(PAYMENTS_MAX)
    };
    store.payments(&filter).await
}

/// The payment of a transaction that one token account received.
pub(super) async fn find(
    shared: &Shared,
    signature: Signature,
    token_account: TokenAccount,
) -> store::Result<Option<PaymentSummary>> {
    let key = token_account.to_string();
    let all = of(&shared.pipeline.store, signature).await?;
    Ok(all.into_iter().find(|one| one.token_account == key))
}

pub(super) fn unknown(signature: Signature) -> Response {
    let text = format!(
        "No payment of this transaction is recorded. `paywatch explain {signature}` says what it did."
    );
    message(StatusCode::NOT_FOUND, "No such payment", &text)
}

pub(super) async fn page(
    State(shared): State<Shared>,
    session: Option<Extension<Session>>,
    headers: HeaderMap,
    Path(Which { signature }): Path<Which>,
) -> Result<Response, Broken> {
    let pipeline = &shared.pipeline;
    if live::wanted(&headers) {
        let pipeline = pipeline.clone();
        let page = format!("/payments/{signature}");
        let page = (page.as_str(), Shows::Records);
        return Ok(live::stream(&shared, &shared.streams, page, move || {
            let pipeline = pipeline.clone();
            async move { told(&pipeline, signature).await }
        }));
    }
    if of(&pipeline.store, signature).await?.is_empty() {
        return Ok(unknown(signature));
    }
    let page = Page {
        title: "One payment",
        session: session.as_deref(),
        above: html! {},
        live: told(pipeline, signature).await?,
        below: html! {
            section.card {
                h2 { "Explanation" }
                pre.explanation { (explained(pipeline, signature).await) }
            }
        },
    };
    Ok(page.render().into_response())
}

/// What `paywatch explain` prints.
async fn explained(pipeline: &Pipeline, signature: Signature) -> String {
    let asked = tokio::time::timeout(PATIENCE, pipeline.explain(signature)).await;
    match asked {
        Ok(Ok(explained)) => report::explanation_text(&explained),
        Ok(Err(error)) => format!("It cannot be explained now: {error:#}."),
        Err(_) => format!(
            "No node answered within {} s; reload to ask again.",
            PATIENCE.as_secs()
        ),
    }
}

async fn told(pipeline: &Pipeline, signature: Signature) -> store::Result<Markup> {
    let mut sections = Vec::new();
    for payment in of(&pipeline.store, signature).await? {
        let account = payment.token_account.parse::<TokenAccount>();
        let account = account.map_err(|_| store::Error::Corrupt {
            column: "token_account",
        })?;
        let events = pipeline.store.timeline(signature, account).await?;
        let meant = pipeline.store.meant_by(&payment).await?;
        let meant = meant.map(|checkout| checkout.memo);
        sections.push(section(pipeline, &payment, &events, meant.as_ref()));
    }
    Ok(html! { @for section in &sections { (section) } })
}

fn section(
    pipeline: &Pipeline,
    payment: &PaymentSummary,
    events: &[Event],
    meant: Option<&Memo>,
) -> Markup {
    let explorer = pipeline.config.ops.explorer.as_ref();
    let link = explorer.map(|pattern| pattern.replace("{signature}", &payment.signature));
    let memos: Vec<_> = payment
        .memos
        .iter()
        .map(|memo| format!("“{memo}”"))
        .collect();
    let or = |text: Option<&str>, other: &str| text.unwrap_or(other).to_owned();
    let rows = [
        ("Token account", payment.token_account.clone()),
        ("Mint", or(payment.mint.as_deref(), "not known")),
        (
            "Payer",
            or(payment.payer.as_deref(), "not told by the chain"),
        ),
        (
            "Memos",
            or(
                (!memos.is_empty()).then(|| memos.join(", ")).as_deref(),
                "none",
            ),
        ),
        (
            "Checkout",
            payment
                .checkout
                .as_ref()
                .map_or_else(|| "none".into(), ToString::to_string),
        ),
        (
            "Did they mean",
            meant.map_or_else(String::new, |memo| format!("checkout {memo}?")),
        ),
        ("Slot", format!("{}, {}", payment.slot, payment.chain_state)),
        ("Note", visible(payment.note.as_deref().unwrap_or_default())),
    ];
    let base = payment
        .received
        .map(|amount| format!("{amount} base units"));
    html! {
        section.card {
            h2 {
                (parts::amount(payment)) " " (parts::state_badge(payment.state)) " " (parts::reason_badge(payment))
            }
            dl {
                dt { "Transaction" }
                dd.key {
                    @if let Some(link) = link {
                        a href=(link) rel="noreferrer" { (payment.signature) }
                    } @else { (payment.signature) }
                }
                dt { "Amount" } dd { (base.unwrap_or_else(|| "not known".into())) }
                @for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
                    dt { (name) } dd.outside { (value) }
                }
            }
            ol.timeline {
                @for event in events {
                    li { (parts::exact(event.at)) " " span.outside { (report::event_text(&event.what)) } }
                }
            }
            (actions(payment))
        }
    }
}
