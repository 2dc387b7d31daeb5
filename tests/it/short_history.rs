//! Nodes whose history is shorter than what is asked for, and archives that answer with empty pages: neither is the end of a history.

use crate::support::backend::DUE;
use crate::support::ledger::{Entry, Ledger};
use crate::support::node::Node;
use crate::support::scripted::Scripted;
use crate::support::server::Said;
use crate::support::{exit_of, said};
use paywatch::clock;
use paywatch::domain::Signature;
use paywatch::pipeline::{Backfill, Bound, Checkouts, LogLines, Sweep, Watch};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

const NO_SOCKETS: (&str, &str) = ("SOLANA__WS_URLS", "");
/// In the field case, history begins here.
const BEGINS_IN: u64 = 2_001;

/// From now on the node lists nothing below a slot, and says that its history begins in another one.
fn lists_from(node: &Node, slot: u64, begins_in: u64) {
    node.says(move |question, mut honest| {
        match question.method {
            "getFirstAvailableBlock" => honest["result"] = json!(begins_in),
            "getSignaturesForAddress" => {
                if let Some(page) = honest["result"].as_array_mut() {
                    page.retain(|entry| entry["slot"].as_u64() >= Some(slot));
                }
            }
            _ => {}
        }
        Said::Json(honest)
    });
}

/// A transaction long ago, a payment after it, and one within what nodes with a short history keep.
fn history(scripted: &Scripted) -> [(String, Signature); 2] {
    let slot = scripted.chain.slot();
    let paid_in = |slot: u64| {
        let memo = scripted.checkout();
        let entry = Entry::paid(slot, DUE, &memo);
        (memo, scripted.chain.ledger().land(entry))
    };
    scripted
        .chain
        .ledger()
        .land(Entry::paid(slot, 1, "long before"));
    let paid = [paid_in(slot + 500), paid_in(slot + 1_500)];
    scripted.chain.advance(3_000);
    paid
}

