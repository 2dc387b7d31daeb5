//! paywatch watches Solana for stablecoin payments and confirms them to a payments API, so that nobody ever pastes a
//! transaction hash: no payment is lost, none is confirmed twice, none is confirmed that does not deserve it.
//!
//! Modules in reading order, from the rules outwards:
//!
//! | module | what it is | what it never does |
//! |---|---|---|
//! | [`domain`] | the rules: decode a transaction, judge a credit | any I/O, clock, randomness, logging |
//! | [`solana`] | the node: RPC, WebSocket, its JSON | decide about money |
//! | [`merchant`] | the payments API and its JSON | read error bodies for meaning |
//! | [`store`] | SQLite: what survives a crash | hold a lock across the network |
//! | [`pipeline`] | the road of a payment, one file a step | spawn tasks |
//! | [`supervisor`] | runs the steps as loops, drains them | know what a step does |
//! | [`buyer`] | what comes before a payment: plans, tokens, checkouts | judge or confirm |
//! | [`report`] | how payments are told: text, JSON, CSV | ask anybody |
//! | [`mcp`] | the same for assistants | pay, confirm or decide |
//! | [`notify`] | notices to people, posted until they are taken | make a payment wait |
//! | [`ops`] | health and metrics over HTTP | write |
//! | [`sandbox`] | a payments API to develop against | use our decoder |
//! | [`http`], [`clock`], [`chance`] | the network, the time and the dice: what a simulation replaces | know what they are for |
//! | [`cli`], [`config`], [`telemetry`], [`systemd`] | how it is started, set up, heard | |
//!
//! Arrows of use: `main → cli → pipeline → {solana, merchant, store} → domain`. Adapters never use each other, and nobody
//! below the pipeline sees [`config`]. `tests/it/tidy.rs` holds these lines.

pub mod buyer;
pub mod chance;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod http;
pub mod mcp;
pub mod merchant;
pub mod notify;
pub mod ops;
pub mod pipeline;
pub mod report;
pub mod sandbox;
pub mod solana;
mod sqlite;
pub mod store;
pub mod supervisor;
pub mod systemd;
pub mod telemetry;
