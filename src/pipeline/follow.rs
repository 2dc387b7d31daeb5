//! Step 1a: hints from the WebSocket are ingested at once. Losing one costs latency, never money.

use super::heard::Recent;
use super::ingest::{HINT_PAUSES, Sighting};
use super::{Pipeline, Watching};
use crate::domain::{Commitment, Signature, TokenAccount};
use crate::solana::{Event, Hint, ListenError, Proof, Subscribed, listen_once};
use crate::{chance, clock};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch as channel},
    time::Instant,
};
use url::Url;

/// Hints that wait while all hands are full; more are dropped and left to the sweep.
const QUEUE: usize = 4096;
/// Hints in work at once. Most of their time is waiting for a node that lags behind its own notification.
const UNDER_WAY_MAX: usize = 256;
/// Longest silence on a socket, and longest wait while opening it.
const PATIENCE: Duration = Duration::from_secs(10);
/// A notification may come so much later than the sweep that finds its transaction.
const HINT_GRACE: Duration = Duration::from_secs(5);
/// Pauses between connections, the last repeats; stretched by up to half at random.
const RECONNECT_PAUSES: [Duration; 6] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
    Duration::from_secs(20),
];

/// The queue between listeners and [`Follow`].
#[must_use]
pub fn hints() -> (mpsc::Sender<Hint>, mpsc::Receiver<Hint>) {
    mpsc::channel(QUEUE)
}

impl Pipeline {
    /// Listens on one endpoint for ever: connect, subscribe to the active accounts, sweep; when the connection fails or those
    /// accounts change, begin again.
    pub async fn listen(&self, url: &Url, hints: &mpsc::Sender<Hint>) {
        let endpoint = crate::solana::endpoint_label(url);
        let mut changes = self.watching_changes();
        let (mut failures, mut proof) = (0_usize, Proof::Slot);
        loop {
            let accounts = changes.borrow_and_update().turns.listened().clone();
            if accounts.is_empty() {
                if changes.changed().await.is_err() {
                    return;
                }
                continue;
            }
            self.status.listens(clock::now());
            let session = Session::of(accounts, proof);
            let ended = self.listen_to(url, &session, hints, &mut changes).await;
            if let Some((at, how)) = session.subscribed.get() {
                metrics::gauge!("paywatch_sockets_open").decrement(1.0);
                self.rhythm.closed(how);
                // The next connection may be a long way off.
                self.bells.sweep.notify_one();
                // A connection that did not last is no success: each opening costs the node some sweeps.
                failures = if at.elapsed() > PATIENCE { 0 } else { failures };
            } else if matches!(ended, Some(ListenError::Silent(_))) {
                // The node accepts `slotSubscribe` and brings no slot: what it notifies is heard all the same.
                proof = Proof::Answers;
            }
            let Some(ended) = ended else { continue };
            let pause = RECONNECT_PAUSES
                .get(failures)
                .unwrap_or(&RECONNECT_PAUSES[RECONNECT_PAUSES.len() - 1]);
            let pause = pause.mul_f64(1.0 + 0.5 * chance::fraction());
            failures += 1;
            metrics::counter!("paywatch_reconnects_total").increment(1);
            tracing::warn!(endpoint, reason = %ended, ?pause, "WebSocket lost; sweeps go on, connecting again");
            tokio::time::sleep(pause).await;
        }
    }

    /// Runs one connection. Returns why it ended; `None` if the accounts to listen to changed.
    async fn listen_to(
        &self,
        url: &Url,
        session: &Session,
        hints: &mpsc::Sender<Hint>,
        changes: &mut channel::Receiver<Arc<Watching>>,
    ) -> Option<ListenError> {
        let accounts = &session.accounts;
        let list: Vec<_> = accounts.iter().copied().collect();
        let connection = listen_once(url, &list, PATIENCE, session.proof, |event| match event {
            Event::Subscribed(how) => {
                self.on_subscribed(&how, list.len());
                // A connection says it once.
                let _first = session.subscribed.set((Instant::now(), how));
            }
            Event::Slot(slot) => self.status.saw_slot(slot, clock::now()),
            Event::Alive => self.status.heard(clock::now()),
            Event::Hint(hint) => {
                session.last_hint.send_replace(Some(Instant::now()));
                self.on_hint(hint, hints);
            }
        });
        // An account that merely lost its place keeps its subscription; one that is watched no more does not.
        let is_other = |watching: &Arc<Watching>| {
            let is_watched = |account| watching.accounts().contains(account);
            !watching.turns.listened().is_subset(accounts) || !accounts.iter().all(is_watched)
        };
        tokio::select! {
            biased;
            Err(ended) = connection => Some(ended),
            () = async { let _changed = changes.wait_for(is_other).await.is_ok(); } => None,
            ended = self.goes_deaf(session) => Some(ended),
        }
    }

    fn on_subscribed(&self, how: &Subscribed, accounts: usize) {
        // Counted by the recorder itself: two sockets may open at the same moment.
        metrics::gauge!("paywatch_sockets_open").increment(1.0);
        self.rhythm.opened(how);
        self.status.subscribed();
        self.status.heard(clock::now());
        if !how.refused.is_empty() {
            tracing::warn!(
                refused = how.refused.len(),
                accounts,
                "the node refuses some subscriptions; those accounts are swept, not heard"
            );
        }
        if how.slot.is_none() {
            tracing::info!(
                "the node sends no slots; answers to pings show that the WebSocket is alive"
            );
        }
        // Whatever came while nobody listened.
        self.bells.sweep.notify_one();
    }

