//! The ops port serves those who ask properly, whatever others do to it.

use crate::support::{Child, PATIENCE, changed, eventually};
use axum::{
    Router,
    body::{Body, Bytes},
    routing::{get, post},
};
use futures_util::stream;
use paywatch::serve::{Bounds, raise_descriptors, serve};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

const HALF_A_HEAD: &str = "GET /healthz HTTP/1.1\r\nhost: local";
const HALF_A_BODY: &str = "POST /taken HTTP/1.1\r\nhost: local\r\ncontent-length: 10\r\n\r\nhalf";
const WELL: &str = "GET /healthz HTTP/1.1\r\nhost: local\r\n\r\n";

/// For what is not bounded in a test.
const LONG: Duration = Duration::from_hours(1);

/// Bounds that nothing reaches.
fn wide() -> Bounds {
    Bounds {
        connections: 100,
        head: LONG,
        body: LONG,
        stall: LONG,
        whole: LONG,
        grace: LONG,
    }
}

/// A server of a test's own, until it is dropped.
struct Serving {
    address: SocketAddr,
    shutdown: CancellationToken,
    task: JoinSet<()>,
}

impl Serving {
    async fn start(bounds: Bounds, more: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = more
            .route("/healthz", get(async || "ok\n"))
            .route("/taken", post(async |_: Bytes| "taken\n"));
        let (shutdown, mut task) = (CancellationToken::new(), JoinSet::new());
        task.spawn(serve(listener, router, bounds, shutdown.clone()));
        Self {
            address,
            shutdown,
            task,
        }
    }

    async fn sent(&self, text: &str) -> TcpStream {
        sent(self.address, text).await
    }

    async fn health(&self) -> u16 {
        let url = format!("http://{}/healthz", self.address);
        let asked = timeout(PATIENCE, reqwest::get(url)).await;
        asked.expect("an answer").unwrap().status().as_u16()
    }
}

async fn sent(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// All that still comes until the server hangs up; a reset is an end, too.
async fn until_closed(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut text)).await;
    let _end = read.expect("the server hangs up");
    String::from_utf8_lossy(&text).into_owned()
}

