//! The six endpoints of the payments API.

use super::chain::{Expected, Refusal};
use super::ledger::{ConfirmCall, Credited, Means, NewSession, Session};
use super::problem::{Asked, Problem, Said, Told};
use super::{Plan, Sandbox, Shared, Token};
use crate::clock;
use crate::domain::{Mint, Signature};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

/// Organization of a caller who names none, where none is configured.
const DEFAULT_ORGANIZATION: i64 = 1;
/// Most entries in one page of the history.
const PAGE_MAX: u32 = 100;

pub(super) fn router() -> OpenApiRouter<Arc<Sandbox>> {
    OpenApiRouter::new()
        .routes(routes!(credit_plans))
        .routes(routes!(credit_card))
        .routes(routes!(supported_tokens))
        .routes(routes!(checkout))
        .routes(routes!(confirm))
        .routes(routes!(history))
}

/// List what can be bought.
#[utoipa::path(get, path = "/credit_plans", tag = "payments", responses(
    (status = 200, description = "What can be bought", body = Vec<Plan>),
    (status = 401, description = "The key is missing or wrong", body = Said),
))]
async fn credit_plans(State(sandbox): Shared) -> Json<Vec<Plan>> {
    Json(sandbox.settings.plans.clone())
}

/// List what can be paid with.
#[utoipa::path(get, path = "/supported_tokens", tag = "payments", responses(
    (status = 200, description = "What can be paid with", body = Vec<Token>),
    (status = 401, description = "The key is missing or wrong", body = Said),
))]
async fn supported_tokens(State(sandbox): Shared) -> Json<Vec<Token>> {
    Json(sandbox.settings.tokens.clone())
}

/// What is to be paid by card.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CardRequest {
    /// Id of the plan.
    credit_plan_id: i64,
    /// Where the buyer is sent after paying.
    #[schema(format = "uri")]
    success_url: String,
    /// Where the buyer is sent after giving up.
    #[schema(format = "uri")]
    cancel_url: String,
}

/// Where a card is taken.
#[derive(Serialize, ToSchema)]
struct CardAnswer {
    /// Address of the sandbox's own card page, which takes no card.
    payment_link: String,
}

/// Begin a payment by card.
#[utoipa::path(post, path = "/credit_card", tag = "payments", request_body = CardRequest, responses(
    (status = 200, description = "Where the buyer pays", body = CardAnswer),
    (status = 400, description = "Not such a request", body = Said),
    (status = 401, description = "The key is missing or wrong", body = Said),
    (status = 404, description = "There is no such plan", body = Said),
))]
async fn credit_card(
    State(sandbox): Shared,
    headers: HeaderMap,
    Told(request): Told<CardRequest>,
) -> Result<Json<CardAnswer>, Problem> {
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
        organization_id: sandbox.organization(None)?,
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
    let payment_link = format!("http://{host}/_sandbox/card/{memo}");
    Ok(Json(CardAnswer { payment_link }))
}

/// What is to be paid with a token.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct CheckoutRequest {
    /// Whom to credit; whoever the key belongs to if left out.
    organization_id: Option<i64>,
    /// Id of the plan.
    credit_plan_id: i64,
    /// How many of the plan; 1 if left out.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 4_294_967_295_u32)]
    quantity: Option<u32>,
    /// Mint of the token to pay in.
    token: String,
}

/// What a wallet must send.
#[derive(Serialize, ToSchema)]
struct CheckoutAnswer {
    /// The payment's id; must be the transaction's memo.
    memo: String,
    /// Base units due.
    amount: i64,
    /// The wallet to be paid.
    recipient: String,
    /// The token's mint.
    token: String,
}

