//! The simulation: the whole daemon over a scripted network and API, in virtual time, killed and started again. A seed chooses
//! payments, faults, kills and restarts, and replays exactly.
//!
//! `make sim SEEDS=500` runs that many (from `FROM`, if given), `make sim SEED=7` one; `SIM_LOG=debug` shows what the daemon does.
//!
//! What goes wrong with an exchange follows from the seed, from what is asked, and from how often it was asked before: so a run
//! does not depend on which of two tasks the machine lets go first. Time passes only while nobody has anything to do.

mod api;
mod check;
mod gate;
mod model;
mod node;

use crate::support::backend::DUE;
use crate::support::changed;
use crate::support::ledger::Entry;
use gate::Gate;
use model::{DEADLINE, End, Moment, SLOT, World};
use paywatch::config::{Config, Log, LogFormat};
use paywatch::domain::{Timestamp, TokenAccount};
use paywatch::http::Exchange;
use paywatch::merchant::Merchant;
use paywatch::pipeline::Pipeline;
use paywatch::solana::{Hint, Rpc};
use paywatch::store::Store;
use paywatch::supervisor::Loops;
use paywatch::{chance, clock};
use std::{
    num::NonZero,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

/// How many seeds every test run tries.
const SEEDS: u64 = 20;
/// Seeds that found something once.
const FIXED: [u64; 4] = [85, 109, 127, 188];
/// How long things go wrong.
const STORM: Duration = Duration::from_secs(90);
/// How long after it everything must be settled: as long as the schedule of retries may take, and the patience with an API
/// that says no.
const CALM: Duration = Duration::from_hours(2);
/// After that only long pauses are left.
const SHORT_PAUSES: Duration = Duration::from_mins(4);

#[test]
fn whatever_goes_wrong_nothing_is_lost_and_nothing_is_confirmed_twice() {
    if let Ok(level) = std::env::var("SIM_LOG") {
        let format = LogFormat::Text;
        paywatch::telemetry::init_logs(&Log { format, level });
    }
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().unwrap())
    };
    let seeds: Vec<u64> = match (number("SEED"), number("SEEDS")) {
        (Some(seed), _) => vec![seed],
        (None, seeds) => {
            let first = number("FROM").unwrap_or(0);
            let seeds = first..first + seeds.unwrap_or(SEEDS);
            FIXED.into_iter().chain(seeds).collect()
        }
    };
    let failed = run_all(&seeds);
    assert!(
        failed.is_empty(),
        "{} of {} seeds failed: {failed:?}",
        failed.len(),
        seeds.len()
    );
}

