//! An honest payments API: its sessions, and what it was told. It looks at the chain itself before it believes anybody.

use super::ledger::Ledger;
use paywatch::domain::Signature;
use serde_json::{Value, json};
use url::Url;

/// What a checkout costs.
pub(crate) const DUE: u64 = 19_000_000;

/// A payment session.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) memo: String,
    pub(crate) confirmed_by: Option<Signature>,
    /// When it was made, Unix seconds, if the history tells.
    pub(crate) created_at: Option<u64>,
}

/// A call of `PUT /crypto/confirm` that reached it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Put {
    pub(crate) memo: String,
    pub(crate) signature: Signature,
}

impl Put {
    /// What a call of it says.
    pub(crate) fn asked_by(url: &Url) -> Self {
        Self {
            memo: value(url, "payment_id"),
            signature: value(url, "transaction_hash").parse().unwrap(),
        }
    }
}

fn value(url: &Url, name: &str) -> String {
    let pair = url.query_pairs().find(|(key, _)| key == name);
    pair.unwrap().1.into_owned()
}

/// How it gives its history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    /// Entries in a page, however many are asked for.
    pub(crate) page_max: usize,
    pub(crate) is_oldest_first: bool,
    pub(crate) ignores_offset: bool,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            page_max: 50,
            is_oldest_first: false,
            ignores_offset: false,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Backend {
    pub(crate) habits: Habits,
    pub(crate) sessions: Vec<Session>,
    pub(crate) puts: Vec<Put>,
    /// So many slots its own node is behind.
    pub(crate) lag: u64,
    /// It says no to whatever it has not credited yet.
    pub(crate) is_stubborn: bool,
}

impl Backend {
    pub(crate) fn checkout(&mut self, memo: String) {
        self.sessions.push(Session {
            memo,
            confirmed_by: None,
            created_at: None,
        });
    }

    /// Status and body.
    pub(crate) fn answer(
        &mut self,
        method: &str,
        url: &Url,
        ledger: &Ledger,
        now: u64,
    ) -> (u16, Value) {
        let value = |name| value(url, name);
        match (method, url.path()) {
            ("GET", "/supported_tokens") => {
                let shop = ledger.shop;
                (
                    200,
                    json!([{ "symbol": "USDC", "mint": shop.mint.to_string(), "recipient": shop.wallet.to_string(), "decimals": 6, "enabled": true }]),
                )
            }
            ("GET", "/history") => {
                let (limit, offset) = (value("limit"), value("offset"));
                (
                    200,
                    self.history(ledger, limit.parse().unwrap(), offset.parse().unwrap()),
                )
            }
            ("PUT", "/crypto/confirm") => self.confirm(&Put::asked_by(url), ledger, now),
            other => panic!("{other:?} was never asked before"),
        }
    }

    fn history(&self, ledger: &Ledger, limit: usize, offset: usize) -> Value {
        let shop = ledger.shop;
        let habits = self.habits;
        let offset = if habits.ignores_offset { 0 } else { offset };
        let mut listed: Vec<_> = self.sessions.iter().collect();
        if !habits.is_oldest_first {
            listed.reverse();
        }
        let page = listed.into_iter().skip(offset);
        page.take(limit.min(habits.page_max)).map(|one| {
            json!({ "memo": one.memo, "amount": DUE, "token": shop.mint.to_string(), "recipient": shop.wallet.to_string(),
                    "status": u8::from(one.confirmed_by.is_some()), "transaction_hash": one.confirmed_by.map(|by| by.to_string()),
                    "created_at": one.created_at })
        })
        .collect()
    }

    /// Whether a transaction pays for a checkout, as its own node sees it.
    pub(crate) fn is_paid(&self, put: &Put, ledger: &Ledger, now: u64) -> bool {
        ledger.entries.iter().any(|entry| {
            let slot = Ledger::slot_of(entry, now - self.lag);
            entry.signature == put.signature
                && !entry.failed
                && entry.memo.as_deref() == Some(&put.memo)
                && slot.is_some_and(|slot| entry.gives(slot).any(|(_, amount)| amount == DUE))
        })
    }

    fn confirm(&mut self, put: &Put, ledger: &Ledger, now: u64) -> (u16, Value) {
        let Put { memo, signature } = put.clone();
        let is_paid = self.is_paid(put, ledger, now);
        self.puts.push(put.clone());
        let Some(session) = self.sessions.iter_mut().find(|one| one.memo == memo) else {
            return (404, Value::Null);
        };
        match session.confirmed_by {
            Some(by) if by == signature => (200, json!({ "ok": true })),
            Some(_) => (409, Value::Null),
            None if is_paid && !self.is_stubborn => {
                session.confirmed_by = Some(signature);
                (200, json!({ "ok": true }))
            }
            None => (400, Value::Null),
        }
    }
}
