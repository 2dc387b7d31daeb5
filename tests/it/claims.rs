//! Memos that are left to the backend (`policy.unknown_memo = "confirm"`): each is good for one payment, in whichever spelling, and
//! a payment that the API refused keeps no checkout from the one that pays it.

use crate::support::books::{
    Books, DUE, NOW, account, checkout, confirm, credited, ingested, memo, page, paid, patient,
    rules, signature,
};
use crate::support::tables;
use paywatch::domain::{
    Checkout, CheckoutStatus, Commitment, Finding, Held, Matched, Policy, UnknownMemo, Verdict,
};
use paywatch::store::{
    Decision, Error, Filter, Ingested, Next, Page, PaymentState, Reading, Refusal, Store, Which,
};
use sqlx::Executor;
use std::time::Duration;

/// A store whose unknown memos are sent to the API.
async fn trusting(policy: Policy) -> Books {
    let mut books = Books::open().await;
    books.rules = rules(Policy {
        unknown_memo: UnknownMemo::Confirm,
        ..policy
    });
    books
}

fn one(byte: u8, reading: Reading) -> Ingested {
    ingested(byte, byte.into(), Commitment::Confirmed, reading)
}

fn left_to_the_backend(text: &str) -> Verdict {
    Verdict::Matched(Matched::Confirm {
        memo: memo(text),
        wait_for: Commitment::Confirmed,
        note: Some("checkout unknown here: left to the backend"),
    })
}

const TAKEN: Verdict = Verdict::Held(Held::AlreadyPaid);

/// The API says no for a while, and the confirmation is given up.
async fn refuse(books: &Books) {
    let no = Next::Rejected {
        due_at: NOW,
        since: NOW,
    };
    books.attempt(NOW, &no).await;
    books.attempt(NOW, &Next::Refused).await;
}

async fn state(books: &Books, byte: u8) -> (PaymentState, String) {
    let payments = books.store.payments(&Filter::newest(10)).await.unwrap();
    let id = signature(byte).to_string();
    let payment = payments.into_iter().find(|one| one.signature == id);
    let payment = payment.unwrap();
    (payment.state, payment.verdict)
}

async fn becomes_known(books: &Books, text: &str) {
    books
        .store
        .upsert_checkouts(&[checkout(text)], page(), NOW)
        .await
        .unwrap();
    books.store.rejudge(&books.rules, NOW).await.unwrap();
    assert_eq!(books.store.audit().await.unwrap(), []);
}

#[tokio::test]
async fn a_memo_left_to_the_backend_is_good_for_one_payment_in_a_batch_and_across_batches() {
    for (first, second) in [("order-7", "order-7"), ("AB12", "ab12"), ("ab12", "AB12")] {
        let books = trusting(Policy::default()).await;
        let batch = [one(1, paid(first)), one(2, paid(second))];
        let recorded = books.store.record(&batch, None, &books.rules, NOW).await;
        let verdicts: Vec<_> = recorded
            .unwrap()
            .into_iter()
            .map(|one| one.verdict)
            .collect();
        assert_eq!(verdicts, [left_to_the_backend(first), TAKEN]);
        assert_eq!(books.record(one(3, paid(second))).await, Some(TAKEN));
        assert_eq!(books.record(one(4, paid(first))).await, Some(TAKEN));
        assert_eq!(books.due().await, [first]);
        assert_eq!(books.store.audit().await.unwrap(), []);
    }
}

#[tokio::test]
async fn only_hexadecimal_memos_have_two_spellings() {
    let books = trusting(Policy::default()).await;
    for (byte, text) in [(1, "order-a"), (2, "Order-A")] {
        let verdict = books.record(one(byte, paid(text))).await;
        assert_eq!(verdict, Some(left_to_the_backend(text)));
    }
}

/// The API made both, so each is paid by itself.
#[tokio::test]
async fn two_checkouts_that_differ_in_case_are_two() {
    let books = trusting(Policy::default()).await;
    let both = [checkout("AB12"), checkout("ab12")];
    books
        .store
        .upsert_checkouts(&both, page(), NOW)
        .await
        .unwrap();
    for (byte, text) in [(1, "AB12"), (2, "ab12")] {
        assert_eq!(
            books.record(one(byte, paid(text))).await,
            Some(confirm(text))
        );
    }
    assert_eq!(books.record(one(3, paid("AB12"))).await, Some(TAKEN));
    assert_eq!(books.store.audit().await.unwrap(), []);
}