/// Runs seeds on all cores: each has a thread, a clock and a world of its own. Gives those that failed.
fn run_all(seeds: &[u64]) -> Vec<u64> {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let hands = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..hands {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(why) = run(*seed) {
                        eprintln!("seed {seed}: {why}\n  replay with: make sim SEED={seed}");
                        failed.lock().unwrap().push(*seed);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap()
}

#[test]
fn a_seed_replays_exactly() {
    for seed in [1, 2, 3] {
        assert_eq!(run(seed).unwrap(), run(seed).unwrap(), "seed {seed}");
    }
}

/// The API is away for three days but an hour, then back.
#[test]
fn three_days_without_the_api_lose_nothing_and_drain_at_a_bounded_rate() {
    const BUYERS: usize = 300;
    in_virtual_time(7, async |world, folder| {
        world.lock().storm = false;
        // Less often than usual, so that three days pass in seconds.
        let changes = [
            ("SOLANA__SWEEP_EVERY", "20m"),
            ("MERCHANT__POLL_EVERY", "10m"),
        ];
        let life = begin(&world, &folder, &changes).await;
        (0..BUYERS).for_each(|_| world.lock().checkout());
        pass(Duration::from_mins(11), Duration::from_secs(5), &life).await;
        let away = Duration::from_hours(71);
        world.lock().api_away = Instant::now() + away;
        for buyer in 0..BUYERS {
            let signature = {
                let mut model = world.lock();
                let (slot, memo) = (model.slot(), model.backend.sessions[buyer].memo.clone());
                model.ledger.land(Entry::paid(slot, DUE, &memo))
            };
            let token_account = TokenAccount(world.lock().ledger.shop.account);
            let hint = Hint {
                signature,
                token_account,
                memos: Vec::new(),
            };
            life.hints.send(hint).await.unwrap();
            // All of them within the first hours: each will have waited for days.
            pass(Duration::from_mins(1), Duration::from_secs(20), &life).await;
        }
        let rest = world.lock().api_away - Instant::now();
        let most = rest.saturating_sub(Duration::from_mins(2));
        pass(most, Duration::from_mins(1), &life).await;
        assert_eq!(world.lock().backend.puts, [], "nobody heard of them");
        let (soon, step) = (Duration::from_mins(14), Duration::from_millis(500));
        pass(soon, step, &life).await;
        let outbox = life.store.count_confirmations().await.unwrap();
        assert_eq!((outbox.queued, outbox.parked), (0, 0), "all were taken");
        let model = world.lock();
        let confirmed = model.backend.sessions.iter();
        assert!(confirmed.into_iter().all(|one| one.confirmed_by.is_some()));
        assert_eq!(model.backend.puts.len(), BUYERS, "each once");
        let most = life.pipeline.config.merchant.settings.max_in_flight;
        assert_eq!(model.confirming.1, most, "so many at once, no more");
    });
}

/// One run of a storm; gives its trace.
fn run(seed: u64) -> Result<u64, String> {
    in_virtual_time(seed, async |world, folder| {
        live(&world, &folder).await.map(|()| world.lock().trace)
    })
}

fn in_virtual_time<T>(seed: u64, story: impl AsyncFnOnce(World, PathBuf) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        // What the database answers is heard once nobody has anything else to do at this instant, and this test has its turn then.
        .global_queue_interval(1 << 30)
        .event_interval(1 << 30)
        .build()
        .unwrap();
    let told = runtime.block_on(async {
        // Time goes only when this test says so: never while the database works.
        let (_release, blocked) = std::sync::mpsc::channel::<()>();
        let _inhibits = tokio::task::spawn_blocking(move || blocked.recv());
        clock::simulate(Timestamp(1_790_000_000_000));
        chance::seed(seed);
        let folder = tempfile::tempdir().unwrap();
        story(World::new(seed), folder.path().to_owned()).await
    });
    runtime.shutdown_background();
    told
}

/// A daemon that runs.
struct Life {
    loops: Loops,
    store: Store,
    gate: Gate,
    hints: mpsc::Sender<Hint>,
    pipeline: Arc<Pipeline>,
}

async fn live(world: &World, folder: &Path) -> Result<(), String> {
    let mut life = begin(world, folder, &[]).await;
    let storm_ends = Instant::now() + STORM;
    while Instant::now() < storm_ends {
        something_happens(world, &life);
        pass(SLOT, SLOT / 16, &life).await;
        if world.lock().living.is_none() {
            life = restart(world, folder, life).await?;
        }
    }
    {
        let mut model = world.lock();
        (model.storm, model.kill_at) = (false, None);
    }
    let calm_began = Instant::now();
    while calm_began.elapsed() < CALM && !is_settled(&life.store).await {
        // What is still open after a while waits for long pauses to end.
        let (time, step) = if calm_began.elapsed() < SHORT_PAUSES {
            (15, Duration::from_millis(500))
        } else {
            (60, Duration::from_secs(3))
        };
        pass(Duration::from_secs(time), step, &life).await;
    }
    pass(Duration::from_mins(2), Duration::from_millis(500), &life).await;
    drop(life.loops);
    let payments = check::payments(&life.store).await?;
    let cursors = check::cursors(&life.store).await?;
    {
        let model = world.lock();
        check::always(&model, &payments, &cursors)?;
        check::finally(&model, &payments)?;
    }
    life.store.close().await;
    Ok(())
}

fn something_happens(world: &World, life: &Life) {
    let mut model = world.lock();
    if model.happens(12) {
        model.checkout();
    }
    if model.happens(12) {
        let hint = model.pay();
        if model.happens(70) {
            // A full queue is what the sweep is for.
            let _sent = life.hints.try_send(hint);
        }
    }
    if model.happens(3) {
        model.outage();
    }
    if model.happens(1) {
        model.halt();
    }
    if model.kill_at.is_none() && model.happens(2) {
        let moments = [Moment::Any, Moment::Confirm, Moment::Transaction];
        let which = usize::try_from(model.pick(3)).unwrap();
        model.kill_at = Some(moments[which]);
    }
}

/// Killed where it stands; what must always be true is looked at; started again after a while.
async fn restart(world: &World, folder: &Path, life: Life) -> Result<Life, String> {
    tracing::debug!("killed");
    drop(life.loops);
    drop(life.pipeline);
    life.store.close().await;
    let store = open(folder, &Gate::default()).await;
    let payments = check::payments(&store).await?;
    let cursors = check::cursors(&store).await?;
    check::always(&world.lock(), &payments, &cursors)?;
    store.close().await;
    tracing::debug!("closed");
    let away = {
        let mut model = world.lock();
        Duration::from_millis(model.pick(20_000))
    };
    tokio::time::advance(away).await;
    tracing::debug!("starting again");
    Ok(begin(world, folder, &[]).await)
}

fn url(folder: &Path) -> String {
    format!("sqlite:{}", folder.join("paywatch.db").display())
}

async fn open(folder: &Path, gate: &Gate) -> Store {
    let gate = gate.clone();
    Store::open_in_order(&url(folder), move || gate.pass())
        .await
        .unwrap()
}

async fn begin(world: &World, folder: &Path, changes: &[(&str, &str)]) -> Life {
    let database = url(folder);
    let late = world.lock().happens(30);
    let is_shared = world.lock().is_shared;
    let settings = [
        ("MERCHANT__BASE_URL", "http://api/"),
        ("MERCHANT__REQUEST_TIMEOUT", "5s"),
        ("SOLANA__RPC_URLS", "http://node-1/,http://node-2/"),
        ("SOLANA__REQUEST_TIMEOUT", "5s"),
        (
            "SOLANA__CONFIRM_AT",
            if late { "finalized" } else { "confirmed" },
        ),
        ("WATCH__SCOPE", if is_shared { "own" } else { "all" }),
        ("STORE__URL", &database),
        ("OPS__LISTEN", ""),
    ];
    let config = Config::load(None, changed(&changed(&[], &settings), changes)).unwrap();
    assert_eq!(config.solana.limits.request_timeout, DEADLINE);
    let gate = Gate::default();
    let store = open(folder, &gate).await;
    world.lock().living = Some(store.clone());
    let nodes: Arc<dyn Exchange> = Arc::new(End::Nodes(world.clone()));
    let rpc = Rpc::over(&nodes, &config.solana.rpc_urls, config.solana.limits);
    let merchant =
        Merchant::over(Arc::new(End::Api(world.clone())), &config.merchant.settings).unwrap();
    let pipeline = Pipeline::over(config, store.clone(), rpc, Arc::new(merchant));
    let (loops, hints) = Loops::spawn(&pipeline, CancellationToken::new());
    Life {
        loops,
        store,
        gate,
        hints,
        pipeline,
    }
}

/// Lets virtual time pass in small steps, never while the database works or a task can go on; ends when everything is done that
/// could be done by then.
async fn pass(time: Duration, step: Duration, life: &Life) {
    /// So many turns in a row nobody had anything to do with the database: everything waits for time.
    const CALM_TURNS: u32 = 3;
    const STUCK: Duration = Duration::from_secs(20);
    let until = Instant::now() + time;
    let closed = life.gate.close();
    loop {
        let (mut calm, began) = (0, std::time::Instant::now());
        while calm < CALM_TURNS {
            // The turn comes back when nobody else can go on.
            tokio::task::yield_now().await;
            closed.ajar();
            calm = if life.store.is_idle() { calm + 1 } else { 0 };
            // Real time: a loop that never waits is a fault of its own.
            assert!(began.elapsed() < STUCK, "the daemon is busy without end");
        }
        if Instant::now() >= until {
            return;
        }
        tokio::time::advance(step).await;
    }
}

async fn is_settled(store: &Store) -> bool {
    let outbox = store.count_confirmations().await.unwrap();
    let unsettled = store.unsettled(clock::now(), 1).await.unwrap();
    let ever = clock::now().plus(CALM);
    let quarantined = store.quarantined(ever, 1).await.unwrap();
    outbox.queued == 0 && unsettled.is_empty() && quarantined.is_empty()
}
