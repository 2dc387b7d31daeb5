//! How a node is asked: deadline, rate limit, concurrency, failover between endpoints, redaction.
//!
//! The one place where RPC requests leave the process. It never sleeps through a 429 for minutes, and no error of
//! it shows more of an endpoint than scheme and host.

use super::burden::Burden;
use super::endpoint::{Endpoint, newest_told};
use super::error::{Advice, Error};
use super::wire;
use crate::http::{Exchange, Fault, Request};
use crate::{chance, clock};
use async_trait::async_trait;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json, value::RawValue};
use solana_client::{
    client_error::Result as ClientResult,
    rpc_request::RpcRequest,
    rpc_sender::{RpcSender, RpcTransportStats},
};
use std::{io, sync::Arc, time::Duration};
use tokio::time::Instant;
use url::Url;

/// Largest answer that is read, bytes.
const BODY_MAX: usize = 64 << 20;
/// Most characters of a node's error message that are passed on.
const MESSAGE_MAX: usize = 200;
/// How often all endpoints are tried before an error is passed on.
const ROUNDS: u32 = 3;
/// Longest pause between two rounds, whatever `Retry-After` says; the caller tries again later anyway.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Longest pause after a rate limit.
const LIMITED_PAUSE_MAX: Duration = Duration::from_secs(30);
/// First pause after a rate limit; each further one is twice as long.
const LIMITED_PAUSE_MIN: Duration = Duration::from_millis(250);

/// Reads the `result` of an answer; `None` if its form is not that of an answer to the question.
pub(super) type Read<'a, T> = &'a (dyn Fn(&str) -> Option<T> + Send + Sync);

/// Which endpoints are asked once one of them has answered, and its answer is not enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    /// Those that are well: an endpoint that fails or lags costs a deadline.
    Well,
    /// Every endpoint.
    All,
}

#[derive(Serialize)]
struct Question<'a> {
    jsonrpc: &'static str,
    id: u32,
    method: &'a str,
    params: &'a Value,
}

/// `result` may be null, and may be missing: that is not the same.
#[derive(Deserialize)]
struct Answer<'a> {
    error: Option<Value>,
    #[serde(borrow, default, deserialize_with = "there")]
    result: Option<&'a RawValue>,
}

fn there<'de, D: Deserializer<'de>>(result: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(result).map(Some)
}

/// Asks endpoints of one network. Clones share everything.
#[derive(Clone)]
pub(super) struct Sender {
    network: Arc<dyn Exchange>,
    endpoints: Arc<[Arc<Endpoint>]>,
    burden: Arc<Burden>,
    /// How long rate limits are waited out; after that they are errors like any other.
    patience: Duration,
}

impl Sender {
    pub(super) fn new(network: Arc<dyn Exchange>, urls: &[Url], burden: Arc<Burden>) -> Self {
        let endpoints = urls
            .iter()
            .map(|url| Arc::new(Endpoint::new(url)))
            .collect();
        Self {
            network,
            endpoints,
            burden,
            patience: Duration::ZERO,
        }
    }

    /// The same, waiting out rate limits for so long.
    pub(super) fn patient(&self, patience: Duration) -> Self {
        Self {
            patience,
            ..self.clone()
        }
    }

