//! What an API wants of those who call it: fewer calls, a header, another key, another address.

use crate::support::scripted::Scripted;
use crate::support::server::{Asked, Said, Server};
use crate::support::{changed, eventually, try_eventually};
use paywatch::config::Config;
use paywatch::domain::{Commitment, Memo, Signature, TokenAccount};
use paywatch::merchant::{Answer, Backend, Error, Merchant, NewCheckout};
use paywatch::solana::Rpc;
use paywatch::store::Happened;
use serde_json::json;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use url::Url;

/// Takes so many requests in each second, like many servers do.
#[derive(Default)]
struct Window {
    second: u64,
    taken: u32,
    refused: usize,
}

impl Window {
    fn takes(&mut self, limit: u32, began: Instant) -> bool {
        let second = began.elapsed().as_secs();
        if self.second != second {
            (self.second, self.taken) = (second, 0);
        }
        self.taken += 1;
        let is_taken = self.taken <= limit;
        self.refused += usize::from(!is_taken);
        is_taken
    }
}

fn config(api: &Url, changes: &[(&str, &str)]) -> Config {
    let settings = [
        ("MERCHANT__BASE_URL", api.as_str()),
        ("SOLANA__RPC_URLS", "http://127.0.0.1:1"),
    ];
    Config::load(None, changed(&changed(&[], &settings), changes)).unwrap()
}

fn client(api: &Server) -> Merchant {
    Merchant::new(&config(&api.url, &[]).merchant.settings).unwrap()
}

fn memo() -> Memo {
    Memo::parse("122c597083bd438b7f6d72af75d02594").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_takes_few_requests_a_second_gets_all_payments_with_few_refusals() {
    const PAYMENTS: usize = 40;
    let scripted = Scripted::with(1).await;
    let _running = scripted.chain.run();
    let (window, began) = (Arc::new(Mutex::new(Window::default())), Instant::now());
    let counted = window.clone();
    scripted.api_says(move |_| {
        let is_taken = counted.lock().unwrap().takes(5, began);
        (!is_taken).then_some(Said::Status(429, None))
    });
    let bought: Vec<_> = (0..PAYMENTS).map(|_| scripted.buy()).collect();
    let changes = [
        ("MERCHANT__POLL_EVERY", "10s"),
        ("SOLANA__SWEEP_EVERY", "5s"),
    ];
    let daemon = scripted.watch(&changes).await;
    let taken = || {
        let backend = scripted.backend();
        let sessions = backend.sessions.iter();
        sessions.filter(|one| one.confirmed_by.is_some()).count()
    };
    let in_time = try_eventually(Duration::from_secs(90), async || taken() == PAYMENTS).await;
    let refused = window.lock().unwrap().refused;
    assert!(in_time, "{} taken, {refused} refusals", taken());
    for one in &bought {
        assert_eq!(scripted.told_of(one.1), 1);
    }
    let outbox = daemon.store.count_confirmations().await.unwrap();
    assert_eq!(outbox.parked, 0);
    assert!(
        refused <= PAYMENTS / 2,
        "{refused} refusals in {:?}",
        began.elapsed()
    );
}

/// `Retry-After` on any call keeps all of them back: nothing is sent, and a confirmation is told when to come again.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_calls_until_retry_after_is_over() {
    for status in [429, 503] {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let api = Server::start(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            Said::Status(status, Some(60))
        })
        .await;
        let merchant = client(&api);
        assert!(matches!(
            merchant.history(0).await,
            Err(Error::Status { .. })
        ));
        for _ in 0..3 {
            let error = merchant.history(0).await.unwrap_err();
            assert!(
                matches!(error, Error::Paused(left) if left > Duration::from_secs(50)),
                "{error}"
            );
            assert!(merchant.supported_tokens().await.is_err());
        }
        let result = merchant.confirm(&memo(), Signature::from([1; 64])).await;
        let Answer::NotSent(left) = result.answer else {
            panic!("{result:?}");
        };
        assert!((50..=60).contains(&left.as_secs()), "{left:?}");
        assert_eq!((result.status, asked.load(Ordering::SeqCst)), (None, 1));
    }
}

