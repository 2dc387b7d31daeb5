//! What a node says of the ledger.

use super::{Entry, Ledger, Refusal};
use base64::{Engine, prelude::BASE64_STANDARD};
use localnet::{Instruction, Pubkey, Version};
use serde_json::{Value, json};

impl Ledger {
    /// A notification: the token account, and what is said of it.
    pub(crate) fn notification(entry: &Entry) -> (String, Value) {
        let account = entry.account().to_string();
        let memo = entry.memo.as_ref();
        let logs = memo.map(|memo| format!("Program log: Memo (len {}): {memo:?}", memo.len()));
        let logs: Vec<_> = logs.into_iter().collect();
        (
            account,
            json!({ "signature": entry.id, "err": error(entry), "logs": logs }),
        )
    }

    /// What a node answers that is at this slot.
    pub(crate) fn answer_to(&self, question: &Value, now: u64) -> Result<Value, Refusal> {
        let params = &question["params"];
        Ok(match question["method"].as_str().unwrap() {
            "getSlot" => json!(match params[0]["commitment"].as_str() {
                Some("finalized") => Self::finalized(now),
                Some("processed") => now,
                _ => Self::confirmed(now),
            }),
            "getVersion" => json!({ "solana-core": "4.2.2" }),
            "getFirstAvailableBlock" => json!(0),
            "getBlockTime" => json!(Self::time_of(params[0].as_u64().unwrap())),
            "getSignaturesForAddress" => self.page(params, now)?.into(),
            "getTransaction" => self.transaction(params, now),
            "getSignatureStatuses" => self.statuses(params, now),
            "getAccountInfo" => self.account(&params[0]),
            "getTokenAccountsByOwner" => {
                json!({ "context": { "slot": now }, "value": [{ "pubkey": self.shop.aside.to_string() }] })
            }
            other => panic!("{other} was never asked before"),
        })
    }

