//! The payments API: what the watcher needs of it (`backend`), how it is asked over HTTP (`client`), what a buyer asks it
//! (`buying`), and the only code that knows its JSON (`wire`).
//!
//! `paging` follows the pages of the history, `credentials` holds the key. Error bodies are never read for meaning, and an entry that cannot be read never stops the rest.

mod backend;
mod buying;
mod client;
mod credentials;
mod error;
mod history;
mod paging;
mod secret;
mod wire;

pub use backend::{Answer, Backend, ConfirmResult, HistoryPage, More, search};
pub use buying::{NewCardPayment, NewCheckout};
pub use client::{Merchant, Settings};
pub use credentials::Auth;
pub use error::Error;
pub use paging::{Doubt, Paging};
pub use secret::Secret;
pub use wire::{NotACheckout, Plan, SupportedToken, handed_over};
