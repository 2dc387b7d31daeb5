//! The configuration as written: every key with its default.

use anyhow::Context;
use serde::{Deserialize, Deserializer, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($key:ident: $type:ty = $default:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
        #[serde(default, deny_unknown_fields)]
        pub(super) struct $name { $(pub(super) $key: $type,)* }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)* }
            }
        }
    };
}

section! {
    /// A whole configuration, not checked yet.
    Raw {
        merchant: Merchant = Merchant::default(),
        solana: Solana = Solana::default(),
        watch: Watch = Watch::default(),
        policy: Policy = Policy::default(),
        store: Store = Store::default(),
        ops: Ops = Ops::default(),
        notify: Notify = Notify::default(),
        log: Log = Log::default(),
    }
}
section! {
    /// `[merchant]`
    Merchant {
        base_url: String = String::new(),
        api_key: String = String::new(),
        api_key_file: String = String::new(),
        auth_header: String = "Authorization".into(),
        auth_scheme: String = "Bearer".into(),
        poll_every: String = "15s".into(),
        request_timeout: String = "10s".into(),
        max_in_flight: usize = 8,
        give_up_after: String = "72h".into(),
        credit_within: String = "10m".into(),
    }
}
section! {
    /// `[solana]`
    Solana {
        rpc_urls: Vec<String> = Vec::new(),
        ws_urls: Vec<String> = Vec::new(),
        confirm_at: String = "confirmed".into(),
        quorum: usize = 1,
        sweep_every: String = "15s".into(),
        request_timeout: String = "10s".into(),
        max_rps: u32 = 40,
        max_in_flight: usize = 16,
    }
}
section! {
    /// `[watch]`
    Watch {
        scope: String = "all".into(),
        look_back: String = "24h".into(),
        max_accounts: usize = 32,
        tokens: Vec<Token> = Vec::new(),
    }
}
section! {
    /// `[policy]`
    Policy {
        amount: String = "exact".into(),
        unknown_memo: String = "hold".into(),
        finalized_above: BTreeMap<String, String> = BTreeMap::new(),
        dust_below: BTreeMap<String, String> = BTreeMap::new(),
    }
}
section! {
    /// `[store]`
    Store {
        url: String = "sqlite:paywatch.db".into(),
    }
}
section! {
    /// `[ops]`
    Ops {
        listen: String = "127.0.0.1:9464".into(),
        token_file: String = String::new(),
        public_url: String = String::new(),
        pay_pages: bool = false,
        explorer: String = "https://explorer.solana.com/tx/{signature}".into(),
    }
}
section! {
    /// `[notify]`
    Notify {
        url: String = String::new(),
        format: String = "standard".into(),
        secret_file: String = String::new(),
        events: Vec<String> = Vec::new(),
        held_after: String = "1m".into(),
        health_after: String = "30s".into(),
    }
}
section! {
    /// `[log]`
    Log {
        format: String = "text".into(),
        level: String = "info".into(),
    }
}

/// An entry of `watch.tokens`: a table, or `SYMBOL:MINT:RECIPIENT[:DECIMALS]` in the environment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Token {
    pub(super) symbol: String,
    pub(super) mint: String,
    pub(super) recipient: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) decimals: Option<u8>,
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            symbol: String,
            mint: String,
            recipient: String,
            decimals: Option<u8>,
        }
        #[derive(Deserialize)]
        #[serde(
            untagged,
            expecting = "expected { symbol, mint, recipient, decimals } or SYMBOL:MINT:RECIPIENT[:DECIMALS]"
        )]
        enum Form {
            Table(Table),
            Text(String),
        }
        let parts: Vec<String> = match Form::deserialize(deserializer)? {
            Form::Table(Table {
                symbol,
                mint,
                recipient,
                decimals,
            }) => {
                return Ok(Self {
                    symbol,
                    mint,
                    recipient,
                    decimals,
                });
            }
            Form::Text(text) => text.split(':').map(|part| part.trim().to_owned()).collect(),
        };
        let (symbol, mint, recipient, decimals) = match parts.as_slice() {
            [symbol, mint, recipient] => (symbol, mint, recipient, None),
            [symbol, mint, recipient, decimals] => {
                let places = decimals.parse().map_err(|_| {
                    serde::de::Error::custom("decimals of a token are a small number")
                })?;
                (symbol, mint, recipient, Some(places))
            }
            _ => {
                return Err(serde::de::Error::custom(
                    "a token is SYMBOL:MINT:RECIPIENT[:DECIMALS]",
                ));
            }
        };
        Ok(Self {
            symbol: symbol.clone(),
            mint: mint.clone(),
            recipient: recipient.clone(),
            decimals,
        })
    }
}

