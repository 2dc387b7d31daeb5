//! The guide to notices shows what is posted, and when nothing is.

use crate::support::books::{
    Books, DUE, NOW, account, checkout, credited, ingested, key, page, signature,
};
use crate::support::eventually;
use crate::support::scripted::Scripted;
use crate::support::server::{Asked, Said, Server};
use paywatch::config::Config;
use paywatch::domain::{
    Checkout, CheckoutStatus, Commitment, Decimals, Mint, Timestamp, TokenProgram, Wallet, Watched,
};
use paywatch::notify::Notify;
use paywatch::pipeline::Pipeline;
use paywatch::store::{Health, Lasting, Next, Page, Store};
use paywatch::supervisor::Loops;
use serde_json::Value;
use standardwebhooks::Webhook;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const CHECKOUT: &str = "122c597083bd438b7f6d72af75d02594";
const PARKED: &str = "9c1a11efe10480a20f061a3e4139f04a";
const UNCREDITED: &str = "51b2a7c4c1f94b0d8a3bb7c2f0f3a9de";
const UNDERPAID: &str = "970222466d7ec386fe8fcf808c6e2c58";

/// An address of notices that says this.
struct Listener {
    server: Server,
    asked: Arc<Mutex<Vec<Asked>>>,
    says: Arc<Mutex<Said>>,
}

impl Listener {
    async fn start() -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let says = Arc::new(Mutex::new(Said::Status(204, None)));
        let (kept, saying) = (asked.clone(), says.clone());
        let server = Server::start(move |question| {
            kept.lock().unwrap().push(question.clone());
            saying.lock().unwrap().clone()
        });
        Self {
            server: server.await,
            asked,
            says,
        }
    }

    fn says(&self, said: Said) {
        *self.says.lock().unwrap() = said;
    }

    fn bodies(&self) -> Vec<Value> {
        let asked = self.asked.lock().unwrap();
        let bodies = asked.iter().map(|one| serde_json::from_slice(&one.body));
        bodies.collect::<Result<_, _>>().unwrap()
    }

    fn kinds(&self) -> Vec<String> {
        let bodies = self.bodies();
        let kinds = bodies.iter().map(|body| body["type"].as_str().unwrap());
        kinds.map(str::to_owned).collect()
    }

    /// A pipeline over this store that tells this address.
    fn pipeline(&self, store: &Store, secrets: &str) -> Arc<Pipeline> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, secrets).unwrap();
        let environment = [
            ("MERCHANT__BASE_URL", "http://127.0.0.1:1"),
            ("SOLANA__RPC_URLS", "http://127.0.0.1:1"),
            ("OPS__PUBLIC_URL", "https://paywatch.example.com/"),
            ("NOTIFY__URL", self.server.url.as_str()),
            ("NOTIFY__SECRET_FILE", file.to_str().unwrap()),
        ];
        let environment =
            environment.map(|(name, value)| (format!("PAYWATCH__{name}"), value.to_owned()));
        let config = Config::load(None, environment).unwrap();
        Pipeline::new(config, store.clone()).unwrap()
    }
}

/// What posts notices of this pipeline, as after a start.
fn notify(pipeline: &Arc<Pipeline>) -> Notify {
    let settings = pipeline.config.notify.clone().unwrap();
    Notify::new(pipeline.clone(), settings).unwrap()
}

/// The examples of the guide, by their kind.
fn examples() -> BTreeMap<String, Value> {
    let text = std::fs::read_to_string("docs/notices.md").unwrap();
    let blocks = text.split("```json\n").skip(1);
    let blocks = blocks.map(|block| block.split("```").next().unwrap());
    let all = blocks.map(|block| serde_json::from_str::<Value>(block).unwrap());
    all.map(|one| (one["type"].as_str().unwrap().to_owned(), one))
        .collect()
}

