//! Configuration: a TOML file, then the environment (`PAYWATCH__SECTION__KEY`), all of it checked before anything opens.
//!
//! `Raw` is what was written, `Config` is what was meant: every value of the latter is valid. All faults are reported at
//! once, each with the key, what was found and what is allowed.

mod check;
mod raw;
mod settings;
mod template;

use crate::domain::{Mint, Policy, Wallet};
use crate::merchant::Secret;
use crate::solana::{Limits, endpoint_label};
use check::Check;
use raw::{Raw, Written};
pub use raw::{is_in_environment, list};
pub use settings::{Origin, Setting, settings};
use std::{
    borrow::Cow,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
pub use template::filled_in;
use url::Url;

/// Everything that can be set, valid.
#[derive(Clone, Debug)]
pub struct Config {
    /// The payments API.
    pub merchant: Merchant,
    /// The Solana nodes.
    pub solana: Solana,
    /// What is watched.
    pub watch: Watch,
    /// What is allowed, `solana.confirm_at` included.
    pub policy: Policy,
    /// `sqlite:PATH`.
    pub store_url: String,
    /// What is listened to by operators.
    pub ops: Ops,
    /// Who is told what happens; `None` = nobody.
    pub notify: Option<crate::notify::Settings>,
    /// What is logged.
    pub log: Log,
    /// The files that hold secrets, each with its key; the configuration file, too, if it holds one.
    pub secret_files: Vec<(&'static str, PathBuf)>,
}

/// The payments API.
#[derive(Clone, Debug)]
pub struct Merchant {
    /// How it is reached.
    pub settings: crate::merchant::Settings,
    /// How often the history is read.
    pub poll_every: Duration,
    /// How long a confirmation is tried.
    pub give_up_after: Duration,
    /// Time for the history to show a credit after a confirmation was accepted.
    pub credit_within: Duration,
}

/// The Solana nodes.
#[derive(Clone)]
pub struct Solana {
    /// HTTP endpoints, the first preferred.
    pub rpc_urls: Vec<Url>,
    /// WebSocket endpoints, all listened to.
    pub ws_urls: Vec<Url>,
    /// So many nodes of different hosts must tell the same of a payment above `policy.finalized_above`.
    pub quorum: usize,
    /// How often history is swept.
    pub sweep_every: Duration,
    /// What nodes may be burdened with.
    pub limits: Limits,
}

/// Endpoints hold keys: they print as scheme and host.
impl fmt::Debug for Solana {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels = |urls: &[Url]| urls.iter().map(endpoint_label).collect::<Vec<_>>();
        f.debug_struct("Solana")
            .field("rpc_urls", &labels(&self.rpc_urls))
            .field("ws_urls", &labels(&self.ws_urls))
            .field("quorum", &self.quorum)
            .field("sweep_every", &self.sweep_every)
            .field("limits", &self.limits)
            .finish()
    }
}

/// What is watched.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Whose transactions are read.
    pub scope: Scope,
    /// How far back the first sweep goes.
    pub look_back: Duration,
    /// Token accounts that are swept each time and listened to; further ones are swept in turn.
    pub max_accounts: usize,
    /// Tokens; empty = what the API lists.
    pub tokens: Vec<Token>,
}

/// Whose transactions are read, of those that name a watched token account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All.
    All,
    /// All but those whose memos, as the node shows them, name no known checkout: the wallet is shared with others.
    Own,
}

/// A token to be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its name, for people.
    pub symbol: String,
    /// Its mint.
    pub mint: Mint,
    /// The wallet to be paid.
    pub recipient: Wallet,
}

/// What is listened to by operators.
#[derive(Clone, Debug)]
pub struct Ops {
    /// Address of health, metrics and pages; `None` = off.
    pub listen: Option<SocketAddr>,
    /// Needed for any action over HTTP.
    pub token: Option<Secret>,
    /// Where people reach the pages, for links to them.
    pub public_url: Option<Url>,
    /// Whether buyers are shown a page for their checkout.
    pub pay_pages: bool,
    /// Where pages link to for a transaction, with `{signature}` in it.
    pub explorer: Option<String>,
}

/// What is logged.
#[derive(Clone, Debug)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// `tracing` filter.
    pub level: String,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why a configuration is not accepted.
#[derive(Debug)]
pub struct Faults(Vec<Fault>);