/// An API cannot stop the calls for longer than an hour, and a confirmation does not wait longer than its lease allows.
#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_bounded_and_so_is_what_a_confirmation_waits() {
    for (asked, least, most) in [(86_400, 3_500, 3_600), (3, 1, 3)] {
        let api = Server::start(move |_| Said::Status(503, Some(asked))).await;
        let changes = [("MERCHANT__REQUEST_TIMEOUT", "2s")];
        let merchant = Merchant::new(&config(&api.url, &changes).merchant.settings).unwrap();
        assert!(merchant.history(0).await.is_err());
        let began = Instant::now();
        let result = merchant.confirm(&memo(), Signature::from([1; 64])).await;
        let Answer::NotSent(left) = result.answer else {
            panic!("{result:?}");
        };
        assert!((least..=most).contains(&left.as_secs()), "{left:?}");
        assert!(began.elapsed() < Duration::from_secs(2), "it waited");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_that_is_told_to_wait_keeps_everybody_waiting_and_then_goes_out() {
    let scripted = Scripted::with(1).await;
    let _running = scripted.chain.run();
    let refused_at = Arc::new(Mutex::new(None::<Instant>));
    let (at, early) = (refused_at.clone(), Arc::new(AtomicUsize::new(0)));
    let too_early = early.clone();
    scripted.api_says(move |asked: &Asked| {
        let mut at = at.lock().unwrap();
        match *at {
            None if asked.url.path() == "/crypto/confirm" => {
                *at = Some(Instant::now());
                Some(Said::Status(429, Some(3)))
            }
            // One that was under way already is no fault.
            Some(at) if (500..2_900).contains(&at.elapsed().as_millis()) => {
                too_early.fetch_add(1, Ordering::SeqCst);
                None
            }
            _ => None,
        }
    });
    let (one, other) = (scripted.buy(), scripted.buy());
    let _daemon = scripted.watch(&[]).await;
    scripted.confirmed("the first", &one).await;
    scripted.confirmed("the second", &other).await;
    assert!(refused_at.lock().unwrap().is_some());
    assert_eq!(early.load(Ordering::SeqCst), 0, "calls during the pause");
}

/// Firewalls refuse requests without a `User-Agent`, and some servers those that do not tell the length of no body.
#[tokio::test(flavor = "multi_thread")]
async fn every_request_names_its_sender_and_the_length_of_its_body() {
    let agent = concat!("paywatch/", env!("CARGO_PKG_VERSION"));
    let refusal = move |asked: &Asked| {
        let header = |name: &str| asked.headers.get(name).map(String::as_str);
        let blocked = "<html>Request blocked</html>".to_owned();
        match asked.method.as_str() {
            _ if header("user-agent") != Some(agent) => {
                Some(Said::Whole(403, "server: awselb/2.0\r\n", blocked))
            }
            "PUT" | "POST" if header("content-length").is_none() => {
                Some(Said::Whole(411, "", "Length Required".into()))
            }
            _ => None,
        }
    };
    let scripted = Scripted::with(1).await;
    let _running = scripted.chain.run();
    scripted.api_says(refusal);
    let paid = scripted.buy();
    let _daemon = scripted.watch(&[]).await;
    scripted.confirmed("nothing is refused", &paid).await;
    assert_eq!(scripted.told_of(paid.1), 1);

    let made = json!({ "memo": "ab", "amount": 5, "recipient": Signature::default().to_string(), "token": "x" });
    let api = Server::start(move |asked| refusal(asked).unwrap_or(Said::Json(made.clone()))).await;
    let new = NewCheckout {
        plan: 1,
        quantity: 1,
        organization: None,
        mint: "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
            .parse()
            .unwrap(),
    };
    let error = client(&api).start_checkout(new).await.unwrap_err();
    assert!(
        matches!(error, Error::Malformed(_)),
        "it was answered: {error}"
    );

    let node = Server::start(move |asked| {
        refusal(asked).unwrap_or(Said::Json(
            json!({ "jsonrpc": "2.0", "id": 1, "result": 7 }),
        ))
    })
    .await;
    let limits = config(&node.url, &[]).solana.limits;
    let rpc = Rpc::new(std::slice::from_ref(&node.url), limits).unwrap();
    assert_eq!(rpc.slot(Commitment::Confirmed).await.unwrap(), 7);
}

/// The key is changed at the API and in the file, and nobody restarts the daemon.
#[tokio::test(flavor = "multi_thread")]
async fn the_key_file_is_read_again_when_the_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "old").unwrap();
    let scripted = Scripted::with(1).await;
    let _running = scripted.chain.run();
    let accepted = Arc::new(Mutex::new("Bearer old"));
    let key = accepted.clone();
    scripted.api_says(move |asked: &Asked| {
        let is_it = asked
            .headers
            .get("authorization")
            .is_some_and(|sent| sent == *key.lock().unwrap());
        (!is_it).then_some(Said::Status(401, None))
    });
    let before = scripted.buy();
    let _daemon = scripted
        .watch(&[("MERCHANT__API_KEY_FILE", file.to_str().unwrap())])
        .await;
    scripted.confirmed("with the old key", &before).await;
    std::fs::write(&file, "new\n").unwrap();
    *accepted.lock().unwrap() = "Bearer new";
    let after = scripted.buy();
    scripted.confirmed("with the new key", &after).await;
    assert_eq!(scripted.told_of(after.1), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_refused_and_its_target_named_without_secrets() {
    let headers = "location: https://user:hunter2@pay.example.com/v1?key=hunter2\r\n";
    let api = Server::start(move |_| Said::Whole(301, headers, String::new())).await;
    let merchant = client(&api);
    let error = merchant.history(0).await.unwrap_err().to_string();
    let result = merchant.confirm(&memo(), Signature::from([1; 64])).await;
    assert_eq!(result.answer, Answer::Later(None));
    for told in [error, result.reason] {
        assert!(
            told.contains("https://pay.example.com") && !told.contains("hunter2"),
            "{told}"
        );
    }
}

/// What the API says to a refusal is kept for people: its beginning, with nothing in it that acts.
#[tokio::test(flavor = "multi_thread")]
async fn the_words_of_a_refusal_stand_in_the_timeline() {
    let scripted = Scripted::with(1).await;
    let _running = scripted.chain.run();
    let words = format!("amount differs \u{1b}[2J{}", "x".repeat(1_000));
    scripted.api_says(move |asked: &Asked| {
        let is_put = asked.url.path() == "/crypto/confirm";
        is_put.then(|| Said::Whole(422, "", words.clone()))
    });
    let (_, signature) = scripted.buy();
    let daemon = scripted.watch(&[]).await;
    let account = TokenAccount(scripted.chain.ledger().shop.account);
    let mut told = String::new();
    eventually("the attempt is told", async || {
        let events = daemon.store.timeline(signature, account).await.unwrap();
        let attempt = events.into_iter().find_map(|event| match event.what {
            Happened::Attempted { reason, .. } => Some(reason),
            _ => None,
        });
        told = attempt.unwrap_or_default();
        !told.is_empty()
    })
    .await;
    assert!(
        told.contains("422") && told.contains("amount differs \\u{1b}[2Jxxx"),
        "{told}"
    );
    assert!(told.len() < 350, "{} characters", told.len());
}
