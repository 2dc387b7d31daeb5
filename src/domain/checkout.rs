//! A payment session of the API, as far as paywatch needs to know it.

use super::{BaseUnits, Memo, Mint, Signature, Wallet};

/// A payment session: who must be paid how much of what, and under which memo.
///
/// What the API does not tell is `None` and cannot be checked here; the backend checks it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkout {
    /// Names the checkout, on chain and in the API (`payment_id`).
    pub memo: Memo,
    /// Amount due, base units.
    pub amount: Option<BaseUnits>,
    /// Token due.
    pub mint: Option<Mint>,
    /// Wallet (not token account) to be paid.
    pub recipient: Option<Wallet>,
    /// Whether the API has credited it.
    pub status: CheckoutStatus,
    /// When it was made, Unix seconds.
    pub created_at: Option<i64>,
}

/// Where a checkout stands, by the API's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckoutStatus {
    /// Made, not yet credited.
    Pending,
    /// Credited, by this transaction if the API says which.
    Confirmed(Option<Signature>),
}
