//! How far each token account's history is recorded.

use super::{Result, Store, Tx, row};
use crate::domain::{Signature, Slot, Timestamp, TokenAccount};
use std::time::Duration;

/// A point of a token account's finalized history below which all is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Whose history.
    pub token_account: TokenAccount,
    /// Newest recorded slot.
    pub slot: Slot,
    /// A signature in that slot.
    pub signature: Signature,
    /// When it was reached; for an anchor that moved along while it was young, when it was begun.
    pub at: Timestamp,
}

impl Store {
    /// Anchors are kept this far apart, so that the oldest reaches minutes back however busy the account is.
    const ANCHOR_SPACING: Duration = Duration::from_secs(30);
    /// How many rows an account keeps: its cursor and the anchors behind it.
    const ANCHORS_KEPT: i64 = 16;
    /// How long signatures below all anchors are remembered, for the sake of repeated backfills.
    const INGESTED_KEPT: Duration = Duration::from_hours(24);

    /// The cursor of a token account and the anchors behind it, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn cursors(&self, token_account: TokenAccount) -> Result<Vec<Cursor>> {
        let rows = sqlx::query(
            "SELECT slot, signature, at FROM cursors WHERE token_account = $1 ORDER BY slot DESC",
        )
        .bind(token_account.to_string())
        .fetch_all(&self.read)
        .await?;
        rows.iter().map(|r| row::cursor(r, token_account)).collect()
    }

    /// Moves a cursor forward, never back; thins the anchors and forgets signatures far below them.
    pub(super) async fn advance(tx: &mut Tx, cursor: &Cursor) -> Result<()> {
        let (account, slot) = (
            cursor.token_account.to_string(),
            row::slot_column(cursor.slot),
        );
        // A row younger than the spacing is not an anchor yet: it moves along, and keeps its age.
        let moved = sqlx::query(
            "UPDATE cursors SET slot = $2, signature = $3 WHERE token_account = $1 AND slot <= $2 AND at > $4 \
             AND slot = (SELECT MAX(slot) FROM cursors WHERE token_account = $1)",
        )
        .bind(&account)
        .bind(slot)
        .bind(cursor.signature.to_string())
        .bind(cursor.at.minus(Self::ANCHOR_SPACING).0)
        .execute(&mut **tx)
        .await?;
        if moved.rows_affected() == 0 {
            sqlx::query(
                "INSERT INTO cursors (token_account, slot, signature, at) \
                 SELECT $1, $2, $3, $4 WHERE NOT EXISTS (SELECT 1 FROM cursors WHERE token_account = $1 AND slot >= $2)",
            )
            .bind(&account)
            .bind(slot)
            .bind(cursor.signature.to_string())
            .bind(cursor.at.0)
            .execute(&mut **tx)
            .await?;
        }
        sqlx::query(
            "DELETE FROM cursors WHERE token_account = $1 AND slot NOT IN \
             (SELECT slot FROM cursors WHERE token_account = $1 ORDER BY slot DESC LIMIT $2)",
        )
        .bind(&account)
        .bind(Self::ANCHORS_KEPT)
        .execute(&mut **tx)
        .await?;
        sqlx::query(
            "DELETE FROM ingested WHERE token_account = $1 AND at < $2 \
             AND slot < (SELECT MIN(slot) FROM cursors WHERE token_account = $1)",
        )
        .bind(&account)
        .bind(cursor.at.minus(Self::INGESTED_KEPT).0)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}
