//! The simulation: the whole daemon over a scripted network and API, in virtual time, killed and started again. A seed chooses
//! the world, payments, faults, kills, restarts and what people decide, and replays exactly.
//!
//! `make sim SEEDS=500` runs that many that nobody has seen, and prints the first one: `FROM=…` with it repeats the run. `make sim SEED=7`
//! runs one; `SIM_LOG=debug` shows what the daemon does.
//!
//! What goes wrong with an exchange follows from the seed, from what is asked, and from how often it was asked before: so a run
//! does not depend on which of two tasks the machine lets go first. Time passes only while nobody has anything to do.

mod api;
mod check;
mod events;
mod gate;
mod life;
mod model;
mod node;
mod person;
mod traits;

use crate::support::backend::DUE;
use crate::support::ledger::Entry;
use gate::Gate;
use life::{Life, begin, end, pass, restart, what_waits};
use model::{Moment, SLOT, World};
use paywatch::config::{Log, LogFormat};
use paywatch::domain::{Timestamp, TokenAccount};
use paywatch::solana::Hint;
use paywatch::{chance, clock};
use std::{
    num::NonZero,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;
use traits::Traits;

/// How many seeds every test run tries.
const SEEDS: u64 = 20;
/// After so many seeds a long run says how far it is.
const TELL_EVERY: usize = 1_000;
/// How long things go wrong.
const STORM: Duration = Duration::from_secs(90);
/// How long after it everything must be settled: as long as the schedule of retries may take, the patience with an API that says
/// no, and three readings of a history of short pages, each of which takes minutes in steps as long as these.
const CALM: Duration = Duration::from_hours(4);
/// After that only long pauses are left.
const SHORT_PAUSES: Duration = Duration::from_mins(4);
/// What is settled stays so.
const A_LITTLE_LONGER: Duration = Duration::from_mins(1);
/// For a daemon that has little to do.
const SELDOM: [(&str, &str); 2] = [
    ("SOLANA__SWEEP_EVERY", "5m"),
    ("MERCHANT__POLL_EVERY", "2m"),
];

#[test]
fn whatever_goes_wrong_nothing_is_lost_and_nothing_is_confirmed_twice() {
    if let Ok(level) = std::env::var("SIM_LOG") {
        let format = LogFormat::Text;
        paywatch::telemetry::init_logs(&Log { format, level });
    }
    let seeds = match (number("SEED"), number("SEEDS").unwrap_or(SEEDS)) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => {
            let first = first_seed();
            first..first + count
        }
    };
    let again = format!("FROM={} SEEDS={}", seeds.start, seeds.end - seeds.start);
    println!("seeds from {}; again with: make sim {again}", seeds.start);
    let failed = run_all(&seeds.collect::<Vec<_>>());
    assert!(
        failed.is_empty(),
        "seeds failed: {failed:?}; all of this run again with: make sim {again}"
    );
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap())
}

/// `FROM`, or a number that nobody has seen.
fn first_seed() -> u64 {
    number("FROM").unwrap_or_else(|| rand::random::<u32>().into())
}

