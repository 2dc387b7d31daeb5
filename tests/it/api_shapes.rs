//! The forms in which payments APIs tell what they tell: each is understood, or the field at fault is named.

use crate::support::backend::DUE;
use crate::support::ledger::{Entry, Ledger};
use crate::support::node::FIRST_SLOT;
use crate::support::scripted::Scripted;
use crate::support::server::{Asked, Said, Server};
use crate::support::{exit_of, said};
use futures_util::future::join_all;
use paywatch::domain::Memo;
use paywatch::pipeline::Checkouts;
use paywatch::store::Stage;
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU16, Ordering},
};

/// The memo of the one checkout.
const MEMO: &str = "122c597083bd438b7f6d72af75d02594";

/// Mint and wallet of the shop, as text.
fn shop() -> (String, String) {
    let shop = Ledger::new().shop;
    (shop.mint.to_string(), shop.wallet.to_string())
}

/// The entry of the one checkout, as the documentation has it.
fn plain() -> Value {
    let (mint, wallet) = shop();
    json!({ "memo": MEMO, "amount": DUE, "recipient": wallet, "token": mint, "status": 0, "transaction_hash": null,
            "created_at": "2026-09-21T13:30:00Z" })
}

fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut entry = plain();
    change(&mut entry);
    entry
}

/// An API whose history is this text on its first page and empty after it.
fn says_history(scripted: &Scripted, body: String) {
    scripted.api_says(move |asked| {
        let is_first = offset(asked)? == 0;
        Some(Said::Text(if is_first {
            body.clone()
        } else {
            "[]".into()
        }))
    });
}

/// The offset of a question for the history; `None` for other questions.
fn offset(asked: &Asked) -> Option<usize> {
    let is_history = asked.url.path() == "/history";
    let (_, offset) = asked
        .url
        .query_pairs()
        .find(|(key, _)| is_history && key == "offset")?;
    offset.parse().ok()
}

