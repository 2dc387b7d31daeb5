//! Many rows for several tables, written by a single call: each call costs a trip to the database's thread and back, which is more
//! than most statements do.

use super::{Result, Tx};
use sqlx::{QueryBuilder, Sqlite, query_builder::Separated};

/// Rows of one statement; SQLite binds 32,766 values at most.
const ROWS_MAX: usize = 1_000;

/// Statements to be run one after the other.
pub(super) struct Script(QueryBuilder<'static, Sqlite>);

impl Script {
    pub(super) fn new() -> Self {
        Self(QueryBuilder::new(""))
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
}
