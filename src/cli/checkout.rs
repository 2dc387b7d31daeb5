//! `paywatch checkout`: begins a checkout, shows what to send, and follows it.

use super::{FAILED, Failure, NEEDS_A_PERSON, block_on, buyer, print, shutdown_on_signals};
use crate::buyer::{Buyer, Wish};
use crate::config::Config;
use crate::domain::TransferRequest;
use crate::report::{
    qr_png, qr_svg, qr_text, stage_json, stage_words, transfer_request_json, transfer_request_text,
};
use crate::store::Stage;
use anyhow::{Context, anyhow};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// Arguments of `paywatch checkout`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Id of the plan to buy, see `paywatch plans`
    #[arg(long, value_name = "ID")]
    plan: u64,
    /// Token to pay in: its symbol (USDC) or its mint, see `paywatch tokens`
    #[arg(long, value_name = "TOKEN")]
    token: String,
    /// How many of the plan
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    quantity: u32,
    /// Id of the organization to credit [default: whom the API credits by itself]
    #[arg(long, value_name = "ID")]
    organization: Option<u64>,
    /// Write the QR code to a file, too: FILE.png or FILE.svg
    #[arg(long, value_name = "FILE", value_parser = picture)]
    qr: Option<PathBuf>,
    /// Follow the checkout until it is confirmed or needs help, at most so long
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "15m", value_parser = humantime::parse_duration)]
    wait: Option<Duration>,
    /// Print what to send as a JSON object; with --wait a second one says how it ended
    #[arg(long)]
    json: bool,
}

/// Shortest and longest time between two looks at how far the checkout is; in between a tenth of the time it took so far.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

pub(super) fn run(config: &Config, args: &Args) -> Result<u8, Failure> {
    block_on(async {
        let buyer = buyer::open(config).await?;
        let wish = Wish {
            plan: args.plan,
            token: args.token.clone(),
            quantity: args.quantity,
            organization: args.organization,
        };
        let request = buyer
            .checkout(&wish)
            .await
            .map_err(|error| anyhow!(error).context("begin a checkout"))?;
        if let Some(file) = &args.qr {
            write_picture(file, &request.url())?;
        }
        if args.json {
            print::json(&transfer_request_json(&request))?;
        } else {
            print::line(&transfer_request_text(&request))?;
            print::line(&code(&request.url())?)?;
        }
        match args.wait {
            Some(patience) => follow(&buyer, &request, patience, args).await,
            None => Ok(0),
        }
    })
}

/// Ends with the confirmation; or once a payment needs somebody's help, or nobody paid in time.
async fn follow(
    buyer: &Buyer,
    request: &TransferRequest,
    patience: Duration,
    args: &Args,
) -> Result<u8, Failure> {
    let stop = shutdown_on_signals().context("listen for signals")?;
    let line = live_line();
    let (began, mut last) = (Instant::now(), Stage::Waiting);
    let code = loop {
        match buyer.stage(&request.memo).await {
            Ok(found) => {
                last = found.map_or(Stage::Waiting, |(_, stage)| stage);
                line.set_message(stage_words(&last));
            }
            // Asked again; the line says why nothing moves.
            Err(error) => line.set_message(format!("{error}; asking again")),
        }
        match last {
            Stage::Confirmed { .. } => break 0,
            Stage::NeedsHelp { .. } | Stage::Closed => break NEEDS_A_PERSON,
            _ if stop.is_cancelled() || began.elapsed() >= patience => break FAILED,
            Stage::Waiting | Stage::Seen { .. } => {}
        }
        let pause = (began.elapsed() / 10).clamp(PAUSE.0, PAUSE.1);
        let pause = pause.min(patience.saturating_sub(began.elapsed()));
        // Whatever ends first.
        let _woken = stop.run_until_cancelled(sleep(pause)).await;
    };
    line.finish_and_clear();
    if args.json {
        print::json(&stage_json(&last))?;
    } else if code == FAILED {
        let words = stage_words(&last);
        eprintln!(
            "not confirmed yet: {words} The checkout stays payable; `paywatch history` shows it."
        );
    } else {
        let transaction = last.signature().map(|one| format!(" Transaction {one}."));
        let words = stage_words(&last);
        print::line(&format!("{words}{}", transaction.unwrap_or_default()))?;
    }
    Ok(code)
}

fn live_line() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let line = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
        line.set_style(style);
    }
    line.enable_steady_tick(Duration::from_millis(120));
    line
}

/// On a terminal bright on black, whatever its colours: what scans best.
fn code(url: &str) -> anyhow::Result<String> {
    let code = qr_text(url)?;
    if !std::io::stdout().is_terminal() {
        return Ok(code);
    }
    let lines: Vec<_> = code
        .lines()
        .map(|line| format!("\u{1b}[97;40m{line}\u{1b}[0m"))
        .collect();
    Ok(lines.join("\n"))
}

fn picture(text: &str) -> Result<PathBuf, String> {
    let file = PathBuf::from(text);
    match extension(&file).as_deref() {
        Some("png" | "svg") => Ok(file),
        _ => Err("expected a file name that ends in .png or .svg".into()),
    }
}

fn extension(file: &Path) -> Option<String> {
    Some(file.extension()?.to_str()?.to_ascii_lowercase())
}

fn write_picture(file: &Path, url: &str) -> anyhow::Result<()> {
    let picture = match extension(file).as_deref() {
        Some("svg") => qr_svg(url)?.into_bytes(),
        _ => qr_png(url)?,
    };
    std::fs::write(file, picture).with_context(|| format!("write {}", file.display()))
}
