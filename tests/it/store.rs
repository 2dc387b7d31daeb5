//! The store on a real file: recording twice is recording once, a cursor only goes forwards, what is known stays known.

use crate::support::books::{
    Books, DUE, NOW, account, checkout, confirm, credited, cursor, ingested, key, memo, page, paid,
    signature, watched,
};
use paywatch::domain::{
    Checkout, CheckoutStatus, Commitment, Held, Matched, Policy, Rules, Slot, TokenAccount, Verdict,
};
use paywatch::store::{Error, Filter, Ingested, Occasion, Reading};
use proptest::prelude::*;
use std::time::Duration;

#[tokio::test]
async fn recording_again_changes_nothing_and_queues_nothing() {
    let books = Books::with(&["a"]).await;
    let one = ingested(1, 5, Commitment::Confirmed, paid("a"));
    assert_eq!(books.record(one.clone()).await, Some(confirm("a")));
    assert_eq!(books.record(one.clone()).await, None);
    assert_eq!(
        books
            .record(Ingested {
                reached: Commitment::Finalized,
                ..one
            })
            .await,
        None
    );
    assert_eq!(books.due().await, ["a"]);
    assert_eq!(books.due().await, [""; 0], "leased");
    assert_eq!(
        books.store.payments(&Filter::newest(10)).await.unwrap()[0].chain_state,
        "finalized"
    );
}

#[tokio::test]
async fn an_unknown_memo_is_judged_again_when_its_checkout_arrives() {
    let books = Books::open().await;
    let held = books
        .record(ingested(1, 5, Commitment::Confirmed, paid("a")))
        .await;
    assert_eq!(held, Some(Verdict::Held(Held::UnknownMemo)));
    assert_eq!(
        books.store.rejudge(&books.rules, NOW).await.unwrap().len(),
        0
    );
    books
        .store
        .upsert_checkouts(&[checkout("a")], page(), NOW)
        .await
        .unwrap();
    let judged = books.store.rejudge(&books.rules, NOW).await.unwrap();
    assert_eq!(judged[0].verdict, confirm("a"));
    assert_eq!(books.due().await, ["a"]);
}

