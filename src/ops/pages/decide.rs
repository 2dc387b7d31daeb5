//! What a person decides about a payment: a page that says what will happen, and the button that does it. Needs the token.

use super::super::Shared;
use super::frame::{Broken, document, message};
use super::session::Session;
use super::{parts, payment::find};
use crate::clock;
use crate::domain::{Held, Memo, Signature, TokenAccount};
use crate::report;
use crate::store::{self, Decision, PaymentState, PaymentSummary, Which};
use axum::{
    Extension, Form,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use maud::{Markup, html};
use serde::Deserialize;

/// Longest reason that is put on record.
pub(super) const REASON_MAX: usize = 500;

/// What can be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action {
    Confirm,
    Dismiss,
    Retry,
}

impl Action {
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Confirm => "confirm",
            Self::Dismiss => "dismiss",
            Self::Retry => "retry",
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Confirm => "Confirm for a checkout",
            Self::Dismiss => "Dismiss",
            Self::Retry => "Retry",
        }
    }

    pub(super) fn consequence(self) -> &'static str {
        match self {
            Self::Confirm => {
                "The payments API is told that this payment pays for that checkout, once the chain has finalized it. The API checks it again. This cannot be taken back here."
            }
            Self::Dismiss => {
                "The payment is judged no more and needs nobody. No money moves: if it is to be refunded, that is for you to do."
            }
            Self::Retry => {
                "What waits is tried at once: the same confirmation is sent again, or the transaction is read again."
            }
        }
    }

    /// What makes sense for a payment; the database has the last word.
    fn all_for(payment: &PaymentSummary) -> &'static [Self] {
        let reason = payment.verdict.parse::<Held>();
        match (payment.state, reason) {
            (PaymentState::Held | PaymentState::Dust, Ok(Held::AlreadyPaid)) => &[Self::Dismiss],
            (PaymentState::Held, Ok(Held::Unreadable)) => {
                &[Self::Retry, Self::Confirm, Self::Dismiss]
            }
            (PaymentState::Held | PaymentState::Dust, _) => &[Self::Confirm, Self::Dismiss],
            (PaymentState::Parked, _) if payment.was_dropped() => &[Self::Dismiss],
            (PaymentState::Parked | PaymentState::Uncredited, _) => &[Self::Retry, Self::Dismiss],
            (PaymentState::Queued, _) => &[Self::Retry],
            // The API accepted its confirmation once.
            (PaymentState::Dismissed, _) if payment.confirmation.is_some() => &[Self::Retry],
            (PaymentState::Dismissed, _) => &[Self::Confirm],
            (PaymentState::Acknowledged | PaymentState::Dropped, _) => &[],
        }
    }
}

/// Links to what can be decided about a payment.
pub(super) fn actions(payment: &PaymentSummary) -> Markup {
    html! {
        p.actions {
            @for action in Action::all_for(payment) {
                a.button href=(address(payment, *action)) { (action.title()) "…" }
            }
        }
    }
}

fn address(payment: &PaymentSummary, action: Action) -> String {
    let (signature, account) = (&payment.signature, &payment.token_account);
    format!("/payments/{signature}/{account}/{}", action.path())
}

#[derive(Clone, Copy, Deserialize)]
pub(super) struct Target {
    #[serde(deserialize_with = "parts::from_text")]
    signature: Signature,
    #[serde(deserialize_with = "parts::from_text")]
    token_account: TokenAccount,
    action: Action,
}

#[derive(Default, Deserialize)]
pub(super) struct Said {
    form: String,
    #[serde(default)]
    checkout: String,
    #[serde(default)]
    reason: String,
}

pub(super) fn actions_are_off() -> Response {
    message(
        StatusCode::FORBIDDEN,
        "Actions are off",
        "Set ops.token_file and restart paywatch; until then decide with `paywatch payments`.",
    )
}

pub(super) async fn form(
    State(shared): State<Shared>,
    session: Option<Extension<Session>>,
    Path(target): Path<Target>,
) -> Result<Response, Broken> {
    let Some(Extension(session)) = session else {
        return Ok(actions_are_off());
    };
    let Some(payment) = find(&shared, target.signature, target.token_account).await? else {
        return Ok(super::payment::unknown(target.signature));
    };
    let checkout = likely_checkout(&shared, &payment).await?;
    let said = Said {
        checkout: checkout
            .map(|memo| memo.as_str().to_owned())
            .unwrap_or_default(),
        ..Said::default()
    };
    Ok(page(&shared, &session, target.action, &payment, &said, "").into_response())
}

