//! Decisions about many payments at once: each on record, none that was not chosen.

use crate::decisions::by;
use crate::support::books::{Books, DUE, NOW, account, credited, ingested, page, signature};
use crate::support::{World, exit_of, said, tables};
use paywatch::domain::{Commitment, Held, HumanAmount};
use paywatch::store::{
    Attempt, BulkAction, Filter, Happened, Next, PaymentState, Reading, Selection, Waiting,
};
use reqwest::{Client, StatusCode, header, redirect};
use sqlx::Executor;
use std::time::Duration;

/// Payments 1 to 4 of the checkouts a to d, given up, of 19, 20, 21 and 22 USDC; 5 is held, 6 cannot be read.
async fn given_up() -> Books {
    let books = Books::open().await;
    let memos = ["a", "b", "c", "d"];
    for (extra, text) in (0..).zip(memos) {
        let mut checkout = crate::support::books::checkout(text);
        checkout.amount = Some(paywatch::domain::BaseUnits(DUE + extra * 1_000_000));
        books
            .store
            .upsert_checkouts(&[checkout], page(), NOW)
            .await
            .unwrap();
        let byte = u8::try_from(extra).unwrap() + 1;
        let mut one = ingested(
            byte,
            5,
            Commitment::Finalized,
            credited(text, DUE + extra * 1_000_000),
        );
        one.seen_at = NOW.plus(Duration::from_mins(extra));
        books.record(one).await;
        books.attempt(NOW, &Next::Parked).await;
    }
    let held = ingested(5, 6, Commitment::Finalized, credited("nobody knows", DUE));
    books.record(held).await;
    let broken = Reading::Unreadable("version 9".into());
    books
        .record(ingested(6, 6, Commitment::Finalized, broken))
        .await;
    books
}

impl Books {
    async fn states(&self) -> Vec<PaymentState> {
        let mut payments = self.store.payments(&Filter::newest(10)).await.unwrap();
        payments.reverse();
        payments.into_iter().map(|one| one.state).collect()
    }

    /// What a daemon notes of the account that it watches: the decimal places of its token.
    async fn know_token(&self) {
        let mut tables = tables(&self.file()).await;
        let account = account().to_string();
        let insert = "INSERT INTO token_accounts (address, watched_since, decimals, symbol) VALUES ($1, 1, 6, 'USDC')";
        let inserted = sqlx::query(insert).bind(account).execute(&mut tables);
        inserted.await.unwrap();
    }

    async fn decides_all(&self, action: BulkAction, selection: &Selection) -> u64 {
        let counted = self.store.count_selected(action, selection).await.unwrap();
        let by = by("the API is mended");
        let decided = self.store.decide_all(action, selection, &by, NOW).await;
        let decided = decided.unwrap();
        assert_eq!(decided, counted, "as counted before");
        assert_eq!(self.store.audit().await.unwrap(), []);
        decided
    }

    async fn decisions_about(&self, byte: u8) -> usize {
        let timeline = self.store.timeline(signature(byte), account()).await;
        let events = timeline.unwrap().into_iter();
        events
            .filter(|event| matches!(&event.what, Happened::Decided { reason, .. } if reason == "the API is mended"))
            .count()
    }
}

const PARKED: Selection = Selection {
    waiting: Some(Waiting::Parked),
    seen_until: None,
    min_amount: None,
    max_amount: None,
    seen: None,
};

#[tokio::test]
async fn all_that_were_given_up_are_tried_again_and_nothing_else() {
    use PaymentState::{Held, Queued};
    let books = given_up().await;
    assert_eq!(books.decides_all(BulkAction::Retry, &PARKED).await, 4);
    let expected = [Queued, Queued, Queued, Queued, Held, Held];
    assert_eq!(books.states().await, expected);
    for byte in 1..=4 {
        assert_eq!(books.decisions_about(byte).await, 1);
    }
    assert_eq!(books.decisions_about(5).await, 0);
    assert_eq!(books.due().await, ["a", "b", "c", "d"]);
    assert_eq!(books.decides_all(BulkAction::Retry, &PARKED).await, 0);

    // Without a reason: whatever can be retried.
    let books = given_up().await;
    let all = Selection::default();
    assert_eq!(books.decides_all(BulkAction::Retry, &all).await, 5);
    assert_eq!(books.decisions_about(6).await, 1, "it is read again");
    assert_eq!(books.decisions_about(5).await, 0, "nothing to retry");
}