/// The API may have credited the checkout under the spelling it was told.
#[tokio::test]
async fn a_checkout_that_becomes_known_in_another_spelling_is_held_by_the_first_payment() {
    let books = trusting(Policy::default()).await;
    books.record(one(1, paid("AB12"))).await;
    books.attempt(NOW, &Next::Acknowledged).await;
    becomes_known(&books, "ab12").await;
    assert_eq!(books.record(one(2, paid("ab12"))).await, Some(TAKEN));
    let by = Decision {
        actor: "ada".into(),
        reason: "it is the same".into(),
    };
    let which = Which {
        signature: signature(2),
        token_account: None,
    };
    let checkout = memo("ab12");
    let refused = books.store.confirm_by_hand(which, &checkout, &by, NOW);
    let refused = refused.await.unwrap_err();
    assert!(
        matches!(refused, Error::Refused(Refusal::CheckoutTaken { by, .. }) if by == signature(1))
    );
}

#[tokio::test]
async fn the_database_holds_one_live_confirmation_of_an_unknown_memo() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("books.db");
    let url = format!("sqlite:{}", file.display());
    let store = Store::open(&url).await.unwrap();
    let trusting = rules(Policy {
        unknown_memo: UnknownMemo::Confirm,
        ..Policy::default()
    });
    let batch = [one(1, paid("AB12")), one(2, paid("ab12"))];
    store.record(&batch, None, &trusting, NOW).await.unwrap();
    store.close().await;
    let insert = "INSERT INTO confirmations (payment_id, memo, folded, is_unknown, signature, state, origin, queued_at) \
        VALUES (2, 'ab12', 'ab12', 1, 'x', 'queued', 'verdict', 1)";
    let refused = tables(&file).await.execute(insert).await.unwrap_err();
    assert!(refused.to_string().contains("UNIQUE"), "{refused}");
}

/// A stranger pays one unit with the memo of a checkout that is not known yet.
#[tokio::test]
async fn a_refused_payment_that_does_not_fit_frees_the_checkout_that_becomes_known() {
    for is_first in [true, false] {
        let books = trusting(Policy::default()).await;
        books.record(one(1, credited("AB12", 1))).await;
        refuse(&books).await;
        assert_eq!(state(&books, 1).await.0, PaymentState::Parked);
        if is_first {
            assert_eq!(books.record(one(2, paid("ab12"))).await, Some(TAKEN));
        }
        becomes_known(&books, "ab12").await;
        let stranger = (PaymentState::Held, "underpaid".to_owned());
        assert_eq!(state(&books, 1).await, stranger);
        if !is_first {
            assert_eq!(
                books.record(one(2, paid("ab12"))).await,
                Some(confirm("ab12"))
            );
        }
        assert_eq!(books.due().await, ["ab12"]);
        assert_eq!(state(&books, 2).await.0, PaymentState::Queued);
    }
}

/// It was right all the time, and the API was behind: it is sent again, once.
#[tokio::test]
async fn a_refused_payment_that_fits_the_checkout_is_sent_again_when_it_becomes_known() {
    let books = trusting(Policy::default()).await;
    books.record(one(1, paid("AB12"))).await;
    refuse(&books).await;
    becomes_known(&books, "ab12").await;
    assert_eq!(books.record(one(2, paid("ab12"))).await, Some(TAKEN));
    assert_eq!(state(&books, 1).await.0, PaymentState::Queued);
    refuse(&books).await;
    books.store.rejudge(&books.rules, NOW).await.unwrap();
    assert_eq!(state(&books, 1).await.0, PaymentState::Parked, "for good");
}

/// It waits for finalized, so the API was not told.
#[tokio::test]
async fn a_payment_that_was_never_sent_frees_the_checkout_it_does_not_fit() {
    let books = trusting(patient()).await;
    books.record(one(1, credited("ab12", 1))).await;
    becomes_known(&books, "ab12").await;
    assert_eq!(state(&books, 1).await.1, "underpaid");
    books.record(one(2, paid("ab12"))).await;
    assert_eq!(state(&books, 2).await.0, PaymentState::Queued);
}

