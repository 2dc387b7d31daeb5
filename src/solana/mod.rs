//! The Solana node: what is asked of it (`rpc`), how it is asked (`sender`), what it says by itself
//! (`pubsub`), and the only code that knows its JSON (`wire`).
//!
//! A node is never trusted to be complete, in order, or fast; only to be asked again.

mod about;
mod accounts;
mod burden;
mod endpoint;
mod error;
mod logs;
mod pubsub;
mod rpc;
mod saved;
mod sender;
mod wire;

pub use about::slot_by_socket;
pub use accounts::{
    Found, Target, Unwatchable, associated_account, associated_one, is_associated,
    watched_accounts, with_others,
};
pub use burden::Limits;
pub use error::Error;
pub use pubsub::{Event, Hint, ListenError, Proof, Subscribed, listen_once};
pub use rpc::{Fetched, Rpc};
pub use saved::NotAnAnswer;
pub(crate) use sender::Whom;
pub use wire::{AccountKind, SignatureEntry, SignatureStatus};

use ring::digest::{SHA256, digest};

/// The first endpoint of each host: nodes behind one address are one witness.
#[must_use]
pub fn hosts(urls: &[url::Url]) -> Vec<url::Url> {
    let mut first: Vec<url::Url> = Vec::new();
    for url in urls {
        if first.iter().all(|other| other.host() != url.host()) {
            first.push(url.clone());
        }
    }
    first
}

/// Tells an endpoint from every other one, also from those of the same host, and shows no key: [`endpoint_label`] and the beginning of
/// a hash of the whole address.
#[must_use]
pub fn endpoint_key(url: &url::Url) -> String {
    let hash = digest(&SHA256, url.as_str().as_bytes());
    let (beginning, _) = hash.as_ref().split_at(8);
    let beginning = beginning.try_into().map_or(0, u64::from_be_bytes);
    format!("{}#{beginning:016x}", endpoint_label(url))
}

/// Scheme and host of an endpoint: all of it that may be printed, since keys hide in paths and queries.
#[must_use]
pub fn endpoint_label(url: &url::Url) -> String {
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or("?"))
}
