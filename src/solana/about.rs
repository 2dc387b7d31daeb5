//! What a node says of itself, for whoever sets paywatch up.

use super::{Error, ListenError, Rpc};
use crate::domain::{Slot, TokenAccount};
use futures_util::StreamExt;
use serde_json::json;
use solana_client::rpc_request::RpcRequest;
use solana_pubsub_client::nonblocking::pubsub_client::{PubsubClient, PubsubClientError};
use std::{future::Future, time::Duration};
use url::Url;

/// The newest slot that a WebSocket brings, heard through Solana's own client: what any other program would hear.
///
/// # Errors
/// When there is no connection, the node refuses slots, or none comes in time.
pub async fn slot_by_socket(url: &Url, patience: Duration) -> Result<Slot, ListenError> {
    let connecting = Box::pin(PubsubClient::new(url.as_str()));
    let client = within(patience, "connect", connecting).await?;
    let doing = "subscribe to slots";
    let (mut slots, _) = within(patience, doing, client.slot_subscribe()).await?;
    let slot = tokio::time::timeout(patience, slots.next()).await;
    let slot = slot.map_err(|_| ListenError::Silent(patience))?;
    slot.map(|told| told.slot).ok_or(ListenError::Closed)
}

async fn within<T>(
    patience: Duration,
    doing: &'static str,
    step: impl Future<Output = Result<T, PubsubClientError>>,
) -> Result<T, ListenError> {
    let done = tokio::time::timeout(patience, step).await;
    let done = done.map_err(|_| ListenError::Slow(doing))?;
    done.map_err(|error| ListenError::Refused {
        doing,
        // The cause may quote the address, and with it a key.
        what: match error {
            PubsubClientError::ConnectionError(_) => "no connection",
            PubsubClientError::ConnectionClosed(_) => "connection closed",
            PubsubClientError::SubscribeFailed { .. } => "refused by the node",
            _ => "unexpected answer",
        },
    })
}

impl Rpc {
    /// The version of the node's software.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn version(&self) -> Result<String, Error> {
        let answer = self.ask(RpcRequest::GetVersion, json!([])).await?;
        let version = answer["solana-core"].as_str();
        let version = version.ok_or_else(|| Self::malformed("getVersion", "a version"))?;
        Ok(version.to_owned())
    }

    /// Which network the node is of, for people: by its genesis block, if that is one of the public ones'.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn network(&self) -> Result<&'static str, Error> {
        let answer = self.ask(RpcRequest::GetGenesisHash, json!([])).await?;
        // As in the crate solana-cluster-type 3.2.
        Ok(match answer.as_str() {
            Some("5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d") => "Solana",
            Some("EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG") => "Solana devnet (test money)",
            Some("4uhcVJyU9pJkvQyS88uRDiswHXSCkY3zQawwpjk2NsNY") => "Solana testnet (test money)",
            _ => "a private Solana network (test money)",
        })
    }

    /// When a block was made, Unix seconds; `None` if the node does not know.
    ///
    /// # Errors
    /// When no node answers, or the slot has no block.
    pub async fn block_time(&self, slot: Slot) -> Result<Option<i64>, Error> {
        let answer = self.ask(RpcRequest::GetBlockTime, json!([slot])).await?;
        Ok(answer.as_i64())
    }

    /// Whether a token account exists.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn exists(&self, token_account: TokenAccount) -> Result<bool, Error> {
        let options = json!({ "encoding": "base64", "commitment": "confirmed", "dataSlice": { "offset": 0, "length": 0 } });
        let params = json!([token_account.to_string(), options]);
        let answer = self.ask(RpcRequest::GetAccountInfo, params).await?;
        let account = answer.get("value");
        let account = account.ok_or_else(|| Self::malformed("getAccountInfo", "an account"))?;
        Ok(!account.is_null())
    }
}
