//! The world around the daemon: a ledger behind two nodes, a payments API, and what goes wrong with them.

use super::gate::Gate;
use super::person::Decisions;
use super::traits::Traits;
use crate::support::backend::Backend;
use crate::support::ledger::Ledger;
use futures_util::FutureExt;
use paywatch::domain::Memo;
use paywatch::http::{Exchange, Fault, Reply, Request};
use paywatch::solana::Hint;
use paywatch::store::Store;
use rand::{Rng, SeedableRng, rngs::StdRng};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use solana_sdk::hash::hash;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::time::Instant;

/// Virtual time of a slot.
pub(super) const SLOT: Duration = Duration::from_millis(400);
const FIRST_SLOT: u64 = 1_000;
/// Deadline of a request, as configured.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);
pub(super) struct Model {
    pub(super) ledger: Ledger,
    pub(super) backend: Backend,
    /// Whether things go wrong.
    pub(super) storm: bool,
    pub(super) traits: Traits,
    /// The slot in which each of the backend's confirms came.
    pub(super) put_in: Vec<u64>,
    /// Hints that come in a later slot than the payment, or come again.
    pub(super) late_hints: Vec<(u64, Hint)>,
    /// What a person decided.
    pub(super) decided: Decisions,
    /// Which checkouts a person ever named for which transactions.
    pub(super) by_hand: Vec<(String, Memo)>,
    /// The process is killed at the very moment of the next exchange of this kind.
    pub(super) kill_at: Option<Moment>,
    /// The process that is killed then. From that moment on it begins no write and hears no answer; a write that it had begun ends, for
    /// which of two threads is faster must make no difference.
    pub(super) living: Option<Store>,
    /// Everything that was asked and answered, as one number, whatever the order within an instant.
    pub(super) trace: u64,
    seed: u64,
    /// Throws for what happens in the world.
    pub(super) script: StdRng,
    /// Throws for one exchange. It follows from what is asked and how often it was asked before, not from who came first.
    pub(super) dice: StdRng,
    asked: HashMap<Vec<u8>, u64>,
    /// When the chain stood still, and for how long: no commitment moves, and nothing is lost by it.
    pub(super) halts: Vec<(Duration, Duration)>,
    pub(super) began: Instant,
    /// Confirms under way, and the most there ever were at once.
    pub(super) confirming: (usize, usize),
    /// The API or a node is away until then.
    pub(super) api_away: Instant,
    pub(super) node_away: [Instant; 2],
    /// The socket is lost until then.
    pub(super) socket_away: Instant,
}

/// When a process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Whatever is asked next.
    Any,
    /// The API was told of a payment, and its answer is not heard.
    Confirm,
    /// A transaction was asked for.
    Transaction,
}

/// The model, shared between the network's ends.
#[derive(Clone)]
pub(super) struct World {
    pub(super) gate: Gate,
    model: Arc<Mutex<Model>>,
}

/// One end of the network.
pub(super) enum End {
    Nodes(World),
    Api(World),
}

impl World {
    pub(super) fn new(seed: u64, traits: &Traits, gate: Gate) -> Self {
        let mut script = StdRng::seed_from_u64(seed);
        let now = Instant::now();
        let traits = traits.clone();
        Self {
            gate,
            model: Arc::new(Mutex::new(Model {
                ledger: Ledger::new(),
                storm: true,
                put_in: Vec::new(),
                late_hints: Vec::new(),
                decided: Decisions::new(),
                by_hand: Vec::new(),
                kill_at: None,
                living: None,
                trace: 0,
                seed,
                backend: Backend {
                    lag: script.random_range(0..12),
                    habits: traits.habits,
                    ..Backend::default()
                },
                traits,
                dice: script.clone(),
                script,
                asked: HashMap::new(),
                halts: Vec::new(),
                began: now,
                confirming: (0, 0),
                api_away: now,
                node_away: [now, now],
                socket_away: now,
            })),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap()
    }
}

impl Model {
    pub(super) fn slot(&self) -> u64 {
        let now = self.began.elapsed();
        let stood: Duration = self
            .halts
            .iter()
            .map(|(from, length)| now.saturating_sub(*from).min(*length))
            .sum();
        FIRST_SLOT
            + u64::try_from(now.saturating_sub(stood).as_millis() / SLOT.as_millis()).unwrap()
    }

