//! HTTP as both adapters need it: one exchange, its whole body within bounds, and when to ask again.
//!
//! [`Exchange`] is the only seam of the program where something else may stand in for the network: the simulation does, so
//! that a whole run of the daemon can be repeated to the last event.

use crate::clock;
use crate::domain::Timestamp;
use async_trait::async_trait;
use reqwest::{
    Method, StatusCode,
    header::{
        CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
    },
};
use std::time::{Duration, UNIX_EPOCH};
use url::Url;

/// Sent with every request: some firewalls refuse requests without it.
const USER_AGENT: &str = concat!("paywatch/", env!("CARGO_PKG_VERSION"));

/// A connection over HTTP/2 carries all requests: one that is dead must be noticed before the next request needs it, or each would wait
/// for its deadline.
const PING_EVERY: Duration = Duration::from_secs(10);
/// How long the answer to a ping may take.
const PONG_WITHIN: Duration = Duration::from_secs(5);

/// What builds a client for requests with this deadline.
pub fn client(deadline: Duration) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .timeout(deadline)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(PING_EVERY)
        .http2_keep_alive_timeout(PONG_WITHIN)
        .http2_keep_alive_while_idle(true)
}

/// A question.
#[derive(Clone, Debug)]
pub struct Request {
    /// GET, POST or PUT.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// The header that proves who sends it, if any.
    pub auth: Option<(HeaderName, HeaderValue)>,
    /// JSON to send, if any.
    pub json: Option<Vec<u8>>,
    /// Largest answer that is read, bytes.
    pub body_max: usize,
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: StatusCode,
    /// When it wants to be asked again.
    pub retry_after: Option<Duration>,
    /// Scheme and host that a redirect leads to; no more of it, where a key may hide.
    pub redirect: Option<String>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// Why there is no answer. Its text never holds the address, where a key may hide.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Nobody is there.
    #[error("no connection")]
    NoConnection(#[source] Option<reqwest::Error>),
    /// Too slow.
    #[error("no answer in time")]
    NotInTime(#[source] Option<reqwest::Error>),
    /// It began, and broke off.
    #[error("the connection broke before the answer")]
    Broken(#[source] Option<reqwest::Error>),
    /// The body of this answer is larger than anything that is expected.
    #[error("an answer of unbearable size")]
    TooLarge(StatusCode),
    /// The body of this answer broke off.
    #[error("the connection broke in the middle of the answer")]
    Cut(StatusCode, #[source] Option<reqwest::Error>),
}

impl Fault {
    fn of(error: reqwest::Error) -> Self {
        let error = error.without_url();
        if error.is_timeout() {
            Self::NotInTime(Some(error))
        } else if error.is_connect() {
            Self::NoConnection(Some(error))
        } else {
            Self::Broken(Some(error))
        }
    }

    /// The status of an answer whose body could not be read.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::TooLarge(status) | Self::Cut(status, _) => Some(*status),
            _ => None,
        }
    }
}

/// Asks and waits for the answer.
#[async_trait]
pub trait Exchange: Send + Sync {
    /// One question and its answer.
    ///
    /// # Errors
    /// When there is no answer, or its body cannot be read; any HTTP status is an answer.
    async fn exchange(&self, request: Request) -> Result<Reply, Fault>;
}

/// The network.
#[async_trait]
impl Exchange for reqwest::Client {
    async fn exchange(&self, request: Request) -> Result<Reply, Fault> {
        let asked = request.url.clone();
        let has_content = request.method != Method::GET;
        let mut question = self.request(request.method, request.url);
        if let Some((name, value)) = request.auth {
            question = question.header(name, value);
        }
        question = match request.json {
            Some(json) => question.header(CONTENT_TYPE, "application/json").body(json),
            // Some servers refuse a request that may have a body and does not tell its length.
            None if has_content => question.header(CONTENT_LENGTH, 0),
            None => question,
        };
        let mut response = question.send().await.map_err(Fault::of)?;
        let status = response.status();
        let retry_after = retry_after(response.headers());
        let redirect = status
            .is_redirection()
            .then(|| redirect_target(&asked, response.headers()));
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len().saturating_add(chunk.len()) <= request.body_max => {
                    body.extend_from_slice(&chunk);
                }
                Ok(None) => break,
                // What a refusal says is not read for meaning: its status is answer enough.
                _ if !status.is_success() => break,
                Ok(Some(_)) => return Err(Fault::TooLarge(status)),
                Err(error) => return Err(Fault::Cut(status, Some(error.without_url()))),
            }
        }
        Ok(Reply {
            status,
            retry_after,
            redirect,
            body,
        })
    }
}

/// Scheme, host and port of the address that an answer redirects to.
fn redirect_target(asked: &Url, headers: &HeaderMap) -> String {
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let target = location.and_then(|location| asked.join(location).ok());
    match target {
        Some(url) if url.has_host() => url.origin().ascii_serialization(),
        _ => "an address that it does not tell".into(),
    }
}

/// When an answer wants to be asked again.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    parse_retry_after(text.trim(), clock::now())
}

/// `Retry-After`, in seconds or as a date.
fn parse_retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(text)
        .ok()?
        .duration_since(UNIX_EPOCH)
        .ok()?;
    Some(Timestamp(0).plus(at).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_shows_scheme_and_host_of_its_target_alone() {
        let asked = Url::parse("https://api.example.com/v1/history").unwrap();
        let target = |location: &str| {
            let headers = [(LOCATION, HeaderValue::from_str(location).unwrap())];
            redirect_target(&asked, &headers.into_iter().collect())
        };
        let elsewhere = "https://user:hunter2@www.example.com/v1?key=hunter2";
        assert_eq!(target(elsewhere), "https://www.example.com");
        assert_eq!(target("http://a.example:8080/x"), "http://a.example:8080");
        assert_eq!(target("/login"), "https://api.example.com");
        assert_eq!(
            target("mailto:a@example.com"),
            "an address that it does not tell"
        );
        let none = HeaderMap::new();
        assert_eq!(
            redirect_target(&asked, &none),
            "an address that it does not tell"
        );
    }

    #[test]
    fn retry_after_comes_in_seconds_or_as_a_date() {
        let now = Timestamp(1_445_412_000_000);
        assert_eq!(parse_retry_after("120", now), Some(Duration::from_mins(2)));
        assert_eq!(
            parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT", now),
            Some(Duration::from_mins(8))
        );
        assert_eq!(
            parse_retry_after("Tue, 21 Oct 2014 07:28:00 GMT", now),
            Some(Duration::ZERO)
        );
        assert_eq!(parse_retry_after("soon", now), None);
    }
}
