//! The sandbox's books: payment sessions, credits of organizations, and a log of every confirm call. SQLite, its own file.

use crate::domain::{Mint, Timestamp, Wallet};
use crate::sqlite::{Tx, pool_options};
use serde::Serialize;
use sqlx::{
    FromRow,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteSynchronous},
};
use std::{str::FromStr, time::Duration};
use utoipa::ToSchema;

/// The result of a database call.
pub(super) type Result<T> = std::result::Result<T, sqlx::Error>;

/// A payment session, as `GET /history` shows it.
#[derive(Clone, Debug, FromRow, Serialize, ToSchema)]
pub(super) struct Session {
    /// Its id.
    pub(super) memo: String,
    pub(super) organization_id: i64,
    pub(super) credit_plan_id: i64,
    pub(super) quantity: i64,
    pub(super) credits: i64,
    /// Base units; none for a card.
    pub(super) amount: Option<i64>,
    pub(super) token: Option<String>,
    pub(super) recipient: Option<String>,
    /// 0 = pending, 1 = confirmed.
    pub(super) status: i64,
    pub(super) transaction_hash: Option<String>,
    /// Milliseconds since the Unix epoch, as `confirmed_at`.
    pub(super) created_at: i64,
    pub(super) confirmed_at: Option<i64>,
    #[serde(skip)]
    pub(super) success_url: Option<String>,
    #[serde(skip)]
    pub(super) cancel_url: Option<String>,
}

/// A confirm call, whatever came of it.
#[derive(Clone, Debug, FromRow, Serialize, ToSchema)]
pub(super) struct ConfirmCall {
    pub(super) payment_id: String,
    pub(super) transaction_hash: String,
    /// When it arrived, milliseconds since the Unix epoch.
    pub(super) at: i64,
    /// HTTP status it was answered with.
    pub(super) status: i64,
}

/// Credits that an organization was given.
#[derive(Clone, Debug, FromRow, Serialize, ToSchema)]
pub(super) struct Entry {
    /// The payment they were given for.
    pub(super) memo: String,
    /// How many.
    pub(super) credits: i64,
    /// The transaction that paid; none for a card.
    pub(super) transaction_hash: Option<String>,
    /// When, milliseconds since the Unix epoch.
    pub(super) at: i64,
}

/// What a new session asks for.
pub(super) struct NewSession<'a> {
    pub(super) memo: &'a str,
    pub(super) organization_id: i64,
    pub(super) credit_plan_id: i64,
    pub(super) quantity: u32,
    pub(super) credits: i64,
    pub(super) by: Means<'a>,
}

/// How a session is to be paid.
pub(super) enum Means<'a> {
    Crypto {
        amount: i64,
        mint: Mint,
        recipient: Wallet,
    },
    Card {
        success_url: &'a str,
        cancel_url: &'a str,
    },
}

/// Whether a session was credited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Credited {
    Yes,
    /// Somebody else was faster, or the transaction paid for another session.
    No,
}

pub(super) struct Ledger(SqlitePool);

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS sessions (
    memo TEXT PRIMARY KEY, organization_id INTEGER NOT NULL, credit_plan_id INTEGER NOT NULL, quantity INTEGER NOT NULL,
    credits INTEGER NOT NULL, amount INTEGER, token TEXT, recipient TEXT, status INTEGER NOT NULL DEFAULT 0,
    transaction_hash TEXT UNIQUE, created_at INTEGER NOT NULL, confirmed_at INTEGER, success_url TEXT, cancel_url TEXT);
