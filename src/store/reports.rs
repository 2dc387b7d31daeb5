//! What is told to people: payments in a line each, and counts of them.

use super::{Filter, PaymentState, Result, Store, row};
use crate::domain::{BaseUnits, Decimals, Memo, Slot, Timestamp};
use sqlx::{QueryBuilder, Row, Sqlite, sqlite::SqliteRow};
use std::ops::RangeInclusive;

/// How many payments have one verdict.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Tally {
    /// `matched`, the reason it is held, `dust`, or `dismissed` by a person.
    pub verdict: String,
    /// How many.
    pub payments: u64,
}

/// What was recorded in an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hour {
    /// Its beginning, a whole hour of Unix time.
    pub start: Timestamp,
    /// Payments recorded in it.
    pub payments: u64,
    /// From first seen to acknowledged by the API, median of those that were sent, milliseconds; `None` if none was.
    pub confirm_ms: Option<u64>,
}

impl Hour {
    /// How long it is.
    pub const MILLISECONDS: i64 = 3_600_000;

    /// One in which nothing came.
    #[must_use]
    pub fn empty(start: Timestamp) -> Self {
        Self {
            start,
            payments: 0,
            confirm_ms: None,
        }
    }
}

/// One payment in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentSummary {
    /// Its row: later ones are larger.
    pub id: i64,
    /// The transaction.
    pub signature: String,
    /// Where it arrived.
    pub token_account: String,
    /// Its slot.
    pub slot: Slot,
    /// Estimated production time of its block, Unix seconds.
    pub block_time: Option<i64>,
    /// When its signature first came to us.
    pub seen_at: Timestamp,
    /// What came, unless unreadable.
    pub received: Option<BaseUnits>,
    /// In which token, unless unreadable.
    pub mint: Option<String>,
    /// The token's name and decimal places, if known.
    pub token: Option<(String, Decimals)>,
    /// Who paid, if the chain says.
    pub payer: Option<String>,
    /// Its memos.
    pub memos: Vec<Memo>,
    /// `matched`, or the reason it is held.
    pub verdict: String,
    /// The checkout it pays for.
    pub checkout: Option<Memo>,
    /// State of its confirmation, if there is one.
    pub confirmation: Option<String>,
    /// `confirmed`, `finalized` or `dropped`.
    pub chain_state: String,
    /// Where it stands.
    pub state: PaymentState,
    /// What is to be known beside the verdict.
    pub note: Option<String>,
}

impl PaymentSummary {
    /// Whether its fork died, whatever became of its confirmation.
    #[must_use]
    pub fn was_dropped(&self) -> bool {
        self.chain_state == "dropped"
    }
}

/// A payment with its live confirmation and its token; `state` is [`PaymentState`] in SQL.
const SELECT: &str = "SELECT * FROM (SELECT p.*, c.state AS confirmation, t.symbol, t.decimals, CASE \
    WHEN c.state = 'parked' THEN 'parked' WHEN p.chain_state = 'dropped' THEN 'dropped' WHEN p.dismissed_at IS NOT NULL THEN 'dismissed' \
    WHEN c.state IS NOT NULL THEN c.state WHEN p.is_dust THEN 'dust' ELSE 'held' END AS state \
    FROM payments p LEFT JOIN confirmations c ON c.payment_id = p.id AND c.state <> 'cancelled' \
    LEFT JOIN token_accounts t ON t.address = p.token_account) AS listed WHERE 1 = 1";

