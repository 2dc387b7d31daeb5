//! What recording a transaction will need, read while the transaction itself is still being fetched: one trip to the database less
//! for whoever waits.
//!
//! What was read is the beginning of the very transaction that writes. SQLite lets a transaction that has only read go on to write
//! if nobody has written since; otherwise it fails at once, nothing is written, and everything is read again in the usual way. So
//! judging sees what it would see there, and no lock is held across the network.

use super::desk::Desk;
use super::{Due, Error, Ingested, Reading, Recorded, Result, Store, Tx};
use crate::domain::{Memo, Policy, Signature, Timestamp};
use std::{collections::HashSet, time::Duration};

/// A transaction of the database that has read what a transaction on chain with these memos needs.
pub struct Prepared {
    tx: Tx,
    desk: Desk,
    signature: Signature,
    memos: HashSet<Memo>,
}

impl Store {
    /// Reads what recording this transaction will need, if these are its memos. `None` where all goes over one connection.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn prepare(&self, signature: Signature, memos: &[Memo]) -> Result<Option<Prepared>> {
        let Some(pool) = &self.ahead else {
            return Ok(None);
        };
        let mut tx = Tx::enter(pool).await?;
        let desk = Desk::begin_reading(&mut tx, signature, memos).await?;
        Ok(Some(Prepared {
            tx,
            desk,
            signature,
            memos: memos.iter().cloned().collect(),
        }))
    }

    /// As [`Self::record_and_lease`], for the transaction that was prepared for. `None` if it turned out otherwise, or somebody has
    /// written meanwhile: then nothing is recorded.
    ///
    /// # Errors
    /// When the database fails; then nothing is recorded.
    pub async fn record_prepared(
        &self,
        prepared: Prepared,
        ingested: &Ingested,
        policy: &Policy,
        now: Timestamp,
        lease: Duration,
    ) -> Result<Option<(Vec<Recorded>, Vec<Due>)>> {
        if !prepared.fits(ingested) {
            prepared.leave().await;
            return Ok(None);
        }
        let batch = std::slice::from_ref(ingested);
        let until = Some(now.plus(lease));
        let Prepared { mut tx, desk, .. } = prepared;
        match Self::record_at(&mut tx, desk, batch, None, policy, now, until).await {
            Ok(recorded) => {
                tx.committed();
                Ok(Some(recorded))
            }
            Err(Error::Sql(error)) if is_busy(&error) => {
                tx.leave().await;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl Prepared {
    /// Ends it without having written anything.
    pub async fn leave(self) {
        self.tx.leave().await;
    }

    fn fits(&self, ingested: &Ingested) -> bool {
        match &ingested.reading {
            Reading::Decoded(decoded) => {
                ingested.signature == self.signature
                    && decoded.memos.iter().all(|memo| self.memos.contains(memo))
            }
            _ => false,
        }
    }
}

/// Whether somebody else writes (`SQLITE_BUSY`) or has written since (`SQLITE_BUSY_SNAPSHOT`).
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("5" | "517"))
}
