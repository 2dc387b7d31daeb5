//! A scripted payments API that says one thing and does another: what its history shows decides.

use crate::support::backend::{DUE, Put};
use crate::support::eventually;
use crate::support::ledger::Entry;
use crate::support::scripted::{Daemon, Scripted};
use crate::support::server::{Asked, Said};
use paywatch::domain::Signature;
use paywatch::store::{Event, Happened, PaymentState, Which};
use serde_json::json;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use std::time::{Duration, Instant};

/// The pair of a confirmation; `None` for another call.
fn pair(asked: &Asked) -> Option<Put> {
    let value = |name: &str| {
        let mut pairs = asked.url.query_pairs();
        pairs.find(|(key, _)| key == name).map(|(_, value)| value)
    };
    (asked.method == "PUT").then(|| Put {
        memo: value("payment_id").unwrap().into_owned(),
        signature: value("transaction_hash").unwrap().parse().unwrap(),
    })
}

async fn stands(daemon: &Daemon, signature: Signature, state: PaymentState) {
    eventually(state.as_str(), async || {
        let payment = daemon.payment(signature).await;
        payment.is_some_and(|payment| payment.state == state)
    })
    .await;
    assert_eq!(daemon.store.audit().await.unwrap(), []);
}

/// It credits the payment, and fails to say so: with a status, or with a text that is not JSON.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_credits_and_says_otherwise_is_believed_by_its_history() {
    let answers = [
        Said::Status(500, None),
        Said::Text("OK".into()),
        Said::Status(409, None),
        Said::Status(403, None),
    ];
    for answer in answers {
        let scripted = Scripted::with(1).await;
        let _running = scripted.chain.run();
        let (sessions, said) = (scripted.sessions(), answer.clone());
        scripted.api_says(move |asked| {
            let put = pair(asked)?;
            let mut backend = sessions.lock().unwrap();
            let mut all = backend.sessions.iter_mut();
            let session = all.find(|one| one.memo == put.memo)?;
            session.confirmed_by = Some(put.signature);
            Some(said.clone())
        });
        let changes = [
            ("MERCHANT__GIVE_UP_AFTER", "6s"),
            ("MERCHANT__POLL_EVERY", "3s"),
        ];
        let daemon = scripted.watch(&changes).await;
        let (_, signature) = scripted.buy();
        stands(&daemon, signature, PaymentState::Acknowledged).await;
    }
}

/// It says 200 and credits nothing: asked once more, then a person must look, and can have it sent again.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_says_accepted_and_credits_nothing_is_noticed() {
    let scripted = Scripted::with(1).await;
    let _running = scripted.chain.run();
    let puts = Arc::new(AtomicUsize::new(0));
    let counted = puts.clone();
    scripted.api_says(move |asked| {
        pair(asked)?;
        counted.fetch_add(1, Ordering::SeqCst);
        let body = json!({ "success": false, "error": "transaction not found yet" });
        Some(Said::Json(body))
    });
    let changes = [("MERCHANT__CREDIT_WITHIN", "1s")];
    let daemon = scripted.watch(&changes).await;
    let bought = scripted.buy();
    stands(&daemon, bought.1, PaymentState::Uncredited).await;
    assert_eq!(puts.load(Ordering::SeqCst), 2, "the same pair once more");
    let counts = daemon.store.count_confirmations().await.unwrap();
    assert_eq!((counts.queued, counts.uncredited), (0, 1));

    // Mended, and a person says so.
    scripted.api_says(|_| None);
    let which = Which {
        signature: bought.1,
        token_account: None,
    };
    let by = crate::decisions::by("the API is mended");
    let now = paywatch::clock::now();
    daemon.store.retry(which, &by, now).await.unwrap();
    scripted.confirmed("it is credited at last", &bought).await;
    stands(&daemon, bought.1, PaymentState::Acknowledged).await;
}

