//! A payments API that answers at once and notes when it was told what: it must not be what is measured.
//!
//! Its sessions are a range of numbers, so that a million of them cost nothing.

use crate::world::{self, PRICE};
use axum::serve::Listener;
use axum::{
    Json, Router,
    extract::{Query, State},
    routing::{get, put},
};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};
use tokio::task::JoinSet;

/// When each transaction was first confirmed, by its signature; and how many calls there were.
#[derive(Default)]
pub struct Told {
    at: Mutex<HashMap<String, Instant>>,
    calls: AtomicUsize,
}

impl Told {
    /// When a transaction was first confirmed.
    pub fn at(&self, signature: &str) -> Option<Instant> {
        self.at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(signature)
            .copied()
    }

    /// When the last one was.
    pub fn last(&self) -> Option<Instant> {
        let at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        at.values().max().copied()
    }

    /// Transactions that were confirmed.
    pub fn count(&self) -> usize {
        self.at.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Calls that confirmed something, repeated ones too.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

/// What its handlers know.
struct Sessions {
    mint: String,
    wallet: String,
    count: usize,
    told: Arc<Told>,
}

/// Runs as long as it is not dropped.
pub struct Api {
    pub url: String,
    pub told: Arc<Told>,
    _server: JoinSet<()>,
}

impl Api {
    /// Serves this many pending sessions, whose memos are [`memo`] of 0, 1, 2…
    pub async fn start(mint: String, wallet: String, count: usize) -> anyhow::Result<Self> {
        let told = Arc::new(Told::default());
        let sessions = Sessions {
            mint,
            wallet,
            count,
            told: told.clone(),
        };
        let router = Router::new()
            .route("/supported_tokens", get(tokens))
            .route("/history", get(history))
            .route("/crypto/confirm", put(confirm))
            .with_state(Arc::new(sessions));
        let listener = world::listener().await?;
        let url = format!("http://{}", listener.local_addr()?);
        let mut server = JoinSet::new();
        server.spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                eprintln!("{error}");
            }
        });
        Ok(Self {
            url,
            told,
            _server: server,
        })
    }
}

/// The memo of a session.
pub fn memo(session: usize) -> String {
    format!("{session:032x}")
}

async fn tokens(State(sessions): State<Arc<Sessions>>) -> Json<Value> {
    Json(
        json!([{ "symbol": "USDC", "mint": sessions.mint, "recipient": sessions.wallet, "decimals": 6, "enabled": true }]),
    )
}

async fn history(
    State(sessions): State<Arc<Sessions>>,
    Query(page): Query<HashMap<String, usize>>,
) -> Json<Value> {
    let limit = page.get("limit").copied().unwrap_or(50);
    let offset = page.get("offset").copied().unwrap_or(0);
    let end = sessions.count.min(offset.saturating_add(limit));
    let one = |session| json!({ "memo": memo(session), "amount": PRICE, "token": sessions.mint, "recipient": sessions.wallet, "status": 0 });
    Json((offset..end).map(one).collect())
}

async fn confirm(
    State(sessions): State<Arc<Sessions>>,
    Query(pair): Query<HashMap<String, String>>,
) -> Json<Value> {
    let now = Instant::now();
    let told = &sessions.told;
    told.calls.fetch_add(1, Ordering::Relaxed);
    if let Some(signature) = pair.get("transaction_hash") {
        told.at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(signature.clone())
            .or_insert(now);
    }
    Json(json!({}))
}
