//! What the node says by itself: one WebSocket connection, disposable.
//!
//! A hint costs nothing to lose: the sweep finds every payment without it. So a connection that is silent, refuses a
//! subscription or breaks is thrown away whole; whoever calls opens a new one, and sweeps.

use crate::domain::{Memo, Pubkey, Signature, Slot, TokenAccount};
use futures_util::{StreamExt, stream::SelectAll};
use solana_client::rpc_config::{
    CommitmentConfig, RpcTransactionLogsConfig, RpcTransactionLogsFilter,
};
use solana_pubsub_client::nonblocking::pubsub_client::{PubsubClient, PubsubClientError};
use std::{convert::Infallible, future::Future, time::Duration};
use url::Url;

/// What a connection brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// All subscriptions stand.
    Subscribed,
    /// The chain has reached a slot: the connection is alive.
    Slot(Slot),
    /// A transaction may concern us.
    Hint(Hint),
}

/// A transaction that names a watched token account has reached `confirmed`, or is about to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The transaction.
    pub signature: Signature,
    /// Which subscription brought it.
    pub token_account: TokenAccount,
    /// What its logs show of memos, as far as that can be read and nothing was cut off: good for deciding what to look at first.
    pub memos: Vec<Memo>,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// It could not be made, or a subscription was refused. The cause is described, not chained: it may quote the address.
    #[error("could not {doing}: {what}")]
    Refused {
        /// What was tried.
        doing: &'static str,
        /// The kind of failure.
        what: &'static str,
    },
    /// It did not answer in time.
    #[error("could not {0} in time")]
    Slow(&'static str),
    /// No slot for too long, although the socket is open.
    #[error("no slot for {0:?}")]
    Silent(Duration),
    /// The other side closed it.
    #[error("closed by the node")]
    Closed,
}

/// Opens a connection, subscribes to slots and to the logs of each token account at `confirmed`, and hands every event to
/// `sink` until the connection fails.
///
/// `patience` is the longest time without a slot, and for each step of the opening.
///
/// # Errors
/// Always, in the end: says why the connection is over.
pub async fn listen_once(
    url: &Url,
    token_accounts: &[TokenAccount],
    patience: Duration,
    mut sink: impl FnMut(Event),
) -> Result<Infallible, ListenError> {
    let client = within(
        patience,
        "connect",
        Box::pin(PubsubClient::new(url.as_str())),
    )
    .await?;
    let (slots, _) = within(patience, "subscribe to slots", client.slot_subscribe()).await?;
    let mut events = SelectAll::new();
    events.push(slots.map(|slot| Some(Event::Slot(slot.slot))).boxed());
    for token_account in token_accounts {
        let filter = RpcTransactionLogsFilter::Mentions(vec![token_account.to_string()]);
        let config = RpcTransactionLogsConfig {
            commitment: Some(CommitmentConfig::confirmed()),
        };
        let (logs, _) = within(
            patience,
            "subscribe to logs",
            client.logs_subscribe(filter, config),
        )
        .await?;
        let token_account = *token_account;
        let hints = logs.map(move |logs| {
            let logs = logs.value;
            if logs.err.is_some() || has_failed(&logs.logs) {
                return None;
            }
            Some(Event::Hint(Hint {
                signature: logs.signature.parse().ok()?,
                token_account,
                memos: logged_memos(&logs.logs),
            }))
        });
        events.push(hints.boxed());
    }
    sink(Event::Subscribed);
    let mut alive_until = tokio::time::Instant::now() + patience;
    loop {
        let event = tokio::time::timeout_at(alive_until, events.next())
            .await
            .map_err(|_| ListenError::Silent(patience))?
            .ok_or(ListenError::Closed)?;
        let Some(event) = event else { continue };
        if matches!(event, Event::Slot(_)) {
            alive_until = tokio::time::Instant::now() + patience;
        }
        sink(event);
    }
}

async fn within<T>(
    patience: Duration,
    doing: &'static str,
    step: impl Future<Output = Result<T, PubsubClientError>>,
) -> Result<T, ListenError> {
    tokio::time::timeout(patience, step)
        .await
        .map_err(|_| ListenError::Slow(doing))?
        .map_err(|error| ListenError::Refused {
            doing,
            what: kind(&error),
        })
}

