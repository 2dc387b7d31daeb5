//! Notifications of a node: one WebSocket connection, disposable.
//!
//! A hint costs nothing to lose: the sweep finds every payment without it. A connection that is silent, refuses all
//! subscriptions or breaks is thrown away whole; the caller opens a new one and sweeps.

use super::logs::{has_failed, logged_memos};
use super::wire::pubsub::{Logs, Said, said, subscribe_logs, subscribe_slots};
use crate::domain::{Memo, Signature, Slot, TokenAccount};
use futures_util::{SinkExt, StreamExt};
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    convert::Infallible,
    future::Future,
    time::Duration,
};
use tokio::{net::TcpStream, time::Instant};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{self, Message, protocol::WebSocketConfig},
};
use url::Url;

/// An event of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Every subscription is answered, and the connection has proved that it brings slots unless the node refuses them.
    Subscribed(Subscribed),
    /// The chain has reached a slot: the connection is alive.
    Slot(Slot),
    /// Something came on an open connection that brings no slots, the answer to a ping at least: it is alive.
    Alive,
    /// A transaction may concern a watched account.
    Hint(Hint),
}

/// What proves that a new connection brings what it promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proof {
    /// A slot after all answers, unless the node refuses slots.
    #[default]
    Slot,
    /// The answers to the subscriptions of logs alone: the node accepted `slotSubscribe` before, and brought no slot.
    Answers,
}

/// The state of a connection when its subscriptions stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscribed {
    /// The newest slot that the node processes; `None` if it refuses `slotSubscribe`, or no slot was waited for.
    pub slot: Option<Slot>,
    /// Token accounts whose subscription the node refuses.
    pub refused: BTreeSet<TokenAccount>,
}

/// A transaction that names a watched token account has reached `confirmed`, or is about to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The transaction.
    pub signature: Signature,
    /// The account of the subscription that brought it.
    pub token_account: TokenAccount,
    /// Memos in its logs, if all of them can be read and nothing was cut off: they decide the order of fetches.
    pub memos: Vec<Memo>,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// It could not be made, or a subscription was refused. The cause is described, not chained: it may quote the address.
    #[error("could not {doing}: {what}")]
    Refused {
        /// What was tried.
        doing: &'static str,
        /// The kind of failure.
        what: &'static str,
    },
    /// It did not answer in time.
    #[error("could not {0} in time")]
    Slow(&'static str),
    /// No slot for too long, although the socket is open.
    #[error("no slot for {0:?}")]
    Silent(Duration),
    /// No answer to a ping for too long. The node sends no slots, so nothing else shows that the socket is alive.
    #[error("no answer to a ping for {0:?}")]
    Unanswered(Duration),
    /// A sweep found a payment, and the socket had brought nothing.
    #[error("a sweep found a payment that this WebSocket did not bring")]
    Deaf,
    /// The other side closed it.
    #[error("closed by the node")]
    Closed,
}

/// Largest message that is read, bytes. Logs are cut at 10,000.
const MESSAGE_MAX: usize = 1 << 20;
/// Subscriptions that wait for their answer at once: nodes limit the rate of questions.
const ASKED_AT_ONCE: usize = 8;
/// The number of the question for slots; those for logs follow it.
const SLOTS: u64 = 1;

