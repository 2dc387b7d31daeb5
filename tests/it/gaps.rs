//! Accounts that cannot be swept, or whose history a node has forgotten, beside one that is paid.

use crate::support::backend::DUE;
use crate::support::ledger::Entry;
use crate::support::node::{Node, Socket, error};
use crate::support::scripted::Scripted;
use crate::support::server::Said;
use paywatch::clock;
use paywatch::domain::TokenAccount;
use paywatch::pipeline::{Pipeline, Sweep, Swept, Watch};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

const NO_SOCKETS: (&str, &str) = ("SOLANA__WS_URLS", "");

/// A payment into the shop's other account and one into its associated account, in the past.
fn paid_both(scripted: &Scripted) {
    let memo = scripted.checkout();
    let entry = Entry {
        aside: true,
        ..Entry::paid(scripted.chain.slot(), DUE, &memo)
    };
    scripted.chain.ledger().land(entry);
    scripted.buy();
    scripted.chain.advance(100);
}

/// From now on the node has nothing below this slot, and says so; it lists no accounts if some are closed.
fn prunes(node: &Node, oldest: u64, is_closed: bool) {
    node.says(move |question, mut honest| {
        match question.method {
            "getFirstAvailableBlock" => honest["result"] = json!(oldest),
            "getTokenAccountsByOwner" if is_closed => honest["result"]["value"] = json!([]),
            "getSignaturesForAddress" => {
                let Some(page) = honest["result"].as_array_mut() else {
                    return Said::Json(error(-32020, "unknown signature"));
                };
                page.retain(|entry| entry["slot"].as_u64() >= Some(oldest));
            }
            _ => {}
        }
        Said::Json(honest)
    });
}

async fn sweep(pipeline: &Arc<Pipeline>) -> anyhow::Result<Swept> {
    Sweep::new(pipeline.clone()).step().await
}

/// A process that begins, and has learned what to watch.
async fn begin(scripted: &Scripted, changes: &[(&str, &str)]) -> (Arc<Pipeline>, Watch) {
    let changes = [&[NO_SOCKETS][..], changes].concat();
    let pipeline = scripted.pipeline(&changes).await;
    let mut watch = Watch::new(pipeline.clone());
    watch.step().await.unwrap();
    (pipeline, watch)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_forgets_after_sweeps_without_a_gap_is_no_gap() {
    for nodes in [1, 2] {
        let scripted = Scripted::with(nodes).await;
        paid_both(&scripted);
        let (pipeline, _) = begin(&scripted, &[]).await;
        sweep(&pipeline).await.unwrap();
        scripted.lets_cursors_age().await;
        scripted.chain.advance(2_000);
        scripted.buy();
        scripted.chain.advance(100);
        sweep(&pipeline).await.unwrap();
        let forget = |oldest| {
            for node in &scripted.nodes {
                prunes(node, oldest, false);
            }
        };
        forget(scripted.chain.slot() - 1_000);
        // Also in another process.
        let (again, _) = begin(&scripted, &[]).await;
        for pipeline in [&pipeline, &again] {
            sweep(pipeline).await.unwrap();
        }
        let aside = scripted.chain.ledger().shop.aside;
        assert!(again.status.account_swept_at(TokenAccount(aside)).is_some());
        // Nobody swept for longer than the nodes keep history.
        scripted.chain.advance(3_000);
        forget(scripted.chain.slot() - 1_000);
        let gap = sweep(&again).await.unwrap_err();
        assert!(
            format!("{gap:#}").contains("does not reach back"),
            "{gap:#}"
        );
    }
}

/// A node that lists nothing, and does not say that it has forgotten anything, is not believed.
#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_lacks_what_the_node_should_have_is_a_gap() {
    let scripted = Scripted::with(1).await;
    paid_both(&scripted);
    scripted.chain.advance(2_000);
    let (pipeline, _) = begin(&scripted, &[]).await;
    sweep(&pipeline).await.unwrap();
    fails_aside(&scripted, |_| Said::Json(json!({ "result": [] })));
    sweep(&pipeline).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_was_closed_leaves_although_its_history_is_forgotten() {
    for was_away in [false, true] {
        let scripted = Scripted::with(1).await;
        paid_both(&scripted);
        let changes = [("SOLANA__SWEEP_EVERY", "1ms")];
        let (pipeline, _) = begin(&scripted, &changes).await;
        sweep(&pipeline).await.unwrap();
        scripted.chain.advance(2_000);
        scripted.buy();
        scripted.chain.advance(100);
        sweep(&pipeline).await.unwrap();
        if was_away {
            scripted.chain.advance(3_000);
        }
        prunes(&scripted.nodes[0], scripted.chain.slot() - 1_000, true);
        let aside = TokenAccount(scripted.chain.ledger().shop.aside);
        let (pipeline, mut watch) = begin(&scripted, &changes).await;
        assert!(pipeline.watching().accounts().contains(&aside));
        assert!(!pipeline.watching().turns.is_needed(aside));
        let swept = sweep(&pipeline).await;
        assert_eq!(swept.is_err(), was_away, "the associated one has a gap");
        tokio::time::sleep(Duration::from_millis(50)).await;
        watch.step().await.unwrap();
        let is_watched = pipeline.watching().accounts().contains(&aside);
        assert_eq!(is_watched, was_away, "for an hour");
    }
}

/// Answers about the history of the shop's other account.
fn fails_aside(scripted: &Scripted, says: fn(u64) -> Said) {
    let aside = json!(scripted.chain.ledger().shop.aside.to_string());
    scripted.nodes[0].says(move |question, honest: Value| match question.method {
        "getSignaturesForAddress" if question.params[0] == aside => says(question.before),
        _ => Said::Json(honest),
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_in_turn_that_fails_is_no_failure_of_the_sweep() {
    let scripted = Scripted::with(1).await;
    paid_both(&scripted);
    let (pipeline, _) = begin(&scripted, &[("WATCH__MAX_ACCOUNTS", "1")]).await;
    fails_aside(&scripted, |_| Said::Json(error(-32010, "not this one")));
    let mut sweep = Sweep::new(pipeline.clone());
    for _ in 0..2 {
        sweep.step().await.unwrap();
    }
    let (every, now) = (Duration::from_secs(15), clock::now());
    assert_eq!(pipeline.status.unready(every, now), None);
    assert_eq!(pipeline.watching().turns.in_turn(), 1);
}

/// An account that fails for ever makes nobody wait: not for a sweep, and not after a socket has subscribed again.
#[tokio::test(flavor = "multi_thread")]
async fn beside_an_account_that_fails_for_ever_payments_are_found_promptly() {
    let scripted = Scripted::with(1).await;
    let _running = scripted.chain.run();
    fails_aside(&scripted, |_| Said::Json(error(-32010, "not this one")));
    scripted.nodes[0].socket(Socket::LosesHints);
    let _daemon = scripted.watch(&[]).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    for _ in 0..2 {
        let began = Instant::now();
        let paid = scripted.buy();
        scripted.confirmed("beside it", &paid).await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(4), "{took:?}");
    }
}
