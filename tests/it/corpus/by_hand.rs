//! Answers built by hand from the documented layouts: what no local network makes, or no node should send.

use super::case::{Case, Cast};
use super::fixture::Landed;
use base64::{Engine, prelude::BASE64_STANDARD};
use localnet::{Instruction, Pubkey};
use serde_json::{Value, json};
use solana_sdk::{bs58, hash::hash, message::Message, signature::Signature};
use std::collections::BTreeMap;

/// A token account's balances around a transaction, and whose it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Balance {
    pub(super) account: Pubkey,
    pub(super) owner: Pubkey,
    pub(super) mint: Pubkey,
    pub(super) program: Pubkey,
    pub(super) before: Option<u64>,
    pub(super) after: Option<u64>,
}

/// An answer under construction.
pub(super) struct ByHand {
    payer: Pubkey,
    /// Inner instructions by the index of their outer one, each with how deep it was called.
    inner: BTreeMap<usize, Vec<(Instruction, u8)>>,
    balances: Vec<Balance>,
}

impl ByHand {
    /// The buyer pays the shop this much USDC, as far as balances tell.
    pub(super) fn paying(cast: &Cast, amount: u64) -> Self {
        let usdc = |account, owner, before: u64, after: u64| Balance {
            account,
            owner,
            mint: cast.usdc,
            program: spl_token::id(),
            before: Some(before),
            after: Some(after),
        };
        Self {
            payer: cast.buyer,
            inner: BTreeMap::new(),
            balances: vec![
                usdc(cast.buyer_usdc, cast.buyer, 10 * amount, 9 * amount),
                usdc(cast.shop_usdc, cast.shop, 7, 7 + amount),
            ],
        }
    }

    pub(super) fn balances(mut self, balances: &[Balance]) -> Self {
        self.balances = balances.to_vec();
        self
    }

    /// The outer instruction `index` called these, each with its depth.
    pub(super) fn calls(mut self, index: usize, inner: &[(Instruction, u8)]) -> Self {
        self.inner.insert(index, inner.to_vec());
        self
    }

    /// The answer of a node that saw the case's instructions, as a legacy transaction.
    pub(super) fn answer(&self, case: &Case) -> Value {
        let mut instructions = case.instructions.clone();
        for (index, inner) in &self.inner {
            // Whatever an inner instruction names was given to the outer one.
            for (one, _) in inner {
                instructions[*index]
                    .accounts
                    .extend(one.accounts.iter().cloned().map(|mut account| {
                        account.is_signer = false;
                        account
                    }));
                let program = localnet::AccountMeta::new_readonly(one.program_id, false);
                instructions[*index].accounts.push(program);
            }
        }
        let message = Message::new(&instructions, Some(&self.payer));
        let keys = message.account_keys.clone();
        let at = |key: &Pubkey| keys.iter().position(|one| one == key).unwrap();
        let signature: Vec<u8> = hash(case.name.as_bytes()).to_bytes().repeat(2);
        let signature = Signature::try_from(signature.as_slice()).unwrap();
        let signatures = vec![signature; message.header.num_required_signatures.into()];
        let inner: Vec<_> = self
            .inner
            .iter()
            .map(|(index, inner)| {
                let inner: Vec<_> = inner
                    .iter()
                    .map(|(one, depth)| {
                        let accounts: Vec<_> = one.accounts.iter().map(|account| at(&account.pubkey)).collect();
                        json!({ "programIdIndex": at(&one.program_id), "accounts": accounts,
                                "data": bs58::encode(&one.data).into_string(), "stackHeight": depth + 1 })
                    })
                    .collect();
                json!({ "index": index, "instructions": inner })
            })
            .collect();
        let side = |amount: fn(&Balance) -> Option<u64>| -> Vec<Value> {
            self.balances
                .iter()
                .filter_map(|one| {
                    let amount = amount(one)?;
                    // An account that the case does not name has no balance in it.
                    keys.iter().find(|key| **key == one.account)?;
                    Some(json!({ "accountIndex": at(&one.account), "mint": one.mint.to_string(), "owner": one.owner.to_string(),
                        "programId": one.program.to_string(),
                        "uiTokenAmount": { "amount": amount.to_string(), "decimals": 6, "uiAmount": null, "uiAmountString": "" } }))
                })
                .collect()
        };
        json!({ "jsonrpc": "2.0", "id": 1, "result": {
            "slot": 350_000_000, "blockTime": 1_790_000_000, "version": "legacy",
            "transaction": [blob(&signatures, &message), "base64"],
            "meta": { "err": null, "status": { "Ok": null }, "fee": 5000, "innerInstructions": inner, "logMessages": [],
                "loadedAddresses": { "writable": [], "readonly": [] },
                "preTokenBalances": side(|one| one.before), "postTokenBalances": side(|one| one.after) },
        } })
    }

    /// The case with its answer.
    pub(super) fn land(&self, case: Case, made: &str) -> Landed {
        self.land_changed(case, made, |_| {})
    }

    /// The case with its answer, changed as a node or an attacker might.
    pub(super) fn land_changed(
        &self,
        case: Case,
        made: &str,
        change: impl FnOnce(&mut Value),
    ) -> Landed {
        let mut answer = self.answer(&case);
        change(&mut answer);
        let case = case.with("made", format!("built by hand: {made}")).sorted();
        Landed { case, answer }
    }
}

/// The bytes on the wire: the number of signatures, the signatures, the message.
fn blob(signatures: &[Signature], message: &Message) -> String {
    let count = u8::try_from(signatures.len()).unwrap();
    let mut bytes = vec![count];
    for signature in signatures {
        bytes.extend(signature.as_ref());
    }
    bytes.extend(message.serialize());
    BASE64_STANDARD.encode(bytes)
}
