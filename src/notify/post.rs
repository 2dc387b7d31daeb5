//! One post of a notice. Standard Webhooks (www.standardwebhooks.com): an id that stays the same, the time of this try, and an
//! HMAC-SHA256 over both and the body.

use super::Settings;
use crate::domain::Timestamp;
use crate::http::retry_after;
use crate::merchant::Secret;
use crate::store::DueNotice;
use base64::{Engine, prelude::BASE64_STANDARD as BASE64};
use reqwest::{StatusCode, header::CONTENT_TYPE};
use ring::hmac::{self, HMAC_SHA256};
use std::{fmt, time::Duration};
use url::Url;

/// How a notice looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// An object with type, timestamp and data.
    Standard,
    /// `{"text": …}`.
    Slack,
}

/// Posts notices to one address.
pub(super) struct Poster {
    http: reqwest::Client,
    url: Url,
    keys: Vec<hmac::Key>,
}

/// Why a notice was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotTaken {
    /// The address takes notices no more.
    Gone,
    /// It may take this one another time.
    Failed {
        /// For the log.
        why: String,
        /// When to come back, if it says so.
        retry_after: Option<Duration>,
    },
}

impl NotTaken {
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Gone => None,
            Self::Failed { retry_after, .. } => *retry_after,
        }
    }
}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("HTTP status 410 Gone"),
            Self::Failed { why, .. } => f.write_str(why),
        }
    }
}

impl Poster {
    const DEADLINE: Duration = Duration::from_secs(10);

    pub(super) fn new(settings: &Settings) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .timeout(Self::DEADLINE)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let keys = settings.secrets.iter().filter_map(signing_key);
        Ok(Self {
            http,
            url: settings.url.clone(),
            keys: keys.map(|key| hmac::Key::new(HMAC_SHA256, &key)).collect(),
        })
    }

    pub(super) async fn post(&self, notice: &DueNotice, now: Timestamp) -> Result<(), NotTaken> {
        let timestamp = now.unix_seconds().to_string();
        let mut request = self
            .http
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &notice.key)
            .header("webhook-timestamp", &timestamp);
        if !self.keys.is_empty() {
            let signed = format!("{}.{timestamp}.{}", notice.key, notice.body);
            let sign = |key| BASE64.encode(hmac::sign(key, signed.as_bytes()));
            let tags: Vec<_> = self
                .keys
                .iter()
                .map(|key| format!("v1,{}", sign(key)))
                .collect();
            request = request.header("webhook-signature", tags.join(" "));
        }
        match request.body(notice.body.clone()).send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) if answer.status() == StatusCode::GONE => Err(NotTaken::Gone),
            Ok(answer) => Err(NotTaken::Failed {
                why: said(answer.status()),
                retry_after: retry_after(answer.headers()),
            }),
            Err(error) => Err(NotTaken::Failed {
                why: format!("{:#}", anyhow::Error::new(error.without_url())),
                retry_after: None,
            }),
        }
    }
}

fn said(status: StatusCode) -> String {
    format!("HTTP status {status}")
}

/// A signing secret as Standard Webhooks writes it: base64 of 24 to 64 bytes, after `whsec_` or without.
#[must_use]
pub fn signing_key(secret: &Secret) -> Option<Vec<u8>> {
    let text = secret.expose();
    let key = BASE64
        .decode(text.strip_prefix("whsec_").unwrap_or(text))
        .ok()?;
    (24..=64).contains(&key.len()).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_base64_of_some_length_with_its_prefix_or_without() {
        let of = |text: &str| signing_key(&Secret::new(text)).map(|key| key.len());
        assert_eq!(of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), Some(24));
        assert_eq!(of("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), Some(24));
        assert_eq!(of("whsec_MfKQ9r8="), None);
        assert_eq!(of("not base64 at all, is it"), None);
    }
}
