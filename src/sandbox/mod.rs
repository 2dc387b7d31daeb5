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

use crate::serve::{self, Bounds};
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
/// When its database cannot be opened.
pub async fn serve(
    settings: Settings,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    /// Deadline of one question to the node.
    const NODE_TIMEOUT: Duration = Duration::from_secs(10);
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
    let bounds = Bounds::within(serve::descriptors());
    serve::serve(listener, router, bounds, shutdown).await;
    Ok(())
}
