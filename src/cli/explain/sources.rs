//! Where an explanation comes from: a node or a file; database, API and configuration as far as they are there.

use super::Args;
use crate::cli::{open_empty, open_if_there};
use crate::config::Config;
use crate::domain::{Commitment, Transaction};
use crate::pipeline::{Background, Pipeline, Recipient, look_at};
use crate::solana::{Fetched, Limits, Rpc};
use anyhow::{Context, anyhow};
use std::time::Duration;

/// The transaction, and how sure the chain is of it: a saved answer does not tell.
pub(super) async fn fetch(
    args: &Args,
    rpc: Option<&Rpc>,
) -> anyhow::Result<(Fetched, Option<Commitment>)> {
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
    look_at(rpc, signature).await
}

/// Asks the real database if there is one that can be opened, and an empty one otherwise.
pub(super) async fn background(
    config: Config,
    transaction: &Transaction,
    recipients: &[Recipient],
) -> anyhow::Result<Background> {
    let folder = tempfile::tempdir().context("make a folder for an empty database")?;
    let real = match open_if_there(&config).await {
        Ok(Some(store)) => Ok(store),
        Ok(None) => Err(format!("there is no database at {} yet", config.store_url)),
        Err(error) => Err(format!("the database was not used: {error:#}")),
    };
    let (store, note) = match real {
        Ok(store) => (store, None),
        Err(note) => (open_empty(&folder).await?, Some(note)),
    };
    let pipeline = Pipeline::new(config, store.clone())?;
    let background = pipeline.background(transaction, recipients).await;
    store.close().await;
    let mut background = background?;
    background.notes.extend(note);
    Ok(background)
}

/// Limits for a node that is named on the command line.
pub(super) fn limits(config: Option<&Config>) -> Limits {
    config.map_or(
        Limits {
            request_timeout: Duration::from_secs(10),
            max_rps: 0,
            max_in_flight: 4,
        },
        |config| config.solana.limits,
    )
}
