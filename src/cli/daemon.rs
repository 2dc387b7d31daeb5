//! How commands ask the running daemon.

use super::Failure;
use crate::config::Config;
use anyhow::{Context, anyhow};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

/// The ops pages of the daemon that has this configuration.
pub(super) struct Daemon {
    http: reqwest::Client,
    root: String,
}

impl Daemon {
    pub(super) fn of(config: &Config) -> Result<Self, Failure> {
        let address = config.ops.listen.ok_or_else(|| {
            Failure::Configuration(anyhow!("ops.listen is off: there is nothing to ask"))
        })?;
        // A daemon that listens on every address is asked on this machine's own.
        let ip = match address.ip() {
            ip if !ip.is_unspecified() => ip,
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(5))
            .no_proxy()
            .build()
            .context("build a client")?;
        let root = format!("http://{}", SocketAddr::new(ip, address.port()));
        Ok(Self { http, root })
    }

    /// Asks for a page.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<reqwest::Response> {
        let url = format!("{}{path}", self.root);
        let response = self.http.get(&url).send().await.with_context(|| {
            format!("ask {url}: does paywatch run, with this configuration (ops.listen)?")
        })?;
        response
            .error_for_status()
            .context("the daemon is not well")
    }
}
