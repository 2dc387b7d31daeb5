//! People are told what happens: signed, until it is taken, once, and without a payment waiting for it.

use crate::support::books::{Books, NOW, ingested, paid, signature};
use crate::support::server::{Asked, Said, Server};
use crate::support::{World, eventually};
use paywatch::domain::{Commitment, Timestamp};
use paywatch::store::{Decision, Next, Notice, Which};
use serde_json::Value;
use standardwebhooks::Webhook;
use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Somebody who is told, and who says this to the first and then that.
struct Listener {
    server: Server,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Listener {
    async fn start(first: usize, say: Said) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = asked.clone();
        let server = Server::start(move |question| {
            let mut kept = kept.lock().unwrap();
            kept.push(question.clone());
            if kept.len() <= first {
                say.clone()
            } else {
                Said::Status(204, None)
            }
        });
        let server = server.await;
        Self { server, asked }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// What was posted of this kind, each verified as its receiver would.
    fn of_kind(&self, kind: &str) -> Vec<(String, Value)> {
        let webhook = Webhook::new(SECRET).unwrap();
        let all = self.asked().into_iter().map(|asked| {
            let headers = asked.headers.iter().map(|(name, value)| {
                let name = http::HeaderName::try_from(name.as_str()).unwrap();
                (name, http::HeaderValue::try_from(value.as_str()).unwrap())
            });
            let headers: http::HeaderMap = headers.collect();
            webhook.verify(&asked.body, &headers).expect("well signed");
            let body: Value = serde_json::from_slice(&asked.body).unwrap();
            (asked.headers["webhook-id"].clone(), body)
        });
        all.filter(|(_, body)| body["type"] == kind).collect()
    }
}

fn changes<'a>(url: &'a str, secret_file: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("NOTIFY__URL", url),
        ("NOTIFY__SECRET_FILE", secret_file),
        ("NOTIFY__HELD_AFTER", "1s"),
        ("NOTIFY__HEALTH_AFTER", "1s"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_are_signed_tried_again_and_told_once() {
    let world = World::new().await;
    let listener = Listener::start(2, Said::Status(500, None)).await;
    let file = world.folder.path().join("secret");
    std::fs::write(&file, SECRET).unwrap();
    let (url, file) = (listener.server.url.as_str(), file.to_str().unwrap());
    let daemon = world.watch(&changes(url, file)).await;
    // It tells what happens from its first look on.
    let store = world.store().await;
    eventually("it looks", async || {
        store.told_since().await.unwrap().is_some()
    })
    .await;
    let (checkout, signature) = world.buy().await;
    eventually(
        "the confirmation is told, after two that failed",
        async || listener.of_kind("payment.confirmed").len() == 3,
    )
    .await;
    let told = listener.of_kind("payment.confirmed");
    let ids: HashSet<_> = told.iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), 1, "the same id each time: {ids:?}");
    let data = &told[0].1["data"];
    assert_eq!(data["signature"], signature.to_string());
    assert_eq!(data["checkout"], checkout.memo);
    assert_eq!(data["received"], "19000000");
    assert_eq!(told[0].1, told[2].1);

    let held = world.pay(7, "nobody <b>knows</b>").await;
    eventually("the held payment is told", async || {
        listener.of_kind("payment.held").len() == 1
    })
    .await;
    let (_, body) = &listener.of_kind("payment.held")[0];
    assert_eq!(body["data"]["signature"], held.to_string());
    assert_eq!(body["data"]["verdict"], "unknown_memo");

