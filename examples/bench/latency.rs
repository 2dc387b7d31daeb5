//! (a) From a transaction's last notification passing to the watcher, to its PUT arriving at the API.

use crate::api::{Api, memo};
use crate::daemon::{Daemon, gauge, is_ready};
use crate::figures::Figures;
use crate::tap::Tap;
use crate::world::{World, free_address, until};
use anyhow::Context;
use localnet::{Keypair, Signer, associated};
use paywatch::domain::Signature;
use std::{
    process::Stdio,
    time::{Duration, Instant},
};

const EVERY: Duration = Duration::from_millis(150);
const SESSIONS: usize = 1_000;
const ROUNDS: usize = 2;

/// One watcher before an API and a node.
pub struct Live {
    pub merchant: Keypair,
    pub api: Api,
    pub tap: Tap,
    pub daemon: Daemon,
    paid: usize,
}

pub async fn measure(world: &World, figures: &mut Figures, quick: bool) -> anyhow::Result<()> {
    let payments = if quick { 60 } else { 200 };
    let (mut measured, mut floor) = (Vec::new(), Vec::new());
    // In turns, so that what else the machine does hits both.
    for round in 0..ROUNDS {
        let mut bare = bare(world).await?;
        floor.extend(bare.latencies(world, payments).await?);
        drop(bare);
        let mut live = paywatch(world, SESSIONS, &format!("latency-{round}.db")).await?;
        measured.extend(live.latencies(world, payments).await?);
        eprintln!("{} PUTs for {payments} payments", live.api.told.calls());
    }
    figures.add_quantiles("(a) notification to PUT", &mut measured, Some(&mut floor));
    Ok(())
}

/// paywatch, ready and knowing its checkouts.
pub async fn paywatch(world: &World, sessions: usize, database: &str) -> anyhow::Result<Live> {
    let rpc_url = |_: &Tap| world.net.rpc_url.clone();
    paywatch_with(world, sessions, database, rpc_url, &[]).await
}

/// The same with its requests counted, and with changes of its configuration.
pub async fn paywatch_counted(
    world: &World,
    sessions: usize,
    database: &str,
    changes: &[(&str, &str)],
) -> anyhow::Result<Live> {
    let rpc_url = |tap: &Tap| tap.rpc_url.clone();
    paywatch_with(world, sessions, database, rpc_url, changes).await
}

async fn paywatch_with(
    world: &World,
    sessions: usize,
    database: &str,
    rpc_url: impl Fn(&Tap) -> String,
    changes: &[(&str, &str)],
) -> anyhow::Result<Live> {
    let merchant = world.merchant().await?;
    let (api, tap, ops) = (
        world.api(&merchant, sessions).await?,
        world.tap(None).await?,
        free_address().await?,
    );
    let mut command = world.paywatch(&api.url, &rpc_url(&tap), &tap.ws_url, database, &ops);
    let daemon = Daemon::spawn(command.envs(changes.iter().copied()).arg("run"))?;
    until("the daemon is ready and knows its checkouts", async || {
        is_ready(&ops).await && gauge(&ops, "paywatch_checkouts_pending").await >= sessions
    })
    .await?;
    Ok(Live {
        merchant,
        api,
        tap,
        daemon,
        paid: 0,
    })
}

async fn bare(world: &World) -> anyhow::Result<Live> {
    let merchant = world.merchant().await?;
    let (api, tap) = (
        world.api(&merchant, SESSIONS).await?,
        world.tap(None).await?,
    );
    let account = associated(&merchant.pubkey(), &world.usdc).to_string();
    let mut command = world.bare();
    command.args(["watch", &tap.ws_url, &world.net.rpc_url, &api.url, &account]);
    let daemon = Daemon::spawn(command.stdin(Stdio::null()))?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(Live {
        merchant,
        api,
        tap,
        daemon,
        paid: 0,
    })
}

impl Live {
    /// Sends so many payments, one after the other, and measures each.
    pub async fn latencies(
        &mut self,
        world: &World,
        payments: usize,
    ) -> anyhow::Result<Vec<Duration>> {
        let mut sent: Vec<(Signature, Instant)> = Vec::new();
        for session in self.paid..self.paid + payments {
            sent.push((
                world.pay(&self.merchant, &memo(session)).await?,
                Instant::now(),
            ));
            tokio::time::sleep(EVERY).await;
        }
        self.paid += payments;
        until("all payments are confirmed", async || {
            self.api.told.count() >= self.paid
        })
        .await?;
        let latency = |(signature, sent_at): &(Signature, Instant)| {
            let signature = signature.to_string();
            let told_at = self.api.told.at(&signature).context("not told")?;
            // A payment that no socket announced was found by a sweep: that counts from when it was sent.
            let from = self
                .tap
                .notified_before(&signature, told_at)
                .unwrap_or(*sent_at);
            anyhow::Ok(told_at - from)
        };
        sent.iter().map(latency).collect()
    }
}
