//! A world for each test: a fresh wallet, mints, sandbox and database on the one shared network.

pub(crate) mod backend;
pub(crate) mod books;
mod browser;
mod child;
pub(crate) mod ledger;
pub(crate) mod node;
mod proxy;
mod qr;
pub(crate) mod scripted;
pub(crate) mod server;
mod world;

pub(crate) use browser::Browser;
pub(crate) use child::{Child, exit_of, said};
pub(crate) use proxy::{Mode, Proxy};
pub(crate) use qr::scanned;
pub(crate) use world::{PRICE, World};

use localnet::Localnet;
use sqlx::{Connection, SqliteConnection};
use std::{
    path::Path,
    sync::OnceLock,
    time::{Duration, Instant},
};

/// How long anything may take. Waiting ends as soon as the awaited holds.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// Fast, so that finality comes within seconds.
const SLOT_TIME_MS: u64 = 100;

/// Addresses of the shared network. It lives on a thread of its own as long as the process.
fn network() -> &'static (String, String) {
    static NETWORK: OnceLock<(String, String)> = OnceLock::new();
    NETWORK.get_or_init(|| {
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap();
            let network = runtime.block_on(Localnet::start(SLOT_TIME_MS)).unwrap();
            sender
                .send((network.rpc_url.clone(), network.ws_url.clone()))
                .unwrap();
            loop {
                std::thread::park();
            }
        });
        receiver.recv().unwrap()
    })
}

/// The shared network, through connections of this test's own.
pub(crate) fn localnet() -> Localnet {
    let (rpc_url, ws_url) = network();
    Localnet::at(rpc_url, ws_url)
}

/// A database file, made if it is not there, as anybody may open it.
pub(crate) async fn tables(file: &Path) -> SqliteConnection {
    let url = format!("sqlite:{}?mode=rwc", file.display());
    SqliteConnection::connect(&url).await.unwrap()
}

/// An environment with some of paywatch's keys set anew.
pub(crate) fn changed(
    environment: &[(String, String)],
    changes: &[(&str, &str)],
) -> Vec<(String, String)> {
    let mut environment = environment.to_vec();
    for (name, value) in changes {
        let name = format!("PAYWATCH__{name}");
        environment.retain(|(other, _)| *other != name);
        environment.push((name, (*value).to_owned()));
    }
    environment
}

/// Waits until a condition holds; fails the test when it does not in time.
pub(crate) async fn eventually(what: &str, condition: impl AsyncFnMut() -> bool) {
    assert!(
        try_eventually(PATIENCE, condition).await,
        "not within {PATIENCE:?}: {what}"
    );
}

/// Waits until a condition holds, or returns `false`.
pub(crate) async fn try_eventually(
    patience: Duration,
    mut condition: impl AsyncFnMut() -> bool,
) -> bool {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if condition().await {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    false
}
