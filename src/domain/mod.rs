//! The rules of paywatch, and nothing else: what a transaction gave to whom, which checkout its memo
//! names, and whether that deserves a confirmation.
//!
//! Pure: no clock, no randomness, no network, no database, no logging. Strange chain data is a
//! verdict here, never an error.

#![deny(
    clippy::float_arithmetic,
    clippy::as_conversions,
    clippy::indexing_slicing
)]

mod address;
mod amount;
mod assign;
mod balances;
mod checkout;
mod commitment;
mod credit;
mod decode;
mod explain;
mod judge;
mod meant;
mod memo;
mod policy;
mod program;
mod reconcile;
mod rules;
mod timestamp;
mod transaction;
mod transfer_request;
mod watch;

pub use address::{Mint, NotAnAddress, TokenAccount, Wallet};
pub use amount::{AmountError, BaseUnits, Decimals, HumanAmount};
pub use assign::{Piece, Share, pieces, unique_assignment};
pub use checkout::{Checkout, CheckoutStatus, StatusWord};
pub use commitment::Commitment;
pub use credit::{Credit, Transfer};
pub use decode::{Decoded, Incomplete, decode};
pub use explain::{
    AccountChange, ExplainedCredit, Explanation, Known, Payees, Reason, SaidMemo, explain,
    explain_unreadable,
};
pub use judge::{Candidate, Claim, Held, Matched, Verdict, judge};
pub use meant::{meant, resembles};
pub use memo::{Memo, is_invisible, is_unclear, visible};
pub use policy::{AmountRule, Limit, Policy, TokenName, UnknownMemo};
pub use program::{MemoProgram, TokenProgram};
pub use reconcile::{Finding, Rejected, Told, reconcile};
pub use rules::{Rules, Weight};
pub use solana_sdk::pubkey::Pubkey;
pub use solana_sdk::signature::Signature;
pub use timestamp::Timestamp;
pub use transaction::{Instruction, Lamports, Outcome, TokenBalance, Transaction, Version};
pub use transfer_request::TransferRequest;
pub use watch::{WatchList, Watched};

/// A slot number of the chain.
pub type Slot = u64;
