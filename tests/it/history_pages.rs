//! How many entries an API gives at once, and how many questions it takes: small pages where large ones fail, and each page once.

use crate::support::eventually;
use crate::support::scripted::Scripted;
use crate::support::server::{Asked, Said};
use paywatch::pipeline::{Checkouts, Pipeline};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

/// Only the API is asked.
const NO_NODE: [(&str, &str); 2] = [
    ("SOLANA__RPC_URLS", "http://127.0.0.1:1"),
    ("SOLANA__WS_URLS", ""),
];

async fn known(pipeline: &Pipeline) -> u64 {
    pipeline.store.count_checkouts().await.unwrap().0
}

fn number(asked: &Asked, name: &str) -> Option<usize> {
    let (_, value) = asked.url.query_pairs().find(|(key, _)| key == name)?;
    value.parse().ok()
}

/// Whatever goes wrong with large pages: small ones are asked for, and large ones not again.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_fails_on_large_pages_is_asked_for_small_ones_from_then_on() {
    let timeout = json!({ "message": "Endpoint request timed out" }).to_string();
    for (what, said) in [
        ("504", Said::Whole(504, "", timeout)),
        ("500", Said::Status(500, None)),
        ("404", Said::Status(404, None)),
        ("403", Said::Status(403, None)),
        ("400", Said::Status(400, None)),
        ("silence", Said::Silence),
        ("a reset", Said::Reset),
        ("HTML", Said::Text("<html>".into())),
        ("429", Said::Status(429, None)),
    ] {
        let scripted = Scripted::with(0).await;
        (0..130).for_each(|_| {
            scripted.checkout();
        });
        let large = Arc::new(AtomicUsize::new(0));
        let count = large.clone();
        scripted.api_says(move |asked| {
            let is_large = number(asked, "limit")? > 100;
            count.fetch_add(usize::from(is_large), Ordering::SeqCst);
            is_large.then(|| said.clone())
        });
        let changes = [
            ("SOLANA__RPC_URLS", "http://127.0.0.1:1"),
            ("SOLANA__WS_URLS", ""),
            ("MERCHANT__REQUEST_TIMEOUT", "1s"),
        ];
        let pipeline = scripted.pipeline(&changes).await;
        let mut checkouts = Checkouts::new(pipeline.clone());
        for _ in 0..4 {
            // Only a rate limit is waited for before less is asked for.
            let step = checkouts.step().await;
            assert!(step.is_ok() || what == "429", "{what}: {step:?}");
        }
        assert_eq!(known(&pipeline).await, 130, "{what}");
        assert_eq!(large.load(Ordering::SeqCst), 1, "{what}");
    }
}

/// A rate limit says nothing of the size, once a large page came.
#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_makes_no_pages_smaller_where_large_ones_work() {
    let scripted = Scripted::with(0).await;
    let (limits, count) = (Arc::new(Mutex::new(Vec::new())), AtomicUsize::new(0));
    let noted = limits.clone();
    scripted.api_says(move |asked| {
        noted.lock().unwrap().push(number(asked, "limit")?);
        let is_second = count.fetch_add(1, Ordering::SeqCst) == 1;
        is_second.then_some(Said::Status(429, None))
    });
    let pipeline = scripted.pipeline(&NO_NODE).await;
    let mut checkouts = Checkouts::new(pipeline);
    checkouts.step().await.unwrap();
    assert!(checkouts.step().await.is_err());
    checkouts.step().await.unwrap();
    let limits = limits.lock().unwrap();
    assert!(
        limits.len() >= 3 && limits.iter().all(|limit| *limit == 1_000),
        "{limits:?}"
    );
}

/// The API was busy twice, with good answers between.
#[tokio::test(flavor = "multi_thread")]
async fn large_pages_that_fail_now_and_then_stay_large() {
    let scripted = Scripted::with(0).await;
    let (limits, count) = (Arc::new(Mutex::new(Vec::new())), AtomicUsize::new(0));
    let noted = limits.clone();
    scripted.api_says(move |asked| {
        noted.lock().unwrap().push(number(asked, "limit")?);
        let is_busy = count.fetch_add(1, Ordering::SeqCst) % 2 == 1;
        is_busy.then_some(Said::Status(503, Some(1)))
    });
    let mut checkouts = Checkouts::new(scripted.pipeline(&NO_NODE).await);
    eventually("it was busy three times", async || {
        let _may_fail = checkouts.step().await;
        limits.lock().unwrap().len() >= 7
    })
    .await;
    let limits = limits.lock().unwrap();
    assert!(limits.iter().all(|limit| *limit == 1_000), "{limits:?}");
}

