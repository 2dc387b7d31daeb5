//! The payments API: what the watcher needs of it (`backend`), how it is asked over HTTP (`client`), what a buyer asks it
//! (`buying`), and the only code that knows its JSON (`wire`).
//!
//! Error bodies are never read for meaning, and an entry that cannot be read never stops the rest.

mod backend;
mod buying;
mod client;
mod secret;
mod wire;

pub use backend::{Answer, Backend, ConfirmResult, HistoryPage, search};
pub(crate) use backend::{OVERLAP, PAGES_MAX};
pub use buying::{NewCardPayment, NewCheckout};
pub use client::{Auth, Error, Merchant, Settings};
pub use secret::Secret;
pub use wire::{NotACheckout, Plan, SupportedToken, handed_over};
