//! The sweep with an end: history once, between two bounds, then confirmations until none is due.

use super::history::Floor;
use super::progress::Progress;
use super::reach::{Below, Depth, Shortfall};
use super::{Checkouts, Confirm, ConfirmOutcome, Pipeline, Sweep, Swept, Watch};
use crate::clock;
use crate::config::Scope;
use crate::domain::{Commitment, Held, Signature, Slot, Watched};
use crate::solana::Fetched;
use crate::store::{ConfirmationCounts, Next, Tally};
use anyhow::{Context, bail};
use std::{
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// How long a backfill waits for confirmations that must be sent again before it leaves them to the next run.
const LINGER: Duration = Duration::from_secs(30);

/// An end of the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// So long ago.
    Ago(Duration),
    /// At this time, Unix seconds.
    Time(i64),
    /// In this slot.
    Slot(Slot),
    /// Where this transaction landed.
    Signature(Signature),
}

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(slot) = text.parse() {
            return Ok(Self::Slot(slot));
        }
        if let Ok(ago) = humantime::parse_duration(text) {
            return Ok(Self::Ago(ago));
        }
        if let Some(at) = clock::read(text) {
            return Ok(Self::Time(at.unix_seconds()));
        }
        text.parse().map(Self::Signature).map_err(|_| {
            "expected a duration (24h), a time (2026-11-22T08:00:00Z), a slot (331122334) or a transaction signature".to_owned()
        })
    }
}

/// What a backfill did.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Report {
    /// Signatures in range.
    pub listed: usize,
    /// Transactions fetched.
    pub fetched: usize,
    /// Payments recorded for the first time.
    pub new_payments: usize,
    /// All payments in range, by verdict.
    pub verdicts: Vec<Tally>,
    /// Confirmations acknowledged by this run.
    pub acknowledged: usize,
    /// Confirmations still queued, of this range or not.
    pub queued: u64,
    /// Those of them that were tried in vain.
    pub undelivered: u64,
    /// Confirmations given up, of this range or not.
    pub parked: u64,
    /// Confirmations that the API accepted and its history does not show as credited, of this range or not.
    pub uncredited: u64,
    /// Whether it was told to stop before its end.
    pub interrupted: bool,
    /// Whether the nodes keep less history than was asked for: payments before that are not found.
    pub history_is_short: bool,
    /// Where history was asked for from, if it is short: a time in RFC 3339, or a slot.
    pub history_asked_from: Option<String>,
    /// When the history of the nodes begins, RFC 3339, if it is short and they say so.
    pub history_begins_at: Option<String>,
    /// The slot in which the history of the nodes begins, if it is short and they say so.
    pub history_begins_in_slot: Option<Slot>,
    /// Where history was asked for from, if no node lists anything that old, and it is only their word that there is nothing: a time in
    /// RFC 3339, or a slot.
    pub history_claimed_from: Option<String>,
}

impl Report {
    /// Whether a person must look: at payments, or at the nodes because their history is too short.
    #[must_use]
    pub fn needs_a_person(&self) -> bool {
        self.history_is_short || self.has_payments_for_a_person()
    }

    /// Whether payments are held or given up.
    #[must_use]
    pub fn has_payments_for_a_person(&self) -> bool {
        let held = |tally: &Tally| {
            Held::ALL
                .iter()
                .any(|reason| reason.as_str() == tally.verdict)
        };
        self.parked > 0 || self.uncredited > 0 || self.verdicts.iter().any(held)
    }
}

/// A bounded sweep.
pub struct Backfill {
    pipeline: Arc<Pipeline>,
    /// Where the range begins; `None` = at the cursor, like the daemon's own sweep, which then moves it.
    pub since: Option<Bound>,
    /// Where it ends; `None` = now.
    pub until: Option<Bound>,
}

impl Backfill {
    /// A backfill of everything the daemon would sweep.
    #[must_use]
    pub fn new(pipeline: Arc<Pipeline>) -> Self {
        Self {
            pipeline,
            since: None,
            until: None,
        }
    }