/// Books that began to tell before anything happened, with what the guide's examples are about.
async fn books_of_the_guide() -> Books {
    let books = Books::with(&[CHECKOUT, PARKED, UNDERPAID, UNCREDITED]).await;
    let watched = Watched {
        token_account: account(),
        wallet: key(Wallet, 3),
        mint: key(Mint, 2),
        token_program: TokenProgram::Token,
        decimals: Decimals::new(6).unwrap(),
        symbol: "USDC".into(),
    };
    let watched = [watched].into_iter().collect();
    books.store.remember_watched(&watched, NOW).await.unwrap();
    books.store.unnoticed(|_| true, NOW, NOW).await.unwrap();
    books
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_shows_the_bodies_that_are_posted() {
    let (books, listener) = (books_of_the_guide().await, Listener::start().await);
    let later = |seconds| NOW.plus(Duration::from_secs(seconds));
    let record = async |byte, memo: &str, amount| {
        let reading = credited(memo, amount);
        let one = ingested(byte, 5, Commitment::Confirmed, reading);
        books.record(one).await
    };
    record(1, CHECKOUT, DUE).await;
    books.attempt(later(1), &Next::Acknowledged).await;
    record(2, PARKED, DUE).await;
    books.attempt(later(2), &Next::Parked).await;
    record(3, UNDERPAID, DUE - 1_000_000).await;
    record(4, UNDERPAID, DUE).await;
    books.attempt(later(3), &Next::Acknowledged).await;
    record(5, UNCREDITED, DUE).await;
    books.attempt(later(5), &Next::Acknowledged).await;
    let other = Checkout {
        status: CheckoutStatus::Confirmed(Some(signature(9))),
        ..checkout(UNCREDITED)
    };
    let shown = Page {
        asked_at: later(6),
        ..page()
    };
    let read = books
        .store
        .upsert_checkouts(&[other], shown, later(6))
        .await;
    assert_eq!(read.unwrap().1.len(), 1);
    let dropped = books.store.drop_payment(signature(4), 5, later(4)).await;
    assert_eq!(dropped.unwrap().sent, 1);
    notify(&listener.pipeline(&books.store, OLD))
        .step()
        .await
        .unwrap();
    let (examples, mut sent) = (examples(), BTreeMap::new());
    for body in listener.bodies() {
        let kind = body["type"].as_str().unwrap().to_owned();
        // What was dropped had been confirmed, which is told, too.
        if kind != "payment.confirmed" || body["data"]["state"] != "dropped" {
            sent.insert(kind, body);
        }
    }
    for kind in ["confirmed", "held", "parked", "uncredited", "dropped"] {
        let kind = format!("payment.{kind}");
        let all = serde_json::to_string_pretty(&sent).unwrap();
        let shown = examples.get(&kind);
        assert_eq!(sent.get(&kind), shown, "docs/notices.md; sent is {all}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_tells_memos_apart_that_look_alike() {
    let (books, listener) = (books_of_the_guide().await, Listener::start().await);
    let one = credited("9df5\u{200b} u\u{308}", 7);
    let one = ingested(1, 5, Commitment::Confirmed, one);
    books.record(one).await;
    let pipeline = listener.pipeline(&books.store, OLD);
    notify(&pipeline).step().await.unwrap();
    let body = listener.bodies().remove(0);
    let text = body["data"]["text"].as_str().unwrap_or_default();
    assert!(text.contains("Memo: 9df5\\u{200b} u\\u{308}."), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_one_checkout_nothing_is_expected_and_without_an_address_nothing_linked() {
    let (books, listener) = (books_of_the_guide().await, Listener::start().await);
    let one = ingested(1, 5, Commitment::Confirmed, credited("nobody", 7));
    books.record(one).await;
    notify(&listener.pipeline(&books.store, OLD))
        .step()
        .await
        .unwrap();
    let body = &listener.bodies()[0];
    assert_eq!(body["data"]["expected"], Value::Null);
    let text = body["data"]["text"].as_str().unwrap();
    assert!(
        text.starts_with("0.000007 USDC received, needs attention (unknown_memo)"),
        "{text}"
    );
    assert!(!text.contains("Due"), "{text}");
}

/// As its receiver verifies it, with one secret or the other.
fn verifies(asked: &Asked, secret: &str) -> bool {
    let headers = asked.headers.iter().map(|(name, value)| {
        let name = http::HeaderName::try_from(name.as_str()).unwrap();
        (name, http::HeaderValue::try_from(value.as_str()).unwrap())
    });
    let headers: http::HeaderMap = headers.collect();
    let webhook = Webhook::new(secret).unwrap();
    webhook.verify(&asked.body, &headers).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn while_secrets_are_exchanged_both_verify() {
    for (file, verified) in [
        (OLD.to_owned(), [true, false]),
        (format!("{NEW}\n\n{OLD}\n"), [true, true]),
        (NEW.to_owned(), [false, true]),
    ] {
        let (books, listener) = (books_of_the_guide().await, Listener::start().await);
        let one = ingested(1, 5, Commitment::Confirmed, credited("nobody", 7));
        books.record(one).await;
        let pipeline = listener.pipeline(&books.store, &file);
        notify(&pipeline).step().await.unwrap();
        let asked = listener.asked.lock().unwrap();
        assert_eq!(
            [OLD, NEW].map(|secret| verifies(&asked[0], secret)),
            verified
        );
        let shown = format!("{:?}", pipeline.config.notify);
        assert!(
            !shown.contains("MfKQ") && !shown.contains("C2FV"),
            "{shown}"
        );
    }
}

#[test]
fn at_most_two_secrets_sign_and_each_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    for text in [format!("{OLD}\n{NEW}\n{OLD}"), format!("{OLD}\nshort")] {
        std::fs::write(&file, text).unwrap();
        let environment = [
            ("MERCHANT__BASE_URL", "http://127.0.0.1:1"),
            ("SOLANA__RPC_URLS", "http://127.0.0.1:1"),
            ("NOTIFY__URL", "http://127.0.0.1:1"),
            ("NOTIFY__SECRET_FILE", file.to_str().unwrap()),
        ]
        .map(|(name, value)| (format!("PAYWATCH__{name}"), value.to_owned()));
        let error = Config::load(None, environment).unwrap_err().to_string();
        assert!(error.contains("notify.secret_file: found"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_gone_is_left_alone_until_the_next_start() {
    let (books, listener) = (books_of_the_guide().await, Listener::start().await);
    listener.says(Said::Status(410, None));
    let pipeline = listener.pipeline(&books.store, OLD);
    let mut telling = notify(&pipeline);
    let record = async |byte| {
        let one = ingested(byte, 5, Commitment::Confirmed, credited("nobody", 7));
        books.record(one).await
    };
    record(1).await;
    telling.step().await.unwrap();
    assert!(pipeline.status.are_notices_refused());
    for byte in 2..5 {
        record(byte).await;
        telling.step().await.unwrap();
    }
    assert_eq!(listener.bodies().len(), 1, "asked once");
    // Nothing is lost: a start with a better address tells all of it.
    listener.says(Said::Status(204, None));
    let again = listener.pipeline(&books.store, OLD);
    assert!(!again.status.are_notices_refused());
    notify(&again).step().await.unwrap();
    assert_eq!(listener.bodies().len(), 1 + 4);
}

/// A daemon before a scripted network whose address of notices is this, with a damping of a second.
async fn damped(scripted: &Scripted, listener: &Listener, file: &std::path::Path) -> Arc<Pipeline> {
    std::fs::write(file, OLD).unwrap();
    let changes = [
        ("NOTIFY__URL", listener.server.url.as_str()),
        ("NOTIFY__SECRET_FILE", file.to_str().unwrap()),
        ("NOTIFY__HEALTH_AFTER", "300ms"),
    ];
    scripted.pipeline(&changes).await
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_once_it_lasts_also_over_a_restart_and_as_the_guide_shows() {
    let (scripted, listener) = (Scripted::with(1).await, Listener::start().await);
    let (_running, folder) = (scripted.chain.run(), tempfile::tempdir().unwrap());
    let file = folder.path().join("secret");
    let pipeline = damped(&scripted, &listener, &file).await;
    let (_loops, _hints) = Loops::spawn(&pipeline, CancellationToken::new());
    let mut telling = notify(&pipeline);
    let noted = async || pipeline.store.noted_health().await.unwrap();
    let lasts = async |health: Health| {
        noted()
            .await
            .is_some_and(|(lasting, _)| lasting.health == health)
    };
    eventually("it is ready", async || {
        telling.step().await.unwrap();
        lasts(Health::Recovered).await
    })
    .await;
    // It comes and goes, and each time not for long enough.
    for refuses in [true, false, true, false] {
        scripted.api_says(move |_| refuses.then_some(Said::Status(401, None)));
        let state = if refuses {
            Health::KeyRefused
        } else {
            Health::Recovered
        };
        eventually("it changes", async || {
            // What lasts too long here is cut short, as by a step of the clock.
            if let Some((lasting, told)) = noted().await {
                assert_eq!(told, Health::Recovered);
                let fresh = Lasting {
                    since: Timestamp(i64::MAX),
                    ..lasting
                };
                pipeline.store.note_health(fresh, told).await.unwrap();
            }
            telling = notify(&pipeline);
            telling.step().await.unwrap();
            lasts(state).await
        })
        .await;
    }
    assert_eq!(listener.kinds(), Vec::<String>::new());
    // A start in between: what lasted goes on.
    scripted.api_says(|_| Some(Said::Status(401, None)));
    eventually("it is not ready", async || {
        telling.step().await.unwrap();
        lasts(Health::KeyRefused).await
    })
    .await;
    let began = noted().await.unwrap().0.since;
    let mut telling = notify(&pipeline);
    eventually("the refused key is told", async || {
        telling.step().await.unwrap();
        listener.kinds() == ["daemon.key_refused"]
    })
    .await;
    assert_eq!(noted().await.unwrap().0.since, began);
    let mut telling = notify(&pipeline);
    scripted.api_says(|_| None);
    eventually("its recovery is told", async || {
        telling.step().await.unwrap();
        listener.kinds().len() == 2
    })
    .await;
    pipeline.status.store_failed(true);
    eventually("that the database fails is told", async || {
        pipeline.status.store_failed(true);
        telling.step().await.unwrap();
        listener.kinds().len() == 3
    })
    .await;
    let told = ["daemon.key_refused", "daemon.recovered", "daemon.not_ready"];
    assert_eq!(listener.kinds(), told);
    for mut body in listener.bodies() {
        let kind = body["type"].as_str().unwrap().to_owned();
        let mut example = examples().remove(&kind).expect(&kind);
        for one in [&mut body, &mut example] {
            assert!(one["timestamp"].as_str().unwrap().ends_with('Z'));
            one["timestamp"] = Value::Null;
        }
        // No address of the pages is set here.
        assert_eq!(body["data"]["link"], Value::Null);
        assert_eq!(example["data"]["link"], "https://paywatch.example.com/");
        body["data"]["link"] = example["data"]["link"].clone();
        assert_eq!(body, example);
    }
}
