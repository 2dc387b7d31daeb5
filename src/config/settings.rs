//! The configuration for people: every key, its effective value, and where that came from. Keys and passwords stay hidden.

use super::raw::{Raw, Written};
use crate::solana::endpoint_label;
use anyhow::Context;
use serde::Serialize;
use std::path::Path;
use toml::{Table, Value};
use url::Url;

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File,
    /// An environment variable.
    Environment,
}

impl Origin {
    /// For people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Environment => "environment",
        }
    }
}

/// A key with its effective value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setting {
    /// The section it stands in.
    pub section: String,
    /// Its name there.
    pub key: String,
    /// Its value; what may be secret in it is left out.
    pub value: Value,
    /// Where that came from.
    pub origin: Origin,
}

/// Every key of the configuration, in the order of the sections. Values need not be valid; what they are is not known yet.
///
/// # Errors
/// When the file cannot be read, a key is unknown, or a value is of another type.
pub fn settings(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> anyhow::Result<Vec<Setting>> {
    let written = Written::load(file, environment)?;
    let mut settings = Vec::new();
    for (section, values) in tables(&written.raw)? {
        for (key, value) in values {
            let name = format!("{section}.{key}");
            let origin = if written.in_environment.contains(&name) {
                Origin::Environment
            } else if written.in_file.contains(&name) {
                Origin::File
            } else {
                Origin::Default
            };
            settings.push(Setting {
                value: without_secrets(&name, value),
                section: section.clone(),
                key,
                origin,
            });
        }
    }
    Ok(settings)
}

fn tables(raw: &Raw) -> anyhow::Result<Vec<(String, Table)>> {
    let all = Table::try_from(raw).context("write the configuration")?;
    let table = |(section, value): (String, Value)| match value {
        Value::Table(values) => Some((section, values)),
        _ => None,
    };
    Ok(all.into_iter().filter_map(table).collect())
}

/// Whether the file sets a key of the API, or an address that may hold one.
pub(super) fn file_holds_a_secret(written: &Written) -> bool {
    let raw = &written.raw;
    let is_in_file = |name: &str| written.in_file.contains(name);
    let has_credentials = |url: &String| Url::parse(url).is_ok_and(|url| has_credentials(&url));
    let has_key = |url: &String| Url::parse(url).is_ok_and(|url| has_credentials_or_path(&url));
    is_in_file("merchant.api_key") && !raw.merchant.api_key.is_empty()
        || is_in_file("merchant.base_url") && has_credentials(&raw.merchant.base_url)
        || is_in_file("notify.url") && has_key(&raw.notify.url)
        || is_in_file("solana.rpc_urls") && raw.solana.rpc_urls.iter().any(has_key)
        || is_in_file("solana.ws_urls") && raw.solana.ws_urls.iter().any(has_key)
}

fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some() || url.query().is_some()
}

/// Providers put keys into paths, too.
fn has_credentials_or_path(url: &Url) -> bool {
    has_credentials(url) || url.path().len() > 1
}

fn without_secrets(name: &str, value: Value) -> Value {
    match (name, value) {
        ("merchant.api_key", Value::String(key)) if !key.is_empty() => "(hidden)".into(),
        ("merchant.base_url", Value::String(url)) => shown(&url, true).into(),
        ("notify.url", Value::String(url)) => shown(&url, false).into(),
        ("solana.rpc_urls" | "solana.ws_urls", Value::Array(urls)) => {
            let shown = |url: Value| Value::from(shown(url.as_str().unwrap_or_default(), false));
            Value::Array(urls.into_iter().map(shown).collect())
        }
        (_, value) => value,
    }
}

/// Of an address what may be seen: nodes' paths hold keys, the API's does not.
fn shown(url: &str, with_path: bool) -> String {
    match Url::parse(url) {
        Ok(url) if url.has_host() => {
            let path = if with_path { url.path() } else { "" };
            let hidden = !with_path && url.path().len() > 1 || url.query().is_some();
            format!(
                "{}{path}{}",
                endpoint_label(&url),
                if hidden { "/…" } else { "" }
            )
        }
        _ if url.is_empty() => String::new(),
        _ => "(not an address)".into(),
    }
}
