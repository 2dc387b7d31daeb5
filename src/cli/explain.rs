//! `paywatch explain`: a transaction as paywatch sees it, and why each payment is judged as it is.

mod sources;

use super::{Failure, block_on, print};
use crate::config::Config;
use crate::domain::{Signature, Transaction, Wallet};
use crate::pipeline::{Background, Explained, Recipient, fuller};
use crate::report::{explanation_json, explanation_text};
use crate::solana::Rpc;
use crate::telemetry;
use anyhow::Context;
use std::path::{Path, PathBuf};
use url::Url;

/// Arguments of `paywatch explain`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The transaction's signature (its hash)
    #[arg(required_unless_present = "file", value_parser = super::signature)]
    signature: Option<Signature>,
    /// Ask this Solana node instead of the configured ones; then no configuration is needed
    #[arg(long, value_name = "URL", conflicts_with = "file")]
    rpc: Option<Url>,
    /// Read a saved answer of getTransaction (encoding base64) instead of asking a node
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Count payments to this wallet, instead of what is configured or recorded (may be repeated)
    #[arg(long, value_name = "WALLET")]
    recipient: Vec<Wallet>,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// Without a configuration a node is enough.
fn or_name_a_node(failure: Failure) -> Failure {
    match failure {
        Failure::Configuration(error) => Failure::Configuration(
            error.context("cannot load a configuration (--rpc URL does without)"),
        ),
        Failure::Failed(error) => Failure::Failed(error),
    }
}

/// `given` says whether a configuration file was named: then it must be valid.
pub(super) fn run(
    args: &Args,
    given: Option<&Path>,
    load: impl Fn() -> Result<Config, Failure>,
) -> Result<u8, Failure> {
    let alone = given.is_none() && (args.rpc.is_some() || args.file.is_some());
    let config = if alone {
        None
    } else {
        Some(load().map_err(or_name_a_node)?)
    };
    if let Some(config) = &config {
        telemetry::init_logs(&config.log);
    }
    block_on(async {
        let explained = explain(args, config).await?;
        if args.json {
            print::json(&explanation_json(&explained))?;
        } else {
            print::line(explanation_text(&explained).trim_end())?;
        }
        Ok(match explained {
            Explained::Read(_) => 0,
            Explained::Not { .. } => super::FAILED,
        })
    })
}

async fn explain(args: &Args, config: Option<Config>) -> anyhow::Result<Explained> {
    let urls = match (&args.rpc, &config) {
        (Some(url), _) => Some(std::slice::from_ref(url)),
        (None, Some(config)) if args.file.is_none() => Some(config.solana.rpc_urls.as_slice()),
        _ => None,
    };
    let rpc = urls.map(|urls| Rpc::new(urls, sources::limits(config.as_ref())));
    let rpc = rpc.transpose().context("build the RPC client")?;
    let (fetched, commitment) = sources::fetch(args, rpc.as_ref()).await?;
    let transaction = match Explained::readable(args.signature, fetched) {
        Ok(transaction) => transaction,
        Err(not) => return Ok(not),
    };
    let recipients: Vec<_> = args
        .recipient
        .iter()
        .map(|wallet| Recipient {
            wallet: *wallet,
            mint: None,
            symbol: None,
        })
        .collect();
    let background = async |transaction: &Transaction| match &config {
        None => Ok(Background::bare(transaction, &recipients)),
        Some(config) => sources::background(config.clone(), transaction, &recipients).await,
    };
    let first = background(&transaction).await?;
    let other = match &rpc {
        Some(rpc) if args.file.is_none() => fuller(rpc, &transaction, &first.watch_list).await,
        _ => None,
    };
    let Some(other) = other else {
        return Ok(Explained::read(transaction, commitment, first));
    };
    let background = background(&other).await?;
    Ok(Explained::read(other, commitment, background))
}
