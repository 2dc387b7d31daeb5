//! The road of a payment, one file a step:
//! `follow` and `sweep` bring signatures, `ingest` turns them into recorded payments, `confirm` tells the merchant,
//! `settle` waits for the chain. `checkouts` and `watch` keep what they need to know up to date.
//!
//! Each loop is `loop { step().await }`; a step may be repeated and may be cut off at any line.

mod ahead;
mod aside;
mod attempt;
mod backfill;
mod checkouts;
mod confirm;
mod explain;
mod fetch;
mod follow;
mod gaps;
mod handed;
mod heard;
mod history;
mod ingest;
mod key;
mod leaving;
mod opinion;
mod owing;
mod progress;
mod promising;
mod reach;
mod reconcile;
mod rhythm;
mod schedule;
mod settle;
mod shares;
mod skips;
mod status;
mod sweep;
mod turns;
mod walk;
mod watch;
mod watching;

pub use backfill::{Backfill, Bound, Report};
pub use checkouts::Checkouts;
pub use confirm::{Confirm, ConfirmOutcome};
pub use explain::{Background, Explained, Read, Recipient, fuller, look_at};
pub use follow::{Follow, FollowOutcome, hints};
pub use history::Floor;
pub use opinion::SecondOpinion;
pub use progress::{LogLines, Progress};
pub use reach::Shortfall;
pub use schedule::next_attempt;
pub use settle::{Settle, SettleOutcome};
pub use status::{Status, Unready};
pub use sweep::{Sweep, Swept};
pub use turns::Turns;
pub use watch::Watch;
pub use watching::Watching;

use handed::Handed;
use heard::Heard;
use key::KeyCheck;
use owing::Owing;
use rhythm::Rhythm;
use shares::Shares;

use crate::{
    config::Config,
    merchant::{Backend, Merchant},
    solana::Rpc,
    store::Store,
};
use anyhow::Context;
use std::{sync::Arc, time::Duration};
use tokio::sync::{Notify, watch as channel};

/// What all steps share.
pub struct Pipeline {
    /// What was configured.
    pub config: Config,
    /// The Solana nodes.
    pub rpc: Rpc,
    /// Who sells.
    pub merchant: Arc<dyn Backend>,
    /// The database.
    pub store: Store,
    /// How things stand.
    pub status: Status,
    /// What wakes the loops.
    pub bells: Bells,
    handed: Handed,
    key_check: KeyCheck,
    rhythm: Rhythm,
    heard: Heard,
    shares: Shares,
    owing: Owing,
    watching: channel::Sender<Arc<Watching>>,
}

/// What wakes a loop before its time. Ringing twice is ringing once.
#[derive(Debug, Default)]
pub struct Bells {
    /// Something may have been missed.
    pub sweep: Notify,
    /// A confirmation was queued.
    pub confirm: Notify,
    /// A payment's memo is unknown: there may be new checkouts.
    pub checkouts: Notify,
}

impl Pipeline {
    /// Builds the adapters over an opened store. Opens no connection.
    ///
    /// # Errors
    /// When an HTTP client cannot be built.
    pub fn new(config: Config, store: Store) -> anyhow::Result<Arc<Self>> {
        let rpc = Rpc::new(&config.solana.rpc_urls, config.solana.limits)
            .context("build the RPC client")?;
        let merchant =
            Merchant::new(&config.merchant.settings).context("build the payments API client")?;
        Ok(Self::over(config, store, &rpc, Arc::new(merchant)))
    }

    /// The same over adapters that are built already.
    #[must_use]
    pub fn over(config: Config, store: Store, rpc: &Rpc, merchant: Arc<dyn Backend>) -> Arc<Self> {
        Arc::new(Self {
            rpc: rpc.patient(),
            merchant,
            store: store.taking(config.policy.amount),
            status: Status::default(),
            bells: Bells::default(),
            handed: Handed::new(config.merchant.settings.max_in_flight),
            key_check: KeyCheck::default(),
            rhythm: Rhythm::new(config.solana.ws_urls.len()),
            heard: Heard::default(),
            shares: Shares::new(config.solana.limits.max_in_flight),
            owing: Owing::default(),
            watching: channel::Sender::new(Arc::new(Watching::nothing(&config.policy))),
            config,
        })
    }

    /// How long to wait for the next sweep.
    #[must_use]
    pub fn sweep_pause(&self) -> Duration {
        self.rhythm.pause(self.config.solana.sweep_every)
    }

    /// How many WebSockets are open, of so many.
    #[must_use]
    pub fn open_sockets(&self) -> (usize, usize) {
        self.rhythm.open_sockets()
    }

    /// What is watched now.
    #[must_use]
    pub fn watching(&self) -> Arc<Watching> {
        self.watching.borrow().clone()
    }

    /// Tells when what is watched changes.
    #[must_use]
    pub fn watching_changes(&self) -> channel::Receiver<Arc<Watching>> {
        self.watching.subscribe()
    }
}
