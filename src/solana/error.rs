//! Why a node did not give an answer, and what to do about it.

use crate::http::Fault;
use reqwest::StatusCode;
use solana_client::client_error::ClientError;
use std::time::Duration;

/// Why a node did not give an answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection, no answer in time, or a cut one.
    #[error("{endpoint}: {method} was not answered")]
    Transport {
        /// Scheme and host.
        endpoint: String,
        /// RPC method.
        method: String,
        /// The cause, without the address.
        #[source]
        source: Fault,
    },
    /// An HTTP status that is no answer.
    #[error("{endpoint}: {method} was answered with HTTP status {status}{}", meaning_of_status(*status))]
    Status {
        /// Scheme and host.
        endpoint: String,
        /// RPC method.
        method: String,
        /// The status.
        status: StatusCode,
        /// When the node wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// A JSON-RPC error.
    #[error("{endpoint}: {method} failed with code {code}: {message}{}", code::meaning(*code))]
    Rpc {
        /// Scheme and host.
        endpoint: String,
        /// RPC method.
        method: String,
        /// JSON-RPC code.
        code: i64,
        /// The node's words.
        message: String,
    },
    /// A JSON-RPC answer whose result is not of the kind that was asked for.
    #[error("{endpoint}: the answer to {method} does not have the expected form")]
    Form {
        /// Scheme and host.
        endpoint: String,
        /// RPC method.
        method: String,
    },
    /// An answer that is not what was asked for.
    #[error("{endpoint}: the answer to {method} is not {expected}")]
    Malformed {
        /// Scheme and host.
        endpoint: String,
        /// RPC method.
        method: String,
        /// What it should have been.
        expected: &'static str,
    },
}

const TOO_OFTEN: &str =
    " (asked more often than the plan allows: lower solana.max_rps, or take a larger plan)";

/// What a person is to know of it.
fn meaning_of_status(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 | 403 => " (the node does not take the key in its address, see solana.rpc_urls)",
        429 => TOO_OFTEN,
        _ => "",
    }
}

/// JSON-RPC codes with a meaning here (SOLANA.md, `solana_client::rpc_custom_error`).
pub(super) mod code {
    pub(in crate::solana) const UNSUPPORTED_TRANSACTION_VERSION: i64 = -32015;
    pub(in crate::solana) const UNKNOWN_ANCHOR: i64 = -32020;
    pub(in crate::solana) const INVALID_PARAMS: i64 = -32602;
    /// Rate limits inside an answer of status 200, by provider. -32003 means a bad signature of a transaction that is sent, and paywatch
    /// sends none.
    pub(in crate::solana) const TOO_MANY_REQUESTS: [i64; 4] = [429, -32429, -32029, -32003];
    const BEHIND: i64 = -32005;
    const NO_HISTORY: i64 = -32011;

    /// What a person is to know of it.
    pub(super) fn meaning(code: i64) -> &'static str {
        match code {
            NO_HISTORY => {
                " (this node keeps no history of transactions, and cannot be used: change solana.rpc_urls)"
            }
            BEHIND => " (this node is behind the chain)",
            limited if TOO_MANY_REQUESTS.contains(&limited) => super::TOO_OFTEN,
            _ => "",
        }
    }

    /// Node behind, no transaction history, min context slot.
    pub(in crate::solana) const OF_THE_NODE: [i64; 3] = [BEHIND, NO_HISTORY, -32016];
    /// Block not available, node behind, slot skipped, status not available yet, min context slot, … : another node, or later.
    pub(in crate::solana) const RETRY: [i64; 9] = [
        -32004, BEHIND, -32007, -32009, NO_HISTORY, -32014, -32016, -32019, -32603,
    ];
}

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Advice {
    /// Ask another endpoint now, this one again after a pause.
    Elsewhere(Option<Duration>),
    /// Ask another endpoint once; asking this one again is useless.
    ElsewhereOnce,
}