/// Opens a connection, subscribes to slots and to the logs of each token account at `confirmed`, and hands every event to
/// `sink` until the connection fails.
///
/// `patience` is the longest time without a slot, and for each step of the opening. Where no slots come, answers to pings count.
///
/// # Errors
/// Always, in the end: says why the connection is over.
pub async fn listen_once(
    url: &Url,
    token_accounts: &[TokenAccount],
    patience: Duration,
    proof: Proof,
    mut sink: impl FnMut(Event),
) -> Result<Infallible, ListenError> {
    let config = WebSocketConfig::default().max_message_size(Some(MESSAGE_MAX));
    let connecting = connect_async_with_config(url.as_str(), Some(config), true);
    let (mut socket, _) = within(patience, "connect", Box::pin(connecting)).await?;
    let mut session = Session::new(token_accounts, patience, proof);
    let mut pings = tokio::time::interval(patience / 3);
    loop {
        while let Some(question) = session.next_question() {
            send(&mut socket, patience, Message::text(question)).await?;
        }
        let message = tokio::select! {
            message = socket.next() => message.ok_or(ListenError::Closed)?,
            _ = pings.tick() => {
                send(&mut socket, patience, Message::Ping(tungstenite::Bytes::new())).await?;
                continue;
            }
            () = tokio::time::sleep_until(session.alive_until) => return Err(session.silence()),
        };
        match message.map_err(|error| refused("listen", &error))? {
            Message::Text(text) => session.heard(said(&text), &mut sink)?,
            Message::Close(_) => return Err(ListenError::Closed),
            _ => session.heard(Said::Other, &mut sink)?,
        }
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn send(
    socket: &mut Socket,
    patience: Duration,
    message: Message,
) -> Result<(), ListenError> {
    within(patience, "send", socket.send(message)).await
}

async fn within<T>(
    patience: Duration,
    doing: &'static str,
    step: impl Future<Output = Result<T, tungstenite::Error>>,
) -> Result<T, ListenError> {
    tokio::time::timeout(patience, step)
        .await
        .map_err(|_| ListenError::Slow(doing))?
        .map_err(|error| refused(doing, &error))
}

fn refused(doing: &'static str, error: &tungstenite::Error) -> ListenError {
    let what = match error {
        tungstenite::Error::Url(_) => "not a WebSocket address",
        tungstenite::Error::Http(answer) => match answer.status().as_u16() {
            401 | 403 => "the node does not take the key in the address",
            404 => "the node serves no WebSocket at this address",
            429 => "the node is asked too often, or has too many connections of this key",
            _ => "the node answers with an HTTP error",
        },
        tungstenite::Error::Tls(_) => "no trusted certificate (see SSL_CERT_FILE)",
        tungstenite::Error::Io(_) => "no connection",
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => {
            "connection closed"
        }
        _ => "WebSocket broken",
    };
    ListenError::Refused { doing, what }
}

/// Whether the node sends slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slots {
    /// Not known yet.
    Asked,
    /// It says so.
    Stand,
    /// It does.
    Come,
    /// It does not.
    Refused,
}

/// How far the opening is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Some subscriptions are not answered.
    Asking,
    /// All are answered; the first slot after it proves that the connection brings what it promises.
    Proving,
    /// The caller was told.
    Open,
}

/// A question whose answer is awaited.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Slots,
    Logs(TokenAccount),
}

/// The state of a connection, apart from its socket.
struct Session {
    patience: Duration,
    proof: Proof,
    /// Questions that were not sent yet, with their numbers.
    unasked: VecDeque<(u64, Asked)>,
    /// Questions without an answer.
    waiting: HashMap<u64, Asked>,
    /// The token account of each subscription, by its number.
    subscriptions: HashMap<String, TokenAccount>,
    accounts: usize,
    refused: BTreeSet<TokenAccount>,
    slots: Slots,
    phase: Phase,
    alive_until: Instant,
}

impl Session {
    fn new(token_accounts: &[TokenAccount], patience: Duration, proof: Proof) -> Self {
        let logs = token_accounts.iter().copied().map(Asked::Logs);
        let questions = std::iter::once(Asked::Slots).chain(logs);
        Self {
            patience,
            proof,
            unasked: (SLOTS..).zip(questions).collect(),
            waiting: HashMap::new(),
            subscriptions: HashMap::new(),
            accounts: token_accounts.len(),
            refused: BTreeSet::new(),
            slots: Slots::Asked,
            phase: Phase::Asking,
            alive_until: Instant::now() + patience,
        }
    }

    /// The next question to send, as long as not too many are unanswered.
    fn next_question(&mut self) -> Option<String> {
        if self.waiting.len() >= ASKED_AT_ONCE {
            return None;
        }
        let (id, asked) = self.unasked.pop_front()?;
        self.waiting.insert(id, asked);
        Some(match asked {
            Asked::Slots => subscribe_slots(id),
            Asked::Logs(token_account) => subscribe_logs(id, token_account),
        })
    }

