//! What is told of a payment: everything that happened to it, and which payments are found by what.

use crate::decisions::{by, underpaid, which};
use crate::support::books::{Books, NOW, account, checkout, ingested, memo, page, paid, signature};
use paywatch::domain::Commitment;
use paywatch::store::{Attempt, Event, Filter, Happened, Next, PaymentState, Reading};
use std::time::Duration;

#[tokio::test]
async fn the_unreadable_can_be_hurried_dismissed_and_confirmed_by_who_knows_better() {
    let books = underpaid().await;
    let broken = |byte: u8| {
        let why = Reading::Unreadable("version 9".into());
        ingested(byte, 5, Commitment::Finalized, why)
    };
    let due = async || {
        let due = books.store.quarantined(NOW, 10).await.unwrap();
        due.iter().map(|one| one.signature).collect::<Vec<_>>()
    };
    for byte in [2, 3, 4] {
        books.record(broken(byte)).await;
    }
    assert_eq!(due().await, []);
    books
        .store
        .retry(which(2), &by("node upgraded"), NOW)
        .await
        .unwrap();
    assert_eq!(due().await, [signature(2)]);
    books
        .store
        .dismiss(which(2), &by("junk"), NOW)
        .await
        .unwrap();
    assert_eq!(due().await, [], "it is tried no more");
    books
        .store
        .retry(which(3), &by("node upgraded"), NOW)
        .await
        .unwrap();
    books
        .store
        .confirm_by_hand(which(4), &memo("a"), &by("seen"), NOW)
        .await
        .unwrap();
    assert_eq!(books.due().await, ["a"]);
    let later = NOW.plus(Duration::from_hours(9));
    let left = books.store.quarantined(later, 10).await.unwrap();
    assert_eq!(left.len(), 1, "what was confirmed by hand is read no more");
    // What is read at last keeps what was done about it.
    books
        .record(ingested(3, 5, Commitment::Finalized, paid("b")))
        .await;
    let words: Vec<_> = books
        .store
        .timeline(signature(3), account())
        .await
        .unwrap()
        .into_iter()
        .map(|event| word(&event))
        .collect();
    assert_eq!(
        words,
        [
            "seen",
            "unreadable",
            "matched",
            "finalized",
            "retry by ada: node upgraded"
        ]
    );
}

fn word(event: &Event) -> String {
    match &event.what {
        Happened::Seen => "seen".into(),
        Happened::Judged { verdict, .. } => verdict.clone(),
        Happened::Attempted { reason, .. } | Happened::Reconciled { reason } => reason.clone(),
        Happened::Settled(state) => state.clone(),
        Happened::Decided {
            action,
            actor,
            reason,
            ..
        } => format!("{action} by {actor}: {reason}"),
    }
}

#[tokio::test]
async fn the_timeline_tells_everything_in_order() {
    let books = Books::open().await;
    let at = |seconds: u64| NOW.plus(Duration::from_secs(seconds));
    books
        .record(ingested(1, 5, Commitment::Confirmed, paid("a")))
        .await;
    books
        .store
        .upsert_checkouts(&[checkout("a")], page(), NOW)
        .await
        .unwrap();
    books.store.rejudge(&books.rules, at(1)).await.unwrap();
    let due = books
        .store
        .turn_over(&[], at(2), Duration::from_mins(1), 1)
        .await
        .unwrap();
    let attempt = Attempt {
        at: at(2),
        status: Some(404),
        took: Duration::from_millis(7),
        reason: "refused".into(),
    };
    books
        .store
        .turn_over(
            &[(&due[0], &attempt, &Next::Parked)],
            NOW,
            Duration::ZERO,
            0,
        )
        .await
        .unwrap();
    books
        .store
        .finalize(&[(signature(1), 5)], at(13))
        .await
        .unwrap();
    books
        .store
        .retry(which(1), &by("try again"), at(20))
        .await
        .unwrap();
    let timeline = books.store.timeline(signature(1), account()).await.unwrap();
    let words: Vec<_> = timeline.iter().map(word).collect();
    assert_eq!(
        words,
        [
            "seen",
            "unknown_memo",
            "matched",
            "refused",
            "finalized",
            "retry by ada: try again"
        ]
    );
    assert_eq!(timeline[4].at, at(13));
}

#[tokio::test]
async fn payments_are_found_by_every_filter() {
    let books = underpaid().await;
    books
        .record(ingested(2, 6, Commitment::Confirmed, paid("B")))
        .await;
    let count = async |edit: fn(&mut Filter)| {
        let mut filter = Filter::newest(10);
        edit(&mut filter);
        books.store.payments(&filter).await.unwrap().len()
    };
    assert_eq!(count(|_| {}).await, 2);
    assert_eq!(count(|filter| filter.limit = 1).await, 1);
    assert_eq!(count(|f| f.verdict = Some("underpaid".into())).await, 1);
    assert_eq!(count(|f| f.verdict = Some("overpaid".into())).await, 0);
    assert_eq!(count(|f| f.state = Some(PaymentState::Queued)).await, 1);
    assert_eq!(count(|f| f.state = Some(PaymentState::Held)).await, 1);
    assert_eq!(count(|f| f.memo = Some(memo("b"))).await, 1);
    assert_eq!(count(|f| f.memo = Some(memo("c"))).await, 0);
    assert_eq!(count(|f| f.signature = Some(signature(2))).await, 1);
    assert_eq!(count(|f| f.since = Some(NOW)).await, 2);
    assert_eq!(
        count(|f| f.since = Some(NOW.plus(Duration::from_secs(1)))).await,
        0
    );
    assert_eq!(
        count(|f| f.until = Some(NOW.minus(Duration::from_secs(1)))).await,
        0
    );
    let mint = paywatch::domain::Mint(paywatch::domain::Pubkey::new_from_array([2; 32]));
    let filter = Filter {
        mint: Some(mint),
        ..Filter::newest(10)
    };
    assert_eq!(books.store.payments(&filter).await.unwrap().len(), 2);
    let filter = Filter {
        payer: Some(paywatch::domain::Wallet(mint.0)),
        ..Filter::newest(10)
    };
    assert_eq!(books.store.payments(&filter).await.unwrap().len(), 0);
}
