//! The outbox turns over: what was attempted is concluded, and what is due is taken.

use super::confirmations::{Attempt, Due, Next};
use super::script::Script;
use super::{Result, Store, Tx, row};
use crate::domain::{Held, Timestamp};
use sqlx::{Row, sqlite::SqliteRow};
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
        let mut tx = self.enter().await?;
        let mut script = Script::beginning();
        conclude(&mut script, attempts);
        let paid_by_other: Vec<_> = attempts
            .iter()
            .filter(|(_, _, next)| **next == Next::PaidByOther)
            .collect();
        if !paid_by_other.is_empty() {
            script.run(&mut tx).await?;
            for (due, attempt, _) in paid_by_other {
                hold_as_paid(&mut tx, due, attempt).await?;
            }
            script = Script::new();
        }
        let leased_until = now.plus(lease);
        claim(&mut script, now, leased_until, limit);
        let taken = script.commit(tx).await?;
        taken.iter().map(|r| due(r, leased_until)).collect()
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

fn claim(script: &mut Script, now: Timestamp, leased_until: Timestamp, limit: usize) {
    if limit == 0 {
        return;
    }
    script.statement(|sql| {
        sql.push("UPDATE confirmations SET due_at = ")
            .push_bind(leased_until.0);
        sql.push(
            " WHERE id IN (SELECT id FROM confirmations WHERE state = 'queued' AND due_at <= ",
        )
        .push_bind(now.0);
        sql.push(" ORDER BY due_at, id LIMIT ")
            .push_bind(i64::try_from(limit).unwrap_or(i64::MAX));
        sql.push(") RETURNING id, memo, signature, attempts, queued_at, rejected_since");
    });
}

fn due(r: &SqliteRow, leased_until: Timestamp) -> Result<Due> {
    let rejected_since: Option<i64> = r.try_get("rejected_since")?;
    Ok(Due {
        id: r.try_get("id")?,
        memo: row::memo(r, "memo")?,
        signature: row::parse(r, "signature")?,
        attempts: u32::try_from(r.try_get::<i64, _>("attempts")?).unwrap_or(u32::MAX),
        queued_at: Timestamp(r.try_get("queued_at")?),
        rejected_since: rejected_since.map(Timestamp),
        leased_until,
    })
}

fn conclude(script: &mut Script, all: &[(&Due, &Attempt, &Next)]) {
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
        conclude_one(script, due, attempt, next);
    }
}

fn conclude_one(script: &mut Script, due: &Due, attempt: &Attempt, next: &Next) {
    let closed_at = attempt.at.plus(attempt.took);
    script.statement(|sql| {
        sql.push("UPDATE confirmations SET attempts = attempts + 1");
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

/// The merchant credited the checkout by another transaction: the confirmation, if it is still leased as it was taken, is cancelled.
async fn hold_as_paid(tx: &mut Tx, due: &Due, attempt: &Attempt) -> Result<()> {
    let (why, now) = (&attempt.reason, attempt.at.plus(attempt.took));
    let payment: Option<i64> = sqlx::query_scalar(
        "UPDATE confirmations SET state = 'cancelled', closed_at = $3, due_at = NULL \
         WHERE id = $1 AND state = 'queued' AND due_at = $2 RETURNING payment_id",
    )
    .bind(due.id)
    .bind(due.leased_until.0)
    .bind(now.0)
    .fetch_optional(&mut **tx)
    .await?;
    let Some(payment) = payment else {
        return Ok(());
    };
    sqlx::query(
        "UPDATE payments SET verdict = 'held', reason = $2, note = $3, checkout = NULL WHERE id = $1",
    )
    .bind(payment)
    .bind(Held::AlreadyPaid.as_str())
    .bind(why)
    .execute(&mut **tx)
    .await?;
    sqlx::query("INSERT INTO judgements (payment_id, at, verdict) VALUES ($1, $2, $3)")
        .bind(payment)
        .bind(now.0)
        .bind(Held::AlreadyPaid.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(())
}
