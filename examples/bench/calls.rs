//! (c) What the node is asked, counted between paywatch and the node.

use crate::api::memo;
use crate::backfill::as_f64;
use crate::figures::Figures;
use crate::latency::paywatch_counted;
use crate::tap::Tap;
use crate::world::{World, until};
use localnet::{Keypair, Signer};
use std::time::Duration;

const PAYMENTS: usize = 200;
/// Until sweeps are at their slowest, and a few of them.
const CALMING: Duration = Duration::from_mins(2);
const IDLE: Duration = Duration::from_mins(3);
/// Sweeps that a transaction is met in again must not cost more: they come often while fetches are counted.
const SWEEP_EVERY: &str = "2s";

pub async fn measure(world: &World, figures: &mut Figures) -> anyhow::Result<()> {
    for scope in ["all", "own"] {
        let changes = [
            ("PAYWATCH__WATCH__SCOPE", scope),
            ("PAYWATCH__SOLANA__SWEEP_EVERY", SWEEP_EVERY),
        ];
        let database = format!("calls-{scope}.db");
        let live = paywatch_counted(world, PAYMENTS, &database, &changes).await?;
        let (merchant, tap) = (&live.merchant, &live.tap);
        tokio::time::sleep(Duration::from_secs(2)).await;
        tap.take_calls();
        for payment in 0..PAYMENTS {
            world.pay(merchant, &memo(payment)).await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        until("all payments are confirmed", async || {
            live.api.told.count() >= PAYMENTS
        })
        .await?;
        count(
            tap,
            figures,
            &format!("(c) scope {scope}: fetches a confirmed payment"),
        )
        .await;
        for stranger in 0..PAYMENTS {
            world.pay(merchant, &memo(1_000_000 + stranger)).await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        count(
            tap,
            figures,
            &format!("(c) scope {scope}: fetches a payment with an unknown memo"),
        )
        .await;
        for _ in 0..PAYMENTS {
            world
                .fail_to_pay(merchant, &Keypair::new().pubkey().to_string())
                .await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        count(
            tap,
            figures,
            &format!("(c) scope {scope}: fetches a failed transaction"),
        )
        .await;
    }
    idle(world, figures).await
}

/// Fetches until everything is settled, in all that was just sent.
async fn count(tap: &Tap, figures: &mut Figures, name: &str) {
    // Several sweeps, before and after it is finalized: what is met again must not be fetched again.
    tokio::time::sleep(Duration::from_secs(20)).await;
    let calls = tap.take_calls();
    eprintln!("{calls:?}");
    let fetches = calls.get("getTransaction").copied().unwrap_or_default();
    figures.add(
        name,
        as_f64(fetches) / as_f64(PAYMENTS),
        None,
        "calls",
        PAYMENTS,
    );
}

async fn idle(world: &World, figures: &mut Figures) -> anyhow::Result<()> {
    let live = paywatch_counted(world, 100, "idle.db", &[]).await?;
    let (tap, daemon) = (&live.tap, &live.daemon);
    tokio::time::sleep(CALMING).await;
    tap.take_calls();
    let cpu = daemon.cpu_seconds()?;
    tokio::time::sleep(IDLE).await;
    let calls = tap.take_calls();
    eprintln!("{calls:?}");
    let hours = IDLE.as_secs_f64() / 3600.0;
    figures.add(
        "(c) calls an idle hour, one token account",
        as_f64(calls.values().sum()) / hours,
        None,
        "calls",
        1,
    );
    figures.add(
        "processor time an idle hour",
        (daemon.cpu_seconds()? - cpu) / hours,
        None,
        "s",
        1,
    );
    figures.add("(d) memory, idle", daemon.resident_mb()?, None, "MB", 1);
    Ok(())
}
