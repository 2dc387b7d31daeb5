//! Sockets that open at the wrong moment, say less than they should, or only seem to listen.

use crate::support::backend::DUE;
use crate::support::ledger::Entry;
use crate::support::node::{Socket, error};
use crate::support::scripted::Scripted;
use crate::support::server::Said;
use crate::support::{eventually, try_eventually};
use futures_util::future::join_all;
use paywatch::clock;
use paywatch::domain::TokenAccount;
use paywatch::pipeline::{Pipeline, Unready};
use serde_json::json;
use std::{sync::Arc, time::Duration};

/// Longer than any test waits: what is found was heard, or looked for because of a connection.
const SELDOM: (&str, &str) = ("SOLANA__SWEEP_EVERY", "1h");
/// Far less than the interval of sweeps.
const PROMPTLY: Duration = Duration::from_secs(20);

fn unready(pipeline: &Pipeline) -> Option<Unready> {
    let every = pipeline.config.solana.sweep_every;
    pipeline.status.unready(every, clock::now())
}

async fn until_ready(pipeline: &Arc<Pipeline>) {
    eventually("hints are heard", async || unready(pipeline).is_none()).await;
}

/// Waits until sweeps are as far apart as configured: no connection asks for one any more.
async fn until_quiet(pipeline: &Arc<Pipeline>) {
    let every = pipeline.config.solana.sweep_every;
    eventually("sweeps are seldom again", async || {
        pipeline.sweep_pause() >= every && pipeline.open_sockets().0 > 0
    })
    .await;
}

