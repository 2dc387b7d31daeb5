//! The outbox: confirmations that are queued, acknowledged, parked or cancelled, and every attempt at them.

use super::record::PaymentId;
use super::{Result, Store, Tx, row};
use crate::domain::{Commitment, Held, Matched, Memo, Signature, Timestamp, Verdict};
use sqlx::{QueryBuilder, Row};
use std::time::Duration;

/// A confirmation whose time has come, leased to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The outbox row.
    pub id: i64,
    /// The checkout's id.
    pub memo: Memo,
    /// The transaction that pays for it.
    pub signature: Signature,
    /// How many attempts were made before.
    pub attempts: u32,
    /// When it was queued.
    pub queued_at: Timestamp,
    /// When the API first said no, if it did.
    pub rejected_since: Option<Timestamp>,
    /// Until when it is leased. Whoever concludes an attempt later than somebody else took it over changes nothing.
    pub leased_until: Timestamp,
}

/// One call to the merchant, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When it began.
    pub at: Timestamp,
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// How long it took.
    pub took: Duration,
    /// What came of it, in a few words.
    pub reason: String,
}

/// What becomes of a confirmation after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The merchant has it.
    Acknowledged,
    /// Try again then.
    Retry {
        /// When.
        due_at: Timestamp,
        /// When the API first said no, if it did.
        rejected_since: Option<Timestamp>,
    },
    /// A person must look.
    Parked,
    /// The merchant credited the checkout by another transaction: this payment is one too many.
    PaidByOther,
}

/// How full the outbox is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConfirmationCounts {
    /// Waiting to be sent, or to be finalized.
    pub queued: u64,
    /// Those of the queued that were tried in vain.
    pub undelivered: u64,
    /// Given up: a person must look.
    pub parked: u64,
    /// When the oldest queued one was queued.
    pub oldest_queued_at: Option<Timestamp>,
}

