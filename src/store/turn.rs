//! The outbox turns over: what was attempted is concluded, and what is due is taken.

use super::confirmations::{Attempt, Due, GIVEN_UP, Next};
use super::script::Script;
use super::{Result, Store, row};
use crate::domain::{Rejected, Timestamp};
use sqlx::{Row, sqlite::SqliteRow};
use std::time::Duration;

impl Store {
    /// Logs attempts and what becomes of their confirmations, then takes confirmations whose time has come, in one SQL transaction.
    ///
    /// A confirmation that was closed meanwhile, or taken over by another process after its lease, stays as it is; but one that the
    /// API accepted is acknowledged, whichever process asked. What is taken, oldest first, is leased: nobody else is given it until `lease` has passed, and
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
        let tx = self.enter().await?;
        let mut script = Script::beginning();
        conclude(&mut script, attempts);
        set_clock_right(&mut script, now);
        let leased_until = now.plus(lease);
        claim(&mut script, now, leased_until, limit);
        let taken = script.commit(tx).await?;
        taken.iter().map(|r| due(r, leased_until)).collect()
    }

    /// Gives back what was taken and not tried: it is due at once, and that lease is as if it had never been.
    ///
    /// # Errors
    /// When the database fails; then it comes back after its lease.
    pub async fn give_back(&self, taken: &[Due], now: Timestamp) -> Result<()> {
        let mut tx = self.begin().await?;
        for due in taken {
            sqlx::query("UPDATE confirmations SET due_at = $3, due_set_at = $3, leases = leases - 1 WHERE id = $1 AND state = 'queued' AND due_at = $2")
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

/// A due time that was written more than this after the present is the work of a clock that was wrong. Less may be the time that a
/// process waited to write, after it had read the clock.
pub(super) const CLOCK_STEP_MIN: Duration = Duration::from_mins(1);

/// Takes instants that were written in the future, before the clock was put back, for the present.
fn set_clock_right(script: &mut Script, now: Timestamp) {
    make_due(script, now);
    let latest = now.plus(CLOCK_STEP_MIN).0;
    script.statement(|sql| {
        sql.push("UPDATE confirmations SET rejected_at = ")
            .push_bind(now.0)
            .push(", rejected_since = MIN(rejected_since, ")
            .push_bind(now.0);
        sql.push(") WHERE state = 'queued' AND rejected_at > ")
            .push_bind(latest);
    });
    script.statement(|sql| {
        sql.push("UPDATE confirmations SET accepted_at = ")
            .push_bind(now.0);
        sql.push(" WHERE state = 'acknowledged' AND credited_at IS NULL AND accepted_at > ")
            .push_bind(latest);
    });
}

/// Makes due what the schedule cannot have put so far ahead: its due time was written in the future, before the clock was put back.
fn make_due(script: &mut Script, now: Timestamp) {
    script.statement(|sql| {
        sql.push("UPDATE confirmations SET due_at = ")
            .push_bind(now.0)
            .push(", due_set_at = ")
            .push_bind(now.0);
        // By the index of `due_set_at` alone: a long outbox is not looked through.
        sql.push(" WHERE state = 'queued' AND +due_at IS NOT NULL AND due_set_at > ")
            .push_bind(now.plus(CLOCK_STEP_MIN).0);
    });
}

fn claim(script: &mut Script, now: Timestamp, leased_until: Timestamp, limit: usize) {
    if limit == 0 {
        return;
    }
    script.statement(|sql| {
        sql.push("UPDATE confirmations SET due_at = ")
            .push_bind(leased_until.0)
            .push(", due_set_at = ")
            .push_bind(now.0);
        sql.push(
            ", leases = leases + 1 WHERE id IN (SELECT id FROM confirmations WHERE state = 'queued' AND due_at <= ",
        )
        .push_bind(now.0);
        sql.push(" ORDER BY due_at, id LIMIT ")
            .push_bind(i64::try_from(limit).unwrap_or(i64::MAX));
        sql.push(
            ") RETURNING id, memo, signature, attempts, queued_at, rejected_since, rejected_at",
        );
    });
}

fn due(r: &SqliteRow, leased_until: Timestamp) -> Result<Due> {
    Ok(Due {
        id: r.try_get("id")?,
        memo: row::memo(r, "memo")?,
        signature: row::parse(r, "signature")?,
        attempts: u32::try_from(r.try_get::<i64, _>("attempts")?).unwrap_or(u32::MAX),
        queued_at: Timestamp(r.try_get("queued_at")?),
        rejected: rejected_before(r)?,
        leased_until,
    })
}

/// When the API said no to a confirmation, whatever came of later attempts. A later attempt without a verdict lets it say no once more.
fn rejected_before(r: &SqliteRow) -> Result<Option<Rejected>> {
    let since: Option<i64> = r.try_get("rejected_since")?;
    let last: Option<i64> = r.try_get("rejected_at")?;
    Ok(since.map(|since| Rejected {
        since: Timestamp(since),
        last: Timestamp(last.unwrap_or(since)),
    }))
}

/// When the API said no to a confirmation, if that was its last answer.
pub(super) fn rejected(r: &SqliteRow) -> Result<Option<Rejected>> {
    let since: Option<i64> = r.try_get("rejected_since")?;
    let last: Option<i64> = r.try_get("rejected_at")?;
    Ok(since.zip(last).map(|(since, last)| Rejected {
        since: Timestamp(since),
        last: Timestamp(last),
    }))
}

fn conclude(script: &mut Script, all: &[(&Due, &Attempt, &Next)]) {
    let head = "INSERT INTO attempts (confirmation_id, at, source, status, took_ms, reason) ";
    let made: Vec<_> = all
        .iter()
        .filter(|(_, _, next)| !matches!(next, Next::NotSent { .. }))
        .collect();
    script.insert(head, &made, "", |mut values, (due, attempt, _)| {
        values
            .push_bind(due.id)
            .push_bind(attempt.at.0)
            .push_bind("answer")
            .push_bind(attempt.status)
            .push_bind(i64::try_from(attempt.took.as_millis()).unwrap_or(i64::MAX))
            .push_bind(attempt.reason.clone());
    });
    for (due, attempt, next) in all {
        conclude_one(script, due, attempt, next);
        match next {
            Next::Acknowledged => contradict(script, due, attempt),
            Next::Retry { .. } | Next::Parked => doubt_rejection(script, due),
            Next::NotSent { .. } | Next::Rejected { .. } | Next::Refused => {}
        }
    }
}

/// The confirmation was given up for its rejections while this attempt was under way, and nobody knows what the API made of that.
fn doubt_rejection(script: &mut Script, due: &Due) {
    if due.rejected.is_some() {
        script.statement(|sql| {
            sql.push(
                "UPDATE confirmations SET rejected_at = NULL WHERE state = 'parked' AND id = ",
            )
            .push_bind(due.id);
        });
    }
}

/// The history showed the checkout as confirmed by another transaction while this attempt was under way, and then the API accepted it:
/// what was held as one too many is uncredited.
fn contradict(script: &mut Script, due: &Due, attempt: &Attempt) {
    let at = attempt.at.plus(attempt.took).0;
    let of =
        " FROM confirmations c WHERE c.state = 'uncredited' AND c.payment_id = p.id AND c.id = ";
    script.statement(|sql| {
        sql.push("INSERT INTO judgements (payment_id, at, verdict, checkout) SELECT p.id, ")
            .push_bind(at);
        sql.push(
            ", 'matched', c.memo FROM confirmations c JOIN payments p ON p.id = c.payment_id \
             WHERE c.state = 'uncredited' AND p.verdict = 'held' AND c.id = ",
        )
        .push_bind(due.id);
    });
    script.statement(|sql| {
        sql.push("UPDATE payments AS p SET verdict = 'matched', reason = NULL, is_dust = 0, checkout = c.memo");
        sql.push(of).push_bind(due.id).push(" AND p.verdict = 'held'");
    });
}

fn conclude_one(script: &mut Script, due: &Due, attempt: &Attempt, next: &Next) {
    let answered_at = attempt.at.plus(attempt.took).0;
    script.statement(|sql| {
        sql.push(match next {
            // Taken back meanwhile, and its checkout is another one's: then it stays so.
            Next::Acknowledged => "UPDATE OR IGNORE confirmations SET ",
            _ => "UPDATE confirmations SET ",
        });
        sql.push(match next {
            Next::NotSent { .. } => "leases = leases - 1",
            _ => "attempts = attempts + 1",
        });
        match next {
            Next::NotSent { due_at } | Next::Retry { due_at } => {
                sql.push(", due_at = ").push_bind(due_at.0);
                sql.push(", due_set_at = ").push_bind(answered_at);
                if matches!(next, Next::Retry { .. }) {
                    sql.push(", rejected_at = NULL");
                }
            }
            Next::Rejected { due_at, since } => {
                sql.push(", due_at = ").push_bind(due_at.0);
                sql.push(", due_set_at = ").push_bind(answered_at);
                sql.push(", rejected_since = ").push_bind(since.0);
                sql.push(", rejected_at = ").push_bind(answered_at);
            }
            Next::Acknowledged => {
                sql.push(", state = CASE state WHEN 'cancelled' THEN 'uncredited' ELSE 'acknowledged' END, due_at = NULL, rejected_since = NULL, rejected_at = NULL");
                sql.push(", closed_at = ").push_bind(answered_at);
                sql.push(", accepted_at = ").push_bind(answered_at);
            }
            Next::Parked | Next::Refused => {
                sql.push(", state = ").push(GIVEN_UP);
                sql.push(", due_at = NULL, closed_at = ").push_bind(answered_at);
                if *next == Next::Parked {
                    sql.push(", rejected_at = NULL");
                } else {
                    sql.push(", rejected_at = ").push_bind(answered_at);
                }
            }
        }
        sql.push(" WHERE id = ").push_bind(due.id);
        match next {
            Next::Acknowledged => sql.push(" AND state IN ('queued', 'parked', 'cancelled')"),
            _ => sql
                .push(" AND state = 'queued' AND due_at = ")
                .push_bind(due.leased_until.0),
        };
    });
}