fn time(slot: u64) -> i64 {
    i64::try_from(Ledger::time_of(slot)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_over_more_history_than_the_node_keeps_says_so_and_ends_with_2() {
    let scripted = Scripted::with(1).await;
    let [_, recent] = history(&scripted);
    lists_from(&scripted.nodes[0], BEGINS_IN, BEGINS_IN);
    let environment = scripted.environment(&[NO_SOCKETS]);
    let since = clock::written(time(1_100));
    let arguments = ["backfill", "--since", &since];
    let output = exit_of(&environment, &[&arguments[..], &["--json"]].concat());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert_eq!(report["history_is_short"], true);
    assert_eq!(report["history_asked_from"], since);
    assert_eq!(report["history_begins_at"], clock::written(time(BEGINS_IN)));
    assert_eq!(report["history_begins_in_slot"], BEGINS_IN);
    assert_eq!(report["acknowledged"], 1, "what is there is confirmed");
    scripted.confirmed("what is there", &recent).await;
    let output = exit_of(&environment, &arguments);
    let told = said(&output);
    assert_eq!(output.status.code(), Some(2), "{told}");
    let begins = clock::written(time(BEGINS_IN));
    assert!(told.contains("shorter than asked for"), "{told}");
    assert!(told.contains(&since) && told.contains(&begins), "{told}");
    let output = exit_of(&environment, &["backfill", "--since", "1100"]);
    assert_eq!(output.status.code(), Some(2), "by slots: {}", said(&output));
    assert!(said(&output).contains("slot 1100"), "{}", said(&output));
    // From where its history begins, all that was asked for is there.
    let since = clock::written(time(BEGINS_IN));
    let output = exit_of(&environment, &["backfill", "--since", &since]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

async fn backfill(scripted: &Scripted) -> paywatch::pipeline::Report {
    let mut backfill = Backfill::new(scripted.pipeline(&[NO_SOCKETS]).await);
    backfill.since = Some(Bound::Time(time(1_100)));
    let progress = Arc::new(LogLines::default());
    backfill
        .run(progress, &CancellationToken::new())
        .await
        .unwrap()
}

/// Without bounds it goes as far back as `look_back`.
#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_without_bounds_says_it_too() {
    let scripted = Scripted::with(1).await;
    history(&scripted);
    lists_from(&scripted.nodes[0], BEGINS_IN, BEGINS_IN);
    let environment = scripted.environment(&[NO_SOCKETS]);
    let output = exit_of(&environment, &["backfill", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert_eq!(report["history_begins_in_slot"], BEGINS_IN, "{report}");
}

/// Another endpoint has what one lacks, whether that one says so or not.
#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_asks_the_other_endpoints_for_what_one_does_not_list() {
    for begins_in in [BEGINS_IN, 0] {
        let scripted = Scripted::with(2).await;
        let paid = history(&scripted);
        lists_from(&scripted.nodes[0], BEGINS_IN, begins_in);
        let report = backfill(&scripted).await;
        assert!(!report.history_is_short, "{report:?}");
        assert_eq!(report.acknowledged, 2, "{report:?}");
        for one in &paid {
            scripted.confirmed("each", one).await;
        }
    }
}

/// An account that has no older transactions ends where it ends: a node whose history goes back further is believed, unless more was
/// recorded before.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_page_ends_a_backfill_unless_more_is_known() {
    let scripted = Scripted::with(1).await;
    history(&scripted);
    lists_from(&scripted.nodes[0], BEGINS_IN, 0);
    let report = backfill(&scripted).await;
    assert!(!report.history_is_short, "{report:?}");
    let since = Some(clock::written(time(1_100)));
    assert_eq!(
        report.history_claimed_from, since,
        "it says what it believes"
    );
    scripted.nodes[0].is_honest_again();
    let report = backfill(&scripted).await;
    assert!(
        !report.history_is_short && report.new_payments > 0,
        "{report:?}"
    );
    lists_from(&scripted.nodes[0], BEGINS_IN, 0);
    let report = backfill(&scripted).await;
    assert!(report.history_is_short, "it was listed once: {report:?}");
}

/// One node says that there is nothing more; the archive, which has it, does not answer. A history is not what one of two says.
#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_does_not_answer_leaves_open_what_there_is() {
    for bounds in [&["--since", "1100"][..], &[]] {
        let scripted = Scripted::with(2).await;
        let [old, recent] = history(&scripted);
        lists_from(&scripted.nodes[0], BEGINS_IN, 0);
        scripted.nodes[1].says(|_, _| Said::Status(503, None));
        let environment = scripted.environment(&[NO_SOCKETS]);
        let arguments = [&["backfill", "--json"][..], bounds].concat();
        let run = || {
            let output = exit_of(&environment, &arguments);
            let report: Value = serde_json::from_slice(&output.stdout).unwrap();
            (output.status.code(), report)
        };
        let (code, report) = run();
        assert_eq!(code, Some(2), "{report}");
        assert_eq!(report["history_is_short"], true, "{report}");
        assert!(report["history_asked_from"].is_string(), "{report}");
        scripted.confirmed("what is listed", &recent).await;
        scripted.nodes[1].is_honest_again();
        let (_, report) = run();
        assert_eq!(report["history_is_short"], false, "{report}");
        scripted.confirmed("the archive is back", &old).await;
    }
}

/// For a while the archive behind the node answers with empty pages, although it says that its history goes back, or although the node
/// says that it does not: a payment of a pending checkout is found once the archive answers again.
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_away_for_a_while_hides_no_payment_for_good() {
    for begins_in in [0, BEGINS_IN] {
        let scripted = Scripted::with(1).await;
        let [old, recent] = history(&scripted);
        lists_from(&scripted.nodes[0], BEGINS_IN, begins_in);
        let daemon = scripted.watch(&[NO_SOCKETS]).await;
        scripted.confirmed("what is listed", &recent).await;
        // Until its sweeps begin at a cursor, all of it is listed anyway.
        for _ in 0..2 {
            let (_, signature) = scripted.buy();
            let entry = scripted.chain.ledger().entries.len() - 1;
            scripted.chain.advance(100);
            scripted.swept_past(&daemon, entry).await;
            assert!(daemon.payment(signature).await.is_some());
            scripted.lets_cursors_age().await;
        }
        assert!(daemon.payment(old.1).await.is_none());
        scripted.nodes[0].is_honest_again();
        scripted.confirmed("the archive is back", &old).await;
    }
}

/// The account seemed empty, or its cursor was far from what was hidden, and another process goes on.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_owed_is_remembered_over_restarts() {
    for listed_from in [BEGINS_IN, 1_000_000] {
        let scripted = Scripted::with(1).await;
        let [old, _] = history(&scripted);
        lists_from(&scripted.nodes[0], listed_from, 0);
        for is_back in [false, false, true] {
            if is_back {
                scripted.nodes[0].is_honest_again();
            }
            let pipeline = scripted.pipeline(&[NO_SOCKETS]).await;
            Checkouts::new(pipeline.clone()).step().await.unwrap();
            Watch::new(pipeline.clone()).step().await.unwrap();
            let mut sweep = Sweep::new(pipeline.clone());
            for _ in 0..3 {
                if listed_from == BEGINS_IN {
                    scripted.buy();
                    scripted.chain.advance(100);
                }
                sweep.step().await.unwrap();
                scripted.lets_cursors_age().await;
            }
            let filter = paywatch::store::Filter::newest(100);
            let payments = pipeline.store.payments(&filter).await.unwrap();
            let is_found = payments
                .iter()
                .any(|one| one.signature == old.1.to_string());
            assert_eq!(is_found, is_back, "listed from {listed_from}");
        }
    }
}
