//! The six endpoints of the payments API, and a window into the sandbox's books under `/_sandbox`.

use super::chain::{Expected, Refusal};
use super::ledger::{ConfirmCall, Credited, Means, NewSession, Session};
use super::{Sandbox, Token, card};
use crate::clock;
use crate::domain::{Mint, Signature};
use axum::{
    Json, Router,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Root of the API's paths.
const ROOT: &str = "/api/v1/payments";
/// Organization of a caller who names none.
const DEFAULT_ORGANIZATION: i64 = 1;
/// Most entries in one page of the history.
const PAGE_MAX: u32 = 100;

pub(super) type Shared = State<Arc<Sandbox>>;

pub(super) fn router(sandbox: Arc<Sandbox>) -> Router {
    let api = Router::new()
        .route("/credit_plans", get(credit_plans))
        .route("/credit_card", post(credit_card))
        .route("/supported_tokens", get(supported_tokens))
        .route("/crypto/checkout", post(checkout))
        .route("/crypto/confirm", put(confirm))
        .route("/history", get(history))
        .layer(from_fn_with_state(sandbox.clone(), require_key));
    Router::new()
        .nest(ROOT, api)
        .route("/_sandbox/organizations/{id}", get(organization))
        .route("/_sandbox/confirm_calls", get(confirm_calls))
        .route("/_sandbox/card/{memo}", get(card::page))
        .route("/_sandbox/card/{memo}/{choice}", post(card::choose))
        .with_state(sandbox)
}

/// An answer that is not 2xx.
#[derive(Debug)]
pub(super) struct Problem(StatusCode, String);

impl Problem {
    pub(super) fn new(status: StatusCode, what: impl Into<String>) -> Self {
        Self(status, what.into())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        tracing::error!(%error, "sandbox database");
        Self(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the sandbox's database failed".into(),
        )
    }
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

async fn credit_plans(State(sandbox): Shared) -> Json<Value> {
    Json(json!(sandbox.settings.plans))
}

async fn supported_tokens(State(sandbox): Shared) -> Json<Value> {
    Json(json!(sandbox.settings.tokens))
}

#[derive(Deserialize)]
struct CardRequest {
    credit_plan_id: i64,
    success_url: String,
    cancel_url: String,
}

async fn credit_card(
    State(sandbox): Shared,
    headers: HeaderMap,
    Json(request): Json<CardRequest>,
) -> Result<Json<Value>, Problem> {
    let is_web =
        |url: &str| url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    if !is_web(&request.success_url) || !is_web(&request.cancel_url) {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "success_url and cancel_url must be http or https addresses",
        ));
    }
    let plan = sandbox.plan(request.credit_plan_id)?;
    let memo = new_memo();
    let by = Means::Card {
        success_url: &request.success_url,
        cancel_url: &request.cancel_url,
    };
    let new = NewSession {
        memo: &memo,
        organization_id: DEFAULT_ORGANIZATION,
        credit_plan_id: plan.id,
        quantity: 1,
        credits: plan.credits,
        by,
    };
    sandbox.ledger.open_session(&new, clock::now()).await?;
    let host = headers
        .get(header::HOST)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("localhost");
    Ok(Json(
        json!({ "payment_link": format!("http://{host}/_sandbox/card/{memo}") }),
    ))
}

#[derive(Deserialize)]
struct CheckoutRequest {
    organization_id: Option<i64>,
    credit_plan_id: i64,
    quantity: Option<u32>,
    token: String,
}

async fn checkout(
    State(sandbox): Shared,
    Query(request): Query<CheckoutRequest>,
) -> Result<Json<Value>, Problem> {
    let bad = |what: &str| Problem::new(StatusCode::BAD_REQUEST, what);
    let mint: Mint = request
        .token
        .parse()
        .map_err(|_| bad("token must be a mint address"))?;
    let is_taken = |token: &&Token| token.enabled && token.mint == mint;
    let token = sandbox
        .settings
        .tokens
        .iter()
        .find(is_taken)
        .ok_or_else(|| bad("this token is not taken"))?;
    let plan = sandbox.plan(request.credit_plan_id)?;
    let quantity = request.quantity.unwrap_or(1);
    if quantity == 0 {
        return Err(bad("quantity must be at least 1"));
    }
    let due = plan
        .due(token, quantity)
        .ok()
        .and_then(|due| i64::try_from(due.0).ok())
        .ok_or_else(|| bad("the sum is too large"))?;
    let credits = plan
        .credits
        .checked_mul(quantity.into())
        .ok_or_else(|| bad("the sum is too large"))?;
    let memo = new_memo();
    let new = NewSession {
        memo: &memo,
        organization_id: request.organization_id.unwrap_or(DEFAULT_ORGANIZATION),
        credit_plan_id: plan.id,
        quantity,
        credits,
        by: Means::Crypto {
            amount: due,
            mint,
            recipient: token.recipient,
        },
    };
    sandbox.ledger.open_session(&new, clock::now()).await?;
    Ok(Json(
        json!({ "memo": memo, "amount": due, "recipient": token.recipient.to_string(), "token": mint.to_string() }),
    ))
}

