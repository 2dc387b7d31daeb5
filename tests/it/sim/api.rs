//! The payments API: an honest backend that looks at the chain itself, and fails like any other.

use super::model::{DUE, Model, Put, reply, text};
use crate::support::ledger::Ledger;
use paywatch::http::{Fault, Reply, Request};
use rand::Rng;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

impl Model {
    pub(super) fn api(&mut self, request: &Request) -> Result<Reply, Fault> {
        if Instant::now() < self.api_away {
            return Err(Fault::NoConnection(None));
        }
        let storm = self.storm && self.chance(20);
        let loses_answer = storm && self.chance(40);
        if storm && !loses_answer {
            return match self.dice.random_range(0..7) {
                0 => Err(Fault::NoConnection(None)),
                1 => Err(Fault::NotInTime(None)),
                2 => Ok(Reply {
                    retry_after: Some(Duration::from_secs(3)),
                    ..reply(429, &Value::Null)
                }),
                3 => Ok(text("<html>maintenance</html>")),
                4 => Ok(reply(401, &Value::Null)),
                _ => Ok(reply(502, &Value::Null)),
            };
        }
        let path = request.url.path().to_owned();
        let answer = match (&request.method, path.as_str()) {
            (&Method::GET, "/supported_tokens") => {
                let shop = self.ledger.shop;
                reply(
                    200,
                    &json!([{ "symbol": "USDC", "mint": shop.mint.to_string(), "recipient": shop.wallet.to_string(), "decimals": 6, "enabled": true }]),
                )
            }
            (&Method::GET, "/history") => self.history(request),
            (&Method::PUT, "/crypto/confirm") => self.confirm(request),
            other => panic!("{other:?} was never asked before"),
        };
        if loses_answer {
            Err(Fault::Broken(None))
        } else {
            Ok(answer)
        }
    }

    fn history(&self, request: &Request) -> Reply {
        let number = |name: &str| -> usize {
            let pair = request.url.query_pairs().find(|(key, _)| key == name);
            pair.unwrap().1.parse().unwrap()
        };
        let shop = self.ledger.shop;
        let entries: Vec<_> = self
            .sessions
            .iter()
            .rev()
            .skip(number("offset"))
            .take(number("limit").min(50))
            .map(|one| {
                json!({ "memo": one.memo, "amount": DUE, "token": shop.mint.to_string(), "recipient": shop.wallet.to_string(),
                        "status": u8::from(one.confirmed_by.is_some()), "transaction_hash": one.confirmed_by.map(|by| by.to_string()) })
            })
            .collect();
        reply(200, &entries.into())
    }

    /// As an honest backend: looks at the chain itself, a little behind it.
    fn confirm(&mut self, request: &Request) -> Reply {
        let value = |name: &str| {
            request
                .url
                .query_pairs()
                .find(|(key, _)| key == name)
                .unwrap()
                .1
                .into_owned()
        };
        let (memo, signature) = (
            value("payment_id"),
            value("transaction_hash").parse().unwrap(),
        );
        let now = self.slot();
        let seen_at = |now: u64| {
            let entry = self
                .ledger
                .entries
                .iter()
                .find(|entry| entry.signature == signature);
            entry.filter(|entry| Ledger::slot_of(entry, now).is_some())
        };
        let was_visible = seen_at(now).is_some();
        let pays = seen_at(now - self.lags[1]).is_some_and(|entry| {
            !entry.failed && entry.amount == DUE && entry.memo.as_deref() == Some(&memo)
        });
        self.puts.push(Put {
            memo: memo.clone(),
            signature,
            was_visible,
        });
        let Some(session) = self.sessions.iter_mut().find(|one| one.memo == memo) else {
            return reply(404, &Value::Null);
        };
        match session.confirmed_by {
            Some(by) if by == signature => reply(200, &json!({ "ok": true })),
            Some(_) => reply(409, &Value::Null),
            None if pays => {
                session.confirmed_by = Some(signature);
                reply(200, &json!({ "ok": true }))
            }
            None => reply(400, &Value::Null),
        }
    }
}
