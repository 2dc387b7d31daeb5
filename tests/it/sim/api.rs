//! The payments API: an honest backend that fails like any other.

use super::model::{Model, reply, text};
use paywatch::http::{Fault, Reply, Request};
use rand::Rng;
use serde_json::Value;
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
        let (status, body) =
            self.backend
                .answer(request.method.as_str(), &request.url, &self.ledger, now);
        if loses_answer {
            Err(Fault::Broken(None))
        } else {
            Ok(reply(status, &body))
        }
    }
}
