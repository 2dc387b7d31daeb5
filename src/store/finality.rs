//! How sure the chain is of what was recorded: finalized for good, or dropped with a fork.

use super::record::PaymentId;
use super::{Result, Store, Tx, confirmations, row};
use crate::domain::{BaseUnits, Signature, Slot, Timestamp, TokenAccount};
use sqlx::{QueryBuilder, Row};
use std::time::Duration;

/// A payment that has reached confirmed and not yet finalized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsettled {
    /// The transaction.
    pub signature: Signature,
    /// A token account that it credited there.
    pub token_account: TokenAccount,
    /// The slot it was seen in.
    pub slot: Slot,
    /// What it credited there, unless unreadable.
    pub received: Option<BaseUnits>,
}

/// What was dropped with a fork.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// How many payments.
    pub payments: u64,
    /// How many of them were sent, so that the merchant may have credited money that is not there.
    pub sent: u64,
}

impl Store {
    /// Payments at `confirmed` that someone waits for to be finalized, that were sent in vain, or that were recorded longer ago than
    /// `overdue` and should long be final; oldest slot first. What was recorded after `now`, before the clock was put back, counts as
    /// that, too.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unsettled(
        &self,
        now: Timestamp,
        overdue: Duration,
        limit: usize,
    ) -> Result<Vec<Unsettled>> {
        let rows = sqlx::query(
            "SELECT p.signature, p.token_account, p.received, MIN(p.slot) AS slot FROM payments p \
             LEFT JOIN confirmations c ON c.payment_id = p.id AND c.state IN ('queued', 'parked') AND (c.due_at IS NULL OR c.attempts > 0) \
             WHERE p.chain_state = 'confirmed' AND (p.recorded_at NOT BETWEEN $1 AND $2 OR c.id IS NOT NULL) \
             GROUP BY p.signature ORDER BY MIN(p.slot) LIMIT $3",
        )
        .bind(now.minus(overdue).0)
        .bind(now.0)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.read)
        .await?;
        rows.iter()
            .map(|r| {
                Ok(Unsettled {
                    signature: row::parse(r, "signature")?,
                    token_account: row::parse(r, "token_account")?,
                    slot: row::slot(r)?,
                    received: row::parse_opt(r, "received")?,
                })
            })
            .collect()
    }

    /// Notes that payments of these transactions in these slots can no longer be undone; what waited for that becomes due.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn finalize(&self, seen: &[(Signature, Slot)], now: Timestamp) -> Result<()> {
        let mut tx = self.begin().await?;
        finalize(&mut tx, seen, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Notes that the fork died on which a transaction paid in this slot. A confirmation that was never sent is cancelled; one
    /// that was sent in vain is sent no more, and keeps its checkout, since nobody knows what the API made of it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn drop_payment(
        &self,
        signature: Signature,
        slot: Slot,
        now: Timestamp,
    ) -> Result<Dropped> {
        let mut tx = self.begin().await?;
        let ids: Vec<PaymentId> =
            sqlx::query_scalar("UPDATE payments SET chain_state = 'dropped', settled_at = $3 WHERE signature = $1 AND slot = $2 AND chain_state = 'confirmed' RETURNING id")
                .bind(signature.to_string())
                .bind(row::slot_column(slot))
                .bind(now.0)
                .fetch_all(&mut *tx)
                .await?;
        // Should it come back after all, the sweep must read it anew, in whatever slot.
        sqlx::query("DELETE FROM ingested WHERE signature = $1")
            .bind(signature.to_string())
            .execute(&mut *tx)
            .await?;
        let mut dropped = Dropped::default();
        for id in ids {
            dropped.payments += 1;
            if confirmations::was_attempted(&mut tx, id).await? {
                dropped.sent += 1;
                confirmations::park(&mut tx, id, now).await?;
            } else {
                confirmations::cancel(&mut tx, id, now).await?;
            }
        }
        tx.commit().await?;
        Ok(dropped)
    }
}

/// Notes that payments of these transactions in these slots can no longer be undone; what waited for that becomes due. What a
/// transaction gave in another slot, on another fork, need not be what it gave here.
pub(super) async fn finalize(
    tx: &mut Tx,
    seen: &[(Signature, Slot)],
    now: Timestamp,
) -> Result<()> {
    const BOUND_MAX: usize = 2_000;
    for chunk in seen.chunks(BOUND_MAX) {
        let mut update =
            QueryBuilder::new("UPDATE payments SET chain_state = 'finalized', settled_at = ");
        update.push_bind(now.0).push(" FROM (");
        update.push_values(chunk, |mut values, (signature, slot)| {
            values
                .push_bind(signature.to_string())
                .push_bind(row::slot_column(*slot));
        });
        update.push(
            ") seen WHERE chain_state = 'confirmed' AND signature = seen.column1 AND slot = seen.column2 RETURNING id",
        );
        for r in update.build().fetch_all(&mut **tx).await? {
            confirmations::release(tx, r.try_get("id")?, now).await?;
        }
    }
    Ok(())
}