#[tokio::test]
async fn the_unreadable_is_shown_quarantined_and_replaced_once_it_can_be_read() {
    let books = Books::with(&["a"]).await;
    let broken = ingested(
        1,
        5,
        Commitment::Finalized,
        Reading::Unreadable("version 9".into()),
    );
    assert_eq!(
        books.record(broken.clone()).await,
        Some(Verdict::Held(Held::Unreadable))
    );
    assert_eq!(books.record(broken).await, None, "alarms once");
    let later = NOW.plus(Duration::from_hours(1));
    assert_eq!(books.store.quarantined(NOW, 10).await.unwrap().len(), 0);
    assert_eq!(
        books.store.quarantined(later, 10).await.unwrap()[0].signature,
        signature(1)
    );
    assert_eq!(
        books
            .record(ingested(1, 5, Commitment::Finalized, paid("a")))
            .await,
        Some(confirm("a"))
    );
    assert_eq!(books.store.quarantined(later, 10).await.unwrap().len(), 0);
    assert_eq!(
        books
            .store
            .payments(&Filter::newest(10))
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_payment_is_new_once_however_often_it_is_judged() {
    let books = Books::open().await;
    let record = async |byte, slot, reading| {
        let one = ingested(byte, slot, Commitment::Confirmed, reading);
        let recorded = books.store.record(&[one], None, &books.rules, NOW).await;
        recorded
            .unwrap()
            .iter()
            .map(|one| one.occasion)
            .collect::<Vec<_>>()
    };
    let (new, again) = ([Occasion::New], [Occasion::JudgedAgain]);
    assert_eq!(record(1, 5, paid("a")).await, new);
    assert_eq!(record(1, 5, paid("a")).await, []);
    assert_eq!(
        record(1, 6, credited("a", DUE - 1)).await,
        again,
        "on another fork"
    );
    let unreadable = Reading::Unreadable("no balances".into());
    assert_eq!(record(2, 5, unreadable).await, new);
    assert_eq!(record(2, 5, paid("b")).await, again, "read at last");
    books
        .store
        .upsert_checkouts(&[checkout("b")], page(), NOW)
        .await
        .unwrap();
    let judged = books.store.rejudge(&books.rules, NOW).await.unwrap();
    assert_eq!(
        judged.iter().map(|one| one.occasion).collect::<Vec<_>>(),
        again
    );
}

/// Its account left the watch list after the transaction was read.
#[tokio::test]
async fn a_payment_into_an_account_that_is_not_watched_is_read_again_when_it_is() {
    let mut books = Books::with(&["a"]).await;
    let watching = std::mem::replace(&mut books.rules, nothing_watched());
    let one = || ingested(1, 5, Commitment::Confirmed, paid("a"));
    let cursor = cursor(5, 1, NOW);
    let refused = books
        .store
        .record(&[one()], Some(&cursor), &books.rules, NOW)
        .await;
    assert!(matches!(refused, Err(Error::NotWatched(at)) if at == account()));
    let store = &books.store;
    assert_eq!(store.known(account(), &[signature(1)]).await.unwrap(), []);
    assert_eq!(store.cursors(account()).await.unwrap(), []);
    books.rules = watching;
    assert_eq!(books.record(one()).await, Some(confirm("a")));
}

/// It was recorded while its account was watched, and its checkout becomes known while it is not.
#[tokio::test]
async fn a_held_payment_is_judged_again_only_while_its_account_is_watched() {
    let books = Books::open().await;
    books
        .record(ingested(1, 5, Commitment::Confirmed, paid("a")))
        .await;
    books
        .store
        .upsert_checkouts(&[checkout("a")], page(), NOW)
        .await
        .unwrap();
    let elsewhere = Rules::new(
        Policy::default(),
        [watched(key(TokenAccount, 9))].into_iter().collect(),
    );
    for unwatched in [nothing_watched(), elsewhere] {
        let judged = books.store.rejudge(&unwatched, NOW).await.unwrap();
        assert!(judged.is_empty(), "{judged:?}");
    }
    let judged = books.store.rejudge(&books.rules, NOW).await.unwrap();
    assert_eq!(judged[0].verdict, confirm("a"));
}

fn nothing_watched() -> Rules {
    Rules::new(Policy::default(), [].into_iter().collect())
}

#[tokio::test]
async fn a_cursor_goes_forwards_only_and_leaves_anchors_behind() {
    let books = Books::open().await;
    let advance = async |slot: Slot, byte: u8, seconds: u64| {
        let at = NOW.plus(Duration::from_secs(seconds));
        books
            .store
            .record(&[], Some(&cursor(slot, byte, at)), &books.rules, at)
            .await
            .unwrap();
        books
            .store
            .cursors(account())
            .await
            .unwrap()
            .iter()
            .map(|cursor| cursor.slot)
            .collect::<Vec<_>>()
    };
    assert_eq!(advance(100, 1, 0).await, [100]);
    assert_eq!(
        advance(110, 2, 10).await,
        [110],
        "a young anchor moves along"
    );
    assert_eq!(advance(90, 3, 20).await, [110], "never back");
    assert_eq!(advance(120, 4, 40).await, [120, 110]);
    assert_eq!(advance(130, 5, 50).await, [130, 110]);
    for step in 0..40 {
        advance(200 + step, 6, 100 + 40 * step).await;
    }
    let kept = books.store.cursors(account()).await.unwrap();
    assert_eq!((kept.len(), kept[0].slot), (16, 239));
}

#[tokio::test]
async fn a_lagging_history_does_not_undo_what_is_known() {
    let books = Books::open().await;
    let confirmed = Checkout {
        status: CheckoutStatus::Confirmed(Some(signature(9))),
        ..checkout("a")
    };
    assert_eq!(
        books
            .store
            .upsert_checkouts(&[confirmed], page(), NOW)
            .await
            .unwrap()
            .0,
        1
    );
    assert_eq!(
        books
            .store
            .upsert_checkouts(&[checkout("a")], page(), NOW)
            .await
            .unwrap()
            .0,
        0
    );
    assert_eq!(books.store.count_checkouts().await.unwrap(), (1, 0));
    let late = books
        .record(ingested(1, 5, Commitment::Confirmed, paid("a")))
        .await;
    assert_eq!(late, Some(Verdict::Held(Held::AlreadyPaid)));
    let known = books
        .record(ingested(9, 5, Commitment::Confirmed, paid("a")))
        .await;
    assert_eq!(
        known,
        Some(Verdict::Matched(Matched::Settled { memo: memo("a") }))
    );
    assert_eq!(books.due().await, [""; 0], "there is nothing to tell");
}

/// A probe of `/readyz` whose caller hangs up is dropped at any await. It must not leave the write connection in a transaction.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_hangs_up_in_the_middle_breaks_nothing_for_the_next() {
    let books = Books::open().await;
    for microseconds in 0..2_000 {
        let hang_up = Duration::from_micros(microseconds % 200);
        let _either = tokio::time::timeout(hang_up, books.store.probe()).await;
        books
            .store
            .probe()
            .await
            .expect("the next caller finds the database as it should be");
    }
}

#[tokio::test]
async fn what_could_not_be_read_and_turns_out_to_have_given_nothing_leaves_the_quarantine() {
    let books = Books::open().await;
    books
        .record(ingested(
            1,
            5,
            Commitment::Finalized,
            Reading::Unreadable("null".into()),
        ))
        .await;
    // As a transaction that failed on chain is read.
    let nothing = Reading::Decoded(paywatch::domain::Decoded::default());
    assert_eq!(
        books
            .record(ingested(1, 5, Commitment::Confirmed, nothing))
            .await,
        None
    );
    let later = NOW.plus(Duration::from_hours(1));
    assert_eq!(books.store.quarantined(later, 10).await.unwrap(), []);
    assert_eq!(books.store.payments(&Filter::newest(10)).await.unwrap(), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// In whatever order transactions come, in whatever batches, and however often again: the same payments with the same
    /// verdicts, and the same confirmations.
    #[test]
    fn order_and_replay_change_nothing(order in prop::collection::vec(0_usize..6, 6..24), batch in 1_usize..5) {
        let all = [
            ingested(1, 5, Commitment::Confirmed, paid("a")),
            ingested(2, 5, Commitment::Confirmed, paid("b")),
            ingested(3, 6, Commitment::Finalized, credited("c", DUE - 1)),
            ingested(4, 7, Commitment::Confirmed, paid("nobody-knows")),
            ingested(5, 8, Commitment::Confirmed, Reading::Failed),
            ingested(6, 9, Commitment::Finalized, paid("d")),
        ];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let result = async |order: Vec<usize>, batch: usize| {
            let books = Books::with(&["a", "b", "c", "d"]).await;
            for chunk in order.chunks(batch) {
                let some: Vec<_> = chunk.iter().map(|which| all[*which].clone()).collect();
                books.store.record(&some, None, &books.rules, NOW).await.unwrap();
            }
            let payments = books.store.payments(&Filter::newest(99)).await.unwrap();
            let mut verdicts: Vec<_> = payments.into_iter().map(|one| (one.signature, one.verdict)).collect();
            verdicts.sort();
            let mut due = books.due().await;
            due.sort();
            (verdicts, due)
        };
        let shuffled = (0..6).chain(order).rev().collect();
        let (plain, shuffled) = runtime.block_on(async { (result((0..6).collect(), 1).await, result(shuffled, batch).await) });
        prop_assert_eq!(plain, shuffled);
    }
}