    /// Reads the checkouts and what to watch, sweeps, and meanwhile confirms; ends when nothing is due. Told to stop, it finishes
    /// the attempts under way.
    ///
    /// # Errors
    /// When API, node or database fails. What was recorded until then stays; the next run goes on from there.
    pub async fn run(
        &self,
        progress: Arc<dyn Progress>,
        stop: &CancellationToken,
    ) -> anyhow::Result<Report> {
        let (finished, mut swept) = (AtomicBool::new(false), None);
        let sweeping = async {
            swept = stop
                .run_until_cancelled(Box::pin(self.sweep(progress)))
                .await;
            finished.store(true, Ordering::Release);
            self.pipeline.bells.confirm.notify_one();
            // Whoever waits for what is due later is to hear that it need not.
            stop.cancelled().await;
            self.pipeline.bells.confirm.notify_one();
        };
        let acknowledged = {
            let confirming = self.confirm_until(&finished, stop);
            tokio::pin!(sweeping, confirming);
            tokio::select! {
                confirmed = &mut confirming => confirmed,
                () = &mut sweeping => confirming.await,
            }?
        };
        let mut report = self.report(swept.transpose()?, stop).await?;
        report.acknowledged = acknowledged;
        Ok(report)
    }

    /// The same without any confirmation.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn dry_run(
        &self,
        progress: Arc<dyn Progress>,
        stop: &CancellationToken,
    ) -> anyhow::Result<Report> {
        let swept = stop
            .run_until_cancelled(Box::pin(self.sweep(progress)))
            .await;
        self.report(swept.transpose()?, stop).await
    }

    async fn prepare(&self) -> anyhow::Result<()> {
        Checkouts::new(self.pipeline.clone())
            .read_all()
            .await
            .context("read the checkouts")?;
        Watch::new(self.pipeline.clone())
            .step()
            .await
            .context("learn what to watch")?;
        if self.pipeline.watching().accounts().is_empty() {
            bail!(
                "there is nothing to watch: the payments API lists no enabled token, or none is on this network"
            );
        }
        Ok(())
    }

    async fn sweep(&self, progress: Arc<dyn Progress>) -> anyhow::Result<Swept> {
        self.prepare().await?;
        let mut sweep = Sweep::telling(self.pipeline.clone(), progress);
        if self.since.is_some() || self.until.is_some() {
            // Who asks for a range asks for all of it.
            sweep.scope = Scope::All;
        }
        let (since, until) = (
            self.resolve(self.since).await?,
            self.resolve(self.until).await?,
        );
        let mut total = Swept::default();
        for watched in self.pipeline.watching().accounts().iter() {
            let swept = self.sweep_one(&sweep, watched, since, until).await;
            total.add(swept.with_context(|| {
                format!("sweep {} of {}", watched.token_account, watched.symbol)
            })?);
        }
        Ok(total)
    }

    async fn sweep_one(
        &self,
        sweep: &Sweep,
        watched: &Watched,
        since: Option<Floor>,
        until: Option<Floor>,
    ) -> anyhow::Result<Swept> {
        if since.is_none() && until.is_none() {
            let mut swept = sweep.resume(watched).await?;
            swept.add_again(sweep.ask_each_alone(watched).await);
            return Ok(swept);
        }
        let look_back = clock::now()
            .minus(self.pipeline.config.watch.look_back)
            .unix_seconds();
        let since = since.unwrap_or(Floor::Time(look_back));
        let below = Below {
            before: None,
            floor: since,
            newest: until,
        };
        let mut swept = Swept::default();
        let account = watched.token_account;
        let told = sweep.walk_below(account, below, &mut swept).await?;
        swept.short = match told.depth {
            Depth::Reached | Depth::Claimed => None,
            Depth::Short(shortfall) => Some(shortfall),
            Depth::Contradicted | Depth::Unclear => Some(Shortfall::unclear(since)),
        };
        Ok(swept)
    }

    async fn resolve(&self, bound: Option<Bound>) -> anyhow::Result<Option<Floor>> {
        Ok(match bound {
            None => None,
            Some(Bound::Ago(ago)) => Some(Floor::Time(clock::now().minus(ago).unix_seconds())),
            Some(Bound::Time(at)) => Some(Floor::Time(at)),
            Some(Bound::Slot(slot)) => Some(Floor::Slot(slot)),
            Some(Bound::Signature(signature)) => {
                match self
                    .pipeline
                    .rpc
                    .transaction(signature, Commitment::Confirmed)
                    .await
                    .context("look up a bound")?
                {
                    Fetched::Transaction(transaction) => Some(Floor::Slot(transaction.slot)),
                    Fetched::NotYet | Fetched::Unreadable(_) => bail!(
                        "the node does not know the transaction {signature}; give a slot or a time instead"
                    ),
                }
            }
        })
    }

    /// Confirms while the sweep goes on, and after it until nothing is due within [`LINGER`].
    async fn confirm_until(
        &self,
        finished: &AtomicBool,
        stop: &CancellationToken,
    ) -> anyhow::Result<usize> {
        let mut confirm = Confirm::new(self.pipeline.clone());
        let (mut acknowledged, mut last_call) = (0, None);
        loop {
            if stop.is_cancelled() {
                confirm.drain().await?;
                return Ok(acknowledged);
            }
            if let ConfirmOutcome::Attempted(outcomes) = confirm.step().await? {
                acknowledged += outcomes
                    .iter()
                    .filter(|next| **next == Next::Acknowledged)
                    .count();
            }
            if !finished.load(Ordering::Acquire) || confirm.is_busy() {
                continue;
            }
            let last_call = *last_call.get_or_insert_with(|| clock::now().plus(LINGER));
            let next = self
                .pipeline
                .store
                .next_due_at()
                .await
                .context("read the outbox")?;
            if next.is_none_or(|at| at > last_call) {
                self.reconcile(stop).await?;
                return Ok(acknowledged);
            }
        }
    }

    /// Reads the history once more if confirmations were not taken: it may show them as credited all the same.
    async fn reconcile(&self, stop: &CancellationToken) -> anyhow::Result<()> {
        let counts = self.pipeline.store.count_confirmations().await;
        if counts.context("count confirmations")?.undelivered == 0 {
            return Ok(());
        }
        let mut checkouts = Checkouts::new(self.pipeline.clone());
        if let Some(Err(error)) = stop.run_until_cancelled(checkouts.step()).await {
            let error = format!("{error:#}");
            tracing::warn!(
                error,
                "the history was not read for confirmations that were not taken"
            );
        }
        Ok(())
    }

    /// `swept` is `None` if the sweep was cut short.
    async fn report(
        &self,
        swept: Option<Swept>,
        stop: &CancellationToken,
    ) -> anyhow::Result<Report> {
        let interrupted = swept.is_none() || stop.is_cancelled();
        let (store, swept) = (&self.pipeline.store, swept.unwrap_or_default());
        let (oldest, newest) = swept.slots.unwrap_or((1, 0));
        let begins_at = swept.short.and_then(|short| short.begins_at);
        if let Some(short) = swept.short {
            tracing::warn!(
                asked_from = %short.asked_from,
                begins_at = begins_at.map(clock::written),
                begins_in_slot = short.begins_in,
                "the nodes keep or list less history than was asked for: earlier payments are not found; add an endpoint with older history to solana.rpc_urls, and run this again"
            );
        }
        let ConfirmationCounts {
            queued,
            undelivered,
            parked,
            uncredited,
            ..
        } = store
            .count_confirmations()
            .await
            .context("count confirmations")?;
        Ok(Report {
            listed: swept.listed,
            fetched: swept.fetched,
            new_payments: swept.payments,
            verdicts: store
                .tally(oldest..=newest)
                .await
                .context("count payments")?,
            acknowledged: 0,
            queued,
            undelivered,
            parked,
            uncredited,
            interrupted,
            history_is_short: swept.short.is_some(),
            history_asked_from: swept.short.map(|short| short.asked_from.to_string()),
            history_begins_at: begins_at.map(clock::written),
            history_begins_in_slot: swept.short.and_then(|short| short.begins_in),
            history_claimed_from: swept.claimed.map(|floor| floor.to_string()),
        })
    }
}
