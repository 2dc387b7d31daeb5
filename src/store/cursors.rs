//! How far each token account's history is recorded.

use super::{Result, Store, Tx, row};
use crate::domain::{Signature, Slot, Timestamp, TokenAccount, TokenProgram, WatchList, Watched};
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
        rows.iter()
            .map(|r| {
                Ok(Cursor {
                    token_account,
                    slot: row::slot(r)?,
                    signature: row::parse(r, "signature")?,
                    at: Timestamp(sqlx::Row::try_get(r, "at")?),
                })
            })
            .collect()
    }

    /// Remembers what is watched, for those who ask without node and API.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remember_watched(&self, accounts: &WatchList, now: Timestamp) -> Result<()> {
        let mut tx = self.begin().await?;
        for watched in accounts.iter() {
            sqlx::query(
                "INSERT INTO token_accounts (address, watched_since, wallet, mint, token_program, decimals, symbol) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (address) DO UPDATE SET wallet = excluded.wallet, \
                 mint = excluded.mint, token_program = excluded.token_program, decimals = excluded.decimals, \
                 symbol = excluded.symbol",
            )
            .bind(watched.token_account.to_string())
            .bind(now.0)
            .bind(watched.wallet.to_string())
            .bind(watched.mint.to_string())
            .bind(watched.token_program.id().to_string())
            .bind(watched.decimals.places())
            .bind(&watched.symbol)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Every token account that was ever watched.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn watched(&self) -> Result<WatchList> {
        let rows = sqlx::query("SELECT * FROM token_accounts WHERE symbol IS NOT NULL")
            .fetch_all(&self.read)
            .await?;
        rows.iter()
            .map(|r| {
                let corrupt = |column| super::Error::Corrupt { column };
                Ok(Watched {
                    token_account: row::parse(r, "address")?,
                    wallet: row::parse(r, "wallet")?,
                    mint: row::parse(r, "mint")?,
                    token_program: TokenProgram::from_id(&row::parse(r, "token_program")?)
                        .ok_or(corrupt("token_program"))?,
                    decimals: row::decimals(r)?.ok_or(corrupt("decimals"))?,
                    symbol: sqlx::Row::try_get(r, "symbol")?,
                })
            })
            .collect()
    }

    /// Remembers that a token account is watched; returns since when.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn watched_since(
        &self,
        token_account: TokenAccount,
        now: Timestamp,
    ) -> Result<Timestamp> {
        let since = sqlx::query_scalar(
            "INSERT INTO token_accounts (address, watched_since) VALUES ($1, $2) \
             ON CONFLICT (address) DO UPDATE SET address = excluded.address RETURNING watched_since",
        )
        .bind(token_account.to_string())
        .bind(now.0)
        .fetch_one(&self.write)
        .await?;
        Ok(Timestamp(since))
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
