//! The token accounts that are or were watched.

use super::{Result, Store, row};
use crate::domain::{Slot, Timestamp, TokenAccount, TokenProgram, WatchList, Watched};
use sqlx::Row;
use std::collections::HashMap;

/// What a token account has received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipts {
    /// When a payment last matched a checkout.
    pub matched_at: Option<Timestamp>,
    /// The most that one payment brought which is held and waits for a person, base units.
    pub held: u64,
}

impl Store {
    /// Remembers the accounts that are watched from now on, for a start without the API and for those who ask without node and API.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remember_watched(&self, accounts: &WatchList, now: Timestamp) -> Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE token_accounts SET is_watched = 0 WHERE is_watched <> 0")
            .execute(&mut *tx)
            .await?;
        for watched in accounts.iter() {
            sqlx::query(
                "INSERT INTO token_accounts (address, watched_since, wallet, mint, token_program, decimals, symbol, is_watched) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, 1) ON CONFLICT (address) DO UPDATE SET wallet = excluded.wallet, \
                 mint = excluded.mint, token_program = excluded.token_program, decimals = excluded.decimals, \
                 symbol = excluded.symbol, is_watched = 1, gone_at = NULL",
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
        self.watched_where("symbol IS NOT NULL").await
    }

    /// Every token account that was on the watch list when it last changed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn watched_last(&self) -> Result<WatchList> {
        self.watched_where("symbol IS NOT NULL AND is_watched <> 0")
            .await
    }

    /// Every token account that was ever watched and is not gone for good.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn still_watched(&self) -> Result<WatchList> {
        self.watched_where("symbol IS NOT NULL AND gone_at IS NULL")
            .await
    }

    /// Remembers token accounts that the chain lists no more, and that were swept since. They come back when they are watched again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_gone(&self, accounts: &[Watched], now: Timestamp) -> Result<()> {
        let mut tx = self.begin().await?;
        for watched in accounts {
            sqlx::query("UPDATE token_accounts SET gone_at = $2 WHERE address = $1")
                .bind(watched.token_account.to_string())
                .bind(now.0)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    async fn watched_where(&self, condition: &'static str) -> Result<WatchList> {
        let rows = sqlx::query(&format!("SELECT * FROM token_accounts WHERE {condition}"))
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
                    symbol: r.try_get("symbol")?,
                })
            })
            .collect()
    }

    /// Remembers that the sweeps of these accounts met no gap up to this slot.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn swept_to(&self, accounts: &[TokenAccount], slot: Slot) -> Result<()> {
        let mut tx = self.begin().await?;
        for account in accounts {
            sqlx::query(
                "UPDATE token_accounts SET swept_to = MAX($2, COALESCE(swept_to, 0)) WHERE address = $1",
            )
            .bind(account.to_string())
            .bind(row::slot_column(slot))
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Up to which slot the sweeps of an account met no gap, if that is known.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn known_swept_to(&self, account: TokenAccount) -> Result<Option<Slot>> {
        let query = "SELECT swept_to FROM token_accounts WHERE address = $1";
        let slot: Option<Option<i64>> = sqlx::query_scalar(query)
            .bind(account.to_string())
            .fetch_optional(&self.read)
            .await?;
        Ok(slot.flatten().and_then(|slot| Slot::try_from(slot).ok()))
    }

    /// What each token account has received. Dust, and what a person has dismissed, buys nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn receipts(&self) -> Result<HashMap<TokenAccount, Receipts>> {
        let rows = sqlx::query(
            "SELECT address, (SELECT recorded_at FROM payments p WHERE p.token_account = t.address AND p.verdict = 'matched' \
                 AND p.received IS NOT NULL AND p.received <> '0' AND p.chain_state <> 'dropped' \
                 ORDER BY recorded_at DESC LIMIT 1) AS matched_at, \
             (SELECT MAX(CAST(received AS INTEGER)) FROM payments p WHERE p.token_account = t.address AND p.verdict = 'held' \
                 AND p.is_dust = 0 AND p.dismissed_at IS NULL AND p.chain_state <> 'dropped') AS held \
             FROM token_accounts t",
        )
        .fetch_all(&self.read)
        .await?;
        rows.iter()
            .map(|r| {
                let number = |column| Row::try_get::<Option<i64>, _>(r, column);
                let receipts = Receipts {
                    matched_at: number("matched_at")?.map(Timestamp),
                    // A larger amount is cast to the largest number that SQLite has.
                    held: number("held")?.unwrap_or_default().unsigned_abs(),
                };
                Ok((row::parse(r, "address")?, receipts))
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
        let known =
            sqlx::query_scalar("SELECT watched_since FROM token_accounts WHERE address = $1")
                .bind(token_account.to_string())
                .fetch_optional(&self.read)
                .await?;
        if let Some(since) = known {
            return Ok(Timestamp(since));
        }
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
}
