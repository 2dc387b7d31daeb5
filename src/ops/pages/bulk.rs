//! A decision about all payments that wait for one reason: a page that says how many and what will happen, and the button that does
//! it. Needs the token.

use super::super::Shared;
use super::decide::{Action, REASON_MAX, actions_are_off};
use super::frame::{Broken, document, message};
use super::parts;
use super::session::Session;
use crate::clock;
use crate::store::{BulkAction, Decision, Selection, Waiting};
use axum::{
    Extension, Form,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use maud::{Markup, html};
use serde::Deserialize;

#[derive(Clone, Copy, Deserialize)]
pub(super) struct Target {
    #[serde(deserialize_with = "parts::from_word")]
    waiting: Waiting,
    action: Action,
}

#[derive(Default, Deserialize)]
pub(super) struct Said {
    form: String,
    /// How much was recorded when the page counted, and what it counted: what began to wait later was not seen by the person who
    /// decides.
    #[serde(default)]
    seen: String,
    #[serde(default)]
    count: u64,
    #[serde(default)]
    reason: String,
}

/// The decision of an action, if it can be made about many payments at once.
fn bulk(action: Action) -> Option<BulkAction> {
    match action {
        Action::Retry => Some(BulkAction::Retry),
        Action::Dismiss => Some(BulkAction::Dismiss),
        Action::Confirm => None,
    }
}

/// Links to the decisions about all payments that wait for a reason.
pub(super) fn actions(waiting: Waiting, shown: usize, is_all: Shown) -> Markup {
    let count = match is_all {
        Shown::All => shown.to_string(),
        Shown::Newest => String::new(),
    };
    let suits = |action: &Action| bulk(*action).is_some_and(|bulk| bulk.suits(waiting));
    html! {
        p.actions {
            @for action in [Action::Retry, Action::Dismiss].into_iter().filter(suits) {
                a.button href=(address(waiting, action)) { (action.title()) " all " (count) "…" }
            }
        }
    }
}

/// Whether a list shows all payments there are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    All,
    Newest,
}

fn address(waiting: Waiting, action: Action) -> String {
    format!("/needs-a-person/{}/{}", waiting.as_str(), action.path())
}

pub(super) async fn form(
    State(shared): State<Shared>,
    session: Option<Extension<Session>>,
    Path(target): Path<Target>,
) -> Result<Response, Broken> {
    let Some(Extension(session)) = session else {
        return Ok(actions_are_off());
    };
    page(&shared, &session, target, "").await
}

pub(super) async fn act(
    State(shared): State<Shared>,
    session: Option<Extension<Session>>,
    Path(target): Path<Target>,
    Form(said): Form<Said>,
) -> Result<Response, Broken> {
    let token = shared.pipeline.config.ops.token.as_ref();
    let (Some(Extension(session)), Some(token)) = (session, token) else {
        return Ok(actions_are_off());
    };
    if !session.made(token, &said.form) {
        return Ok(message(
            StatusCode::FORBIDDEN,
            "Not from here",
            "Nothing was done: the form was not made for this session. Open it again.",
        ));
    }
    let reason: String = said.reason.trim().chars().take(REASON_MAX).collect();
    let (Some(action), Ok(seen)) = (bulk(target.action), said.seen.parse()) else {
        return page(&shared, &session, target, "Nothing was done: choose again.").await;
    };
    if reason.is_empty() {
        let problem = "Say why: it stays on record with each payment.";
        return page(&shared, &session, target, problem).await;
    }
    let by = Decision {
        actor: session.name.clone(),
        reason,
    };
    let selection = Selection {
        waiting: Some(target.waiting),
        seen: Some(seen),
        ..Selection::default()
    };
    let store = &shared.pipeline.store;
    if store.count_selected(action, &selection).await? > said.count {
        let problem = "Nothing was done: more payments wait by now. Look again.";
        return page(&shared, &session, target, problem).await;
    }
    let decided = store
        .decide_all(action, &selection, &by, clock::now())
        .await?;
    shared.pipeline.bells.confirm.notify_one();
    tracing::info!(
        decided,
        waiting = target.waiting.as_str(),
        action = target.action.path(),
        by = session.name,
        "decided about all on a page"
    );
    Ok(Redirect::to("/needs-a-person").into_response())
}

async fn page(
    shared: &Shared,
    session: &Session,
    target: Target,
    problem: &str,
) -> Result<Response, Broken> {
    let (waiting, title) = (target.waiting, target.action.title());
    let Some(action) = bulk(target.action).filter(|action| action.suits(waiting)) else {
        let why = "This is decided about one payment at a time.";
        return Ok(message(StatusCode::NOT_FOUND, title, why));
    };
    let store = &shared.pipeline.store;
    let seen = store.seen().await?;
    let selection = Selection {
        waiting: Some(waiting),
        seen: Some(seen),
        ..Selection::default()
    };
    let count = store.count_selected(action, &selection).await?;
    let token = shared.pipeline.config.ops.token.as_ref();
    let tag = token
        .map(|token| session.form_tag(token))
        .unwrap_or_default();
    let status = if problem.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::CONFLICT
    };
    let body = html! {
        @if !problem.is_empty() { p.problem role="alert" { (problem) } }
        p { "All payments that are " span.badge.bad { (waiting.as_str()) } ": " b { (count) } "." }
        p.advice { (target.action.consequence()) " This holds for each of them." }
        form.card method="post" action=(address(waiting, target.action)) {
            input type="hidden" name="form" value=(tag);
            input type="hidden" name="seen" value=(seen);
            input type="hidden" name="count" value=(count);
            label {
                "Why" small { "Stays on record with each payment, under your name: " (session.name) "." }
                input name="reason" required maxlength=(REASON_MAX);
            }
            div.actions {
                @if count > 0 { button.main { (title) " all " (count) } }
                a.button href="/needs-a-person" { "Cancel" }
            }
        }
    };
    let page = document(&format!("{title} all"), Some(session), &body);
    Ok((status, page).into_response())
}
