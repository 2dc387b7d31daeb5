//! `paywatch backfill`: history once, then the end.

use super::{Failure, NEEDS_A_PERSON, block_on, shutdown_on_signals};
use crate::config::Config;
use crate::pipeline::{Backfill, Bound, LogLines, Pipeline, Progress, Report};
use crate::store::Store;
use crate::telemetry;
use anyhow::{Context, anyhow};
use indicatif::{ProgressBar, ProgressStyle};
use std::{io::IsTerminal, sync::Arc};
use tokio_util::sync::CancellationToken;

/// Arguments of `paywatch backfill`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Begin here: a duration (24h), a time (2026-11-22T08:00:00Z), a slot or a transaction signature.
    /// Without --since and --until: where the last sweep ended
    #[arg(long, value_name = "WHEN")]
    since: Option<Bound>,
    /// End here, included; without it: now
    #[arg(long, value_name = "WHEN")]
    until: Option<Bound>,
    /// Decode and judge only: change nothing, confirm nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(config: Config, args: &Args) -> Result<u8, Failure> {
    telemetry::init_logs(&config.log);
    block_on(async {
        let stop = shutdown_on_signals().context("listen for signals")?;
        let report = if args.dry_run {
            dry_run(config, args, &stop).await
        } else {
            backfill(config, args, &stop).await
        };
        let report = report?;
        print(&report, args).context("print the report")?;
        if report.interrupted {
            let what = anyhow!(
                "interrupted: {} confirmations are still to be sent, and history was not read to its end; run it again to go on",
                report.queued
            );
            return Err(Failure::Failed(what));
        }
        if report.undelivered > 0 {
            let what = anyhow!(
                "{} confirmations were not taken by the payments API; run it again",
                report.undelivered
            );
            return Err(Failure::Failed(what));
        }
        Ok(if report.needs_a_person() {
            NEEDS_A_PERSON
        } else {
            0
        })
    })
}

async fn backfill(config: Config, args: &Args, stop: &CancellationToken) -> anyhow::Result<Report> {
    let store = Store::open(&config.store_url)
        .await
        .with_context(|| format!("open the database {}", config.store_url))?;
    let report = ranged(config, store.clone(), args)?
        .run(progress(), stop)
        .await;
    store.close().await;
    report
}

/// Works on a copy of the database, so that what is known counts and nothing is changed.
async fn dry_run(config: Config, args: &Args, stop: &CancellationToken) -> anyhow::Result<Report> {
    let folder = tempfile::tempdir().context("make a folder for the dry run")?;
    let copy = folder.path().join("dry-run.db");
    if config.database_file().is_some_and(|file| file.exists()) {
        let store = Store::open(&config.store_url)
            .await
            .context("open the database")?;
        store.copy_to(&copy).await.context("copy the database")?;
        store.close().await;
    }
    let store = Store::open(&format!("sqlite:{}", copy.display()))
        .await
        .context("open the copy of the database")?;
    let report = ranged(config, store.clone(), args)?
        .dry_run(progress(), stop)
        .await;
    store.close().await;
    report
}

fn ranged(config: Config, store: Store, args: &Args) -> anyhow::Result<Backfill> {
    let mut backfill = Backfill::new(Pipeline::new(config, store)?);
    (backfill.since, backfill.until) = (args.since, args.until);
    Ok(backfill)
}

fn print(report: &Report, args: &Args) -> anyhow::Result<()> {
    if args.json {
        println!("{}", serde_json::to_string_pretty(report)?);
        return Ok(());
    }
    if args.dry_run {
        println!("dry run: nothing was changed, nothing was confirmed");
    }
    println!("signatures in range   {:>8}", report.listed);
    println!("transactions fetched  {:>8}", report.fetched);
    println!("new payments          {:>8}", report.new_payments);
    for tally in &report.verdicts {
        println!("  {:<19} {:>8}", tally.verdict, tally.payments);
    }
    println!("confirmed now         {:>8}", report.acknowledged);
    println!("still to confirm      {:>8}", report.queued);
    println!("given up              {:>8}", report.parked);
    println!("uncredited            {:>8}", report.uncredited);
    if report.history_is_short {
        println!("{}", shortfall(report));
    }
    if let Some(asked) = &report.history_claimed_from {
        println!(
            "nothing that is listed is as old as {asked}: that there was nothing before is the nodes' word alone"
        );
    }
    if report.has_payments_for_a_person() {
        println!("held or given-up payments need a person");
    }
    Ok(())
}

fn shortfall(report: &Report) -> String {
    let asked = report.history_asked_from.as_deref().unwrap_or("the start");
    let begins = match (&report.history_begins_at, report.history_begins_in_slot) {
        (Some(at), Some(slot)) => format!("begins at {at} (slot {slot})"),
        (None, Some(slot)) => format!("begins in slot {slot}"),
        _ => "is not listed back to there".to_owned(),
    };
    format!(
        "history is shorter than asked for: asked for since {asked}, the history of the nodes {begins}; add an endpoint with older history to solana.rpc_urls, and run this again"
    )
}

/// A bar on a terminal, lines in the log elsewhere.
fn progress() -> Arc<dyn Progress> {
    if !std::io::stderr().is_terminal() {
        return Arc::new(LogLines::default());
    }
    let style =
        ProgressStyle::with_template("{bar:30} {pos}/{len} signatures, {per_sec}, {eta} left");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    Arc::new(Bar(ProgressBar::new(0).with_style(style)))
}

/// Gone when the work is done.
struct Bar(ProgressBar);

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

impl Progress for Bar {
    fn listed(&self, signatures: usize) {
        self.0.inc_length(signatures as u64);
    }

    fn recorded(&self, signatures: usize) {
        self.0.inc(signatures as u64);
    }
}
