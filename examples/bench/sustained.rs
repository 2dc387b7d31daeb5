//! (e) Payments a second for a minute, as many as network, sandbox and paywatch together can do, and whether one is lost.

use crate::backfill::as_f64;
use crate::daemon::{Daemon, is_ready};
use crate::figures::Figures;
use crate::world::{World, free_address, until};
use futures_util::future::join_all;
use localnet::Keypair;
use serde_json::Value;
use std::{
    collections::HashSet,
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

const FOR: Duration = Duration::from_mins(1);
const SENDERS: usize = 16;
/// Payments that are sent and not confirmed yet.
const OUTSTANDING_MAX: usize = 400;

pub async fn measure(world: &World, figures: &mut Figures) -> anyhow::Result<()> {
    let merchant = world.merchant().await?;
    let (sandbox, url) = world.sandbox(&merchant).await?;
    let ops = free_address().await?;
    let api = format!("{url}/api/v1/payments");
    let mut command = world.paywatch(
        &api,
        &world.net.rpc_url,
        &world.net.ws_url,
        "sustained.db",
        &ops,
    );
    let daemon = Daemon::spawn(command.arg("run").stderr(Stdio::inherit()))?;
    until("the daemon is ready", async || is_ready(&ops).await).await?;
    let sent = AtomicUsize::new(0);
    let http = reqwest::Client::new();
    let calls = async || -> anyhow::Result<Vec<Value>> {
        Ok(http
            .get(format!("{url}/_sandbox/confirm_calls"))
            .send()
            .await?
            .json()
            .await?)
    };
    let began = Instant::now();
    let done = AtomicUsize::new(0);
    let counting = async {
        while began.elapsed() < FOR {
            tokio::time::sleep(Duration::from_millis(500)).await;
            done.store(calls().await?.len(), Ordering::Relaxed);
        }
        anyhow::Ok(done.load(Ordering::Relaxed))
    };
    let senders =
        join_all((0..SENDERS).map(|_| sender(world, &merchant, &api, began, &sent, &done)));
    let (in_time, senders) = tokio::join!(counting, senders);
    senders.into_iter().collect::<anyhow::Result<Vec<()>>>()?;
    let (in_time, sent) = (in_time?, sent.load(Ordering::Relaxed));
    let mut told = HashSet::new();
    until("every payment is confirmed", async || {
        let all = calls().await.unwrap_or_default();
        told = all
            .iter()
            .filter_map(|call| Some(call["payment_id"].as_str()?.to_owned()))
            .collect();
        told.len() >= sent
    })
    .await?;
    let repeated = calls().await?.len() - told.len();
    let rate = as_f64(in_time) / FOR.as_secs_f64();
    for (name, value, unit) in [
        ("(e) sustained: payments/s", rate, "1/s"),
        (
            "(e) sustained: payments lost",
            as_f64(sent - told.len()),
            "",
        ),
        ("(e) sustained: calls repeated", as_f64(repeated), ""),
        (
            "(e) sustained: memory after it",
            daemon.resident_mb()?,
            "MB",
        ),
    ] {
        figures.add(name, value, None, unit, sent);
    }
    drop(sandbox);
    Ok(())
}

async fn sender(
    world: &World,
    merchant: &Keypair,
    api: &str,
    began: Instant,
    sent: &AtomicUsize,
    done: &AtomicUsize,
) -> anyhow::Result<()> {
    let http = reqwest::Client::new();
    while began.elapsed() < FOR {
        if sent.load(Ordering::Relaxed) > done.load(Ordering::Relaxed) + OUTSTANDING_MAX {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        let request = http.post(format!("{api}/crypto/checkout"));
        let query = [
            ("credit_plan_id", "11"),
            ("token", &world.usdc.address.to_string()),
        ];
        let checkout: Value = request
            .query(&query)
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        world
            .pay(merchant, checkout["memo"].as_str().unwrap_or_default())
            .await?;
        sent.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
