//! What stands between a watcher and the node: notes when notifications pass, counts calls, and can hold the node to the
//! pace of a slower one.

use crate::world;
use anyhow::Context;
use axum::serve::Listener;
use axum::{
    Router, body::Bytes, extract::State, http::header::CONTENT_TYPE, response::IntoResponse,
};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{net::TcpStream, sync::Notify, task::JoinSet};
use tokio_tungstenite::{accept_async, connect_async, tungstenite::Message};

#[derive(Default)]
struct Noted {
    /// Until then no socket is let through.
    cut_until: Mutex<Option<Instant>>,
    cut: Notify,
    notified: Mutex<HashMap<String, Vec<Instant>>>,
    calls: Mutex<BTreeMap<String, usize>>,
}

/// Runs as long as it is not dropped.
pub struct Tap {
    pub rpc_url: String,
    pub ws_url: String,
    noted: Arc<Noted>,
    servers: JoinSet<()>,
}

#[derive(Clone)]
struct Relay {
    node: String,
    http: reqwest::Client,
    noted: Arc<Noted>,
    pace: Option<Arc<Pace>>,
}

/// A node that gives so many transactions a second, whoever asks.
struct Pace {
    interval: Duration,
    next: Mutex<tokio::time::Instant>,
}

impl Tap {
    /// Relays to a node; `per_second` limits its `getTransaction`.
    pub async fn start(
        rpc_url: &str,
        ws_url: &str,
        per_second: Option<u32>,
    ) -> anyhow::Result<Self> {
        let noted = Arc::new(Noted::default());
        let mut servers = JoinSet::new();
        let http = world::listener().await?;
        let own_rpc_url = format!("http://{}", http.local_addr()?);
        let pace = per_second.map(|per_second| {
            Arc::new(Pace {
                interval: Duration::from_secs(1) / per_second,
                next: Mutex::new(tokio::time::Instant::now()),
            })
        });
        let relay = Relay {
            node: rpc_url.to_owned(),
            http: reqwest::Client::builder().tcp_nodelay(true).build()?,
            noted: noted.clone(),
            pace,
        };
        let router = Router::new().fallback(ask).with_state(relay);
        servers.spawn(async move {
            if let Err(error) = axum::serve(http, router).await {
                eprintln!("{error}");
            }
        });
        let sockets = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let own_ws_url = format!("ws://{}", sockets.local_addr()?);
        let (noting, node) = (noted.clone(), ws_url.to_owned());
        servers.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((socket, _)) = sockets.accept().await {
                let (noting, node) = (noting.clone(), node.clone());
                open.spawn(async move {
                    // The watcher hung up, or the bench is over.
                    let _ended = listen(socket, &node, &noting).await;
                });
            }
        });
        Ok(Self {
            rpc_url: own_rpc_url,
            ws_url: own_ws_url,
            noted,
            servers,
        })
    }

    /// The last notification of a transaction that was passed on before a moment.
    pub fn notified_before(&self, signature: &str, moment: Instant) -> Option<Instant> {
        let notified = lock(&self.noted.notified);
        notified
            .get(signature)?
            .iter()
            .rev()
            .find(|at| **at <= moment)
            .copied()
    }

    /// Breaks all sockets, and lets none through for a while.
    pub fn cut(&self, length: Duration) {
        *lock(&self.noted.cut_until) = Some(Instant::now() + length);
        self.noted.cut.notify_waiters();
    }

    /// Listens to a token account as well, so that notifications are seen whoever else listens.
    pub fn observe(&mut self, account: &str) {
        let (ws_url, account) = (self.ws_url.clone(), account.to_owned());
        self.servers.spawn(async move {
            // Ends with the bench, or when the socket is cut.
            let _ended = observe(&ws_url, &account).await;
        });
    }

    /// Calls by method since the last time.
    pub fn take_calls(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut *lock(&self.noted.calls))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn ask(State(relay): State<Relay>, body: Bytes) -> impl IntoResponse {
    let method = method(&body);
    *lock(&relay.noted.calls).entry(method.clone()).or_default() += 1;
    if method == "getTransaction"
        && let Some(pace) = &relay.pace
    {
        let at = {
            let mut next = pace.next.lock().unwrap_or_else(PoisonError::into_inner);
            let at = (*next).max(tokio::time::Instant::now());
            *next = at + pace.interval;
            at
        };
        // Timers are good to a millisecond: who is due sooner need not wait.
        if at > tokio::time::Instant::now() + Duration::from_millis(1) {
            tokio::time::sleep_until(at).await;
        }
    }
    let answered = async {
        let request = relay
            .http
            .post(&relay.node)
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        request.send().await?.bytes().await
    };
    match answered.await {
        Ok(answer) => Ok(([(CONTENT_TYPE, "application/json")], answer)),
        Err(error) => Err((axum::http::StatusCode::BAD_GATEWAY, error.to_string())),
    }
}

fn method(body: &[u8]) -> String {
    let question: Value = serde_json::from_slice(body).unwrap_or_default();
    question["method"].as_str().unwrap_or("batch").to_owned()
}

async fn listen(socket: TcpStream, node: &str, noted: &Noted) -> anyhow::Result<()> {
    if lock(&noted.cut_until).is_some_and(|until| until > Instant::now()) {
        return Ok(());
    }
    socket.set_nodelay(true)?;
    let mut watcher = accept_async(socket).await?;
    let (mut node, _) = connect_async(node).await?;
    loop {
        tokio::select! {
            () = noted.cut.notified() => return Ok(()),
            said = watcher.next() => node.send(said.context("closed")??).await?,
            said = node.next() => {
                let said = said.context("closed")??;
                if let Message::Text(text) = &said
                    && let Some(signature) = notified(text)
                {
                    lock(&noted.notified).entry(signature).or_default().push(Instant::now());
                }
                watcher.send(said).await?;
            }
        }
    }
}

fn notified(text: &str) -> Option<String> {
    let said: Value = serde_json::from_str(text).ok()?;
    Some(
        said.pointer("/params/result/value/signature")?
            .as_str()?
            .to_owned(),
    )
}

async fn observe(ws_url: &str, account: &str) -> anyhow::Result<()> {
    let (mut socket, _) = connect_async(ws_url).await?;
    let params = json!([{ "mentions": [account] }, { "commitment": "confirmed" }]);
    let subscribe =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "logsSubscribe", "params": params });
    socket.send(Message::text(subscribe.to_string())).await?;
    while let Some(said) = socket.next().await {
        said?;
    }
    Ok(())
}
