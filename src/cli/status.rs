//! `paywatch status`: how the running daemon stands.

use super::daemon::Daemon;
use super::{Failure, NEEDS_A_PERSON, block_on, print, shutdown_on_signals};
use crate::config::Config;
use crate::domain::visible;
use crate::ops::{Notices, Snapshot, Standing};
use crate::report::{ago, duration};
use anyhow::Context;
use std::time::Duration;

/// Arguments of `paywatch status`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Go on until Ctrl-C
    #[arg(long, short)]
    watch: bool,
}

const EVERY: Duration = Duration::from_secs(2);
/// Moves to the upper left corner and clears the terminal.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

pub(super) fn run(config: &Config, args: &Args) -> Result<u8, Failure> {
    let daemon = Daemon::of(config)?;
    block_on(async {
        let shutdown = shutdown_on_signals().context("listen for signals")?;
        let clears = args.watch && std::io::IsTerminal::is_terminal(&std::io::stdout());
        loop {
            let asked = daemon.get("/v1/status").await?;
            let snapshot: Snapshot = asked.json().await.context("read the answer")?;
            if clears {
                print::line(CLEAR)?;
            }
            if args.json {
                print::json(&snapshot)?;
            } else {
                print::line(&shown(&snapshot))?;
            }
            if !args.watch {
                return Ok(if snapshot.standing.needs_a_person() {
                    NEEDS_A_PERSON
                } else {
                    0
                });
            }
            let over = tokio::time::timeout(EVERY, shutdown.cancelled()).await;
            if over.is_ok() {
                return Ok(0);
            }
        }
    })
}

/// The accounts that are swept, and what is not.
fn watched(standing: &Standing) -> Vec<(String, String)> {
    let swept = standing.token_accounts.iter().map(|account| {
        let text = format!(
            "{} {}",
            account.token_account,
            ago(account.swept_ago_seconds)
        );
        (format!("swept {}", account.symbol), text)
    });
    let in_turn = standing.token_accounts_in_turn;
    let in_turn = (in_turn > 0).then(|| {
        let text = format!("{in_turn} more token accounts, made by others (watch.max_accounts)");
        ("swept in turn".to_owned(), text)
    });
    let not = standing.unwatchable.iter();
    let not = not.map(|why| ("NOT WATCHED".to_owned(), visible(why)));
    swept.chain(in_turn).chain(not).collect()
}

fn shown(snapshot: &Snapshot) -> String {
    let standing = &snapshot.standing;
    let mut lines = vec![match &standing.not_ready {
        None => format!("paywatch {} does its work", standing.version),
        Some(why) => format!("paywatch {} is NOT READY: {why}", standing.version),
    }];
    let mut line = |name: &str, text: String| lines.push(format!("  {name:<20} {text}"));
    line(
        "chain",
        match standing.slot {
            Some(slot) => format!(
                "slot {slot}, heard {}",
                ago(standing.slot_heard_ago_seconds)
            ),
            None if standing.sockets_open > 0 => {
                "no slot heard: the nodes refuse slotSubscribe".into()
            }
            None => "no slot heard: no WebSocket is open".into(),
        },
    );
    let (open, all) = (standing.sockets_open, standing.sockets);
    line("WebSockets", format!("{open} of {all} open"));
    for (name, text) in watched(standing) {
        line(&name, text);
    }
    let read = ago(standing.checkouts_read_ago_seconds);
    line(
        "checkouts",
        format!("{} pending, read {read}", standing.pending_checkouts),
    );
    let outbox = standing.outbox;
    let oldest = outbox
        .oldest_seconds
        .map(|seconds| format!(", the oldest for {}", duration(seconds)))
        .unwrap_or_default();
    line(
        "outbox",
        format!(
            "{} queued{oldest}, {} of them tried in vain, {} parked, {} uncredited",
            outbox.queued, outbox.undelivered, outbox.parked, outbox.uncredited
        ),
    );
    for (name, rate) in [
        ("last hour", snapshot.last_hour),
        ("last 24 hours", snapshot.last_day),
    ] {
        line(
            name,
            format!("{} recorded, {} confirmed", rate.payments, rate.confirmed),
        );
    }
    if standing.dust > 0 {
        let text = format!(
            "{} payments too small to matter: paywatch payments list --state dust",
            standing.dust
        );
        line("dust", text);
    }
    if standing.notices == Notices::Gone {
        let why = "ENDED: the address answered 410 Gone; set notify.url and restart paywatch";
        line("notices", why.into());
    }
    line("needs a person", waiting(standing));
    lines.join("\n")
}

/// What waits for a person.
fn waiting(standing: &Standing) -> String {
    let parked = standing.outbox.parked;
    let parked = (parked > 0).then(|| format!("{parked} parked"));
    let uncredited = standing.outbox.uncredited;
    let uncredited = (uncredited > 0).then(|| format!("{uncredited} uncredited"));
    let unwatchable = standing.unwatchable.len();
    let unwatchable = (unwatchable > 0).then(|| format!("{unwatchable} tokens not watched"));
    let held = standing.held.iter();
    let held = held.map(|(reason, payments)| format!("{payments} {reason}"));
    let payments: Vec<_> = parked.into_iter().chain(uncredited).chain(held).collect();
    let payments = (!payments.is_empty()).then(|| {
        format!(
            "{}: paywatch payments list --state held, parked or uncredited",
            payments.join(", ")
        )
    });
    let all: Vec<_> = unwatchable.into_iter().chain(payments).collect();
    if all.is_empty() {
        return "nothing".into();
    }
    all.join("; ")
}
