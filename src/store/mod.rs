//! What survives a crash: SQLite, and the only SQL of the daemon.
//!
//! Reads go through a small pool, writes through one connection: every write is one `BEGIN IMMEDIATE`
//! transaction, so a second process on the same file waits instead of failing. WAL with
//! `synchronous=NORMAL` is enough, because the chain is the record: what a power cut takes is swept again. What people
//! decide is not on chain, and is written with `synchronous=FULL`.

mod audit;
mod bulk;
mod checkouts;
mod confirmations;
mod cursors;
mod decisions;
mod desk;
mod filter;
mod finality;
mod meant;
mod notices;
mod payments;
mod quarantine;
mod reaches;
mod reconcile;
mod record;
mod rejudge;
mod reports;
mod row;
mod script;
mod set_aside;
mod stage;
mod timeline;
mod turn;
mod watched;

pub use audit::Broken;
pub use bulk::{BulkAction, Selection, Waiting, Walk};
pub use checkouts::{PendingTarget, TakenIn};
pub use confirmations::{Attempt, ConfirmationCounts, Due, Next};
pub use cursors::Cursor;
pub use decisions::{Decision, Refusal, Which};
pub use filter::{Filter, PaymentState};
pub use finality::{Dropped, Unsettled};
pub use notices::{DueNotice, Expected, Fact, Health, Lasting, Notice, Unnoticed};
pub use quarantine::Quarantined;
pub use reaches::Reach;
pub use reconcile::{Page, Reconciled};
pub use record::{Ingested, Occasion, Reading, Recorded};
pub use reports::{Hour, PaymentSummary, Tally};
pub use set_aside::SetAside;
pub use stage::Stage;
pub use timeline::{Event, Happened};
pub use watched::Receipts;

use crate::domain::{AmountRule, TokenAccount};
use crate::sqlite::{self, Tx};
use sqlx::Connection;
use sqlx::error::DatabaseError;
use sqlx::migrate::{Migrate, MigrateError};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use std::{str::FromStr, time::Duration};

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused or could not be reached.
    #[error("database")]
    Sql(#[from] sqlx::Error),
    /// The file's tables could not be brought to this version.
    #[error("database migration")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// The file's tables are ahead of this program.
    #[error(
        "the database was written by a newer paywatch (tables of version {0}): run that one, or restore a copy from before"
    )]
    Newer(i64),
    /// A row holds what this program never writes.
    #[error("database row: {column} holds something unreadable")]
    Corrupt {
        /// Which column.
        column: &'static str,
    },
    /// A payment came into an account that is not watched any more: what it is worth here is not known.
    #[error(
        "payment into {0}, which is not watched: nothing is recorded until the transaction is read again"
    )]
    NotWatched(TokenAccount),
    /// What a person decided cannot be carried out.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Error {
    /// Whether the database fails, and not what was asked of it.
    #[must_use]
    pub fn is_of_the_database(&self) -> bool {
        !matches!(self, Self::NotWatched(_) | Self::Refused(_))
    }
}

/// Result of a store call.
pub type Result<T> = std::result::Result<T, Error>;

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    write: SqlitePool,
    read: SqlitePool,
    /// Writes what must not be lost in a power cut: decisions of people.
    durable: SqlitePool,
    /// One connection that never writes: it sees when any other has written.
    observer: SqlitePool,
    /// See [`Store::taking`].
    amount: AmountRule,
}

impl Store {
    /// How long a write waits for another process to finish its own.
    const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
    const READERS: u32 = 2;
    /// Pages (4 KB each) of the write-ahead log at which a write does move them, if nobody else did.
    const WAL_PAGES_MAX: &str = "16000";

    /// Opens the database, creates it if it is missing, and brings its tables to this version.
    ///
    /// `url` is `sqlite:PATH`.
    ///
    /// # Errors
    /// When the file cannot be opened, created or migrated.
    pub async fn open(url: &str) -> Result<Self> {
        let options = Self::options(url)?;
        let write = Self::open_writer(sqlite::pool_options(), &options).await?;
        let readers = sqlite::pool_options().max_connections(Self::READERS);
        let read = connect(readers, options.clone().read_only(true)).await?;
        let observer = sqlite::pool_options()
            .max_connections(1)
            .connect_lazy_with(options.clone().read_only(true));
        let durable = sqlite::pool_options()
            .max_connections(1)
            .connect_lazy_with(options.synchronous(SqliteSynchronous::Full));
        Ok(Self {
            write,
            read,
            durable,
            observer,
            amount: AmountRule::Exact,
        })
    }

    /// The same over a single connection, one statement after the other: slower, and the same in each run. For the simulation.
    /// `gate` is called by the database's thread before a statement is done, and may hold it up.
    ///
    /// # Errors
    /// When the file cannot be opened, created or migrated.
    pub async fn open_in_order(
        url: &str,
        gate: impl Fn() + Clone + Send + Sync + 'static,
    ) -> Result<Self> {
        let pool = sqlite::pool_options().after_connect(move |connection, _| {
            let gate = gate.clone();
            Box::pin(async move {
                let mut handle = connection.lock_handle().await?;
                handle.set_progress_handler(1, move || {
                    gate();
                    true
                });
                Ok(())
            })
        });
        // A simulated kill leaves the machine running: nothing waits for the disk.
        let options = Self::options(url)?.synchronous(SqliteSynchronous::Off);
        let write = Self::open_writer(pool, &options).await?;
        Ok(Self {
            read: write.clone(),
            durable: write.clone(),
            observer: write.clone(),
            write,
            amount: AmountRule::Exact,
        })
    }

