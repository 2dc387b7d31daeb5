//! The payments API: an honest backend that fails like any other.

use super::model::{Model, reply, text};
use super::traits::Honesty;
use crate::support::backend::Put;
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
        let now = self.slot();
        if self.breaks_off(request) {
            return Err(Fault::Broken(None));
        }
        let before = self.backend.puts.len();
        self.backend.is_stubborn = self.is_stubborn();
        if self.boasts(request) {
            self.put_in.push(now);
            return Ok(reply(200, &json!({ "ok": true })));
        }
        let (status, body) =
            self.backend
                .answer(request.method.as_str(), &request.url, &self.ledger, now);
        let new = self.backend.puts.len() - before;
        self.put_in.extend(std::iter::repeat_n(now, new));
        if loses_answer {
            return Err(Fault::Broken(None));
        }
        let is_silent = self.traits.honesty == Honesty::Silent && new > 0 && status == 200;
        Ok(match self.dice.random_range(0..3) {
            0 if is_silent => reply(500, &Value::Null),
            1 if is_silent => text("OK"),
            _ if is_silent => reply(504, &Value::Null),
            _ => reply(status, &body),
        })
    }

    /// Whether it only says that it credits: of every third checkout, once or for ever. What does not deserve it is not even said.
    fn boasts(&mut self, request: &Request) -> bool {
        if request.method != Method::PUT {
            return false;
        }
        let put = Put::asked_by(&request.url);
        let says_so = match self.traits.honesty {
            Honesty::Forgetful => !self.backend.puts.contains(&put),
            Honesty::Boastful => true,
            Honesty::Honest | Honesty::Silent => false,
        };
        if !says_so || !is_third(&put.memo) {
            return false;
        }
        let now = self.slot();
        let deserves = self.backend.is_paid(&put, &self.ledger, now) && !self.backend.is_stubborn;
        if deserves {
            self.backend.puts.push(put);
        }
        deserves
    }

    /// Whether it says no to every confirm for now, whatever the chain says.
    pub(super) fn is_stubborn(&self) -> bool {
        self.began.elapsed() < self.traits.stubborn_for
    }

    /// Whether a reading of the history breaks off in the middle, or where it asks for too much.
    fn breaks_off(&mut self, request: &Request) -> bool {
        let number = |name: &str| {
            let mut pairs = request.url.query_pairs();
            let value = pairs.find(|(key, _)| key == name)?.1;
            value.parse::<usize>().ok()
        };
        let is_middle = number("offset").is_some_and(|offset| offset > 0);
        self.storm && is_middle && self.chance(30)
    }
}

/// Whether it is one of the checkouts of which an API says what is not so.
pub(super) fn is_third(memo: &str) -> bool {
    memo.as_bytes()[0].is_multiple_of(3)
}
