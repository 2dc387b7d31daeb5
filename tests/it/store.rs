//! The store on a real file: recording twice is recording once, a checkout is won once, a cursor only goes forwards.

use paywatch::domain::{
    AmountRule, BaseUnits, Checkout, CheckoutStatus, Commitment, Credit, Decoded, Held, Matched,
    Memo, Mint, Policy, Pubkey, Signature, Slot, Timestamp, TokenAccount, UnknownMemo, Verdict,
    Wallet,
};
use paywatch::store::{Attempt, Cursor, Ingested, Next, Reading, Store};
use std::{collections::BTreeMap, time::Duration};
use tempfile::TempDir;

const NOW: Timestamp = Timestamp(1_760_000_000_000);
const DUE: u64 = 19_000_000;

struct Books {
    store: Store,
    policy: Policy,
    _folder: TempDir,
}

fn key<T>(wrap: fn(Pubkey) -> T, byte: u8) -> T {
    wrap(Pubkey::new_from_array([byte; 32]))
}

fn account() -> TokenAccount {
    key(TokenAccount, 1)
}

fn signature(byte: u8) -> Signature {
    Signature::from([byte; 64])
}

fn memo(text: &str) -> Memo {
    Memo::parse(text).unwrap()
}

fn checkout(text: &str) -> Checkout {
    Checkout {
        memo: memo(text),
        amount: Some(BaseUnits(DUE)),
        mint: Some(key(Mint, 2)),
        recipient: Some(key(Wallet, 3)),
        status: CheckoutStatus::Pending,
        created_at: None,
    }
}

fn ingested(byte: u8, slot: Slot, reached: Commitment, reading: Reading) -> Ingested {
    Ingested {
        signature: signature(byte),
        slot,
        block_time: None,
        reached,
        mentions: vec![account()],
        seen_at: NOW,
        reading,
    }
}

/// A credit of the due amount with a memo.
fn paid(text: &str) -> Reading {
    credited(text, DUE)
}

fn credited(text: &str, amount: u64) -> Reading {
    let credit = Credit {
        token_account: account(),
        wallet: key(Wallet, 3),
        mint: key(Mint, 2),
        received: BaseUnits(amount),
        payer: None,
    };
    Reading::Decoded(Decoded {
        credits: vec![credit],
        transfers: vec![],
        memos: vec![memo(text)],
    })
}

fn cursor(slot: Slot, byte: u8, at: Timestamp) -> Cursor {
    Cursor {
        token_account: account(),
        slot,
        signature: signature(byte),
        at,
    }
}

impl Books {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&format!(
            "sqlite:{}",
            folder.path().join("books.db").display()
        ))
        .await
        .unwrap();
        let policy = Policy {
            amount: AmountRule::Exact,
            unknown_memo: UnknownMemo::Hold,
            confirm_at: Commitment::Confirmed,
            finalized_above: BTreeMap::new(),
        };
        Self {
            store,
            policy,
            _folder: folder,
        }
    }

    async fn record(&self, one: Ingested) -> Option<Verdict> {
        let recorded = self
            .store
            .record(&[one], None, &self.policy, NOW)
            .await
            .unwrap();
        assert!(recorded.len() <= 1);
        recorded.into_iter().next().map(|recorded| recorded.verdict)
    }

    async fn due(&self) -> Vec<String> {
        let due = self
            .store
            .claim_due(NOW, Duration::from_secs(60), 100)
            .await
            .unwrap();
        due.iter().map(|due| due.memo.as_str().to_owned()).collect()
    }
}

fn confirm(text: &str) -> Verdict {
    Verdict::Matched(Matched::Confirm {
        memo: memo(text),
        wait_for: Commitment::Confirmed,
        note: None,
    })
}

#[tokio::test]
async fn recording_again_changes_nothing_and_queues_nothing() {
    let books = Books::open().await;
    books
        .store
        .upsert_checkouts(&[checkout("a")])
        .await
        .unwrap();
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
        books.store.payments(10).await.unwrap()[0].chain_state,
        "finalized"
    );
}

#[tokio::test]
async fn a_checkout_is_won_once_however_many_pay() {
    let books = Books::open().await;
    books
        .store
        .upsert_checkouts(&[checkout("ab")])
        .await
        .unwrap();
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
    let books = Books::open().await;
    books
        .store
        .upsert_checkouts(&[checkout("a"), checkout("b")])
        .await
        .unwrap();
    books
        .record(ingested(1, 5, Commitment::Confirmed, paid("a")))
        .await;
    assert!(
        !books.store.drop_payment(signature(1), NOW).await.unwrap(),
        "nothing was sent"
    );
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
    assert!(
        books.store.drop_payment(signature(3), NOW).await.unwrap(),
        "it may have been sent"
    );
}

