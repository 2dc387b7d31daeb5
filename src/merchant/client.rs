//! The payments API over HTTP, and the calls that the watcher needs.

use super::secret::Secret;
use super::wire::{self, SupportedToken};
use super::{Answer, Backend, ConfirmResult, HistoryPage};
use crate::domain::{Memo, Signature};
use crate::http::{Exchange, Fault, Reply, Request};
use async_trait::async_trait;
use reqwest::{
    Method, StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue},
    redirect,
};
use serde_json::Value;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Semaphore, SemaphorePermit};
use url::Url;

/// Largest answer that is read, bytes.
const BODY_MAX: usize = 32 << 20;
/// History entries asked for at once; an API that gives fewer is noticed by the page it sends.
const PAGE: usize = 1000;
/// As many as the API's documentation asks for: for one that refuses more, and does not just send less.
const PAGE_SAFE: usize = 50;

/// How a request proves who sends it.
#[derive(Clone, Debug)]
pub struct Auth {
    /// Header name.
    pub header: HeaderName,
    /// Word before the key, may be empty.
    pub scheme: String,
    /// The key; without one no header is sent.
    pub key: Option<Secret>,
}

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

/// Why the API did not answer a question.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection, no answer in time, or a cut one.
    #[error("the payments API did not answer")]
    Transport(#[source] Fault),
    /// The key is wrong.
    #[error("the payments API refuses the key (HTTP status {0})")]
    KeyRefused(StatusCode),
    /// Any other status that is no answer.
    #[error("the payments API answered with HTTP status {status}{said}")]
    Status {
        /// The status.
        status: StatusCode,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
        /// The beginning of its text, for people alone; it is never read for meaning.
        said: String,
    },
    /// A backend of an embedding program's own does not answer.
    #[error("the backend did not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Not what was asked for.
    #[error("the payments API's answer is not {0}")]
    Malformed(&'static str),
}

/// The payments API.
pub struct Merchant {
    network: Arc<dyn Exchange>,
    base_url: Url,
    permits: Semaphore,
    /// History entries asked for at once.
    page: AtomicUsize,
    /// Whether unreadable history entries were logged: they come with every poll.
    told_unreadable: AtomicBool,
}

impl Merchant {
    /// A client. Opens no connection yet.
    ///
    /// # Errors
    /// When the key cannot stand in a header, or the TLS configuration of the machine is broken.
    pub fn new(settings: &Settings) -> anyhow::Result<Self> {
        let mut headers = HeaderMap::new();
        if let Some(key) = &settings.auth.key {
            let text = format!("{} {}", settings.auth.scheme, key.expose());
            let mut value = HeaderValue::from_str(text.trim())?;
            value.set_sensitive(true);
            headers.insert(settings.auth.header.clone(), value);
        }
        let network = reqwest::Client::builder()
            .default_headers(headers)
            .timeout(settings.request_timeout)
            .redirect(redirect::Policy::none())
            .tcp_nodelay(true)
            .build()?;
        Ok(Self::over(Arc::new(network), settings))
    }

    /// The same over a network of the caller's, which keeps the deadline of a request and adds the key.
    #[must_use]
    pub fn over(network: Arc<dyn Exchange>, settings: &Settings) -> Self {
        Self {
            network,
            base_url: settings.base_url.clone(),
            permits: Semaphore::new(settings.max_in_flight.max(1)),
            page: AtomicUsize::new(PAGE),
            told_unreadable: AtomicBool::new(false),
        }
    }

    async fn history_body(&self, limit: usize, offset: usize) -> Result<Value, Error> {
        let query = [("limit", limit.to_string()), ("offset", offset.to_string())];
        self.get("history", &query).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        json: Option<Vec<u8>>,
    ) -> Result<Reply, Fault> {
        let _place = self.place().await;
        let mut url = self.base_url.clone();
        url.set_path(&format!(
            "{}/{path}",
            self.base_url.path().trim_end_matches('/')
        ));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = Request {
            method,
            url,
            json,
            body_max: BODY_MAX,
        };
        self.network.exchange(request).await
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
            Err(Fault::TooLarge(_)) => return Err(Error::Malformed("of bearable size")),
            Err(fault) => return Err(Error::Transport(fault)),
        };
        match reply.status.as_u16() {
            200..=299 => serde_json::from_slice(&reply.body).map_err(|_| Error::Malformed("JSON")),
            401 | 403 => Err(Error::KeyRefused(reply.status)),
            _ => Err(Error::Status {
                status: reply.status,
                retry_after: reply.retry_after,
                said: wire::said(&reply.body),
            }),
        }
    }
}

#[async_trait]
impl Backend for Merchant {
    /// `GET /supported_tokens`.
    async fn supported_tokens(&self) -> Result<Vec<SupportedToken>, Error> {
        let body = self.get("supported_tokens", &[]).await?;
        let entries = wire::list(&body).ok_or(Error::Malformed("a list of tokens"))?;
        Ok(entries.iter().filter_map(wire::token).collect())
    }

    /// `GET /history`, one page, as large as the API gives. An entry that cannot be read is counted, logged and left out.
    async fn history(&self, offset: usize) -> Result<HistoryPage, Error> {
        let limit = self.page.load(Ordering::Relaxed);
        let body = match self.history_body(limit, offset).await {
            Err(Error::Status { status, .. })
                if limit > PAGE_SAFE && matches!(status.as_u16(), 400 | 413 | 422) =>
            {
                tracing::debug!(limit, %status, "the API refuses pages of this size");
                self.page.store(PAGE_SAFE, Ordering::Relaxed);
                self.history_body(PAGE_SAFE, offset).await?
            }
            body => body?,
        };
        let entries = wire::list(&body).ok_or(Error::Malformed("a list of payments"))?;
        let mut page = HistoryPage::default();
        for entry in entries {
            match wire::checkout(entry) {
                Some(checkout) => page.checkouts.push(checkout),
                None => page.unreadable.push(entry.to_string()),
            }
        }
        let unreadable = page.unreadable.len();
        if unreadable > 0 {
            metrics::counter!("paywatch_history_unreadable_total").increment(unreadable as u64);
            if !self.told_unreadable.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    unreadable,
                    "history entries that cannot be read are left out; told once, counted always"
                );
            }
        }
        Ok(page)
    }

    /// `PUT /crypto/confirm`. Never fails: every outcome is an answer.
    async fn confirm(&self, memo: &Memo, signature: Signature) -> ConfirmResult {
        let query = [
            ("payment_id", memo.as_str().to_owned()),
            ("transaction_hash", signature.to_string()),
        ];
        let reply = match self.ask(Method::PUT, "crypto/confirm", &query, None).await {
            Ok(reply) => reply,
            Err(fault) => return ConfirmResult::fault(&fault),
        };
        // A body, if there is one, must be JSON: a proxy's friendly page is no confirmation.
        let content = if reply.body.iter().all(u8::is_ascii_whitespace) {
            Content::Empty
        } else if serde_json::from_slice::<serde::de::IgnoredAny>(&reply.body).is_ok() {
            Content::Json
        } else {
            Content::Other
        };
        classify(reply.status, content, reply.retry_after)
    }
}

impl ConfirmResult {
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
