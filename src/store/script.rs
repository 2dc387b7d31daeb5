//! Many statements sent in a single call: each call costs a trip to the database's thread and back, which is more than most
//! statements do.

use super::{Result, Tx};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite, query_builder::Separated};

/// Rows of one statement; SQLite binds 32,766 values at most.
const ROWS_MAX: usize = 1_000;
/// Values bound in one query.
const BOUND_MAX: usize = 8_000;

/// Statements to be run one after the other.
pub(super) struct Script(QueryBuilder<'static, Sqlite>);

impl Script {
    pub(super) fn new() -> Self {
        Self(QueryBuilder::new(""))
    }

    /// A script that begins the transaction it is run in.
    pub(super) fn beginning() -> Self {
        Self(QueryBuilder::new("BEGIN IMMEDIATE;"))
    }

    /// Inserts rows, in as many statements as that takes. `head` ends before `VALUES`, `tail` begins after it.
    pub(super) fn insert<T>(
        &mut self,
        head: &'static str,
        rows: &[T],
        tail: &'static str,
        mut push: impl FnMut(Separated<'_, 'static, Sqlite, &'static str>, &T),
    ) {
        for chunk in rows.chunks(ROWS_MAX) {
            self.0.push(head);
            self.0.push_values(chunk, &mut push);
            self.0.push(tail).push(";");
        }
    }

    /// Selects where something is `IN` these values, in as many statements as that takes.
    pub(super) fn select_in(&mut self, select: &'static str, values: &[String]) {
        for chunk in values.chunks(BOUND_MAX) {
            self.0.push(select).push(" (");
            let mut list = self.0.separated(", ");
            for value in chunk {
                list.push_bind(value.clone());
            }
            self.0.push(");");
        }
    }

    /// Adds a statement piece by piece.
    pub(super) fn statement(&mut self, add: impl FnOnce(&mut QueryBuilder<'static, Sqlite>)) {
        add(&mut self.0);
        self.0.push(";");
    }

    /// Runs all of it; returns how many rows are new or changed.
    pub(super) async fn run(mut self, tx: &mut Tx) -> Result<u64> {
        if self.0.sql().is_empty() {
            return Ok(0);
        }
        Ok(self.0.build().execute(&mut **tx).await?.rows_affected())
    }

    /// Runs all of it; returns the rows of all statements.
    pub(super) async fn fetch(mut self, tx: &mut Tx) -> Result<Vec<SqliteRow>> {
        if self.0.sql().is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.0.build().fetch_all(&mut **tx).await?)
    }

    /// Runs all of it and commits; returns the rows of all statements.
    pub(super) async fn commit(mut self, mut tx: Tx) -> Result<Vec<SqliteRow>> {
        self.0.push("COMMIT");
        let rows = self.fetch(&mut tx).await?;
        tx.committed();
        Ok(rows)
    }
}
