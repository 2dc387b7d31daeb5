//! A scripted payments API, behind a real socket, with every answer of API.md and some that are none: each payment is confirmed
//! once, whatever it says at first.

use crate::support::scripted::Scripted;
use crate::support::server::{Asked, Said};
use futures_util::future::join_all;
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is answered at first to a path, and how often.
async fn recovers_from(what: &str, path: &'static str, said: Said, times: usize) {
    let scripted = Scripted::with(1).await;
    let _running = scripted.chain.run();
    let count = AtomicUsize::new(0);
    scripted.api_says(move |asked: &Asked| {
        let is_it = asked.url.path() == path && count.fetch_add(1, Ordering::SeqCst) < times;
        is_it.then(|| said.clone())
    });
    let paid = scripted.buy();
    let changes = [("MERCHANT__REQUEST_TIMEOUT", "1s")];
    let daemon = scripted.watch(&changes).await;
    scripted.confirmed(what, &paid).await;
    crate::support::eventually(what, async || {
        let outbox = daemon.store.count_confirmations().await.unwrap();
        (outbox.queued, outbox.parked) == (0, 0)
    })
    .await;
    assert_eq!(
        scripted.told_of(paid.1),
        1,
        "{what}: the honest API heard of it once"
    );
}

/// 401 and 403 are another story: `api_faults::a_refused_key_…`.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_it_answers_to_a_confirm_at_first() {
    let json = json!({ "error": "later" });
    let mut answers = vec![
        ("HTML", Said::Text("<html>maintenance</html>".into())),
        ("half a body", Said::Half(json.clone())),
        ("drop by drop", Said::Drip(json.clone())),
        ("reset", Said::Reset),
        ("silence", Said::Silence),
        ("a body without end", Said::Padded(40 << 20, json)),
        ("429, and when", Said::Status(429, Some(1))),
    ];
    let statuses = [
        302, 400, 404, 408, 409, 410, 418, 422, 425, 429, 451, 500, 502, 503, 504, 599,
    ];
    let status = |status: u16| ("a status", Said::Status(status, None));
    answers.extend(statuses.map(status));
    let tries = answers
        .into_iter()
        .map(|(what, said)| recovers_from(what, "/crypto/confirm", said, 2));
    join_all(tries).await;
}

/// One that does not give fewer than it was asked for, but refuses.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_refuses_large_pages_is_asked_for_small_ones() {
    let scripted = Scripted::with(1).await;
    scripted.api_says(|asked| {
        let limit = asked.url.query_pairs().find(|(key, _)| key == "limit");
        let is_large = limit.is_some_and(|(_, limit)| limit.parse::<u32>().unwrap() > 50);
        is_large.then_some(Said::Status(422, None))
    });
    let _daemon = scripted.watch(&[]).await;
    let bought = scripted.buy();
    scripted.chain.advance(50);
    scripted.confirmed("it is asked for less", &bought).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_its_history_says_at_first() {
    let odd = json!({ "items": [{ "memo": 7 }, null, [], { "id": "x".repeat(5_000), "status": "??" }], "total": "many" });
    let answers = [
        ("HTML", Said::Text("<html>".into())),
        ("no list", Said::Json(json!({ "ok": true }))),
        ("odd entries", Said::Json(odd)),
        ("half a body", Said::Half(json!([]))),
        ("silence", Said::Silence),
        ("500", Said::Status(500, None)),
        ("429", Said::Status(429, Some(1))),
        ("empty", Said::Json(json!([]))),
    ];
    let tries = answers.map(|(what, said)| recovers_from(what, "/history", said, 3));
    join_all(tries).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_its_list_of_tokens_is_at_first() {
    let answers = [
        ("HTML", Said::Text("<html>".into())),
        ("empty", Said::Json(json!([]))),
        (
            "odd entries",
            Said::Json(json!([{ "symbol": [], "mint": "?" }, 9])),
        ),
        ("500", Said::Status(500, None)),
    ];
    let tries = answers.map(|(what, said)| recovers_from(what, "/supported_tokens", said, 2));
    join_all(tries).await;
}
