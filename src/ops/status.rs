//! `GET /v1/status`: how the daemon stands, for `paywatch status` and other machines.

use super::Shared;
use super::health::unready;
use crate::clock;
use crate::domain::{Slot, Timestamp};
use crate::pipeline::Pipeline;
use crate::store;
use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How a daemon stands, and how it did lately.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Now.
    #[serde(flatten)]
    pub standing: Standing,
    /// What happened lately.
    pub last_hour: Rate,
    /// What happened today and yesterday.
    pub last_day: Rate,
}

/// How a daemon stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Of the daemon.
    pub version: String,
    /// Why it does not do its work; `None` = it does.
    pub not_ready: Option<String>,
    /// The newest slot a WebSocket brought.
    pub slot: Option<Slot>,
    /// Seconds since a WebSocket last brought one.
    pub slot_heard_ago_seconds: Option<u64>,
    /// WebSockets that are open.
    pub sockets_open: usize,
    /// WebSockets that are configured.
    pub sockets: usize,
    /// The token accounts that are swept each time.
    pub token_accounts: Vec<AccountStatus>,
    /// How many more are watched, and swept in turn (`watch.max_accounts`).
    pub token_accounts_in_turn: usize,
    /// How many of the token accounts every WebSocket subscribes to.
    pub token_accounts_listened: usize,
    /// Tokens for which nothing is watched, and why.
    pub unwatchable: Vec<String>,
    /// Seconds since the checkouts were last read.
    pub checkouts_read_ago_seconds: Option<u64>,
    /// Checkouts that wait for a payment.
    pub pending_checkouts: u64,
    /// Confirmations on their way.
    pub outbox: Outbox,
    /// Payments that wait for a person, by reason.
    pub held: BTreeMap<String, u64>,
    /// Held payments that are too small to need a person (`policy.dust_below`).
    #[serde(default)]
    pub dust: u64,
    /// Whether people are told what happens.
    pub notices: Notices,
}

/// Whether people are told what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Notices {
    /// No address is configured.
    Off,
    /// They are posted.
    On,
    /// The address answered 410 Gone: nothing is posted until the next start.
    Gone,
}

/// A watched token account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountStatus {
    /// Its address.
    pub token_account: String,
    /// Its token's name.
    pub symbol: String,
    /// Seconds since its history was last swept to the end.
    pub swept_ago_seconds: Option<u64>,
}

/// Confirmations that are not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outbox {
    /// On their way.
    pub queued: u64,
    /// Of these, tried in vain so far.
    pub undelivered: u64,
    /// Given up: they wait for a person.
    pub parked: u64,
    /// Accepted by the API, whose history shows no credit: they wait for a person.
    #[serde(default)]
    pub uncredited: u64,
    /// How long the oldest one has been on its way.
    pub oldest_seconds: Option<u64>,
}

/// Payments in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Recorded in it.
    pub payments: u64,
    /// Of these, confirmed.
    pub confirmed: u64,
}

impl Standing {
    /// Whether somebody has to do something.
    #[must_use]
    pub fn needs_a_person(&self) -> bool {
        let outbox = self.outbox;
        self.not_ready.is_some()
            || outbox.parked > 0
            || outbox.uncredited > 0
            || !self.held.is_empty()
            || self.notices == Notices::Gone
            || !self.unwatchable.is_empty()
    }

    pub(super) async fn take(pipeline: &Pipeline, now: Timestamp) -> store::Result<Self> {
        let (status, store) = (&pipeline.status, &pipeline.store);
        let ago = |at: Option<Timestamp>| at.map(|at| now.since(at).as_secs());
        let slot = status.slot();
        let (sockets_open, sockets) = pipeline.open_sockets();
        let watching = pipeline.watching();
        let accounts = watching.active().map(|watched| AccountStatus {
            token_account: watched.token_account.to_string(),
            symbol: watched.symbol.clone(),
            swept_ago_seconds: status
                .account_swept_at(watched.token_account)
                .map(|at| at.elapsed().as_secs()),
        });
        let counts = store.count_confirmations().await?;
        let (_, pending_checkouts) = store.count_checkouts().await?;
        let held = store.held().await?.into_iter();
        Ok(Self {
            version: env!("CARGO_PKG_VERSION").into(),
            not_ready: unready(pipeline).await.map(|why| why.as_str().into()),
            slot: slot.map(|(slot, _)| slot),
            slot_heard_ago_seconds: ago(slot.map(|(_, heard_at)| heard_at)),
            sockets_open,
            sockets,
            token_accounts: accounts.collect(),
            token_accounts_in_turn: watching.turns.in_turn(),
            token_accounts_listened: watching.turns.listened().len(),
            unwatchable: status.unwatchable(),
            checkouts_read_ago_seconds: ago(status.polled_at()),
            pending_checkouts,
            outbox: Outbox {
                queued: counts.queued,
                undelivered: counts.undelivered,
                parked: counts.parked,
                uncredited: counts.uncredited,
                oldest_seconds: ago(counts.oldest_queued_at),
            },
            held: held.map(|tally| (tally.verdict, tally.payments)).collect(),
            dust: store.count_dust().await?,
            notices: match pipeline.config.notify {
                None => Notices::Off,
                Some(_) if status.are_notices_refused() => Notices::Gone,
                Some(_) => Notices::On,
            },
        })
    }
}

/// Without a token, like the metrics: it names no payer and no secret.
pub(super) async fn status(
    State(shared): State<Shared>,
) -> Result<Json<Snapshot>, (StatusCode, &'static str)> {
    match snapshot(&shared).await {
        Ok(snapshot) => Ok(Json(snapshot)),
        Err(error) => {
            tracing::warn!(
                error = format!("{:#}", anyhow::Error::new(error)),
                "no status"
            );
            shared.pipeline.status.store_failed(true);
            Err((StatusCode::SERVICE_UNAVAILABLE, "the database fails\n"))
        }
    }
}

async fn snapshot(shared: &Shared) -> store::Result<Snapshot> {
    let recent = shared.recents.get(&shared.pipeline.store).await?;
    Ok(Snapshot {
        standing: Standing::take(&shared.pipeline, clock::now()).await?,
        last_hour: recent.last_hour,
        last_day: recent.last_day,
    })
}
