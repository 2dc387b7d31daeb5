//! What a node says of itself, for whoever sets paywatch up.

use super::{Error, Rpc};
use crate::domain::Slot;
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

    /// The oldest slot whose block the node still has.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn oldest_slot(&self) -> Result<Slot, Error> {
        let request = RpcRequest::GetFirstAvailableBlock;
        let answer = self.ask(request, json!([])).await?;
        answer
            .as_u64()
            .ok_or_else(|| Self::malformed("getFirstAvailableBlock", "a slot"))
    }

    /// When a block was made, Unix seconds; `None` if the node does not know.
    ///
    /// # Errors
    /// When no node answers, or the slot has no block.
    pub async fn block_time(&self, slot: Slot) -> Result<Option<i64>, Error> {
        let answer = self.ask(RpcRequest::GetBlockTime, json!([slot])).await?;
        Ok(answer.as_i64())
    }
}