    // What is told and not yet noted is told again, under the same id.
    eventually("what was told is noted", async || {
        let due = store.due_notices(Timestamp(i64::MAX), 9).await.unwrap();
        due.is_empty()
    })
    .await;
    let before = listener.asked().len();
    daemon.kill();
    let _again = world.watch(&changes(url, file)).await;
    let (_, third) = world.buy().await;
    eventually("a new one is told", async || {
        listener.of_kind("payment.confirmed").len() == 4
    })
    .await;
    let told = listener.of_kind("payment.confirmed");
    assert_eq!(told[3].1["data"]["signature"], third.to_string());
    assert_eq!(listener.asked().len(), before + 1, "nothing is told again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_and_its_recovery_are_told() {
    let mut world = World::new().await;
    let listener = Listener::start(0, Said::Reset).await;
    let file = world.folder.path().join("secret");
    std::fs::write(&file, SECRET).unwrap();
    let (url, file) = (listener.server.url.as_str(), file.to_str().unwrap());
    let _daemon = world.watch(&changes(url, file)).await;
    world.restart_sandbox(&[], "another key").await;
    eventually("the refused key is told", async || {
        listener.of_kind("daemon.key_refused").len() == 1
    })
    .await;
    world.restart_sandbox(&[], "").await;
    eventually("its recovery is told", async || {
        listener.of_kind("daemon.recovered").len() == 1
    })
    .await;
    assert_eq!(listener.of_kind("daemon.key_refused").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_never_answers_keeps_no_payment_waiting() {
    let world = World::new().await;
    let listener = Listener::start(usize::MAX, Said::Silence).await;
    let slack = [
        ("NOTIFY__URL", listener.server.url.as_str()),
        ("NOTIFY__FORMAT", "slack"),
        ("NOTIFY__EVENTS", "held, confirmed"),
        ("NOTIFY__HELD_AFTER", "1s"),
    ];
    let _daemon = world.watch(&slack).await;
    let store = world.store().await;
    eventually("it looks", async || {
        store.told_since().await.unwrap().is_some()
    })
    .await;
    let payment = world.payment(7, "nobody <b>knows</b> & co");
    world.net.pay(&payment).await.unwrap();
    eventually("it is told something", async || {
        !listener.asked().is_empty()
    })
    .await;
    for _ in 0..3 {
        let (checkout, signature) = world.buy().await;
        world.wait_confirmed(&checkout, signature).await;
    }
    let asked = listener.asked();
    let body: Value = serde_json::from_slice(&asked[0].body).unwrap();
    let text = body["text"].as_str().unwrap();
    assert!(
        text.starts_with("0.000007 USDC received, needs attention (unknown_memo)"),
        "{text}"
    );
    assert!(
        text.contains("nobody &lt;b&gt;knows&lt;/b&gt; &amp; co"),
        "{text}"
    );
    assert!(!asked[0].headers.contains_key("webhook-signature"));
}

impl Books {
    /// What is found now, each with the first byte of its transaction; written down, so that it is not found again.
    async fn told(&self, now: Timestamp) -> Vec<(String, u8)> {
        let (store, wanted) = (&self.store, |word: &str| word != "confirmed");
        let found = store.unnoticed(wanted, now, now).await.unwrap();
        let notices: Vec<_> = found
            .facts
            .iter()
            .map(|fact| Notice {
                key: fact.key.clone(),
                event: fact.told.clone(),
                body: String::new(),
            })
            .collect();
        store.write_notices(&notices, &found, now).await.unwrap();
        let byte = |text: &str| (1..=9).find(|byte| signature(*byte).to_string() == text);
        let facts = found.facts.into_iter();
        facts
            .map(|fact| (fact.told, byte(&fact.payment.signature).unwrap()))
            .collect()
    }
}

#[tokio::test]
async fn each_fact_is_found_once_and_what_was_before_never() {
    let books = Books::with(&["a", "b", "c"]).await;
    let later = |seconds| NOW.plus(Duration::from_secs(seconds));
    let fact = |told: &str, byte| vec![(told.to_owned(), byte)];
    let record = async |byte, text: &str| {
        let one = ingested(byte, 5, Commitment::Confirmed, paid(text));
        books.record(one).await
    };
    record(1, "nobody knows").await;
    record(2, "a").await;
    books.attempt(NOW, &Next::Parked).await;
    assert_eq!(books.told(later(1)).await, [], "it begins to look");
    assert_eq!(
        books.told(later(2)).await,
        [],
        "what was before is not told"
    );

    record(3, "b").await;
    books.attempt(later(3), &Next::Parked).await;
    assert_eq!(books.told(later(4)).await, fact("parked", 3));
    assert_eq!(books.told(later(5)).await, []);
    let which = Which {
        signature: signature(3),
        token_account: None,
    };
    let by = Decision {
        actor: "Ann".into(),
        reason: "mended".into(),
    };
    books.store.retry(which, &by, later(6)).await.unwrap();
    books.attempt(later(7), &Next::Parked).await;
    assert_eq!(
        books.told(later(8)).await,
        fact("parked", 3),
        "given up again"
    );

    record(4, "c").await;
    books.attempt(later(9), &Next::Acknowledged).await;
    assert_eq!(books.told(later(10)).await, [], "not asked for");
    let dropped = books.store.drop_payment(signature(4), 5, later(11)).await;
    assert_eq!(dropped.unwrap().sent, 1);
    assert_eq!(books.told(later(12)).await, fact("dropped", 4));
    assert_eq!(books.told(later(13)).await, []);
}