    /// A page of the shop's history at `confirmed`, newest first.
    fn page(&self, params: &Value, now: u64) -> Result<Vec<Value>, Refusal> {
        let options = &params[1];
        let account: Pubkey = params[0].as_str().unwrap().parse().unwrap();
        let mut seen: Vec<_> = self
            .entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.revealed_at <= now && entry.names(account))
            .filter_map(|(index, entry)| Some((Self::slot_of(entry, now)?, index, entry)))
            .collect();
        seen.sort_by_key(|(slot, index, _)| (std::cmp::Reverse(*slot), *index));
        let place = |key: &str| match options[key].as_str() {
            None => Ok(None),
            Some(text) => {
                let mut all = seen.iter();
                all.position(|(_, _, entry)| entry.id == text)
                    .map(Some)
                    .ok_or((-32020, "unknown signature"))
            }
        };
        let (before, until) = (place("before")?, place("until")?);
        let limit = options["limit"].as_u64().unwrap_or(1000);
        let range = before.map_or(0, |at| at + 1)..until.unwrap_or(seen.len());
        let finalized = Self::finalized(now);
        Ok(seen
            .get(range)
            .unwrap_or_default()
            .iter()
            .take(usize::try_from(limit).unwrap())
            .map(|(slot, _, entry)| {
                let status = if *slot <= finalized {
                    "finalized"
                } else {
                    "confirmed"
                };
                let memo = entry
                    .memo
                    .as_ref()
                    .map(|memo| format!("[{}] {memo}", memo.len()));
                json!({ "signature": entry.id, "slot": slot, "blockTime": Self::time_of(*slot),
                        "err": error(entry), "memo": memo, "confirmationStatus": status })
            })
            .collect())
    }

    /// An answer of `getTransaction`; null if it is not on the chain at the commitment that was asked for.
    fn transaction(&self, params: &Value, now: u64) -> Value {
        let found = self.find(params[0].as_str().unwrap());
        let at = found.and_then(|entry| Some((entry, Self::slot_of(entry, now)?)));
        let least = match params[1]["commitment"].as_str() {
            Some("confirmed") => Self::confirmed(now),
            _ => Self::finalized(now),
        };
        match at {
            Some((entry, slot)) if slot <= least => self.answer(entry, slot),
            _ => Value::Null,
        }
    }

    /// An answer of `getSignatureStatuses`.
    fn statuses(&self, params: &Value, now: u64) -> Value {
        let list = params[0].as_array().unwrap();
        let status = |text: &Value| {
            let entry = self.find(text.as_str().unwrap());
            match entry.and_then(|entry| Some((entry, Self::slot_of(entry, now)?))) {
                None => Value::Null,
                Some((entry, slot)) => {
                    let word = if slot <= Self::finalized(now) {
                        "finalized"
                    } else {
                        "confirmed"
                    };
                    json!({ "slot": slot, "err": error(entry), "confirmationStatus": word })
                }
            }
        };
        json!({ "context": { "slot": now }, "value": list.iter().map(status).collect::<Vec<_>>() })
    }

    /// An account: the mint has 82 bytes, of which decimals (byte 44) and a flag (byte 45) are read; a token account has 165. Wallets
    /// are not there.
    fn account(&self, address: &Value) -> Value {
        let is = |key: Pubkey| *address == key.to_string();
        let mut data = vec![0; if is(self.shop.mint) { 82 } else { 165 }];
        (data[44], data[45]) = (6, 1);
        let data = BASE64_STANDARD.encode(data);
        let there = json!({ "owner": spl_token::id().to_string(), "lamports": 1, "executable": false, "data": [data, "base64"] });
        let is_there = is(self.shop.mint) || is(self.shop.account) || is(self.shop.aside);
        json!({ "context": { "slot": 1 }, "value": is_there.then_some(there) })
    }

    pub(crate) fn answer(&self, entry: &Entry, slot: u64) -> Value {
        let shop = self.shop;
        let given: Vec<_> = entry.gives(slot).collect();
        let total: u64 = given.iter().map(|(_, amount)| amount).sum();
        let said = entry.memo.iter().map(|text| Instruction {
            program_id: spl_memo_interface::v3::id(),
            accounts: Vec::new(),
            data: text.clone().into_bytes(),
        });
        let pay = given.iter().map(|(account, amount)| {
            spl_token_2022_interface::instruction::transfer_checked(
                &spl_token::id(),
                &shop.source,
                &shop.mint,
                account,
                &shop.buyer,
                &[],
                *amount,
                6,
            )
            .unwrap()
        });
        let instructions: Vec<_> = said.chain(pay).collect();
        let (version, name) = match entry.signature.as_ref()[0] % 3 {
            0 => (Version::Legacy, json!("legacy")),
            1 => (Version::V0(vec![shop.source, entry.account()]), json!(0)),
            _ => (Version::V1, json!(1)),
        };
        let made = version
            .assemble(&shop.buyer, &instructions, entry.signature)
            .unwrap();
        let balance = |account: &Pubkey, owner: &Pubkey, amount: u64| {
            let index = made.keys.iter().position(|key| key == account).unwrap();
            json!({ "accountIndex": index, "mint": shop.mint.to_string(), "owner": owner.to_string(),
                    "programId": spl_token::id().to_string(), "uiTokenAmount": { "amount": amount.to_string(), "decimals": 6 } })
        };
        let balances = |is_after: u64| {
            let shops = given
                .iter()
                .map(|(account, amount)| balance(account, &shop.wallet, 7 + amount * is_after));
            let buyers = balance(&shop.source, &shop.buyer, u64::MAX - total * is_after);
            shops.chain([buyers]).collect::<Vec<_>>()
        };
        let loaded: Vec<_> = made.loaded.iter().map(ToString::to_string).collect();
        json!({ "slot": slot, "blockTime": 1_790_000_000, "version": name, "transaction": [BASE64_STANDARD.encode(made.bytes), "base64"],
                "meta": { "err": error(entry), "innerInstructions": [], "loadedAddresses": { "writable": loaded, "readonly": [] },
                          "preTokenBalances": balances(0), "postTokenBalances": balances(1) } })
    }
}

/// Of a kind that no client knows.
fn error(entry: &Entry) -> Value {
    if entry.failed {
        json!({ "InstructionError": [0, { "ErrorOfTheFuture": [1, 2] }] })
    } else {
        Value::Null
    }
}
