//! A scripted node: HTTP and WebSocket over a ledger, honest unless its script says otherwise.

use super::ledger::Ledger;
use super::server::{Said, Server};
use futures_util::{SinkExt, StreamExt};
use paywatch::domain::{Signature, TokenAccount};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_tungstenite::tungstenite::Message;
use url::Url;

/// Real time of a slot.
const SLOT: Duration = Duration::from_millis(20);
/// The slot in which everything begins.
pub(crate) const FIRST_SLOT: u64 = 1_000;

/// The chain that nodes look at.
pub(crate) struct Chain {
    ledger: Mutex<Ledger>,
    slot: AtomicU64,
}

impl Chain {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            ledger: Mutex::new(Ledger::new()),
            slot: AtomicU64::new(FIRST_SLOT),
        })
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    pub(crate) fn slot(&self) -> u64 {
        self.slot.load(Ordering::SeqCst)
    }

    pub(crate) fn advance(&self, slots: u64) {
        self.slot.fetch_add(slots, Ordering::SeqCst);
    }

    /// Lets slots pass as time does, for as long as the result lives.
    pub(crate) fn run(self: &Arc<Self>) -> JoinSet<()> {
        let (chain, mut running) = (self.clone(), JoinSet::new());
        running.spawn(async move {
            loop {
                tokio::time::sleep(SLOT).await;
                chain.advance(1);
            }
        });
        running
    }
}

/// A question to a node.
pub(crate) struct Question<'a> {
    pub(crate) method: &'a str,
    pub(crate) params: &'a Value,
    /// How often the very same was asked before; of a transaction, at whatever commitment.
    pub(crate) before: u64,
}

/// What a node says instead of its honest answer.
pub(crate) type Script = Box<dyn Fn(&Question<'_>, Value) -> Said + Send + Sync>;

/// How a WebSocket behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Socket {
    Honest,
    /// Connections are accepted, and that is all.
    Speechless,
    /// Subscriptions are answered, and nothing comes after it.
    Mute,
    /// Closed after so many messages.
    Drops(usize),
    /// Slots are told out of order, notifications over and over, among them nonsense.
    Babbles,
    /// Notifications have no logs, and with each slot comes one of a signature of all ones.
    NullLogs,
    /// Slots are refused; notifications come.
    WithoutSlots,
    /// Slots are promised and never come; notifications do.
    PromisesSlots,
    /// The subscription to this account is refused.
    Refuses(TokenAccount),
    /// Slots come, notifications do not.
    LosesHints,
    /// It is open, and nothing is read or sent any more.
    Frozen,
}

/// Answers until it is dropped.
pub(crate) struct Node {
    pub(crate) url: Url,
    pub(crate) ws_url: Url,
    shared: Arc<Shared>,
    _server: Server,
    _sockets: JoinSet<()>,
}

struct Shared {
    chain: Arc<Chain>,
    lag: AtomicU64,
    script: Mutex<Script>,
    asked: Mutex<HashMap<String, u64>>,
    socket: Mutex<Socket>,
    connections: AtomicU64,
}

impl Node {
    /// Known by this name, `localhost` or an address of this machine.
    pub(crate) async fn start(chain: &Arc<Chain>, host: &str) -> Self {
        let shared = Arc::new(Shared {
            chain: chain.clone(),
            lag: AtomicU64::new(0),
            script: Mutex::new(honest()),
            asked: Mutex::default(),
            socket: Mutex::new(Socket::Honest),
            connections: AtomicU64::new(0),
        });
        let answering = shared.clone();
        let address = host.parse().unwrap_or(Ipv4Addr::LOCALHOST);
        let server = Server::start_at(address, move |asked| answering.answer(&asked.body)).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let (listening, mut sockets) = (shared.clone(), JoinSet::new());
        sockets.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                listening.connections.fetch_add(1, Ordering::SeqCst);
                let shared = listening.clone();
                // Whoever hangs up ends this connection, and no other.
                connections.spawn(async move { shared.serve_socket(stream).await.ok() });
            }
        });
        let mut url = server.url.clone();
        url.set_host(Some(host)).unwrap();
        Self {
            url,
            ws_url: Url::parse(&format!("ws://{address}/")).unwrap(),
            shared,
            _server: server,
            _sockets: sockets,
        }
    }

    /// From now on.
    pub(crate) fn says(
        &self,
        script: impl Fn(&Question<'_>, Value) -> Said + Send + Sync + 'static,
    ) {
        *self.shared.script.lock().unwrap() = Box::new(script);
    }

    pub(crate) fn is_honest_again(&self) {
        *self.shared.script.lock().unwrap() = honest();
    }

    /// From now on it knows nothing of a transaction, and says that its history goes back to this slot.
    pub(crate) fn forgets(&self, signature: Signature, oldest_slot: u64) {
        let id = json!(signature.to_string());
        self.says(move |question, mut honest| {
            match question.method {
                "getFirstAvailableBlock" => honest["result"] = json!(oldest_slot),
                "getTransaction" if question.params[0] == id => honest["result"] = Value::Null,
                "getSignatureStatuses" if question.params[0][0] == id => {
                    honest["result"]["value"][0] = Value::Null;
                }
                "getSignaturesForAddress" => {
                    let page = honest["result"].as_array_mut().unwrap();
                    page.retain(|entry| entry["signature"] != id);
                }
                _ => {}
            }
            Said::Json(honest)
        });
    }

    /// From now on it is so many slots behind.
    pub(crate) fn lags(&self, slots: u64) {
        self.shared.lag.store(slots, Ordering::SeqCst);
    }

    pub(crate) fn socket(&self, socket: Socket) {
        *self.shared.socket.lock().unwrap() = socket;
    }

    /// WebSockets opened so far.
    pub(crate) fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Questions so far whose text has this in it.
    pub(crate) fn asked(&self, part: &str) -> u64 {
        let asked = self.shared.asked.lock().unwrap();
        let about = asked.iter().filter(|(question, _)| question.contains(part));
        about.map(|(_, count)| count).sum()
    }

    /// Transactions that were asked for, each counted once.
    pub(crate) fn fetched(&self) -> usize {
        let asked = self.shared.asked.lock().unwrap();
        let fetches = asked
            .keys()
            .filter(|key| key.starts_with("getTransaction "));
        fetches.count()
    }
}

