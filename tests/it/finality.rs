//! How sure the chain is: payments wait where they should, forks that die are never confirmed, and a chain that stands still is
//! only late. The chain moves when the test says so.

use crate::decisions::{by, underpaid, which};
use crate::support::backend::DUE;
use crate::support::books::{NOW, credited, ingested, memo, paid, signature};
use crate::support::eventually;
use crate::support::ledger::{Entry, Fate, Ledger};
use crate::support::scripted::{Daemon, Scripted};
use crate::support::server::Said;
use paywatch::domain::{Commitment, Signature};
use paywatch::pipeline::{Settle, Watch};
use paywatch::store::{Filter, PaymentState};
use serde_json::json;
use std::time::Duration;

/// Longer than settling, sweeping and confirming take when nothing holds them back.
const A_WHILE: Duration = Duration::from_secs(5);

async fn chain_state(daemon: &Daemon, signature: Signature) -> String {
    daemon.payment(signature).await.unwrap().chain_state
}

/// A payment that waits for its chain, which so many nodes look at.
async fn waiting_to_be_final(nodes: usize) -> (Scripted, Daemon, (String, Signature)) {
    let scripted = Scripted::with(nodes).await;
    let daemon = scripted.watch(&[("SOLANA__CONFIRM_AT", "finalized")]).await;
    let paid = scripted.buy();
    scripted.chain.advance(5);
    daemon.judges(paid.1, "matched").await;
    (scripted, daemon, paid)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_seen_at_confirmed_is_followed_to_finalized() {
    let scripted = Scripted::with(1).await;
    let daemon = scripted.watch(&[]).await;
    let paid = scripted.buy();
    scripted.chain.advance(5);
    scripted.confirmed("at confirmed", &paid).await;
    assert_eq!(chain_state(&daemon, paid.1).await, "confirmed");
    scripted.chain.advance(40);
    eventually("it is finalized", async || {
        chain_state(&daemon, paid.1).await == "finalized"
    })
    .await;
    assert_eq!(scripted.told_of(paid.1), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn confirm_at_finalized_and_finalized_above_wait() {
    let settings: [&[(&str, &str)]; 2] = [
        &[("SOLANA__CONFIRM_AT", "finalized")],
        &[("POLICY__FINALIZED_ABOVE__USDC", "18.999999")],
    ];
    for changes in settings {
        let scripted = Scripted::with(1).await;
        let daemon = scripted.watch(changes).await;
        let paid = scripted.buy();
        scripted.chain.advance(5);
        daemon.judges(paid.1, "matched").await;
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(scripted.told_of(paid.1), 0, "{changes:?}");
        scripted.chain.advance(40);
        scripted.confirmed("once it is final", &paid).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_at_the_limit_does_not_wait() {
    let scripted = Scripted::with(1).await;
    let _daemon = scripted
        .watch(&[("POLICY__FINALIZED_ABOVE__USDC", "19")])
        .await;
    let paid = scripted.buy();
    scripted.chain.advance(5);
    scripted.confirmed("at confirmed", &paid).await;
}

/// Its fork dies while it waits to be final: it never goes, and its checkout is free for the payment that comes after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_whose_fork_dies_is_marked_and_never_sent() {
    dies_and_is_never_sent(Fate::Dies).await;
}

/// It is on the chain that lives, too, but what it does there gives nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_gave_something_on_a_dead_fork_alone_is_never_sent() {
    dies_and_is_never_sent(Fate::LandsFor(3, 0)).await;
}

async fn dies_and_is_never_sent(fate: Fate) {
    let scripted = Scripted::with(2).await;
    let daemon = scripted.watch(&[("SOLANA__CONFIRM_AT", "finalized")]).await;
    let memo = scripted.checkout();
    let dying = Entry {
        fate,
        ..Entry::paid(scripted.chain.slot(), DUE, &memo)
    };
    let dead = scripted.chain.ledger().land(dying);
    scripted.chain.advance(5);
    daemon.judges(dead, "matched").await;
    scripted.chain.advance(100);
    eventually("it is dropped", async || {
        chain_state(&daemon, dead).await == "dropped"
    })
    .await;
    let again = Entry::paid(scripted.chain.slot(), DUE, &memo);
    let again = scripted.chain.ledger().land(again);
    scripted.chain.advance(100);
    scripted
        .confirmed("the next one pays", &(memo, again))
        .await;
    assert_eq!(scripted.told_of(dead), 0);
}

/// The API is away while the fork dies: what was sent in vain by then is not kept for when it is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_whose_fork_dies_while_the_api_is_away_is_given_up() {
    is_given_up_once_its_fork_is_dead(Fate::Dies).await;
}

/// The same, but it is on the chain that lives, too, and pays too little there.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_paid_enough_on_a_dead_fork_alone_is_given_up() {
    is_given_up_once_its_fork_is_dead(Fate::LandsFor(3, DUE - 1)).await;
}

async fn is_given_up_once_its_fork_is_dead(fate: Fate) {
    let scripted = Scripted::with(1).await;
    scripted.api_says(|asked| (asked.method == "PUT").then_some(Said::Status(503, None)));
    let daemon = scripted.watch(&[]).await;
    let dead = scripted.chain.ledger().land(Entry {
        fate,
        ..Entry::paid(scripted.chain.slot(), DUE, &scripted.checkout())
    });
    scripted.chain.advance(5);
    eventually("it is sent in vain", async || {
        let outbox = daemon.store.count_confirmations().await;
        outbox.unwrap().undelivered == 1
    })
    .await;
    scripted.chain.advance(100);
    eventually("it is given up", async || {
        let payment = daemon.payment(dead).await.unwrap();
        (payment.state, payment.chain_state.as_str()) == (PaymentState::Parked, "dropped")
    })
    .await;
}

/// One of two hosts has lost it, the other one shows it: nobody is believed who only forgot.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_one_host_still_has_is_not_dropped() {
    let (scripted, daemon, paid) = waiting_to_be_final(2).await;
    scripted.nodes[0].forgets(paid.1, 0);
    scripted.chain.advance(100);
    tokio::time::sleep(A_WHILE * 2).await;
    assert_ne!(chain_state(&daemon, paid.1).await, "dropped");
    scripted.confirmed("the other host shows it", &paid).await;
}

