//! The command line: one file per command. Exit codes: 0 done, 1 failed, 2 done but something needs a person,
//! 64 usage or configuration.

mod backfill;
mod buyer;
mod card;
mod check;
mod checkout;
mod config;
mod daemon;
mod explain;
mod generate;
mod healthcheck;
mod history;
mod init;
mod mcp;
mod payments;
mod plans;
mod print;
mod run;
mod sandbox;
mod status;
mod store;
mod tokens;

use crate::config::{self as settings, Config};
use crate::domain::Signature;
use crate::store::Store;
use anyhow::{Context, anyhow, bail};
use clap::{Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Exit code: it did not work.
pub const FAILED: u8 = 1;
/// Exit code: it worked, and something needs a person.
pub const NEEDS_A_PERSON: u8 = 2;
/// Exit code: wrong usage or configuration.
pub const USAGE: u8 = 64;

/// Watches Solana for stablecoin payments and confirms them to a payments API.
#[derive(Debug, Parser)]
#[command(version, about, arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// Configuration file (TOML); the environment (`PAYWATCH__SECTION__KEY`) overrides it
    #[arg(
        long,
        short,
        global = true,
        value_name = "FILE",
        env = "PAYWATCH_CONFIG"
    )]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str =
    "Exit codes: 0 done, 1 failed, 2 done but something needs a person, 64 usage or configuration.";

const NO_CONFIGURATION: &str = "no configuration is named: pass --config FILE, set PAYWATCH_CONFIG, or set each key as PAYWATCH__SECTION__KEY (`paywatch init` writes a file)";

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch and confirm until told to stop (SIGTERM or SIGINT drain within 10 s, a second one stops at once)
    Run,
    /// Go through history once and confirm what it holds
    Backfill(backfill::Args),
    /// Show a transaction as paywatch sees it, and say why it is judged as it is
    Explain(explain::Args),
    /// List and show payments; confirm, dismiss or retry them by hand
    Payments(payments::Args),
    /// Look after the database
    Store(store::Args),
    /// Write a configuration file to begin with: every key, its default, unit and reason
    Init(init::Args),
    /// Look at the configuration
    Config(config::Args),
    /// Check the configuration and everything it names, and say what to do about what is wrong
    Check(check::Args),
    /// Show how the running daemon stands (exits with 2 if something needs a person)
    Status(status::Args),
    /// Ask the running daemon whether it is alive (for container health checks)
    Healthcheck,
    /// List what can be bought
    Plans(buyer::Listing),
    /// List what can be paid with
    Tokens(buyer::Listing),
    /// Begin a checkout: shows what to send, with a QR code; --wait follows it until it is confirmed
    Checkout(checkout::Args),
    /// Begin a payment by card: prints the address of the page that takes the card
    Card(card::Args),
    /// List checkouts of the account, as the payments API has them
    History(history::Args),
    /// Serve the payments flow to an assistant: tools of the Model Context Protocol on standard input and output
    Mcp,
    /// Serve a payments API to develop against, which verifies payments on chain
    Sandbox,
    /// Print what a shell needs to complete these commands
    Completions(generate::Completions),
    /// Write man pages for all commands
    Man(generate::Man),
}

/// Why a command did not end well.
enum Failure {
    Configuration(anyhow::Error),
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl Cli {
    /// Runs the command.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let result = match &self.command {
            Command::Run => self.load().and_then(run::run),
            Command::Backfill(args) => self.load().and_then(|config| backfill::run(config, args)),
            Command::Explain(args) => explain::run(args, self.config.as_deref(), || self.load()),
            Command::Payments(args) => self.load().and_then(|config| payments::run(&config, args)),
            Command::Store(args) => self.load().and_then(|config| store::run(&config, args)),
            Command::Init(args) => init::run(args),
            Command::Config(args) => config::run(&self, args),
            Command::Check(args) => self.load().and_then(|config| check::run(&config, args)),
            Command::Status(args) => self.load().and_then(|config| status::run(&config, args)),
            Command::Healthcheck => self.load().and_then(|config| healthcheck::run(&config)),
            Command::Plans(args) => self.load().and_then(|config| plans::run(&config, args)),
            Command::Tokens(args) => self.load().and_then(|config| tokens::run(&config, args)),
            Command::Checkout(args) => self.load().and_then(|config| checkout::run(&config, args)),
            Command::Card(args) => self.load().and_then(|config| card::run(&config, args)),
            Command::History(args) => self.load().and_then(|config| history::run(&config, args)),
            Command::Mcp => self.load().and_then(mcp::run),
            Command::Completions(args) => generate::completions(args),
            Command::Man(args) => generate::man(args),
            Command::Sandbox => sandbox::run(self.config.as_deref()),
        };
        let (code, error) = match result {
            Ok(code) => return ExitCode::from(code),
            Err(Failure::Configuration(error)) => (USAGE, error),
            Err(Failure::Failed(error)) if error.is::<print::NobodyReads>() => {
                return ExitCode::from(FAILED);
            }
            Err(Failure::Failed(error)) => (FAILED, error),
        };
        eprintln!("paywatch: {error:#}");
        ExitCode::from(code)
    }

    fn load(&self) -> Result<Config, Failure> {
        if self.config.is_none() && !settings::is_in_environment(std::env::vars()) {
            return Err(Failure::Configuration(anyhow!(NO_CONFIGURATION)));
        }
        Config::load(self.config.as_deref(), std::env::vars()).map_err(Failure::Configuration)
    }
}

/// Runs a command's work to its end, on this thread; SQLite has threads of its own.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(anyhow::Error::new(error).context("start the runtime")))?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}

/// A transaction's signature on the command line.
fn signature(text: &str) -> Result<Signature, String> {
    let expected =
        "expected a transaction's signature: 64 bytes in base58, which are 86 to 88 characters";
    text.trim().parse().map_err(|_| expected.to_owned())
}

/// Opens the database for a command that has nothing to do without one; makes none.
async fn open_existing(config: &Config) -> anyhow::Result<Store> {
    let Some(store) = open_if_there(config).await? else {
        bail!(
            "there is no database at {} (store.url): no payment was ever recorded; `paywatch run` and `backfill` make it",
            config.store_url
        );
    };
    Ok(store)
}

async fn open_if_there(config: &Config) -> anyhow::Result<Option<Store>> {
    if !config.database_file().is_some_and(|file| file.exists()) {
        return Ok(None);
    }
    let opened = Store::open(&config.store_url).await;
    Ok(Some(opened.with_context(|| {
        format!("open the database {}", config.store_url)
    })?))
}

/// A database that knows nothing, for as long as the folder is there.
async fn open_empty(folder: &TempDir) -> anyhow::Result<Store> {
    let url = format!("sqlite:{}", folder.path().join("empty.db").display());
    Store::open(&url).await.context("open an empty database")
}

/// Cancelled by the first SIGTERM or SIGINT; the second ends the process at once.
fn shutdown_on_signals() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let token = CancellationToken::new();
    let cancelled = token.clone();
    crate::supervisor::spawn_detached(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        next().await;
        cancelled.cancel();
        next().await;
        eprintln!("paywatch: second signal, stopping at once");
        std::process::exit(i32::from(FAILED));
    });
    Ok(token)
}
