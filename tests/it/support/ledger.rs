//! A deterministic ledger: payments with forks and finality, and a node's view of it at any moment.
//!
//! Time is the caller's: every question comes with the current slot. Nothing here is random.

use base64::{Engine, prelude::BASE64_STANDARD};
use localnet::{Instruction, Pubkey, Version};
use paywatch::domain::Signature;
use serde_json::{Value, json};
use solana_sdk::hash::hash;
use spl_associated_token_account_interface::address::get_associated_token_address;
use std::{collections::HashMap, sync::LazyLock};

/// Slots between the newest and what has reached `confirmed`, and `finalized`.
const CONFIRMED_AFTER: u64 = 2;
const FINALIZED_AFTER: u64 = 32;
/// A fork that dies is seen for so long.
const FORK_LIVES: u64 = 15;

/// What becomes of a transaction after it was first seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is finalized where it landed.
    Stays,
    /// Its fork dies, and it with it.
    Dies,
    /// Its fork dies; it lands again, so many slots later.
    LandsAgain(u64),
    /// The same, but there it pays another amount.
    LandsFor(u64, u64),
}

/// A transaction of the ledger.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) signature: Signature,
    /// Its signature as text, which takes time to make.
    pub(crate) id: String,
    pub(crate) slot: u64,
    pub(crate) fate: Fate,
    /// It pays a fee and does nothing.
    pub(crate) failed: bool,
    /// What it pays to the shop.
    pub(crate) amount: u64,
    pub(crate) memo: Option<String>,
    /// History does not list it before this slot, although it lists newer ones.
    pub(crate) revealed_at: u64,
    /// It is paid into the shop's other token account.
    pub(crate) aside: bool,
    /// It pays so much into the account of the two that it is not paid into, too.
    pub(crate) beside: u64,
    /// No node can give it while the storm lasts: of a version that they do not know, say.
    pub(crate) is_poison: bool,
}

/// Who is paid in what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shop {
    pub(crate) wallet: Pubkey,
    pub(crate) mint: Pubkey,
    /// The associated token account.
    pub(crate) account: Pubkey,
    /// Another one.
    pub(crate) aside: Pubkey,
    buyer: Pubkey,
    source: Pubkey,
}

impl Entry {
    /// What a plain payment is, from this slot on.
    pub(crate) fn paid(slot: u64, amount: u64, memo: &str) -> Self {
        Self {
            signature: Signature::default(),
            id: String::new(),
            slot,
            fate: Fate::Stays,
            failed: false,
            amount,
            memo: Some(memo.into()),
            revealed_at: 0,
            aside: false,
            beside: 0,
            is_poison: false,
        }
    }
}

/// Made once: finding an associated address takes time.
static SHOP: LazyLock<Shop> = LazyLock::new(Shop::make);

impl Shop {
    pub(crate) fn new() -> Self {
        *SHOP
    }

    fn make() -> Self {
        let key = |name: &str| Pubkey::new_from_array(hash(name.as_bytes()).to_bytes());
        let (wallet, mint, buyer) = (key("shop"), key("mint"), key("buyer"));
        Self {
            wallet,
            mint,
            account: get_associated_token_address(&wallet, &mint),
            aside: key("aside"),
            buyer,
            source: get_associated_token_address(&buyer, &mint),
        }
    }
}

impl Entry {
    /// The token account that it is paid into.
    pub(crate) fn account(&self) -> Pubkey {
        let shop = Shop::new();
        if self.aside { shop.aside } else { shop.account }
    }

    /// The token accounts that it names, with what it pays into each where it lands in this slot.
    pub(crate) fn gives(&self, slot: u64) -> impl Iterator<Item = (Pubkey, u64)> + use<> {
        let shop = Shop::new();
        let other = if self.aside { shop.account } else { shop.aside };
        let beside = (self.beside > 0).then_some((other, self.beside));
        std::iter::once((self.account(), self.amount_in(slot))).chain(beside)
    }

