//! The payments API over HTTP, and the calls that the watcher needs.

use super::credentials::Credentials;
use super::history::Pages;
use super::wire::{self, SupportedToken};
use super::{Answer, Auth, Backend, ConfirmResult, Error, HistoryPage};
use crate::domain::{Memo, Signature};
use crate::http::{self, Exchange, Fault, Reply, Request};
use crate::rate_limit::{RateLimit, Turn};
use async_trait::async_trait;
use reqwest::{Method, StatusCode, redirect};
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio::sync::{Semaphore, SemaphorePermit};
use url::Url;

/// Largest answer that is read, bytes.
const BODY_MAX: usize = 32 << 20;
/// Longest pause between two requests that refused requests cause.
const PENALTY_MAX: Duration = Duration::from_secs(2);
/// Longest pause that `Retry-After` causes.
const PAUSE_MAX: Duration = Duration::from_hours(1);

/// How the API is reached.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Root of all paths.
    pub base_url: Url,
    /// How a request proves who sends it.
    pub auth: Auth,
    /// Deadline of one request.
    pub request_timeout: Duration,
    /// Requests under way at once.
    pub max_in_flight: usize,
}

/// The payments API.
pub struct Merchant {
    network: Arc<dyn Exchange>,
    base_url: Url,
    credentials: Credentials,
    permits: Semaphore,
    rate_limit: RateLimit,
    /// Longest wait for a request's turn.
    patience: Duration,
    pub(super) pages: Pages,
}

/// Why a request has no answer.
enum Unanswered {
    /// It was not sent: the API asked for a pause that is not over.
    Paused(Duration),
    Fault(Fault),
}

impl Merchant {
    /// A client. Opens no connection yet.
    ///
    /// # Errors
    /// When the key cannot stand in a header, or the TLS configuration of the machine is broken.
    pub fn new(settings: &Settings) -> anyhow::Result<Self> {
        let network = http::client(settings.request_timeout)
            .redirect(redirect::Policy::none())
            .build()?;
        Self::over(Arc::new(network), settings)
    }

    /// The same over a network of the caller's, which keeps the deadline of a request.
    ///
    /// # Errors
    /// When the key cannot stand in a header.
    pub fn over(network: Arc<dyn Exchange>, settings: &Settings) -> anyhow::Result<Self> {
        Ok(Self {
            network,
            base_url: settings.base_url.clone(),
            credentials: Credentials::new(&settings.auth)?,
            permits: Semaphore::new(settings.max_in_flight.max(1)),
            rate_limit: RateLimit::new(0, PENALTY_MAX),
            patience: settings.request_timeout / 2,
            pages: Pages::default(),
        })
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        json: Option<Vec<u8>>,
    ) -> Result<Reply, Unanswered> {
        let _place = self.place().await;
        let turn = self.rate_limit.wait_at_most(self.patience).await;
        let turn = turn.map_err(Unanswered::Paused)?;
        let mut url = self.base_url.clone();
        url.set_path(&format!(
            "{}/{path}",
            self.base_url.path().trim_end_matches('/')
        ));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = Request {
            method,
            url,
            auth: self.credentials.current(),
            json,
            body_max: BODY_MAX,
        };
        let reply = self.exchange(request.clone(), turn).await?;
        if !matches!(reply.status.as_u16(), 401 | 403) {
            return Ok(reply);
        }
        match self.credentials.other_than(request.auth.as_ref()) {
            Some(other) => {
                request.auth = Some(other);
                self.exchange(request, turn).await
            }
            None => Ok(reply),
        }
    }

    /// Sends a request, and takes from its answer how fast the next ones may go.
    async fn exchange(&self, request: Request, turn: Turn) -> Result<Reply, Unanswered> {
        let reply = self.network.exchange(request).await;
        let reply = reply.map_err(Unanswered::Fault)?;
        if reply.status == StatusCode::TOO_MANY_REQUESTS {
            self.rate_limit.slow_down(turn);
            metrics::counter!("paywatch_api_slowdowns_total").increment(1);
        } else {
            self.rate_limit.speed_up();
        }
        if let Some(pause) = reply.retry_after.filter(|_| may_ask_to_wait(reply.status)) {
            let pause = pause.min(PAUSE_MAX);
            self.rate_limit.pause(pause);
            tracing::warn!(status = %reply.status, ?pause, "the payments API asked to wait: nothing is sent to it meanwhile");
        }
        Ok(reply)
    }

    /// The beginning of a refusal's text, without the key that it may repeat.
    fn said(&self, body: &[u8]) -> String {
        wire::said(&self.credentials.hide(&String::from_utf8_lossy(body)))
    }

    /// One of the places for requests under way, kept until the answer is read.
    async fn place(&self) -> Option<SemaphorePermit<'_>> {
        // Closed only when the process ends; a missing permit is no reason to lose the request.
        self.permits.acquire().await.ok()
    }

    pub(super) async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value, Error> {
        self.question(Method::GET, path, query, None).await
    }

    /// Begins something at the API, which is not begun again by itself.
    pub(super) async fn post(
        &self,
        path: &str,
        query: &[(&str, String)],
        json: Option<Vec<u8>>,
    ) -> Result<Value, Error> {
        self.question(Method::POST, path, query, json).await
    }

    async fn question(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        json: Option<Vec<u8>>,
    ) -> Result<Value, Error> {
        let reply = match self.ask(method, path, query, json).await {
            Ok(reply) => reply,
            Err(Unanswered::Paused(pause)) => return Err(Error::Paused(pause)),
            Err(Unanswered::Fault(Fault::TooLarge(_))) => {
                return Err(Error::Malformed("of bearable size"));
            }
            Err(Unanswered::Fault(fault)) => return Err(Error::Transport(fault)),
        };
        match (reply.status.as_u16(), reply.redirect) {
            (200..=299, _) => wire::parse(&reply.body).ok_or(Error::Malformed("JSON")),
            (401 | 403, _) => Err(Error::KeyRefused(reply.status)),
            (_, Some(target)) => Err(Error::Redirected {
                status: reply.status,
                target,
            }),
            (_, None) => Err(Error::Status {
                status: reply.status,
                retry_after: reply.retry_after,
                said: self.said(&reply.body),
            }),
        }
    }
}