CREATE TABLE IF NOT EXISTS entries (memo TEXT PRIMARY KEY, organization_id INTEGER NOT NULL, credits INTEGER NOT NULL,
    transaction_hash TEXT, at INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS entries_of ON entries (organization_id);
CREATE TABLE IF NOT EXISTS confirm_calls (payment_id TEXT NOT NULL, transaction_hash TEXT NOT NULL, at INTEGER NOT NULL, status INTEGER NOT NULL);
";

impl Ledger {
    pub(super) async fn open(url: &str) -> Result<Self> {
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(Duration::from_secs(10));
        let pool = pool_options()
            .max_connections(1)
            .connect_with(options)
            .await?;
        sqlx::raw_sql(SCHEMA).execute(&pool).await?;
        Ok(Self(pool))
    }

    pub(super) async fn open_session(&self, new: &NewSession<'_>, now: Timestamp) -> Result<()> {
        let (mut amount, mut token, mut recipient) = (None, None, None);
        let (mut success, mut cancel) = (None, None);
        match new.by {
            Means::Crypto {
                amount: due,
                mint,
                recipient: wallet,
            } => {
                (amount, token, recipient) =
                    (Some(due), Some(mint.to_string()), Some(wallet.to_string()));
            }
            Means::Card {
                success_url,
                cancel_url,
            } => (success, cancel) = (Some(success_url), Some(cancel_url)),
        }
        sqlx::query(
            "INSERT INTO sessions (memo, organization_id, credit_plan_id, quantity, credits, amount, token, recipient, \
             created_at, success_url, cancel_url) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(new.memo)
        .bind(new.organization_id)
        .bind(new.credit_plan_id)
        .bind(new.quantity)
        .bind(new.credits)
        .bind(amount)
        .bind(token)
        .bind(recipient)
        .bind(now.0)
        .bind(success)
        .bind(cancel)
        .execute(&self.0)
        .await?;
        Ok(())
    }

    pub(super) async fn session(&self, memo: &str) -> Result<Option<Session>> {
        sqlx::query_as("SELECT * FROM sessions WHERE memo = $1")
            .bind(memo)
            .fetch_optional(&self.0)
            .await
    }

    /// Newest first.
    pub(super) async fn history(&self, limit: u32, offset: u32) -> Result<Vec<Session>> {
        sqlx::query_as("SELECT * FROM sessions ORDER BY created_at DESC, memo LIMIT $1 OFFSET $2")
            .bind(limit)
            .bind(offset)
            .fetch_all(&self.0)
            .await
    }

    /// Marks a pending session as paid and gives the organization its credits: both or neither.
    pub(super) async fn credit(
        &self,
        session: &Session,
        transaction_hash: Option<&str>,
        now: Timestamp,
    ) -> Result<Credited> {
        let mut tx = Tx::begin(&self.0).await?;
        let done = sqlx::query(
            "UPDATE sessions SET status = 1, transaction_hash = $2, confirmed_at = $3 WHERE memo = $1 AND status = 0 \
             AND NOT EXISTS (SELECT 1 FROM sessions WHERE transaction_hash = $2)",
        )
        .bind(&session.memo)
        .bind(transaction_hash)
        .bind(now.0)
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            tx.commit().await?;
            return Ok(Credited::No);
        }
        sqlx::query(
            "INSERT INTO entries (memo, organization_id, credits, transaction_hash, at) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(&session.memo)
        .bind(session.organization_id)
        .bind(session.credits)
        .bind(transaction_hash)
        .bind(now.0)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Credited::Yes)
    }

    pub(super) async fn balance(&self, organization: i64) -> Result<i64> {
        sqlx::query_scalar(
            "SELECT COALESCE(SUM(credits), 0) FROM entries WHERE organization_id = $1",
        )
        .bind(organization)
        .fetch_one(&self.0)
        .await
    }

    /// Oldest first.
    pub(super) async fn entries(&self, organization: i64) -> Result<Vec<Entry>> {
        sqlx::query_as("SELECT * FROM entries WHERE organization_id = $1 ORDER BY at, memo")
            .bind(organization)
            .fetch_all(&self.0)
            .await
    }

    /// Those that ever began to pay.
    pub(super) async fn organizations(&self) -> Result<Vec<i64>> {
        sqlx::query_scalar("SELECT DISTINCT organization_id FROM sessions")
            .fetch_all(&self.0)
            .await
    }

    pub(super) async fn log_call(&self, call: &ConfirmCall) -> Result<()> {
        sqlx::query("INSERT INTO confirm_calls (payment_id, transaction_hash, at, status) VALUES ($1, $2, $3, $4)")
            .bind(&call.payment_id)
            .bind(&call.transaction_hash)
            .bind(call.at)
            .bind(call.status)
            .execute(&self.0)
            .await?;
        Ok(())
    }

    pub(super) async fn calls(&self) -> Result<Vec<ConfirmCall>> {
        sqlx::query_as("SELECT * FROM confirm_calls ORDER BY at")
            .fetch_all(&self.0)
            .await
    }
}