fn honest() -> Script {
    Box::new(|_, honest| Said::Json(honest))
}

impl Shared {
    fn slot(&self) -> u64 {
        self.chain.slot() - self.lag.load(Ordering::SeqCst)
    }

    fn answer(&self, body: &[u8]) -> Said {
        let question: Value = serde_json::from_slice(body).unwrap();
        let (method, params) = (question["method"].as_str().unwrap(), &question["params"]);
        let before = {
            let mut asked = self.asked.lock().unwrap();
            let key = match method {
                "getTransaction" => format!("{method} [{}]", params[0]),
                _ => format!("{method} {params}"),
            };
            let count = asked.entry(key).or_insert(0);
            *count += 1;
            *count - 1
        };
        let honest = match self.chain.ledger().answer_to(&question, self.slot()) {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": 1, "result": result }),
            Err((code, message)) => error(code, message),
        };
        let question = Question {
            method,
            params,
            before,
        };
        (self.script.lock().unwrap())(&question, honest)
    }

    async fn serve_socket(&self, stream: TcpStream) -> anyhow::Result<()> {
        let mood = || *self.socket.lock().unwrap();
        if mood() == Socket::Speechless {
            std::future::pending::<()>().await;
        }
        let mut socket = tokio_tungstenite::accept_async(stream).await?;
        let (mut slots, mut logs) = (None, HashMap::new());
        let (mut told_slot, mut told, mut messages) = (0, 0, 0_usize);
        loop {
            if mood() == Socket::Frozen {
                std::future::pending::<()>().await;
            }
            tokio::select! {
                message = socket.next() => {
                    let Some(message) = message.transpose()? else { return Ok(()) };
                    let Message::Text(text) = message else { continue };
                    let question: Value = serde_json::from_str(&text)?;
                    let id = &question["id"];
                    let account = question["params"][0]["mentions"][0].as_str();
                    let account = account.unwrap_or_default().to_owned();
                    match (question["method"].as_str(), mood()) {
                        (Some("slotSubscribe"), Socket::WithoutSlots) => {
                            socket.send(refusal(id)).await?;
                            continue;
                        }
                        (Some("logsSubscribe"), Socket::Refuses(one)) if account == one.to_string() => {
                            socket.send(refusal(id)).await?;
                            continue;
                        }
                        (Some("slotSubscribe"), Socket::PromisesSlots) => {}
                        (Some("slotSubscribe"), _) => slots = Some(id.clone()),
                        (Some("logsSubscribe"), _) => _ = logs.insert(account, id.clone()),
                        _ => {}
                    }
                    let answer = json!({ "jsonrpc": "2.0", "id": id, "result": id });
                    socket.send(Message::text(answer.to_string())).await?;
                }
                () = tokio::time::sleep(SLOT / 2) => {}
            }
            if mood() == Socket::Mute {
                continue;
            }
            let mut out = Vec::new();
            let slot = self.slot();
            if let Some(id) = slots.as_ref().filter(|_| slot > told_slot) {
                told_slot = slot;
                out.push(notification(
                    "slot",
                    id,
                    &json!({ "slot": slot, "parent": slot - 1, "root": slot - 32 }),
                ));
                if mood() == Socket::Babbles {
                    let back = slot - 500;
                    out.push(notification(
                        "slot",
                        id,
                        &json!({ "slot": back, "parent": 1, "root": 1 }),
                    ));
                    out.push(json!({ "method": "slotNotification", "params": 7 }));
                }
                for id in logs.values().filter(|_| mood() == Socket::NullLogs) {
                    let ones = json!({ "signature": "1".repeat(64), "err": null, "logs": null });
                    let result = json!({ "context": { "slot": slot }, "value": ones });
                    out.push(notification("logs", id, &result));
                }
            }
            let again = if mood() == Socket::Babbles { 0 } else { told };
            let new: Vec<_> = {
                let ledger = self.chain.ledger();
                // Nothing is told again to whom it was not told for want of a subscription: what came before it is history.
                told = ledger.notified(slot).count();
                let new = ledger.notified(slot).skip(again);
                new.map(Ledger::notification).collect()
            };
            for (account, mut value) in new {
                if mood() == Socket::NullLogs {
                    value["logs"] = Value::Null;
                }
                let is_lost = mood() == Socket::LosesHints;
                if let Some(id) = logs.get(&account).filter(|_| !is_lost) {
                    let result = json!({ "context": { "slot": slot }, "value": value });
                    out.push(notification("logs", id, &result));
                }
            }
            for message in out {
                messages += 1;
                if matches!(mood(), Socket::Drops(after) if messages > after) {
                    return Ok(());
                }
                socket.send(Message::text(message.to_string())).await?;
            }
        }
    }
}

pub(crate) fn error(code: i64, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": code, "message": message } })
}

fn refusal(id: &Value) -> Message {
    let mut refusal = error(-32601, "Method not found");
    refusal["id"] = id.clone();
    Message::text(refusal.to_string())
}

fn notification(of: &str, subscription: &Value, result: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "method": format!("{of}Notification"), "params": { "subscription": subscription, "result": result } })
}