impl Error {
    pub(super) fn advice(&self) -> Advice {
        match self {
            Self::Transport { .. } | Self::Form { .. } | Self::Malformed { .. } => {
                Advice::Elsewhere(None)
            }
            Self::Status {
                status,
                retry_after,
                ..
            } => match status.as_u16() {
                408 | 429 | 500..=599 => Advice::Elsewhere(*retry_after),
                _ => Advice::ElsewhereOnce,
            },
            Self::Rpc { code, .. } if code::RETRY.contains(code) => Advice::Elsewhere(None),
            Self::Rpc { .. } if self.is_too_many() => Advice::Elsewhere(None),
            Self::Rpc { .. } => Advice::ElsewhereOnce,
        }
    }

    /// Whether the node says that it is asked too often: as a status, or as an error inside an answer.
    #[must_use]
    pub fn is_too_many(&self) -> bool {
        match self {
            Self::Status { status, .. } => *status == StatusCode::TOO_MANY_REQUESTS,
            Self::Rpc { code, .. } => code::TOO_MANY_REQUESTS.contains(code),
            _ => false,
        }
    }

    /// Whether it says something of the node (busy, behind, without history, locked), and nothing of what was asked for.
    #[must_use]
    pub fn is_of_the_node(&self) -> bool {
        match self {
            Self::Status { status, .. } => status.is_client_error(),
            Self::Rpc { code, .. } => code::OF_THE_NODE.contains(code) || self.is_too_many(),
            _ => false,
        }
    }

    /// Whether every endpoint that answered says no to the question itself: asking again is useless.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.advice() == Advice::ElsewhereOnce
    }

    /// The JSON-RPC code, if the node gave one.
    #[must_use]
    pub fn code(&self) -> Option<i64> {
        match self {
            Self::Rpc { code, .. } => Some(*code),
            _ => None,
        }
    }
}

/// Undoes the wrapping that `RpcClient` puts around our errors.
impl From<ClientError> for Error {
    fn from(error: ClientError) -> Self {
        let unexpected = || Self::Malformed {
            endpoint: "?".into(),
            method: "?".into(),
            expected: "of the expected type",
        };
        match *error.kind {
            solana_client::client_error::ClientErrorKind::Io(io) => io
                .into_inner()
                .and_then(|inner| inner.downcast().ok())
                .map_or_else(unexpected, |own: Box<Self>| *own),
            _ => unexpected(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rpc(code: i64) -> Error {
        Error::Rpc {
            endpoint: "https://a.example".into(),
            method: "getTransaction".into(),
            code,
            message: String::new(),
        }
    }

    fn status(status: StatusCode) -> Error {
        Error::Status {
            endpoint: "https://a.example".into(),
            method: "getTransaction".into(),
            status,
            retry_after: None,
        }
    }

    #[test]
    fn every_form_of_a_rate_limit_is_one_and_says_what_to_do() {
        let limits = [429, -32429, -32029, -32003].map(rpc);
        let limits = limits
            .into_iter()
            .chain([status(StatusCode::TOO_MANY_REQUESTS)]);
        for error in limits {
            assert!(error.is_too_many(), "{error}");
            assert!(error.is_of_the_node(), "{error}");
            assert_eq!(error.advice(), Advice::Elsewhere(None), "{error}");
            assert!(error.to_string().contains("solana.max_rps"), "{error}");
        }
        for other in [-32005, -32010, -32601, -32602, -32603, 428] {
            assert!(!rpc(other).is_too_many(), "{other}");
        }
        assert!(!status(StatusCode::FORBIDDEN).is_too_many());
    }

    #[test]
    fn a_node_that_does_not_serve_a_question_refuses_it() {
        for code in [-32010, -32601, -32602] {
            assert!(rpc(code).is_refusal(), "{code}");
        }
        for refused in [StatusCode::FORBIDDEN, StatusCode::NOT_FOUND] {
            assert!(status(refused).is_refusal(), "{refused}");
        }
        for code in [429, -32429, -32005, -32603] {
            assert!(!rpc(code).is_refusal(), "{code}");
        }
        assert!(!status(StatusCode::BAD_GATEWAY).is_refusal());
    }
}