/// The socket's node notifies it before the daemon listens; the node that is swept is two seconds behind, as an index may be.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_made_while_a_socket_subscribes_is_confirmed_promptly() {
    for mood in [Socket::Honest, Socket::WithoutSlots] {
        let scripted = Scripted::with(2).await;
        scripted.chain.advance(1_000);
        let _running = scripted.chain.run();
        let (ahead, behind) = (&scripted.nodes[0], &scripted.nodes[1]);
        ahead.socket(mood);
        // With slots the socket tells how far the chain is; without them the node that is swept does, which reads newer slots than it lists.
        let lag = if mood == Socket::Honest { 100 } else { 0 };
        behind.lags(lag);
        behind.says(move |question, honest| {
            let is_listing = question.method == "getSignaturesForAddress" && mood != Socket::Honest;
            let is_behind = is_listing && question.before < 2;
            let empty = json!({ "jsonrpc": "2.0", "id": 1, "result": [] });
            Said::Json(if is_behind { empty } else { honest })
        });
        let paid = scripted.buy();
        scripted.chain.advance(3);
        let (ws_url, url) = (ahead.ws_url.as_str(), behind.url.as_str());
        let changes = [
            SELDOM,
            ("SOLANA__WS_URLS", ws_url),
            ("SOLANA__RPC_URLS", url),
        ];
        let _daemon = scripted.watch(&changes).await;
        let is_confirmed = async || scripted.told_of(paid.1) > 0;
        assert!(try_eventually(PROMPTLY, is_confirmed).await, "{mood:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_when_hints_are_heard_and_not_by_sweeps_alone() {
    let scripted = Scripted::with(1).await;
    let _running = scripted.chain.run();
    scripted.nodes[0].socket(Socket::Drops(0));
    let pipeline = scripted.pipeline(&[]).await;
    let _daemon = scripted.run(&pipeline).await;
    // The chain is not silent: sweeps succeed.
    eventually("only hints are missing", async || {
        unready(&pipeline) == Some(Unready::NotListening)
    })
    .await;
    scripted.nodes[0].socket(Socket::Honest);
    until_ready(&pipeline).await;
    assert_eq!(pipeline.open_sockets(), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn null_logs_and_refused_slots_do_not_keep_hints_from_being_heard() {
    let tries = [Socket::NullLogs, Socket::WithoutSlots].map(|mood| async move {
        let scripted = Scripted::with(1).await;
        let _running = scripted.chain.run();
        scripted.nodes[0].socket(mood);
        let pipeline = scripted.pipeline(&[SELDOM]).await;
        let _daemon = scripted.run(&pipeline).await;
        until_ready(&pipeline).await;
        until_quiet(&pipeline).await;
        let listings = || scripted.nodes[0].asked("getSignaturesForAddress");
        let before = listings();
        for _ in 0..3 {
            let paid = scripted.buy();
            scripted.confirmed(&format!("{mood:?}"), &paid).await;
        }
        assert_eq!(listings(), before, "{mood:?}: they were heard, not swept");
        let ones = "1".repeat(64);
        assert_eq!(scripted.nodes[0].asked(&ones), 0, "no transaction has it");
    });
    join_all(tries).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_slots_a_frozen_socket_is_noticed_by_its_pings() {
    let scripted = Scripted::with(1).await;
    let _running = scripted.chain.run();
    scripted.nodes[0].socket(Socket::WithoutSlots);
    let pipeline = scripted.pipeline(&[SELDOM]).await;
    let _daemon = scripted.run(&pipeline).await;
    until_ready(&pipeline).await;
    // Longer than the patience with a silent socket: answers to pings keep it open.
    let is_reopened = async || scripted.nodes[0].connections() > 1;
    assert!(!try_eventually(Duration::from_secs(12), is_reopened).await);
    scripted.nodes[0].socket(Socket::Frozen);
    let paid = scripted.buy();
    eventually("the silence is noticed", async || {
        pipeline.open_sockets().0 == 0
    })
    .await;
    scripted.nodes[0].socket(Socket::Honest);
    scripted.confirmed("found by the sweep", &paid).await;
}

/// Slots go on, so the socket looks well; a sweep that finds a payment shows that it is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_lost_its_subscriptions_is_opened_again_and_sweeps_are_frequent_meanwhile() {
    let scripted = Scripted::with(1).await;
    let _running = scripted.chain.run();
    let pipeline = scripted.pipeline(&[]).await;
    let _daemon = scripted.run(&pipeline).await;
    let every = pipeline.config.solana.sweep_every;
    eventually("sweeps are seldom", async || {
        pipeline.sweep_pause() == every * 4
    })
    .await;
    scripted.nodes[0].socket(Socket::LosesHints);
    let paid = scripted.buy();
    eventually("a payment that nobody heard of", async || {
        pipeline.sweep_pause() == every
    })
    .await;
    scripted.confirmed("found by the sweep", &paid).await;
    eventually("it is opened again", async || {
        scripted.nodes[0].connections() > 1
    })
    .await;
}

/// Sweeps are four intervals apart, longer than the three within which one must succeed where nothing else shows life.
#[tokio::test(flavor = "multi_thread")]
async fn without_slots_it_stays_ready_while_sweeps_are_seldom() {
    let scripted = Scripted::with(1).await;
    let _running = scripted.chain.run();
    scripted.nodes[0].socket(Socket::WithoutSlots);
    let pipeline = scripted.pipeline(&[("SOLANA__SWEEP_EVERY", "1s")]).await;
    let _daemon = scripted.run(&pipeline).await;
    until_ready(&pipeline).await;
    let flaps = async || unready(&pipeline).is_some();
    assert!(!try_eventually(Duration::from_secs(10), flaps).await);
    assert_eq!(pipeline.sweep_pause(), Duration::from_secs(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_promises_slots_and_sends_none_is_heard_all_the_same() {
    let scripted = Scripted::with(1).await;
    let _running = scripted.chain.run();
    scripted.nodes[0].socket(Socket::PromisesSlots);
    let pipeline = scripted.pipeline(&[SELDOM]).await;
    let _daemon = scripted.run(&pipeline).await;
    until_quiet(&pipeline).await;
    let node = &scripted.nodes[0];
    let before = node.asked("getSignaturesForAddress");
    let paid = scripted.buy();
    scripted.confirmed("it was heard", &paid).await;
    let is_reopened = async || node.connections() > 2;
    assert!(!try_eventually(Duration::from_secs(12), is_reopened).await);
    assert_eq!(node.asked("getSignaturesForAddress"), before);
}

/// What a node does not subscribe to, its socket cannot miss.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_into_an_account_whose_subscription_is_refused_closes_no_socket() {
    let scripted = Scripted::with(1).await;
    let _running = scripted.chain.run();
    let shop = scripted.chain.ledger().shop;
    let mood = Socket::Refuses(TokenAccount(shop.aside));
    scripted.nodes[0].socket(mood);
    let pipeline = scripted.pipeline(&[]).await;
    let _daemon = scripted.run(&pipeline).await;
    until_quiet(&pipeline).await;
    let memo = scripted.checkout();
    let entry = Entry {
        aside: true,
        ..Entry::paid(scripted.chain.slot(), DUE, &memo)
    };
    let signature = scripted.chain.ledger().land(entry);
    scripted.confirmed("it was swept", &(memo, signature)).await;
    let is_reopened = async || scripted.nodes[0].connections() > 1;
    assert!(!try_eventually(Duration::from_secs(7), is_reopened).await);
}

/// The hint is heard, and waits for the node to give the transaction, when the sweep has it already.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_whose_hint_a_sweep_overtakes_was_not_missed() {
    let scripted = Scripted::with(1).await;
    let _running = scripted.chain.run();
    let pipeline = scripted.pipeline(&[]).await;
    let _daemon = scripted.run(&pipeline).await;
    scripted.nodes[0].says(|question, honest| {
        let nothing = json!({ "jsonrpc": "2.0", "id": 1, "result": null });
        match question.method {
            // Of two questions the hint's comes first.
            "getTransaction" if question.before == 0 => {
                Said::Later(Duration::from_millis(900), nothing)
            }
            _ => Said::Json(honest),
        }
    });
    let every = pipeline.config.solana.sweep_every;
    let mut missed = 0;
    for _ in 0..6 {
        eventually("sweeps are seldom", async || {
            pipeline.sweep_pause() == every * 4
        })
        .await;
        let paid = scripted.buy();
        scripted.confirmed("it was found", &paid).await;
        let is_frequent = async || pipeline.sweep_pause() == every;
        missed += usize::from(try_eventually(every, is_frequent).await);
    }
    // A sweep may list a payment in the moment before the socket tells it.
    assert!(missed <= 1, "{missed} of 6");
}

/// Without slots the nodes tell how far the chain is; where they refuse to tell the newest slot, the `confirmed` one is enough.
#[tokio::test(flavor = "multi_thread")]
async fn a_gap_ends_where_the_newest_slot_is_refused_or_not_answered() {
    let tries = [false, true].map(|hangs| async move {
        let scripted = Scripted::with(1).await;
        let _running = scripted.chain.run();
        let node = &scripted.nodes[0];
        node.socket(Socket::WithoutSlots);
        node.says(move |question, honest| {
            let is_newest = question.params[0]["commitment"] == "processed";
            match question.method {
                "getSlot" if is_newest && hangs => Said::Silence,
                "getSlot" if is_newest => Said::Json(error(-32602, "Invalid params")),
                _ => Said::Json(honest),
            }
        });
        let pipeline = scripted.pipeline(&[SELDOM]).await;
        let _daemon = scripted.run(&pipeline).await;
        until_quiet(&pipeline).await;
    });
    join_all(tries).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_not_ready_while_no_node_answers_sweeps_however_well_its_sockets_are() {
    let scripted = Scripted::with(1).await;
    let _running = scripted.chain.run();
    scripted.nodes[0].says(|question, honest| match question.method {
        "getSignaturesForAddress" => Said::Status(403, None),
        _ => Said::Json(honest),
    });
    let pipeline = scripted.pipeline(&[]).await;
    let _daemon = scripted.run(&pipeline).await;
    eventually("it says so", async || {
        unready(&pipeline) == Some(Unready::HistoryUnread) && pipeline.open_sockets().0 == 1
    })
    .await;
    scripted.nodes[0].is_honest_again();
    until_ready(&pipeline).await;
}