#[derive(Clone, Deserialize)]
struct ConfirmRequest {
    payment_id: String,
    transaction_hash: String,
}

async fn confirm(
    State(sandbox): Shared,
    Query(request): Query<ConfirmRequest>,
) -> Result<Json<Value>, Problem> {
    let at = clock::now().0;
    let result = sandbox.confirm(&request).await;
    let status = result
        .as_ref()
        .map_or_else(|problem| problem.0, |_| StatusCode::OK);
    let call = ConfirmCall {
        payment_id: request.payment_id,
        transaction_hash: request.transaction_hash,
        at,
        status: status.as_u16().into(),
    };
    sandbox.ledger.log_call(&call).await?;
    result.map(|session| Json(json!(session)))
}

#[derive(Deserialize)]
struct Page {
    limit: Option<u32>,
    offset: Option<u32>,
}

async fn history(
    State(sandbox): Shared,
    Query(page): Query<Page>,
) -> Result<Json<Vec<Session>>, Problem> {
    let limit = page.limit.unwrap_or(50).min(PAGE_MAX);
    Ok(Json(
        sandbox
            .ledger
            .history(limit, page.offset.unwrap_or(0))
            .await?,
    ))
}

async fn organization(State(sandbox): Shared, Path(id): Path<i64>) -> Result<Json<Value>, Problem> {
    Ok(Json(
        json!({ "id": id, "credits": sandbox.ledger.balance(id).await? }),
    ))
}

async fn confirm_calls(State(sandbox): Shared) -> Result<Json<Vec<ConfirmCall>>, Problem> {
    Ok(Json(sandbox.ledger.calls().await?))
}

impl Sandbox {
    fn plan(&self, id: i64) -> Result<&super::Plan, Problem> {
        let plan = self.settings.plans.iter().find(|plan| plan.id == id);
        plan.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "there is no such plan"))
    }

    /// What an honest backend does with a claim: look at the chain itself, credit once.
    async fn confirm(&self, request: &ConfirmRequest) -> Result<Session, Problem> {
        let refused = |what: &str| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, what);
        let conflict = |what: &str| Problem::new(StatusCode::CONFLICT, what);
        let signature: Signature = request
            .transaction_hash
            .parse()
            .map_err(|_| refused("transaction_hash is not a signature"))?;
        let session = self.session(&request.payment_id).await?;
        if session.status == 1 {
            let same = session.transaction_hash.as_deref() == Some(&request.transaction_hash);
            return if same {
                Ok(session)
            } else {
                Err(conflict("confirmed by another transaction"))
            };
        }
        let (Some(amount), Some(token), Some(recipient)) =
            (session.amount, &session.token, &session.recipient)
        else {
            return Err(refused("this payment is by card"));
        };
        let expected = Expected {
            memo: &session.memo,
            mint: token
                .parse()
                .map_err(|_| refused("the session's token is broken"))?,
            recipient: recipient
                .parse()
                .map_err(|_| refused("the session's recipient is broken"))?,
            amount: amount.unsigned_abs(),
        };
        self.chain
            .verify(signature, &expected)
            .await
            .map_err(|refusal| match refusal {
                Refusal::NodeUnavailable => {
                    Problem::new(StatusCode::SERVICE_UNAVAILABLE, refusal.to_string())
                }
                Refusal::NotFound => Problem::new(StatusCode::NOT_FOUND, refusal.to_string()),
                _ => refused(&refusal.to_string()),
            })?;
        match self
            .ledger
            .credit(&session, Some(&request.transaction_hash), clock::now())
            .await?
        {
            Credited::Yes => self.session(&request.payment_id).await,
            Credited::No => Err(conflict(
                "the transaction paid for another payment, or the payment was just confirmed",
            )),
        }
    }

    pub(super) async fn session(&self, memo: &str) -> Result<Session, Problem> {
        let session = self.ledger.session(memo).await?;
        session.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "there is no such payment"))
    }
}

fn new_memo() -> String {
    format!("{:032x}", rand::random::<u128>())
}
