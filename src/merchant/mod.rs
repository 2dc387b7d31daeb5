//! The payments API: what it is asked (`client`), and the only code that knows its JSON (`wire`).
//!
//! Error bodies are never read for meaning, and an entry that cannot be read never stops the rest.

mod client;
mod wire;

pub use client::{Answer, Auth, ConfirmResult, Error, HistoryPage, Merchant, Secret, Settings};
pub use wire::SupportedToken;