    fn heard(&mut self, said: Said, sink: &mut impl FnMut(Event)) -> Result<(), ListenError> {
        match said {
            Said::Answer { id, subscription } => self.answered(id, subscription, sink)?,
            Said::Slot(slot) => {
                sink(Event::Slot(slot));
                self.slots = Slots::Come;
                if self.phase == Phase::Proving {
                    self.open(Some(slot), sink);
                }
                if self.phase == Phase::Open {
                    self.is_alive();
                }
            }
            Said::Logs { subscription, logs } => {
                if let Some(hint) = self.hint(&subscription, &logs) {
                    sink(Event::Hint(hint));
                }
            }
            Said::Other => {}
        }
        if self.phase == Phase::Open && self.slots != Slots::Come {
            // Without slots, any message shows that the socket is alive: the answer to a ping at least.
            self.is_alive();
            sink(Event::Alive);
        }
        Ok(())
    }

    fn answered(
        &mut self,
        id: u64,
        subscription: Result<String, i64>,
        sink: &mut impl FnMut(Event),
    ) -> Result<(), ListenError> {
        let Some(asked) = self.waiting.remove(&id) else {
            return Ok(());
        };
        self.is_alive();
        match (asked, subscription) {
            (Asked::Slots, Ok(_)) if self.slots == Slots::Come => {}
            (Asked::Slots, Ok(_)) => self.slots = Slots::Stand,
            (Asked::Slots, Err(_)) => self.slots = Slots::Refused,
            (Asked::Logs(token_account), Ok(number)) => {
                self.subscriptions.insert(number, token_account);
            }
            (Asked::Logs(token_account), Err(_)) => {
                self.refused.insert(token_account);
            }
        }
        if self.phase != Phase::Asking || !self.are_logs_answered() {
            return Ok(());
        }
        if self.accounts > 0 && self.refused.len() == self.accounts {
            return Err(ListenError::Refused {
                doing: "subscribe to logs",
                what: "refused by the node",
            });
        }
        match (self.proof, self.slots) {
            (Proof::Answers, _) | (_, Slots::Refused) => self.open(None, sink),
            (Proof::Slot, Slots::Asked) => {}
            (Proof::Slot, Slots::Stand | Slots::Come) => self.phase = Phase::Proving,
        }
        Ok(())
    }

    fn are_logs_answered(&self) -> bool {
        let unasked = self.unasked.iter().map(|(_, asked)| asked);
        let mut open = self.waiting.values().chain(unasked);
        !open.any(|asked| matches!(asked, Asked::Logs(_)))
    }

    fn open(&mut self, slot: Option<Slot>, sink: &mut impl FnMut(Event)) {
        self.phase = Phase::Open;
        sink(Event::Subscribed(Subscribed {
            slot,
            refused: self.refused.clone(),
        }));
    }

    fn is_alive(&mut self) {
        self.alive_until = Instant::now() + self.patience;
    }

    /// The reason for the end of a connection from which nothing came in time.
    fn silence(&self) -> ListenError {
        match (self.phase, self.slots) {
            (Phase::Asking, _) if !self.are_logs_answered() => ListenError::Slow("subscribe"),
            (Phase::Open, Slots::Asked | Slots::Stand | Slots::Refused) => {
                ListenError::Unanswered(self.patience)
            }
            _ => ListenError::Silent(self.patience),
        }
    }

    fn hint(&self, subscription: &str, logs: &Logs) -> Option<Hint> {
        // Some nodes notify a signature of all ones many times a minute. No transaction has it.
        let is_none = logs.signature == Signature::default();
        if is_none || logs.has_error || has_failed(&logs.lines) {
            return None;
        }
        Some(Hint {
            signature: logs.signature,
            token_account: *self.subscriptions.get(subscription)?,
            memos: logged_memos(&logs.lines),
        })
    }
}

#[cfg(test)]
mod tests;
