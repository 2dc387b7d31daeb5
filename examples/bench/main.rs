//! What paywatch costs beside what cannot be avoided: `make bench` prints the table, `JSON=file` writes it too.
//!
//! The daemon is the release binary; so is `bare`, which does the same work without paywatch and gives the floors. The
//! network is the embedded one, or the one that `PAYWATCH_TEST_RPC` and `PAYWATCH_TEST_WS` name. Nothing is asserted here.

#![allow(unreachable_pub, reason = "a program of several files, not a library")]

mod api;
mod backfill;
mod calls;
mod daemon;
mod figures;
mod growth;
mod latency;
mod peers;
mod release;
mod store;
mod sustained;
mod tap;
mod world;

use clap::Parser;
use figures::Figures;
use std::path::PathBuf;
use world::World;

#[derive(Parser)]
struct Arguments {
    /// The release binary of paywatch.
    binary: PathBuf,
    /// The release binary `bare` of the package `benches`.
    bare: PathBuf,
    /// Write the figures there as JSON too.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Latency, memory and backfill at small sizes only.
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    peers: peers::Peers,
    /// Only the parts whose names stand here, comma-separated: release, store, latency, calls, backfill, sustained, pending, history.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let wants = |part: &str, is_quick: bool| {
        if arguments.only.is_empty() {
            is_quick || !arguments.quick
        } else {
            arguments.only.iter().any(|wanted| wanted == part)
        }
    };
    let world = World::start(&arguments.binary, &arguments.bare).await?;
    if let Some((folder, carbon)) = arguments.peers.wanted() {
        return peers::measure(&world, folder, carbon).await;
    }
    let mut figures = Figures::default();
    if wants("release", false) {
        release::measure(&world, &mut figures).await?;
    }
    if wants("store", false) {
        store::measure(&world, &mut figures).await?;
    }
    if wants("latency", true) {
        latency::measure(&world, &mut figures, arguments.quick).await?;
    }
    if wants("calls", false) {
        calls::measure(&world, &mut figures).await?;
    }
    if wants("backfill", true) {
        backfill::measure(&world, &mut figures, arguments.quick).await?;
    }
    if wants("sustained", false) {
        sustained::measure(&world, &mut figures).await?;
    }
    if wants("pending", false) {
        growth::measure_pending(&world, &mut figures).await?;
    }
    if wants("history", false) {
        growth::measure_backfills(&world, &mut figures).await?;
    }
    figures.print();
    if let Some(file) = &arguments.json {
        figures.write(file)?;
    }
    Ok(())
}
