//! paywatch watches Solana for stablecoin payments and confirms them to a payments API, so that nobody ever pastes a
//! transaction hash: no payment is lost, none is confirmed twice, none is confirmed that does not deserve it.
//!
//! It is a program first. As a library it offers what a program written in Rust needs to do the same inside itself, and nothing else
//! is promised to stay: [`Watcher`] with an own [`Backend`], and the rules in [`domain`], to [`decode`](domain::decode) a transaction
//! and [`judge`](domain::judge) what it paid.
//!
//! ```
//! use paywatch::domain::{Candidate, Claim, Matched, Policy, Rules, Verdict, decode, judge};
//! use paywatch::Fetched;
//! # use paywatch::domain::{Checkout, CheckoutStatus, Decimals, Memo, TokenProgram, WatchList, Watched};
//! # let expected: serde_json::Value = serde_json::from_str(include_str!("../tests/fixtures/transactions/transfer-checked.expected.json")).unwrap();
//! # let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
//! # let (watched, due) = (&expected["watched"][0], &expected["checkouts"][0]);
//! # let watch_list: WatchList = [Watched {
//! #     token_account: text(&watched["token_account"]).parse().unwrap(), wallet: text(&watched["wallet"]).parse().unwrap(),
//! #     mint: text(&watched["mint"]).parse().unwrap(), token_program: TokenProgram::Token,
//! #     decimals: Decimals::new(6).unwrap(), symbol: "USDC".into(),
//! # }].into_iter().collect();
//! # let checkout = Checkout {
//! #     memo: Memo::parse(&text(&due["memo"])).unwrap(), amount: text(&due["amount"]).parse().ok(), mint: text(&due["mint"]).parse().ok(),
//! #     recipient: text(&due["recipient"]).parse().ok(), status: CheckoutStatus::Pending, created_at: None,
//! # };
//!
//! // A node's answer to `getTransaction` (encoding base64), and what is expected of it: `watch_list` and a `checkout`.
//! let answer = include_str!("../tests/fixtures/transactions/transfer-checked.answer.json");
//! let Ok(Fetched::Transaction(transaction)) = Fetched::from_saved(answer) else {
//!     panic!("cannot be read");
//! };
//! let decoded = decode(&transaction, &watch_list).expect("the node left nothing out");
//! let credit = &decoded.credits[0];
//! assert_eq!(credit.received.human(Decimals::new(6).unwrap()), "19");
//!
//! let candidate = Candidate { checkout, claim: Claim::Free };
//! let rules = Rules::new(Policy::default(), watch_list);
//! let verdict = judge(transaction.signature, credit, &decoded.memos, &[candidate], &rules);
//! assert!(matches!(verdict, Some(Verdict::Matched(Matched::Confirm { .. }))));
//! ```
//!
//! # How it is built
//!
//! Modules in reading order, from the rules outwards. Those that are not shown here are the program's own, and may change at any time.
//!
//! | module | what it is | what it never does |
//! |---|---|---|
//! | [`domain`] | the rules: decode a transaction, judge a credit | any I/O, clock, randomness, logging |
//! | `solana` | the node: RPC, WebSocket, its JSON | decide about money |
//! | `merchant` | the payments API and its JSON | read error bodies for meaning |
//! | `store` | SQLite: what survives a crash | hold a lock across the network |
//! | `pipeline` | the road of a payment, one file a step | spawn tasks |
//! | `supervisor` | runs the steps as loops, drains them | know what a step does |
//! | `buyer` | what comes before a payment: plans, tokens, checkouts | judge or confirm |
//! | `report` | how payments are told: text, JSON, CSV, QR codes | ask anybody |
//! | `mcp` | that for assistants | pay, confirm or decide |
//! | `notify` | notices to people, posted until they are taken | make a payment wait |
//! | `ops` | what is asked of the daemon over HTTP: health, metrics, pages | decide by itself |
//! | `sandbox` | a payments API to develop against | use our decoder |
//! | `serve` | the HTTP server under `ops` and `sandbox`: bounds and time-outs | spawn, or know what it serves |
//! | `http`, `clock`, `chance` | the network, the time and the dice: what a simulation replaces | know what they are for |
//! | `rate_limit` | how fast nodes and API are asked | know whom it slows down |
//! | [`watcher`](Watcher) | the same loops inside another program | take over logs, signals or systemd |
//! | `cli`, `config`, `telemetry`, `systemd` | how it is started, set up, heard | |
//!
//! Arrows of use: `main → cli → pipeline → {solana, merchant, store} → domain`. Adapters never use each other, and nobody
//! below the pipeline sees `config`. `tests/it/tidy.rs` holds these lines.

pub mod domain;

#[doc(hidden)]
pub mod buyer;
#[doc(hidden)]
pub mod chance;
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod clock;
#[doc(hidden)]
pub mod config;
#[doc(hidden)]
pub mod http;
#[doc(hidden)]
pub mod mcp;
#[doc(hidden)]
pub mod merchant;
#[doc(hidden)]
pub mod notify;
#[doc(hidden)]
pub mod ops;
#[doc(hidden)]
pub mod pipeline;
mod rate_limit;
#[doc(hidden)]
pub mod report;
#[doc(hidden)]
pub mod sandbox;
#[doc(hidden)]
pub mod serve;
#[doc(hidden)]
pub mod solana;
mod sqlite;
#[doc(hidden)]
pub mod store;
#[doc(hidden)]
pub mod supervisor;
#[doc(hidden)]
pub mod systemd;
#[doc(hidden)]
pub mod telemetry;
mod watcher;

pub use async_trait::async_trait;
pub use merchant::{
    Answer, Backend, ConfirmResult, Error as BackendError, HistoryPage, More, SupportedToken,
};
pub use solana::{Fetched, NotAnAnswer};
pub use store::{Stage, TakenIn};
pub use watcher::{Builder, Watcher};
