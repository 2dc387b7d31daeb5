//! All routes of the sandbox, and the document that describes them.

use super::problem::Problem;
use super::{Sandbox, Shared, api, books, card, faults};
use axum::{
    Json, Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use std::sync::Arc;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        OpenApi as Document,
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};
use utoipa_axum::router::OpenApiRouter;

/// Root of the API's paths.
const ROOT: &str = "/api/v1/payments";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "paywatch sandbox",
        description = "The payments API as paywatch understands it, to develop against; and, under /_sandbox, a window into its books and faults on demand.",
        license(name = "MIT OR Apache-2.0")
    ),
    tags(
        (name = "payments", description = "The payments API"),
        (name = "sandbox", description = "What a sandbox alone has")
    ),
    components(schemas(card::Choice)),
    modifiers(&Key)
)]
struct About;

/// The key that the payments API wants.
struct Key;

impl Modify for Key {
    fn modify(&self, document: &mut Document) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("key", SecurityScheme::Http(bearer));
    }
}

pub(super) fn router(sandbox: Arc<Sandbox>) -> Router {
    let (payments, mut described) = api::router().split_for_parts();
    for path in described.paths.paths.values_mut() {
        let operations = [&mut path.get, &mut path.put, &mut path.post];
        for operation in operations.into_iter().flatten() {
            let needs = SecurityRequirement::new("key", Vec::<String>::new());
            operation.security = Some(vec![needs]);
        }
    }
    // The key is asked for first: who has none meets no fault.
    let payments = payments
        .layer(from_fn_with_state(sandbox.clone(), faults::happen))
        .layer(from_fn_with_state(sandbox.clone(), require_key));
    let window = books::router()
        .merge(faults::router())
        .merge(card::router());
    let (window, document) = OpenApiRouter::with_openapi(About::openapi())
        .nest("/_sandbox", window)
        .split_for_parts();
    let document = document.nest(ROOT, described);
    Router::new()
        .nest(ROOT, payments)
        .merge(window)
        .route("/openapi.json", get(async || Json(document)))
        .with_state(sandbox)
}

async fn require_key(State(sandbox): Shared, request: Request, next: Next) -> Response {
    let key = &sandbox.settings.api_key;
    let sent = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    if key.is_empty() || sent == Some(&format!("Bearer {key}")) {
        next.run(request).await
    } else {
        Problem::new(StatusCode::UNAUTHORIZED, "the key is missing or wrong").into_response()
    }
}
