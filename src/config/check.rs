//! From what was written to what was meant: every value checked, every fault collected.

mod notify;
mod ops;
mod policy;

use super::{Config, Fault, Log, LogFormat, Merchant, Scope, Solana, Token, Watch, raw};
use crate::domain::Decimals;
use crate::merchant::{Auth, Secret};
use crate::solana::{Limits, hosts};
use std::{borrow::Cow, path::PathBuf, time::Duration};
use url::Url;

/// Collects faults instead of stopping at the first. A method returns `None` after it has noted why.
pub(super) struct Check(pub(super) Vec<Fault>);

const DURATION: &str = "a duration above zero, like \"15s\" or \"24h\"";

impl Check {
    pub(super) fn config(&mut self, raw: &raw::Raw) -> Option<Config> {
        let merchant = self.merchant(&raw.merchant);
        let solana = self.solana(&raw.solana, raw.policy.finalized_above.is_empty());
        let watch = self.watch(&raw.watch);
        let policy = self.policy(&raw.policy, &raw.solana.confirm_at);
        if raw.watch.scope == "own" && raw.policy.unknown_memo == "confirm" {
            let allowed = "\"all\", where policy.unknown_memo is \"confirm\"";
            self.fault("watch.scope", &raw.watch.scope, allowed);
        }
        let store = raw.store.url.starts_with("sqlite:") && raw.store.url.len() > "sqlite:".len();
        let store = self.some(
            "store.url",
            &raw.store.url,
            "sqlite:PATH",
            store.then(|| raw.store.url.clone()),
        );
        let ops = self.ops(&raw.ops);
        let notify = self.notify(&raw.notify);
        let log = self.log(&raw.log);
        Some(Config {
            merchant: merchant?,
            solana: solana?,
            watch: watch?,
            policy: policy?,
            store_url: store?,
            ops: ops?,
            notify,
            log: log?,
            secret_files: secret_files(raw),
        })
    }

    fn merchant(&mut self, raw: &raw::Merchant) -> Option<Merchant> {
        let base_url = self.url("merchant.base_url", &raw.base_url, &["http", "https"]);
        let key = self.secret(
            ("merchant.api_key", &raw.api_key),
            ("merchant.api_key_file", &raw.api_key_file),
        );
        let is_from_file = raw.api_key.is_empty() && !raw.api_key_file.is_empty();
        let key_file = is_from_file.then(|| raw.api_key_file.clone().into());
        let usable = key
            .as_ref()
            .is_none_or(|key| key.expose().bytes().all(|byte| byte.is_ascii_graphic()));
        let key = self.some(
            "merchant.api_key",
            "a key (not shown)",
            "visible ASCII without spaces",
            usable.then_some(key),
        );
        let header = raw.auth_header.parse().ok();
        let header = self.some(
            "merchant.auth_header",
            &raw.auth_header,
            "an HTTP header name",
            header,
        );
        let scheme = raw
            .auth_scheme
            .bytes()
            .all(|byte| byte.is_ascii_graphic())
            .then(|| raw.auth_scheme.clone());
        let scheme = self.some(
            "merchant.auth_scheme",
            &raw.auth_scheme,
            "one word or nothing",
            scheme,
        );
        let poll_every = self.duration("merchant.poll_every", &raw.poll_every);
        let request_timeout = self.duration("merchant.request_timeout", &raw.request_timeout);
        let max_in_flight = self.at_least_one("merchant.max_in_flight", raw.max_in_flight);
        let give_up_after = self.duration("merchant.give_up_after", &raw.give_up_after);
        let credit_within = self.duration("merchant.credit_within", &raw.credit_within);
        Some(Merchant {
            settings: crate::merchant::Settings {
                base_url: base_url?,
                auth: Auth {
                    header: header?,
                    scheme: scheme?,
                    key: key?,
                    key_file,
                },
                request_timeout: request_timeout?,
                max_in_flight: max_in_flight?,
            },
            poll_every: poll_every?,
            give_up_after: give_up_after?,
            credit_within: credit_within?,
        })
    }

    fn solana(&mut self, raw: &raw::Solana, nothing_is_large: bool) -> Option<Solana> {
        let rpc_urls = self.urls("solana.rpc_urls", &raw.rpc_urls, &["http", "https"]);
        let hosts = rpc_urls.as_deref().map_or(1, |urls| hosts(urls).len());
        let is_possible = match raw.quorum {
            0 => false,
            1 => true,
            quorum => quorum <= hosts && !nothing_is_large,
        };
        let quorum = self.some(
            "solana.quorum",
            &raw.quorum.to_string(),
            "1, or up to the number of hosts in solana.rpc_urls, together with policy.finalized_above",
            is_possible.then_some(raw.quorum),
        );
        if raw.rpc_urls.is_empty() {
            self.fault(
                "solana.rpc_urls",
                "an empty list",
                "at least one http:// or https:// address",
            );
        }
        let ws_urls = self.urls("solana.ws_urls", &raw.ws_urls, &["ws", "wss"]);
        let sweep_every = self.duration("solana.sweep_every", &raw.sweep_every);
        let request_timeout = self.duration("solana.request_timeout", &raw.request_timeout);
        let max_in_flight = self.at_least_one("solana.max_in_flight", raw.max_in_flight);
        Some(Solana {
            rpc_urls: rpc_urls?,
            ws_urls: ws_urls?,
            quorum: quorum?,
            sweep_every: sweep_every?,
            limits: Limits {
                request_timeout: request_timeout?,
                max_rps: raw.max_rps,
                max_in_flight: max_in_flight?,
            },
        })
    }

