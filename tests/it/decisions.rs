//! What people decide: carried out whole or not at all, never against the books, and on record.

use crate::support::books::{
    Books, DUE, NOW, account, checkout, confirm, credited, ingested, memo, page, paid, signature,
    watched,
};
use paywatch::domain::{Checkout, CheckoutStatus, Commitment, Policy, Rules, TokenAccount};
use paywatch::store::{
    Decision, Error, Filter, Happened, Next, PaymentState, Reading, Refusal, Which,
};

pub(crate) fn which(byte: u8) -> Which {
    Which {
        signature: signature(byte),
        token_account: None,
    }
}

pub(crate) fn by(reason: &str) -> Decision {
    Decision {
        actor: "ada".into(),
        reason: reason.into(),
    }
}

#[track_caller]
fn refused(result: Result<(), Error>) -> Refusal {
    match result {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

impl Books {
    async fn confirm(&self, byte: u8, text: &str) -> Result<(), Error> {
        self.store
            .confirm_by_hand(which(byte), &memo(text), &by("seen"), NOW)
            .await
    }

    async fn state(&self, byte: u8) -> PaymentState {
        let filter = Filter {
            signature: Some(signature(byte)),
            ..Filter::newest(10)
        };
        let payments = self.store.payments(&filter).await.unwrap();
        assert_eq!(payments.len(), 1);
        payments[0].state
    }
}

pub(crate) async fn underpaid() -> Books {
    let books = Books::open().await;
    let confirmed = Checkout {
        status: CheckoutStatus::Confirmed(None),
        ..checkout("done")
    };
    books
        .store
        .upsert_checkouts(&[checkout("a"), checkout("b"), confirmed], page(), NOW)
        .await
        .unwrap();
    books
        .record(ingested(
            1,
            5,
            Commitment::Confirmed,
            credited("a", DUE - 1),
        ))
        .await;
    books
}

#[tokio::test]
async fn a_payment_confirmed_by_hand_is_sent_once_it_is_finalized() {
    let books = underpaid().await;
    books.confirm(1, "a").await.unwrap();
    assert_eq!(books.state(1).await, PaymentState::Queued);
    assert_eq!(books.due().await, [""; 0], "not before it is finalized");
    books
        .store
        .finalize(&[(signature(1), 5)], NOW)
        .await
        .unwrap();
    assert_eq!(books.due().await, ["a"]);
    assert_eq!(
        refused(books.confirm(1, "b").await),
        Refusal::HasConfirmation {
            checkout: memo("a"),
            state: "queued".into()
        },
        "a payment confirms one checkout"
    );
}

#[tokio::test]
async fn what_is_already_final_is_due_at_once() {
    let books = underpaid().await;
    books
        .store
        .finalize(&[(signature(1), 5)], NOW)
        .await
        .unwrap();
    books.confirm(1, "b").await.unwrap();
    assert_eq!(
        books.due().await,
        ["b"],
        "for whichever checkout the person names"
    );
}

#[tokio::test]
async fn no_person_can_confirm_against_the_books() {
    let books = underpaid().await;
    assert_eq!(refused(books.confirm(9, "a").await), Refusal::NoSuchPayment);
    assert_eq!(
        refused(books.confirm(1, "mistyped").await),
        Refusal::UnknownCheckout(memo("mistyped"))
    );
    assert_eq!(
        refused(books.confirm(1, "done").await),
        Refusal::CheckoutConfirmed(memo("done"))
    );
    books
        .record(ingested(2, 6, Commitment::Confirmed, paid("b")))
        .await;
    assert_eq!(
        refused(books.confirm(1, "b").await),
        Refusal::CheckoutTaken {
            checkout: memo("b"),
            by: signature(2),
            state: "queued".into()
        }
    );
    books
        .store
        .drop_payment(signature(1), 5, NOW)
        .await
        .unwrap();
    assert_eq!(refused(books.confirm(1, "a").await), Refusal::Dropped);
    assert_eq!(books.due().await, ["b"], "nothing else was queued");
    let timeline = books.store.timeline(signature(1), account()).await.unwrap();
    assert!(
        !timeline
            .iter()
            .any(|event| matches!(event.what, Happened::Decided { .. })),
        "what was refused was not decided: {timeline:?}"
    );
}

#[tokio::test]
async fn a_transaction_with_several_payments_needs_the_account_named() {
    let books = underpaid().await;
    let other = TokenAccount(paywatch::domain::Pubkey::new_from_array([44; 32]));
    let Reading::Decoded(mut decoded) = credited("a", 5) else {
        panic!("decoded");
    };
    let mut second = decoded.credits[0].clone();
    second.token_account = other;
    let accounts = [account(), other];
    decoded.credits.push(second);
    books
        .store
        .record(
            &[ingested(
                3,
                7,
                Commitment::Finalized,
                Reading::Decoded(decoded),
            )],
            None,
            &Rules::new(
                Policy::default(),
                accounts.map(watched).into_iter().collect(),
            ),
            NOW,
        )
        .await
        .unwrap();
    assert_eq!(
        refused(books.confirm(3, "a").await),
        Refusal::SeveralPayments(vec![other, account()]),
        "in the order of their texts"
    );
    let one = Which {
        token_account: Some(other),
        ..which(3)
    };
    books
        .store
        .confirm_by_hand(one, &memo("a"), &by("seen"), NOW)
        .await
        .unwrap();
    assert_eq!(books.due().await, ["a"]);
}

#[tokio::test]
async fn what_is_dismissed_is_judged_no_more_until_somebody_confirms_it() {
    let books = Books::open().await;
    let one = ingested(1, 5, Commitment::Confirmed, paid("late"));
    books.record(one.clone()).await;
    books
        .store
        .dismiss(which(1), &by("spam"), NOW)
        .await
        .unwrap();
    assert_eq!(books.state(1).await, PaymentState::Dismissed);
    books
        .store
        .upsert_checkouts(&[checkout("late")], page(), NOW)
        .await
        .unwrap();
    let judged = books.store.rejudge(&books.rules, NOW).await.unwrap();
    assert_eq!(judged.len(), 0, "the checkout came too late");
    books.record(one).await;
    assert_eq!(books.state(1).await, PaymentState::Dismissed);
    let tally = books.store.tally(0..=10).await.unwrap();
    assert_eq!(tally[0].verdict, "dismissed", "it needs nobody");
    assert_eq!(
        refused(books.store.dismiss(which(1), &by("again"), NOW).await),
        Refusal::AlreadyDismissed
    );
    books.confirm(1, "late").await.unwrap();
    assert_eq!(books.state(1).await, PaymentState::Queued);
}

#[tokio::test]
async fn a_dismissed_payment_that_lands_again_on_another_fork_stays_dismissed() {
    let books = underpaid().await;
    books
        .store
        .dismiss(which(1), &by("spam"), NOW)
        .await
        .unwrap();
    let elsewhere = ingested(1, 6, Commitment::Finalized, paid("a"));
    assert_eq!(books.record(elsewhere).await, None);
    assert_eq!(books.due().await, [""; 0]);
}

#[tokio::test]
async fn only_what_waits_can_be_retried_and_a_parked_one_begins_anew() {
    let books = underpaid().await;
    let retry = async |byte: u8| books.store.retry(which(byte), &by("api fixed"), NOW).await;
    assert!(matches!(
        refused(retry(1).await),
        Refusal::NothingToRetry(why) if why.contains("held")
    ));
    books
        .record(ingested(2, 6, Commitment::Confirmed, paid("b")))
        .await;
    books.attempt(NOW, &Next::Parked).await;
    assert_eq!(books.state(2).await, PaymentState::Parked);
    assert_eq!(
        refused(books.confirm(2, "a").await),
        Refusal::HasConfirmation {
            checkout: memo("b"),
            state: "parked".into()
        },
        "the API may know of it"
    );
    retry(2).await.unwrap();
    assert_eq!(books.due().await, ["b"]);
    books.store.retry(which(2), &by("now"), NOW).await.unwrap();
    books.attempt(NOW, &Next::Acknowledged).await;
    assert!(matches!(
        refused(retry(2).await),
        Refusal::NothingToRetry(why) if why.contains("confirmed")
    ));
    assert_eq!(
        refused(books.store.dismiss(which(2), &by("no"), NOW).await),
        Refusal::HasConfirmation {
            checkout: memo("b"),
            state: "acknowledged".into()
        }
    );
}

/// What was sent in vain before its fork died cannot be sent again; a person who looked can only put it aside.
#[tokio::test]
async fn a_payment_whose_fork_died_after_it_was_sent_can_be_dismissed_and_not_retried() {
    let books = underpaid().await;
    let second = books
        .record(ingested(2, 6, Commitment::Confirmed, paid("b")))
        .await;
    assert_eq!(second, Some(confirm("b")));
    let again = Next::Retry { due_at: NOW };
    books.attempt(NOW, &again).await;
    books
        .store
        .drop_payment(signature(2), 6, NOW)
        .await
        .unwrap();
    assert_eq!(books.state(2).await, PaymentState::Parked);
    let retried = books.store.retry(which(2), &by("mended"), NOW).await;
    assert_eq!(refused(retried), Refusal::Dropped);
    let by = by("not credited");
    books.store.dismiss(which(2), &by, NOW).await.unwrap();
    assert_eq!(books.state(2).await, PaymentState::Dropped);
    let third = books
        .record(ingested(3, 7, Commitment::Confirmed, paid("b")))
        .await;
    assert_eq!(third, Some(confirm("b")), "its checkout is free");
}

#[tokio::test]
async fn a_parked_payment_that_is_dismissed_frees_its_checkout() {
    let books = underpaid().await;
    books
        .record(ingested(2, 6, Commitment::Confirmed, paid("b")))
        .await;
    books.attempt(NOW, &Next::Parked).await;
    books
        .store
        .dismiss(which(2), &by("refunded"), NOW)
        .await
        .unwrap();
    books
        .store
        .finalize(&[(signature(1), 5)], NOW)
        .await
        .unwrap();
    books.confirm(1, "b").await.unwrap();
    assert_eq!(books.due().await, ["b"]);
}

/// It credits two watched accounts and could not be read. A person knew enough of the one; what it turns out to give to the other,
/// or to give at all, does not undo that.
#[tokio::test]
async fn a_decision_about_what_could_not_be_read_stands_when_it_can_be_read() {
    let other = TokenAccount(paywatch::domain::Pubkey::new_from_array([44; 32]));
    for given in [None, Some(5), Some(DUE)] {
        let mut books = Books::with(&["a", "b"]).await;
        let both = [watched(account()), watched(other)];
        books.rules = Rules::new(Policy::default(), both.into_iter().collect());
        let mut broken = ingested(
            1,
            5,
            Commitment::Finalized,
            Reading::Unreadable("version 9".into()),
        );
        broken.mentions = vec![account(), other];
        let recorded = books
            .store
            .record(&[broken.clone()], None, &books.rules, NOW)
            .await;
        assert_eq!(recorded.unwrap().len(), 2);
        let one = Which {
            token_account: Some(account()),
            ..which(1)
        };
        books
            .store
            .confirm_by_hand(one, &memo("a"), &by("seen"), NOW)
            .await
            .unwrap();
        let Reading::Decoded(mut decoded) = credited("b", DUE) else {
            panic!("decoded");
        };
        let mut ours = decoded.credits[0].clone();
        decoded.credits[0].token_account = other;
        if let Some(given) = given {
            ours.received = paywatch::domain::BaseUnits(given);
            decoded.credits.push(ours);
        }
        let read = paywatch::store::Ingested {
            reading: Reading::Decoded(decoded),
            ..broken
        };
        for _ in 0..2 {
            let again = std::slice::from_ref(&read);
            let recorded = books.store.record(again, None, &books.rules, NOW);
            recorded.await.unwrap();
        }
        let payments = books.store.payments(&Filter::newest(9)).await.unwrap();
        let decided = payments
            .iter()
            .find(|one| one.token_account == account().to_string())
            .unwrap();
        assert_eq!(decided.state, PaymentState::Queued, "{given:?}");
        assert_eq!(decided.checkout, Some(memo("a")));
        assert_eq!(decided.received.map(|amount| amount.0), given);
        assert_eq!(books.due().await, ["a", "b"], "{given:?}");
        assert_eq!(books.store.audit().await.unwrap(), []);
    }
}