    pub(super) fn happens(&mut self, percent: u32) -> bool {
        self.script.random_range(0..100) < percent
    }

    /// Throws anew for an exchange.
    fn shake(&mut self, request: &Request) {
        let key = [
            request.url.as_str().as_bytes(),
            request.json.as_deref().unwrap_or_default(),
        ]
        .concat();
        let count = self.asked.entry(key.clone()).or_insert(0);
        *count += 1;
        let all = [&self.seed.to_le_bytes()[..], &count.to_le_bytes(), &key].concat();
        self.dice = StdRng::from_seed(hash(&all).to_bytes());
    }

    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.dice.random_range(0..100) < percent
    }

    pub(super) fn pick(&mut self, below: u64) -> u64 {
        self.script.random_range(0..below)
    }

    fn note(&mut self, text: &str) {
        tracing::trace!("exchange {text}");
        let hash = hash(text.as_bytes()).to_bytes();
        let (first, _) = hash.split_first_chunk().unwrap();
        self.trace = self.trace.wrapping_add(u64::from_le_bytes(*first));
    }
}

/// A confirm under way.
struct Confirming(World);

impl Confirming {
    fn begin(world: &World) -> Self {
        let mut model = world.lock();
        let (now, most) = model.confirming;
        model.confirming = (now + 1, most.max(now + 1));
        Self(world.clone())
    }
}

impl Drop for Confirming {
    fn drop(&mut self) {
        self.0.lock().confirming.0 -= 1;
    }
}

pub(super) fn reply(status: u16, body: &Value) -> Reply {
    Reply {
        status: StatusCode::from_u16(status).unwrap(),
        retry_after: None,
        redirect: None,
        body: body.to_string().into_bytes(),
    }
}

pub(super) fn text(body: &str) -> Reply {
    Reply {
        body: body.as_bytes().to_vec(),
        ..reply(200, &Value::Null)
    }
}

#[async_trait::async_trait]
impl Exchange for End {
    async fn exchange(&self, request: Request) -> Result<Reply, Fault> {
        let (Self::Nodes(world) | Self::Api(world)) = self;
        let _confirming = (request.method == Method::PUT).then(|| Confirming::begin(world));
        let (there, back) = {
            let mut model = world.lock();
            model.shake(&request);
            let slow = model.storm && model.chance(5);
            let back = if slow { 4_000 } else { 40 };
            let mut up_to = |most: u64| Duration::from_millis(model.dice.random_range(0..most));
            (up_to(40), up_to(back))
        };
        tokio::time::sleep(there).await;
        let (answer, is_dead) = {
            let mut model = world.lock();
            model.shake(&request);
            let answer = match self {
                Self::Nodes(_) => {
                    let index = usize::from(request.url.host_str() == Some("node-2"));
                    model.node(index, &request)
                }
                Self::Api(_) => model.api(&request),
            };
            let at = model.began.elapsed().as_millis();
            let body = request.json.as_deref().map(String::from_utf8_lossy);
            let seen = match &answer {
                Ok(reply) => format!("{} {}", reply.status, String::from_utf8_lossy(&reply.body)),
                Err(fault) => fault.to_string(),
            };
            let line = format!("{at} {} {body:?} {seen}", request.url);
            model.note(&line);
            let is_of = |moment| match moment {
                Moment::Any => true,
                Moment::Confirm => request.method == Method::PUT,
                Moment::Transaction => line.contains("getTransaction"),
            };
            if model.kill_at.take_if(|moment| is_of(*moment)).is_some()
                && let Some(store) = model.living.take()
            {
                let _under_way = store.close().now_or_never();
            }
            (answer, model.living.is_none())
        };
        if is_dead {
            // The question was asked; nobody hears the answer.
            std::future::pending::<()>().await;
        }
        match answer {
            Err(fault @ Fault::NotInTime(_)) => {
                tokio::time::sleep(DEADLINE).await;
                Err(fault)
            }
            other => {
                tokio::time::sleep(back).await;
                other
            }
        }
    }
}
