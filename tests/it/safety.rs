//! Keys stay secret, words of payers stay words, connections are verified, and actions need the token.

use crate::support::server::{Said, Server};
use crate::support::{Child, World, changed, eventually, exit_of, said};
use hyper::{Request, Response, Version, body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use paywatch::config::Config;
use paywatch::domain::{Memo, Signature, is_invisible};
use paywatch::merchant::{Backend, Merchant};
use serde_json::Value;
use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};
use tokio::{io::copy_bidirectional, net::TcpListener, net::TcpStream, task::JoinSet};
use tokio_rustls::{TlsAcceptor, rustls};

const KEYS: [&str; 3] = ["key-of-the-api", "key-of-the-node", "key-of-the-socket"];

fn assert_no_key(place: &str, text: &str) {
    for key in KEYS {
        assert!(!text.contains(key), "{place} shows {key}: {text}");
    }
}

/// Everything the daemon says with everything it is asked to say, while things work and while they do not.
#[tokio::test(flavor = "multi_thread")]
async fn keys_show_up_nowhere() {
    let mut world = World::new().await;
    world.restart_sandbox(&[], KEYS[0]).await;
    let (rpc, ws) = (&world.net.rpc_url, &world.net.ws_url);
    let rpc_urls = format!(
        "{rpc}/?api-key={0},http://user:{0}@127.0.0.1:1/{0}",
        KEYS[1]
    );
    let ws_urls = format!("{ws}/?api-key={0},ws://127.0.0.1:1/{0}", KEYS[2]);
    let changes = [
        ("MERCHANT__API_KEY", KEYS[0]),
        ("SOLANA__RPC_URLS", &rpc_urls),
        ("SOLANA__WS_URLS", &ws_urls),
        ("LOG__LEVEL", "trace"),
    ];
    let environment = changed(&world.environment(), &changes);
    let config = Config::load(None, environment.clone()).unwrap();
    assert_no_key("the configuration", &format!("{config:?} {config:#?}"));

    let daemon = world.watch(&changes).await;
    // The sandbox wants the key for a checkout too.
    world.http = with_key(KEYS[0]);
    let (checkout, signature) = world.buy().await;
    world.wait_confirmed(&checkout, signature).await;
    let ops = daemon.ops().await;
    for page in ["healthz", "readyz", "metrics"] {
        let text = reqwest::get(format!("{ops}/{page}")).await.unwrap();
        assert_no_key(page, &text.text().await.unwrap());
    }
    let arguments = std::fs::read(format!("/proc/{}/cmdline", daemon.id())).unwrap();
    assert_no_key("/proc", &String::from_utf8_lossy(&arguments));
    // Another key now: refused.
    world.restart_sandbox(&[], "another").await;
    eventually("the refusal is noticed", async || {
        daemon.log().contains("refuses the key") || daemon.log().contains("401")
    })
    .await;
    world.sandbox.end();
    eventually("the outage is noticed", async || {
        daemon.log().contains("no connection")
    })
    .await;
    assert_no_key("the log", &daemon.log());
    for command in [
        &["check"][..],
        &["payments", "list"],
        &["backfill", "--dry-run"],
        &["explain", &signature.to_string()],
    ] {
        assert_no_key(command[0], &said(&exit_of(&environment, command)));
    }
}

/// Some APIs repeat what they were sent, in the text of a refusal.
#[tokio::test]
async fn an_api_that_repeats_the_key_does_not_get_it_stored() {
    let api = Server::start(|asked| {
        let text = format!("you sent \"{}\"", asked.headers["authorization"]);
        Said::Whole(400, "", text)
    })
    .await;
    let settings = [
        ("MERCHANT__BASE_URL", api.url.as_str()),
        ("MERCHANT__API_KEY", KEYS[0]),
        ("SOLANA__RPC_URLS", "http://127.0.0.1:1"),
    ];
    let config = Config::load(None, changed(&[], &settings)).unwrap();
    let merchant = Merchant::new(&config.merchant.settings).unwrap();
    let memo = Memo::parse("a").unwrap();
    let result = merchant.confirm(&memo, Signature::from([1; 64])).await;
    assert_no_key("the reason", &result.reason);
    assert!(result.reason.contains("Bearer [key]"), "{}", result.reason);
    let error = merchant.supported_tokens().await.unwrap_err();
    assert_no_key("the error", &format!("{error} {error:?}"));
}

fn with_key(key: &str) -> reqwest::Client {
    let mut headers = reqwest::header::HeaderMap::new();
    headers.insert("authorization", format!("Bearer {key}").parse().unwrap());
    reqwest::Client::builder()
        .default_headers(headers)
        .build()
        .unwrap()
}

