//! The API's payment sessions, as last seen.

use super::script::Script;
use super::{Page, Reconciled, Result, Store, reconcile, row};
use crate::domain::{Checkout, CheckoutStatus, Memo, Mint, Signature, Timestamp, Wallet};
use sqlx::QueryBuilder;
use std::collections::HashSet;

/// A token and wallet that some pending checkout asks to be paid in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PendingTarget {
    /// The token.
    pub mint: Mint,
    /// The wallet.
    pub recipient: Wallet,
}

/// What became of a checkout that was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakenIn {
    /// It is pending now, or known more fully.
    New,
    /// All of it was known.
    Known,
    /// Something else is known under its memo, and stays.
    Contradicts,
}

impl Store {
    /// Most distinct targets taken from pending checkouts: a list from outside must not grow the watch list without bound.
    const TARGETS_MAX: i64 = 64;
    /// Memos asked about in one query.
    const MEMOS_AT_ONCE: usize = 1_000;

    /// Writes what a page of the API's history says of these checkouts, and compares it with the outbox. Returns how many checkouts
    /// are new or changed, and the confirmations that the page changed.
    ///
    /// # Errors
    /// When the database fails; then nothing is written.
    pub async fn upsert_checkouts(
        &self,
        checkouts: &[Checkout],
        page: Page,
        now: Timestamp,
    ) -> Result<(u64, Vec<Reconciled>)> {
        if checkouts.is_empty() {
            return Ok((0, Vec::new()));
        }
        let mut script = Script::new();
        upsert(&mut script, checkouts);
        let mut tx = self.begin().await?;
        let reconciled = reconcile::run(&mut tx, checkouts, page, now).await?;
        let changed = script.run(&mut tx).await?;
        tx.commit().await?;
        Ok((changed, reconciled))
    }

    /// Writes a checkout that was handed over, unless what is known of it says otherwise.
    ///
    /// # Errors
    /// When the database fails; then it is not written.
    pub async fn take_in(&self, checkout: &Checkout) -> Result<TakenIn> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query("SELECT * FROM checkouts WHERE folded = $1")
            .bind(checkout.memo.folded())
            .fetch_all(&mut *tx)
            .await?;
        for r in &rows {
            if !agree(&row::checkout(r)?, checkout) {
                tx.commit().await?;
                return Ok(TakenIn::Contradicts);
            }
        }
        let mut script = Script::new();
        upsert(&mut script, std::slice::from_ref(checkout));
        let changed = script.run(&mut tx).await?;
        tx.commit().await?;
        Ok(if changed > 0 {
            TakenIn::New
        } else {
            TakenIn::Known
        })
    }

    /// The checkouts that memos name, exactly or as hexadecimal text in another case.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn checkouts_named(&self, memos: &[Memo]) -> Result<Vec<Checkout>> {
        let mut found = Vec::new();
        for memo in memos {
            let rows = sqlx::query("SELECT * FROM checkouts WHERE folded = $1")
                .bind(memo.folded())
                .fetch_all(&self.read)
                .await?;
            for r in &rows {
                let checkout = row::checkout(r)?;
                if !found.contains(&checkout) {
                    found.push(checkout);
                }
            }
        }
        Ok(found)
    }

    /// Which of these memos, in their folded form, name pending checkouts.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pending_among(&self, memos: &[Memo]) -> Result<HashSet<String>> {
        let pending = "SELECT folded FROM checkouts WHERE status = 'pending' AND folded IN (";
        self.named_by(memos, pending).await
    }

    /// Which of these memos, in their folded form, name any checkout.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn known_among(&self, memos: &[Memo]) -> Result<HashSet<String>> {
        let any = "SELECT folded FROM checkouts WHERE folded IN (";
        self.named_by(memos, any).await
    }

    async fn named_by(&self, memos: &[Memo], select: &'static str) -> Result<HashSet<String>> {
        let mut found = HashSet::new();
        for chunk in memos.chunks(Self::MEMOS_AT_ONCE) {
            let mut query = QueryBuilder::new(select);
            let mut list = query.separated(", ");
            for memo in chunk {
                list.push_bind(memo.folded());
            }
            query.push(")");
            let named: Vec<String> = query.build_query_scalar().fetch_all(&self.read).await?;
            found.extend(named);
        }
        Ok(found)
    }

    /// Which transactions hold checkouts, by a confirmation that is queued, acknowledged or parked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn holders(&self, memos: &[Memo]) -> Result<Vec<(Memo, Signature)>> {
        let mut held = Vec::new();
        for memo in memos {
            let holder = sqlx::query(
                "SELECT signature FROM confirmations WHERE memo = $1 AND state <> 'cancelled'",
            )
            .bind(memo.as_str())
            .fetch_optional(&self.read)
            .await?;
            if let Some(r) = holder {
                held.push((memo.clone(), row::parse(&r, "signature")?));
            }
        }
        Ok(held)
    }

    /// How many checkouts are known, and how many of them are pending.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_checkouts(&self) -> Result<(u64, u64)> {
        let row = sqlx::query("SELECT COUNT(*) AS total, COUNT(CASE WHEN status = 'pending' THEN 1 END) AS pending FROM checkouts")
            .fetch_one(&self.read)
            .await?;
        Ok((row::count(&row, "total")?, row::count(&row, "pending")?))
    }

    /// When the oldest pending checkout was made, Unix seconds.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn oldest_pending_at(&self) -> Result<Option<i64>> {
        let query = "SELECT MIN(created_at) FROM checkouts WHERE status = 'pending'";
        Ok(sqlx::query_scalar(query).fetch_one(&self.read).await?)
    }

    /// What pending checkouts ask to be paid in, where they say so.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pending_targets(&self) -> Result<Vec<PendingTarget>> {
        let rows = sqlx::query(
            "SELECT DISTINCT mint, recipient FROM checkouts \
             WHERE status = 'pending' AND mint IS NOT NULL AND recipient IS NOT NULL ORDER BY mint, recipient LIMIT $1",
        )
        .bind(Self::TARGETS_MAX)
        .fetch_all(&self.read)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(PendingTarget {
                    mint: row::parse(row, "mint")?,
                    recipient: row::parse(row, "recipient")?,
                })
            })
            .collect()
    }
}