/// The daemon confirms a payment of the one checkout, whose history comes in this form.
async fn understands(what: &str, body: String, changes: &[(&str, &str)]) {
    let scripted = Scripted::with(1).await;
    says_history(&scripted, body);
    scripted.backend().checkout(MEMO.into());
    let signature = scripted
        .chain
        .ledger()
        .land(Entry::paid(FIRST_SLOT, DUE, MEMO));
    scripted.chain.advance(50);
    let _daemon = scripted.watch(changes).await;
    scripted.confirmed(what, &(MEMO.into(), signature)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_is_matched_in_whatever_form_its_entry_comes() {
    let (mint, _) = shop();
    let bare = |entry: Value| json!([entry]).to_string();
    let forms = [
        ("a symbol beside the mint", bare(with(|one| { one["token"] = json!("USDC"); one["mint"] = json!(mint); }))),
        ("an object for the token", bare(with(|one| one["token"] = json!({ "symbol": "USDC", "mint": mint, "decimals": 6 })))),
        ("an integral decimal", bare(plain()).replace("19000000", "19000000.0")),
        ("an integral decimal as text", bare(with(|one| one["amount"] = json!("19000000.00")))),
        ("a byte order mark", format!("\u{feff}{}", bare(plain()))),
        ("another name of the list", json!({ "payment_sessions": [plain()], "total": 1, "limit": 1000, "offset": 0 }).to_string()),
        ("one object down", json!({ "success": true, "data": { "rows": [plain()] } }).to_string()),
        ("beside card sessions", json!([{ "id": 77, "memo": null, "payment_method": "card", "amount": 1900, "status": 0 }, plain()]).to_string()),
    ];
    join_all(
        forms
            .into_iter()
            .map(async |(what, body)| understands(what, body, &[]).await),
    )
    .await;
}

/// A checkout that is older than `look_back` is looked back for, whatever form its time has.
#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_a_checkout_is_understood_in_whatever_form_it_comes() {
    let times = [
        json!("2026-09-21T13:30:00Z"),
        json!("2026-09-21T15:30:00+02:00"),
        json!("2026-09-21T08:00:00.25-0530"),
        json!(1_789_997_400),
        json!(1_789_997_400.5),
        json!(1_789_997_400_500_i64),
        json!("1789997400"),
        json!("1789997400.5"),
    ];
    let tries = times.map(|time| async move {
        let body = json!([with(|one| one["created_at"] = time.clone())]).to_string();
        understands(&time.to_string(), body, &[("WATCH__LOOK_BACK", "1m")]).await;
    });
    join_all(tries).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_names_a_card_session_is_held() {
    let scripted = Scripted::with(1).await;
    let card = json!({ "id": 77, "memo": null, "payment_method": "card", "amount": 1900, "currency": "usd", "status": 0, "created_at": "2026-09-21T13:30:00Z" });
    says_history(&scripted, json!([plain(), card]).to_string());
    let strange = scripted
        .chain
        .ledger()
        .land(Entry::paid(FIRST_SLOT, 1_900, "77"));
    scripted.chain.advance(50);
    let daemon = scripted.watch(&[]).await;
    daemon.judges(strange, "unknown_memo").await;
    let known = daemon.store.count_checkouts().await.unwrap();
    assert_eq!(known, (1, 1), "the card session is none");
    assert_eq!(scripted.backend().puts, []);
}

/// Neither pending nor confirmed: held as what it is, and judged again when that changes.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_for_a_checkout_of_another_status_is_held_until_it_is_pending() {
    let scripted = Scripted::with(1).await;
    let is_expired = Arc::new(AtomicBool::new(true));
    let expired = is_expired.clone();
    scripted.api_says(move |asked| {
        let status = if expired.load(Ordering::SeqCst) { 2 } else { 0 };
        let page = json!([with(|one| one["status"] = json!(status))]);
        offset(asked).map(|offset| Said::Json(if offset == 0 { page } else { json!([]) }))
    });
    scripted.backend().checkout(MEMO.into());
    let signature = scripted
        .chain
        .ledger()
        .land(Entry::paid(FIRST_SLOT, DUE, MEMO));
    scripted.chain.advance(50);
    let daemon = scripted.watch(&[]).await;
    daemon.judges(signature, "not_payable").await;
    let memo = Memo::parse(MEMO).unwrap();
    let (_, stage) = daemon.store.stage(&memo).await.unwrap().unwrap();
    assert!(matches!(stage, Stage::NeedsHelp { .. }), "{stage:?}");
    assert_eq!(scripted.backend().puts, []);
    let told = exit_of(
        &scripted.environment(&[]),
        &["explain", &signature.to_string()],
    );
    let told = said(&told);
    assert!(
        told.contains("not_payable") && told.contains("the status \"2\""),
        "{told}"
    );
    is_expired.store(false, Ordering::SeqCst);
    scripted
        .confirmed("it is pending again", &(MEMO.into(), signature))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_left_is_the_end_however_it_is_said() {
    for (what, end) in [
        ("a list", Said::Json(json!([]))),
        ("null", Said::Json(json!(null))),
        (
            "items that are null",
            Said::Json(json!({ "items": null, "total": 0, "limit": 1000, "offset": 1 })),
        ),
        ("204", Said::Whole(204, "", String::new())),
        ("an empty body", Said::Text(String::new())),
    ] {
        for sessions in [0, 1] {
            let scripted = Scripted::with(0).await;
            let end = end.clone();
            scripted.api_says(move |asked| {
                offset(asked).map(|offset| match offset {
                    0 if sessions == 1 => Said::Json(json!([plain()])),
                    _ => end.clone(),
                })
            });
            let pipeline = scripted
                .pipeline(&[
                    ("SOLANA__RPC_URLS", "http://127.0.0.1:1"),
                    ("SOLANA__WS_URLS", ""),
                ])
                .await;
            let read = Checkouts::new(pipeline.clone()).step().await;
            assert_eq!(read.unwrap(), sessions, "{what} after {sessions}");
            assert!(pipeline.status.has_polled(), "{what} after {sessions}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_404_is_the_end_past_the_first_page_and_an_error_on_it() {
    let scripted = Scripted::with(0).await;
    let first = Arc::new(AtomicU16::new(404));
    let status = first.clone();
    scripted.api_says(move |asked| {
        let is_there = offset(asked)? == 0 && status.load(Ordering::SeqCst) == 200;
        Some(if is_there {
            Said::Json(json!([plain()]))
        } else {
            Said::Status(404, None)
        })
    });
    let pipeline = scripted
        .pipeline(&[
            ("SOLANA__RPC_URLS", "http://127.0.0.1:1"),
            ("SOLANA__WS_URLS", ""),
        ])
        .await;
    let mut checkouts = Checkouts::new(pipeline.clone());
    assert!(checkouts.step().await.is_err());
    assert!(!pipeline.status.has_polled());
    first.store(200, Ordering::SeqCst);
    assert_eq!(checkouts.step().await.unwrap(), 1);
    assert!(pipeline.status.has_polled());
}

/// What `check` finds of an API: its exit code and the line about the history.
async fn check(answer: impl Fn(&Asked) -> Said + Send + Sync + 'static) -> (Option<i32>, Value) {
    let server = Server::start(answer).await;
    let environment = [
        ("PAYWATCH__MERCHANT__BASE_URL", server.url.as_str()),
        ("PAYWATCH__SOLANA__RPC_URLS", "http://127.0.0.1:1"),
        ("PAYWATCH__STORE__URL", "sqlite::memory:"),
        ("PAYWATCH__OPS__LISTEN", ""),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let output = tokio::task::spawn_blocking(move || exit_of(&environment, &["check", "--json"]))
        .await
        .unwrap();
    let findings: Value = serde_json::from_slice(&output.stdout).expect("a list");
    let of_history = |one: &&Value| one["check"] == "the API's history";
    let history = findings
        .as_array()
        .unwrap()
        .iter()
        .find(of_history)
        .unwrap();
    (output.status.code(), history.clone())
}

/// So many entries.
fn entries(count: usize) -> Vec<Value> {
    let entry = |number: usize| with(|one| one["memo"] = json!(format!("{number:032x}")));
    (0..count).map(entry).collect()
}

/// A history of ten entries, with this beside each page.
fn ten_and(more: Value) -> impl Fn(&Asked) -> Said {
    let ten = entries(10);
    move |asked| {
        let rest = ten.get(offset(asked).unwrap_or_default()..);
        let mut body = more.clone();
        body["data"] = rest.unwrap_or_default().iter().cloned().collect();
        Said::Json(body)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_fails_where_the_history_ends_before_its_end() {
    let same = json!({ "data": entries(10), "has_more": true, "next_cursor": "10", "total": 30 });
    let (code, found) = check(move |_| Said::Json(same.clone())).await;
    assert_eq!(
        (code, &found["outcome"]),
        (Some(1), &json!("failed")),
        "{found}"
    );
    assert!(
        found["found"]
            .as_str()
            .unwrap()
            .contains("ignores `offset`"),
        "{found}"
    );
    for (more, outcome, words) in [
        (
            json!({ "has_more": true }),
            "failed",
            "says that there are more entries, and its pages end after 10",
        ),
        (
            json!({ "next": "/history?cursor=x" }),
            "failed",
            "says that there are more entries",
        ),
        (
            json!({ "total": 30 }),
            "failed",
            "says that it has 30 entries, and its pages end after 10",
        ),
        (
            json!({ "total": 10, "has_more": false, "next": null }),
            "ok",
            "10 entries",
        ),
    ] {
        let (_, found) = check(ten_and(more)).await;
        assert_eq!(found["outcome"], outcome, "{found}");
        assert!(found["found"].as_str().unwrap().contains(words), "{found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_the_field_that_cannot_be_read() {
    for (field, value) in [
        ("amount", json!(5.5)),
        ("token", json!("USDC")),
        ("status", json!([])),
    ] {
        let strange = with(|one| one[field] = value);
        let (_, found) = check(move |asked| {
            let page = if offset(asked) == Some(0) {
                json!([plain(), strange])
            } else {
                json!([])
            };
            Said::Json(page)
        })
        .await;
        assert_eq!(found["outcome"], "warning", "{found}");
        let words = found["found"].as_str().unwrap();
        assert!(
            words.contains("1 of them unreadable") && words.contains(&format!("`{field}`")),
            "{found}"
        );
    }
}

/// The command says it on its log, once, and goes on with what it got.
#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_says_that_the_history_is_cut_and_confirms_what_it_knows() {
    let scripted = Scripted::with(1).await;
    let mut page = entries(9);
    page.push(plain());
    let body = json!({ "data": page, "has_more": true, "next_cursor": "10", "total": 30 });
    scripted.api_says(move |asked| offset(asked).map(|_| Said::Json(body.clone())));
    scripted.backend().checkout(MEMO.into());
    let signature = scripted
        .chain
        .ledger()
        .land(Entry::paid(FIRST_SLOT, DUE, MEMO));
    scripted.chain.advance(50);
    let environment = scripted.environment(&[]);
    let output = tokio::task::spawn_blocking(move || exit_of(&environment, &["backfill"]))
        .await
        .unwrap();
    let told = said(&output);
    assert_eq!(told.matches("ignores `offset`").count(), 1, "{told}");
    assert_eq!(scripted.told_of(signature), 1, "{told}");
}