#[tokio::test]
async fn a_choice_is_narrowed_by_reason_age_and_amount() {
    let amount = |text: &str| text.parse::<HumanAmount>().ok();
    let aged = Selection {
        seen_until: Some(NOW.plus(Duration::from_secs(90))),
        ..PARKED
    };
    let (small, large) = (
        Selection {
            max_amount: amount("20"),
            ..PARKED
        },
        Selection {
            min_amount: amount("20.5"),
            ..PARKED
        },
    );
    let unknown = Selection {
        waiting: Some(Waiting::Held(Held::UnknownMemo)),
        ..PARKED
    };
    for (selection, expected) in [
        (aged, &[1, 2][..]),
        (small, &[1, 2]),
        (large, &[3, 4]),
        (unknown, &[5]),
    ] {
        let books = given_up().await;
        books.know_token().await;
        books.decides_all(BulkAction::Dismiss, &selection).await;
        let states = books.states().await;
        let dismissed: Vec<_> = (1..)
            .zip(&states)
            .filter(|(_, state)| **state == PaymentState::Dismissed)
            .map(|(number, _)| number)
            .collect();
        assert_eq!(dismissed, expected, "{selection:?}");
    }
}

/// A payment may begin to wait long after it was recorded: nobody saw those that began to wait after the page had counted.
#[tokio::test]
async fn only_what_waited_when_it_was_counted_is_decided_about() {
    let books = Books::with(&["a", "b", "c"]).await;
    for (byte, text) in [(1, "a"), (2, "b"), (3, "nobody")] {
        let one = ingested(byte, 5, Commitment::Finalized, credited(text, DUE));
        books.record(one).await;
    }
    let due = books.store.turn_over(&[], NOW, Duration::from_mins(1), 9);
    let due = due.await.unwrap();
    let gives_up = async |index: usize| {
        let attempt = Attempt {
            at: NOW,
            status: None,
            took: Duration::ZERO,
            reason: "no answer".into(),
        };
        let parked = [(&due[index], &attempt, &Next::Parked)];
        let lease = Duration::from_mins(1);
        books.store.turn_over(&parked, NOW, lease, 0).await.unwrap();
    };
    gives_up(1).await;
    let seen = Selection {
        seen: Some(books.store.seen().await.unwrap()),
        ..Selection::default()
    };
    let count = books.store.count_selected(BulkAction::Dismiss, &seen);
    assert_eq!(count.await.unwrap(), 2);
    // The older one, and one that is new.
    gives_up(0).await;
    books
        .record(ingested(4, 6, Commitment::Finalized, credited("no", DUE)))
        .await;
    let text = seen.seen.unwrap().to_string();
    assert_eq!(text.parse(), Ok(seen.seen.unwrap()));
    assert_eq!(books.decides_all(BulkAction::Dismiss, &seen).await, 2);
    let (dismissed, held) = (PaymentState::Dismissed, PaymentState::Held);
    let expected = [PaymentState::Parked, dismissed, dismissed, held];
    assert_eq!(books.states().await, expected);
}

/// Its fork died after it was sent: a person must look at the API first, one by one.
#[tokio::test]
async fn a_payment_whose_fork_died_is_not_decided_about_along_with_others() {
    let books = Books::with(&["a"]).await;
    let one = ingested(1, 5, Commitment::Confirmed, credited("a", DUE));
    books.record(one).await;
    books.attempt_in_vain().await;
    let dropped = books.store.drop_payment(signature(1), 5, NOW).await;
    assert_eq!(dropped.unwrap().sent, 1);
    for action in [BulkAction::Retry, BulkAction::Dismiss] {
        assert_eq!(books.decides_all(action, &PARKED).await, 0);
    }
    assert_eq!(books.states().await, [PaymentState::Parked]);
}

/// More than fit one SQL transaction.
#[tokio::test]
async fn a_thousand_are_decided_about_in_batches() {
    let books = Books::open().await;
    let mut tables = tables(&books.file()).await;
    let account = account();
    let insert = "INSERT INTO payments (id, signature, token_account, slot, memos, verdict, reason, chain_state, seen_at, recorded_at) \
         VALUES ($1, $2, $3, 7, '[]', 'held', 'no_memo', 'finalized', 1, 1)";
    tables.execute("BEGIN").await.unwrap();
    for number in 0..1_200_u16 {
        let [high, low] = number.to_be_bytes();
        let mut bytes = [7; 64];
        (bytes[0], bytes[1]) = (high, low);
        sqlx::query(insert)
            .bind(i64::from(number) + 1)
            .bind(paywatch::domain::Signature::from(bytes).to_string())
            .bind(account.to_string())
            .execute(&mut tables)
            .await
            .unwrap();
    }
    tables.execute("COMMIT").await.unwrap();
    let held = Selection {
        waiting: Some(Waiting::Held(Held::NoMemo)),
        ..PARKED
    };
    assert_eq!(books.decides_all(BulkAction::Dismiss, &held).await, 1_200);
    assert_eq!(books.store.held().await.unwrap(), []);
}

