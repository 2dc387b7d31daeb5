//! Nodes that refuse, lag and forget: the edge to the chain asks elsewhere, and never passes a gap.

use crate::support::node::error;
use crate::support::server::{Said, Server};
use crate::support::{World, eventually};
use axum::{Json, Router, response::IntoResponse, routing::post};
use paywatch::domain::{Commitment, Signature};
use paywatch::solana::{Fetched, Limits, Rpc};
use serde_json::{Value, json};
use sqlx::Executor;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinSet};
use url::Url;

/// A node that answers every question from a script, the last answer for ever, and counts the questions.
struct Node {
    url: Url,
    asked: Arc<Mutex<usize>>,
    _server: Server,
}

fn refused(code: i64) -> Said {
    Said::Json(error(code, "scripted"))
}

fn result(result: &Value) -> Said {
    Said::Json(json!({ "result": result }))
}

impl Node {
    async fn with(script: Vec<Said>) -> Self {
        let asked = Arc::new(Mutex::new(0));
        let counter = asked.clone();
        let server = Server::start(move |_| {
            let mut asked = counter.lock().unwrap();
            *asked += 1;
            script[(*asked - 1).min(script.len() - 1)].clone()
        })
        .await;
        let mut url = server.url.clone();
        url.set_query(Some("api-key=hunter2"));
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
        Said::Status(429, None),
        Said::Status(503, None),
        refused(-32005),
        refused(429),
        Said::Text("<html>".into()),
    ] {
        let (bad, good) = (
            Node::with(vec![fault.clone()]).await,
            Node::with(vec![result(&json!(7))]).await,
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
        Said::Status(429, None),
        refused(-32005),
        result(&json!(7)),
    ])
    .await;
    assert_eq!(rpc(&[&node]).slot(Commitment::Confirmed).await.unwrap(), 7);
    let node = Node::with(vec![Said::Status(500, None)]).await;
    let error = rpc(&[&node]).slot(Commitment::Confirmed).await.unwrap_err();
    assert_eq!(node.asked(), 3, "bounded");
    assert!(
        !format!("{error:?} {error}").contains("hunter2")
            && error.to_string().contains("127.0.0.1"),
        "{error}"
    );
    let node = Node::with(vec![refused(-32602)]).await;
    rpc(&[&node]).slot(Commitment::Confirmed).await.unwrap_err();
    assert_eq!(node.asked(), 1, "a wrong question is asked once");
}

#[tokio::test]
async fn what_cannot_be_read_is_told_from_what_is_not_there_yet() {
    let signature = Signature::from([1; 64]);
    let fetch = async |script: Said| {
        let node = Node::with(vec![script]).await;
        rpc(&[&node])
            .transaction(signature, Commitment::Confirmed)
            .await
    };
    assert!(matches!(
        fetch(result(&Value::Null)).await,
        Ok(Fetched::NotYet)
    ));
    for unreadable in [
        refused(-32015),
        result(&json!({ "slot": 1, "transaction": ["AAAA", "base64"], "meta": null })),
        result(&json!({ "slot": 1, "transaction": ["????", "base64"], "meta": { "err": null } })),
    ] {
        assert!(
            matches!(fetch(unreadable.clone()).await, Ok(Fetched::Unreadable(_))),
            "{unreadable:?}"
        );
    }
    for no_answer in [
        refused(-32020),
        result(&json!({ "slot": "x" })),
        result(&json!([])),
    ] {
        assert!(fetch(no_answer.clone()).await.is_err(), "{no_answer:?}");
    }
}