/// The only checkout that its memos name, or else the one that they may mean.
async fn likely_checkout(shared: &Shared, payment: &PaymentSummary) -> store::Result<Option<Memo>> {
    let store = &shared.pipeline.store;
    let named = store.checkouts_named(&payment.memos).await?;
    let likely = match named.as_slice() {
        [] => store.meant_by(payment).await?,
        [only] => Some(only.clone()),
        _ => None,
    };
    Ok(likely.map(|checkout| checkout.memo))
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
    let Some(payment) = find(&shared, target.signature, target.token_account).await? else {
        return Ok(super::payment::unknown(target.signature));
    };
    let refused = match decide(&shared, &session, target, &said).await {
        Ok(()) => {
            shared.pipeline.bells.confirm.notify_one();
            let back = format!("/payments/{}", target.signature);
            return Ok(Redirect::to(&back).into_response());
        }
        Err(Unfit::Said(why)) => why.to_owned(),
        Err(Unfit::Store(store::Error::Refused(refusal))) => {
            format!("Nothing was done: {refusal}.")
        }
        Err(Unfit::Store(error)) => return Err(error.into()),
    };
    let page = page(&shared, &session, target.action, &payment, &said, &refused);
    Ok((StatusCode::CONFLICT, page).into_response())
}

/// Why a decision was not carried out.
enum Unfit {
    Said(&'static str),
    Store(store::Error),
}

impl From<store::Error> for Unfit {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

async fn decide(
    shared: &Shared,
    session: &Session,
    target: Target,
    said: &Said,
) -> Result<(), Unfit> {
    let reason: String = said.reason.trim().chars().take(REASON_MAX).collect();
    if reason.is_empty() && target.action != Action::Retry {
        return Err(Unfit::Said("Say why: it stays on record."));
    }
    let by = Decision {
        actor: session.name.clone(),
        reason,
    };
    let which = Which {
        signature: target.signature,
        token_account: Some(target.token_account),
    };
    let (store, now) = (&shared.pipeline.store, clock::now());
    match target.action {
        Action::Confirm => {
            let checkout = Memo::parse(&said.checkout);
            let checkout = checkout.ok_or(Unfit::Said("Say for which checkout."))?;
            store.confirm_by_hand(which, &checkout, &by, now).await?;
        }
        Action::Dismiss => store.dismiss(which, &by, now).await?,
        Action::Retry => store.retry(which, &by, now).await?,
    }
    tracing::info!(
        signature = %target.signature,
        action = target.action.path(),
        by = session.name,
        "decided on a page"
    );
    Ok(())
}

/// Whether the checkout that is filled in is none that the memos name.
fn is_guess(payment: &PaymentSummary, said: &Said) -> bool {
    let Some(offered) = Memo::parse(&said.checkout) else {
        return false;
    };
    let is_named = |memo: &Memo| memo.folded() == offered.folded();
    !payment.memos.is_empty() && !payment.memos.iter().any(is_named)
}

fn page(
    shared: &Shared,
    session: &Session,
    action: Action,
    payment: &PaymentSummary,
    said: &Said,
    problem: &str,
) -> Markup {
    let token = shared.pipeline.config.ops.token.as_ref();
    let tag = token
        .map(|token| session.form_tag(token))
        .unwrap_or_default();
    let needs_reason = action != Action::Retry;
    document(
        action.title(),
        Some(session),
        &html! {
            @if !problem.is_empty() { p.problem role="alert" { (problem) } }
            p {
                (parts::amount(payment)) " " (parts::state_badge(payment.state)) " " (parts::reason_badge(payment)) " "
                (parts::short(&report::purpose(payment)))
            }
            p.advice { (action.consequence()) }
            form.card method="post" action=(address(payment, action)) {
                input type="hidden" name="form" value=(tag);
                @if action == Action::Confirm {
                    label {
                        "Memo of the checkout" @if is_guess(payment, said) { small { "Did they mean this one? Its amount fits, and the memo of the payment resembles its memo. Compare before you confirm." } }
                        input name="checkout" required value=(said.checkout) autocomplete="off" spellcheck="false";
                    }
                }
                label {
                    "Why" small { "Stays on record, under your name: " (session.name) "." }
                    input name="reason" required[needs_reason] maxlength=(REASON_MAX) value=(said.reason);
                }
                div.actions {
                    button.main { (action.title()) }
                    a.button href=(format!("/payments/{}", payment.signature)) { "Cancel" }
                }
            }
        },
    )
}
