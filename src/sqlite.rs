//! What every SQLite database of this program needs: writes that nobody leaves half done.

use sqlx::{
    Error, Executor, Sqlite, SqliteConnection, SqlitePool, pool::PoolConnection,
    sqlite::SqlitePoolOptions,
};
use std::ops::{Deref, DerefMut};

/// Options of a pool whose connections stay open, and are handed out as they are: a file does not hang up, and [`Tx`] leaves no
/// connection in the middle of a transaction. To ask first, as sqlx does by default, costs as much as a query.
pub(crate) fn pool_options() -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .test_before_acquire(false)
        .max_lifetime(None)
        .idle_timeout(None)
}

/// A write transaction: begun with `BEGIN IMMEDIATE`, over with its commit.
///
/// One that is dropped before its commit closes its connection, which rolls back whatever it had come to. sqlx 0.8 promises less: a
/// `begin_with` that is dropped between the `BEGIN` and its check, as happens to a request whose caller hangs up, leaves a connection
/// on which every later transaction fails. It makes it safe, too, to send `BEGIN` and `COMMIT` along with other statements.
pub(crate) struct Tx {
    connection: PoolConnection<Sqlite>,
    is_over: bool,
}

impl Tx {
    /// Begins to write, after whoever writes now.
    pub(crate) async fn begin(pool: &SqlitePool) -> Result<Self, Error> {
        let mut tx = Self::enter(pool).await?;
        tx.send("BEGIN IMMEDIATE").await?;
        Ok(tx)
    }

    /// The same, with the `BEGIN` left to what is sent first.
    pub(crate) async fn enter(pool: &SqlitePool) -> Result<Self, Error> {
        Ok(Self {
            connection: pool.acquire().await?,
            is_over: false,
        })
    }

    pub(crate) async fn commit(mut self) -> Result<(), Error> {
        self.send("COMMIT").await?;
        self.committed();
        Ok(())
    }

    /// To be called once a `COMMIT` that was sent along with other statements has succeeded.
    pub(crate) fn committed(mut self) {
        self.is_over = true;
    }

    async fn send(&mut self, word: &'static str) -> Result<(), Error> {
        self.connection.execute(word).await?;
        Ok(())
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if !self.is_over {
            self.connection.close_on_drop();
        }
    }
}

impl Deref for Tx {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}