/// The page says how many, asks why, and decides about those that it counted.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_dismisses_all_that_it_counted() {
    let world = World::new().await;
    let token = world.folder.path().join("token");
    std::fs::write(&token, "open sesame\n").unwrap();
    let changes = [("OPS__TOKEN_FILE", token.to_str().unwrap())];
    let daemon = world.watch(&changes).await;
    let root = daemon.ops().await;
    let mut held = Vec::new();
    for memo in ["nobody-1", "nobody-2"] {
        let signature = world.pay(7, memo).await;
        world.wait_verdict(signature, "unknown_memo").await;
        held.push(signature);
    }
    let none = redirect::Policy::none();
    let http = Client::builder().redirect(none).build().unwrap();
    let sign_in = http.post(format!("{root}/sign-in")).form(&[
        ("name", "Ann"),
        ("token", "open sesame"),
        ("next", "/"),
    ]);
    let signed_in = sign_in.send().await.unwrap();
    let cookie = signed_in.headers()[header::SET_COOKIE].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let get = async |path: &str| {
        let request = http.get(format!("{root}{path}"));
        let answer = request.header(header::COOKIE, &cookie).send().await;
        let answer = answer.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    let (_, list) = get("/needs-a-person").await;
    assert!(list.contains("Dismiss all 2…"), "{list}");
    assert!(
        !list.contains("Retry all"),
        "nothing of these can be: {list}"
    );
    let path = "/needs-a-person/unknown_memo/dismiss";
    let (_, form) = get(path).await;
    assert!(form.contains("Dismiss all 2"), "{form}");
    for other in ["unknown_memo/retry", "unknown_memo/confirm"] {
        let (status, _) = get(&format!("/needs-a-person/{other}")).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{other}");
    }
    let value = |name: &str| {
        let rest = form.split(&format!("name=\"{name}\" value=\"")).nth(1);
        rest.unwrap().split('"').next().unwrap().to_owned()
    };
    let (tag, seen) = (value("form"), value("seen"));
    assert_eq!(value("count"), "2");
    // One more comes after the page was made.
    let late = world.pay(7, "nobody-3").await;
    world.wait_verdict(late, "unknown_memo").await;
    let post = async |fields: &[(&str, &str)]| {
        let request = http.post(format!("{root}{path}")).form(fields);
        let answer = request.header(header::COOKIE, &cookie).send().await;
        answer.unwrap().status()
    };
    let state = async |signature| world.recorded(signature).await[0].state;
    let said = |form, count, reason| {
        [
            ("form", form),
            ("seen", &*seen),
            ("count", count),
            ("reason", reason),
        ]
    };
    let foreign = said("x", "2", "spam");
    assert_eq!(post(&foreign).await, StatusCode::FORBIDDEN);
    let mute = said(&*tag, "2", " ");
    assert_eq!(post(&mute).await, StatusCode::CONFLICT);
    let fewer = said(&*tag, "1", "spam");
    assert_eq!(post(&fewer).await, StatusCode::CONFLICT, "more than that");
    assert_eq!(state(held[0]).await, PaymentState::Held);
    let right = said(&*tag, "2", "spam");
    assert_eq!(post(&right).await, StatusCode::SEE_OTHER);
    for signature in held {
        assert_eq!(state(signature).await, PaymentState::Dismissed);
    }
    assert_eq!(state(late).await, PaymentState::Held, "nobody saw it");
}

/// As a person types it.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_shows_narrows_and_decides() {
    let world = World::new().await;
    let _daemon = world.watch(&[]).await;
    for (amount, memo) in [(7, "nobody-1"), (2_000_000, "nobody-2")] {
        let signature = world.pay(amount, memo).await;
        world.wait_verdict(signature, "unknown_memo").await;
    }
    let run = |arguments: &str| {
        let arguments: Vec<_> = arguments.split(' ').collect();
        let output = exit_of(&world.environment(), &arguments);
        (output.status.code().unwrap(), said(&output))
    };
    for (arguments, code, part) in [
        (
            "dismiss --all --reason spam --dry-run",
            0,
            "2 payments are meant",
        ),
        (
            "dismiss --all --reason spam --min-amount 1.5 --dry-run",
            0,
            "1 payments are meant",
        ),
        (
            "dismiss --all --reason spam --older-than 1h --dry-run",
            0,
            "0 payments are meant",
        ),
        ("dismiss --all", 64, "--reason"),
        ("dismiss --reason spam", 64, "SIGNATURE"),
        ("retry --only parked", 64, "--all"),
        ("retry --all --only no_memo", 1, "nothing to retry"),
        ("retry --all --min-amount ten", 64, "not a plain number"),
        ("retry --all", 0, "0 due now"),
        (
            "dismiss --all --only unknown_memo --max-amount 1 --reason spam",
            0,
            "1 dismissed, as decided by ada",
        ),
        ("dismiss --all --reason spam", 0, "1 dismissed"),
    ] {
        let by = if code == 64 { "" } else { " --by ada" };
        let (exit, text) = run(&format!("payments {arguments}{by}"));
        assert_eq!(exit, code, "{arguments}: {text}");
        assert!(text.contains(part), "{arguments}: {text}");
    }
}
