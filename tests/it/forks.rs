//! Forks that nodes still show, or show each by itself: what a dead fork gave is never taken for what landed elsewhere.

use crate::left_out::{BALANCES_AFTER, leaves_out};
use crate::support::backend::DUE;
use crate::support::books::{Books, NOW, account, credited, ingested, paid, signature};
use crate::support::ledger::{Entry, Fate, Ledger};
use crate::support::scripted::{Daemon, Scripted};
use crate::support::server::Said;
use crate::support::{eventually, tables};
use paywatch::domain::{Commitment, Held, Signature, Verdict};
use paywatch::pipeline::{Settle, Watch};
use paywatch::store::{Filter, PaymentState, Reading};
use serde_json::json;
use std::time::Duration;

/// Two nodes and a payment on a fork that dies; it lands again and gives nothing there. One node lists it where it landed, while the
/// other one, which is behind, gives it as the fork had it. Ends when a sweep has met both.
async fn listed_here_and_given_there(memo: Option<String>) -> (Scripted, Daemon, Signature) {
    let scripted = Scripted::with(2).await;
    scripted.checkout();
    let daemon = scripted.watch(&[("SOLANA__CONFIRM_AT", "finalized")]).await;
    let first_seen = scripted.chain.slot() + 5;
    let dying = scripted.chain.ledger().land(Entry {
        fate: Fate::LandsFor(0, 0),
        memo,
        ..Entry::paid(scripted.chain.slot(), DUE, "")
    });
    scripted.chain.advance(5);
    eventually("it is seen on its fork", async || {
        daemon.payment(dying).await.is_some()
    })
    .await;
    let id = json!(dying.to_string());
    for node in &scripted.nodes {
        let (chain, id) = (scripted.chain.clone(), id.clone());
        node.says(move |question, mut honest| {
            let is_behind = question.method == "getTransaction"
                && question.params[0] == id
                && question.params[1]["commitment"] == "confirmed";
            if is_behind {
                let asked = json!({ "method": question.method, "params": question.params });
                honest["result"] = chain.ledger().answer_to(&asked, first_seen).unwrap();
            }
            Said::Json(honest)
        });
    }
    let before = scripted.nodes[0].asked(&dying.to_string());
    scripted.chain.advance(15);
    eventually("it is looked at again", async || {
        let asked = scripted
            .nodes
            .iter()
            .map(|node| node.asked(&dying.to_string()));
        asked.sum::<u64>() > before
    })
    .await;
    // What follows it lets the cursor pass both.
    let next = Entry::paid(scripted.chain.slot(), 1, "next");
    scripted.chain.ledger().land(next);
    tokio::time::sleep(Duration::from_secs(1)).await;
    scripted.chain.advance(60);
    scripted.swept_past(&daemon, 1).await;
    (scripted, daemon, dying)
}

/// Found by seed 578 of the simulation: the payment was taken for final, and sent.
#[tokio::test(flavor = "multi_thread")]
async fn seed_578_what_a_node_behind_gives_of_a_dead_fork_is_never_sent() {
    let memo = format!("{:032x}", 0);
    let (scripted, daemon, dying) = listed_here_and_given_there(Some(memo)).await;
    eventually("it is dropped", async || {
        daemon.payment(dying).await.unwrap().chain_state == "dropped"
    })
    .await;
    assert_eq!(scripted.told_of(dying), 0);
}

/// Found by seed 1210 of the simulation: money without a memo, which nobody waits for, was shown as final.
#[tokio::test(flavor = "multi_thread")]
async fn seed_1210_what_a_node_behind_gives_of_a_dead_fork_is_never_final() {
    let (scripted, daemon, dying) = listed_here_and_given_there(None).await;
    let payment = daemon.payment(dying).await.unwrap();
    assert_eq!(payment.state, PaymentState::Held);
    assert_eq!(payment.chain_state, "confirmed");
    // Nobody waits for it: it is asked about once it should long be final, and then dropped.
    let mut tables = tables(&scripted.file()).await;
    let later = "UPDATE payments SET recorded_at = recorded_at - 120000";
    sqlx::query(later).execute(&mut tables).await.unwrap();
    eventually("it is dropped", async || {
        daemon.payment(dying).await.unwrap().chain_state == "dropped"
    })
    .await;
}

