//! (b) Transactions a second through a backfill, process start to end, beside what the node gives to a bare load generator.

use crate::api::memo;
use crate::daemon::{Daemon, Used};
use crate::figures::Figures;
use crate::world::{World, until};
use anyhow::Context;
use localnet::{Keypair, Signer, associated};
use paywatch::domain::Signature;
use std::{process::Stdio, time::Instant};

/// What a stock validator (4.2.2) gives on a machine like this, `getTransaction` a second.
const STOCK_NODE: u32 = 1_830;
const RUNS: usize = 3;
/// Histories longer than this are gone through once.
const LONG: usize = 10_000;

/// A merchant's history to go through.
pub struct Past {
    merchant: Keypair,
    payments: usize,
    file: String,
}

struct Run {
    per_second: f64,
    used: Used,
}

pub async fn measure(world: &World, figures: &mut Figures, quick: bool) -> anyhow::Result<()> {
    let payments = if quick { 2_000 } else { 5_000 };
    let past = Past::seed(world, payments).await?;
    past.through(world, figures, None, "(b) backfill, node unhindered")
        .await?;
    let name = "(b) backfill, node as fast as a stock one";
    past.through(world, figures, Some(STOCK_NODE), name).await?;
    Ok(())
}

impl Past {
    /// Makes so many payments.
    pub async fn seed(world: &World, payments: usize) -> anyhow::Result<Self> {
        let merchant = world.merchant().await?;
        let memos: Vec<String> = (0..payments).map(memo).collect();
        let began = Instant::now();
        let signatures = world.seed(&merchant, &memos).await?;
        eprintln!(
            "{payments} payments seeded in {:.0} s",
            began.elapsed().as_secs_f64()
        );
        let lines: Vec<String> = signatures.iter().map(Signature::to_string).collect();
        let file = world.folder.path().join(format!("signatures-{payments}"));
        std::fs::write(&file, lines.join("\n"))?;
        Ok(Self {
            merchant,
            payments,
            file: file.display().to_string(),
        })
    }

    /// Measures rate, memory and processor time, the median of a few runs.
    pub async fn through(
        &self,
        world: &World,
        figures: &mut Figures,
        per_second: Option<u32>,
        name: &str,
    ) -> anyhow::Result<()> {
        let tap = world.tap(per_second).await?;
        let rpc = if per_second.is_some() {
            &tap.rpc_url
        } else {
            &world.net.rpc_url
        };
        let (mut ceilings, mut runs) = (Vec::new(), Vec::new());
        for number in 0..if self.payments > LONG { 1 } else { RUNS } {
            ceilings.push(world.bare_number(&["fetch", rpc, &self.file]).await?);
            runs.push(
                self.once(world, rpc, &format!("{}-{name}-{number}.db", self.payments))
                    .await?,
            );
        }
        let run = median(runs, |run| run.per_second);
        let ceiling = median(ceilings, |one| *one);
        figures.add(
            format!("{name}: payments/s"),
            run.per_second,
            Some(ceiling),
            "1/s",
            self.payments,
        );
        if per_second.is_none() {
            let api = world.api(&self.merchant, self.payments).await?;
            let both = world
                .bare_number(&["fetch-put", rpc, &self.file, &api.url])
                .await?;
            // A history is listed page after page; a node that is slow at it is slow for everybody.
            let account = associated(&self.merchant.pubkey(), &world.usdc).to_string();
            let listed = world.bare_number(&["list", rpc, &account]).await?;
            figures.add(
                format!("{name}, beside bare listing: payments/s"),
                run.per_second,
                Some(listed),
                "1/s",
                self.payments,
            );
            figures.add(
                format!("{name}, beside bare fetch and PUT: payments/s"),
                run.per_second,
                Some(both),
                "1/s",
                self.payments,
            );
        }
        figures.add(
            format!("{name}: processor time a payment"),
            run.used.cpu_seconds * 1e6 / as_f64(self.payments),
            None,
            "µs",
            self.payments,
        );
        figures.add(
            format!("(d) largest memory, {}", &name[4..]),
            run.used.resident_mb,
            None,
            "MB",
            self.payments,
        );
        Ok(())
    }

    async fn once(&self, world: &World, rpc: &str, database: &str) -> anyhow::Result<Run> {
        let api = world.api(&self.merchant, self.payments).await?;
        let mut command = world.paywatch(
            &api.url,
            rpc,
            "",
            &database.replace([' ', ',', '(', ')'], ""),
            "",
        );
        command.args(["backfill", "--json"]).stdout(Stdio::null());
        let began = Instant::now();
        let mut daemon = Daemon::spawn(&mut command)?;
        let used = daemon.ended().await?;
        until("all are confirmed", async || {
            api.told.count() >= self.payments
        })
        .await?;
        anyhow::ensure!(
            api.told.calls() == self.payments,
            "{} calls for {} payments",
            api.told.calls(),
            self.payments
        );
        let took = api.told.last().context("nothing told")? - began;
        Ok(Run {
            per_second: as_f64(self.payments) / took.as_secs_f64(),
            used,
        })
    }
}

fn median<T>(mut all: Vec<T>, key: impl Fn(&T) -> f64) -> T {
    all.sort_by(|a, b| key(a).total_cmp(&key(b)));
    let middle = all.len() / 2;
    all.swap_remove(middle)
}

/// A count as a number to divide by.
pub fn as_f64(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
