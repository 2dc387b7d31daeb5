//! `paywatch explain`: a transaction as paywatch sees it, and why each payment is judged as it is.

mod json;
mod sources;
mod text;

use super::{Failure, block_on, print};
use crate::config::Config;
use crate::domain::{
    Commitment, Explanation, Reason, Signature, Transaction, Wallet, explain_unreadable,
};
use crate::pipeline::{Background, Recipient, not_found};
use crate::solana::{Fetched, Rpc};
use crate::telemetry;
use anyhow::Context;
use std::path::{Path, PathBuf};
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
    let urls = match (&args.rpc, &config) {
        (Some(url), _) => Some(std::slice::from_ref(url)),
        (None, Some(config)) if args.file.is_none() => Some(config.solana.rpc_urls.as_slice()),
        _ => None,
    };
    let rpc = urls.map(|urls| Rpc::new(urls, sources::limits(config.as_ref())));
    let rpc = rpc.transpose().context("build the RPC client")?;
    let (fetched, commitment) = sources::fetch(args, rpc.as_ref()).await?;
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
        Some(config) => sources::background(config, &transaction, &recipients).await?,
    };
    Ok(Explained::Read(Box::new(Read {
        explanation: background.explain(&transaction),
        transaction,
        commitment,
        background,
    })))
}