/// Whether an answer with this status may ask for a pause of all calls.
fn may_ask_to_wait(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429)
}

#[async_trait]
impl Backend for Merchant {
    /// `GET /supported_tokens`.
    async fn supported_tokens(&self) -> Result<Vec<SupportedToken>, Error> {
        let body = self.get("supported_tokens", &[]).await?;
        let entries = wire::list(&body).ok_or(Error::Malformed("a list of tokens"))?;
        Ok(entries.iter().filter_map(wire::token).collect())
    }

    /// `GET /history`, one page, as large as the API gives. Entries that cannot be read, and sessions that are no crypto checkouts, are
    /// counted and left out.
    async fn history(&self, offset: usize) -> Result<HistoryPage, Error> {
        self.history_page(offset).await
    }

    /// `GET /history`, one entry at most.
    async fn accepts_key(&self) -> Result<bool, Error> {
        let query = [("limit", "1".to_owned()), ("offset", "0".to_owned())];
        match self.get("history", &query).await {
            Ok(_) | Err(Error::Malformed(_)) => Ok(true),
            Err(Error::KeyRefused(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// `PUT /crypto/confirm`. Never fails: every outcome is an answer.
    async fn confirm(&self, memo: &Memo, signature: Signature) -> ConfirmResult {
        let query = [
            ("payment_id", memo.as_str().to_owned()),
            ("transaction_hash", signature.to_string()),
        ];
        let reply = match self.ask(Method::PUT, "crypto/confirm", &query, None).await {
            Ok(reply) => reply,
            Err(Unanswered::Paused(pause)) => return ConfirmResult::paused(pause),
            Err(Unanswered::Fault(fault)) => return ConfirmResult::fault(&fault),
        };
        // A body, if there is one, must be JSON: a proxy's friendly page is no confirmation.
        let content = match wire::parse(&reply.body) {
            Some(Value::Null) => Content::Empty,
            Some(_) => Content::Json,
            None => Content::Other,
        };
        let mut result = classify(reply.status, content, reply.retry_after);
        if let Some(target) = reply.redirect {
            let target = self.credentials.hide(&target);
            result.reason += &format!(": a redirect to {target}, which is not followed");
        } else if !reply.status.is_success() {
            result.reason += &self.said(&reply.body);
        }
        result
    }
}

impl ConfirmResult {
    fn paused(pause: Duration) -> Self {
        Self {
            answer: Answer::NotSent(pause),
            status: None,
            reason: format!("not sent: {}", Error::Paused(pause)),
        }
    }

    fn fault(fault: &Fault) -> Self {
        Self {
            answer: Answer::Later(None),
            status: fault.status().map(|status| status.as_u16()),
            reason: fault.to_string(),
        }
    }
}

/// What the body of an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Empty,
    Json,
    Other,
}

/// The table of API.md: what a status means. The body is never read for meaning.
fn classify(status: StatusCode, content: Content, retry_after: Option<Duration>) -> ConfirmResult {
    let (answer, reason) = match status.as_u16() {
        200..=299 if content == Content::Other => (
            Answer::Later(None),
            "accepted, but not by the API: the answer is not JSON".into(),
        ),
        200..=299 => (Answer::Accepted, "accepted".to_owned()),
        401 | 403 => (Answer::KeyRefused, "the API refuses the key".to_owned()),
        408 | 425 | 429 | 500..=599 => {
            (Answer::Later(retry_after), format!("HTTP status {status}"))
        }
        400..=499 => (Answer::Rejected, format!("HTTP status {status}")),
        _ => (
            Answer::Later(retry_after),
            format!("HTTP status {status}, which is no answer"),
        ),
    };
    ConfirmResult {
        answer,
        status: Some(status.as_u16()),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_mean_what_the_contract_says() {
        let soon = Some(Duration::from_secs(7));
        for (status, content, expected) in [
            (200, Content::Json, Answer::Accepted),
            (204, Content::Empty, Answer::Accepted),
            (200, Content::Other, Answer::Later(None)),
            (302, Content::Other, Answer::Later(soon)),
            (400, Content::Json, Answer::Rejected),
            (401, Content::Json, Answer::KeyRefused),
            (403, Content::Other, Answer::KeyRefused),
            (404, Content::Other, Answer::Rejected),
            (408, Content::Empty, Answer::Later(soon)),
            (409, Content::Json, Answer::Rejected),
            (425, Content::Empty, Answer::Later(soon)),
            (429, Content::Json, Answer::Later(soon)),
            (500, Content::Json, Answer::Later(soon)),
            (503, Content::Other, Answer::Later(soon)),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(classify(status, content, soon).answer, expected, "{status}");
        }
    }
}