/// In each case the API has it, or may have it.
#[tokio::test]
async fn what_the_api_may_have_taken_keeps_the_memo() {
    for last in [Next::Acknowledged, Next::Parked] {
        let books = trusting(Policy::default()).await;
        books.record(one(1, credited("ab12", 1))).await;
        books.attempt_in_vain().await;
        books.attempt(NOW, &last).await;
        becomes_known(&books, "ab12").await;
        assert_eq!(state(&books, 1).await.1, "matched", "{last:?}");
        assert_eq!(books.record(one(2, paid("ab12"))).await, Some(TAKEN));
    }
    let books = trusting(Policy::default()).await;
    books.record(one(1, credited("ab12", 1))).await;
    books.attempt_in_vain().await;
    becomes_known(&books, "ab12").await;
    assert_eq!(state(&books, 1).await.0, PaymentState::Queued);
    assert_eq!(books.record(one(2, paid("ab12"))).await, Some(TAKEN));
}

/// The last answer counts: after the no came silence, and the API may have credited it.
#[tokio::test]
async fn a_payment_that_was_refused_and_then_not_answered_keeps_the_memo() {
    let no = || Next::Rejected {
        due_at: NOW,
        since: NOW,
    };
    let silence = || Next::Retry { due_at: NOW };
    for (answers, expected) in [
        (vec![no(), silence(), Next::Parked], PaymentState::Parked),
        (vec![no(), Next::Parked], PaymentState::Parked),
        (vec![no(), silence(), Next::Refused], PaymentState::Held),
        (vec![silence(), no(), Next::Refused], PaymentState::Held),
    ] {
        let books = trusting(Policy::default()).await;
        books.record(one(1, credited("ab12", 1))).await;
        for answer in &answers {
            books.attempt(NOW, answer).await;
        }
        becomes_known(&books, "ab12").await;
        assert_eq!(state(&books, 1).await.0, expected, "{answers:?}");
        let second = books.record(one(2, paid("ab12"))).await;
        assert_eq!(second == Some(TAKEN), expected == PaymentState::Parked);
    }
}

/// The history lists the session under the API's own spelling.
#[tokio::test]
async fn the_history_settles_and_contradicts_a_memo_in_another_spelling() {
    let reads = async |books: &Books, text: &str, status, seconds| {
        let at = NOW.plus(Duration::from_secs(seconds));
        let shown = Checkout {
            status,
            ..checkout(text)
        };
        let page = Page {
            asked_at: at,
            ..page()
        };
        let read = books.store.upsert_checkouts(&[shown], page, at).await;
        let found: Vec<_> = read.unwrap().1.into_iter().map(|one| one.finding).collect();
        assert_eq!(books.store.audit().await.unwrap(), []);
        found
    };
    let by = |byte| CheckoutStatus::Confirmed(Some(signature(byte)));
    let sent = async || {
        let books = trusting(Policy::default()).await;
        books.record(one(1, paid("AB12"))).await;
        books.attempt_in_vain().await;
        books
    };
    // Credited, although the API answered 500.
    let books = sent().await;
    assert_eq!(reads(&books, "ab12", by(1), 1).await, [Finding::Settled]);
    assert_eq!(state(&books, 1).await.0, PaymentState::Acknowledged);
    let books = sent().await;
    let other = Finding::PaidByOther(signature(9));
    assert_eq!(reads(&books, "ab12", by(9), 1).await, [other]);
    // Accepted, and not credited.
    let books = sent().await;
    books.attempt(NOW, &Next::Acknowledged).await;
    let pending = CheckoutStatus::Pending;
    assert_eq!(
        reads(&books, "ab12", pending, 601).await,
        [Finding::SendAgain]
    );
    // Two sessions of that form: nobody knows which one is meant.
    let books = sent().await;
    assert_eq!(reads(&books, "Ab12", pending, 1).await, []);
    assert_eq!(reads(&books, "ab12", by(1), 2).await, []);
    // The session of the very spelling is the one, whichever others there are.
    assert_eq!(reads(&books, "AB12", by(1), 3).await, [Finding::Settled]);
}

/// Its fork died after it was sent: nobody knows what the API made of it.
#[tokio::test]
async fn a_refused_payment_whose_fork_died_keeps_the_memo() {
    let books = trusting(Policy::default()).await;
    books.record(one(1, credited("ab12", DUE - 1))).await;
    refuse(&books).await;
    books
        .store
        .drop_payment(signature(1), 1, NOW)
        .await
        .unwrap();
    becomes_known(&books, "ab12").await;
    assert_eq!(state(&books, 1).await.0, PaymentState::Parked);
    assert_eq!(
        books.store.known(account(), &[signature(1)]).await.unwrap(),
        []
    );
}
