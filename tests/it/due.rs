//! When things are due: a rejection keeps its pauses, and a clock that was wrong keeps nothing waiting.

use crate::support::books::{
    Books, NOW, account, checkout, ingested, paid, patient, rules, signature,
};
use paywatch::domain::{Commitment, Finding, Timestamp};
use paywatch::store::{Filter, Happened, Next, Notice, Page, PaymentState, Reading, Unnoticed};
use std::time::Duration;

const LEASE: Duration = Duration::from_secs(25);
const TWO_HOURS: u64 = 2 * 3_600;
const TEN_DAYS: u64 = 10 * 24 * 3_600;

fn later(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

async fn queued() -> Books {
    let books = Books::with(&["a"]).await;
    let one = ingested(1, 5, Commitment::Finalized, paid("a"));
    books.record(one).await.unwrap();
    books
}

/// What the API asked to wait for is no attempt: it is due when the pause ends, as if it had never been taken.
#[tokio::test]
async fn what_was_not_sent_is_due_right_after_the_pause_and_was_never_tried() {
    let books = Books::with(&["a"]).await;
    let one = ingested(1, 5, Commitment::Confirmed, paid("a"));
    books.record(one).await.unwrap();
    let mut now = NOW;
    for _ in 0..10 {
        let due_at = now.plus(Duration::from_secs(20));
        books.attempt(now, &Next::NotSent { due_at }).await;
        assert_eq!(books.store.next_due_at().await.unwrap(), Some(due_at));
        now = due_at;
    }
    let due = books.store.turn_over(&[], now, LEASE, 1).await.unwrap();
    assert_eq!((due[0].attempts, due[0].rejected), (0, None));
    books.store.give_back(&due, now).await.unwrap();
    let outbox = books.store.count_confirmations().await.unwrap();
    assert_eq!((outbox.queued, outbox.undelivered), (1, 0));
    let timeline = books.store.timeline(signature(1), account()).await;
    let mut events = timeline.unwrap().into_iter();
    assert!(!events.any(|event| matches!(event.what, Happened::Attempted { .. })));

    let dropped = books.store.drop_payment(signature(1), 5, now).await;
    assert_eq!(dropped.unwrap().sent, 0);
    let payments = books.store.payments(&Filter::newest(1)).await.unwrap();
    assert_eq!(payments[0].state, PaymentState::Dropped);
    // One that was sent before, and then not, may be with the API all the same.
    let books = queued().await;
    books.attempt_in_vain().await;
    let due_at = later(20);
    books.attempt(NOW, &Next::NotSent { due_at }).await;
    let due = books.store.turn_over(&[], due_at, LEASE, 1).await.unwrap();
    assert_eq!(due[0].attempts, 1);
}

/// A lease that ended by itself is of a process that died: nobody knows how far it came.
#[tokio::test]
async fn what_was_leased_and_never_given_back_may_have_been_sent() {
    let books = Books::with(&["a"]).await;
    books
        .record(ingested(1, 5, Commitment::Confirmed, paid("a")))
        .await;
    let taken = books.store.turn_over(&[], NOW, LEASE, 1).await.unwrap();
    assert_eq!(taken.len(), 1);
    let due_at = later(60);
    books.attempt(later(30), &Next::NotSent { due_at }).await;
    let dropped = books.store.drop_payment(signature(1), 5, due_at).await;
    assert_eq!(dropped.unwrap().sent, 1);
}

/// The API that is back has said no to it: that is no outage.
#[tokio::test]
async fn what_the_api_said_no_to_is_not_hurried() {
    for (next, expected) in [
        (
            Next::Retry {
                due_at: later(3_600),
            },
            1,
        ),
        (
            Next::Rejected {
                due_at: later(3_600),
                since: NOW,
            },
            0,
        ),
    ] {
        let books = queued().await;
        books.attempt(NOW, &next).await;
        let hurried = books.store.hurry(later(10), LEASE).await.unwrap();
        assert_eq!(hurried, expected, "{next:?}");
    }
}

#[tokio::test]
async fn a_retry_that_a_wrong_clock_put_off_is_due_once_the_clock_is_right() {
    for ahead in [TWO_HOURS, TEN_DAYS] {
        let nexts = [
            Next::Retry {
                due_at: later(ahead + 2),
            },
            Next::Rejected {
                due_at: later(ahead + 2),
                since: later(ahead),
            },
        ];
        for next in nexts {
            let books = queued().await;
            books.attempt(later(ahead), &next).await;
            assert_eq!(books.due().await, ["a"], "{next:?}");
        }
        // A lease of that time is over too.
        let books = queued().await;
        let taken = books.store.turn_over(&[], later(ahead), LEASE, 1).await;
        assert_eq!(taken.unwrap().len(), 1);
        assert_eq!(books.due().await, ["a"], "{ahead}");
    }
}

/// The history is compared by when the API answered: a time that lies ahead would keep it from saying anything.
#[tokio::test]
async fn an_answer_that_a_wrong_clock_dated_is_compared_with_the_history_once_the_clock_is_right() {
    let read = async |books: &Books, seconds| {
        let page = Page {
            asked_at: later(seconds),
            credit_within: Duration::from_mins(10),
        };
        let all = [checkout("a")];
        let read = books.store.upsert_checkouts(&all, page, later(seconds));
        let found = read.await.unwrap().1.into_iter();
        found.map(|one| one.finding).collect::<Vec<_>>()
    };
    for ahead in [TWO_HOURS, TEN_DAYS] {
        let books = queued().await;
        books.attempt(later(ahead), &Next::Acknowledged).await;
        assert_eq!(books.due().await, [""; 0]);
        assert_eq!(read(&books, 599).await, []);
        assert_eq!(read(&books, 601).await, [Finding::SendAgain]);

        let books = queued().await;
        let no = |at| Next::Rejected {
            due_at: at,
            since: later(ahead),
        };
        books.attempt(later(ahead), &no(later(ahead))).await;
        let due = books.store.turn_over(&[], NOW, LEASE, 1).await.unwrap();
        let rejected = due[0].rejected.unwrap();
        assert_eq!((rejected.since, rejected.last), (NOW, NOW));
        // And what was put right stays: it is not the present each time.
        books.store.give_back(&due, NOW).await.unwrap();
        let due = books.store.turn_over(&[], later(700), LEASE, 1).await;
        assert_eq!(due.unwrap()[0].rejected.unwrap().since, NOW);
    }
}

#[tokio::test]
async fn a_pause_that_the_schedule_put_is_kept_and_so_is_another_process_s_lease() {
    for seconds in [3_600, 24 * 3_600] {
        let books = queued().await;
        let due_at = later(seconds);
        books.attempt(NOW, &Next::Retry { due_at }).await;
        assert_eq!(books.due().await, [""; 0]);
        assert_eq!(books.store.next_due_at().await.unwrap(), Some(due_at));
    }
    // It read its clock, and waited to write until after this one had read its own.
    let books = queued().await;
    let taken = books.store.turn_over(&[], later(9), LEASE, 1).await;
    assert_eq!(taken.unwrap().len(), 1);
    assert_eq!(books.due().await, [""; 0]);
}

#[tokio::test]
async fn what_waits_to_be_final_waits_whatever_the_clock_does() {
    let mut books = Books::with(&["a"]).await;
    books.rules = rules(patient());
    let one = ingested(1, 5, Commitment::Confirmed, paid("a"));
    let recorded = books
        .store
        .record(&[one], None, &books.rules, later(TEN_DAYS))
        .await;
    assert_eq!(recorded.unwrap().len(), 1);
    assert_eq!(books.due().await, [""; 0]);
}

/// Each try has its own pause: what lies further ahead than that was put there by a wrong clock.
#[tokio::test]
async fn a_transaction_that_a_wrong_clock_put_off_is_read_once_the_clock_is_right() {
    for ahead in [60, TWO_HOURS, TEN_DAYS] {
        let books = Books::open().await;
        let broken = Reading::Unreadable("version 9".into());
        let one = ingested(1, 5, Commitment::Finalized, broken);
        let recorded = books
            .store
            .record(&[one], None, &books.rules, later(ahead))
            .await;
        recorded.unwrap();
        assert_eq!(books.store.quarantined(NOW, 9).await.unwrap().len(), 1);
    }
    let books = Books::open().await;
    for tries in [2, 15, 60, 300, 1_800, 3_600, 3_600] {
        let broken = Reading::Unreadable("version 9".into());
        books
            .record(ingested(1, 5, Commitment::Finalized, broken))
            .await;
        assert_eq!(books.store.quarantined(NOW, 9).await.unwrap(), []);
        let due = later(tries);
        assert_eq!(books.store.quarantined(due, 9).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_notice_that_a_wrong_clock_put_off_is_due_once_the_clock_is_right() {
    for (written, expected) in [(0, 0), (TWO_HOURS, 1), (TEN_DAYS, 1)] {
        let books = Books::open().await;
        let notice = Notice {
            key: "one".into(),
            event: "held".into(),
            body: String::new(),
        };
        let (store, nothing) = (&books.store, Unnoticed::default());
        let at = later(written);
        store.write_notices(&[notice], &nothing, at).await.unwrap();
        let due = store.due_notices(at, 9).await.unwrap();
        let again = at.plus(Duration::from_hours(1));
        store.note_sent(&due[0], Some(again), at).await.unwrap();
        let due = store.due_notices(NOW, 9).await.unwrap();
        assert_eq!(due.len(), expected, "{written}");
    }
}

#[tokio::test]
async fn a_payment_recorded_by_a_clock_that_was_ahead_is_asked_about_once_the_clock_is_right() {
    let books = Books::with(&[]).await;
    books
        .record(ingested(1, 5, Commitment::Confirmed, paid("a")))
        .await;
    let overdue = Duration::from_secs(90);
    let asked = async |now| books.store.unsettled(now, overdue, 10).await.unwrap().len();
    assert_eq!(asked(NOW).await, 0, "it may still be on its way");
    assert_eq!(asked(NOW.plus(Duration::from_secs(91))).await, 1);
    assert_eq!(asked(NOW.minus(Duration::from_hours(2))).await, 1);
}
