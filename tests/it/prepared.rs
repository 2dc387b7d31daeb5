//! What is read while a transaction is fetched counts only if nobody writes meanwhile.

use crate::support::books::{Books, NOW, checkout, confirm, ingested, memo, paid, signature};
use paywatch::domain::{Checkout, CheckoutStatus, Commitment, Held, Verdict};
use paywatch::store::{Due, Filter, Ingested, Recorded};
use std::time::{Duration, Instant};

const LEASE: Duration = Duration::from_secs(30);

fn one() -> Ingested {
    ingested(1, 5, Commitment::Confirmed, paid("a"))
}

/// Prepares for the payment of checkout `a`, lets something happen, and records; `None` if that must be done again.
async fn record(
    books: &Books,
    meanwhile: impl AsyncFnOnce(),
    one: &Ingested,
) -> Option<(Vec<Recorded>, Vec<Due>)> {
    let prepared = books.store.prepare(signature(1), &[memo("a")]).await;
    let prepared = prepared.unwrap().unwrap();
    meanwhile().await;
    let recorded = books
        .store
        .record_prepared(prepared, one, &books.policy, NOW, LEASE);
    recorded.await.unwrap()
}

#[tokio::test]
async fn undisturbed_it_records_as_if_it_had_read_then() {
    let books = Books::with(&["a", "b"]).await;
    let (recorded, leased) = record(&books, async || {}, &one()).await.unwrap();
    assert_eq!(recorded[0].verdict, confirm("a"));
    assert_eq!((leased.len(), &leased[0].memo), (1, &memo("a")));
    assert_eq!(books.due().await, [""; 0], "leased");
    let (again, leased) = record(&books, async || {}, &one()).await.unwrap();
    assert!(again.is_empty() && leased.is_empty());
    assert_eq!(
        books
            .store
            .payments(&Filter::newest(9))
            .await
            .unwrap()
            .len(),
        1
    );
    assert!(books.store.audit().await.unwrap().is_empty());
}

#[tokio::test]
async fn whatever_is_written_meanwhile_it_is_judged_by_what_is_true_then() {
    let confirmed = Checkout {
        status: CheckoutStatus::Confirmed(Some(signature(9))),
        ..checkout("a")
    };
    let other = ingested(2, 5, Commitment::Confirmed, paid("a"));
    for (what, expected) in [
        ("confirmed by another", Some(Held::AlreadyPaid)),
        ("paid by another", Some(Held::AlreadyPaid)),
        ("another checkout", None),
    ] {
        let books = Books::with(&["a"]).await;
        let meanwhile = async || match what {
            "confirmed by another" => {
                let all = [confirmed.clone()];
                books.store.upsert_checkouts(&all).await.unwrap();
            }
            "paid by another" => {
                books.record(other.clone()).await.unwrap();
            }
            _ => {
                books
                    .store
                    .upsert_checkouts(&[checkout("b")])
                    .await
                    .unwrap();
            }
        };
        assert!(record(&books, meanwhile, &one()).await.is_none(), "{what}");
        let payments = books.store.payments(&Filter::newest(9)).await.unwrap();
        let key = signature(1).to_string();
        assert!(payments.iter().all(|payment| payment.signature != key));
        let verdict = books.record(one()).await.unwrap();
        let expected = expected.map_or_else(|| confirm("a"), Verdict::Held);
        assert_eq!(verdict, expected, "{what}");
        // The connection is good for the next one.
        assert!(record(&books, async || {}, &one()).await.is_some());
        assert!(books.store.audit().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn what_turns_out_otherwise_is_not_recorded_by_it() {
    let books = Books::with(&["a", "b"]).await;
    for other in [
        ingested(1, 5, Commitment::Confirmed, paid("b")),
        ingested(2, 5, Commitment::Confirmed, paid("a")),
    ] {
        assert!(record(&books, async || {}, &other).await.is_none());
    }
    assert!(
        books
            .store
            .payments(&Filter::newest(9))
            .await
            .unwrap()
            .is_empty()
    );
    assert!(record(&books, async || {}, &one()).await.is_some());
}

#[tokio::test]
async fn who_writes_at_the_moment_is_not_waited_for() {
    let books = Books::with(&["a"]).await;
    let prepared = books.store.prepare(signature(1), &[memo("a")]).await;
    let prepared = prepared.unwrap().unwrap();
    let url = format!("sqlite:{}", books.file().display());
    let writer = sqlx::SqlitePool::connect(&url).await.unwrap();
    let mut writing = writer.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let began = Instant::now();
    let one = one();
    let recorded = books
        .store
        .record_prepared(prepared, &one, &books.policy, NOW, LEASE);
    assert!(recorded.await.unwrap().is_none());
    assert!(began.elapsed() < Duration::from_secs(5));
    sqlx::query("ROLLBACK")
        .execute(&mut *writing)
        .await
        .unwrap();
}