impl Store {
    /// How many payments of these slots there are of each verdict.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tally(&self, slots: RangeInclusive<Slot>) -> Result<Vec<Tally>> {
        let rows = sqlx::query(
            "SELECT CASE WHEN dismissed_at IS NOT NULL THEN 'dismissed' WHEN is_dust THEN 'dust' ELSE COALESCE(reason, verdict) END AS word, \
             COUNT(*) AS payments FROM payments WHERE slot BETWEEN $1 AND $2 GROUP BY 1 ORDER BY 1",
        )
        .bind(row::slot_column(*slots.start()))
        .bind(row::slot_column(*slots.end()))
        .fetch_all(&self.read)
        .await?;
        tallies(&rows)
    }

    /// How many payments that need a person are held, by reason.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn held(&self) -> Result<Vec<Tally>> {
        let rows = sqlx::query(
            "SELECT reason AS word, COUNT(*) AS payments FROM payments WHERE verdict = 'held' AND NOT is_dust \
             AND dismissed_at IS NULL AND chain_state <> 'dropped' GROUP BY reason ORDER BY reason",
        )
        .fetch_all(&self.read)
        .await?;
        tallies(&rows)
    }

    /// How many held payments are dust, and need nobody.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_dust(&self) -> Result<u64> {
        let r = sqlx::query(
            "SELECT COUNT(*) AS dust FROM payments WHERE verdict = 'held' AND is_dust AND dismissed_at IS NULL AND chain_state <> 'dropped'",
        )
        .fetch_one(&self.read)
        .await?;
        row::count(&r, "dust")
    }

    /// Payments recorded since an instant, and how many of them were confirmed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn recorded_since(&self, since: Timestamp) -> Result<(u64, u64)> {
        let r = sqlx::query(
            "SELECT COUNT(*) AS recorded, COUNT(c.id) AS confirmed FROM payments p \
             LEFT JOIN confirmations c ON c.payment_id = p.id AND c.state = 'acknowledged' WHERE p.recorded_at >= $1",
        )
        .bind(since.0)
        .fetch_one(&self.read)
        .await?;
        Ok((row::count(&r, "recorded")?, row::count(&r, "confirmed")?))
    }

    /// The hours since the beginning of one, in their order; hours without payments are left out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn hourly(&self, since: Timestamp) -> Result<Vec<Hour>> {
        let rows = sqlx::query(
            "SELECT hour, COUNT(*) AS payments, MAX(CASE WHEN place = (confirmed + 1) / 2 THEN took END) AS median FROM ( \
             SELECT p.recorded_at / $2 AS hour, c.closed_at - p.seen_at AS took, \
             COUNT(c.id) OVER (PARTITION BY p.recorded_at / $2) AS confirmed, \
             ROW_NUMBER() OVER (PARTITION BY p.recorded_at / $2 ORDER BY c.closed_at - p.seen_at NULLS LAST) AS place \
             FROM payments p LEFT JOIN confirmations c ON c.payment_id = p.id AND c.state = 'acknowledged' AND c.attempts > 0 \
             WHERE p.recorded_at >= $1) GROUP BY hour ORDER BY hour",
        )
        .bind(since.0)
        .bind(Hour::MILLISECONDS)
        .fetch_all(&self.read)
        .await?;
        rows.iter()
            .map(|r| {
                let hour: i64 = r.try_get("hour")?;
                let median: Option<i64> = r.try_get("median")?;
                Ok(Hour {
                    start: Timestamp(hour.saturating_mul(Hour::MILLISECONDS)),
                    payments: row::count(r, "payments")?,
                    confirm_ms: median.and_then(|median| u64::try_from(median).ok()),
                })
            })
            .collect()
    }

    /// The payment of a row.
    pub(super) async fn payment(&self, id: i64) -> Result<Option<PaymentSummary>> {
        let mut query = QueryBuilder::<Sqlite>::new(SELECT);
        query.push(" AND id = ").push_bind(id);
        let found = query.build().fetch_optional(&self.read).await?;
        found.as_ref().map(summary).transpose()
    }

    /// The payments asked for, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn payments(&self, filter: &Filter) -> Result<Vec<PaymentSummary>> {
        let mut query = QueryBuilder::<Sqlite>::new(SELECT);
        // Few payments are in these states: found by an index, not by looking through all.
        query.push(match filter.state {
            Some(PaymentState::Held | PaymentState::Dust) => {
                " AND id IN (SELECT id FROM payments WHERE verdict = 'held')"
            }
            Some(PaymentState::Parked) => {
                " AND id IN (SELECT payment_id FROM confirmations WHERE state = 'parked')"
            }
            Some(PaymentState::Uncredited) => {
                " AND id IN (SELECT payment_id FROM confirmations WHERE state = 'uncredited')"
            }
            _ => "",
        });
        let mut equals = |column: &str, value: Option<String>| {
            if let Some(value) = value {
                query.push(format!(" AND {column} = ")).push_bind(value);
            }
        };
        equals("signature", filter.signature.map(|one| one.to_string()));
        equals("COALESCE(reason, verdict)", filter.verdict.clone());
        equals("state", filter.state.map(|one| one.as_str().to_owned()));
        equals("mint", filter.mint.map(|one| one.to_string()));
        equals("payer", filter.payer.map(|one| one.to_string()));
        if let Some(memo) = &filter.memo {
            query.push(" AND (id IN (SELECT payment_id FROM payment_memos WHERE folded = ");
            query.push_bind(memo.folded());
            query.push(") OR checkout = ");
            query.push_bind(memo.as_str().to_owned()).push(")");
        }
        if let Some(since) = filter.since {
            query.push(" AND seen_at >= ").push_bind(since.0);
        }
        if let Some(until) = filter.until {
            query.push(" AND seen_at <= ").push_bind(until.0);
        }
        if let Some(seen) = filter.seen {
            query.push(" AND NOT EXISTS (SELECT 1 FROM judgements j WHERE j.payment_id = listed.id AND j.rowid > ");
            query.push_bind(seen.judgement);
            query.push(") AND NOT EXISTS (SELECT 1 FROM attempts a JOIN confirmations f ON f.id = a.confirmation_id \
                 WHERE f.payment_id = listed.id AND a.rowid > ");
            query.push_bind(seen.attempt).push(")");
        }
        if let Some(id) = filter.before {
            query.push(" AND id < ").push_bind(id);
        }
        query.push(" ORDER BY id DESC LIMIT ");
        query.push_bind(i64::from(filter.limit));
        let rows = query.build().fetch_all(&self.read).await?;
        rows.iter().map(summary).collect()
    }
}

fn tallies(rows: &[SqliteRow]) -> Result<Vec<Tally>> {
    rows.iter()
        .map(|r| {
            Ok(Tally {
                verdict: r.try_get("word")?,
                payments: row::count(r, "payments")?,
            })
        })
        .collect()
}

fn summary(r: &SqliteRow) -> Result<PaymentSummary> {
    let symbol: Option<String> = r.try_get("symbol")?;
    let decimals = row::decimals(r)?;
    Ok(PaymentSummary {
        id: r.try_get("id")?,
        signature: r.try_get("signature")?,
        token_account: r.try_get("token_account")?,
        slot: row::slot(r)?,
        block_time: r.try_get("block_time")?,
        seen_at: Timestamp(r.try_get("seen_at")?),
        received: row::parse_opt(r, "received")?,
        mint: r.try_get("mint")?,
        token: symbol.zip(decimals),
        payer: r.try_get("payer")?,
        memos: row::memos(r)?,
        verdict: match r.try_get::<Option<String>, _>("reason")? {
            Some(reason) => reason,
            None => r.try_get("verdict")?,
        },
        checkout: row::memo_opt(r, "checkout")?,
        confirmation: r.try_get("confirmation")?,
        chain_state: r.try_get("chain_state")?,
        state: row::parse(r, "state")?,
        note: r.try_get("note")?,
    })
}