/// Deep pages of a thousand time out at a gateway that asks to come back: that is no rate limit, however often it says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_page_that_fails_again_and_again_is_asked_for_in_small_ones() {
    let scripted = Scripted::with(0).await;
    (0..1_100).for_each(|_| {
        scripted.checkout();
    });
    let refused = Arc::new(AtomicUsize::new(0));
    let count = refused.clone();
    let sessions = scripted.sessions();
    scripted.api_says(move |asked| {
        let (limit, offset) = (number(asked, "limit")?, number(asked, "offset")?);
        if limit > 50 && offset > 0 {
            count.fetch_add(1, Ordering::SeqCst);
            return Some(Said::Status(503, Some(1)));
        }
        let sessions = sessions.lock().unwrap();
        let page = sessions.sessions.iter().skip(offset).take(limit);
        let page = page.map(|one| json!({ "memo": one.memo, "amount": 5, "status": 0 }));
        Some(Said::Json(page.collect()))
    });
    let pipeline = scripted.pipeline(&NO_NODE).await;
    let mut checkouts = Checkouts::new(pipeline.clone());
    eventually("all is known", async || {
        let _may_fail = checkouts.step().await;
        known(&pipeline).await == 1_100
    })
    .await;
    let refused = refused.load(Ordering::SeqCst);
    assert!((2..=3).contains(&refused), "{refused}");
}

/// An API that is away is no API that fails on large pages.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_was_away_is_asked_for_large_pages_again() {
    let scripted = Scripted::with(0).await;
    scripted.api_says(|_| Some(Said::Status(502, None)));
    let pipeline = scripted.pipeline(&NO_NODE).await;
    let mut checkouts = Checkouts::new(pipeline.clone());
    assert!(checkouts.step().await.is_err());
    let limits = Arc::new(Mutex::new(Vec::new()));
    let noted = limits.clone();
    scripted.api_says(move |asked| {
        noted.lock().unwrap().push(number(asked, "limit"));
        None
    });
    checkouts.step().await.unwrap();
    assert_eq!(limits.lock().unwrap().first(), Some(&Some(1000)));
}

/// An API that takes ten requests a second, and gives fifty entries a page. A session that is made meanwhile becomes known soon.
#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_sessions_of_a_slow_api_are_read_once() {
    let scripted = Scripted::with(0).await;
    let all: Vec<Value> = (0..5_001)
        .map(|number| json!({ "memo": format!("{number:032x}"), "amount": 5, "status": 0 }))
        .collect();
    let (began, state) = (Instant::now(), Arc::new(Mutex::new((0, 0, 0, 0))));
    let counted = state.clone();
    scripted.api_says(move |asked| {
        let offset = number(asked, "offset")?;
        let mut state = counted.lock().unwrap();
        let (second, taken, refused, pages) = &mut *state;
        let now = began.elapsed().as_secs();
        if *second != now {
            (*second, *taken) = (now, 0);
        }
        *taken += 1;
        if *taken > 10 {
            *refused += 1;
            return Some(Said::Status(429, None));
        }
        *pages += 1;
        let page = all.iter().skip(offset).take(50);
        Some(Said::Json(page.cloned().collect()))
    });
    let changes = [
        ("SOLANA__RPC_URLS", "http://127.0.0.1:1"),
        ("SOLANA__WS_URLS", ""),
        ("WATCH__TOKENS", ""),
    ];
    let daemon = scripted.watch(&changes).await;
    eventually("all sessions are known", async || {
        daemon.store.count_checkouts().await.unwrap().0 == 5_001
    })
    .await;
    let (_, _, refused, pages) = *state.lock().unwrap();
    assert!(pages <= 175, "{pages} pages");
    assert!(refused <= 30, "{refused} refusals");
}
