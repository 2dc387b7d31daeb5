//! `paywatch store`: whether the database holds what it must, and a copy of it.

use super::{Failure, block_on, open_existing, print};
use crate::config::Config;
use crate::store::{Broken, Store};
use crate::telemetry;
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};

/// Arguments of `paywatch store`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Check the database against its own rules; exits with 1 and names what is wrong, if anything is
    Check {
        /// Print what is wrong as JSON
        #[arg(long)]
        json: bool,
    },
    /// Copy the database into a new file, also while the daemon runs, and check the copy
    Backup {
        /// The file to make; must not exist
        file: PathBuf,
    },
}

pub(super) fn run(config: &Config, args: &Args) -> Result<u8, Failure> {
    telemetry::init_logs(&config.log);
    block_on(async {
        let store = open_existing(config).await?;
        let broken = match &args.command {
            Command::Check { .. } => store.audit().await.context("read the database")?,
            Command::Backup { file } => backup(&store, file).await?,
        };
        store.close().await;
        if matches!(args.command, Command::Check { json: true }) {
            print::json(&broken)?;
        } else {
            show(&broken)?;
        }
        Ok(if broken.is_empty() { 0 } else { super::FAILED })
    })
}

/// Returns what is wrong with the copy.
async fn backup(store: &Store, file: &Path) -> anyhow::Result<Vec<Broken>> {
    let name = file.display();
    if file.exists() {
        bail!("{name} exists, and is not overwritten: name another file");
    }
    // Until it is whole it has another name: what is left by an interruption must not pass for a copy.
    let part = PathBuf::from(format!("{name}.part"));
    if part.exists() {
        std::fs::remove_file(&part).with_context(|| format!("remove {}", part.display()))?;
    }
    store
        .copy_to(&part)
        .await
        .with_context(|| format!("write {}", part.display()))?;
    let copy = Store::open(&format!("sqlite:{}", part.display()))
        .await
        .with_context(|| format!("open {}", part.display()))?;
    let broken = copy.audit().await.context("read the copy")?;
    copy.close().await;
    std::fs::rename(&part, file).with_context(|| format!("name it {name}"))?;
    print::line(&format!("wrote {name}"))?;
    Ok(broken)
}

fn show(broken: &[Broken]) -> anyhow::Result<()> {
    if broken.is_empty() {
        print::line(&format!("all {} rules hold", Store::rules()))?;
    }
    for one in broken {
        print::line(&format!("broken: {}", one.rule))?;
        for row in &one.rows {
            print::line(&format!("  {}", crate::domain::visible(row)))?;
        }
    }
    Ok(())
}
