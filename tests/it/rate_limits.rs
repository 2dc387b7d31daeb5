//! Nodes that say that they are asked too often are asked more slowly, for minutes, and not given up.

use crate::support::exit_of;
use crate::support::scripted::Scripted;
use crate::support::server::Said;
use paywatch::domain::Commitment;
use paywatch::http::{Exchange, Fault, Reply, Request};
use paywatch::solana::{Limits, Rpc};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// As a provider words it, inside an answer of status 200.
fn limited(code: i64) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": code, "message": "rate limited" } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_of_which_every_third_call_is_refused_finds_everything() {
    let scripted = Scripted::with(1).await;
    let paid: Vec<_> = (0..5).map(|_| scripted.buy()).collect();
    scripted.chain.advance(1_000);
    let calls = AtomicU64::new(0);
    scripted.nodes[0].says(move |_, honest| {
        let is_third = calls.fetch_add(1, Ordering::SeqCst) % 3 == 2;
        Said::Json(if is_third { limited(-32429) } else { honest })
    });
    let environment = scripted.environment(&[]);
    let backfill = ["backfill", "--json"];
    let output = tokio::task::spawn_blocking(move || exit_of(&environment, &backfill))
        .await
        .unwrap();
    let text = crate::support::said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for (_, signature) in &paid {
        assert_eq!(scripted.told_of(*signature), 1, "{text}");
    }
}

/// A node that refuses so many calls with this answer, and counts them.
struct Busy {
    refuses: u64,
    reply: (u16, Value),
    calls: AtomicU64,
}

#[paywatch::async_trait]
impl Exchange for Busy {
    async fn exchange(&self, _: Request) -> Result<Reply, Fault> {
        let (status, body) = if self.calls.fetch_add(1, Ordering::SeqCst) < self.refuses {
            self.reply.clone()
        } else {
            (200, json!({ "jsonrpc": "2.0", "id": 1, "result": 7 }))
        };
        Ok(Reply {
            status: StatusCode::from_u16(status).unwrap(),
            retry_after: None,
            redirect: None,
            body: serde_json::to_vec(&body).unwrap(),
        })
    }
}

fn busy(refuses: u64, reply: (u16, Value)) -> (Arc<Busy>, Rpc) {
    let busy = Arc::new(Busy {
        refuses,
        reply,
        calls: AtomicU64::new(0),
    });
    let limits = Limits {
        request_timeout: Duration::from_secs(1),
        max_rps: 0,
        max_in_flight: 4,
    };
    let network: Arc<dyn Exchange> = busy.clone();
    let url = "https://node.example".parse().unwrap();
    let rpc = Rpc::over(&network, &[url], limits);
    (busy, rpc)
}

#[tokio::test(start_paused = true)]
async fn rate_limits_are_waited_out_for_minutes_more_slowly_each_time_and_not_for_ever() {
    let forms = [429, -32429, -32029, -32003].map(|code| (200, limited(code)));
    for reply in forms.into_iter().chain([(429, Value::Null)]) {
        let (node, rpc) = busy(8, reply.clone());
        assert!(rpc.slot(Commitment::Confirmed).await.is_err(), "{reply:?}");
        let calls = node.calls.load(Ordering::SeqCst);
        assert_eq!(calls, 3, "somebody waits for the answer of a command");

        let (_, rpc) = busy(8, reply.clone());
        let began = Instant::now();
        let slot = rpc.patient().slot(Commitment::Confirmed).await;
        assert_eq!(slot.unwrap(), 7, "{reply:?}");
        let took = began.elapsed();
        assert!(took > Duration::from_secs(30), "it slows down: {took:?}");

        let (node, rpc) = busy(u64::MAX, reply.clone());
        let began = Instant::now();
        let given_up = rpc.patient().slot(Commitment::Confirmed).await;
        assert!(given_up.is_err(), "{reply:?}");
        let (took, calls) = (began.elapsed(), node.calls.load(Ordering::SeqCst));
        assert!((180..300).contains(&took.as_secs()), "{took:?}");
        assert!((8..30).contains(&calls), "{calls} calls in {took:?}");
    }
    let (node, rpc) = busy(u64::MAX, (500, Value::Null));
    let failed = rpc.patient().slot(Commitment::Confirmed).await;
    assert!(failed.is_err());
    let calls = node.calls.load(Ordering::SeqCst);
    assert_eq!(calls, 3, "a node that is broken is not waited for");
}

/// A node that limits, before or after one that is down: the limit is waited out.
#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_is_waited_out_also_beside_a_node_that_is_down() {
    for down in [0, 1] {
        let scripted = Scripted::with(2).await;
        let paid = scripted.buy();
        scripted.chain.advance(1_000);
        scripted.nodes[down].says(|_, _| Said::Status(503, None));
        let began = std::time::Instant::now();
        scripted.nodes[1 - down].says(move |_, honest| {
            let is_busy = began.elapsed() < Duration::from_secs(4);
            Said::Json(if is_busy { limited(-32429) } else { honest })
        });
        let environment = scripted.environment(&[]);
        let backfill = ["backfill", "--json"];
        let output = tokio::task::spawn_blocking(move || exit_of(&environment, &backfill))
            .await
            .unwrap();
        let text = crate::support::said(&output);
        assert_eq!(scripted.told_of(paid.1), 1, "{text}");
    }
}
