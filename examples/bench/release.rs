//! The release binary: its size, and how soon it is ready.

use crate::backfill::as_f64;
use crate::daemon::{Daemon, is_ready};
use crate::figures::Figures;
use crate::world::{World, free_address};
use std::time::{Duration, Instant};

const STARTS: usize = 9;

pub async fn measure(world: &World, figures: &mut Figures) -> anyhow::Result<()> {
    let merchant = world.merchant().await?;
    let api = world.api(&merchant, 100).await?;
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let ops = free_address().await?;
        let mut command = world.paywatch(
            &api.url,
            &world.net.rpc_url,
            &world.net.ws_url,
            "start.db",
            &ops,
        );
        let began = Instant::now();
        let _daemon = Daemon::spawn(command.arg("run"))?;
        while !is_ready(&ops).await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        starts.push(began.elapsed());
    }
    starts.sort_unstable();
    figures.add(
        "start to ready, median",
        starts[STARTS / 2].as_secs_f64() * 1000.0,
        None,
        "ms",
        STARTS,
    );
    figures.add(
        "start to ready, slowest",
        starts[STARTS - 1].as_secs_f64() * 1000.0,
        None,
        "ms",
        STARTS,
    );
    let bytes = world.binary_bytes()?;
    figures.add("size of the binary", as_f64(bytes) / 1e6, None, "MB", 1);
    Ok(())
}
