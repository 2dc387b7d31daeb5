//! A daemon that lives in the simulation: begun, let go on, killed, begun again.

use super::check::{self, Cursors, Recorded};
use super::gate::Gate;
use super::model::{DEADLINE, End, World};
use super::traits::Traits;
use crate::support::changed;
use paywatch::clock;
use paywatch::config::Config;
use paywatch::http::Exchange;
use paywatch::merchant::Merchant;
use paywatch::pipeline::Pipeline;
use paywatch::solana::{Hint, Rpc};
use paywatch::store::{PaymentSummary, Quarantined, Store};
use paywatch::supervisor::Loops;
use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

/// Less than any payment that fits.
const BELOW_ALL: &str = "18.999998";

/// A daemon that runs.
pub(super) struct Life {
    loops: Loops,
    pub(super) store: Store,
    gate: Gate,
    pub(super) hints: mpsc::Sender<Hint>,
    pub(super) pipeline: Arc<Pipeline>,
}

/// Killed where it stands; what must always be true is looked at; started again after a while.
pub(super) async fn restart(
    world: &World,
    folder: &Path,
    life: Life,
    changes: &[(&str, &str)],
) -> Result<Life, String> {
    tracing::debug!("killed");
    drop(life.loops);
    drop(life.pipeline);
    life.store.close().await;
    let store = open(folder, &world.gate).await;
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
    Ok(begin(world, folder, changes).await)
}

fn url(folder: &Path) -> String {
    format!("sqlite:{}", folder.join("paywatch.db").display())
}

/// The tables of a new database, made once for all seeds.
async fn tables() -> &'static [u8] {
    static TABLES: OnceLock<Vec<u8>> = OnceLock::new();
    if let Some(tables) = TABLES.get() {
        return tables;
    }
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open_in_order(&url(folder.path()), || {}).await;
    store.unwrap().close().await;
    let made = std::fs::read(folder.path().join("paywatch.db")).unwrap();
    TABLES.get_or_init(|| made)
}

async fn open(folder: &Path, gate: &Gate) -> Store {
    let file = folder.join("paywatch.db");
    if !file.exists() {
        std::fs::write(file, tables().await).unwrap();
    }
    let gate = gate.clone();
    Store::open_in_order(&url(folder), move || gate.pass())
        .await
        .unwrap()
}

/// The limit above which payments wait to be final, as a setting.
fn limit_of(traits: &Traits) -> (&'static str, &'static str) {
    match (traits.has_limit, traits.is_limit_unmatched) {
        (false, _) => ("POLICY__FINALIZED_ABOVE__USDC", "1000"),
        (true, false) => ("POLICY__FINALIZED_ABOVE__USDC", BELOW_ALL),
        (true, true) => ("POLICY__FINALIZED_ABOVE__UNKNOWN", "1000"),
    }
}

pub(super) async fn begin(world: &World, folder: &Path, changes: &[(&str, &str)]) -> Life {
    let database = url(folder);
    let late = world.lock().happens(30);
    let traits = world.lock().traits.clone();
    let settings = [
        ("MERCHANT__BASE_URL", "http://api/"),
        ("MERCHANT__REQUEST_TIMEOUT", "5s"),
        ("SOLANA__RPC_URLS", "http://node-1/,http://node-2/"),
        ("SOLANA__REQUEST_TIMEOUT", "5s"),
        (
            "SOLANA__CONFIRM_AT",
            if late { "finalized" } else { "confirmed" },
        ),
        ("WATCH__SCOPE", if traits.is_shared { "own" } else { "all" }),
        (
            "SOLANA__QUORUM",
            if traits.liar.is_some() { "2" } else { "1" },
        ),
        limit_of(&traits),
        ("STORE__URL", &database),
        ("OPS__LISTEN", ""),
    ];
    let config = Config::load(None, changed(&changed(&[], &settings), changes)).unwrap();
    assert_eq!(config.solana.limits.request_timeout, DEADLINE);
    let gate = world.gate.clone();
    let store = open(folder, &gate).await;
    world.lock().living = Some(store.clone());
    let nodes: Arc<dyn Exchange> = Arc::new(End::Nodes(world.clone()));
    let rpc = Rpc::over(&nodes, &config.solana.rpc_urls, config.solana.limits);
    let merchant =
        Merchant::over(Arc::new(End::Api(world.clone())), &config.merchant.settings).unwrap();
    let pipeline = Pipeline::over(config, store.clone(), &rpc, Arc::new(merchant));
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
pub(super) async fn pass(time: Duration, step: Duration, life: &Life) {
    let until = Instant::now() + time;
    let closed = life.gate.close();
    loop {
        closed.calm(&life.store).await;
        if Instant::now() >= until {
            return;
        }
        tokio::time::advance(step).await;
    }
}

/// Ends a daemon for good, and gives what it leaves behind.
pub(super) async fn end(life: Life) -> Result<(Recorded, Cursors), String> {
    drop(life.loops);
    let payments = check::payments(&life.store).await?;
    let cursors = check::cursors(&life.store).await?;
    life.store.close().await;
    Ok((payments, cursors))
}

/// What still waits for the chain, the API or a node, if anything does.
pub(super) async fn what_waits(world: &World, store: &Store) -> Result<Option<String>, String> {
    if world.lock().is_stubborn() {
        return Ok(Some("the API says no to everybody".into()));
    }
    let outbox = store.count_confirmations().await.unwrap();
    let unsettled = store
        .unsettled(clock::now(), Duration::ZERO, 1)
        .await
        .unwrap();
    if outbox.queued > 0 || !unsettled.is_empty() {
        return Ok(Some(format!("{outbox:?}, {unsettled:?}")));
    }
    let for_ever = clock::now().plus(Duration::from_hours(24));
    let quarantined = store.quarantined(for_ever, 1_000).await.unwrap();
    let payments = check::payments(store).await?;
    // Nobody can ever read what died with its fork.
    let is_open = |one: &Quarantined| {
        let key = (one.signature.to_string(), one.token_account.to_string());
        let payment = payments.get(&key);
        !payment.is_some_and(PaymentSummary::was_dropped)
    };
    if let Some(one) = quarantined.into_iter().find(is_open) {
        return Ok(Some(format!("it is not read yet: {one:?}")));
    }
    let model = world.lock();
    let believed = check::believed_in_vain(&model, &payments);
    Ok(believed.map(|session| format!("it is not credited, and nobody noticed: {session:?}")))
}
