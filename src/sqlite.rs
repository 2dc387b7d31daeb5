//! What every SQLite pool of this program needs: connections that nobody left in the middle of a transaction.

use sqlx::{
    TransactionManager,
    sqlite::{SqlitePoolOptions, SqliteTransactionManager},
};

/// Pool options under which a connection is closed, not handed out, when it is still in a transaction.
///
/// sqlx 0.8 leaves it there when a `begin_with` is dropped between the `BEGIN` and its check, as happens to a request whose
/// caller hangs up; every later transaction on that connection would fail. Closing it rolls back.
pub(crate) fn pool_options() -> SqlitePoolOptions {
    // sqlx pings a connection first: whatever its last user left behind has happened by then. It costs as much as a query, and
    // without it the depth is not to be relied on.
    SqlitePoolOptions::new().before_acquire(|connection, _| {
        let depth = SqliteTransactionManager::get_transaction_depth(connection);
        Box::pin(async move { Ok(depth == 0) })
    })
}
