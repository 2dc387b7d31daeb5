//! Transactions that seem to be somebody else's, where a wallet is shared: not read, and not forgotten.

use super::script::Script;
use super::{Result, Store, row};
use crate::domain::{Memo, Signature, Slot, Timestamp, TokenAccount};
use sqlx::Row;
use std::time::Duration;

/// A transaction that was set aside, and whose memo names a checkout by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// The transaction.
    pub signature: Signature,
    /// The watched token account that it names.
    pub token_account: TokenAccount,
    /// Where history lists it; `None` if it was only heard of.
    pub slot: Option<Slot>,
}

impl Store {
    /// How long a checkout may take to become known after it was paid.
    const SET_ASIDE_KEPT: Duration = Duration::from_hours(7 * 24);
    /// What was only heard of is listed by then, if its fork lives.
    const HEARD_OF_KEPT: Duration = Duration::from_hours(1);

    /// Sets a transaction aside that was heard of.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_aside(
        &self,
        token_account: TokenAccount,
        signature: Signature,
        memos: &[Memo],
        now: Timestamp,
    ) -> Result<()> {
        let mut script = Script::beginning();
        insert(&mut script, &[(token_account, signature, None, memos)], now);
        script.commit(self.enter().await?).await?;
        Ok(())
    }

    /// What was set aside and names a known checkout by now, the oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn no_longer_aside(&self, limit: u32) -> Result<Vec<SetAside>> {
        let rows = sqlx::query(
            "SELECT s.signature, s.token_account, MAX(s.slot) AS slot FROM set_aside s JOIN checkouts c ON c.folded = s.folded \
             GROUP BY s.signature, s.token_account ORDER BY MIN(s.at) LIMIT $1",
        )
        .bind(limit)
        .fetch_all(&self.read)
        .await?;
        rows.iter()
            .map(|r| {
                let slot: Option<i64> = r.try_get("slot")?;
                Ok(SetAside {
                    signature: row::parse(r, "signature")?,
                    token_account: row::parse(r, "token_account")?,
                    slot: slot.and_then(|slot| slot.try_into().ok()),
                })
            })
            .collect()
    }

    /// Forgets what was set aside for too long, and what was read after all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn clear_set_aside(&self, read: &[Signature], now: Timestamp) -> Result<()> {
        let mut script = Script::beginning();
        let too_old = now.minus(Self::SET_ASIDE_KEPT).0;
        script.statement(|sql| {
            sql.push("DELETE FROM set_aside WHERE at < ")
                .push_bind(too_old);
        });
        let unlisted = now.minus(Self::HEARD_OF_KEPT).0;
        script.statement(|sql| {
            sql.push("DELETE FROM set_aside WHERE slot IS NULL AND at < ")
                .push_bind(unlisted);
        });
        for signature in read {
            script.statement(|sql| {
                sql.push("DELETE FROM set_aside WHERE signature = ")
                    .push_bind(signature.to_string());
            });
        }
        script.commit(self.enter().await?).await?;
        Ok(())
    }
}

/// Writes what is set aside into a script: a row for each memo.
pub(super) fn insert(
    script: &mut Script,
    all: &[(TokenAccount, Signature, Option<Slot>, &[Memo])],
    now: Timestamp,
) {
    let rows: Vec<_> = all
        .iter()
        .flat_map(|(account, signature, slot, memos)| {
            memos
                .iter()
                .map(move |memo| (account, signature, *slot, memo))
        })
        .collect();
    let head = "INSERT INTO set_aside (token_account, signature, folded, slot, at) ";
    let tail = " ON CONFLICT (token_account, signature, folded) DO UPDATE SET slot = COALESCE(excluded.slot, set_aside.slot)";
    script.insert(
        head,
        &rows,
        tail,
        |mut values, (account, signature, slot, memo)| {
            values
                .push_bind(account.to_string())
                .push_bind(signature.to_string())
                .push_bind(memo.folded())
                .push_bind(slot.map(row::slot_column))
                .push_bind(now.0);
        },
    );
}
