//! What may be done over HTTP, by whoever holds the token.

use super::Shared;
use axum::{
    extract::{Request, State},
    http::{StatusCode, header::AUTHORIZATION},
    middleware::Next,
    response::{IntoResponse, Response},
};

/// Lets a request pass that carries `Authorization: Bearer TOKEN`. Without a configured token nothing passes.
pub(super) async fn with_token(
    State(shared): State<Shared>,
    request: Request,
    next: Next,
) -> Response {
    let Some(token) = &shared.pipeline.config.ops.token else {
        return (
            StatusCode::FORBIDDEN,
            "actions are off: ops.token_file is not set\n",
        )
            .into_response();
    };
    let header = request.headers().get(AUTHORIZATION);
    let given = header
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.strip_prefix("Bearer "));
    if given.is_some_and(|given| token.is(given)) {
        next.run(request).await
    } else {
        (StatusCode::UNAUTHORIZED, "wrong or no token\n").into_response()
    }
}

/// `POST /v1/sweep`: history is swept now, not when its time comes.
pub(super) async fn sweep(State(shared): State<Shared>) -> (StatusCode, &'static str) {
    shared.pipeline.bells.sweep.notify_one();
    (StatusCode::ACCEPTED, "sweeping\n")
}
