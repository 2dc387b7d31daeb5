//! `[ops]`

use super::Check;
use crate::config::{Ops, raw};
use std::net::SocketAddr;
use url::Url;

impl Check {
    pub(super) fn ops(&mut self, raw: &raw::Ops) -> Option<Ops> {
        let token = self.secret(("ops.token", ""), ("ops.token_file", &raw.token_file));
        let listen = match raw.listen.as_str() {
            "" => Some(None),
            address => address.parse().ok().map(Some),
        };
        let listen = self.some(
            "ops.listen",
            &raw.listen,
            "ADDRESS:PORT, or nothing for off",
            listen,
        );
        let is_open = listen
            .flatten()
            .is_some_and(|address: SocketAddr| !address.ip().is_loopback());
        if is_open && token.is_none() {
            self.fault(
                "ops.listen",
                &format!("\"{}\" without ops.token_file", raw.listen),
                "an address of this machine alone (127.0.0.1:PORT), or any together with ops.token_file",
            );
        }
        let public_url = (!raw.public_url.is_empty())
            .then(|| self.url("ops.public_url", &raw.public_url, &["http", "https"]));
        let public_url = match public_url {
            Some(url) => Some(url?),
            None => None,
        };
        Some(Ops {
            listen: listen?,
            token,
            public_url,
            pay_pages: raw.pay_pages,
            explorer: Some(self.explorer(&raw.explorer)?).filter(|pattern| !pattern.is_empty()),
        })
    }

    fn explorer(&mut self, pattern: &str) -> Option<String> {
        let is_address = Url::parse(&pattern.replace("{signature}", "1"))
            .is_ok_and(|url| ["http", "https"].contains(&url.scheme()));
        let is_pattern = is_address && pattern.contains("{signature}");
        self.some(
            "ops.explorer",
            pattern,
            "an address http://… or https://… with {signature} in it, or nothing for no links",
            (is_pattern || pattern.is_empty()).then(|| pattern.to_owned()),
        )
    }
}
