//! Checkouts that are made while the history is read, or between two looks at its newest entries: none stays unknown.

use crate::history_long::{Books, checkout, known, status_of, unavailable};
use paywatch::domain::CheckoutStatus;
use paywatch::pipeline::{Checkouts, Pipeline};
use std::{sync::Arc, time::Duration};
use tempfile::TempDir;

/// A hundred and twenty sessions that are made between two looks at the newest ones.
async fn busy_hour() -> (Books, Arc<Pipeline>, Checkouts, TempDir) {
    let books = Books::of(100);
    let (pipeline, folder) = books.pipeline().await;
    let mut checkouts = Checkouts::new(pipeline.clone());
    checkouts.step().await.unwrap();
    assert!(pipeline.status.has_polled());
    *books.checkouts.lock().unwrap() = (0..220).rev().map(checkout).collect();
    (books, pipeline, checkouts, folder)
}

/// Found by seed 1795605497 of the simulation: the next look met only what it knew, and stopped before what the first one had missed.
#[tokio::test]
async fn seed_1795605497_a_look_at_the_newest_that_breaks_off_is_made_up_for_by_the_next() {
    let (books, pipeline, mut checkouts, _folder) = busy_hour().await;
    books.is(|offset| {
        if offset > 0 {
            Err(unavailable())
        } else {
            Ok(Duration::ZERO)
        }
    });
    checkouts.step().await.unwrap_err();
    assert_eq!(known(&pipeline).await, 150);
    books.is(|_| Ok(Duration::ZERO));
    checkouts.step().await.unwrap();
    assert_eq!(known(&pipeline).await, 220);
    let before = books.answered.lock().unwrap().len();
    checkouts.step().await.unwrap();
    let ends = books.answered.lock().unwrap().len() - before;
    assert_eq!(ends, 3, "one page of the newest, two of the oldest");
}

/// A whole page of checkouts that were handed over hides none that were not.
#[tokio::test]
async fn a_page_of_checkouts_that_were_handed_over_is_not_the_end_of_the_new_ones() {
    let (_books, pipeline, mut checkouts, _folder) = busy_hour().await;
    for number in 160..220 {
        pipeline.take_in(&checkout(number)).await.unwrap();
    }
    checkouts.step().await.unwrap();
    assert_eq!(known(&pipeline).await, 220);
}

/// The newest checkouts are looked at while a long history is read.
#[tokio::test]
async fn a_new_checkout_is_known_before_a_long_history_is_read() {
    let books = Books::of(8_000);
    books.is(|_| Ok(Duration::from_millis(100)));
    let (pipeline, _folder) = books.pipeline().await;
    let mut checkouts = Checkouts::new(pipeline.clone());
    checkouts.step().await.unwrap();
    assert!(checkouts.is_reading(), "it is a long one");
    books.checkouts.lock().unwrap().insert(0, checkout(9_999));
    checkouts.step().await.unwrap();
    assert!(checkouts.is_reading());
    assert_eq!(
        status_of(&pipeline, 9_999).await,
        Some(CheckoutStatus::Pending)
    );
    assert_eq!(
        status_of(&pipeline, 0).await,
        None,
        "the oldest is still to come"
    );
}