#[tokio::test]
async fn another_fork_may_give_another_amount_until_the_merchant_knows() {
    let books = Books::open().await;
    books
        .store
        .upsert_checkouts(&[checkout("a")])
        .await
        .unwrap();
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
    let mut books = Books::open().await;
    books.policy.confirm_at = Commitment::Finalized;
    books
        .store
        .upsert_checkouts(&[checkout("a")])
        .await
        .unwrap();
    books
        .record(ingested(1, 5, Commitment::Confirmed, paid("a")))
        .await;
    assert_eq!(books.due().await, [""; 0]);
    assert_eq!(books.store.unsettled(NOW, 10).await.unwrap().len(), 1);
    books
        .record(ingested(1, 5, Commitment::Finalized, Reading::Known))
        .await;
    assert_eq!(books.due().await, ["a"]);
}

#[tokio::test]
async fn an_unknown_memo_is_judged_again_when_its_checkout_arrives() {
    let books = Books::open().await;
    let held = books
        .record(ingested(1, 5, Commitment::Confirmed, paid("a")))
        .await;
    assert_eq!(held, Some(Verdict::Held(Held::UnknownMemo)));
    assert_eq!(
        books.store.rejudge(&books.policy, NOW).await.unwrap().len(),
        0
    );
    books
        .store
        .upsert_checkouts(&[checkout("a")])
        .await
        .unwrap();
    let judged = books.store.rejudge(&books.policy, NOW).await.unwrap();
    assert_eq!(judged[0].verdict, confirm("a"));
    assert_eq!(books.due().await, ["a"]);
}

#[tokio::test]
async fn the_unreadable_is_shown_quarantined_and_replaced_once_it_can_be_read() {
    let books = Books::open().await;
    books
        .store
        .upsert_checkouts(&[checkout("a")])
        .await
        .unwrap();
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
    let later = NOW.plus(Duration::from_secs(3600));
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
    assert_eq!(books.store.payments(10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_cursor_goes_forwards_only_and_leaves_anchors_behind() {
    let books = Books::open().await;
    let advance = async |slot: Slot, byte: u8, seconds: u64| {
        let at = NOW.plus(Duration::from_secs(seconds));
        books
            .store
            .record(&[], Some(&cursor(slot, byte, at)), &books.policy, at)
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
async fn an_attempt_decides_what_becomes_of_a_confirmation() {
    let books = Books::open().await;
    let all = ["a", "b", "c", "d"];
    books
        .store
        .upsert_checkouts(&all.map(checkout))
        .await
        .unwrap();
    for (byte, text) in (1..).zip(all) {
        books
            .record(ingested(byte, 5, Commitment::Confirmed, paid(text)))
            .await;
    }
    let due = books
        .store
        .claim_due(NOW, Duration::from_secs(60), 100)
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
        Next::Retry {
            due_at: again,
            rejected_since: None,
        },
        Next::Parked,
        Next::PaidByOther,
    ];
    for (due, next) in due.iter().zip(&outcomes) {
        books.store.attempted(due.id, &attempt, next).await.unwrap();
    }
    let counts = books.store.count_confirmations().await.unwrap();
    assert_eq!((counts.queued, counts.parked), (1, 1));
    assert_eq!(books.store.next_due_at().await.unwrap(), Some(again));
    let mut verdicts: Vec<_> = books
        .store
        .payments(10)
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
            state("already_paid", None),
        ]
    );
    // Closed stays closed, whatever a late answer says.
    books
        .store
        .attempted(due[0].id, &attempt, &Next::Parked)
        .await
        .unwrap();
    assert_eq!(books.store.count_confirmations().await.unwrap().parked, 1);
}

#[tokio::test]
async fn a_lagging_history_does_not_undo_what_is_known() {
    let books = Books::open().await;
    let confirmed = Checkout {
        status: CheckoutStatus::Confirmed(Some(signature(9))),
        ..checkout("a")
    };
    assert_eq!(books.store.upsert_checkouts(&[confirmed]).await.unwrap(), 1);
    assert_eq!(
        books
            .store
            .upsert_checkouts(&[checkout("a")])
            .await
            .unwrap(),
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
