//! Transactions that could not be read: tried again with growing pauses, for as long as it takes.

use super::{Ingested, Result, Store, Tx, row};
use crate::domain::{Commitment, Credit, Held, Signature, Slot, Timestamp, TokenAccount};
use sqlx::{QueryBuilder, Row};
use std::time::Duration;

/// A transaction that is due to be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// The transaction.
    pub signature: Signature,
    /// The watched token account whose history it is in.
    pub token_account: TokenAccount,
    /// The slot it landed in.
    pub slot: Slot,
    /// What the chain must have reached before it is read: finalized, once it is known to be final or its fork to be dead.
    pub at: Commitment,
}

/// Pauses between tries; the last repeats.
const PAUSES: [Duration; 6] = [
    Duration::from_secs(2),
    Duration::from_secs(15),
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(1),
];

impl Store {
    /// Quarantined transactions whose time has come, oldest first. A time further ahead than its pause can have put it was written
    /// before the clock was put back, and has come.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn quarantined(&self, now: Timestamp, limit: u32) -> Result<Vec<Quarantined>> {
        let mut query = QueryBuilder::new(
            "SELECT q.signature, q.token_account, q.slot, EXISTS (SELECT 1 FROM payments p WHERE p.signature = q.signature \
             AND p.token_account = q.token_account AND p.chain_state <> 'confirmed') AS is_settled \
             FROM quarantine q WHERE q.retry_at <= ",
        );
        query
            .push_bind(now.0)
            .push(" OR q.retry_at > CASE q.retries");
        for (retries, pause) in (0_i64..).zip(PAUSES) {
            query.push(" WHEN ").push_bind(retries);
            query.push(" THEN ").push_bind(now.plus(pause).0);
        }
        let longest = PAUSES[PAUSES.len() - 1];
        query.push(" ELSE ").push_bind(now.plus(longest).0);
        query
            .push(" END ORDER BY q.retry_at LIMIT ")
            .push_bind(limit);
        let rows = query.build().fetch_all(&self.read).await?;
        rows.iter()
            .map(|r| {
                Ok(Quarantined {
                    signature: row::parse(r, "signature")?,
                    token_account: row::parse(r, "token_account")?,
                    slot: row::slot(r)?,
                    at: if r.try_get("is_settled")? {
                        Commitment::Finalized
                    } else {
                        Commitment::Confirmed
                    },
                })
            })
            .collect()
    }
}

/// Puts a transaction into quarantine, or sets the time of its next try.
pub(super) async fn put(
    tx: &mut Tx,
    ingested: &Ingested,
    token_account: TokenAccount,
    now: Timestamp,
) -> Result<()> {
    let (signature, token_account) = (ingested.signature.to_string(), token_account.to_string());
    let retries: Option<i64> = sqlx::query_scalar(
        "SELECT retries FROM quarantine WHERE signature = $1 AND token_account = $2",
    )
    .bind(&signature)
    .bind(&token_account)
    .fetch_optional(&mut **tx)
    .await?;
    let retries = retries.map_or(0, |retries| retries.saturating_add(1));
    let pause = usize::try_from(retries)
        .ok()
        .and_then(|tries| PAUSES.get(tries))
        .unwrap_or(&PAUSES[PAUSES.len() - 1]);
    sqlx::query(
        "INSERT INTO quarantine (signature, token_account, slot, retries, retry_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (signature, token_account) DO UPDATE SET slot = excluded.slot, retries = excluded.retries, retry_at = excluded.retry_at",
    )
    .bind(signature)
    .bind(token_account)
    .bind(row::slot_column(ingested.slot))
    .bind(retries)
    .bind(now.plus(*pause).0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Ends the quarantine of a transaction that was read. Its unreadable payments become what they really are; those of accounts
/// that it gave nothing to go.
pub(super) async fn release(tx: &mut Tx, signature: Signature, credits: &[Credit]) -> Result<()> {
    sqlx::query("DELETE FROM quarantine WHERE signature = $1")
        .bind(signature.to_string())
        .execute(&mut **tx)
        .await?;
    let mut delete = QueryBuilder::new("DELETE FROM payments WHERE signature = ");
    delete
        .push_bind(signature.to_string())
        .push(" AND verdict = 'held' AND reason = ")
        .push_bind(Held::Unreadable.as_str())
        .push(" AND dismissed_at IS NULL AND token_account NOT IN (");
    let mut list = delete.separated(", ");
    list.push_bind("");
    for credit in credits {
        list.push_bind(credit.token_account.to_string());
    }
    delete.push(")");
    delete.build().execute(&mut **tx).await?;
    Ok(())
}

/// Makes a transaction due to be tried again. Returns whether it is in quarantine.
pub(super) async fn hurry(tx: &mut Tx, signature: Signature, now: Timestamp) -> Result<bool> {
    let done = sqlx::query("UPDATE quarantine SET retry_at = $2 WHERE signature = $1")
        .bind(signature.to_string())
        .bind(now.0)
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Stops trying to read a transaction.
pub(super) async fn give_up(
    tx: &mut Tx,
    signature: Signature,
    token_account: TokenAccount,
) -> Result<()> {
    sqlx::query("DELETE FROM quarantine WHERE signature = $1 AND token_account = $2")
        .bind(signature.to_string())
        .bind(token_account.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}