/// One of two hosts has lost it; the other one does not answer, or cannot give it: a single word is no proof that a fork is dead.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_one_host_denies_while_the_other_tells_nothing_is_not_dropped() {
    let unreadable =
        json!({ "code": -32015, "message": "Transaction version (9) is not supported" });
    let unreadable = json!({ "jsonrpc": "2.0", "id": 1, "error": unreadable });
    for told in [Said::Status(503, None), Said::Json(unreadable)] {
        let (scripted, mut settle, signature, _) = unsettled(2).await;
        scripted.chain.advance(100);
        scripted.nodes[0].forgets(signature, 0);
        let says = told.clone();
        scripted.nodes[1].says(move |question, honest| match question.method {
            "getTransaction" => says.clone(),
            "getSignatureStatuses" => Said::Status(503, None),
            _ => Said::Json(honest),
        });
        for miss in 1..=30 {
            let outcome = settle.step().await.unwrap();
            assert_eq!(
                (outcome.finalized, outcome.dropped),
                (0, 0),
                "miss {miss}: {told:?}"
            );
        }
        scripted.nodes[1].is_honest_again();
        let mut finalized = 0;
        for _ in 31..=60 {
            finalized += settle.step().await.unwrap().finalized;
        }
        assert_eq!(finalized, 1, "the other host shows it: {told:?}");
    }
}

/// The daemon was away for longer than the only host keeps history: what it no longer has may have been there.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_older_than_the_history_of_all_hosts_is_not_dropped() {
    let (scripted, daemon, paid) = waiting_to_be_final(1).await;
    let node = &scripted.nodes[0];
    node.forgets(paid.1, scripted.chain.slot() + 50);
    scripted.chain.advance(100);
    eventually("its history is looked at", async || {
        node.asked("getFirstAvailableBlock") > 0
    })
    .await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(chain_state(&daemon, paid.1).await, "confirmed");
    node.is_honest_again();
    scripted.confirmed("somebody has it again", &paid).await;
}