    /// Whether it names a token account.
    fn names(&self, account: Pubkey) -> bool {
        self.gives(self.slot).any(|(one, _)| one == account)
    }

    /// What it pays where it lands in this slot.
    pub(crate) fn amount_in(&self, slot: u64) -> u64 {
        match self.fate {
            Fate::LandsFor(_, amount) if slot != self.slot => amount,
            _ => self.amount,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) shop: Shop,
    pub(crate) entries: Vec<Entry>,
    places: HashMap<String, usize>,
}

/// An error in the node's words.
pub(crate) type Refusal = (i64, &'static str);

impl Ledger {
    pub(crate) fn new() -> Self {
        Self {
            shop: Shop::new(),
            entries: Vec::new(),
            places: HashMap::new(),
        }
    }

    /// Lands a payment; its signature follows from how many there were.
    pub(crate) fn land(&mut self, mut entry: Entry) -> Signature {
        let id = hash(&self.entries.len().to_le_bytes()).to_bytes();
        entry.signature = Signature::try_from(id.repeat(2).as_slice()).unwrap();
        entry.id = entry.signature.to_string();
        self.places.insert(entry.id.clone(), self.entries.len());
        self.entries.push(entry);
        self.entries[self.entries.len() - 1].signature
    }

    pub(crate) fn confirmed(slot: u64) -> u64 {
        slot.saturating_sub(CONFIRMED_AFTER)
    }

    pub(crate) fn finalized(slot: u64) -> u64 {
        slot.saturating_sub(FINALIZED_AFTER)
    }

    /// The slot in which an entry is on the chain as it is at `confirmed` now.
    pub(crate) fn slot_of(entry: &Entry, now: u64) -> Option<u64> {
        let confirmed = Self::confirmed(now);
        let again = match entry.fate {
            Fate::Stays => return (entry.slot <= confirmed).then_some(entry.slot),
            Fate::Dies => None,
            Fate::LandsAgain(later) | Fate::LandsFor(later, _) => {
                Some(entry.slot + FORK_LIVES + later)
            }
        };
        if confirmed < entry.slot + FORK_LIVES {
            (entry.slot <= confirmed).then_some(entry.slot)
        } else {
            again.filter(|slot| *slot <= confirmed)
        }
    }

    /// When the block of a slot was made, Unix seconds.
    pub(crate) fn time_of(slot: u64) -> u64 {
        1_790_000_000 + slot * 2 / 5
    }

    /// The slot in which it pays for good, if it does.
    pub(crate) fn final_slot(entry: &Entry) -> Option<u64> {
        match entry.fate {
            Fate::Stays => Some(entry.slot),
            Fate::Dies | Fate::LandsFor(_, 0) => None,
            Fate::LandsAgain(later) | Fate::LandsFor(later, _) => {
                Some(entry.slot + FORK_LIVES + later)
            }
        }
    }

    /// What it pays into one of its accounts for good, if it does.
    pub(crate) fn final_amount(entry: &Entry, account: Pubkey) -> Option<u64> {
        let mut given = entry.gives(Self::final_slot(entry)?);
        given
            .find(|(one, _)| *one == account)
            .map(|(_, amount)| amount)
    }

    /// Whether it pays this much into one of its accounts for good.
    pub(crate) fn pays_for_good(entry: &Entry, due: u64) -> bool {
        let slot = Self::final_slot(entry);
        !entry.failed && slot.is_some_and(|slot| entry.gives(slot).any(|(_, given)| given == due))
    }

    /// What a node at this slot has notified by then, in the order in which it came.
    pub(crate) fn notified(&self, now: u64) -> impl Iterator<Item = &Entry> {
        let entries = self.entries.iter();
        entries.filter(move |entry| entry.slot <= Self::confirmed(now))
    }

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

    /// The transaction of this signature.
    pub(crate) fn find(&self, signature: &str) -> Option<&Entry> {
        Some(&self.entries[*self.places.get(signature)?])
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
