//! `POST /v1/checkouts`: a backend hands over a checkout as it is made, so that no payment waits for the next reading of the
//! history, and the buyer's page is there at once.

use super::Shared;
use crate::domain::Watched;
use crate::merchant::handed_over;
use crate::store::TakenIn;
use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// Takes the answer of the API's `POST /crypto/checkout` as it is. May be sent again.
pub(super) async fn take_in(State(shared): State<Shared>, body: Bytes) -> Response {
    let problem = |status: StatusCode, error: String| {
        (status, Json(json!({ "error": error }))).into_response()
    };
    let Ok(entry) = serde_json::from_slice::<Value>(&body) else {
        return problem(StatusCode::BAD_REQUEST, "the body is not JSON".into());
    };
    let checkout = match handed_over(&entry) {
        Ok(checkout) => checkout,
        Err(error) => return problem(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
    };
    let memo = checkout.memo.as_str();
    let (status, word) = match shared.pipeline.take_in(&checkout).await {
        Ok(TakenIn::New) => (StatusCode::CREATED, "new"),
        Ok(TakenIn::Known) => (StatusCode::OK, "known"),
        Ok(TakenIn::Contradicts) => {
            let error = "another checkout is known under this memo, with another amount, token or recipient, or in other letters; it stays as it is";
            return problem(StatusCode::CONFLICT, error.into());
        }
        Err(error) => {
            let error = format!("{error:#}");
            tracing::warn!(error, "a checkout that was handed over is not taken in");
            let error = "the database fails; send it again";
            return problem(StatusCode::SERVICE_UNAVAILABLE, error.into());
        }
    };
    // Where it is not, a payment for it would not be found (yet): `watch.tokens` leaves it out, or its token is new.
    let is_watched =
        |one: &Watched| checkout.mint == Some(one.mint) && checkout.recipient == Some(one.wallet);
    let watched = shared.pipeline.watching().accounts().iter().any(is_watched);
    let mut answer = json!({ "memo": memo, "checkout": word, "watched": watched });
    if shared.pay_pages.is_some() {
        let path: String = url::form_urlencoded::byte_serialize(memo.as_bytes()).collect();
        answer["pay_page"] = format!("/pay/{}", path.replace('+', "%20")).into();
    }
    (status, Json(answer)).into_response()
}
