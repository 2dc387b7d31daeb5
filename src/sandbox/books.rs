//! A window into the sandbox's books: who has which credits, from what, and who claimed what.

use super::ledger::{ConfirmCall, Entry};
use super::problem::{Named, Problem, Said};
use super::{Sandbox, Shared};
use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn router() -> OpenApiRouter<Arc<Sandbox>> {
    OpenApiRouter::new()
        .routes(routes!(organizations))
        .routes(routes!(organization))
        .routes(routes!(entries))
        .routes(routes!(confirm_calls))
}

/// Who buys credits.
#[derive(Serialize, ToSchema)]
struct OrganizationAnswer {
    /// Its id.
    id: i64,
    /// Its name, where it is configured.
    name: Option<String>,
    /// Credits it has.
    credits: i64,
}

/// List the organizations that are configured or have a session, with their balances.
#[utoipa::path(get, path = "/organizations", tag = "sandbox", responses((status = 200, description = "The organizations", body = Vec<OrganizationAnswer>)))]
async fn organizations(State(sandbox): Shared) -> Result<Json<Vec<OrganizationAnswer>>, Problem> {
    let mut ids: Vec<_> = sandbox
        .settings
        .organizations
        .iter()
        .map(|one| one.id)
        .collect();
    ids.extend(sandbox.ledger.organizations().await?);
    ids.sort_unstable();
    ids.dedup();
    let mut all = Vec::new();
    for id in ids {
        all.push(sandbox.organization_answer(id).await?);
    }
    Ok(Json(all))
}

/// An organization and its balance.
#[utoipa::path(get, path = "/organizations/{id}", tag = "sandbox", params(("id" = i64, Path, description = "Its id")), responses(
    (status = 200, description = "The organization", body = OrganizationAnswer),
    (status = 400, description = "Not an id", body = Said),
    (status = 404, description = "There is no such organization", body = Said),
))]
async fn organization(
    State(sandbox): Shared,
    Named(id): Named<i64>,
) -> Result<Json<OrganizationAnswer>, Problem> {
    Ok(Json(sandbox.organization_answer(id).await?))
}

/// An organization's ledger of credits, oldest first. Their sum is its balance.
#[utoipa::path(get, path = "/organizations/{id}/ledger", tag = "sandbox", params(("id" = i64, Path, description = "Its id")), responses(
    (status = 200, description = "Its entries", body = Vec<Entry>),
    (status = 400, description = "Not an id", body = Said),
))]
async fn entries(
    State(sandbox): Shared,
    Named(id): Named<i64>,
) -> Result<Json<Vec<Entry>>, Problem> {
    Ok(Json(sandbox.ledger.entries(id).await?))
}

/// List every confirm call, whatever came of it, oldest first.
#[utoipa::path(get, path = "/confirm_calls", tag = "sandbox", responses((status = 200, description = "The calls", body = Vec<ConfirmCall>)))]
async fn confirm_calls(State(sandbox): Shared) -> Result<Json<Vec<ConfirmCall>>, Problem> {
    Ok(Json(sandbox.ledger.calls().await?))
}

impl Sandbox {
    async fn organization_answer(&self, id: i64) -> Result<OrganizationAnswer, Problem> {
        let configured = &self.settings.organizations;
        let known = configured.iter().find(|one| one.id == id);
        if known.is_none() && !configured.is_empty() {
            let what = "there is no such organization";
            return Err(Problem::new(StatusCode::NOT_FOUND, what));
        }
        Ok(OrganizationAnswer {
            id,
            name: known.map(|one| one.name.clone()),
            credits: self.ledger.balance(id).await?,
        })
    }
}
