//! What is told to people: payments in a line each, and counts of them.

use super::{Result, Store, row};
use crate::domain::Slot;
use sqlx::Row;
use std::ops::RangeInclusive;

/// How many payments have one verdict.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Tally {
    /// `matched`, or the reason it is held.
    pub verdict: String,
    /// How many.
    pub payments: u64,
}

/// One payment in a line, for reports.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PaymentSummary {
    /// The transaction.
    pub signature: String,
    /// Where it arrived.
    pub token_account: String,
    /// Base units, unless unreadable.
    pub received: Option<String>,
    /// `matched`, or the reason it is held.
    pub verdict: String,
    /// The checkout it pays for.
    pub checkout: Option<String>,
    /// State of its confirmation, if there is one.
    pub confirmation: Option<String>,
    /// `confirmed`, `finalized` or `dropped`.
    pub chain_state: String,
}

impl Store {
    /// How many payments of these slots there are of each verdict.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tally(&self, slots: RangeInclusive<Slot>) -> Result<Vec<Tally>> {
        let rows = sqlx::query(
            "SELECT COALESCE(reason, verdict) AS word, COUNT(*) AS payments FROM payments \
             WHERE slot BETWEEN $1 AND $2 GROUP BY 1 ORDER BY 1",
        )
        .bind(row::slot_column(*slots.start()))
        .bind(row::slot_column(*slots.end()))
        .fetch_all(&self.read)
        .await?;
        rows.iter()
            .map(|r| {
                Ok(Tally {
                    verdict: r.try_get("word")?,
                    payments: row::count(r, "payments")?,
                })
            })
            .collect()
    }

    /// The newest payments, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn payments(&self, limit: u32) -> Result<Vec<PaymentSummary>> {
        let rows = sqlx::query(
            "SELECT p.signature, p.token_account, p.received, COALESCE(p.reason, p.verdict) AS word, p.checkout, \
             p.chain_state, c.state FROM payments p \
             LEFT JOIN confirmations c ON c.payment_id = p.id AND c.state <> 'cancelled' ORDER BY p.id DESC LIMIT $1",
        )
        .bind(limit)
        .fetch_all(&self.read)
        .await?;
        rows.iter()
            .map(|r| {
                Ok(PaymentSummary {
                    signature: r.try_get("signature")?,
                    token_account: r.try_get("token_account")?,
                    received: r.try_get("received")?,
                    verdict: r.try_get("word")?,
                    checkout: r.try_get("checkout")?,
                    confirmation: r.try_get("state")?,
                    chain_state: r.try_get("chain_state")?,
                })
            })
            .collect()
    }
}
