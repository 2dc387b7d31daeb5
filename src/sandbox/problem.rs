//! Answers that are not 2xx, and the reading of requests that ends in one: all of them JSON, as the document says.

use axum::{
    Json,
    extract::{
        FromRequest, FromRequestParts, Path, Query, Request,
        rejection::{JsonRejection, PathRejection, QueryRejection},
    },
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};
use utoipa::ToSchema;

/// An answer that is not 2xx.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    error: String,
}

/// What went wrong.
#[derive(Serialize, ToSchema)]
pub(super) struct Said {
    /// In words, for people.
    error: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, what: impl Into<String>) -> Self {
        Self {
            status,
            error: what.into(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(Said { error: self.error })).into_response()
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        tracing::error!(%error, "sandbox database");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the sandbox's database failed",
        )
    }
}

impl From<QueryRejection> for Problem {
    fn from(why: QueryRejection) -> Self {
        Self::new(StatusCode::BAD_REQUEST, why.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(why: PathRejection) -> Self {
        Self::new(StatusCode::BAD_REQUEST, why.body_text())
    }
}

impl From<JsonRejection> for Problem {
    fn from(why: JsonRejection) -> Self {
        Self::new(StatusCode::BAD_REQUEST, why.body_text())
    }
}

/// What the query asks.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(asked) = Query::from_request_parts(parts, state).await?;
        Ok(Self(asked))
    }
}

/// What the path names.
pub(super) struct Named<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(named) = Path::from_request_parts(parts, state).await?;
        Ok(Self(named))
    }
}

/// What the body tells, as JSON.
pub(super) struct Told<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Told<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Json(told) = Json::from_request(request, state).await?;
        Ok(Self(told))
    }
}