/// A node that is far behind still lists it on a fork where it gave enough: what is final stands.
#[tokio::test]
async fn what_is_final_is_not_changed_by_another_fork() {
    let books = Books::with(&["a"]).await;
    let less = || ingested(1, 9, Commitment::Finalized, credited("a", DUE - 1));
    let held = Some(Verdict::Held(Held::Underpaid));
    assert_eq!(books.record(less()).await, held);
    let fork = || ingested(1, 5, Commitment::Confirmed, paid("a"));
    assert_eq!(books.record(fork()).await, None);
    assert_eq!(books.due().await, [""; 0]);
    let known = books.store.known(account(), &[signature(1)]).await;
    assert_eq!(known.unwrap(), [(signature(1), 9)], "nor read again");
}

/// The same of what could not be read where it is final.
#[tokio::test]
async fn what_is_final_and_unreadable_is_not_read_from_another_fork() {
    let books = Books::with(&["a"]).await;
    let broken = Reading::Unreadable("version 9".into());
    books
        .record(ingested(1, 9, Commitment::Finalized, broken))
        .await;
    let fork = ingested(1, 5, Commitment::Confirmed, paid("a"));
    assert_eq!(books.record(fork).await, None);
    assert_eq!(books.due().await, [""; 0]);
    let later = NOW.plus(Duration::from_mins(1));
    let quarantined = books.store.quarantined(later, 10).await.unwrap();
    assert_eq!(quarantined[0].at, Commitment::Finalized, "read as it is");
}

/// All hosts said that its fork is dead. A node that is behind shows it there once more: that is no news.
#[tokio::test]
async fn what_died_does_not_come_back_on_the_fork_that_died() {
    let books = Books::with(&["a"]).await;
    let fork = || ingested(1, 5, Commitment::Confirmed, paid("a"));
    books.record(fork()).await;
    let dropped = books.store.drop_payment(signature(1), 5, NOW).await;
    assert_eq!(dropped.unwrap().payments, 1);
    assert_eq!(books.record(fork()).await, None);
    assert_eq!(books.due().await, [""; 0]);
    let payments = books.store.payments(&Filter::newest(10)).await.unwrap();
    assert_eq!(payments[0].chain_state, "dropped");
    // Should it be final there after all, it is still read.
    let known = books.store.known(account(), &[signature(1)]).await;
    assert_eq!(known.unwrap(), []);
}

/// Found by seed 20192 of the simulation: one of two nodes shows where it landed, and never what it gave there. The other one does.
#[tokio::test(flavor = "multi_thread")]
async fn seed_20192_a_host_that_leaves_balances_out_keeps_no_dead_payment_alive() {
    let scripted = Scripted::with(2).await;
    let memo = scripted.checkout();
    let daemon = scripted.watch(&[("SOLANA__CONFIRM_AT", "finalized")]).await;
    let dying = scripted.chain.ledger().land(Entry {
        fate: Fate::LandsFor(1, DUE - 1),
        ..Entry::paid(scripted.chain.slot(), DUE, &memo)
    });
    scripted.chain.advance(5);
    daemon.judges(dying, "matched").await;
    leaves_out(&scripted.nodes[1], BALANCES_AFTER);
    scripted.chain.advance(100);
    daemon.judges(dying, "underpaid").await;
    assert_eq!(scripted.told_of(dying), 0);
}

/// Found by seed 1795601876 of the simulation: where a payment landed again, one of two nodes never shows what it gave there, and the
/// other one lags, so that it is not asked while another one answers.
#[tokio::test(flavor = "multi_thread")]
async fn seed_1795601876_what_landed_again_is_read_from_an_endpoint_that_lags() {
    const LAG: u64 = 100;
    let scripted = Scripted::with(2).await;
    let memo = scripted.checkout();
    let again = scripted.chain.ledger().land(Entry {
        fate: Fate::LandsAgain(1),
        ..Entry::paid(scripted.chain.slot(), DUE, &memo)
    });
    leaves_out(&scripted.nodes[0], BALANCES_AFTER);
    let daemon = scripted.watch(&[("SOLANA__CONFIRM_AT", "finalized")]).await;
    scripted.chain.advance(5);
    daemon.judges(again, "matched").await;
    scripted.nodes[1].lags(LAG);
    scripted.chain.advance(3 * LAG);
    drop(daemon);
    let pipeline = scripted.pipeline(&[]).await;
    pipeline.rpc.compare_endpoints().await;
    Watch::new(pipeline.clone()).step().await.unwrap();
    let mut settle = Settle::new(pipeline.clone());
    for _ in 0..3 {
        settle.step().await.unwrap();
    }
    let payments = pipeline.store.payments(&Filter::newest(10)).await.unwrap();
    let landed_in = Ledger::landed_slot(&scripted.chain.ledger().entries[0]);
    assert_eq!(payments[0].chain_state, "finalized");
    assert_eq!(Some(payments[0].slot), landed_in);
}
