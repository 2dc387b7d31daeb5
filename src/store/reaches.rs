//! How far back each token account's history is recorded, and where each endpoint's own listing of it ended.

use super::{Cursor, Result, Store, row};
use crate::domain::{Signature, Slot, Timestamp, TokenAccount};
use std::time::Duration;

/// The old end of the history that is recorded of a token account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Unix seconds. Everything from here up to the cursor is recorded.
    pub back_to: i64,
    /// The oldest transaction that was listed. Older history continues below it.
    pub signature: Option<Signature>,
}

impl Store {
    /// Two listings of one endpoint are compared over at least this time, so that signatures that it reveals late are listed.
    pub const OPINION_OVERLAP: Duration = Duration::from_secs(90);

    /// How far back a token account's history is recorded; `None` before the first sweep.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reach(&self, token_account: TokenAccount) -> Result<Option<Reach>> {
        let found = sqlx::query("SELECT back_to, signature FROM reaches WHERE token_account = $1")
            .bind(token_account.to_string())
            .fetch_optional(&self.read)
            .await?;
        found
            .map(|r| {
                Ok(Reach {
                    back_to: sqlx::Row::try_get(&r, "back_to")?,
                    signature: row::parse_opt(&r, "signature")?,
                })
            })
            .transpose()
    }

    /// Remembers that history is recorded further back. A reach never moves towards the present.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn extend_reach(&self, token_account: TokenAccount, reach: &Reach) -> Result<()> {
        sqlx::query(
            "INSERT INTO reaches (token_account, back_to, signature) VALUES ($1, $2, $3) \
             ON CONFLICT (token_account) DO UPDATE SET back_to = MIN(back_to, excluded.back_to), \
             signature = COALESCE(excluded.signature, signature) \
             WHERE excluded.back_to < back_to OR (signature IS NULL AND excluded.signature IS NOT NULL)",
        )
        .bind(token_account.to_string())
        .bind(reach.back_to)
        .bind(reach.signature.map(|signature| signature.to_string()))
        .execute(&self.write)
        .await?;
        Ok(())
    }

    /// Whether a transaction of a token account is recorded that is older than this slot, or any if there is no slot.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn knows_older(
        &self,
        token_account: TokenAccount,
        than: Option<Slot>,
    ) -> Result<bool> {
        let query = "SELECT EXISTS (SELECT 1 FROM ingested WHERE token_account = $1 AND slot < $2)";
        let known: i64 = sqlx::query_scalar(query)
            .bind(token_account.to_string())
            .bind(than.map_or(i64::MAX, row::slot_column))
            .fetch_one(&self.read)
            .await?;
        Ok(known != 0)
    }

    /// The same for transactions older than a recorded one; `false` if that one is not recorded.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn knows_below(
        &self,
        token_account: TokenAccount,
        signature: Signature,
    ) -> Result<bool> {
        let query = "SELECT EXISTS (SELECT 1 FROM ingested i JOIN ingested o ON o.token_account = i.token_account \
                     WHERE i.token_account = $1 AND i.signature = $2 AND o.slot < i.slot)";
        let known: i64 = sqlx::query_scalar(query)
            .bind(token_account.to_string())
            .bind(signature.to_string())
            .fetch_one(&self.read)
            .await?;
        Ok(known != 0)
    }

    /// Where an endpoint's own listings of a token account ended, newest first: at most two rows.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn opinions(
        &self,
        token_account: TokenAccount,
        endpoint: &str,
    ) -> Result<Vec<Cursor>> {
        let rows = sqlx::query(
            "SELECT slot, signature, at FROM opinions WHERE token_account = $1 AND endpoint = $2 ORDER BY slot DESC",
        )
        .bind(token_account.to_string())
        .bind(endpoint)
        .fetch_all(&self.read)
        .await?;
        rows.iter().map(|r| row::cursor(r, token_account)).collect()
    }

    /// Remembers where an endpoint's own listing ended: never back, and not before the newest end is old enough to list from.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn move_opinion(&self, endpoint: &str, end: &Cursor) -> Result<()> {
        let account = end.token_account.to_string();
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO opinions (token_account, endpoint, slot, signature, at) \
             SELECT $1, $2, $3, $4, $5 WHERE NOT EXISTS (SELECT 1 FROM opinions \
             WHERE token_account = $1 AND endpoint = $2 AND (slot >= $3 OR at BETWEEN $6 AND $5))",
        )
        .bind(&account)
        .bind(endpoint)
        .bind(row::slot_column(end.slot))
        .bind(end.signature.to_string())
        .bind(end.at.0)
        .bind(end.at.minus(Self::OPINION_OVERLAP).0.saturating_add(1))
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "DELETE FROM opinions WHERE token_account = $1 AND endpoint = $2 AND slot NOT IN \
             (SELECT slot FROM opinions WHERE token_account = $1 AND endpoint = $2 ORDER BY slot DESC LIMIT 2)",
        )
        .bind(&account)
        .bind(endpoint)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Whether an endpoint's end is old enough to list from. An end in the future is one from before the clock was put back.
    #[must_use]
    pub fn is_far(end: &Cursor, now: Timestamp) -> bool {
        end.at > now || now.since(end.at) >= Self::OPINION_OVERLAP
    }
}
