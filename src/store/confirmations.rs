//! The outbox: confirmations that are queued, acknowledged, parked, uncredited or cancelled.

use super::record::PaymentId;
use super::script::Script;
use super::{Error, Result, Store, Tx, decisions, row};
use crate::domain::{Commitment, Matched, Memo, Rejected, Signature, Timestamp, Verdict};
use sqlx::Row;
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
    /// When the API said no, if it did.
    pub rejected: Option<Rejected>,
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
    /// Nothing was sent: that is no attempt, and only moves the due time.
    NotSent {
        /// When to send it.
        due_at: Timestamp,
    },
    /// No verdict of the merchant: try again then.
    Retry {
        /// When.
        due_at: Timestamp,
    },
    /// The merchant said no: try again then.
    Rejected {
        /// When to try again.
        due_at: Timestamp,
        /// When it first said no.
        since: Timestamp,
    },
    /// No verdict of the merchant for as long as it is waited for: a person must look.
    Parked,
    /// The merchant said no for as long as it may: a person must look.
    Refused,
}

impl Next {
    /// When it is to be tried again, if it is.
    #[must_use]
    pub fn due_at(&self) -> Option<Timestamp> {
        match self {
            Self::NotSent { due_at } | Self::Retry { due_at } | Self::Rejected { due_at, .. } => {
                Some(*due_at)
            }
            Self::Acknowledged | Self::Parked | Self::Refused => None,
        }
    }
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
    /// Accepted by the API and not credited by its history, and not closed by a person: a person must look.
    pub uncredited: u64,
    /// When the oldest queued one was queued.
    pub oldest_queued_at: Option<Timestamp>,
}

impl Store {
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

    /// Makes due what was tried in vain and waits for longer than any `lease`, also one that somebody takes while this waits to
    /// write. What the API said no to keeps its pauses. Returns how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn hurry(&self, now: Timestamp, lease: Duration) -> Result<u64> {
        let leased_at_most_until = now.plus(Self::BUSY_TIMEOUT).plus(lease);
        let mut tx = self.begin().await?;
        let done = sqlx::query(
            "UPDATE confirmations SET due_at = $1, due_set_at = $1 WHERE state = 'queued' AND attempts > 0 AND due_at > $2 AND rejected_since IS NULL",
        )
        .bind(now.0)
        .bind(leased_at_most_until.0)
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
             COUNT(CASE WHEN state = 'uncredited' AND dismissed_at IS NULL AND chain_state <> 'dropped' THEN 1 END) AS uncredited, \
             MIN(CASE WHEN state = 'queued' THEN queued_at END) AS oldest \
             FROM confirmations c JOIN payments p ON p.id = c.payment_id WHERE state IN ('queued', 'parked', 'uncredited')",
        )
        .fetch_one(&self.read)
        .await?;
        Ok(ConfirmationCounts {
            queued: row::count(&r, "queued")?,
            undelivered: row::count(&r, "undelivered")?,
            parked: row::count(&r, "parked")?,
            uncredited: row::count(&r, "uncredited")?,
            oldest_queued_at: r.try_get::<Option<i64>, _>("oldest")?.map(Timestamp),
        })
    }
}

/// Who asked for a confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Verdict,
    Person,
}

impl Origin {
    fn as_str(self) -> &'static str {
        match self {
            Self::Verdict => "verdict",
            Self::Person => "person",
        }
    }
}

/// A confirmation to be queued; one the merchant knows already is closed at once, and still holds its checkout.
pub(super) struct New {
    /// `None`: the database gives one.
    pub(super) id: Option<i64>,
    payment: PaymentId,
    pub(super) memo: Memo,
    /// No checkout of this memo is known.
    pub(super) is_unknown: bool,
    signature: Signature,
    state: &'static str,
    origin: Origin,
    is_due: bool,
    /// Whoever queues it sends it too, and has it leased until then.
    leased_until: Option<Timestamp>,
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
            id: None,
            payment,
            memo: memo.clone(),
            is_unknown: false,
            signature,
            state: "queued",
            origin: Origin::Person,
            is_due: is_final,
            leased_until: None,
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
            id: None,
            payment,
            memo: memo.clone(),
            is_unknown: false,
            signature,
            state,
            origin: Origin::Verdict,
            is_due,
            leased_until: None,
        })
    }

    /// Leases it to whoever queues it, if it is due at once.
    pub(super) fn lease(&mut self, now: Timestamp, until: Timestamp) -> Option<Due> {
        let id = self.id.filter(|_| self.is_due)?;
        self.leased_until = Some(until);
        Some(Due {
            id,
            memo: self.memo.clone(),
            signature: self.signature,
            attempts: 0,
            queued_at: now,
            rejected: None,
            leased_until: until,
        })
    }
}

/// Writes confirmations into a script.
pub(super) fn insert(script: &mut Script, all: &[New], now: Timestamp) {
    let head = "INSERT INTO confirmations (id, payment_id, memo, folded, is_unknown, signature, state, origin, due_at, due_set_at, queued_at, closed_at, leases) ";
    script.insert(head, all, "", |mut values, new| {
        let due_at = new.leased_until.unwrap_or(now).0;
        values
            .push_bind(new.id)
            .push_bind(new.payment)
            .push_bind(new.memo.as_str().to_owned())
            .push_bind(new.memo.folded())
            .push_bind(new.is_unknown)
            .push_bind(new.signature.to_string())
            .push_bind(new.state)
            .push_bind(new.origin.as_str())
            .push_bind(new.is_due.then_some(due_at))
            .push_bind(new.is_due.then_some(now.0))
            .push_bind(now.0)
            .push_bind((new.state != "queued").then_some(now.0))
            .push_bind(i64::from(new.leased_until.is_some()));
    });
}

