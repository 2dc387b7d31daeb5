//! Faults on demand: what a payments API does to those who rely on it. They happen to the six endpoints alone, never under `/_sandbox`.

use super::problem::{Problem, Said, Told};
use super::{Sandbox, Shared};
use crate::domain::Signature;
use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, sleep};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Most rules at a time, and most transactions whose first claim is remembered.
const MANY: usize = 10_000;
/// Longest wait, milliseconds: ten minutes.
const WAIT_MAX: u64 = 600_000;

/// A fault and what it happens to.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// The endpoint it happens to; all of them if left out.
    #[serde(default)]
    endpoint: Option<Endpoint>,
    /// How often it happens before it is over; for ever if left out.
    #[serde(default)]
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 4_294_967_295_u32)]
    times: Option<u32>,
    /// What happens.
    fault: Fault,
}

/// An endpoint of the payments API, by its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Endpoint {
    CreditPlans,
    CreditCard,
    SupportedTokens,
    Checkout,
    Confirm,
    History,
}

/// What happens.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Fault {
    /// The answer comes later.
    Latency {
        /// By so much.
        #[schema(maximum = 600_000)]
        milliseconds: u64,
    },
    /// Nothing is done, and this is the answer.
    Status {
        /// Such as 500 or 429.
        #[schema(minimum = 400, maximum = 599)]
        status: u16,
        /// What `Retry-After` says, if it is there.
        #[serde(default)]
        #[schema(value_type = Option<i64>, minimum = 0, maximum = 4_294_967_295_u32)]
        retry_after_seconds: Option<u32>,
    },
    /// Nothing is done, and no answer comes for ten minutes.
    Hang {},
    /// It is done, and the connection breaks before the answer is whole.
    CloseAfterApplying {},
    /// A transaction is not found by the backend's node for so long after it was first claimed. For `confirm` alone.
    Lag {
        /// For so long.
        #[schema(maximum = 600)]
        seconds: u64,
    },
}

/// The faults in force.
#[derive(Default)]
pub(super) struct Faults(Mutex<InForce>);

#[derive(Default)]
struct InForce {
    rules: Vec<Rule>,
    first_claimed: HashMap<Signature, Instant>,
}

pub(super) fn router() -> OpenApiRouter<Arc<Sandbox>> {
    OpenApiRouter::new().routes(routes!(list, replace, clear))
}

/// List the faults in force, with how often each is still to happen.
#[utoipa::path(get, path = "/faults", tag = "sandbox", responses((status = 200, description = "The faults in force", body = Vec<Rule>)))]
async fn list(State(sandbox): Shared) -> Json<Vec<Rule>> {
    Json(sandbox.faults.lock().rules.clone())
}

/// Replace the faults in force. Those that fit a request happen to it one after the other.
#[utoipa::path(put, path = "/faults", tag = "sandbox", request_body = Vec<Rule>, responses(
    (status = 200, description = "They are in force", body = Vec<Rule>),
    (status = 400, description = "Not such a list", body = Said),
    (status = 422, description = "A number is out of bounds", body = Said),
))]
async fn replace(
    State(sandbox): Shared,
    Told(rules): Told<Vec<Rule>>,
) -> Result<Json<Vec<Rule>>, Problem> {
    if rules.len() > MANY || !rules.iter().all(Rule::is_bounded) {
        let what = format!(
            "allowed are at most {MANY} faults, with waits of at most 600 seconds, statuses from 400 to 599, and a lag for confirm alone"
        );
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, what));
    }
    sandbox.faults.lock().rules.clone_from(&rules);
    Ok(Json(rules))
}

/// End all faults.
#[utoipa::path(delete, path = "/faults", tag = "sandbox", responses((status = 204, description = "There are none")))]
async fn clear(State(sandbox): Shared) -> StatusCode {
    sandbox.faults.lock().rules.clear();
    StatusCode::NO_CONTENT
}

/// Lets happen what is in force.
pub(super) async fn happen(State(sandbox): Shared, request: Request, next: Next) -> Response {
    let mut closes = false;
    for fault in sandbox.faults.take_for(Endpoint::of(&request)) {
        match fault {
            Fault::Latency { milliseconds } => sleep(Duration::from_millis(milliseconds)).await,
            Fault::Hang {} => sleep(Duration::from_millis(WAIT_MAX)).await,
            Fault::CloseAfterApplying {} => closes = true,
            // Asked for where the chain is.
            Fault::Lag { .. } => {}
            Fault::Status {
                status,
                retry_after_seconds,
            } => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::IM_A_TEAPOT);
                let mut answer = Problem::new(status, "a fault on demand").into_response();
                if let Some(seconds) = retry_after_seconds {
                    let headers = answer.headers_mut();
                    headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
                }
                return answer;
            }
        }
    }
    let answer = next.run(request).await;
    if closes { cut(answer) } else { answer }
}

/// The same answer with a body that breaks off at once.
fn cut(answer: Response) -> Response {
    let (parts, _) = answer.into_parts();
    let broken = std::io::Error::other("a fault on demand");
    let body = Body::from_stream(stream::iter([Err::<Vec<u8>, _>(broken)]));
    Response::from_parts(parts, body)
}

impl Endpoint {
    fn of(request: &Request) -> Option<Self> {
        match request.uri().path().rsplit('/').next()? {
            "credit_plans" => Some(Self::CreditPlans),
            "credit_card" => Some(Self::CreditCard),
            "supported_tokens" => Some(Self::SupportedTokens),
            "checkout" => Some(Self::Checkout),
            "confirm" => Some(Self::Confirm),
            "history" => Some(Self::History),
            _ => None,
        }
    }
}

impl Rule {
    fn is_bounded(&self) -> bool {
        match self.fault {
            Fault::Latency { milliseconds } => milliseconds <= WAIT_MAX,
            Fault::Status { status, .. } => (400..600).contains(&status),
            Fault::Hang {} | Fault::CloseAfterApplying {} => true,
            Fault::Lag { seconds } => {
                seconds <= WAIT_MAX / 1000 && self.endpoint.is_none_or(|at| at == Endpoint::Confirm)
            }
        }
    }
}

impl Faults {
    /// What happens to a request; it has then happened once more.
    fn take_for(&self, endpoint: Option<Endpoint>) -> Vec<Fault> {
        let mut taken = Vec::new();
        let mut state = self.lock();
        for rule in &mut state.rules {
            let is_lag = matches!(rule.fault, Fault::Lag { .. });
            let fits = rule.endpoint.is_none() || rule.endpoint == endpoint;
            if !fits || is_lag {
                continue;
            }
            if let Some(times) = &mut rule.times {
                *times = times.saturating_sub(1);
            }
            taken.push(rule.fault.clone());
        }
        state.rules.retain(|rule| rule.times != Some(0));
        taken
    }

    /// Whether the backend's node lags behind the chain, as far as this transaction goes.
    pub(super) fn is_not_seen_yet(&self, signature: Signature) -> bool {
        let mut state = self.lock();
        let lag = state.rules.iter().find_map(|rule| match rule.fault {
            Fault::Lag { seconds } => Some(Duration::from_secs(seconds)),
            _ => None,
        });
        let Some(lag) = lag else { return false };
        if state.first_claimed.len() >= MANY {
            state.first_claimed.clear();
        }
        let claimed = state.first_claimed.entry(signature);
        claimed.or_insert_with(Instant::now).elapsed() < lag
    }

    fn lock(&self) -> MutexGuard<'_, InForce> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
