//! What a node says of itself, for whoever sets paywatch up.

use super::{Error, Rpc};
use crate::domain::{Slot, TokenAccount};
use serde_json::json;
use solana_client::rpc_request::RpcRequest;

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
