//! The sandbox's own hosted card page: plays "paid" or "cancelled" and redirects, like the real one after 3DS.

use super::ledger::Session;
use super::routes::{Problem, Shared};
use crate::clock;
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{Html, Redirect},
};

/// The page with its two buttons. Nothing of the caller's stands in it, so nothing needs escaping.
pub(super) async fn page(
    State(sandbox): Shared,
    Path(memo): Path<String>,
) -> Result<Html<String>, Problem> {
    let session = card_session(&sandbox, &memo).await?;
    let memo = &session.memo;
    Ok(Html(format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>\
         <title>Sandbox card page</title><style>body{{font:18px system-ui;max-width:26em;margin:4em auto;padding:0 1em}}\
         button{{font:inherit;padding:.6em 1.2em;margin:.5em .5em 0 0}}</style>\
         <h1>Sandbox card page</h1><p>No card is needed and no money moves. Payment of {credits} credits.</p>\
         <form method=post action='/_sandbox/card/{memo}/paid'><button>Pay</button></form>\
         <form method=post action='/_sandbox/card/{memo}/cancelled'><button>Cancel</button></form></html>",
        credits = session.credits,
    )))
}

/// A button was pressed.
pub(super) async fn choose(
    State(sandbox): Shared,
    Path((memo, choice)): Path<(String, String)>,
) -> Result<Redirect, Problem> {
    let session = card_session(&sandbox, &memo).await?;
    let target = match choice.as_str() {
        "paid" => {
            sandbox.ledger.credit(&session, None, clock::now()).await?;
            &session.success_url
        }
        "cancelled" => &session.cancel_url,
        _ => {
            return Err(Problem::new(
                StatusCode::NOT_FOUND,
                "choose paid or cancelled",
            ));
        }
    };
    Ok(Redirect::to(target.as_deref().unwrap_or("/")))
}

async fn card_session(sandbox: &super::Sandbox, memo: &str) -> Result<Session, Problem> {
    let session = sandbox.session(memo).await?;
    if session.success_url.is_none() {
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "this payment is not by card",
        ));
    }
    Ok(session)
}
