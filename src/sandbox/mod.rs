//! A payments API to develop against: the six endpoints of the real one, with a ledger of its own and its own eyes on
//! the chain.
//!
//! It verifies a payment through the node's `jsonParsed` view and its token balances, never through our decoder, so that
//! watcher and sandbox check each other. For laptops and tests; it keeps no secrets and takes no real money.

mod api;
mod books;
mod card;
mod chain;
mod faults;
mod ledger;
mod problem;
mod routes;
mod settings;

pub use settings::{Organization, Plan, Settings, Token};

use anyhow::Context;
use axum::extract::State;
use ledger::Ledger;
use std::{sync::Arc, time::Duration};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What the handlers share.
struct Sandbox {
    settings: Settings,
    ledger: Ledger,
    chain: chain::Chain,
    faults: faults::Faults,
}

type Shared = State<Arc<Sandbox>>;

/// Serves the sandbox on a bound listener until `shutdown`.
///
/// # Errors
/// When its database cannot be opened or the server fails.
pub async fn serve(
    settings: Settings,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    /// Deadline of one question to the node.
    const NODE_TIMEOUT: Duration = Duration::from_secs(10);
    /// How long answers under way may take once it is told to stop; one that hangs on demand never comes.
    const GRACE: Duration = Duration::from_secs(1);
    let ledger = Ledger::open(&settings.database)
        .await
        .context("open the sandbox's database")?;
    let chain = chain::Chain::new(&settings.rpc_url, NODE_TIMEOUT)
        .context("build the sandbox's node client")?;
    let router = routes::router(Arc::new(Sandbox {
        settings,
        ledger,
        chain,
        faults: faults::Faults::default(),
    }));
    let stopped = shutdown.clone();
    let serving = axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned());
    let patience = async {
        stopped.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = serving.into_future() => served.context("serve the sandbox"),
        () = patience => Ok(()),
    }
}
