//! What happened to a payment, line by line.

use super::{Result, Store, row};
use crate::domain::{Memo, Signature, Timestamp, TokenAccount};
use sqlx::Row;

/// Something that happened to a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: Happened,
}

/// What happened to a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// Its signature first came to us.
    Seen,
    /// It was given a verdict.
    Judged {
        /// `matched`, or the reason it is held.
        verdict: String,
        /// The checkout it pays for.
        checkout: Option<Memo>,
    },
    /// The API was told.
    Attempted {
        /// HTTP status, if there was an answer.
        status: Option<u16>,
        /// How long it took, milliseconds.
        took_ms: i64,
        /// What came of it.
        reason: String,
    },
    /// The API's history told what became of its confirmation.
    Reconciled {
        /// What it told.
        reason: String,
    },
    /// It was finalized or dropped.
    Settled(String),
    /// A person decided.
    Decided {
        /// `confirm`, `dismiss` or `retry`.
        action: String,
        /// Who.
        actor: String,
        /// Why.
        reason: String,
        /// The checkout of a `confirm`.
        checkout: Option<Memo>,
    },
}

impl Store {
    /// Everything that happened to a payment, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn timeline(
        &self,
        signature: Signature,
        token_account: TokenAccount,
    ) -> Result<Vec<Event>> {
        let key = (signature.to_string(), token_account.to_string());
        let mut events = Vec::new();
        let payment = sqlx::query("SELECT id, seen_at, settled_at, chain_state FROM payments WHERE signature = $1 AND token_account = $2")
            .bind(&key.0)
            .bind(&key.1)
            .fetch_optional(&self.read)
            .await?;
        if let Some(r) = payment {
            let id: i64 = r.try_get("id")?;
            events.push(event(r.try_get("seen_at")?, Happened::Seen));
            events.extend(self.judgements(id).await?);
            events.extend(self.attempts(id).await?);
            if let Some(at) = r.try_get("settled_at")? {
                events.push(event(at, Happened::Settled(r.try_get("chain_state")?)));
            }
        }
        let decisions = sqlx::query(
            "SELECT * FROM decisions WHERE signature = $1 AND token_account = $2 ORDER BY id",
        )
        .bind(&key.0)
        .bind(&key.1)
        .fetch_all(&self.read)
        .await?;
        for r in &decisions {
            let what = Happened::Decided {
                action: r.try_get("action")?,
                actor: r.try_get("actor")?,
                reason: r.try_get("reason")?,
                checkout: row::memo_opt(r, "checkout")?,
            };
            events.push(event(r.try_get("at")?, what));
        }
        // Stable: what happened in the same millisecond stays in the order above.
        events.sort_by_key(|event| event.at);
        Ok(events)
    }

    async fn judgements(&self, payment: i64) -> Result<Vec<Event>> {
        let rows = sqlx::query(
            "SELECT at, verdict, checkout FROM judgements WHERE payment_id = $1 ORDER BY at",
        )
        .bind(payment)
        .fetch_all(&self.read)
        .await?;
        rows.iter()
            .map(|r| {
                let what = Happened::Judged {
                    verdict: r.try_get("verdict")?,
                    checkout: row::memo_opt(r, "checkout")?,
                };
                Ok(event(r.try_get("at")?, what))
            })
            .collect()
    }

    async fn attempts(&self, payment: i64) -> Result<Vec<Event>> {
        let rows = sqlx::query(
            "SELECT a.at, a.source, a.status, a.took_ms, a.reason FROM attempts a \
             JOIN confirmations c ON c.id = a.confirmation_id WHERE c.payment_id = $1 ORDER BY a.at",
        )
        .bind(payment)
        .fetch_all(&self.read)
        .await?;
        rows.iter()
            .map(|r| {
                let (status, reason) =
                    (r.try_get::<Option<i64>, _>("status")?, r.try_get("reason")?);
                let what = match r.try_get("source")? {
                    "history" => Happened::Reconciled { reason },
                    _ => Happened::Attempted {
                        status: status.and_then(|status| u16::try_from(status).ok()),
                        took_ms: r.try_get("took_ms")?,
                        reason,
                    },
                };
                Ok(event(r.try_get("at")?, what))
            })
            .collect()
    }
}

fn event(at: i64, what: Happened) -> Event {
    Event {
        at: Timestamp(at),
        what,
    }
}
