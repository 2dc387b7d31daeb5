//! The outbox: a checkout is won once, and a confirmation ends in one state.

use crate::support::books::{
    Books, DUE, NOW, account, checkout, confirm, credited, ingested, page, paid, patient, rules,
    signature,
};
use paywatch::domain::{Commitment, Decoded, Held, Verdict};
use paywatch::store::{Attempt, Filter, Next, Reading, Unsettled};
use std::time::Duration;

async fn unsettled(books: &Books, most: usize) -> Vec<Unsettled> {
    let unsettled = books.store.unsettled(NOW, Duration::ZERO, most);
    unsettled.await.unwrap()
}

#[tokio::test]
async fn a_checkout_is_won_once_however_many_pay() {
    let books = Books::with(&["ab"]).await;
    assert_eq!(
        books
            .record(ingested(1, 5, Commitment::Confirmed, paid("ab")))
            .await,
        Some(confirm("ab"))
    );
    for (byte, text) in [(2, "ab"), (3, "AB")] {
        let verdict = books
            .record(ingested(byte, 5, Commitment::Confirmed, paid(text)))
            .await;
        assert_eq!(verdict, Some(Verdict::Held(Held::AlreadyPaid)));
    }
    assert_eq!(books.due().await, ["ab"]);
}

#[tokio::test]
async fn a_payment_whose_fork_died_frees_its_checkout_if_nothing_was_sent() {
    let books = Books::with(&["a", "b"]).await;
    books
        .record(ingested(1, 5, Commitment::Confirmed, paid("a")))
        .await;
    let dropped = books.store.drop_payment(signature(1), 5, NOW).await;
    assert_eq!(dropped.unwrap().sent, 0);
    assert_eq!(books.due().await, [""; 0]);
    assert_eq!(
        books
            .record(ingested(2, 6, Commitment::Confirmed, paid("a")))
            .await,
        Some(confirm("a"))
    );
    // Alive again after all: too late.
    assert_eq!(
        books
            .record(ingested(1, 7, Commitment::Finalized, paid("a")))
            .await,
        Some(Verdict::Held(Held::AlreadyPaid))
    );
    books
        .record(ingested(3, 6, Commitment::Confirmed, paid("b")))
        .await;
    assert_eq!(books.due().await, ["a", "b"]);
    let dropped = books.store.drop_payment(signature(3), 6, NOW).await;
    assert_eq!(dropped.unwrap().sent, 1, "it may have been");
}

#[tokio::test]
async fn a_payment_that_was_given_up_too_early_is_confirmed_when_it_is_met_again() {
    let books = Books::with(&["a"]).await;
    books
        .record(ingested(1, 5, Commitment::Confirmed, paid("a")))
        .await;
    books
        .store
        .drop_payment(signature(1), 5, NOW)
        .await
        .unwrap();
    assert_eq!(books.due().await, [""; 0]);
    // The sweep does not take it for known, however often it stood in the same slot.
    assert_eq!(
        books.store.known(account(), &[signature(1)]).await.unwrap(),
        []
    );
    assert_eq!(
        books
            .record(ingested(1, 5, Commitment::Finalized, paid("a")))
            .await,
        Some(confirm("a"))
    );
    assert_eq!(books.due().await, ["a"]);
    assert_eq!(
        books.store.payments(&Filter::newest(10)).await.unwrap()[0].chain_state,
        "finalized"
    );
}

#[tokio::test]
async fn another_fork_may_give_another_amount_until_the_merchant_knows() {
    let books = Books::with(&["a"]).await;
    books
        .record(ingested(1, 5, Commitment::Confirmed, credited("a", DUE)))
        .await;
    let short = books
        .record(ingested(
            1,
            6,
            Commitment::Finalized,
            credited("a", DUE - 1),
        ))
        .await;
    assert_eq!(short, Some(Verdict::Held(Held::Underpaid)));
    assert_eq!(books.due().await, [""; 0]);
}

#[tokio::test]
async fn what_waits_for_finalized_is_due_only_then() {
    let mut books = Books::with(&["a"]).await;
    books.rules = rules(patient());
    books
        .record(ingested(1, 5, Commitment::Confirmed, paid("a")))
        .await;
    assert_eq!(books.due().await, [""; 0]);
    assert_eq!(unsettled(&books, 10).await.len(), 1);
    books
        .record(ingested(1, 5, Commitment::Finalized, Reading::Known))
        .await;
    assert_eq!(books.due().await, ["a"]);
}