/// A long history must not be read because the API says no.
#[tokio::test(flavor = "multi_thread")]
async fn rejections_read_no_history_and_take_no_hands() {
    const REJECTED: usize = 9;
    let scripted = Scripted::with(1).await;
    let _running = scripted.chain.run();
    let memos: Vec<_> = (0..300).map(|_| scripted.checkout()).collect();
    let pages = Arc::new(AtomicUsize::new(0));
    let (counted, bad) = (pages.clone(), memos[..REJECTED].to_vec());
    scripted.api_says(move |asked| {
        if asked.url.path() == "/history" {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        let put = pair(asked)?;
        bad.contains(&put.memo).then_some(Said::Status(404, None))
    });
    let changes = [
        ("MERCHANT__POLL_EVERY", "1h"),
        ("MERCHANT__MAX_IN_FLIGHT", "2"),
    ];
    let daemon = scripted.watch(&changes).await;
    eventually("all checkouts are known", async || {
        daemon.store.count_checkouts().await.unwrap().0 >= 300
    })
    .await;
    let mut count = usize::MAX;
    eventually("the history is read", async || {
        let before = std::mem::replace(&mut count, pages.load(Ordering::SeqCst));
        tokio::time::sleep(Duration::from_millis(300)).await;
        before == count && pages.load(Ordering::SeqCst) == count
    })
    .await;
    let pay = |memo: &str| {
        let entry = Entry::paid(scripted.chain.slot(), DUE, memo);
        scripted.chain.ledger().land(entry)
    };
    let rejected: Vec<_> = memos[..REJECTED].iter().map(|memo| pay(memo)).collect();
    for signature in &rejected {
        eventually("it is rejected twice", async || {
            attempts(&daemon, *signature).await >= 2
        })
        .await;
    }
    let good = pay(&memos[REJECTED]);
    stands(&daemon, good, PaymentState::Acknowledged).await;
    assert_eq!(pages.load(Ordering::SeqCst), count, "no page was read");
}

async fn attempts(daemon: &Daemon, signature: Signature) -> usize {
    let Some(payment) = daemon.payment(signature).await else {
        return 0;
    };
    let account = payment.token_account.parse().unwrap();
    let timeline = daemon.store.timeline(signature, account).await.unwrap();
    let is_attempt = |event: &&Event| matches!(event.what, Happened::Attempted { .. });
    timeline.iter().filter(is_attempt).count()
}

/// One confirmation is answered 403 for ever; the others go as fast as without it. The figures are printed.
#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_confirmation_delays_nobody() {
    const BUYERS: usize = 15;
    let scripted = Scripted::with(1).await;
    let _running = scripted.chain.run();
    let questions = Arc::new(AtomicUsize::new(0));
    let (counted, poisoned) = (questions.clone(), scripted.checkout());
    let memo = poisoned.clone();
    scripted.api_says(move |asked| {
        let limit = asked.url.query_pairs().find(|(key, _)| key == "limit");
        if limit.is_some_and(|(_, limit)| limit == "1") {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        let put = pair(asked)?;
        (put.memo == memo).then_some(Said::Status(403, None))
    });
    let daemon = scripted.watch(&[]).await;
    let entry = Entry::paid(scripted.chain.slot(), DUE, &poisoned);
    let bad = scripted.chain.ledger().land(entry);
    eventually("it is refused", async || attempts(&daemon, bad).await > 0).await;
    let mut took = Vec::new();
    for _ in 0..BUYERS {
        let began = Instant::now();
        let bought = scripted.buy();
        scripted
            .confirmed("another one is confirmed", &bought)
            .await;
        took.push(began.elapsed());
    }
    took.sort();
    let tries = attempts(&daemon, bad).await;
    let asked = questions.load(Ordering::SeqCst);
    println!(
        "beside a confirmation that is refused for ever ({tries} tries): median {:?}, longest {:?}",
        took[BUYERS / 2],
        took[BUYERS - 1]
    );
    // The last try may be under way.
    assert!(asked <= tries + 1, "{asked} questions for {tries} tries");
    let payment = daemon.payment(bad).await.unwrap();
    assert_eq!(payment.state, PaymentState::Queued);
}
