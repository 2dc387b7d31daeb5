//! `paywatch healthcheck`: asks the daemon's `/healthz`, so that a container needs no other program.

use super::{Failure, block_on};
use crate::config::Config;
use anyhow::{Context, anyhow};
use std::time::Duration;

pub(super) fn run(config: &Config) -> Result<u8, Failure> {
    let address = config.ops.listen.ok_or_else(|| {
        Failure::Configuration(anyhow!("ops.listen is off: there is nothing to ask"))
    })?;
    // A daemon that listens on every address is asked on this machine's own.
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
        std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    };
    let url = format!(
        "http://{}/healthz",
        std::net::SocketAddr::new(ip, address.port())
    );
    block_on(async {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(5))
            .no_proxy()
            .build()
            .context("build a client")?;
        let response = client
            .get(&url)
            .send()
            .await
            .with_context(|| format!("ask {url}"))?;
        response
            .error_for_status()
            .context("the daemon is not well")?;
        println!("ok");
        Ok(0)
    })
}