#[tokio::test]
async fn an_attempt_decides_what_becomes_of_a_confirmation() {
    let books = Books::open().await;
    let all = ["a", "b", "c"];
    books
        .store
        .upsert_checkouts(&all.map(checkout), page(), NOW)
        .await
        .unwrap();
    for (byte, text) in (1..).zip(all) {
        books
            .record(ingested(byte, 5, Commitment::Confirmed, paid(text)))
            .await;
    }
    let due = books
        .store
        .turn_over(&[], NOW, Duration::from_mins(1), 100)
        .await
        .unwrap();
    let attempt = Attempt {
        at: NOW,
        status: Some(200),
        took: Duration::from_millis(5),
        reason: "because".into(),
    };
    let again = NOW.plus(Duration::from_secs(2));
    let outcomes = [
        Next::Acknowledged,
        Next::Retry { due_at: again },
        Next::Parked,
    ];
    for (due, next) in due.iter().zip(&outcomes) {
        books
            .store
            .turn_over(&[(due, &attempt, next)], NOW, Duration::ZERO, 0)
            .await
            .unwrap();
    }
    let counts = books.store.count_confirmations().await.unwrap();
    assert_eq!((counts.queued, counts.parked), (1, 1));
    assert_eq!(books.store.next_due_at().await.unwrap(), Some(again));
    let mut verdicts: Vec<_> = books
        .store
        .payments(&Filter::newest(10))
        .await
        .unwrap()
        .into_iter()
        .map(|p| (p.verdict, p.confirmation))
        .collect();
    verdicts.reverse();
    let state = |verdict: &str, state: Option<&str>| (verdict.to_owned(), state.map(str::to_owned));
    assert_eq!(
        verdicts,
        [
            state("matched", Some("acknowledged")),
            state("matched", Some("queued")),
            state("matched", Some("parked")),
        ]
    );
    // Closed stays closed, whatever a late answer says.
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
    assert_eq!(books.store.count_confirmations().await.unwrap().parked, 1);
}

/// Nobody knows what the API made of the attempts: it is sent no more, and its checkout goes to nobody else.
#[tokio::test]
async fn what_was_sent_in_vain_is_not_sent_again_once_its_fork_died() {
    let books = Books::with(&["a"]).await;
    books
        .record(ingested(1, 5, Commitment::Confirmed, paid("a")))
        .await;
    books.attempt_in_vain().await;
    let dropped = books.store.drop_payment(signature(1), 5, NOW).await;
    assert_eq!(dropped.unwrap().sent, 1);
    assert_eq!(books.due().await, [""; 0]);
    assert_eq!(books.store.count_confirmations().await.unwrap().parked, 1);
    let second = books
        .record(ingested(2, 6, Commitment::Confirmed, paid("a")))
        .await;
    assert_eq!(second, Some(Verdict::Held(Held::AlreadyPaid)));
    // Alive again after all: what was begun goes on.
    books
        .record(ingested(1, 7, Commitment::Finalized, paid("a")))
        .await;
    assert_eq!(books.due().await, ["a"]);
}

/// It died with its fork before its checkout was known: news of that checkout does not bring it back.
#[tokio::test]
async fn what_was_held_when_its_fork_died_is_not_judged_again() {
    let books = Books::open().await;
    let held = books
        .record(ingested(1, 5, Commitment::Confirmed, paid("a")))
        .await;
    assert_eq!(held, Some(Verdict::Held(Held::UnknownMemo)));
    books
        .store
        .drop_payment(signature(1), 5, NOW)
        .await
        .unwrap();
    books
        .store
        .upsert_checkouts(&[checkout("a")], page(), NOW)
        .await
        .unwrap();
    let judged = books.store.rejudge(&books.rules, NOW).await.unwrap();
    assert_eq!(judged.len(), 0);
    assert_eq!(books.due().await, [""; 0]);
    // Alive again after all: it is what pays.
    let alive = books
        .record(ingested(1, 7, Commitment::Confirmed, paid("a")))
        .await;
    assert_eq!(alive, Some(confirm("a")));
    assert_eq!(books.due().await, ["a"]);
}

/// What was sent in vain gives less where it landed at last: it must die with the fork on which it gave what was due.
#[tokio::test]
async fn what_was_sent_in_vain_and_gives_less_elsewhere_is_never_sent_again() {
    let books = Books::with(&["a"]).await;
    books
        .record(ingested(1, 5, Commitment::Confirmed, paid("a")))
        .await;
    books.attempt_in_vain().await;
    let less = || ingested(1, 6, Commitment::Finalized, credited("a", DUE - 1));
    books.record(less()).await;
    assert_eq!(books.due().await, [""; 0], "not even until it is dropped");
    assert_eq!(unsettled(&books, 10).await[0].slot, 5);
    let dropped = books.store.drop_payment(signature(1), 5, NOW).await;
    assert_eq!(dropped.unwrap().sent, 1);
    books.record(less()).await;
    assert_eq!(books.due().await, [""; 0]);
    assert_eq!(books.store.count_confirmations().await.unwrap().parked, 1);
}

