//! HTTP as both adapters need it: one exchange, its whole body within bounds, and when to ask again.
//!
//! [`Exchange`] is the only seam of the program where something else may stand in for the network: the simulation does, so
//! that a whole run of the daemon can be repeated to the last event.

use crate::clock;
use crate::domain::Timestamp;
use async_trait::async_trait;
use reqwest::{
    Method, StatusCode,
    header::{HeaderMap, RETRY_AFTER},
};
use std::time::{Duration, UNIX_EPOCH};
use url::Url;

/// A question.
#[derive(Clone, Debug)]
pub struct Request {
    /// GET, POST or PUT.
    pub method: Method,
    /// Where to.
    pub url: Url,
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
        let mut question = self.request(request.method, request.url);
        if let Some(json) = request.json {
            question = question
                .header(reqwest::header::CONTENT_TYPE, "application/json")
                .body(json);
        }
        let mut response = question.send().await.map_err(Fault::of)?;
        let status = response.status();
        let retry_after = retry_after(response.headers());
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
            body,
        })
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
