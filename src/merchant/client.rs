//! The calls of the payments API that the watcher needs.

use super::wire::{self, SupportedToken};
use crate::domain::{Checkout, Memo, Signature};
use crate::http::{self, BodyError};
use reqwest::{
    Method, RequestBuilder, Response, StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue},
    redirect,
};
use serde_json::Value;
use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::sync::{Semaphore, SemaphorePermit};
use url::Url;

/// Largest answer that is read, bytes.
const BODY_MAX: usize = 32 << 20;

/// A text that must never be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

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
    Transport(#[source] reqwest::Error),
    /// The key is wrong.
    #[error("the payments API refuses the key (HTTP status {0})")]
    KeyRefused(StatusCode),
    /// Any other status that is no answer.
    #[error("the payments API answered with HTTP status {status}")]
    Status {
        /// The status.
        status: StatusCode,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// Not what was asked for.
    #[error("the payments API's answer is not {0}")]
    Malformed(&'static str),
}

/// What came of a confirmation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfirmResult {
    /// What it means.
    pub answer: Answer,
    /// HTTP status, if there was one.
    pub status: Option<u16>,
    /// In a few words.
    pub reason: String,
}

/// What an answer to `PUT /crypto/confirm` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The API has it.
    Accepted,
    /// Try again, not before this if given.
    Later(Option<Duration>),
    /// The key is wrong: nothing will be accepted until it is changed.
    KeyRefused,
    /// It said no: ask the history why.
    Rejected,
}

/// A page of the history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryPage {
    /// The entries that could be read.
    pub checkouts: Vec<Checkout>,
    /// The others, as text: enough to tell whether they were seen before.
    pub unreadable: Vec<String>,
}

/// The payments API.
#[derive(Debug)]
pub struct Merchant {
    http: reqwest::Client,
    base_url: Url,
    permits: Semaphore,
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
        let http = reqwest::Client::builder()
            .default_headers(headers)
            .timeout(settings.request_timeout)
            .redirect(redirect::Policy::none())
            .tcp_nodelay(true)
            .build()?;
        Ok(Self {
            http,
            base_url: settings.base_url.clone(),
            permits: Semaphore::new(settings.max_in_flight.max(1)),
            told_unreadable: AtomicBool::new(false),
        })
    }

    /// `GET /supported_tokens`.
    ///
    /// # Errors
    /// When the API does not answer with a list.
    pub async fn supported_tokens(&self) -> Result<Vec<SupportedToken>, Error> {
        let body = self
            .get(self.request(Method::GET, "supported_tokens"))
            .await?;
        let entries = wire::list(&body).ok_or(Error::Malformed("a list of tokens"))?;
        Ok(entries.iter().filter_map(wire::token).collect())
    }

    /// `GET /history`, one page. An entry that cannot be read is counted, logged and left out.
    ///
    /// # Errors
    /// When the API does not answer with a list.
    pub async fn history(&self, limit: usize, offset: usize) -> Result<HistoryPage, Error> {
        let query = [("limit", limit), ("offset", offset)];
        let body = self
            .get(self.request(Method::GET, "history").query(&query))
            .await?;
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
    pub async fn confirm(&self, memo: &Memo, signature: Signature) -> ConfirmResult {
        let query = [
            ("payment_id", memo.as_str()),
            ("transaction_hash", &signature.to_string()),
        ];
        let _place = self.place().await;
        let response = match send(self.request(Method::PUT, "crypto/confirm").query(&query)).await {
            Ok(response) => response,
            Err(error) => return ConfirmResult::fault(None, &error),
        };
        let (status, retry_after) = (response.status(), http::retry_after(&response));
        // The body must be whole and, if there is one, JSON: a proxy's friendly page is no confirmation.
        let content = match read(response).await {
            Ok(bytes) if bytes.iter().all(u8::is_ascii_whitespace) => Content::Empty,
            Ok(bytes) if serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok() => {
                Content::Json
            }
            Err(error) if status.is_success() => return ConfirmResult::fault(Some(status), &error),
            Ok(_) | Err(_) => Content::Other,
        };
        classify(status, content, retry_after)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = self.base_url.clone();
        url.set_path(&format!(
            "{}/{path}",
            self.base_url.path().trim_end_matches('/')
        ));
        self.http.request(method, url)
    }

    /// One of the places for requests under way, kept until the answer is read.
    async fn place(&self) -> Option<SemaphorePermit<'_>> {
        // Closed only when the process ends; a missing permit is no reason to lose the request.
        self.permits.acquire().await.ok()
    }

    async fn get(&self, request: RequestBuilder) -> Result<Value, Error> {
        let _place = self.place().await;
        let response = send(request).await?;
        let status = response.status();
        match status.as_u16() {
            200..=299 => {}
            401 | 403 => return Err(Error::KeyRefused(status)),
            _ => {
                return Err(Error::Status {
                    status,
                    retry_after: http::retry_after(&response),
                });
            }
        }
        serde_json::from_slice(&read(response).await?).map_err(|_| Error::Malformed("JSON"))
    }
}

async fn send(request: RequestBuilder) -> Result<Response, Error> {
    request
        .send()
        .await
        .map_err(|error| Error::Transport(error.without_url()))
}

impl HistoryPage {
    /// How many entries there were.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.checkouts.len() + self.unreadable.len()
    }
}

impl ConfirmResult {
    fn fault(status: Option<StatusCode>, error: &Error) -> Self {
        let reason = match error {
            Error::Transport(cause) if cause.is_timeout() => "no answer in time",
            Error::Transport(cause) if cause.is_connect() => "no connection",
            Error::Transport(_) => "connection broke before the answer",
            _ => "unreadable answer",
        };
        Self {
            answer: Answer::Later(None),
            status: status.map(|status| status.as_u16()),
            reason: reason.into(),
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

async fn read(response: Response) -> Result<Vec<u8>, Error> {
    http::read_body(response, BODY_MAX)
        .await
        .map_err(|error| match error {
            BodyError::Broken(cause) => Error::Transport(cause),
            BodyError::TooLarge => Error::Malformed("of bearable size"),
        })
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

    #[test]
    fn a_secret_is_never_printed() {
        let settings = Settings {
            base_url: Url::parse("http://localhost").unwrap(),
            auth: Auth {
                header: HeaderName::from_static("authorization"),
                scheme: "Bearer".into(),
                key: Some(Secret::new("hunter2")),
            },
            request_timeout: Duration::from_secs(1),
            max_in_flight: 1,
        };
        assert!(!format!("{settings:?}").contains("hunter2"));
        assert!(!format!("{:?}", Merchant::new(&settings).unwrap()).contains("hunter2"));
    }
}
