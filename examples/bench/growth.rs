//! (g) The same at a thousand, a hundred thousand and a million: what must not grow.

use crate::backfill::Past;
use crate::figures::Figures;
use crate::latency::paywatch;
use crate::world::World;
use std::time::{Duration, Instant};

const PAYMENTS: usize = 150;

/// Ever more pending checkouts.
pub async fn measure_pending(world: &World, figures: &mut Figures) -> anyhow::Result<()> {
    for (sessions, called) in [
        (1_000, "1 thousand"),
        (100_000, "100 thousand"),
        (1_000_000, "1 million"),
    ] {
        let began = Instant::now();
        let mut live = paywatch(world, sessions, &format!("growth-{sessions}.db")).await?;
        figures.add(
            format!("(g) {called} pending: start to ready and all known"),
            began.elapsed().as_secs_f64(),
            None,
            "s",
            sessions,
        );
        tokio::time::sleep(Duration::from_secs(5)).await;
        figures.add(
            format!("(d) memory with {called} pending"),
            live.daemon.resident_mb()?,
            None,
            "MB",
            sessions,
        );
        let mut measured = live.latencies(world, PAYMENTS).await?;
        figures.add_quantiles(
            &format!("(g) {called} pending: notification to PUT"),
            &mut measured,
            None,
        );
    }
    Ok(())
}

/// Backfills of ever longer histories.
pub async fn measure_backfills(world: &World, figures: &mut Figures) -> anyhow::Result<()> {
    for (payments, called) in [
        (1_000, "1 thousand"),
        (10_000, "10 thousand"),
        (100_000, "100 thousand"),
    ] {
        let past = Past::seed(world, payments).await?;
        past.through(
            world,
            figures,
            None,
            &format!("(g) backfill of {called}, node unhindered"),
        )
        .await?;
    }
    Ok(())
}