/// Whether two tellings can be of one checkout: under the very same memo, and nothing that both tell differs.
fn agree(one: &Checkout, other: &Checkout) -> bool {
    fn same<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
        one.zip(other).is_none_or(|(one, other)| one == other)
    }
    one.memo == other.memo
        && same(one.amount, other.amount)
        && same(one.mint, other.mint)
        && same(one.recipient, other.recipient)
}

/// A confirmed checkout stays confirmed: an answer that lags must not undo it. A field that a later answer leaves out keeps the
/// value that the API, or a handed-over checkout, gave before.
fn upsert(script: &mut Script, checkouts: &[Checkout]) {
    let head = "INSERT INTO checkouts (memo, folded, amount, mint, recipient, status, status_word, signature, created_at) ";
    let tail = " ON CONFLICT (memo) DO UPDATE SET status = excluded.status, status_word = excluded.status_word, \
           signature = COALESCE(excluded.signature, checkouts.signature), \
           amount = COALESCE(excluded.amount, checkouts.amount), mint = COALESCE(excluded.mint, checkouts.mint), \
           recipient = COALESCE(excluded.recipient, checkouts.recipient), created_at = COALESCE(checkouts.created_at, excluded.created_at) \
         WHERE (checkouts.status <> 'confirmed' OR excluded.status = 'confirmed') \
           AND (checkouts.status <> excluded.status \
             OR COALESCE(excluded.status_word, '') <> COALESCE(checkouts.status_word, '') \
             OR (excluded.signature IS NOT NULL AND checkouts.signature IS NULL) \
             OR (excluded.created_at IS NOT NULL AND checkouts.created_at IS NULL) \
             OR excluded.amount <> COALESCE(checkouts.amount, '') \
             OR excluded.mint <> COALESCE(checkouts.mint, '') \
             OR excluded.recipient <> COALESCE(checkouts.recipient, ''))";
    script.insert(head, checkouts, tail, |mut values, checkout| {
        let (status, word, signature) = match checkout.status {
            CheckoutStatus::Pending => ("pending", None, None),
            CheckoutStatus::Confirmed(signature) => ("confirmed", None, signature),
            CheckoutStatus::Other(word) => ("other", Some(word), None),
        };
        values
            .push_bind(checkout.memo.as_str().to_owned())
            .push_bind(checkout.memo.folded())
            .push_bind(checkout.amount.map(|amount| amount.to_string()))
            .push_bind(checkout.mint.map(|mint| mint.to_string()))
            .push_bind(checkout.recipient.map(|wallet| wallet.to_string()))
            .push_bind(status)
            .push_bind(word.map(|word| word.to_string()))
            .push_bind(signature.map(|signature| signature.to_string()))
            .push_bind(checkout.created_at);
    });
}
