//! The sandbox's own hosted card page: a card can be taken, declined, asked for 3-D Secure, or the payment cancelled; then it
//! redirects, like the real one.

use super::ledger::Session;
use super::problem::{Named, Problem, Said};
use super::{Sandbox, Shared};
use crate::clock;
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use maud::{DOCTYPE, Markup, html};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn router() -> OpenApiRouter<Arc<Sandbox>> {
    OpenApiRouter::new()
        .routes(routes!(page))
        .routes(routes!(choose))
}

/// What a buyer, or their bank, does.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Choice {
    /// The card is taken.
    Pay,
    /// The bank declines the card.
    Decline,
    /// The bank asks for 3-D Secure.
    Challenge,
    /// The buyer passes it.
    Authenticate,
    /// The buyer fails it.
    Fail,
    /// The buyer gives up.
    Cancel,
}

const CHOICES: [(&str, &str); 4] = [
    ("pay", "Pay"),
    ("decline", "Pay with a card that is declined"),
    ("challenge", "Pay with a card that needs 3-D Secure"),
    ("cancel", "Cancel"),
];

/// The card page of a payment.
#[utoipa::path(get, path = "/card/{memo}", tag = "sandbox", params(("memo" = String, Path, description = "Id of the payment")), responses(
    (status = 200, description = "The page", content_type = "text/html", body = String),
    (status = 400, description = "Not such a path", body = Said),
    (status = 404, description = "There is no such payment by card", body = Said),
))]
async fn page(State(sandbox): Shared, Named(memo): Named<String>) -> Result<Markup, Problem> {
    let session = card_session(&sandbox, &memo).await?;
    Ok(show(&session, "", &CHOICES))
}

/// Press a button of the card page.
#[utoipa::path(post, path = "/card/{memo}/{choice}", tag = "sandbox",
    params(("memo" = String, Path, description = "Id of the payment"), ("choice" = Choice, Path, description = "Which button")),
    responses(
        (status = 200, description = "The page again: declined, or a question of the bank's", content_type = "text/html", body = String),
        (status = 303, description = "To success_url or cancel_url"),
        (status = 400, description = "There is no such button", body = Said),
        (status = 404, description = "There is no such payment by card", body = Said),
    ))]
async fn choose(
    State(sandbox): Shared,
    Named((memo, choice)): Named<(String, Choice)>,
) -> Result<Response, Problem> {
    let session = card_session(&sandbox, &memo).await?;
    let to = |url: &Option<String>| Redirect::to(url.as_deref().unwrap_or("/")).into_response();
    Ok(match choice {
        Choice::Pay | Choice::Authenticate => {
            sandbox.ledger.credit(&session, None, clock::now()).await?;
            to(&session.success_url)
        }
        Choice::Cancel => to(&session.cancel_url),
        Choice::Decline => show(
            &session,
            "The card was declined. Try again, or cancel.",
            &CHOICES,
        )
        .into_response(),
        Choice::Fail => show(
            &session,
            "3-D Secure failed, so the card was declined. Try again, or cancel.",
            &CHOICES,
        )
        .into_response(),
        Choice::Challenge => show(
            &session,
            "The bank asks: is it you?",
            &[("authenticate", "Yes, it is me"), ("fail", "No")],
        )
        .into_response(),
    })
}

fn show(session: &Session, notice: &str, buttons: &[(&str, &str)]) -> Markup {
    const STYLE: &str = "body{font:18px system-ui;max-width:26em;margin:4em auto;padding:0 1em}\
        button{font:inherit;padding:.6em 1.2em;margin:.5em .5em 0 0}";
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { "Sandbox card page" }
                style { (STYLE) }
            }
            body {
                h1 { "Sandbox card page" }
                p { "No card is needed and no money moves. Payment of " (session.credits) " credits." }
                @if !notice.is_empty() {
                    p role="alert" { strong { (notice) } }
                }
                @for (choice, name) in buttons {
                    form method="post" action=(format!("/_sandbox/card/{}/{choice}", session.memo)) {
                        button { (name) }
                    }
                }
            }
        }
    }
}

async fn card_session(sandbox: &Sandbox, memo: &str) -> Result<Session, Problem> {
    let session = sandbox.session(memo).await?;
    if session.success_url.is_none() {
        let what = "this payment is not by card";
        return Err(Problem::new(StatusCode::NOT_FOUND, what));
    }
    Ok(session)
}
