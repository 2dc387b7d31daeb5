//! The node's JSON, and the bytes of transactions, as domain values.
//!
//! The types are our own and lenient: a field that is not needed cannot fail a page, and `err` is any
//! value at all. What cannot be read is `Unreadable` with a reason; nothing here panics on any input.

mod account;
mod history;
pub(super) mod pubsub;

pub use account::AccountKind;
pub(super) use account::{account_kind, mint};
pub use history::SignatureEntry;
pub(super) use history::signatures;

use crate::domain::{
    BaseUnits, Commitment, Decimals, Instruction, Lamports, Mint, Outcome, Pubkey, Signature, Slot,
    TokenAccount, TokenBalance, TokenProgram, Transaction, Version, Wallet,
};
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::Value;
use solana_client::rpc_request::RpcRequest;
use solana_sdk::transaction::{TransactionVersion, VersionedTransaction};
use solana_transaction_status_client_types::{EncodedTransaction, TransactionBinaryEncoding};
use std::collections::HashSet;

/// Why a transaction is quarantined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("the node's answer does not have the expected form")]
    Form,
    #[error("the bytes are no transaction of version legacy, 0 or 1")]
    Bytes,
    #[error("the node sent another transaction than the one asked for")]
    OtherSignature,
    #[error("the node kept no status of it: it may not have executed")]
    NoStatus,
    #[error("the node kept no token balances of it")]
    NoBalances,
    #[error("an instruction names a key that the transaction does not have")]
    NoSuchKey,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawTransaction {
    slot: Slot,
    block_time: Option<i64>,
    transaction: (String, String),
    meta: Option<RawMeta>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMeta {
    /// Missing is unknown; null is success.
    #[serde(default, deserialize_with = "told_outcome")]
    err: Option<Outcome>,
    inner_instructions: Option<Vec<RawInner>>,
    pre_token_balances: Option<Vec<RawBalance>>,
    post_token_balances: Option<Vec<RawBalance>>,
    pre_balances: Option<Vec<u64>>,
    post_balances: Option<Vec<u64>>,
    #[serde(default)]
    loaded_addresses: Option<RawLoaded>,
}

fn told_outcome<'de, D: Deserializer<'de>>(err: D) -> Result<Option<Outcome>, D::Error> {
    let err = Option::<IgnoredAny>::deserialize(err)?;
    Ok(Some(outcome(err.is_some())))
}

#[derive(Deserialize)]
struct RawInner {
    index: usize,
    instructions: Vec<RawInstruction>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawInstruction {
    program_id_index: u8,
    accounts: Vec<u8>,
    data: String,
    /// 1 = called by the transaction itself; old nodes leave it out.
    stack_height: Option<u8>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawBalance {
    account_index: usize,
    mint: String,
    owner: Option<String>,
    program_id: Option<String>,
    ui_token_amount: RawAmount,
}

#[derive(Deserialize)]
struct RawAmount {
    amount: String,
    decimals: Option<u8>,
}

#[derive(Deserialize, Default)]
struct RawLoaded {
    writable: Vec<String>,
    readonly: Vec<String>,
}

/// Whether an answer has the form that its question asks for; null is one where "not there" is an answer.
pub(super) fn fits(request: RpcRequest, answer: &Value) -> bool {
    match request {
        RpcRequest::GetSignatureStatuses => statuses(answer).is_some(),
        RpcRequest::GetSlot => answer.is_u64(),
        RpcRequest::GetAccountInfo => answer
            .get("value")
            .is_some_and(|account| account.is_null() || account.pointer("/data/0").is_some()),
        RpcRequest::GetTokenAccountsByOwner => token_accounts(answer).is_some(),
        _ => true,
    }
}

/// Reads a result of `getTransaction` with `encoding: base64`: `None` if it is none, and none within if the node does not have
/// the transaction yet.
#[expect(
    clippy::option_option,
    reason = "no answer, an answer that says nothing yet, an answer"
)]
pub(super) fn transaction(
    signature: Signature,
    result: &str,
) -> Option<Option<Result<Transaction, Unreadable>>> {
    let raw = match serde_json::from_str::<Option<RawTransaction>>(result) {
        Ok(None) => return Some(None),
        Ok(Some(raw)) if raw.transaction.1 == "base64" => raw,
        Ok(Some(_)) => return None,
        Err(_) => {
            let answer: Value = serde_json::from_str(result).ok()?;
            return is_transaction(&answer).then_some(Some(Err(Unreadable::Form)));
        }
    };
    let read = assemble(raw).and_then(|read| {
        if read.signature == signature {
            Ok(read)
        } else {
            Err(Unreadable::OtherSignature)
        }
    });
    Some(Some(read))
}

/// Reads a result of `getSlot` or `getFirstAvailableBlock`.
pub(super) fn slot(result: &str) -> Option<Slot> {
    serde_json::from_str(result).ok()
}

/// Whether a JSON value is the result of `getTransaction` with `encoding: base64`, readable or not.
pub(super) fn is_transaction(answer: &Value) -> bool {
    answer.pointer("/transaction/1").and_then(Value::as_str) == Some("base64")
}

/// The same, whichever transaction it is.
pub(super) fn any_transaction(answer: Value) -> Result<Transaction, Unreadable> {
    assemble(serde_json::from_value(answer).map_err(|_| Unreadable::Form)?)
}

fn assemble(raw: RawTransaction) -> Result<Transaction, Unreadable> {
    let meta = raw.meta.ok_or(Unreadable::NoStatus)?;
    let decoded = decode_bytes(raw.transaction)?;
    let signature = *decoded.signatures.first().ok_or(Unreadable::Bytes)?;
    let loaded = meta.loaded_addresses.unwrap_or_default();
    let keys = keys(&decoded, &loaded)?;
    let outcome = meta.err.ok_or(Unreadable::NoStatus)?;
    let (instructions, inner_known) = match meta.inner_instructions {
        Some(inner) => (instructions(&decoded, &keys, inner)?, true),
        None => (instructions(&decoded, &keys, Vec::new())?, false),
    };
    let balances = |raw: Option<Vec<RawBalance>>| match (raw, outcome) {
        (Some(raw), _) => raw
            .iter()
            .map(|balance| token_balance(balance, &keys))
            .collect(),
        (None, Outcome::Failed) => Ok(Vec::new()),
        (None, Outcome::Succeeded) => Err(Unreadable::NoBalances),
    };
    Ok(Transaction {
        signature,
        slot: raw.slot,
        block_time: raw.block_time,
        version: match decoded.version() {
            TransactionVersion::Legacy(_) => Version::Legacy,
            TransactionVersion::Number(0) => Version::V0,
            TransactionVersion::Number(_) => Version::V1,
        },
        outcome,
        instructions,
        inner_known,
        pre: balances(meta.pre_token_balances)?,
        post: balances(meta.post_token_balances)?,
        lamports: lamports(meta.pre_balances, meta.post_balances, keys.len()),
        writable: writable(&decoded, &keys, loaded.writable.len()),
        keys,
    })
}

fn outcome(has_err: bool) -> Outcome {
    if has_err {
        Outcome::Failed
    } else {
        Outcome::Succeeded
    }
}

fn decode_bytes((blob, encoding): (String, String)) -> Result<VersionedTransaction, Unreadable> {
    if encoding != "base64" {
        return Err(Unreadable::Form);
    }
    EncodedTransaction::Binary(blob, TransactionBinaryEncoding::Base64)
        .decode()
        .ok_or(Unreadable::Bytes)
}

/// Static keys, then the loaded writable ones, then the loaded read-only ones.
fn keys(transaction: &VersionedTransaction, loaded: &RawLoaded) -> Result<Vec<Pubkey>, Unreadable> {
    let mut keys = transaction.message.static_account_keys().to_vec();
    for key in loaded.writable.iter().chain(&loaded.readonly) {
        keys.push(key.parse().map_err(|_| Unreadable::Form)?);
    }
    Ok(keys)
}

/// Reserved accounts hold no tokens: it does not matter that they cannot be written to.
const NO_RESERVED: Option<&HashSet<Pubkey>> = None;

/// The static keys that the header calls writable, and the loaded ones of the writable list.
fn writable(transaction: &VersionedTransaction, keys: &[Pubkey], loaded: usize) -> Vec<Pubkey> {
    let message = &transaction.message;
    let known = message.static_account_keys().len();
    let is_writable = |index: usize| {
        if index < known {
            message.is_maybe_writable_with_reserved_addresses(index, NO_RESERVED)
        } else {
            index < known + loaded
        }
    };
    let all = keys.iter().enumerate();
    all.filter(|(index, _)| is_writable(*index))
        .map(|(_, key)| *key)
        .collect()
}

/// Lamports of every key. Lists of another length than the keys tell nothing.
fn lamports(
    before: Option<Vec<u64>>,
    after: Option<Vec<u64>>,
    keys: usize,
) -> Option<Vec<Lamports>> {
    let (before, after) = (before?, after?);
    (before.len() == keys && after.len() == keys).then(|| {
        let both = before.into_iter().zip(after);
        both.map(|(before, after)| Lamports { before, after })
            .collect()
    })
}

fn instructions(
    transaction: &VersionedTransaction,
    keys: &[Pubkey],
    mut inner: Vec<RawInner>,
) -> Result<Vec<Instruction>, Unreadable> {
    let mut all = Vec::new();
    for (index, outer) in transaction.message.instructions().iter().enumerate() {
        all.push(instruction(
            keys,
            outer.program_id_index,
            &outer.accounts,
            outer.data.clone(),
            0,
        )?);
        for group in inner.extract_if(.., |group| group.index == index) {
            for raw in group.instructions {
                let data = solana_sdk::bs58::decode(&raw.data)
                    .into_vec()
                    .map_err(|_| Unreadable::Form)?;
                all.push(instruction(
                    keys,
                    raw.program_id_index,
                    &raw.accounts,
                    data,
                    raw.stack_height
                        .map_or(1, |height| height.saturating_sub(1)),
                )?);
            }
        }
    }
    Ok(all)
}

fn instruction(
    keys: &[Pubkey],
    program: u8,
    accounts: &[u8],
    data: Vec<u8>,
    depth: u8,
) -> Result<Instruction, Unreadable> {
    let key = |index: &u8| {
        keys.get(usize::from(*index))
            .copied()
            .ok_or(Unreadable::NoSuchKey)
    };
    Ok(Instruction {
        program: key(&program)?,
        accounts: accounts.iter().map(key).collect::<Result<_, _>>()?,
        data,
        depth,
    })
}

fn token_balance(raw: &RawBalance, keys: &[Pubkey]) -> Result<TokenBalance, Unreadable> {
    let key = |text: &String| text.parse::<Pubkey>().map_err(|_| Unreadable::Form);
    // Some nodes write an empty text for what they do not know.
    let known = |text: Option<&String>| text.filter(|text| !text.is_empty()).map(key);
    Ok(TokenBalance {
        token_account: TokenAccount(*keys.get(raw.account_index).ok_or(Unreadable::NoSuchKey)?),
        mint: Mint(key(&raw.mint)?),
        owner: known(raw.owner.as_ref()).transpose()?.map(Wallet),
        token_program: known(raw.program_id.as_ref())
            .transpose()?
            .and_then(|id| TokenProgram::from_id(&id)),
        decimals: raw.ui_token_amount.decimals.and_then(Decimals::new),
        amount: raw
            .ui_token_amount
            .amount
            .parse::<BaseUnits>()
            .map_err(|_| Unreadable::Form)?,
    })
}

/// What the node knows of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignatureStatus {
    /// The slot it landed in.
    pub slot: Slot,
    /// How sure the chain is of it; `None` below `confirmed`.
    pub commitment: Option<Commitment>,
    /// Whether it failed.
    pub outcome: Outcome,
}

/// Reads an answer of `getSignatureStatuses`: `None` where the node knows nothing.
pub(super) fn statuses(answer: &Value) -> Option<Vec<Option<SignatureStatus>>> {
    let status = |entry: &Value| {
        let word = entry.get("confirmationStatus").and_then(Value::as_str);
        Some(SignatureStatus {
            slot: entry.get("slot")?.as_u64()?,
            commitment: word.and_then(commitment),
            outcome: outcome(entry.get("err").is_some_and(|err| !err.is_null())),
        })
    };
    let list = answer.get("value")?.as_array()?;
    Some(list.iter().map(status).collect())
}

fn commitment(word: &str) -> Option<Commitment> {
    match word {
        "finalized" => Some(Commitment::Finalized),
        "confirmed" => Some(Commitment::Confirmed),
        _ => None,
    }
}

/// Reads the addresses out of an answer of `getTokenAccountsByOwner`.
pub(super) fn token_accounts(answer: &Value) -> Option<Vec<TokenAccount>> {
    let address = |entry: &Value| entry.get("pubkey")?.as_str()?.parse().ok();
    answer
        .get("value")?
        .as_array()?
        .iter()
        .map(address)
        .collect()
}
