//! The three kinds of address that must never be mixed up: a mint, a wallet, and a token account.

use super::Pubkey;
use std::{fmt, str::FromStr};

/// A text that is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an address: 32 bytes in base58, which are 32 to 44 characters")]
pub struct NotAnAddress;

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Pubkey);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = NotAnAddress;

            fn from_str(text: &str) -> Result<Self, NotAnAddress> {
                text.trim().parse().map($name).map_err(|_| NotAnAddress)
            }
        }
    };
}

address!(
    /// The mint of a token: what tells real USDC from a token that merely calls itself so.
    Mint
);
address!(
    /// The owner of token accounts: what the API calls the recipient. Never itself in a transfer.
    Wallet
);
address!(
    /// An SPL token account: holds one mint for one owner; the place where credits arrive.
    TokenAccount
);