impl Store {
    /// Takes confirmations whose time has come, oldest first, and leases them: nobody else is given them until `lease`
    /// has passed, and after a crash they come back by themselves.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn claim_due(
        &self,
        now: Timestamp,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<Due>> {
        let rows = sqlx::query(
            "UPDATE confirmations SET due_at = $2 WHERE id IN \
             (SELECT id FROM confirmations WHERE state = 'queued' AND due_at <= $1 ORDER BY due_at, id LIMIT $3) \
             RETURNING id, memo, signature, attempts, queued_at, rejected_since",
        )
        .bind(now.0)
        .bind(now.plus(lease).0)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.write)
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
                    leased_until: now.plus(lease),
                })
            })
            .collect()
    }

    /// When the next confirmation is due, if one is queued and does not wait for `finalized`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_due_at(&self) -> Result<Option<Timestamp>> {
        let at: Option<i64> =
            sqlx::query_scalar("SELECT MIN(due_at) FROM confirmations WHERE state = 'queued'")
                .fetch_one(&self.read)
                .await?;
        Ok(at.map(Timestamp))
    }

    /// Makes due what was tried in vain and is due only after `later`. What is leased is due before that; what the API said no to
    /// keeps its pauses. Returns how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn hurry(&self, now: Timestamp, later: Timestamp) -> Result<u64> {
        let mut tx = self.begin().await?;
        let done = sqlx::query(
            "UPDATE confirmations SET due_at = $1 WHERE state = 'queued' AND due_at > $2 AND rejected_since IS NULL",
        )
        .bind(now.0)
        .bind(later.0)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }

    /// How full the outbox is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_confirmations(&self) -> Result<ConfirmationCounts> {
        let r = sqlx::query(
            "SELECT COUNT(CASE WHEN state = 'queued' THEN 1 END) AS queued, \
             COUNT(CASE WHEN state = 'queued' AND attempts > 0 THEN 1 END) AS undelivered, \
             COUNT(CASE WHEN state = 'parked' THEN 1 END) AS parked, \
             MIN(CASE WHEN state = 'queued' THEN queued_at END) AS oldest \
             FROM confirmations WHERE state IN ('queued', 'parked')",
        )
        .fetch_one(&self.read)
        .await?;
        Ok(ConfirmationCounts {
            queued: row::count(&r, "queued")?,
            undelivered: row::count(&r, "undelivered")?,
            parked: row::count(&r, "parked")?,
            oldest_queued_at: r.try_get::<Option<i64>, _>("oldest")?.map(Timestamp),
        })
    }

    /// Logs attempts and what becomes of their confirmations. One that was closed meanwhile, or taken over by somebody else after
    /// its lease, stays as it is; but what the API accepted is acknowledged, whoever asked.
    ///
    /// # Errors
    /// When the database fails; then none is logged.
    pub async fn attempted(&self, all: &[(&Due, &Attempt, &Next)]) -> Result<()> {
        let mut tx = self.begin().await?;
        let mut insert = QueryBuilder::new(
            "INSERT INTO attempts (confirmation_id, at, status, took_ms, reason) ",
        );
        insert.push_values(all, |mut values, (due, attempt, _)| {
            values
                .push_bind(due.id)
                .push_bind(attempt.at.0)
                .push_bind(attempt.status);
            values
                .push_bind(i64::try_from(attempt.took.as_millis()).unwrap_or(i64::MAX))
                .push_bind(&attempt.reason);
        });
        insert.build().execute(&mut *tx).await?;
        for (due, attempt, next) in all {
            conclude(&mut tx, due, attempt, next).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

async fn conclude(tx: &mut Tx, due: &Due, attempt: &Attempt, next: &Next) -> Result<()> {
    let closed_at = attempt.at.plus(attempt.took);
    match next {
        Next::Retry {
            due_at,
            rejected_since,
        } => {
            sqlx::query(
                "UPDATE confirmations SET due_at = $3, rejected_since = $4, attempts = attempts + 1, note = $5 \
                 WHERE id = $1 AND state = 'queued' AND due_at = $2",
            )
            .bind(due.id)
            .bind(due.leased_until.0)
            .bind(due_at.0)
            .bind(rejected_since.map(|at| at.0))
            .bind(&attempt.reason)
            .execute(&mut **tx)
            .await?;
        }
        Next::Acknowledged => {
            sqlx::query(
                "UPDATE confirmations SET state = 'acknowledged', note = $2, closed_at = $3, due_at = NULL, \
                 attempts = attempts + 1 WHERE id = $1 AND state IN ('queued', 'parked')",
            )
            .bind(due.id)
            .bind(&attempt.reason)
            .bind(closed_at.0)
            .execute(&mut **tx)
            .await?;
        }
        Next::Parked => {
            close(tx, due, "parked", &attempt.reason, closed_at).await?;
        }
        Next::PaidByOther => {
            if close(tx, due, "cancelled", &attempt.reason, closed_at).await? {
                hold_as_paid(tx, due.id, &attempt.reason, closed_at).await?;
            }
        }
    }
    Ok(())
}

/// Closes a confirmation that is still leased as it was taken. Returns whether it was.
async fn close(tx: &mut Tx, due: &Due, state: &str, note: &str, now: Timestamp) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE confirmations SET state = $3, note = $4, closed_at = $5, due_at = NULL, attempts = attempts + 1 \
         WHERE id = $1 AND state = 'queued' AND due_at = $2",
    )
    .bind(due.id)
    .bind(due.leased_until.0)
    .bind(state)
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

/// A confirmation to be queued; one the merchant knows already is closed at once, and still holds its checkout.
pub(super) struct New {
    payment: PaymentId,
    pub(super) memo: Memo,
    signature: Signature,
    state: &'static str,
    is_due: bool,
}

impl New {
    /// What a person asks for; due once the payment is finalized.
    pub(super) fn by_hand(
        payment: PaymentId,
        signature: Signature,
        memo: &Memo,
        is_final: bool,
    ) -> Self {
        Self {
            payment,
            memo: memo.clone(),
            signature,
            state: "queued",
            is_due: is_final,
        }
    }

    /// What a verdict asks for, if anything.
    pub(super) fn of(
        payment: PaymentId,
        signature: Signature,
        verdict: &Verdict,
        reached: Commitment,
    ) -> Option<Self> {
        let (memo, state, is_due) = match verdict {
            Verdict::Held(_) => return None,
            Verdict::Matched(Matched::Settled { memo }) => (memo, "acknowledged", false),
            Verdict::Matched(Matched::Confirm { memo, wait_for, .. }) => {
                (memo, "queued", reached >= *wait_for)
            }
        };
        Some(Self {
            payment,
            memo: memo.clone(),
            signature,
            state,
            is_due,
        })
    }
}

/// Puts confirmations into the outbox.
pub(super) async fn insert(tx: &mut Tx, all: &[New], now: Timestamp) -> Result<()> {
    const ROWS_MAX: usize = 1_000;
    for chunk in all.chunks(ROWS_MAX) {
        let mut insert = QueryBuilder::new(
            "INSERT INTO confirmations (payment_id, memo, signature, state, due_at, queued_at, closed_at) ",
        );
        insert.push_values(chunk, |mut values, new| {
            values
                .push_bind(new.payment)
                .push_bind(new.memo.as_str())
                .push_bind(new.signature.to_string());
            values
                .push_bind(new.state)
                .push_bind(new.is_due.then_some(now.0))
                .push_bind(now.0);
            values.push_bind((new.state != "queued").then_some(now.0));
        });
        insert.build().execute(&mut **tx).await?;
    }
    Ok(())
}

/// Makes due what waited for a payment to be finalized.
pub(super) async fn release(tx: &mut Tx, payment: PaymentId, now: Timestamp) -> Result<()> {
    sqlx::query("UPDATE confirmations SET due_at = $2 WHERE payment_id = $1 AND state = 'queued' AND due_at IS NULL")
        .bind(payment)
        .bind(now.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Whether the merchant may know of this payment: an attempt was logged, or one may be under way.
pub(super) async fn was_attempted(tx: &mut Tx, payment: PaymentId) -> Result<bool> {
    let live: Option<i64> = sqlx::query_scalar(
        "SELECT id FROM confirmations WHERE payment_id = $1 AND state <> 'cancelled' \
         AND NOT (state = 'queued' AND attempts = 0 AND (due_at IS NULL OR due_at <= queued_at))",
    )
    .bind(payment)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(live.is_some())
}

/// Takes back a payment's confirmation; only for one that was never sent.
pub(super) async fn cancel(tx: &mut Tx, payment: PaymentId, now: Timestamp) -> Result<()> {
    sqlx::query("UPDATE confirmations SET state = 'cancelled', closed_at = $2, due_at = NULL WHERE payment_id = $1 AND state = 'queued'")
        .bind(payment)
        .bind(now.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
