//! The outbox turns over: what was attempted is concluded, and what is due is taken.

use super::confirmations::{Attempt, Due, Next};
use super::script::Script;
use super::{Result, Store, Tx, row};
use crate::domain::{Held, Timestamp};
use sqlx::Row;
use std::time::Duration;

impl Store {
    /// Logs attempts and what becomes of their confirmations, then takes confirmations whose time has come, in one SQL transaction.
    ///
    /// One that was closed meanwhile, or taken over by somebody else after its lease, stays as it is; but what the API accepted is
    /// acknowledged, whoever asked. What is taken, oldest first, is leased: nobody else is given it until `lease` has passed, and
    /// after a crash it comes back by itself.
    ///
    /// # Errors
    /// When the database fails; then nothing is logged and nothing taken.
    pub async fn turn_over(
        &self,
        attempts: &[(&Due, &Attempt, &Next)],
        now: Timestamp,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Due>> {
        let mut tx = self.begin().await?;
        if !attempts.is_empty() {
            conclude(&mut tx, attempts).await?;
        }
        let taken = claim(&mut tx, now, now.plus(lease), limit).await?;
        tx.commit().await?;
        Ok(taken)
    }

    /// Gives back what was taken and not tried: it is due at once.
    ///
    /// # Errors
    /// When the database fails; then it comes back after its lease.
    pub async fn give_back(&self, taken: &[Due], now: Timestamp) -> Result<()> {
        let mut tx = self.begin().await?;
        for due in taken {
            sqlx::query("UPDATE confirmations SET due_at = $3 WHERE id = $1 AND state = 'queued' AND due_at = $2")
                .bind(due.id)
                .bind(due.leased_until.0)
                .bind(now.0)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

async fn claim(
    tx: &mut Tx,
    now: Timestamp,
    leased_until: Timestamp,
    limit: usize,
) -> Result<Vec<Due>> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(
        "UPDATE confirmations SET due_at = $2 WHERE id IN \
         (SELECT id FROM confirmations WHERE state = 'queued' AND due_at <= $1 ORDER BY due_at, id LIMIT $3) \
         RETURNING id, memo, signature, attempts, queued_at, rejected_since",
    )
    .bind(now.0)
    .bind(leased_until.0)
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(&mut **tx)
    .await?;
    rows.iter()
        .map(|r| {
            Ok(Due {
                id: r.try_get("id")?,
                memo: row::memo(r, "memo")?,
                signature: row::parse(r, "signature")?,
                attempts: u32::try_from(r.try_get::<i64, _>("attempts")?).unwrap_or(u32::MAX),
                queued_at: Timestamp(r.try_get("queued_at")?),
                rejected_since: r
                    .try_get::<Option<i64>, _>("rejected_since")?
                    .map(Timestamp),
                leased_until,
            })
        })
        .collect()
}

async fn conclude(tx: &mut Tx, all: &[(&Due, &Attempt, &Next)]) -> Result<()> {
    let mut script = Script::new();
    let head = "INSERT INTO attempts (confirmation_id, at, status, took_ms, reason) ";
    script.insert(head, all, "", |mut values, (due, attempt, _)| {
        values
            .push_bind(due.id)
            .push_bind(attempt.at.0)
            .push_bind(attempt.status)
            .push_bind(i64::try_from(attempt.took.as_millis()).unwrap_or(i64::MAX))
            .push_bind(attempt.reason.clone());
    });
    for (due, attempt, next) in all {
        conclude_one(&mut script, due, attempt, next);
    }
    script.run(tx).await?;
    for (due, attempt, next) in all {
        let closed_at = attempt.at.plus(attempt.took);
        if **next == Next::PaidByOther && close(tx, due, &attempt.reason, closed_at).await? {
            hold_as_paid(tx, due.id, &attempt.reason, closed_at).await?;
        }
    }
    Ok(())
}

fn conclude_one(script: &mut Script, due: &Due, attempt: &Attempt, next: &Next) {
    let closed_at = attempt.at.plus(attempt.took);
    script.statement(|sql| {
        sql.push("UPDATE confirmations SET attempts = attempts + 1, note = ");
        sql.push_bind(attempt.reason.clone());
        match next {
            Next::Retry {
                due_at,
                rejected_since,
            } => {
                sql.push(", due_at = ").push_bind(due_at.0);
                sql.push(", rejected_since = ")
                    .push_bind(rejected_since.map(|at| at.0));
            }
            Next::Acknowledged | Next::Parked => {
                let is_parked = *next == Next::Parked;
                let state = if is_parked { "parked" } else { "acknowledged" };
                sql.push(", state = ").push_bind(state);
                sql.push(", due_at = NULL, closed_at = ")
                    .push_bind(closed_at.0);
            }
            // Closed by itself, since more follows from it.
            Next::PaidByOther => {}
        }
        sql.push(" WHERE id = ").push_bind(due.id);
        match next {
            Next::Acknowledged => sql.push(" AND state IN ('queued', 'parked')"),
            _ => sql
                .push(" AND state = 'queued' AND due_at = ")
                .push_bind(due.leased_until.0),
        };
    });
}

/// Cancels a confirmation that is still leased as it was taken. Returns whether it was.
async fn close(tx: &mut Tx, due: &Due, note: &str, now: Timestamp) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE confirmations SET state = 'cancelled', note = $3, closed_at = $4, due_at = NULL \
         WHERE id = $1 AND state = 'queued' AND due_at = $2",
    )
    .bind(due.id)
    .bind(due.leased_until.0)
    .bind(note)
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// The merchant credited the checkout by another transaction.
async fn hold_as_paid(tx: &mut Tx, id: i64, why: &str, now: Timestamp) -> Result<()> {
    sqlx::query(
        "UPDATE payments SET verdict = 'held', reason = $2, note = $3, checkout = NULL \
         WHERE id = (SELECT payment_id FROM confirmations WHERE id = $1)",
    )
    .bind(id)
    .bind(Held::AlreadyPaid.as_str())
    .bind(why)
    .execute(&mut **tx)
    .await?;
    sqlx::query(
        "INSERT INTO judgements (payment_id, at, verdict) \
         SELECT payment_id, $2, $3 FROM confirmations WHERE id = $1",
    )
    .bind(id)
    .bind(now.0)
    .bind(Held::AlreadyPaid.as_str())
    .execute(&mut **tx)
    .await?;
    Ok(())
}
