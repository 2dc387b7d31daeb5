//! The promises of paywatch, kept by the built binary on a real local chain and by the library at its edges.
//!
//! One test binary: it links an embedded Solana network once, and starts it once.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]
#![allow(
    clippy::too_many_lines,
    reason = "a story, or a list of cases, is told in one go"
)]

mod support;

mod api_faults;
mod api_limits;
mod api_shapes;
mod backfill;
mod broken_api;
mod broken_nodes;
mod bulk;
mod buying;
mod by_hand;
mod checks;
mod claims;
mod commands;
mod confirmed;
mod connections;
mod corpus;
mod decisions;
mod delivery;
mod deploy;
mod docs;
mod due;
mod dust;
mod endpoints;
mod example_config;
mod explain;
mod fairness;
mod finality;
mod floods;
mod forks;
mod gaps;
mod hands;
mod held;
mod history;
mod history_long;
mod history_newest;
mod history_pages;
mod image;
mod left_out;
mod library;
mod look_back;
mod mcp;
mod misnamed;
mod node;
mod notices;
mod notify;
mod opinions;
mod ops;
mod ops_port;
mod outbox;
mod pages;
mod paying;
mod policy;
mod quorum;
mod rate_limits;
mod reconcile;
mod restarts;
mod runbook;
mod safety;
mod sandbox_api;
mod sandbox_faults;
mod scope;
mod setup;
mod short_history;
mod sim;
mod socket_faults;
mod store;
mod store_faults;
mod tidy;
mod timeline;
mod token_accounts;
mod viewers;
mod walks;
