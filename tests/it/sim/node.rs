//! The two Solana nodes: what they answer, and how they fail.

use super::model::{Model, reply, text};
use super::traits::LeftOut;
use crate::support::backend::DUE;
use crate::support::ledger::{Entry, Fate, Refusal};
use paywatch::http::{Fault, Reply, Request};
use rand::Rng;
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

impl Model {
    pub(super) fn node(&mut self, index: usize, request: &Request) -> Result<Reply, Fault> {
        if Instant::now() < self.node_away[index] {
            return Err(Fault::NoConnection(None));
        }
        let question: Value = serde_json::from_slice(request.json.as_deref().unwrap()).unwrap();
        let (method, params) = (question["method"].as_str().unwrap(), &question["params"]);
        let now = self.slot() - if index == 1 { self.traits.lag } else { 0 };
        if self.storm && self.chance(15) {
            return self.node_fault(method);
        }
        let answer = if method == "getTransaction" && self.is_poison(params) {
            Err((-32015, "Transaction version (9) is not supported"))
        } else if method == "getTransaction" && self.traits.liar == Some(index) {
            self.lie(&question, now)
        } else if method == "getSignaturesForAddress" {
            self.page(&question, now)
        } else {
            self.ledger.answer_to(&question, now)
        };
        let answer = match answer {
            Ok(told) if method == "getTransaction" => Ok(self.leave_out(index, params, told)),
            other => other,
        };
        Ok(reply(
            200,
            &match answer {
                Ok(result) => json!({ "jsonrpc": "2.0", "id": 1, "result": result }),
                Err((code, message)) => {
                    json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": code, "message": message } })
                }
            },
        ))
    }

    fn is_poison(&self, params: &Value) -> bool {
        let asked = self.ledger.find(params[0].as_str().unwrap());
        self.storm && asked.is_some_and(|entry| entry.is_poison)
    }

    /// What is left when a node leaves balances out of some transactions.
    fn leave_out(&self, index: usize, params: &Value, mut told: Value) -> Value {
        let asked = self.ledger.find(params[0].as_str().unwrap());
        let is_one = asked.is_some_and(|entry| entry.signature.as_ref()[1].is_multiple_of(3));
        let Some(omission) = self.traits.omission.filter(|omission| {
            is_one && omission.node == index && (self.storm || omission.is_for_ever)
        }) else {
            return told;
        };
        if told.is_null() {
            return told;
        }
        let meta = &mut told["meta"];
        let owner = self.ledger.shop.wallet.to_string();
        match omission.what {
            LeftOut::After => meta["postTokenBalances"] = json!([]),
            LeftOut::All => {
                meta["preTokenBalances"] = json!([]);
                meta["postTokenBalances"] = json!([]);
            }
            LeftOut::Shop => {
                let after = meta["postTokenBalances"].as_array_mut().unwrap();
                after.retain(|balance| balance["owner"] != owner);
            }
        }
        told
    }

    /// A transaction that gave what was due, of which that is not true.
    fn lie(&self, question: &Value, now: u64) -> Result<Value, Refusal> {
        let honest = self.ledger.answer_to(question, now)?;
        let entry = self.ledger.find(question["params"][0].as_str().unwrap());
        Ok(match (entry, honest["slot"].as_u64()) {
            (Some(entry), Some(slot)) if self.storm && entry.signature.as_ref()[0] % 2 == 0 => {
                let paid = Entry {
                    fate: Fate::Stays,
                    amount: DUE,
                    ..entry.clone()
                };
                self.ledger.answer(&paid, slot)
            }
            _ => honest,
        })
    }

    /// A page, sometimes with an entry twice, or the newest ones not there yet.
    fn page(&mut self, question: &Value, now: u64) -> Result<Value, Refusal> {
        // The index of signatures may be behind the chain.
        let is_behind = self.storm && self.chance(10);
        let now = if is_behind { now - 5 } else { now };
        let Value::Array(mut page) = self.ledger.answer_to(question, now)? else {
            panic!("a page is a list");
        };
        if self.storm && !page.is_empty() && self.chance(10) {
            let again = page[self.dice.random_range(0..page.len())].clone();
            page.push(again);
        }
        if self.storm && self.chance(10) {
            // Within a slot the order is anybody's guess.
            page.sort_by_key(|entry| {
                (
                    std::cmp::Reverse(entry["slot"].as_u64()),
                    entry["signature"].to_string(),
                )
            });
        }
        Ok(page.into())
    }

    fn node_fault(&mut self, method: &str) -> Result<Reply, Fault> {
        let error = |code: i64| {
            Ok(reply(
                200,
                &json!({ "error": { "code": code, "message": "storm" } }),
            ))
        };
        match self.dice.random_range(0..12) {
            0 => Err(Fault::NoConnection(None)),
            1 => Err(Fault::NotInTime(None)),
            2 => Err(Fault::Cut(StatusCode::OK, None)),
            3 => Ok(Reply {
                retry_after: Some(Duration::from_secs(1)),
                ..reply(429, &Value::Null)
            }),
            4 => error(429),
            5 => error([-32005, -32007, -32014, -32016, -32004][self.dice.random_range(0..5)]),
            6 => Ok(text("<html>busy</html>")),
            7 => Ok(text("{\"jsonrpc\":\"2.0\",\"result\":[{\"signat")),
            8 if method == "getSignaturesForAddress" => error(-32020),
            9 if method == "getSignaturesForAddress" => error(-32602),
            _ if method == "getTransaction" || method == "getSignatureStatuses" => {
                Ok(match method {
                    "getTransaction" => reply(200, &json!({ "result": null })),
                    _ => reply(503, &Value::Null),
                })
            }
            _ => Ok(reply(500, &Value::Null)),
        }
    }
}
