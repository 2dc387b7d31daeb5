//! A deterministic ledger: payments with forks and finality, and a node's view of it at any moment.
//!
//! Time is the caller's: every question comes with the current slot. Nothing here is random.

mod answers;

use localnet::Pubkey;
use paywatch::domain::Signature;
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
        let is_payment = !matches!(entry.fate, Fate::LandsFor(_, 0));
        Self::landed_slot(entry).filter(|_| is_payment)
    }

    /// The slot in which it is for good, whether it pays there or not.
    pub(crate) fn landed_slot(entry: &Entry) -> Option<u64> {
        match entry.fate {
            Fate::Stays => Some(entry.slot),
            Fate::Dies => None,
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

    /// The transaction of this signature.
    pub(crate) fn find(&self, signature: &str) -> Option<&Entry> {
        Some(&self.entries[*self.places.get(signature)?])
    }
}