    fn options(url: &str) -> Result<SqliteConnectOptions> {
        // Whoever says `?mode=ro` or `?mode=rw` means it.
        let creates = !url.contains("mode=");
        Ok(SqliteConnectOptions::from_str(url)?
            .create_if_missing(creates)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(Self::BUSY_TIMEOUT)
            .foreign_keys(true)
            // Somebody else moves what was written into place, so that no payment waits for it; see `checkpoint`.
            .pragma("wal_autocheckpoint", Self::WAL_PAGES_MAX))
    }

    async fn open_writer(
        pool: SqlitePoolOptions,
        options: &SqliteConnectOptions,
    ) -> Result<SqlitePool> {
        let write = connect(pool.max_connections(1), options.clone()).await?;
        migrate(&write).await.map_err(|error| match error {
            MigrateError::VersionMissing(version) => Error::Newer(version),
            other => Error::Migrate(other),
        })?;
        Ok(write)
    }

    /// Copies the database into a new file, to try things out on.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub async fn copy_to(&self, path: &std::path::Path) -> Result<()> {
        sqlx::query("VACUUM INTO $1")
            .bind(path.to_string_lossy())
            .execute(&self.write)
            .await?;
        Ok(())
    }

    /// Whether no statement is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        [&self.read, &self.write, &self.durable]
            .iter()
            .all(|pool| usize::try_from(pool.size()).is_ok_and(|size| size <= pool.num_idle()))
    }

    /// Closes all connections, after the writes under way.
    pub async fn close(&self) {
        self.read.close().await;
        self.observer.close().await;
        self.durable.close().await;
        self.write.close().await;
    }

    /// Moves what was written from the write-ahead log into its place, as far as nobody is in the way. Whoever writes meanwhile does
    /// not wait for the disk.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn checkpoint(&self) -> Result<()> {
        sqlx::query("PRAGMA wal_checkpoint(PASSIVE)")
            .execute(&self.durable)
            .await?;
        Ok(())
    }

    /// A number that changes whenever this process or another one has written to the database.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn version(&self) -> Result<i64> {
        let version = sqlx::query_scalar("PRAGMA data_version");
        Ok(version.fetch_one(&self.observer).await?)
    }

    /// Whether a write can begin.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn probe(&self) -> Result<()> {
        self.begin().await?.commit().await?;
        Ok(())
    }

    /// Whether a write can also end: on a full disk it begins well.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn probe_disk(&self) -> Result<()> {
        touch(&self.write).await
    }

    /// Whether a database that exists can be written to; its tables stay as they are, of whatever version.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn probe_file(url: &str) -> Result<()> {
        let pool = sqlite::pool_options()
            .max_connections(1)
            .connect_with(Self::options(url)?)
            .await?;
        let probed = touch(&pool).await;
        pool.close().await;
        probed
    }

    async fn begin(&self) -> Result<Tx> {
        Ok(Tx::begin(&self.write).await?)
    }

    /// The same, with the `BEGIN` left to the first script.
    async fn enter(&self) -> Result<Tx> {
        Ok(Tx::enter(&self.write).await?)
    }

    /// Committed means on the disk.
    async fn begin_durable(&self) -> Result<Tx> {
        Ok(Tx::begin(&self.durable).await?)
    }
}

/// Writes a number into the file's header that nobody reads.
async fn touch(pool: &SqlitePool) -> Result<()> {
    let mut tx = Tx::begin(pool).await?;
    sqlx::query("PRAGMA user_version = 1")
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(())
}

/// Opens the first connection. To make a new file, or to take over the log that a killed process left, somebody must be alone with it for
/// a moment: then SQLite says that it is busy, without the patience it has otherwise.
async fn connect(pool: SqlitePoolOptions, options: SqliteConnectOptions) -> Result<SqlitePool> {
    const TRIES: u32 = 100;
    const PAUSE: Duration = Duration::from_millis(20);
    for _ in 1..TRIES {
        match pool.clone().connect_with(options.clone()).await {
            Err(sqlx::Error::Database(error)) if is_busy(&*error) => {
                tokio::time::sleep(PAUSE).await;
            }
            opened => return Ok(opened?),
        }
    }
    Ok(pool.connect_with(options).await?)
}

/// Whether it is `SQLITE_BUSY`, in whichever of its extended forms: the primary code is in the lowest byte.
fn is_busy(error: &dyn DatabaseError) -> bool {
    const BUSY: u32 = 5;
    let code = error.code().and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| code & 0xff == BUSY)
}

/// Brings the tables to this version. Of those who open a database at the same moment one does it and the others wait: sqlx locks no
/// SQLite database for it by itself.
async fn migrate(write: &SqlitePool) -> std::result::Result<(), MigrateError> {
    let migrator = sqlx::migrate!("src/store/migrations");
    let mut connection = write.acquire().await?;
    connection.ensure_migrations_table().await?;
    if connection.list_applied_migrations().await?.len() < migrator.iter().count() {
        let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
        migrator.run_direct(&mut *tx).await?;
        tx.commit().await?;
    }
    // Says so if a newer program wrote it.
    migrator.run_direct(&mut *connection).await
}