/// The first bytes of an answer.
async fn answer_on(stream: &mut TcpStream) -> String {
    let mut text = [0; 256];
    let read = timeout(PATIENCE, stream.read(&mut text)).await;
    let count = read.expect("an answer").unwrap();
    String::from_utf8_lossy(&text[..count]).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_arrive_in_time_is_hung_up_on() {
    let bounds = Bounds {
        head: Duration::from_millis(200),
        body: Duration::from_millis(200),
        ..wide()
    };
    let serving = Serving::start(bounds, Router::new()).await;
    for (text, answered) in [
        ("", ""),
        (HALF_A_HEAD, ""),
        (HALF_A_BODY, "HTTP/1.1 4"),
        (WELL, "HTTP/1.1 200"),
    ] {
        let mut stream = serving.sent(text).await;
        let said = until_closed(&mut stream).await;
        assert!(said.starts_with(answered), "{text}: {said}");
        assert_eq!(said.is_empty(), answered.is_empty(), "{text}: {said}");
        assert!(!said.contains("taken"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn half_sent_requests_give_way_to_those_who_ask_properly() {
    let bounds = Bounds {
        connections: 4,
        ..wide()
    };
    let serving = Serving::start(bounds, Router::new()).await;
    for half in ["", HALF_A_HEAD, HALF_A_BODY] {
        let mut all = Vec::new();
        for _ in 0..20 {
            all.push(serving.sent(half).await);
        }
        assert_eq!(serving.health().await, 200, "{half}");
        // The first of them waited longest.
        for mut one in all.drain(..16) {
            until_closed(&mut one).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_worked_on_keeps_its_place() {
    let bounds = Bounds {
        connections: 2,
        ..wide()
    };
    let slow = get(async || std::future::pending::<&str>().await);
    let serving = Serving::start(bounds, Router::new().route("/slow", slow)).await;
    let slow = WELL.replace("healthz", "slow");
    let mut busy = serving.sent(&slow).await;
    let mut also = serving.sent(&slow).await;
    eventually("there is no place left", async || {
        let mut third = serving.sent(WELL).await;
        answer_on(&mut third).await.starts_with("HTTP/1.1 503")
    })
    .await;
    for one in [&mut busy, &mut also] {
        let silent = timeout(Duration::from_millis(50), one.read_u8()).await;
        assert!(silent.is_err(), "neither answered nor closed: {silent:?}");
    }
    drop(busy);
    eventually("a place is free again", async || {
        serving.health().await == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_no_answer_is_hung_up_on_and_a_panic_ends_one_connection() {
    let bounds = Bounds {
        stall: Duration::from_millis(200),
        ..wide()
    };
    let sending = Arc::new(());
    let held = sending.clone();
    let endless = get(async move || {
        let part = Bytes::from(vec![b'x'; 65_536]);
        let next = move |held| {
            let part = part.clone();
            async move { Some((Ok::<_, std::io::Error>(part), held)) }
        };
        Body::from_stream(stream::unfold(held.clone(), next))
    });
    let faulty = get(async || {
        assert!(!sending_is_impossible(), "on purpose");
        ""
    });
    let more = Router::new()
        .route("/endless", endless)
        .route("/faulty", faulty);
    let serving = Serving::start(bounds, more).await;
    let idle = Arc::strong_count(&sending);
    let _reads_nothing = serving.sent(&WELL.replace("healthz", "endless")).await;
    eventually("it is being sent", async || {
        Arc::strong_count(&sending) > idle
    })
    .await;
    eventually("it is given up", async || {
        Arc::strong_count(&sending) == idle
    })
    .await;
    let mut unlucky = serving.sent(&WELL.replace("healthz", "faulty")).await;
    assert_eq!(until_closed(&mut unlucky).await, "");
    assert_eq!(serving.health().await, 200);
}

/// A reader that takes a byte now and then makes room each time, and never takes the page.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_a_page_byte_by_byte_is_hung_up_on() {
    let bounds = Bounds {
        whole: Duration::from_secs(1),
        ..wide()
    };
    let page = Bytes::from(vec![b'x'; 64 << 20]);
    let large = get(async move || page.clone());
    let events = get(async || {
        let part = |count: u8| async move {
            tokio::time::sleep(Duration::from_millis(250)).await;
            Some((Ok::<_, std::io::Error>("tick"), count.checked_add(1)?))
        };
        Body::from_stream(stream::unfold(0, part))
    });
    let more = Router::new()
        .route("/large", large)
        .route("/events", events);
    let serving = Serving::start(bounds, more).await;
    let mut events = serving.sent(&WELL.replace("healthz", "events")).await;
    let mut slow = serving.sent(&WELL.replace("healthz", "large")).await;
    let mut buffer = vec![0; 65_536];
    let taken = async {
        while slow.read(&mut buffer).await.is_ok_and(|count| count > 0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let began = Instant::now();
    // All of it would take 20 s; what the kernel holds is read to the end.
    timeout(PATIENCE, taken).await.expect("it is hung up on");
    assert!(began.elapsed() < Duration::from_secs(15));
    // A stream goes on for as long as it is taken.
    for _ in 0..8 {
        assert!(!answer_on(&mut events).await.is_empty());
    }
}

fn sending_is_impossible() -> bool {
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_waits_for_answers_under_way_and_for_nothing_else() {
    let finish = Arc::new(tokio::sync::Notify::new());
    let (told, begun) = (finish.clone(), Arc::new(tokio::sync::Notify::new()));
    let begins = begun.clone();
    let slow = get(async move || {
        begins.notify_one();
        told.notified().await;
        "done\n"
    });
    let mut serving = Serving::start(wide(), Router::new().route("/slow", slow)).await;
    let mut idle = serving.sent(WELL).await;
    assert!(answer_on(&mut idle).await.contains("200 OK"));
    let mut others = [serving.sent("").await, serving.sent(HALF_A_HEAD).await];
    let mut under_way = serving.sent(&WELL.replace("healthz", "slow")).await;
    timeout(PATIENCE, begun.notified()).await.unwrap();
    serving.shutdown.cancel();
    for one in others.iter_mut().chain([&mut idle]) {
        assert_eq!(until_closed(one).await, "");
    }
    assert!(TcpStream::connect(serving.address).await.is_err());
    finish.notify_one();
    assert!(until_closed(&mut under_way).await.ends_with("done\n"));
    let ended = timeout(PATIENCE, serving.task.join_next()).await;
    ended.expect("it ends").unwrap().unwrap();
}

/// The built daemon with nodes and an API that are away.
fn alone(folder: &tempfile::TempDir) -> Vec<(String, String)> {
    let database = format!("sqlite:{}", folder.path().join("alone.db").display());
    let settings = [
        ("MERCHANT__BASE_URL", "http://127.0.0.1:1/api"),
        ("SOLANA__RPC_URLS", "http://127.0.0.1:1"),
        ("OPS__LISTEN", "127.0.0.1:0"),
        ("STORE__URL", &database),
    ];
    changed(&[], &settings)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_stays_healthy_beside_600_half_sent_requests_and_stops_at_once() {
    raise_descriptors();
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Child::with_descriptors(&folder, &alone(&folder), 1_024);
    let root = daemon.ops().await;
    let address: SocketAddr = root.replace("http://", "").parse().unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", daemon.id())).unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = files.unwrap().split_whitespace().nth(3).unwrap();
    assert!(soft.parse::<u64>().unwrap() > 1_024, "raised: {limits}");
    let mut half = Vec::new();
    for _ in 0..600 {
        half.push(sent(address, HALF_A_HEAD).await);
    }
    let healthy = timeout(PATIENCE, reqwest::get(format!("{root}/healthz"))).await;
    assert!(healthy.expect("an answer").unwrap().status().is_success());

    let mut idle = sent(address, WELL).await;
    assert!(answer_on(&mut idle).await.contains("200 OK"));
    let live = "GET / HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n";
    let mut live = sent(address, live).await;
    assert!(answer_on(&mut live).await.contains("text/event-stream"));
    let began = Instant::now();
    daemon.signal("TERM");
    let ended = tokio::task::block_in_place(|| daemon.wait_for_exit(Duration::from_secs(5)));
    assert_eq!(
        ended.and_then(|status| status.code()),
        Some(0),
        "it drains for nobody"
    );
    eprintln!("stopped within {:?}", began.elapsed());
    until_closed(&mut live).await;
}