/// A wallet sends again what died with a fork: the second payment is no longer one too many.
#[tokio::test]
async fn a_payment_held_as_one_too_many_takes_the_place_of_one_whose_fork_died() {
    let books = Books::with(&["a"]).await;
    books
        .record(ingested(1, 5, Commitment::Confirmed, paid("a")))
        .await;
    let second = books
        .record(ingested(2, 6, Commitment::Confirmed, paid("a")))
        .await;
    assert_eq!(second, Some(Verdict::Held(Held::AlreadyPaid)));
    let judged = books.store.rejudge(&books.rules, NOW).await.unwrap();
    assert_eq!(judged.len(), 0, "the first one still stands");
    books
        .store
        .drop_payment(signature(1), 5, NOW)
        .await
        .unwrap();
    let judged = books.store.rejudge(&books.rules, NOW).await.unwrap();
    assert_eq!(judged[0].verdict, confirm("a"));
    assert_eq!(books.due().await, ["a"]);
}

#[tokio::test]
async fn of_many_that_wait_to_be_final_the_oldest_are_asked_about() {
    let mut books = Books::with(&["a", "b", "c"]).await;
    books.rules = rules(patient());
    for (byte, slot, text) in [(1, 7, "a"), (2, 5, "b"), (3, 6, "c")] {
        books
            .record(ingested(byte, slot, Commitment::Confirmed, paid(text)))
            .await;
    }
    let asked = unsettled(&books, 2).await;
    let slots: Vec<_> = asked.iter().map(|one| one.slot).collect();
    assert_eq!(slots, [5, 6]);
}

/// It gave something on a fork; on the chain that lives it gives nothing, and finality there says nothing of the fork.
#[tokio::test]
async fn what_is_final_elsewhere_is_not_due() {
    let mut books = Books::with(&["a"]).await;
    books.rules = rules(patient());
    books
        .record(ingested(1, 5, Commitment::Confirmed, paid("a")))
        .await;
    let nothing = Reading::Decoded(Decoded::default());
    for reading in [nothing, Reading::Known] {
        books
            .record(ingested(1, 6, Commitment::Finalized, reading))
            .await;
    }
    assert_eq!(books.due().await, [""; 0]);
    assert_eq!(unsettled(&books, 10).await[0].slot, 5);
    let dropped = books.store.drop_payment(signature(1), 6, NOW).await;
    assert_eq!(dropped.unwrap().payments, 0, "none was seen there");
    let dropped = books.store.drop_payment(signature(1), 5, NOW).await;
    assert_eq!(dropped.unwrap().payments, 1);
}

/// It could not be read on a fork, nor where it landed then; read at last, it is as final as the chain is there.
#[tokio::test]
async fn what_cannot_be_read_is_followed_to_the_slot_it_lands_in() {
    let mut books = Books::with(&["a"]).await;
    books.rules = rules(patient());
    for slot in [5, 6] {
        let broken = Reading::Unreadable("version 9".into());
        books
            .record(ingested(1, slot, Commitment::Confirmed, broken))
            .await;
    }
    let in_a_minute = NOW.plus(Duration::from_mins(1));
    let quarantined = books.store.quarantined(in_a_minute, 10).await.unwrap();
    assert_eq!(quarantined[0].slot, 6);
    books
        .record(ingested(1, 6, Commitment::Finalized, Reading::Known))
        .await;
    books
        .record(ingested(1, 6, Commitment::Confirmed, paid("a")))
        .await;
    assert_eq!(books.due().await, ["a"]);
}

/// It was final when it could not be read; read at last, it does not wait for that again.
#[tokio::test]
async fn what_was_final_while_unreadable_is_due_once_it_is_read() {
    let mut books = Books::with(&["a"]).await;
    books.rules = rules(patient());
    let broken = Reading::Unreadable("version 9".into());
    books
        .record(ingested(1, 5, Commitment::Finalized, broken))
        .await;
    books
        .record(ingested(1, 5, Commitment::Confirmed, paid("a")))
        .await;
    assert_eq!(books.due().await, ["a"]);
}

/// The API is back, and another daemon noticed it a moment earlier: what that one sends now is not sent twice.
#[tokio::test]
async fn what_waits_far_off_is_hurried_and_what_somebody_just_took_is_not() {
    const LEASE: Duration = Duration::from_secs(35);
    let books = Books::with(&["a"]).await;
    let later = |seconds| NOW.plus(Duration::from_secs(seconds));
    let retry = |seconds| Next::Retry {
        due_at: later(seconds),
    };
    books
        .record(ingested(1, 5, Commitment::Confirmed, paid("a")))
        .await;
    books.attempt(NOW, &retry(3_600)).await;
    let store = &books.store;
    assert_eq!(store.hurry(later(10), LEASE).await.unwrap(), 1);
    books.attempt(later(10), &retry(11)).await;
    let taken = store.turn_over(&[], later(13), LEASE, 1).await.unwrap();
    assert_eq!(taken.len(), 1);
    // Its time was read before the other one's, and it waited for the other one's write.
    assert_eq!(store.hurry(later(12), LEASE).await.unwrap(), 0);
}