/// Runs seeds on all cores: each has a thread, a clock and a world of its own. Gives those that failed.
fn run_all(seeds: &[u64]) -> Vec<u64> {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let hands = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..hands {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(seed) = seeds.get(index) else { return };
                    if index > 0 && index.is_multiple_of(TELL_EVERY) {
                        eprintln!("{index} of {} seeds", seeds.len());
                    }
                    if let Err(why) = run(*seed) {
                        let traits = Traits::of(*seed);
                        eprintln!("seed {seed}: {why}\n  in {traits:?}\n  replay with: make sim SEED={seed}");
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
    let first = first_seed();
    for seed in first..first + 3 {
        let trace = run(seed);
        assert!(trace.is_ok(), "seed {seed}: {trace:?}");
        assert_eq!(trace, run(seed), "seed {seed}");
    }
}

/// The API is away for three days but an hour, then back.
#[test]
fn three_days_without_the_api_lose_nothing_and_drain_at_a_bounded_rate() {
    const BUYERS: usize = 300;
    in_virtual_time(7, &Traits::none(), async |world, folder| {
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
    in_virtual_time(seed, &Traits::of(seed), async |world, folder| {
        live(&world, &folder).await.map(|()| world.lock().trace)
    })
}

fn in_virtual_time<T>(
    seed: u64,
    traits: &Traits,
    story: impl AsyncFnOnce(World, PathBuf) -> T,
) -> T {
    let gate = Gate::default();
    let (parks, unparks) = (gate.clone(), gate.clone());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        // What the database answers is heard once nobody has anything else to do at this instant, and this test has its turn then.
        .global_queue_interval(1 << 30)
        .event_interval(1 << 30)
        .on_thread_park(move || parks.parks())
        .on_thread_unpark(move || unparks.unparks())
        .build()
        .unwrap();
    let told = runtime.block_on(async {
        // Time goes only when this test says so: never while the database works.
        let (_release, blocked) = std::sync::mpsc::channel::<()>();
        let _inhibits = tokio::task::spawn_blocking(move || blocked.recv());
        clock::simulate(Timestamp(1_790_000_000_000));
        chance::seed(seed);
        let folder = tempfile::tempdir().unwrap();
        story(World::new(seed, traits, gate), folder.path().to_owned()).await
    });
    runtime.shutdown_background();
    told
}

async fn live(world: &World, folder: &Path) -> Result<(), String> {
    let mut life = begin(world, folder, &[]).await;
    let traits = world.lock().traits.clone();
    let storm_ends = Instant::now() + STORM;
    while Instant::now() < storm_ends {
        something_happens(world, &life);
        pass(SLOT, traits.grain, &life).await;
        if world.lock().living.is_none() {
            life = restart(world, folder, life, &[]).await?;
        } else if traits.has_person && world.lock().happens(4) {
            person::decide(world, &life).await?;
        }
    }
    {
        let mut model = world.lock();
        (model.storm, model.kill_at) = (false, None);
    }
    let life = calm_down(world, folder, life).await?;
    let (payments, cursors) = end(life).await?;
    let model = world.lock();
    check::always(&model, &payments, &cursors)?;
    check::finally(&model, &payments)
}

/// Nothing goes wrong any more: waits until everything is settled, and a little longer.
async fn calm_down(world: &World, folder: &Path, mut life: Life) -> Result<Life, String> {
    let (began, mut has_little_to_do) = (Instant::now(), false);
    let needs_person = world.lock().traits.needs_person();
    let mut waits = None;
    while began.elapsed() < CALM {
        waits = what_waits(world, &life.store).await?;
        let was_retried = waits.is_none() && needs_person && person::tidy_up(world, &life).await?;
        if waits.is_none() && !was_retried {
            // What is settled stays so; and what nobody has seen yet turns up.
            pass(A_LITTLE_LONGER, Duration::from_millis(500), &life).await;
            waits = what_waits(world, &life.store).await?;
            if waits.is_none() {
                return Ok(life);
            }
            continue;
        }
        if !has_little_to_do && began.elapsed() >= SHORT_PAUSES {
            // What is still open waits for long pauses to end.
            life = restart(world, folder, life, &SELDOM).await?;
            has_little_to_do = true;
        }
        let (time, step) = if has_little_to_do {
            (60, Duration::from_secs(3))
        } else {
            (15, Duration::from_millis(500))
        };
        pass(Duration::from_secs(time), step, &life).await;
    }
    let why = waits.unwrap_or_else(|| "a person retried again and again".into());
    Err(format!("never calm: {why}"))
}

fn something_happens(world: &World, life: &Life) {
    let mut model = world.lock();
    if model.happens(12) {
        model.checkout();
    }
    if model.happens(12) {
        let hint = model.pay();
        model.tell(hint);
    }
    if model.happens(1) {
        model.junk();
    }
    for hint in model.hints_now() {
        // A full queue is what the sweep is for.
        let _sent = life.hints.try_send(hint);
    }
    if model.happens(3) {
        model.outage();
    }
    if model.happens(1) {
        model.halt();
    }
    if model.traits.has_wrong_clock && model.happens(1) {
        model.set_clock();
    }
    if model.kill_at.is_none() && model.happens(2) {
        let moments = [Moment::Any, Moment::Confirm, Moment::Transaction];
        let which = usize::try_from(model.pick(3)).unwrap();
        model.kill_at = Some(moments[which]);
    }
}
