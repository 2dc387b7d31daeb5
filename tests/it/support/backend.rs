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

#[derive(Debug, Default)]
pub(crate) struct Backend {
    pub(crate) sessions: Vec<Session>,
    pub(crate) puts: Vec<Put>,
    /// So many slots its own node is behind.
    pub(crate) lag: u64,
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
        let value = |name: &str| {
            let pair = url.query_pairs().find(|(key, _)| key == name);
            pair.unwrap().1.into_owned()
        };
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
            ("PUT", "/crypto/confirm") => {
                let signature = value("transaction_hash").parse().unwrap();
                self.confirm(&value("payment_id"), signature, ledger, now)
            }
            other => panic!("{other:?} was never asked before"),
        }
    }

    fn history(&self, ledger: &Ledger, limit: usize, offset: usize) -> Value {
        let shop = ledger.shop;
        let page = self.sessions.iter().rev().skip(offset).take(limit.min(50));
        page.map(|one| {
            json!({ "memo": one.memo, "amount": DUE, "token": shop.mint.to_string(), "recipient": shop.wallet.to_string(),
                    "status": u8::from(one.confirmed_by.is_some()), "transaction_hash": one.confirmed_by.map(|by| by.to_string()),
                    "created_at": one.created_at })
        })
        .collect()
    }

    fn confirm(
        &mut self,
        memo: &str,
        signature: Signature,
        ledger: &Ledger,
        now: u64,
    ) -> (u16, Value) {
        let is_paid = ledger.entries.iter().any(|entry| {
            let slot = Ledger::slot_of(entry, now - self.lag);
            entry.signature == signature
                && !entry.failed
                && entry.memo.as_deref() == Some(memo)
                && slot.is_some_and(|slot| entry.amount_in(slot) == DUE)
        });
        self.puts.push(Put {
            memo: memo.to_owned(),
            signature,
        });
        let Some(session) = self.sessions.iter_mut().find(|one| one.memo == memo) else {
            return (404, Value::Null);
        };
        match session.confirmed_by {
            Some(by) if by == signature => (200, json!({ "ok": true })),
            Some(_) => (409, Value::Null),
            None if is_paid => {
                session.confirmed_by = Some(signature);
                (200, json!({ "ok": true }))
            }
            None => (400, Value::Null),
        }
    }
}
