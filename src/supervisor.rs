//! Runs the loops of the daemon until it is told to stop, and is the only place that spawns loops.
//!
//! A step that fails is logged and tried again after a pause; a loop that panics or ends by itself ends the daemon,
//! because a daemon with a loop missing looks alive and is not.

mod failures;
mod ready;
mod sweeps;

use crate::config::Config;
use crate::notify::Notify;
use crate::pipeline::{Checkouts, Confirm, Follow, FollowOutcome, Pipeline, Settle, Watch, hints};
use crate::serve::{self, Bounds};
use crate::solana::Hint;
use crate::store::Store;
use crate::{ops, systemd, telemetry};
use anyhow::{Context, anyhow};
use failures::Failures;
use ready::tell_ready;
use std::{future::Future, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

/// How long the attempts under way may take to finish once the daemon is told to stop.
const GRACE: Duration = Duration::from_secs(9);
/// Shortest time between two polls that unknown memos ask for; doubled while they bring nothing.
const POLL_SPACING: Duration = Duration::from_millis(100);
/// How often the chain is asked about payments that wait to be finalized.
const SETTLE_EVERY: Duration = Duration::from_secs(2);
/// How often quarantined transactions are looked through.
const QUARANTINE_EVERY: Duration = Duration::from_secs(2);
/// How often the write-ahead log is emptied into the database.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(10);
/// How often it is looked whether there is something to tell.
const NOTIFY_EVERY: Duration = Duration::from_secs(1);
/// What is watched is refreshed once in so many sweep intervals.
const WATCH_EVERY_SWEEPS: u32 = 4;

/// The loops of the daemon. Dropping them cuts all of them off where they stand, like a kill.
pub struct Loops {
    set: JoinSet<(&'static str, anyhow::Result<()>)>,
    shutdown: CancellationToken,
}

/// Whose process it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// The daemon's, which systemd may have started.
    Daemon,
    /// Another program's, which speaks to systemd itself if at all.
    Program,
}

/// Runs the daemon until `shutdown`, then drains it.
///
/// # Errors
/// When the database or the ops address cannot be opened, or a loop ends by itself.
pub async fn run(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    let store = open(&config).await?;
    supervise(Pipeline::new(config, store)?, Host::Daemon, shutdown).await
}

/// Opens the database, and writes to it to see whether that works.
///
/// # Errors
/// When it does not.
pub async fn open(config: &Config) -> anyhow::Result<Store> {
    let url = &config.store_url;
    let store = Store::open(url).await;
    let store = store.with_context(|| format!("open the database {url}"))?;
    let probed = store.probe_disk().await;
    probed.with_context(|| format!("write to the database {url}"))?;
    Ok(store)
}

/// Runs everything over this pipeline until `shutdown`, then drains it and closes the database.
///
/// # Errors
/// When the ops address cannot be opened, or a loop ends by itself.
pub async fn supervise(
    pipeline: Arc<Pipeline>,
    host: Host,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let listener = match pipeline.config.ops.listen {
        Some(address) => Some(
            TcpListener::bind(address)
                .await
                .with_context(|| format!("listen on {address} (ops.listen)"))?,
        ),
        None => None,
    };
    let (mut loops, _hints) = Loops::spawn(&pipeline, shutdown.clone());
    loops.add("checkpoint", checkpoint(pipeline.clone()));
    if let Some(listener) = listener {
        tracing::info!(address = %listener.local_addr().context("read the ops address")?, "ops pages at /healthz, /readyz, /metrics");
        let router = ops::router(
            pipeline.clone(),
            telemetry::metrics().context("install the metrics recorder")?,
            shutdown.clone(),
        );
        let bounds = Bounds::within(serve::descriptors());
        let serving = serve::serve(listener, router, bounds, shutdown.clone());
        loops.set.spawn(async move {
            serving.await;
            ("ops", Ok(()))
        });
    }
    if let Some(settings) = pipeline.config.notify.clone() {
        let notify = Notify::new(pipeline.clone(), settings)?;
        loops.add("notify", tell(notify, pipeline.clone()));
    }
    if host == Host::Daemon {
        loops.speak_to_systemd();
    }
    loops.add("ready", tell_ready(pipeline.clone(), host));
    let ended = loops.until_shutdown().await;
    if host == Host::Daemon {
        systemd::stopping();
    }
    tracing::info!("stopping: finishing the confirmations under way");
    shutdown.cancel();
    pipeline.bells.confirm.notify_one();
    loops.drain().await;
    pipeline.store.close().await;
    tracing::info!("stopped");
    ended
}

impl Loops {
    /// Starts every loop. What is sent through the returned queue is followed like a notification of a WebSocket.
    #[must_use]
    pub fn spawn(
        pipeline: &Arc<Pipeline>,
        shutdown: CancellationToken,
    ) -> (Self, mpsc::Sender<Hint>) {
        let mut loops = Self {
            set: JoinSet::new(),
            shutdown,
        };
        let (sender, receiver) = hints();
        for url in pipeline.config.solana.ws_urls.clone() {
            let (listening, sender) = (pipeline.clone(), sender.clone());
            loops.add(
                "listen",
                async move { listening.listen(&url, &sender).await },
            );
        }
        // The queue lives as long as its loop: without any WebSocket nothing is followed, and nothing has ended.
        let open = sender.clone();
        let mut follow = Follow::new(pipeline.clone(), receiver);
        loops.add("follow", async move {
            let _open = open;
            while follow.step().await != FollowOutcome::Ended {}
        });
        if pipeline.config.solana.rpc_urls.len() > 1 {
            loops.add("endpoints", endpoints(pipeline.clone()));
            loops.add("second_opinion", sweeps::second_opinion(pipeline.clone()));
        }
        loops.add("watch", watch(pipeline.clone()));
        loops.add("checkouts", checkouts(pipeline.clone()));
        loops.add("sweep", sweeps::sweep(pipeline.clone()));
        loops.add("settle", settle(pipeline.clone()));
        loops.add("quarantine", quarantine(pipeline.clone()));
        let (confirming, stop) = (pipeline.clone(), loops.shutdown.clone());
        loops.set.spawn(async move {
            confirm(confirming, stop).await;
            ("confirm", Ok(()))
        });
        (loops, sender)
    }

    fn speak_to_systemd(&mut self) {
        if let Some(every) = systemd::alive_every() {
            self.add("watchdog", async move {
                loop {
                    systemd::alive();
                    sleep(every).await;
                }
            });
        }
    }

    /// Runs a loop that may be cut off at any await.
    fn add(&mut self, name: &'static str, all: impl Future<Output = ()> + Send + 'static) {
        let stop = self.shutdown.clone();
        self.set.spawn(async move {
            match stop.run_until_cancelled_owned(all).await {
                None => (name, Ok(())),
                Some(()) => (name, Err(anyhow!("the {name} loop ended by itself"))),
            }
        });
    }

    /// Waits to be told to stop, or for a loop that ends by itself.
    async fn until_shutdown(&mut self) -> anyhow::Result<()> {
        tokio::select! {
            () = self.shutdown.cancelled() => Ok(()),
            Some(ended) = self.set.join_next() => match ended {
                Ok((name, Ok(()))) if !self.shutdown.is_cancelled() => Err(anyhow!("the {name} loop ended by itself")),
                Ok((_, result)) => result,
                Err(panic) => Err(anyhow!(panic).context("a loop panicked")),
            },
        }
    }

    async fn drain(&mut self) {
        let all = async { while self.set.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, all).await.is_err() {
            tracing::warn!(
                "some attempts did not finish in time; they will be made again, with the same pairs"
            );
            self.set.shutdown().await;
        }
    }
}

async fn endpoints(pipeline: Arc<Pipeline>) {
    loop {
        pipeline.rpc.compare_endpoints().await;
        sleep(pipeline.sweep_pause()).await;
    }
}

async fn watch(pipeline: Arc<Pipeline>) {
    let (mut watch, mut failures) = (
        Watch::new(pipeline.clone()),
        Failures::of("watch", &pipeline),
    );
    let every = pipeline
        .config
        .solana
        .sweep_every
        .saturating_mul(WATCH_EVERY_SWEEPS);
    loop {
        let pause = match watch.step().await {
            Ok(_) => {
                failures.none();
                every
            }
            Err(error) => failures.note(&error),
        };
        sleep(pause).await;
    }
}

/// A memo that nobody knows asks for a poll at once; one that stays unknown asks in vain, and is answered ever later.
async fn checkouts(pipeline: Arc<Pipeline>) {
    let mut checkouts = Checkouts::new(pipeline.clone());
    let mut failures = Failures::of("checkouts", &pipeline);
    let (mut spacing, mut rung) = (POLL_SPACING, false);
    loop {
        let first = !pipeline.status.has_polled();
        let pause = match checkouts.step().await {
            Ok(changed) => {
                failures.none();
                let vain = rung && changed == 0;
                spacing = if vain {
                    spacing.saturating_mul(2)
                } else {
                    POLL_SPACING
                };
                pipeline.config.merchant.poll_every
            }
            Err(error) => failures.note(&error),
        };
        if first {
            pipeline.bells.sweep.notify_one();
        }
        if checkouts.is_reading() && failures.is_none() {
            // The rest of a long history, part by part.
            continue;
        }
        let began = tokio::time::Instant::now();
        rung = tokio::time::timeout(pause, pipeline.bells.checkouts.notified())
            .await
            .is_ok();
        tokio::time::sleep_until(began + spacing.min(pause)).await;
    }
}

async fn settle(pipeline: Arc<Pipeline>) {
    let mut failures = Failures::of("settle", &pipeline);
    let mut settle = Settle::new(pipeline);
    loop {
        sleep(SETTLE_EVERY).await;
        match settle.step().await {
            Ok(_) => failures.none(),
            Err(error) => sleep(failures.note(&error)).await,
        }
    }
}

async fn quarantine(pipeline: Arc<Pipeline>) {
    let mut failures = Failures::of("quarantine", &pipeline);
    loop {
        sleep(QUARANTINE_EVERY).await;
        match pipeline.retry_quarantined().await {
            Ok(_) => failures.none(),
            Err(error) => sleep(failures.note(&error)).await,
        }
    }
}

async fn tell(mut notify: Notify, pipeline: Arc<Pipeline>) {
    let mut failures = Failures::of("notify", &pipeline);
    loop {
        sleep(NOTIFY_EVERY).await;
        match notify.step().await {
            Ok(_) => failures.none(),
            Err(error) => sleep(failures.note(&error)).await,
        }
    }
}

async fn checkpoint(pipeline: Arc<Pipeline>) {
    let mut failures = Failures::of("checkpoint", &pipeline);
    loop {
        sleep(CHECKPOINT_EVERY).await;
        match pipeline.store.checkpoint().await {
            Ok(()) => failures.none(),
            Err(error) => sleep(failures.note(&error.into())).await,
        }
    }
}

/// Never cut off in the middle of a step: an attempt that was begun is finished and its outcome recorded.
async fn confirm(pipeline: Arc<Pipeline>, stop: CancellationToken) {
    let mut failures = Failures::of("confirm", &pipeline);
    let mut confirm = Confirm::new(pipeline);
    while !stop.is_cancelled() {
        match confirm.step().await {
            Ok(_) => failures.none(),
            Err(error) => sleep(failures.note(&error)).await,
        }
    }
    if let Err(error) = confirm.drain().await {
        failures.note(&error);
    }
}

/// Runs something that lives as long as the process and that nobody waits for.
pub(crate) fn spawn_detached(work: impl Future<Output = ()> + Send + 'static) {
    #[expect(clippy::disallowed_methods, reason = "the only place that spawns")]
    let _detached = tokio::spawn(work);
}