#[derive(Debug)]
struct Fault {
    key: &'static str,
    found: String,
    allowed: Cow<'static, str>,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration is not valid")?;
        for fault in &self.0 {
            write!(
                f,
                "\n  {}: found {}, allowed is {}",
                fault.key, fault.found, fault.allowed
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

impl Config {
    /// Reads file (if any) and environment, and checks everything.
    ///
    /// # Errors
    /// When the file cannot be read, a key is unknown, or a value is not allowed; says which, what was found and what is allowed.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> anyhow::Result<Self> {
        let written = Written::load(file, environment)?;
        let mut config = Self::check(&written.raw)?;
        if let Some(file) = file.filter(|_| settings::file_holds_a_secret(&written)) {
            config
                .secret_files
                .push(("the configuration file", file.to_owned()));
        }
        Ok(config)
    }

    /// Checks everything of a text like a configuration file's; no environment counts.
    ///
    /// # Errors
    /// When a key is unknown, or a value is not allowed; says which, what was found and what is allowed.
    pub fn from_toml(text: &str) -> anyhow::Result<Self> {
        let written = Written::read(Some(text), "the settings", [])?;
        Ok(Self::check(&written.raw)?)
    }

    /// The file that `store.url` names; `None` for a database in memory.
    #[must_use]
    pub fn database_file(&self) -> Option<PathBuf> {
        let path = self.store_url.strip_prefix("sqlite:")?;
        let path = path.strip_prefix("//").unwrap_or(path);
        let path = path.split('?').next().unwrap_or(path);
        (path != ":memory:").then(|| path.into())
    }

    fn check(raw: &Raw) -> Result<Self, Faults> {
        let mut check = Check(Vec::new());
        let config = check.config(raw);
        match config {
            Some(config) if check.0.is_empty() => Ok(config),
            _ => Err(Faults(check.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(pairs: &[(&str, &str)]) -> anyhow::Result<Config> {
        let minimal = [
            ("PAYWATCH__MERCHANT__BASE_URL", "https://api.example.com/v1"),
            (
                "PAYWATCH__SOLANA__RPC_URLS",
                "https://a.example/?key=hunter2,https://b.example",
            ),
        ];
        let all = minimal
            .iter()
            .chain(pairs)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(None, all)
    }

    #[test]
    fn the_environment_alone_is_enough() {
        let config = load(&[
            ("PAYWATCH__MERCHANT__API_KEY", "0123"),
            ("PAYWATCH__SOLANA__MAX_RPS", "0"),
        ])
        .unwrap();
        let key = &config.merchant.settings.auth.key;
        assert!(key.as_ref().is_some_and(|key| key.is("0123")));
        assert_eq!(config.solana.rpc_urls.len(), 2);
        assert!(
            !format!("{config:?}").contains("hunter2"),
            "keys hide in addresses"
        );
        assert_eq!(config.solana.limits.max_rps, 0);
        assert_eq!(config.merchant.give_up_after, Duration::from_hours(72));
    }

    #[test]
    fn every_fault_is_named_with_what_was_found_and_what_is_allowed() {
        let error = load(&[
            ("PAYWATCH__SOLANA__SWEEP_EVERY", "soon"),
            ("PAYWATCH__POLICY__AMOUNT", "roughly"),
            (
                "PAYWATCH__SOLANA__WS_URLS",
                "https://c.example/?key=hunter2",
            ),
            ("PAYWATCH__POLICY__FINALIZED_ABOVE__USDC", "1,5"),
        ])
        .unwrap_err()
        .to_string();
        for part in [
            "solana.sweep_every: found \"soon\", allowed is a duration",
            "policy.amount: found \"roughly\", allowed is \"exact\" or \"at_least\"",
            "solana.ws_urls: found \"https:…\", allowed is an address ws://… or wss://…",
            "policy.finalized_above: found \"1,5\"",
        ] {
            assert!(error.contains(part), "{part} in {error}");
        }
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn unknown_keys_are_errors() {
        let error = load(&[("PAYWATCH__SOLANA__RPC_URL", "https://a.example")]).unwrap_err();
        assert!(format!("{error:#}").contains("rpc_url"), "{error:#}");
        let error = load(&[("PAYWATCH__SOLANA__MAX_RPS", "many")]).unwrap_err();
        assert!(format!("{error:#}").contains("max_rps"), "{error:#}");
    }

    #[test]
    fn a_quorum_needs_as_many_hosts_and_an_amount_from_which_it_counts() {
        let above = ("PAYWATCH__POLICY__FINALIZED_ABOVE__USDC", "1000");
        let quorum = |count| ("PAYWATCH__SOLANA__QUORUM", count);
        assert_eq!(load(&[quorum("2"), above]).unwrap().solana.quorum, 2);
        for wrong in [&[quorum("3"), above][..], &[quorum("0")], &[quorum("2")]] {
            let error = load(wrong).unwrap_err().to_string();
            assert!(error.contains("solana.quorum"), "{error}");
        }
        let same_host = (
            "PAYWATCH__SOLANA__RPC_URLS",
            "https://a.example/1,https://a.example/2",
        );
        assert!(load(&[quorum("2"), above, same_host]).is_err());
    }

    #[test]
    fn what_listens_to_others_needs_a_token() {
        for open in ["0.0.0.0:9464", "192.0.2.7:9464", "[::]:9464"] {
            let error = load(&[("PAYWATCH__OPS__LISTEN", open)])
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("ops.listen: found") && error.contains("ops.token_file"),
                "{error}"
            );
            let file = ("PAYWATCH__OPS__TOKEN_FILE", "Cargo.toml");
            assert!(load(&[("PAYWATCH__OPS__LISTEN", open), file]).is_ok());
        }
        for own in ["127.0.0.1:9464", "[::1]:9464", ""] {
            assert!(load(&[("PAYWATCH__OPS__LISTEN", own)]).is_ok());
        }
    }

    #[test]
    fn tokens_can_be_given_in_the_environment() {
        let mint = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";
        let config =
            load(&[("PAYWATCH__WATCH__TOKENS", &format!("USDC:{mint}:{mint}:6"))]).unwrap();
        assert_eq!(config.watch.tokens[0].symbol, "USDC");
        assert!(
            load(&[("PAYWATCH__WATCH__TOKENS", "USDC:x:y")])
                .unwrap_err()
                .to_string()
                .contains("watch.tokens.mint")
        );
    }
}
