//! The token accounts that are or were watched.

use super::{Result, Store, row};
use crate::domain::{Timestamp, TokenAccount, TokenProgram, WatchList, Watched};
use sqlx::Row;
use std::collections::HashMap;

/// When a token account last received money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipts {
    /// A payment that matched a checkout.
    pub matched_at: Option<Timestamp>,
    /// A payment that is held.
    pub held_at: Option<Timestamp>,
}

impl Store {
    /// Remembers accounts that are watched, for those who ask without node and API.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remember_watched(
        &self,
        accounts: impl IntoIterator<Item = &Watched>,
        now: Timestamp,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        for watched in accounts {
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
                    symbol: r.try_get("symbol")?,
                })
            })
            .collect()
    }

    /// When each token account last received money.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn receipts(&self) -> Result<HashMap<TokenAccount, Receipts>> {
        let last = |verdict: &str| {
            format!(
                "(SELECT recorded_at FROM payments p WHERE p.token_account = t.address AND p.verdict = '{verdict}' \
                 AND p.received IS NOT NULL AND p.received <> '0' AND p.chain_state <> 'dropped' \
                 ORDER BY recorded_at DESC LIMIT 1) AS {verdict}_at"
            )
        };
        let (matched, held) = (last("matched"), last("held"));
        let rows = sqlx::query(&format!(
            "SELECT address, {matched}, {held} FROM token_accounts t"
        ))
        .fetch_all(&self.read)
        .await?;
        rows.iter()
            .map(|r| {
                let at = |column| {
                    Ok::<_, super::Error>(Row::try_get::<Option<i64>, _>(r, column)?.map(Timestamp))
                };
                let receipts = Receipts {
                    matched_at: at("matched_at")?,
                    held_at: at("held_at")?,
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
