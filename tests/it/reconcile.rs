//! The history is compared with the outbox: it proves a credit, or shows that a promise was not kept.

use crate::decisions::{by, which};
use crate::support::books::{
    Books, NOW, account, checkout, confirm, ingested, page, paid, signature,
};
use paywatch::domain::{Checkout, CheckoutStatus, Commitment, Finding, Held, Timestamp, Verdict};
use paywatch::store::{
    Attempt, Due, Error, Filter, Happened, Next, Page, PaymentState, PaymentSummary, Refusal,
};
use std::time::Duration;

const LEASE: Duration = Duration::from_mins(1);

fn later(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

impl Books {
    /// One payment of a pending checkout "a", queued.
    async fn queued() -> Self {
        let books = Self::with(&["a"]).await;
        let one = ingested(1, 5, Commitment::Finalized, paid("a"));
        assert_eq!(books.record(one).await, Some(confirm("a")));
        books
    }

    /// The same, accepted by the API at this time.
    async fn accepted(at: Timestamp) -> Self {
        let books = Self::queued().await;
        books.attempt(at, &Next::Acknowledged).await;
        books
    }

    /// A page with the checkout "a" in this status, requested at this time.
    async fn reads(&self, status: CheckoutStatus, asked_at: Timestamp) -> Vec<Finding> {
        let shown = Checkout {
            status,
            ..checkout("a")
        };
        let page = Page { asked_at, ..page() };
        let read = self.store.upsert_checkouts(&[shown], page, asked_at).await;
        let (_, reconciled) = read.unwrap();
        reconciled.into_iter().map(|one| one.finding).collect()
    }

    async fn one(&self) -> PaymentSummary {
        let payments = self.store.payments(&Filter::newest(10)).await.unwrap();
        payments.into_iter().last().unwrap()
    }

    async fn stands(&self) -> PaymentState {
        assert_eq!(self.store.audit().await.unwrap(), []);
        self.one().await.state
    }

    async fn take(&self, at: Timestamp) -> Vec<Due> {
        self.store.turn_over(&[], at, LEASE, 10).await.unwrap()
    }

    async fn conclude(&self, due: &Due, at: Timestamp, next: &Next) {
        let attempt = Attempt {
            at,
            status: Some(500),
            took: Duration::ZERO,
            reason: "answered".into(),
        };
        let attempts = [(due, &attempt, next)];
        self.store.turn_over(&attempts, at, LEASE, 0).await.unwrap();
    }

    async fn rejected(&self, at: Timestamp, since: Timestamp) {
        let due_at = at.plus(Duration::from_secs(2));
        self.attempt(at, &Next::Rejected { due_at, since }).await;
    }
}

fn by_us() -> CheckoutStatus {
    CheckoutStatus::Confirmed(Some(signature(1)))
}

fn by_other() -> CheckoutStatus {
    CheckoutStatus::Confirmed(Some(signature(9)))
}

const UNTOLD: CheckoutStatus = CheckoutStatus::Confirmed(None);
const PENDING: CheckoutStatus = CheckoutStatus::Pending;

#[tokio::test]
async fn a_checkout_that_the_history_shows_as_confirmed_closes_what_is_open() {
    for status in [by_us(), UNTOLD] {
        let books = Books::queued().await;
        assert_eq!(books.reads(status, NOW).await, [Finding::Settled]);
        assert_eq!(books.stands().await, PaymentState::Acknowledged);
        assert_eq!(books.take(later(9)).await, [], "never sent");
        assert_eq!(books.reads(status, later(1)).await, [], "said once");

        let books = Books::queued().await;
        books.attempt_in_vain().await;
        assert_eq!(books.reads(status, NOW).await, [Finding::Settled]);
        assert_eq!(books.stands().await, PaymentState::Acknowledged);

        let books = Books::queued().await;
        books.attempt(NOW, &Next::Parked).await;
        assert_eq!(books.stands().await, PaymentState::Parked);
        assert_eq!(books.reads(status, later(1)).await, [Finding::Settled]);
        assert_eq!(books.stands().await, PaymentState::Acknowledged);
    }
}

/// What comes back from an attempt that was under way changes nothing any more.
#[tokio::test]
async fn an_attempt_under_way_concludes_nothing_that_the_history_settled() {
    let rejected = Next::Rejected {
        due_at: later(5),
        since: NOW,
    };
    let retry = Next::Retry { due_at: later(5) };
    for next in [rejected, retry, Next::Parked, Next::Acknowledged] {
        let books = Books::queued().await;
        let due = books.take(NOW).await.remove(0);
        assert_eq!(books.reads(by_us(), NOW).await, [Finding::Settled]);
        books.conclude(&due, later(1), &next).await;
        assert_eq!(books.stands().await, PaymentState::Acknowledged, "{next:?}");
        assert_eq!(books.take(later(60)).await, []);
    }
}

#[tokio::test]
async fn a_checkout_that_another_transaction_confirmed_holds_the_payment() {
    let books = Books::queued().await;
    let due = books.take(NOW).await.remove(0);
    let found = books.reads(by_other(), NOW).await;
    assert_eq!(found, [Finding::PaidByOther(signature(9))]);
    books.conclude(&due, later(1), &Next::Parked).await;
    assert_eq!(books.stands().await, PaymentState::Held);
    let payment = books.one().await;
    assert_eq!(payment.verdict, "already_paid");
    assert_eq!(payment.confirmation, None);
    let named = signature(9).to_string();
    assert!(payment.note.unwrap().contains(&named));

    let books = Books::queued().await;
    books.attempt(NOW, &Next::Parked).await;
    books.reads(by_other(), later(1)).await;
    assert_eq!(books.stands().await, PaymentState::Held);
}

/// It was accepted while the history showed another one: the API contradicts itself, in whichever order it does.
#[tokio::test]
async fn an_attempt_under_way_that_is_accepted_for_a_checkout_of_another_needs_a_person() {
    let books = Books::queued().await;
    let due = books.take(NOW).await.remove(0);
    books.reads(by_other(), NOW).await;
    books.conclude(&due, later(1), &Next::Acknowledged).await;
    assert_eq!(books.stands().await, PaymentState::Uncredited);
    let outbox = books.store.count_confirmations().await.unwrap();
    assert_eq!(outbox.uncredited, 1);

    // The other one is here, too, and holds the checkout.
    let books = Books::queued().await;
    let due = books.take(NOW).await.remove(0);
    let second = ingested(9, 6, Commitment::Finalized, paid("a"));
    books.record(second).await;
    books.reads(by_other(), NOW).await;
    books.store.rejudge(&books.rules, NOW).await.unwrap();
    books.conclude(&due, later(1), &Next::Acknowledged).await;
    assert_eq!(books.stands().await, PaymentState::Held);
}

/// The payment that another transaction names is the one that confirmed the checkout.
#[tokio::test]
async fn the_transaction_that_the_history_names_takes_the_checkout_over() {
    let books = Books::queued().await;
    let second = ingested(9, 6, Commitment::Finalized, paid("a"));
    let held = Some(Verdict::Held(Held::AlreadyPaid));
    assert_eq!(books.record(second).await, held);
    books.reads(by_other(), NOW).await;
    books.store.rejudge(&books.rules, NOW).await.unwrap();
    let payments = books.store.payments(&Filter::newest(10)).await.unwrap();
    let states: Vec<_> = payments.iter().map(|one| one.state).collect();
    assert_eq!(states, [PaymentState::Acknowledged, PaymentState::Held]);
}

#[tokio::test]
async fn an_accepted_confirmation_without_a_credit_is_sent_once_more_and_then_needs_a_person() {
    let books = Books::accepted(NOW).await;
    // Requested before the API accepted it, and soon after.
    for seconds in [0, 600] {
        assert_eq!(books.reads(PENDING, later(seconds)).await, []);
    }
    let before = Timestamp(NOW.0 - 3_600_000);
    assert_eq!(books.reads(PENDING, before).await, []);
    assert_eq!(books.stands().await, PaymentState::Acknowledged);

    assert_eq!(books.reads(PENDING, later(601)).await, [Finding::SendAgain]);
    assert_eq!(books.stands().await, PaymentState::Queued);
    assert_eq!(books.reads(PENDING, later(602)).await, [], "queued once");
    let due = books.take(later(603)).await.remove(0);
    assert_eq!((due.memo.as_str(), due.signature), ("a", signature(1)));
    books.conclude(&due, later(604), &Next::Acknowledged).await;

    assert_eq!(books.reads(PENDING, later(1_204)).await, []);
    let found = books.reads(PENDING, later(1_205)).await;
    assert_eq!(found, [Finding::StillPending]);
    assert_eq!(books.stands().await, PaymentState::Uncredited);
    assert_eq!(books.take(later(9_999)).await, [], "never by itself again");
    assert_eq!(books.reads(PENDING, later(9_999)).await, [], "alarmed once");
    let counts = books.store.count_confirmations().await.unwrap();
    assert_eq!((counts.queued, counts.parked, counts.uncredited), (0, 0, 1));

    // It keeps its checkout.
    let second = ingested(2, 6, Commitment::Finalized, paid("a"));
    let held = Some(Verdict::Held(Held::AlreadyPaid));
    assert_eq!(books.record(second).await, held);

    // Late is better than never.
    assert_eq!(
        books.reads(by_us(), later(10_000)).await,
        [Finding::Settled]
    );
    let counts = books.store.count_confirmations().await.unwrap();
    assert_eq!(counts.uncredited, 0);
}

#[tokio::test]
async fn a_credit_that_shows_ends_the_watch_over_an_accepted_confirmation() {
    for status in [by_us(), UNTOLD] {
        let books = Books::accepted(NOW).await;
        assert_eq!(books.reads(status, later(5)).await, [Finding::Credited]);
        // A page that lags must not undo that.
        assert_eq!(books.reads(PENDING, later(9_999)).await, []);
        assert_eq!(books.stands().await, PaymentState::Acknowledged);
    }
}

#[tokio::test]
async fn an_accepted_confirmation_whose_checkout_another_transaction_confirmed_is_an_alarm() {
    let books = Books::accepted(NOW).await;
    let found = books.reads(by_other(), later(1)).await;
    assert_eq!(found, [Finding::CreditedOther(signature(9))]);
    assert_eq!(books.stands().await, PaymentState::Uncredited);
    // Sent again by itself, it would be the same.
    assert_eq!(books.take(later(9_999)).await, []);
}

/// The history had it confirmed before anything was sent: no promise was made, and none is watched over.
#[tokio::test]
async fn what_no_call_acknowledged_is_not_watched_over() {
    let books = Books::with(&[]).await;
    let one = ingested(1, 5, Commitment::Finalized, paid("a"));
    books.record(one).await;
    books.reads(by_us(), NOW).await;
    books.store.rejudge(&books.rules, NOW).await.unwrap();
    assert_eq!(books.stands().await, PaymentState::Acknowledged);
    assert_eq!(books.reads(by_other(), later(9_999)).await, []);
    assert_eq!(books.stands().await, PaymentState::Acknowledged);
}

#[tokio::test]
async fn a_person_retries_an_uncredited_payment_or_closes_it() {
    let uncredited = async || {
        let books = Books::accepted(NOW).await;
        books.reads(by_other(), later(1)).await;
        books
    };
    let books = uncredited().await;
    let retried = books.store.retry(which(1), &by("mended"), later(2)).await;
    retried.unwrap();
    assert_eq!(books.stands().await, PaymentState::Queued);
    let due = books.take(later(3)).await.remove(0);
    assert_eq!(due.signature, signature(1), "the same pair");

    let books = uncredited().await;
    let closed = books
        .store
        .dismiss(which(1), &by("refunded"), later(2))
        .await;
    closed.unwrap();
    assert_eq!(books.stands().await, PaymentState::Dismissed);
    let counts = books.store.count_confirmations().await.unwrap();
    assert_eq!(counts.uncredited, 0, "it needs nobody any more");
    // The API accepted a transaction for it: it is never sent another, by nobody.
    let second = ingested(2, 6, Commitment::Finalized, paid("a"));
    let held = Some(Verdict::Held(Held::AlreadyPaid));
    assert_eq!(books.record(second).await, held);
    let memo = checkout("a").memo;
    let by_hand = books
        .store
        .confirm_by_hand(which(2), &memo, &by("x"), later(3))
        .await;
    let refused = by_hand.unwrap_err();
    assert!(
        matches!(
            refused,
            Error::Refused(Refusal::CheckoutConfirmed(_) | Refusal::CheckoutTaken { .. })
        ),
        "{refused:?}"
    );
    // A person may think again.
    let retried = books.store.retry(which(1), &by("mended"), later(4)).await;
    retried.unwrap();
    assert_eq!(books.stands().await, PaymentState::Queued);
}

/// Accepted, sent once more, and then rejected for as long as that may take: given up, and its checkout stays taken.
#[tokio::test]
async fn what_was_accepted_once_is_never_parked() {
    let books = Books::accepted(NOW).await;
    books.reads(PENDING, later(601)).await;
    books.rejected(later(601), later(601)).await;
    books.rejected(later(1_201), later(601)).await;
    assert_eq!(books.reads(PENDING, later(1_202)).await, [Finding::GiveUp]);
    assert_eq!(books.stands().await, PaymentState::Uncredited);

    let books = Books::accepted(NOW).await;
    books.reads(PENDING, later(601)).await;
    books.attempt(later(602), &Next::Parked).await;
    assert_eq!(books.stands().await, PaymentState::Uncredited);
}

#[tokio::test]
async fn a_rejected_confirmation_is_given_up_by_a_reading_after_its_patience() {
    let books = Books::queued().await;
    books.rejected(NOW, NOW).await;
    assert_eq!(books.reads(PENDING, later(3_600)).await, [], "asked first");
    books.rejected(later(600), NOW).await;
    let asked_before = books.reads(PENDING, later(600)).await;
    assert_eq!(asked_before, [], "requested before the answer");
    assert_eq!(books.stands().await, PaymentState::Queued);
    assert_eq!(books.reads(PENDING, later(601)).await, [Finding::GiveUp]);
    assert_eq!(books.stands().await, PaymentState::Parked);
    assert_eq!(books.take(later(9_999)).await, []);
}

/// Nobody knows what the API made of money that is not there: that is for a person, whatever the history says.
#[tokio::test]
async fn a_payment_whose_fork_died_is_left_to_a_person() {
    for status in [by_us(), UNTOLD, by_other(), PENDING] {
        let books = Books::with(&["a"]).await;
        let one = ingested(1, 5, Commitment::Confirmed, paid("a"));
        books.record(one).await;
        books.attempt_in_vain().await;
        let dropped = books.store.drop_payment(signature(1), 5, NOW).await;
        assert_eq!(dropped.unwrap().sent, 1);
        assert_eq!(books.reads(status, later(9_999)).await, []);
        assert_eq!(books.stands().await, PaymentState::Parked);
    }
}

#[tokio::test]
async fn the_timeline_tells_what_the_history_changed() {
    let books = Books::accepted(NOW).await;
    books.reads(PENDING, later(601)).await;
    books.reads(by_us(), later(602)).await;
    let timeline = books.store.timeline(signature(1), account()).await.unwrap();
    let told: Vec<_> = timeline
        .into_iter()
        .filter_map(|event| match event.what {
            Happened::Reconciled { reason } => Some((event.at, reason)),
            _ => None,
        })
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].1.contains("sent once more"), "{told:?}");
    assert!(told[1].1.contains("as confirmed"), "{told:?}");
}

/// Nobody called the API for it: what its history told is told on.
#[tokio::test]
async fn people_are_told_of_what_the_history_changed() {
    for (status, is_accepted, told) in [
        (by_other(), true, "uncredited"),
        (by_us(), false, "confirmed"),
    ] {
        let books = Books::queued().await;
        let looks = async |at| {
            let found = books.store.unnoticed(|word| word != "held", at, at).await;
            found.unwrap().facts
        };
        assert_eq!(looks(NOW).await.len(), 0, "it begins to look");
        if is_accepted {
            books.attempt(NOW, &Next::Acknowledged).await;
        }
        books.reads(status, later(1)).await;
        let words: Vec<_> = looks(later(2))
            .await
            .into_iter()
            .map(|one| one.told)
            .collect();
        assert_eq!(words, [told]);
    }
}
