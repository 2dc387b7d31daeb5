//! The web pages at `ops.listen`: made on the server, right without JavaScript, kept up to date where there is some.
//!
//! Text from chain and API is written out (`visible`) and escaped by the template; nothing is loaded from elsewhere.

mod bulk;
mod decide;
mod frame;
mod live;
mod now;
mod parts;
mod pay;
mod payment;
mod payments;
mod person;
mod session;

pub(super) use live::{Feeds, STREAMS_MAX};
pub(super) use pay::PayPages;

use super::Shared;
use axum::{
    Router,
    extract::Request,
    http::{
        HeaderName, HeaderValue, Method, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};

/// Nothing but what this server sends, in no other site's frame, and forms go nowhere else.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

pub(super) fn router(shared: &Shared) -> Router<Shared> {
    let guarded = Router::new()
        .route("/", get(now::page))
        .route("/payments", get(payments::page))
        .route("/payments.csv", get(payments::export))
        .route("/payments/{signature}", get(payment::page))
        .route(
            "/payments/{signature}/{token_account}/{action}",
            get(decide::form).post(decide::act),
        )
        .route("/needs-a-person", get(person::page))
        .route(
            "/needs-a-person/{waiting}/{action}",
            get(bulk::form).post(bulk::act),
        )
        .layer(middleware::from_fn_with_state(
            shared.clone(),
            session::guard,
        ));
    let pay_pages = if shared.pay_pages.is_some() {
        Router::new()
            .route("/pay/{memo}", get(pay::page))
            .route("/pay.js", get(pay::script))
    } else {
        Router::new()
    };
    Router::new()
        .route("/sign-in", get(session::form).post(session::sign_in))
        .route("/sign-out", post(session::sign_out))
        .route("/style.css", get(style))
        .route("/live.js", get(script))
        .merge(guarded)
        .merge(pay_pages)
        .layer(middleware::from_fn(harden))
}

async fn style() -> impl IntoResponse {
    let kind = [(CONTENT_TYPE, "text/css; charset=utf-8")];
    (kind, include_str!("style.css"))
}

async fn script() -> impl IntoResponse {
    let kind = [(CONTENT_TYPE, "text/javascript; charset=utf-8")];
    (kind, include_str!("live.js"))
}

/// Headers of every page. Forms sent from other sites are turned away: browsers tell where they come from.
async fn harden(request: Request, next: Next) -> Response {
    let from = request.headers().get("sec-fetch-site");
    let is_foreign = from.is_some_and(|from| from != "same-origin" && from != "none");
    let mut response = if request.method() == Method::POST && is_foreign {
        (StatusCode::FORBIDDEN, "sent from another site\n").into_response()
    } else {
        next.run(request).await
    };
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}