/// Begin a payment with a token.
#[utoipa::path(post, path = "/crypto/checkout", tag = "payments", params(CheckoutRequest), responses(
    (status = 200, description = "What a wallet must send", body = CheckoutAnswer),
    (status = 400, description = "Not such a request, or a token that is not taken", body = Said),
    (status = 401, description = "The key is missing or wrong", body = Said),
    (status = 404, description = "There is no such plan or organization", body = Said),
))]
async fn checkout(
    State(sandbox): Shared,
    Asked(request): Asked<CheckoutRequest>,
) -> Result<Json<CheckoutAnswer>, Problem> {
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
        organization_id: sandbox.organization(request.organization_id)?,
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
    Ok(Json(CheckoutAnswer {
        memo,
        amount: due,
        recipient: token.recipient.to_string(),
        token: mint.to_string(),
    }))
}

/// A claim.
#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ConfirmRequest {
    /// The memo of the checkout.
    payment_id: String,
    /// The signature of the transaction that paid for it.
    transaction_hash: String,
}

/// Claim that a transaction paid for a checkout. It is looked at on chain; the same claim may be made again.
#[utoipa::path(put, path = "/crypto/confirm", tag = "payments", params(ConfirmRequest), responses(
    (status = 200, description = "Credited, now or before by this transaction", body = Session),
    (status = 400, description = "Not such a request", body = Said),
    (status = 401, description = "The key is missing or wrong", body = Said),
    (status = 404, description = "The payment or the transaction is not known (yet)", body = Said),
    (status = 409, description = "Paid by another transaction, or the transaction paid for another payment", body = Said),
    (status = 422, description = "The transaction does not pay for it", body = Said),
    (status = 503, description = "The node could not be asked", body = Said),
))]
async fn confirm(
    State(sandbox): Shared,
    Asked(request): Asked<ConfirmRequest>,
) -> Result<Json<Session>, Problem> {
    let at = clock::now().0;
    let result = sandbox.confirm(&request).await;
    let status = result
        .as_ref()
        .map_or_else(|problem| problem.status, |_| StatusCode::OK);
    let call = ConfirmCall {
        payment_id: request.payment_id,
        transaction_hash: request.transaction_hash,
        at,
        status: status.as_u16().into(),
    };
    sandbox.ledger.log_call(&call).await?;
    result.map(Json)
}

/// Which part of the history.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Page {
    /// At most so many, and never more than 100; 50 if left out.
    #[param(value_type = Option<i64>, minimum = 0, maximum = 4_294_967_295_u32)]
    limit: Option<u32>,
    /// Leave out so many, the newest.
    #[param(value_type = Option<i64>, minimum = 0, maximum = 4_294_967_295_u32)]
    offset: Option<u32>,
}

/// List the payment sessions of the account, the newest first.
#[utoipa::path(get, path = "/history", tag = "payments", params(Page), responses(
    (status = 200, description = "A page of the history", body = Vec<Session>),
    (status = 400, description = "Not such a request", body = Said),
    (status = 401, description = "The key is missing or wrong", body = Said),
))]
async fn history(
    State(sandbox): Shared,
    Asked(page): Asked<Page>,
) -> Result<Json<Vec<Session>>, Problem> {
    let limit = page.limit.unwrap_or(50).min(PAGE_MAX);
    let offset = page.offset.unwrap_or(0);
    Ok(Json(sandbox.ledger.history(limit, offset).await?))
}

impl Sandbox {
    fn plan(&self, id: i64) -> Result<&Plan, Problem> {
        let plan = self.settings.plans.iter().find(|plan| plan.id == id);
        plan.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "there is no such plan"))
    }

    /// Whom to credit. Where no organizations are configured, every id is one.
    fn organization(&self, wanted: Option<i64>) -> Result<i64, Problem> {
        let known = &self.settings.organizations;
        let first = known.first().map_or(DEFAULT_ORGANIZATION, |one| one.id);
        let id = wanted.unwrap_or(first);
        if known.is_empty() || known.iter().any(|one| one.id == id) {
            Ok(id)
        } else {
            let what = "there is no such organization";
            Err(Problem::new(StatusCode::NOT_FOUND, what))
        }
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
        if self.faults.is_not_seen_yet(signature) {
            let what = Refusal::NotFound.to_string();
            return Err(Problem::new(StatusCode::NOT_FOUND, what));
        }
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