    fn on_hint(&self, hint: Hint, hints: &mpsc::Sender<Hint>) {
        self.heard.note(hint.signature);
        if hints.try_send(hint).is_err() {
            metrics::counter!("paywatch_hints_dropped_total").increment(1);
            self.bells.sweep.notify_one();
        }
    }

    /// Ends when a sweep found a payment that this socket should have brought, and the socket had brought nothing around that time.
    /// A node may send slots or answer pings and still have lost the subscriptions.
    async fn goes_deaf(&self, session: &Session) -> ListenError {
        let mut missed = self.rhythm.missed();
        while missed.changed().await.is_ok() {
            if !session.hears_one_of(&missed.borrow_and_update()) {
                continue;
            }
            tokio::time::sleep(HINT_GRACE).await;
            let heard_at = *session.last_hint.borrow();
            if heard_at.is_none_or(|at| at.elapsed() > HINT_GRACE.saturating_mul(2)) {
                return ListenError::Deaf;
            }
        }
        std::future::pending().await
    }
}

/// One connection, as its listener sees it.
struct Session {
    /// The accounts to subscribe to.
    accounts: BTreeSet<TokenAccount>,
    proof: Proof,
    /// Since when and how the subscriptions stand.
    subscribed: OnceLock<(Instant, Subscribed)>,
    last_hint: channel::Sender<Option<Instant>>,
}

impl Session {
    fn of(accounts: BTreeSet<TokenAccount>, proof: Proof) -> Self {
        Self {
            accounts,
            proof,
            subscribed: OnceLock::new(),
            last_hint: channel::Sender::default(),
        }
    }

    /// Whether it has a subscription to one of these accounts.
    fn hears_one_of(&self, accounts: &BTreeSet<TokenAccount>) -> bool {
        self.subscribed.get().is_some_and(|(_, how)| {
            let is_heard =
                |account| self.accounts.contains(account) && !how.refused.contains(account);
            accounts.iter().any(is_heard)
        })
    }
}

/// What one step of [`Follow`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowOutcome {
    /// A new hint is in work.
    Started(Signature),
    /// The hint was known already.
    Folded,
    /// A hint was ingested; so many payments are new.
    Ingested(Signature, usize),
    /// It is left to the sweep.
    LeftToSweep(Signature),
    /// All listeners are gone and all work is done.
    Ended,
}

/// Ingests hints, many at once.
pub struct Follow {
    pipeline: Arc<Pipeline>,
    hints: mpsc::Receiver<Hint>,
    recent: Recent,
    under_way: FuturesUnordered<BoxFuture<'static, (Signature, anyhow::Result<Option<usize>>)>>,
}

impl Follow {
    /// Ingests what comes through `hints`.
    #[must_use]
    pub fn new(pipeline: Arc<Pipeline>, hints: mpsc::Receiver<Hint>) -> Self {
        Self {
            pipeline,
            hints,
            recent: Recent::default(),
            under_way: FuturesUnordered::new(),
        }
    }

    /// Takes one hint, or finishes one.
    pub async fn step(&mut self) -> FollowOutcome {
        tokio::select! {
            biased;
            Some((signature, result)) = self.under_way.next() => self.finished(signature, result),
            hint = self.hints.recv(), if self.under_way.len() < UNDER_WAY_MAX => match hint {
                Some(hint) => self.take(hint),
                None => FollowOutcome::Ended,
            },
        }
    }

    fn take(&mut self, hint: Hint) -> FollowOutcome {
        metrics::counter!("paywatch_hints_total").increment(1);
        if !self.recent.insert(hint.signature) {
            return FollowOutcome::Folded;
        }
        let (pipeline, signature, seen_at) = (self.pipeline.clone(), hint.signature, clock::now());
        let work = async move {
            let sighting = Sighting {
                signature: hint.signature,
                token_account: hint.token_account,
                listed_in: None,
                at: Commitment::Confirmed,
                seen_at,
            };
            if pipeline.can_wait(&hint).await? {
                return Ok(Some(0));
            }
            let Some(ingested) = pipeline.look_at(sighting, &HINT_PAUSES).await? else {
                return Ok(None);
            };
            let recorded = pipeline.record_promptly(&[ingested]).await?;
            Ok(Some(recorded.payments))
        };
        self.under_way
            .push(work.map(move |result| (signature, result)).boxed());
        FollowOutcome::Started(signature)
    }

    fn finished(
        &mut self,
        signature: Signature,
        result: anyhow::Result<Option<usize>>,
    ) -> FollowOutcome {
        match result {
            Ok(Some(payments)) => return FollowOutcome::Ingested(signature, payments),
            Ok(None) => {
                tracing::debug!(%signature, "hint came to nothing so far; the sweep will see");
            }
            Err(error) => {
                tracing::warn!(%signature, error = format!("{error:#}"), "hint not ingested; left to the sweep");
            }
        }
        self.recent.forget(signature);
        self.pipeline.bells.sweep.notify_one();
        FollowOutcome::LeftToSweep(signature)
    }
}
