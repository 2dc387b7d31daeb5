//! The sandbox's own eyes: did this transaction pay this session? Asked of the node's `jsonParsed` view.

use crate::domain::{Mint, Signature, Wallet};
use serde_json::{Value, json};
use std::time::Duration;

/// What must have happened on chain.
pub(super) struct Expected<'a> {
    pub(super) memo: &'a str,
    pub(super) mint: Mint,
    pub(super) recipient: Wallet,
    pub(super) amount: u64,
}

/// Why a transaction does not pay a session.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the node could not be asked")]
    NodeUnavailable,
    #[error("the transaction is not known")]
    NotFound,
    #[error("the transaction failed")]
    Failed,
    #[error("the transaction does not carry this memo")]
    WrongMemo,
    #[error("the wallet received {received} base units of this token, not {due}")]
    WrongAmount { received: i128, due: u64 },
}

pub(super) struct Chain {
    http: reqwest::Client,
    rpc_url: String,
}

impl Chain {
    pub(super) fn new(rpc_url: &str, timeout: Duration) -> reqwest::Result<Self> {
        Ok(Self {
            http: reqwest::Client::builder().timeout(timeout).build()?,
            rpc_url: rpc_url.to_owned(),
        })
    }

    pub(super) async fn verify(
        &self,
        signature: Signature,
        expected: &Expected<'_>,
    ) -> Result<(), Refusal> {
        let options = json!({ "encoding": "jsonParsed", "commitment": "confirmed", "maxSupportedTransactionVersion": 1 });
        let question = json!({ "jsonrpc": "2.0", "id": 1, "method": "getTransaction", "params": [signature.to_string(), options] });
        let answer = async {
            self.http
                .post(&self.rpc_url)
                .json(&question)
                .send()
                .await?
                .json::<Value>()
                .await
        };
        let answer = answer.await.map_err(|_| Refusal::NodeUnavailable)?;
        if answer.get("error").is_some() {
            return Err(Refusal::NodeUnavailable);
        }
        check(&answer["result"], expected)
    }
}

fn check(transaction: &Value, expected: &Expected<'_>) -> Result<(), Refusal> {
    let meta = transaction
        .get("meta")
        .filter(|meta| !meta.is_null())
        .ok_or(Refusal::NotFound)?;
    if !meta["err"].is_null() {
        return Err(Refusal::Failed);
    }
    if !memos(transaction).any(|memo| {
        memo.trim_matches(['\0', ' ', '\n', '\r', '\t'])
            .eq_ignore_ascii_case(expected.memo)
    }) {
        return Err(Refusal::WrongMemo);
    }
    let held = |side: &str| -> i128 {
        let balances = meta[side].as_array().into_iter().flatten();
        balances
            .filter(|balance| {
                balance["owner"] == expected.recipient.to_string()
                    && balance["mint"] == expected.mint.to_string()
            })
            .filter_map(|balance| {
                balance["uiTokenAmount"]["amount"]
                    .as_str()?
                    .parse::<i128>()
                    .ok()
            })
            .sum()
    };
    let received = held("postTokenBalances") - held("preTokenBalances");
    if received != i128::from(expected.amount) {
        return Err(Refusal::WrongAmount {
            received,
            due: expected.amount,
        });
    }
    Ok(())
}

/// The texts of all memo instructions, outer and inner, parsed by the node or not.
fn memos(transaction: &Value) -> impl Iterator<Item = String> {
    let outer = transaction["transaction"]["message"]["instructions"]
        .as_array()
        .into_iter()
        .flatten();
    let groups = transaction["meta"]["innerInstructions"]
        .as_array()
        .into_iter()
        .flatten();
    let inner = groups.flat_map(|group| group["instructions"].as_array().into_iter().flatten());
    outer.chain(inner).filter_map(|instruction| {
        let is_memo = instruction["programId"]
            .as_str()
            .is_some_and(|id| id.starts_with("Memo"));
        let parsed = instruction["parsed"].as_str().map(str::to_owned);
        let raw = || {
            let bytes = solana_sdk::bs58::decode(instruction["data"].as_str()?)
                .into_vec()
                .ok()?;
            String::from_utf8(bytes).ok()
        };
        is_memo.then(|| parsed.or_else(raw)).flatten()
    })
}