#[tokio::test]
async fn a_page_survives_errors_it_does_not_know_and_nulls() {
    let entry = json!({ "signature": Signature::from([1; 64]).to_string(), "slot": 5, "err": { "Unheard": ["of", 7] }, "memo": null, "extra": 1 });
    let node = Node::with(vec![
        result(&json!([entry])),
        result(&json!([{ "slot": 5 }])),
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

/// Stands between the daemon and the real node, and answers some questions itself.
async fn meddle(
    world: &World,
    answer_for: impl Fn(&Value) -> Option<Value> + Clone + Send + Sync + 'static,
) -> (String, JoinSet<()>) {
    let (client, target) = (reqwest::Client::new(), world.net.rpc_url.clone());
    let answer = move |Json(question): Json<Value>| async move {
        if let Some(answer) = answer_for(&question) {
            Json(answer).into_response()
        } else {
            let answer = client.post(&target).json(&question).send().await.unwrap();
            Json(answer.json::<Value>().await.unwrap()).into_response()
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut server = JoinSet::new();
    server.spawn(async move {
        axum::serve(listener, Router::new().route("/", post(answer)))
            .await
            .unwrap();
    });
    (url, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_forgot_the_anchor_costs_a_fall_back_and_no_payment() {
    let world = World::new().await;
    let refused = Arc::new(Mutex::new(0_usize));
    let count = refused.clone();
    let (url, _server) = meddle(&world, move |question| {
        let by_anchor = question["method"] == "getSignaturesForAddress"
            && question["params"][1].get("until").is_some();
        *count.lock().unwrap() += usize::from(by_anchor);
        by_anchor.then(|| json!({ "error": { "code": -32020, "message": "unknown signature" } }))
    })
    .await;
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
    // An anchor is relied on once it is a minute old and behind the cursor: this makes one.
    let anchor = "INSERT INTO cursors SELECT token_account, slot - 1, signature, at - 120000 FROM cursors LIMIT 1";
    world.tables().await.execute(anchor).await.unwrap();
    let (checkout, signature) = world.buy().await;
    let _daemon = world.watch(&changes).await;
    world.wait_confirmed(&checkout, signature).await;
    assert!(*refused.lock().unwrap() > 0, "an anchor was refused");
    world.assert_no_double_confirm().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_does_not_reach_back_to_the_cursor_does_not_move_it() {
    let world = World::new().await;
    let is_empty = Arc::new(Mutex::new(false));
    let says_empty = is_empty.clone();
    let (url, _server) = meddle(&world, move |question| {
        let hidden = question["method"] == "getSignaturesForAddress" && *says_empty.lock().unwrap();
        hidden.then(|| json!({ "result": [] }))
    })
    .await;
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
    let account = paywatch::domain::TokenAccount(localnet::associated(
        &localnet::Signer::pubkey(&world.merchant),
        &world.usdc,
    ));
    let cursor = world.store().await.cursors(account).await.unwrap()[0];
    *is_empty.lock().unwrap() = true;
    let (checkout, signature) = world.buy().await;
    eventually("the gap is noticed", async || {
        daemon.log().contains("does not reach back")
    })
    .await;
    assert_eq!(
        world.store().await.cursors(account).await.unwrap()[0],
        cursor
    );
    *is_empty.lock().unwrap() = false;
    world.wait_confirmed(&checkout, signature).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_cannot_be_read_is_held_stalls_nothing_and_is_confirmed_once_it_can() {
    let world = World::new().await;
    let poison: Arc<Mutex<Option<Signature>>> = Arc::default();
    let poisoned = poison.clone();
    let (url, _server) = meddle(&world, move |question| {
        let asked = question["params"][0].as_str().unwrap_or_default();
        let is_poison = poisoned.lock().unwrap().is_some_and(|signature| signature.to_string() == asked);
        let error = json!({ "error": { "code": -32015, "message": "Transaction version (9) is not supported" } });
        (question["method"] == "getTransaction" && is_poison).then_some(error)
    })
    .await;
    let poisoned_checkout = world.checkout(&world.usdc).await;
    let signature = world
        .pay(poisoned_checkout.amount, &poisoned_checkout.memo)
        .await;
    *poison.lock().unwrap() = Some(signature);
    let _daemon = world.watch(&[("SOLANA__RPC_URLS", &url)]).await;
    let (next, next_signature) = world.buy().await;
    world.wait_confirmed(&next, next_signature).await;
    world.wait_verdict(signature, "unreadable").await;
    assert_eq!(world.session(&poisoned_checkout.memo).await["status"], 0);
    *poison.lock().unwrap() = None;
    world.wait_confirmed(&poisoned_checkout, signature).await;
    world.assert_no_double_confirm().await;
}

/// A v0 transaction written byte by byte: one token transfer whose accounts come from a lookup table, and a memo inside.
#[tokio::test]
async fn keys_from_lookup_tables_and_inner_instructions_stand_where_they_belong() {
    let key = |byte: u8| paywatch::domain::Pubkey::new_from_array([byte; 32]);
    let (signature, payer, source, account) = (Signature::from([1; 64]), key(5), key(6), key(7));
    let transfer = [&[3_u8][..], &10_u64.to_le_bytes()].concat();
    let mut bytes = [
        &[1][..],
        &[1; 64],
        &[0x80, 1, 0, 1, 2],
        payer.as_ref(),
        spl_token::id().as_ref(),
        &[9; 32],
    ]
    .concat();
    // One instruction: program 1, accounts 2 (writable, loaded), 3 (writable, loaded), 0; then one table with two and one.
    bytes.extend(
        [
            &[1, 1, 3, 2, 3, 0, 9][..],
            &transfer,
            &[1],
            &[8; 32],
            &[2, 0, 1],
            &[1, 2],
        ]
        .concat(),
    );
    let blob = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, bytes);
    let memo_program = spl_memo_interface::v3::id().to_string();
    let balance = |index: u8, owner: paywatch::domain::Pubkey, amount: &str| {
        json!({ "accountIndex": index, "mint": key(3).to_string(), "owner": owner.to_string(),
                "programId": spl_token::id().to_string(), "uiTokenAmount": { "amount": amount, "uiAmount": 0.1 } })
    };
    let answer = json!({
        "slot": 77, "blockTime": 1_700_000_000, "version": 0, "transaction": [blob, "base64"],
        "meta": {
            "err": null, "fee": 5000, "unheardOf": {},
            "loadedAddresses": { "writable": [source.to_string(), account.to_string()], "readonly": [memo_program] },
            "innerInstructions": [{ "index": 0, "instructions": [
                { "programIdIndex": 4, "accounts": [], "data": solana_sdk::bs58::encode("inside").into_string(), "stackHeight": 2 },
            ] }],
            "preTokenBalances": [balance(2, payer, "50")],
            "postTokenBalances": [balance(2, payer, "40"), balance(3, key(2), "18446744073709551615")],
        },
    });
    let mut other = answer.clone();
    other["meta"]["innerInstructions"][0]["instructions"][0]["programIdIndex"] = 99.into();
    let node = Node::with(vec![result(&answer), result(&other)]).await;
    let rpc = rpc(&[&node]);
    let Ok(Fetched::Transaction(read)) = rpc.transaction(signature, Commitment::Confirmed).await
    else {
        panic!("it can be read");
    };
    assert_eq!(
        (read.slot, read.block_time, read.inner_known),
        (77, Some(1_700_000_000), true)
    );
    assert_eq!(read.instructions[0].accounts, [source, account, payer]);
    assert_eq!(read.instructions[0].data, transfer);
    assert_eq!(read.memos()[0].as_str(), "inside");
    assert_eq!(
        (read.pre[0].token_account.0, read.post[1].token_account.0),
        (source, account)
    );
    assert_eq!(read.post[1].amount.0, u64::MAX);
    let broken = rpc.transaction(signature, Commitment::Confirmed).await;
    assert!(matches!(broken, Ok(Fetched::Unreadable(why)) if why.contains("names a key")));
}