/// A payment that waits for its chain before so many hosts; nobody settles it but the test.
async fn unsettled(hosts: usize) -> (Scripted, Settle, Signature, u64) {
    let (scripted, daemon, paid) = waiting_to_be_final(hosts).await;
    drop(daemon);
    let landed_in = scripted.chain.ledger().entries[0].slot;
    let pipeline = scripted
        .pipeline(&[("SOLANA__CONFIRM_AT", "finalized")])
        .await;
    Watch::new(pipeline.clone()).step().await.unwrap();
    (scripted, Settle::new(pipeline), paid.1, landed_in)
}

/// Until the finalized chain is past its slot, nobody can say that a payment is not on it.
#[tokio::test(flavor = "multi_thread")]
async fn a_fork_is_dead_only_once_the_finalized_chain_is_past_it() {
    let (scripted, mut settle, signature, landed_in) = unsettled(1).await;
    scripted.nodes[0].forgets(signature, 0);
    let dropped = async |settle: &mut Settle| settle.step().await.unwrap().dropped;
    for finalized in [landed_in - 1, landed_in] {
        while Ledger::finalized(scripted.chain.slot()) < finalized {
            scripted.chain.advance(1);
        }
        for _ in 0..60 {
            assert_eq!(dropped(&mut settle).await, 0, "finalized is {finalized}");
        }
    }
    scripted.chain.advance(1);
    for expected in [0, 0, 1] {
        assert_eq!(dropped(&mut settle).await, expected);
    }
}

/// The hosts are asked at the third miss. If it is not clear then, they are asked again at the thirtieth and not before.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_nobody_can_tell_of_is_asked_about_again_later() {
    let (scripted, mut settle, signature, _) = unsettled(1).await;
    let node = &scripted.nodes[0];
    scripted.chain.advance(100);
    node.forgets(signature, scripted.chain.slot() + 50);
    for miss in 1..=60 {
        if miss == 4 {
            node.forgets(signature, 0);
        }
        let dropped = settle.step().await.unwrap().dropped;
        assert_eq!(dropped, usize::from(miss == 30), "miss {miss}");
    }
}

/// No commitment moves for a while: what is seen before is confirmed, what comes after is late, nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_stands_still_is_only_late() {
    let (scripted, daemon, paid) = waiting_to_be_final(2).await;
    tokio::time::sleep(A_WHILE * 2).await;
    assert_eq!(chain_state(&daemon, paid.1).await, "confirmed");
    let next = scripted.buy();
    scripted.chain.advance(50);
    for paid in [paid, next] {
        scripted.confirmed("it goes on", &paid).await;
        assert_eq!(scripted.told_of(paid.1), 1);
    }
}

#[tokio::test]
async fn a_confirmation_by_hand_stands_when_the_payment_lands_again_on_another_fork() {
    for is_taken in [false, true] {
        let books = underpaid().await;
        let (checkout, by) = (memo("b"), by("seen"));
        let confirmed = books.store.confirm_by_hand(which(1), &checkout, &by, NOW);
        confirmed.await.unwrap();
        let dropped = books.store.drop_payment(signature(1), 5, NOW).await;
        assert_eq!(dropped.unwrap().sent, 0);
        if is_taken {
            books
                .record(ingested(2, 6, Commitment::Confirmed, paid("b")))
                .await;
            assert_eq!(books.due().await, ["b"]);
        }
        let again = |slot, reached| ingested(1, slot, reached, credited("a", DUE - 1));
        books.record(again(7, Commitment::Confirmed)).await;
        let expected = if is_taken {
            PaymentState::Held
        } else {
            PaymentState::Queued
        };
        let filter = Filter {
            signature: Some(signature(1)),
            ..Filter::newest(1)
        };
        let payments = books.store.payments(&filter).await.unwrap();
        assert_eq!(payments[0].state, expected);
        assert_eq!(books.due().await, [""; 0]);
        books
            .store
            .finalize(&[(signature(1), 7)], NOW)
            .await
            .unwrap();
        assert_eq!(books.due().await.len(), usize::from(!is_taken));
        assert_eq!(books.store.audit().await.unwrap(), []);
    }
}
