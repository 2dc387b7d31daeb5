//! Nodes that refuse, lag and forget: the edge to the chain asks elsewhere, and never passes a gap.

use crate::support::{World, eventually};
use axum::{Json, Router, http::StatusCode, response::IntoResponse, routing::post};
use paywatch::domain::{Commitment, Signature};
use paywatch::solana::{Fetched, Limits, Rpc};
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinSet};
use url::Url;

/// What a scripted node answers.
#[derive(Clone, Debug)]
enum Script {
    Status(u16),
    Error(i64),
    Result(Value),
    Text(&'static str),
}

/// A node that answers every question from a script, the last answer for ever, and counts the questions.
struct Node {
    url: Url,
    asked: Arc<Mutex<usize>>,
    _server: JoinSet<()>,
}

impl Node {
    async fn with(script: Vec<Script>) -> Self {
        let asked = Arc::new(Mutex::new(0));
        let counter = asked.clone();
        let answer = move |Json(_question): Json<Value>| async move {
            let index = {
                let mut asked = counter.lock().unwrap();
                *asked += 1;
                *asked - 1
            };
            match script[index.min(script.len() - 1)].clone() {
                Script::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
                Script::Error(code) => {
                    Json(json!({ "error": { "code": code, "message": "scripted" } }))
                        .into_response()
                }
                Script::Result(result) => Json(json!({ "result": result })).into_response(),
                Script::Text(text) => text.into_response(),
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!(
            "http://{}/?api-key=hunter2",
            listener.local_addr().unwrap()
        ))
        .unwrap();
        let mut server = JoinSet::new();
        server.spawn(async move {
            axum::serve(listener, Router::new().route("/", post(answer)))
                .await
                .unwrap();
        });
        Self {
            url,
            asked,
            _server: server,
        }
    }

    fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }
}

fn rpc(nodes: &[&Node]) -> Rpc {
    let urls: Vec<_> = nodes.iter().map(|node| node.url.clone()).collect();
    let limits = Limits {
        request_timeout: Duration::from_secs(2),
        max_rps: 0,
        max_in_flight: 4,
    };
    Rpc::new(&urls, limits).unwrap()
}

#[tokio::test]
async fn another_endpoint_answers_for_one_that_cannot() {
    for fault in [
        Script::Status(429),
        Script::Status(503),
        Script::Error(-32005),
        Script::Error(429),
        Script::Text("<html>"),
    ] {
        let (bad, good) = (
            Node::with(vec![fault.clone()]).await,
            Node::with(vec![Script::Result(json!(7))]).await,
        );
        let rpc = rpc(&[&bad, &good]);
        assert_eq!(
            rpc.slot(Commitment::Finalized).await.unwrap(),
            7,
            "{fault:?}"
        );
        assert_eq!(rpc.slot(Commitment::Finalized).await.unwrap(), 7);
        assert_eq!(
            (bad.asked(), good.asked()),
            (1, 2),
            "{fault:?}: the bad one rests"
        );
    }
}

#[tokio::test]
async fn a_single_node_is_asked_again_and_an_error_names_no_key() {
    let node = Node::with(vec![
        Script::Status(429),
        Script::Error(-32005),
        Script::Result(json!(7)),
    ])
    .await;
    assert_eq!(rpc(&[&node]).slot(Commitment::Confirmed).await.unwrap(), 7);
    let node = Node::with(vec![Script::Status(500)]).await;
    let error = rpc(&[&node]).slot(Commitment::Confirmed).await.unwrap_err();
    assert_eq!(node.asked(), 3, "bounded");
    assert!(
        !format!("{error:?} {error}").contains("hunter2")
            && error.to_string().contains("127.0.0.1"),
        "{error}"
    );
    let node = Node::with(vec![Script::Error(-32602)]).await;
    rpc(&[&node]).slot(Commitment::Confirmed).await.unwrap_err();
    assert_eq!(node.asked(), 1, "a wrong question is asked once");
}

#[tokio::test]
async fn what_cannot_be_read_is_told_from_what_is_not_there_yet() {
    let signature = Signature::from([1; 64]);
    let fetch = async |script: Script| {
        let node = Node::with(vec![script]).await;
        rpc(&[&node])
            .transaction(signature, Commitment::Confirmed)
            .await
    };
    assert!(matches!(
        fetch(Script::Result(Value::Null)).await,
        Ok(Fetched::NotYet)
    ));
    for unreadable in [
        Script::Error(-32015),
        Script::Result(json!({ "slot": 1, "transaction": ["AAAA", "base64"], "meta": null })),
        Script::Result(
            json!({ "slot": 1, "transaction": ["????", "base64"], "meta": { "err": null } }),
        ),
        Script::Result(json!({ "slot": "x" })),
        Script::Result(json!([])),
    ] {
        assert!(
            matches!(fetch(unreadable.clone()).await, Ok(Fetched::Unreadable(_))),
            "{unreadable:?}"
        );
    }
    assert!(fetch(Script::Error(-32020)).await.is_err());
}

#[tokio::test]
async fn a_page_survives_errors_it_does_not_know_and_nulls() {
    let entry = json!({ "signature": Signature::from([1; 64]).to_string(), "slot": 5, "err": { "Unheard": ["of", 7] }, "memo": null, "extra": 1 });
    let node = Node::with(vec![
        Script::Result(json!([entry])),
        Script::Result(json!([{ "slot": 5 }])),
    ])
    .await;
    let rpc = rpc(&[&node]);
    let account = paywatch::domain::TokenAccount(paywatch::domain::Pubkey::new_from_array([1; 32]));
    let page = rpc.signatures(account, None, None).await.unwrap();
    assert_eq!((page.len(), page[0].slot, page[0].block_time), (1, 5, None));
    rpc.signatures(account, None, None)
        .await
        .expect_err("an entry without its signature fails the page");
}

/// Between the daemon and the real node: forgets anchors, as a node does that has pruned them or sits on another fork.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_forgot_the_anchor_costs_a_fall_back_and_no_payment() {
    let world = World::new().await;
    let (client, target) = (reqwest::Client::new(), world.net.rpc_url.clone());
    let refused = Arc::new(Mutex::new(0_usize));
    let count = refused.clone();
    let answer = move |Json(question): Json<Value>| async move {
        if question["method"] == "getSignaturesForAddress"
            && question["params"][1].get("until").is_some()
        {
            *count.lock().unwrap() += 1;
            return Json(json!({ "error": { "code": -32020, "message": "unknown signature" } }))
                .into_response();
        }
        let answer: Value = client
            .post(&target)
            .json(&question)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        Json(answer).into_response()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut server = JoinSet::new();
    server.spawn(async move {
        axum::serve(listener, Router::new().route("/", post(answer)))
            .await
            .unwrap();
    });

    let changes = [
        ("SOLANA__RPC_URLS", url.as_str()),
        ("SOLANA__WS_URLS", ""),
        ("SOLANA__SWEEP_EVERY", "500ms"),
    ];
    let daemon = world.watch(&changes).await;
    let (checkout, signature) = world.buy().await;
    world.wait_confirmed(&checkout, signature).await;
    eventually("the cursor has moved", async || {
        world.recorded(signature).await[0].chain_state == "finalized"
    })
    .await;
    assert!(daemon.terminate().success());
    // An anchor is relied on once it is a minute old: this one is made so.
    let path = world.folder.path().join("paywatch.db");
    let pool = sqlx::SqlitePool::connect(&format!("sqlite:{}", path.display()))
        .await
        .unwrap();
    sqlx::query("UPDATE cursors SET at = at - 120000")
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
    let (checkout, signature) = world.buy().await;
    let _daemon = world.watch(&changes).await;
    world.wait_confirmed(&checkout, signature).await;
    assert!(*refused.lock().unwrap() > 0, "an anchor was refused");
    world.assert_no_double_confirm().await;
}