/// Prefix of every environment variable that is read.
const PREFIX: &str = "PAYWATCH__";
/// Keys whose value is a list, comma-separated in the environment.
const LISTS: [&str; 4] = [
    "solana.rpc_urls",
    "solana.ws_urls",
    "watch.tokens",
    "notify.events",
];

/// A configuration as written, and where its keys were.
pub(super) struct Written {
    pub(super) raw: Raw,
    /// Keys (`section.key`) that the file sets.
    pub(super) in_file: BTreeSet<String>,
    /// Keys that the environment sets.
    pub(super) in_environment: BTreeSet<String>,
}

impl Written {
    /// Reads a file, if there is one, and then the environment over it.
    pub(super) fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> anyhow::Result<Self> {
        let Some(file) = file else {
            return Self::read(None, "the environment", environment);
        };
        let text = std::fs::read_to_string(file).with_context(|| {
            format!(
                "read the configuration file {} (`paywatch init` writes one)",
                file.display()
            )
        })?;
        let place = format!("{} and the environment", file.display());
        Self::read(Some(&text), &place, environment)
    }

    /// Reads a file's text, if there is one, and then the environment over it.
    pub(super) fn read(
        text: Option<&str>,
        place: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> anyhow::Result<Self> {
        let mut builder = ::config::Config::builder();
        let mut in_file = BTreeSet::new();
        if let Some(text) = text {
            // What is no TOML is complained of below.
            if let Ok(sections) = text.parse::<toml::Table>() {
                in_file = keys(&sections);
            }
            builder =
                builder.add_source(::config::File::from_str(text, ::config::FileFormat::Toml));
        }
        let mut in_environment = BTreeSet::new();
        // Values stay text until the key's type is known: a key of digits must not become a number on its way.
        for (name, value) in environment {
            let Some(path) = name.strip_prefix(PREFIX) else {
                continue;
            };
            // A map is set entry by entry, `policy.finalized_above.USDC`: the entry may be an address, whose case counts.
            let parts: Vec<_> = path.splitn(3, "__").collect();
            let place = |parts: &[&str]| parts.join(".").to_ascii_lowercase();
            let key = match parts.as_slice() {
                [section, key, entry] => format!("{}.{entry}", place(&[section, key])),
                other => place(other),
            };
            in_environment.insert(place(parts.get(..2).unwrap_or(&parts)));
            builder = if LISTS.contains(&key.as_str()) {
                builder.set_override(&key, list(&value))
            } else {
                builder.set_override(&key, value)
            }
            .with_context(|| format!("environment variable {name}"))?;
        }
        let loaded = builder
            .build()
            .with_context(|| format!("read the configuration from {place}"))?;
        let raw = loaded
            .try_deserialize()
            .with_context(|| format!("read the configuration from {place}"))?;
        Ok(Self {
            raw,
            in_file,
            in_environment,
        })
    }
}

/// Whether any key is set in this environment.
#[must_use]
pub fn is_in_environment(environment: impl IntoIterator<Item = (String, String)>) -> bool {
    let mut environment = environment.into_iter();
    environment.any(|(name, _)| name.starts_with(PREFIX))
}

/// A list as one writes it into a variable: comma-separated.
#[must_use]
pub fn list(text: &str) -> Vec<String> {
    let items = text.split(',').map(str::trim);
    items
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect()
}

fn keys(sections: &toml::Table) -> BTreeSet<String> {
    let tables = sections.iter().filter_map(|(section, value)| {
        let table = value.as_table()?;
        Some(table.keys().map(move |key| format!("{section}.{key}")))
    });
    tables.flatten().collect()
}
