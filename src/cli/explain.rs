//! `paywatch explain`: a transaction as paywatch sees it, and why each payment is judged as it is.

mod json;
mod text;

use super::{Failure, block_on, print};
use crate::config::Config;
use crate::domain::{
    Commitment, Explanation, Reason, Signature, Transaction, Wallet, explain_unreadable,
};
use crate::pipeline::{Background, Pipeline, Recipient, not_found};
use crate::solana::{Fetched, Limits, Rpc};
use crate::store::Store;
use crate::telemetry;
use anyhow::{Context, anyhow};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use url::Url;

/// Arguments of `paywatch explain`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The transaction's signature (its hash)
    #[arg(required_unless_present = "file")]
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

/// What is printed.
enum Explained {
    /// It was read.
    Read(Box<Read>),
    /// It was not.
    Not {
        signature: Option<Signature>,
        reason: Reason,
    },
}

struct Read {
    transaction: Transaction,
    /// How sure the chain is; `None` for a saved answer, which does not tell.
    commitment: Option<Commitment>,
    background: Background,
    explanation: Explanation,
}

/// `given` says whether a configuration file was named: then it must be valid.
pub(super) fn run(
    args: &Args,
    given: Option<&Path>,
    load: impl Fn() -> Result<Config, Failure>,
) -> Result<u8, Failure> {
    let alone = given.is_none() && (args.rpc.is_some() || args.file.is_some());
    let config = if alone { None } else { Some(load()?) };
    if let Some(config) = &config {
        telemetry::init_logs(&config.log);
    }
    block_on(async {
        let explained = explain(args, config).await?;
        if args.json {
            print::json(&json::of(&explained))?;
        } else {
            print::line(text::of(&explained).trim_end())?;
        }
        Ok(match explained {
            Explained::Read(_) => 0,
            Explained::Not { .. } => super::FAILED,
        })
    })
}

async fn explain(args: &Args, config: Option<Config>) -> anyhow::Result<Explained> {
    let rpc = match (&args.rpc, &config) {
        (Some(url), _) => Some(
            Rpc::new(std::slice::from_ref(url), limits(config.as_ref()))
                .context("build the RPC client")?,
        ),
        (None, Some(config)) if args.file.is_none() => Some(
            Rpc::new(&config.solana.rpc_urls, config.solana.limits)
                .context("build the RPC client")?,
        ),
        _ => None,
    };
    let (fetched, commitment) = fetch(args, rpc.as_ref()).await?;
    let signature = args.signature;
    let transaction = match fetched {
        Fetched::Transaction(transaction) => *transaction,
        Fetched::NotYet => {
            return Ok(Explained::Not {
                signature,
                reason: not_found(),
            });
        }
        Fetched::Unreadable(why) => {
            return Ok(Explained::Not {
                signature,
                reason: explain_unreadable(&why),
            });
        }
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
    let background = match config {
        None => Background::bare(&transaction, &recipients),
        Some(config) => with_pipeline(config, &transaction, &recipients).await?,
    };
    Ok(Explained::Read(Box::new(Read {
        explanation: background.explain(&transaction),
        transaction,
        commitment,
        background,
    })))
}

async fn fetch(args: &Args, rpc: Option<&Rpc>) -> anyhow::Result<(Fetched, Option<Commitment>)> {
    if let Some(file) = &args.file {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        let fetched =
            Fetched::from_saved(&text).with_context(|| format!("read {}", file.display()))?;
        if let (Some(signature), Fetched::Transaction(transaction)) = (args.signature, &fetched)
            && transaction.signature != signature
        {
            return Err(anyhow!(
                "{} holds the transaction {}, not {signature}",
                file.display(),
                transaction.signature
            ));
        }
        return Ok((fetched, None));
    }
    let (Some(rpc), Some(signature)) = (rpc, args.signature) else {
        return Err(anyhow!(
            "there is neither a node nor a file to read the transaction from"
        ));
    };
    let fetched = rpc
        .transaction(signature, Commitment::Confirmed)
        .await
        .context("fetch the transaction")?;
    let statuses = rpc
        .statuses(&[signature])
        .await
        .context("ask for its status")?;
    let commitment = statuses
        .into_iter()
        .flatten()
        .next()
        .and_then(|status| status.commitment);
    Ok((fetched, commitment))
}

/// Asks the real database if there is one that can be opened, and an empty one otherwise.
async fn with_pipeline(
    config: Config,
    transaction: &Transaction,
    recipients: &[Recipient],
) -> anyhow::Result<Background> {
    let folder = tempfile::tempdir().context("make a folder for an empty database")?;
    let empty = format!("sqlite:{}", folder.path().join("empty.db").display());
    let (store, note) = if config.database_file().is_some_and(|file| file.exists()) {
        match Store::open(&config.store_url).await {
            Ok(store) => (store, None),
            Err(error) => {
                let note = format!("the database was not used: {:#}", anyhow::Error::new(error));
                (
                    Store::open(&empty)
                        .await
                        .context("open an empty database")?,
                    Some(note),
                )
            }
        }
    } else {
        let note = format!("there is no database at {} yet", config.store_url);
        (
            Store::open(&empty)
                .await
                .context("open an empty database")?,
            Some(note),
        )
    };
    let pipeline = Pipeline::new(config, store.clone())?;
    let background = pipeline.background(transaction, recipients).await;
    store.close().await;
    let mut background = background?;
    background.notes.extend(note);
    Ok(background)
}

/// Limits for a node that is named on the command line.
fn limits(config: Option<&Config>) -> Limits {
    config.map_or(
        Limits {
            request_timeout: Duration::from_secs(10),
            max_rps: 0,
            max_in_flight: 4,
        },
        |config| config.solana.limits,
    )
}