/// A memo that would clear a screen, forge a log line, close a tag and drop a table.
#[tokio::test(flavor = "multi_thread")]
async fn the_words_of_a_payer_do_nothing() {
    const HOSTILE: &str = "'); DROP TABLE payments; --\u{1b}[2J\r\n2026-01-01 ERROR paywatch: forged\u{202e}\"}\n</script>";
    for format in ["text", "json"] {
        let world = World::new().await;
        let daemon = world.start(&[("LOG__FORMAT", format)]);
        let signature = world.pay(5, HOSTILE).await;
        world.wait_verdict(signature, "unknown_memo").await;
        let (environment, id) = (world.environment(), signature.to_string());
        eventually("it is told", async || daemon.log().contains("DROP TABLE")).await;
        for line in daemon.log().lines() {
            assert!(!line.chars().any(is_invisible), "{line:?}");
            assert!(!line.starts_with("2026-01-01"), "forged: {line}");
            if format == "json" {
                serde_json::from_str::<Value>(line).unwrap();
            }
        }
        for command in [
            &["payments", "list"][..],
            &["payments", "show", &id],
            &["explain", &id],
        ] {
            let text = said(&exit_of(&environment, command));
            let seen = text.lines().all(|line| !line.chars().any(is_invisible));
            assert!(seen && text.contains("DROP TABLE"), "{text:?}");
        }
        if format == "text" {
            let metrics = reqwest::get(format!("{}/metrics", daemon.ops().await)).await;
            let metrics = metrics.unwrap().text().await.unwrap();
            assert!(!metrics.contains("DROP TABLE"));
        }
        let (checkout, signature) = world.buy().await;
        world.wait_confirmed(&checkout, signature).await;
    }
}

/// What looks like a plain memo is told apart wherever a person may see it: log, commands, pages, lists.
#[tokio::test(flavor = "multi_thread")]
async fn a_shown_memo_looks_like_no_other() {
    const ALIKE: &str = "9df5\u{200b} u\u{308}\u{a0}x\ty\u{2003}z";
    const SHOWN: &str = "9df5\\u{200b} u\\u{308}\\u{a0}x\\u{9}y\\u{2003}z";
    let world = World::new().await;
    let daemon = world.start(&[]);
    let signature = world.pay(5, ALIKE).await;
    world.wait_verdict(signature, "unknown_memo").await;
    let (environment, id) = (world.environment(), signature.to_string());
    // The log escapes backslashes once more.
    let is_logged = || daemon.log().replace("\\\\", "\\").contains(SHOWN);
    eventually("the log", async || is_logged()).await;
    for command in [
        &["payments", "list"][..],
        &["payments", "list", "--csv"],
        &["payments", "show", &id],
        &["explain", &id],
    ] {
        let text = said(&exit_of(&environment, command));
        assert!(text.contains(SHOWN), "{command:?}: {text}");
    }
    let ops = daemon.ops().await;
    for page in ["payments", &format!("payments/{id}"), "payments.csv"] {
        let page = reqwest::get(format!("{ops}/{page}")).await.unwrap();
        let text = page.text().await.unwrap();
        assert!(text.contains(SHOWN), "{text}");
    }
}

/// A certificate authority of its own, and an address at which TLS is spoken for a plain server.
struct Tls {
    authority: String,
    acceptor: TlsAcceptor,
    servers: JoinSet<()>,
}

impl Tls {
    fn new() -> Self {
        Self::offering(&[])
    }