fn kind(error: &PubsubClientError) -> &'static str {
    match error {
        PubsubClientError::UrlParseError(_) => "not a WebSocket address",
        PubsubClientError::ConnectionError(_) => "no connection",
        PubsubClientError::WsError(_) => "WebSocket broken",
        PubsubClientError::ConnectionClosed(_) => "connection closed",
        PubsubClientError::SubscribeFailed { .. } => "refused by the node",
        _ => "unexpected answer",
    }
}

/// Whether the logs say that it failed, where the node does not: the sweep will know for certain, without a fetch.
fn has_failed(logs: &[String]) -> bool {
    let failed = |line: &String| {
        let mut words = line.strip_prefix("Program ").unwrap_or("").split(' ');
        // A program can print a line, but not one that begins with its own address.
        let is_address = words
            .next()
            .is_some_and(|word| word.parse::<Pubkey>().is_ok());
        is_address && words.next() == Some("failed:")
    };
    logs.iter().any(failed)
}

/// Reads memos as their programs log them: `Memo (len 4): "text"`, or `Memo (len 4)` and the text in the next line. All or nothing:
/// an escaped text, another form or a log that was cut off says that not everything is seen.
fn logged_memos(logs: &[String]) -> Vec<Memo> {
    const MEMOS_MAX: usize = 8;
    let mut memos = Vec::new();
    let mut lines = logs.iter();
    while let Some(line) = lines.next() {
        if line.starts_with("Log truncated") {
            return Vec::new();
        }
        let Some(said) = line.strip_prefix("Program log: Memo (len ") else {
            continue;
        };
        let memo = match said.strip_suffix(')') {
            Some(length) => lines
                .next()
                .and_then(|next| whole(length, next.strip_prefix("Program log: ")?)),
            None => quoted(said),
        };
        let Some(memo) = memo else {
            return Vec::new();
        };
        memos.push(memo);
    }
    if memos.len() > MEMOS_MAX {
        memos.clear();
    }
    memos
}

fn quoted(said: &str) -> Option<Memo> {
    let (length, text) = said.split_once("): \"")?;
    let text = text.strip_suffix('"')?;
    whole(length, text).filter(|_| !text.contains(['\\', '"']))
}

fn whole(length: &str, text: &str) -> Option<Memo> {
    let is_whole = length.parse() == Ok(text.len());
    is_whole.then(|| Memo::parse(text)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memos_in_logs_are_read_whole_or_not_at_all() {
        let read = |logs: &[&str]| {
            let logs: Vec<_> = logs.iter().map(ToString::to_string).collect();
            let memos = logged_memos(&logs);
            memos
                .iter()
                .map(|memo| memo.as_str().to_owned())
                .collect::<Vec<_>>()
        };
        let plain = "Program log: Memo (len 2): \"ab\"";
        assert_eq!(read(&["Program x invoke [1]", plain]), ["ab"]);
        assert_eq!(
            read(&[plain, "Program log: Memo (len 1): \"c\""]),
            ["ab", "c"]
        );
        let other = ["Program log: Memo (len 2)", "Program log: ab"];
        assert_eq!(read(&other), ["ab"]);
        assert!(read(&["Program log: Memo (len 2)", "Program log: abc"]).is_empty());
        assert!(read(&["Program log: Memo (len 2)"]).is_empty());
        for odd in [
            "Program log: Memo (len 3): \"ab\"",
            "Program log: Memo (len 2): \"a\\n\"",
            "Program log: Memo (len 2): \"ab",
            "Program log: Memo (len x): \"ab\"",
            "Program log: Memo (len 4): \"a\"b\"",
            "Program log: Memo (len 1): \" \"",
            "Log truncated",
        ] {
            assert!(read(&[plain, odd]).is_empty(), "{odd}");
        }
        assert!(read(&["Program log: ab", "Memo (len 2): \"ab\""]).is_empty());
    }

    #[test]
    fn a_failure_is_read_from_what_no_program_can_print() {
        let failed = |line: &str| has_failed(&["Program log: x".to_owned(), line.to_owned()]);
        assert!(failed(
            "Program TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA failed: custom program error: 0x1"
        ));
        for line in [
            "Program log: failed: x",
            "Program data: failed: x",
            "Program TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA success",
            "Program  failed: x",
        ] {
            assert!(!failed(line), "{line}");
        }
    }
}