    /// Asks until somebody gives an answer that can be read, for a few rounds over all endpoints. Rounds that end in a rate limit do
    /// not count while the patience lasts: each is followed by a longer pause.
    pub(super) async fn ask<T>(
        &self,
        request: RpcRequest,
        params: &Value,
        read: Read<'_, T>,
    ) -> Result<T, Error> {
        let (mut round, mut limited, began) = (0, LIMITED_PAUSE_MIN, Instant::now());
        loop {
            let error = match self
                .ask_round(request, params, read, Whom::Well, |_| true)
                .await
            {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let asked_for = match error.advice() {
                Advice::Elsewhere(pause) => pause,
                Advice::ElsewhereOnce => return Err(error),
            };
            let pause = if error.is_too_many() && began.elapsed() < self.patience {
                let pause = limited.max(asked_for.unwrap_or_default());
                limited = limited.saturating_mul(2).min(LIMITED_PAUSE_MAX);
                pause.min(LIMITED_PAUSE_MAX)
            } else if round + 1 < ROUNDS {
                round += 1;
                let pause = asked_for.unwrap_or(Duration::from_millis(100 << round));
                pause.min(PAUSE_MAX)
            } else {
                return Err(error);
            };
            tracing::debug!(%error, ?pause, "asking again");
            tokio::time::sleep(pause.mul_f64(0.8 + 0.4 * chance::fraction())).await;
        }
    }

    /// Asks each endpoint at most once, those that are well first; returns the first answer that is enough, else any answer,
    /// else the most hopeful error. Once an endpoint has answered, those that are not well are asked only if `whom` says so.
    pub(super) async fn ask_round<T>(
        &self,
        request: RpcRequest,
        params: &Value,
        read: Read<'_, T>,
        whom: Whom,
        is_enough: impl Fn(&T) -> bool,
    ) -> Result<T, Error> {
        let now = Instant::now();
        let mut order: Vec<_> = self
            .endpoints
            .iter()
            .map(|endpoint| (endpoint.is_unwell(now), endpoint))
            .collect();
        order.sort_by_key(|(is_unwell, _)| *is_unwell);
        let (mut worst, mut answered): (Option<Error>, Option<T>) = (None, None);
        for (is_unwell, endpoint) in order {
            if is_unwell && answered.is_some() && whom == Whom::Well {
                break;
            }
            let error = match self.ask_one(endpoint, request, params, read).await {
                Ok(answer) if is_enough(&answer) => return Ok(answer),
                Ok(answer) => {
                    answered.get_or_insert(answer);
                    continue;
                }
                Err(error) => error,
            };
            if let Advice::Elsewhere(pause) = error.advice() {
                endpoint.rest(pause);
                // A rate limit ends; it is waited out, whatever the others say.
                if !worst.as_ref().is_some_and(Error::is_too_many) {
                    worst = Some(error);
                }
            } else {
                worst.get_or_insert(error);
            }
        }
        answered.ok_or_else(|| {
            worst.unwrap_or_else(|| Error::Malformed {
                endpoint: "no endpoint".into(),
                method: request.to_string(),
                expected: "possible",
            })
        })
    }

    /// Asks every endpoint for its newest slot. Who does not answer, or is far behind the others, is asked last from now on,
    /// until it is well again.
    pub(super) async fn compare(&self) {
        let params = json!([{ "commitment": "confirmed" }]);
        let asked = self
            .endpoints
            .iter()
            .map(|endpoint| self.ask_one(endpoint, RpcRequest::GetSlot, &params, &wire::slot));
        let told = futures_util::future::join_all(asked).await;
        let slots: Vec<_> = told.into_iter().map(Result::ok).collect();
        let now = clock::now().unix_seconds().unsigned_abs();
        let newest = newest_told(slots.iter().flatten().copied(), now);
        for (endpoint, slot) in self.endpoints.iter().zip(slots) {
            endpoint.compared(slot.map(|slot| newest.saturating_sub(slot)));
        }
    }

    /// The same endpoints in the same circle, begun at this one, counted from the preferred one.
    pub(super) fn begun_at(&self, index: usize) -> Self {
        let count = self.endpoints.len().max(1);
        let circle = self.endpoints.iter().cycle().skip(index % count);
        Self {
            endpoints: circle.take(self.endpoints.len()).cloned().collect(),
            ..self.clone()
        }
    }

    /// The preferred endpoint without the others.
    pub(super) fn alone(&self) -> Self {
        Self {
            endpoints: self.endpoints.iter().take(1).cloned().collect(),
            ..self.clone()
        }
    }

    /// How many endpoints there are.
    pub(super) fn count(&self) -> usize {
        self.endpoints.len()
    }

    /// What tells the preferred endpoint from every other one.
    pub(super) fn key(&self) -> String {
        let preferred = self.endpoints.first();
        preferred
            .map(|endpoint| endpoint.key.clone())
            .unwrap_or_default()
    }

    /// Whether none of the endpoints is well.
    pub(super) fn is_unwell(&self) -> bool {
        let now = Instant::now();
        let mut endpoints = self.endpoints.iter();
        endpoints.all(|endpoint| endpoint.is_unwell(now))
    }

    /// Whether all of the endpoints have failed lately.
    pub(super) fn is_resting(&self) -> bool {
        let now = Instant::now();
        let mut endpoints = self.endpoints.iter();
        endpoints.all(|endpoint| endpoint.is_resting(now))
    }

    async fn ask_one<T>(
        &self,
        endpoint: &Endpoint,
        request: RpcRequest,
        params: &Value,
        read: Read<'_, T>,
    ) -> Result<T, Error> {
        let _place = self.burden.place(request).await;
        let turn = self.burden.rate_limit.wait().await;
        let method = request.to_string();
        let question = Question {
            jsonrpc: "2.0",
            id: 1,
            method: &method,
            params,
        };
        let result = self.exchange(endpoint, &question, read).await;
        match &result {
            Ok(_) => {
                self.burden.rate_limit.speed_up();
                endpoint.answered();
            }
            Err(error) if error.is_too_many() => {
                self.burden.rate_limit.slow_down(turn);
                metrics::counter!("paywatch_rpc_slowdowns_total").increment(1);
            }
            Err(_) => {}
        }
        let outcome = if result.is_ok() { "ok" } else { "error" };
        metrics::counter!("paywatch_rpc_requests_total", "method" => method, "outcome" => outcome)
            .increment(1);
        result
    }

    async fn exchange<T>(
        &self,
        endpoint: &Endpoint,
        question: &Question<'_>,
        read: Read<'_, T>,
    ) -> Result<T, Error> {
        let method = question.method;
        let label = || endpoint.label.clone();
        let malformed = |expected| Error::Malformed {
            endpoint: label(),
            method: method.to_owned(),
            expected,
        };
        let request = Request {
            method: reqwest::Method::POST,
            url: endpoint.url.clone(),
            auth: None,
            json: serde_json::to_vec(question).ok(),
            body_max: BODY_MAX,
        };
        let reply = match self.network.exchange(request).await {
            Ok(reply) => reply,
            Err(Fault::TooLarge(_)) => return Err(malformed("of bearable size")),
            Err(source) => {
                return Err(Error::Transport {
                    endpoint: label(),
                    method: method.to_owned(),
                    source,
                });
            }
        };
        if !reply.status.is_success() {
            return Err(Error::Status {
                endpoint: label(),
                method: method.to_owned(),
                status: reply.status,
                retry_after: reply.retry_after,
            });
        }
        let answer: Answer<'_> =
            serde_json::from_slice(&reply.body).map_err(|_| malformed("JSON"))?;
        if let Some(error) = answer.error {
            return Err(Error::Rpc {
                endpoint: label(),
                method: method.to_owned(),
                code: error["code"]
                    .as_i64()
                    .ok_or_else(|| malformed("a JSON-RPC answer"))?,
                message: harmless(error["message"].as_str().unwrap_or_default()),
            });
        }
        let result = answer
            .result
            .ok_or_else(|| malformed("a JSON-RPC answer"))?;
        // Nonsense is no answer: somebody else may have one.
        read(result.get()).ok_or_else(|| Error::Form {
            endpoint: label(),
            method: method.to_owned(),
        })
    }
}

/// What a node says, as it may be shown.
fn harmless(message: &str) -> String {
    let shown = message.chars().filter(|c| !c.is_control());
    shown.take(MESSAGE_MAX).collect()
}

#[async_trait]
impl RpcSender for Sender {
    async fn send(&self, request: RpcRequest, params: Value) -> ClientResult<Value> {
        let read = |result: &str| {
            let result = serde_json::from_str(result).ok();
            result.filter(|result| wire::fits(request, result))
        };
        self.ask(request, &params, &read)
            .await
            .map_err(|error| io::Error::other(error).into())
    }

    fn get_transport_stats(&self) -> RpcTransportStats {
        RpcTransportStats::default()
    }

    fn url(&self) -> String {
        self.endpoints
            .first()
            .map(|endpoint| endpoint.label.clone())
            .unwrap_or_default()
    }
}