/// Makes due what waited for a payment to be finalized.
pub(super) async fn release(tx: &mut Tx, payment: PaymentId, now: Timestamp) -> Result<()> {
    sqlx::query("UPDATE confirmations SET due_at = $2, due_set_at = $2 WHERE payment_id = $1 AND state = 'queued' AND due_at IS NULL")
        .bind(payment)
        .bind(now.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Whether the merchant may know of this payment: its confirmation was leased, and not given back unsent.
pub(super) async fn was_attempted(tx: &mut Tx, payment: PaymentId) -> Result<bool> {
    let live: Option<i64> = sqlx::query_scalar(
        "SELECT id FROM confirmations WHERE payment_id = $1 AND state <> 'cancelled' \
         AND NOT (state = 'queued' AND leases = 0)",
    )
    .bind(payment)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(live.is_some())
}

/// Whether a person asked for a payment's live confirmation.
pub(super) async fn is_by_hand(tx: &mut Tx, payment: PaymentId) -> Result<bool> {
    let live: Option<i64> = sqlx::query_scalar(
        "SELECT id FROM confirmations WHERE payment_id = $1 AND state <> 'cancelled' AND origin = 'person'",
    )
    .bind(payment)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(live.is_some())
}

/// Queues again what a person asked for and what was taken back with a fork, if its checkout is still free. Returns its memo.
pub(super) async fn renew_by_hand(
    tx: &mut Tx,
    payment: PaymentId,
    reached: Commitment,
    now: Timestamp,
) -> Result<Option<Memo>> {
    let last = sqlx::query(
        "SELECT id, memo FROM confirmations WHERE payment_id = $1 AND state = 'cancelled' AND origin = 'person' \
         AND id = (SELECT MAX(id) FROM confirmations WHERE payment_id = $1)",
    )
    .bind(payment)
    .fetch_optional(&mut **tx)
    .await?;
    let Some(last) = last else {
        return Ok(None);
    };
    let memo = row::memo(&last, "memo")?;
    match decisions::check_free(tx, &memo).await {
        Ok(()) => {}
        Err(Error::Refused(_)) => return Ok(None),
        Err(error) => return Err(error),
    }
    let due_at = (reached == Commitment::Finalized).then_some(now.0);
    sqlx::query("UPDATE confirmations SET state = 'queued', due_at = $2, due_set_at = $2, queued_at = $3, closed_at = NULL WHERE id = $1")
        .bind(last.try_get::<i64, _>("id")?)
        .bind(due_at)
        .bind(now.0)
        .execute(&mut **tx)
        .await?;
    Ok(Some(memo))
}

/// The state of a confirmation that is given up, in SQL. One that the API once accepted keeps its checkout, whatever a person
/// decides: another transaction is never sent for it.
pub(super) const GIVEN_UP: &str =
    "CASE WHEN accepted_at IS NULL THEN 'parked' ELSE 'uncredited' END";

/// Gives up a payment's confirmation that is not acknowledged, whatever an attempt under way comes to short of that.
pub(super) async fn park(tx: &mut Tx, payment: PaymentId, now: Timestamp) -> Result<()> {
    close(tx, payment, GIVEN_UP, now).await
}

/// Makes a payment's confirmation due that was tried before, and lets its patience begin anew.
pub(super) async fn retry(tx: &mut Tx, payment: PaymentId, now: Timestamp) -> Result<()> {
    sqlx::query(
        "UPDATE confirmations SET state = 'queued', due_at = $2, due_set_at = $2, queued_at = $2, closed_at = NULL, attempts = 1, \
         rejected_since = NULL, rejected_at = NULL, asked_again_at = NULL \
         WHERE payment_id = $1 AND state IN ('queued', 'parked', 'uncredited')",
    )
    .bind(payment)
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Takes back a payment's confirmation; only for one that was never sent.
pub(super) async fn cancel(tx: &mut Tx, payment: PaymentId, now: Timestamp) -> Result<()> {
    close(tx, payment, "'cancelled'", now).await
}

/// Takes back a payment's confirmation that the API said no to until it was given up, or that waits for `finalized` and was never sent.
pub(super) async fn cancel_refused(tx: &mut Tx, payment: PaymentId, now: Timestamp) -> Result<()> {
    sqlx::query(
        "UPDATE confirmations SET state = 'cancelled', closed_at = $2, due_at = NULL WHERE payment_id = $1 AND state IN ('queued', 'parked')",
    )
    .bind(payment)
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// `state` is an expression in SQL.
async fn close(tx: &mut Tx, payment: PaymentId, state: &'static str, now: Timestamp) -> Result<()> {
    let close = format!(
        "UPDATE confirmations SET state = {state}, closed_at = $2, due_at = NULL WHERE payment_id = $1 AND state = 'queued'"
    );
    sqlx::query(&close)
        .bind(payment)
        .bind(now.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