    /// With these protocols to choose from.
    fn offering(protocols: &[&str]) -> Self {
        let mut issued_by = rcgen::CertificateParams::new([]).unwrap();
        issued_by.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let authority = issued_by.self_signed(&key).unwrap().pem();
        let issuer = rcgen::Issuer::new(issued_by, key);
        let own = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(["localhost".to_owned()])
            .unwrap()
            .signed_by(&own, &issuer)
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                rustls::pki_types::PrivatePkcs8KeyDer::from(own.serialize_der()).into(),
            )
            .unwrap();
        config.alpn_protocols = protocols
            .iter()
            .map(|one| one.as_bytes().to_vec())
            .collect();
        Self {
            authority,
            acceptor: TlsAcceptor::from(Arc::new(config)),
            servers: JoinSet::new(),
        }
    }

    /// An API that lists one token, and notes the versions of the requests over HTTP/2.
    async fn lists_tokens(&mut self, versions: &Arc<Mutex<Vec<Version>>>) -> String {
        const TOKEN: &str = r#"[{"symbol":"USDC","mint":"EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v",
            "recipient":"HYrGnz31G1NkucuR466acwk3rfEJe7KaXEs3KwjBxpf5","decimals":6,"enabled":true}]"#;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (acceptor, versions) = (self.acceptor.clone(), versions.clone());
        self.servers.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, versions) = (acceptor.clone(), versions.clone());
                connections.spawn(async move {
                    let stream = acceptor.accept(stream).await.ok()?;
                    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
                    let answers = service_fn(|request: Request<Incoming>| {
                        versions.lock().unwrap().push(request.version());
                        std::future::ready(Ok::<_, Infallible>(Response::new(TOKEN.to_owned())))
                    });
                    let server = http2::Builder::new(TokioExecutor::new());
                    let served = server.serve_connection(TokioIo::new(stream), answers);
                    served.await.ok()
                });
            }
        });
        format!("https://localhost:{port}/")
    }

    /// The same URL over TLS.
    async fn before(&mut self, url: &str) -> String {
        let plain = url::Url::parse(url).unwrap();
        let target = format!("{}:{}", plain.host_str().unwrap(), plain.port().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = self.acceptor.clone();
        self.servers.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, target) = (acceptor.clone(), target.clone());
                connections.spawn(async move {
                    // Who does not trust us hangs up.
                    let mut client = acceptor.accept(stream).await.ok()?;
                    let mut server = TcpStream::connect(target).await.ok()?;
                    copy_bidirectional(&mut client, &mut server).await.ok()
                });
            }
        });
        format!("{}s://localhost:{port}{}", plain.scheme(), plain.path())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_verified_and_another_authority_can_be_trusted() {
    let world = World::new().await;
    let mut tls = Tls::new();
    let (api, rpc, ws) = (
        tls.before(&world.api).await,
        tls.before(&world.net.rpc_url).await,
        tls.before(&world.net.ws_url).await,
    );
    let file = world.folder.path().join("authority.pem");
    std::fs::write(&file, &tls.authority).unwrap();
    let changes = [
        ("MERCHANT__BASE_URL", api.as_str()),
        ("SOLANA__RPC_URLS", &rpc),
        ("SOLANA__WS_URLS", &ws),
    ];
    let mut environment = changed(&world.environment(), &changes);
    let wary = Child::daemon(&world.folder, &environment);
    eventually("an unknown authority is not trusted", async || {
        wary.log().matches("no connection").count() > 2
    })
    .await;
    let ready = reqwest::get(format!("{}/readyz", wary.ops().await))
        .await
        .unwrap();
    assert_eq!(ready.status(), 503);
    drop(wary);

    environment.push(("SSL_CERT_FILE".into(), file.display().to_string()));
    // Only the socket brings payments soon.
    environment.push(("PAYWATCH__SOLANA__SWEEP_EVERY".into(), "1h".into()));
    let trusting = Child::daemon(&world.folder, &environment);
    trusting.wait_until_ready().await;
    let ops = trusting.ops().await;
    eventually("the socket is open", async || {
        let metrics = reqwest::get(format!("{ops}/metrics")).await.unwrap();
        metrics
            .text()
            .await
            .unwrap()
            .contains("paywatch_sockets_open 1")
    })
    .await;
    let (checkout, signature) = world.buy().await;
    world.wait_confirmed(&checkout, signature).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_is_spoken_where_it_is_offered_and_an_unknown_authority_is_explained() {
    let mut tls = Tls::offering(&["h2", "http/1.1"]);
    let versions = Arc::default();
    let api = tls.lists_tokens(&versions).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authority.pem");
    std::fs::write(&file, &tls.authority).unwrap();
    let url = format!("sqlite:{}", folder.path().join("x.db").display());
    let settings = [
        ("MERCHANT__BASE_URL", api.as_str()),
        ("SOLANA__RPC_URLS", "http://127.0.0.1:1"),
        ("STORE__URL", &url),
    ];
    let mut environment = changed(&[], &settings);
    let wary = said(&exit_of(&environment, &["check"]));
    let hint = "whether the API is there; behind a proxy of one's own, SSL_CERT_FILE names";
    let told = wary.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains(hint), "{wary}");
    assert!(versions.lock().unwrap().is_empty());

    environment.push(("SSL_CERT_FILE".into(), file.display().to_string()));
    let tokens = said(&exit_of(&environment, &["tokens"]));
    assert!(tokens.contains("USDC"), "{tokens}");
    assert_eq!(*versions.lock().unwrap(), [Version::HTTP_2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_over_http_needs_the_token() {
    let world = World::new().await;
    let file = world.folder.path().join("token");
    std::fs::write(&file, "open-sesame\n").unwrap();
    let ask = async |daemon: &Child, token: &str| {
        let url = format!("{}/v1/sweep", daemon.ops().await);
        let request = reqwest::Client::new().post(url);
        let request = if token.is_empty() {
            request
        } else {
            request.bearer_auth(token)
        };
        request.send().await.unwrap().status().as_u16()
    };
    let without = world.watch(&[]).await;
    assert_eq!(ask(&without, "").await, 403, "no token, no actions");
    assert_eq!(ask(&without, "open-sesame").await, 403);
    drop(without);
    let file = file.display().to_string();
    let changes = [
        ("OPS__TOKEN_FILE", file.as_str()),
        ("SOLANA__WS_URLS", ""),
        ("SOLANA__SWEEP_EVERY", "1h"),
    ];
    let daemon = world.watch(&changes).await;
    for wrong in ["", "open", "open-sesame-", "Open-sesame"] {
        assert_eq!(ask(&daemon, wrong).await, 401, "{wrong:?}");
    }
    let (checkout, signature) = world.buy().await;
    assert_eq!(ask(&daemon, "open-sesame").await, 202);
    world.wait_confirmed(&checkout, signature).await;
    assert!(!daemon.log().contains("open-sesame"));
}