    fn watch(&mut self, raw: &raw::Watch) -> Option<Watch> {
        let scope = self.either(
            "watch.scope",
            &raw.scope,
            [("all", Scope::All), ("own", Scope::Own)],
        );
        let look_back = self.duration("watch.look_back", &raw.look_back);
        let max_accounts = self.some(
            "watch.max_accounts",
            &raw.max_accounts.to_string(),
            "1 to 100",
            (1..=100)
                .contains(&raw.max_accounts)
                .then_some(raw.max_accounts),
        );
        let tokens: Vec<_> = raw.tokens.iter().map(|token| self.token(token)).collect();
        Some(Watch {
            scope: scope?,
            look_back: look_back?,
            max_accounts: max_accounts?,
            tokens: tokens.into_iter().collect::<Option<_>>()?,
        })
    }

    fn token(&mut self, raw: &raw::Token) -> Option<Token> {
        let address = "a base58 address of 32 bytes";
        let mint = self.some(
            "watch.tokens.mint",
            &raw.mint,
            address,
            raw.mint.parse().ok(),
        );
        let recipient = self.some(
            "watch.tokens.recipient",
            &raw.recipient,
            address,
            raw.recipient.parse().ok(),
        );
        if let Some(places) = raw.decimals {
            self.some(
                "watch.tokens.decimals",
                &places.to_string(),
                "0 to 19",
                Decimals::new(places),
            );
        }
        Some(Token {
            symbol: raw.symbol.clone(),
            mint: mint?,
            recipient: recipient?,
        })
    }

    fn log(&mut self, raw: &raw::Log) -> Option<Log> {
        let format = self.either(
            "log.format",
            &raw.format,
            [("text", LogFormat::Text), ("json", LogFormat::Json)],
        );
        let level = raw
            .level
            .parse::<tracing_subscriber::filter::Targets>()
            .is_ok()
            .then(|| raw.level.clone());
        let level = self.some(
            "log.level",
            &raw.level,
            "error, warn, info, debug or trace",
            level,
        );
        Some(Log {
            format: format?,
            level: level?,
        })
    }

    fn fault(&mut self, key: &'static str, found: &str, allowed: impl Into<Cow<'static, str>>) {
        self.0.push(Fault {
            key,
            found: found.to_owned(),
            allowed: allowed.into(),
        });
    }

    fn some<T>(
        &mut self,
        key: &'static str,
        found: &str,
        allowed: &'static str,
        value: Option<T>,
    ) -> Option<T> {
        if value.is_none() {
            self.fault(key, &quoted(found), allowed);
        }
        value
    }

    fn either<T: Copy>(
        &mut self,
        key: &'static str,
        found: &str,
        words: [(&str, T); 2],
    ) -> Option<T> {
        let value = words.iter().find(|(word, _)| *word == found);
        if value.is_none() {
            let [one, other] = words.map(|(word, _)| word);
            let allowed = format!("\"{one}\" or \"{other}\"");
            self.fault(key, &quoted(found), allowed);
        }
        value.map(|(_, value)| *value)
    }

    fn duration(&mut self, key: &'static str, text: &str) -> Option<Duration> {
        let duration = humantime::parse_duration(text)
            .ok()
            .filter(|duration| !duration.is_zero());
        self.some(key, text, DURATION, duration)
    }

    fn at_least_one(&mut self, key: &'static str, count: usize) -> Option<usize> {
        self.some(
            key,
            &count.to_string(),
            "a number above zero",
            (count > 0).then_some(count),
        )
    }

    /// Addresses may hold keys: a faulty one is not repeated in the message beyond its scheme.
    fn url(
        &mut self,
        key: &'static str,
        text: &str,
        schemes: &'static [&'static str],
    ) -> Option<Url> {
        let url = Url::parse(text).ok();
        let found = match &url {
            _ if text.is_empty() => String::new(),
            Some(url) => format!("{}:…", url.scheme()),
            None => "something that is no address".to_owned(),
        };
        let allowed = if schemes.contains(&"ws") {
            "an address ws://… or wss://…"
        } else {
            "an address http://… or https://…"
        };
        self.some(
            key,
            &found,
            allowed,
            url.filter(|url| schemes.contains(&url.scheme()) && url.has_host()),
        )
    }

    fn urls(
        &mut self,
        key: &'static str,
        texts: &[String],
        schemes: &'static [&'static str],
    ) -> Option<Vec<Url>> {
        let urls: Vec<_> = texts
            .iter()
            .map(|text| self.url(key, text.trim(), schemes))
            .collect();
        urls.into_iter().collect()
    }

    /// A secret given directly (environment) or in a file; the direct one wins, neither is fine.
    fn secret(
        &mut self,
        direct: (&'static str, &str),
        file: (&'static str, &str),
    ) -> Option<Secret> {
        if !direct.1.is_empty() {
            return Some(Secret::new(direct.1.trim()));
        }
        if file.1.is_empty() {
            return None;
        }
        let text = std::fs::read_to_string(file.1)
            .ok()
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty());
        self.some(file.0, file.1, "a readable file that is not empty", text)
            .map(Secret::new)
    }
}

fn secret_files(raw: &raw::Raw) -> Vec<(&'static str, PathBuf)> {
    let all = [
        ("merchant.api_key_file", &raw.merchant.api_key_file),
        ("ops.token_file", &raw.ops.token_file),
        ("notify.secret_file", &raw.notify.secret_file),
    ];
    let named = all.into_iter().filter(|(_, file)| !file.is_empty());
    named.map(|(key, file)| (key, file.into())).collect()
}

fn quoted(found: &str) -> String {
    if found.is_empty() {
        "nothing".to_owned()
    } else {
        format!("\"{found}\"")
    }
}
