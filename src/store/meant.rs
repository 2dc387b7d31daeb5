//! Payments whose memo names no checkout, and the one pending checkout that each may be for. Nothing here decides anything.

use super::{PaymentSummary, Result, Store, row};
use crate::domain::{Checkout, Credit, Memo, meant, resembles};
use sqlx::{Row, sqlite::SqliteRow};

/// Most checkouts or payments of one exact amount that are compared. A plan's price may have thousands pending; more would make a page
/// slow.
const COMPARED_MAX: i64 = 10_000;

/// Pending checkouts that ask for what a payment brought, and that no other payment holds.
const ASKING: &str = "SELECT c.* FROM payments p JOIN checkouts c ON c.mint = p.mint AND c.amount = p.received \
    AND (c.recipient IS NULL OR c.recipient = p.wallet) \
    WHERE p.signature = $1 AND p.token_account = $2 AND p.verdict = 'held' AND p.reason = 'unknown_memo' AND c.status = 'pending' \
    AND NOT EXISTS (SELECT 1 FROM confirmations x WHERE x.memo = c.memo AND x.state <> 'cancelled') \
    ORDER BY c.created_at DESC LIMIT $3";

/// Payments that brought exactly what a pending checkout asks for, and whose memo names none.
const MISNAMED: &str = "SELECT p.signature, p.token_account, p.memos FROM checkouts c JOIN payments p ON p.mint = c.mint AND p.received = c.amount \
    AND (c.recipient IS NULL OR c.recipient = p.wallet) \
    WHERE c.memo = $1 AND c.status = 'pending' AND p.verdict = 'held' AND p.reason = 'unknown_memo' AND p.dismissed_at IS NULL \
    AND p.chain_state <> 'dropped' ORDER BY p.id DESC LIMIT $2";

impl Store {
    /// The one pending checkout that a payment held for its unknown memo may be for.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn meant_by(&self, payment: &PaymentSummary) -> Result<Option<Checkout>> {
        if payment.memos.is_empty() {
            return Ok(None);
        }
        let (signature, account) = (&payment.signature, &payment.token_account);
        let asking = self.asking(signature, account).await?;
        Ok(meant(&payment.memos, &asking).cloned())
    }

    async fn asking(&self, signature: &str, token_account: &str) -> Result<Vec<Checkout>> {
        let rows = sqlx::query(ASKING)
            .bind(signature)
            .bind(token_account)
            .bind(COMPARED_MAX)
            .fetch_all(&self.read)
            .await?;
        rows.iter().map(row::checkout).collect()
    }

    /// Pending checkouts that ask for exactly what a credit brought, and that no payment holds.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn asking_for(&self, credit: &Credit) -> Result<Vec<Checkout>> {
        let rows = sqlx::query(
            "SELECT c.* FROM checkouts c WHERE c.status = 'pending' AND c.mint = $1 AND c.amount = $2 \
             AND (c.recipient IS NULL OR c.recipient = $3) \
             AND NOT EXISTS (SELECT 1 FROM confirmations x WHERE x.memo = c.memo AND x.state <> 'cancelled') \
             ORDER BY c.created_at DESC LIMIT $4",
        )
        .bind(credit.mint.to_string())
        .bind(credit.received.to_string())
        .bind(credit.wallet.to_string())
        .bind(COMPARED_MAX)
        .fetch_all(&self.read)
        .await?;
        rows.iter().map(row::checkout).collect()
    }

    /// The transaction of the newest payment that arrived with another memo and may be for this checkout.
    pub(super) async fn misnamed_for(&self, memo: &Memo) -> Result<Option<String>> {
        let rows = sqlx::query(MISNAMED)
            .bind(memo.as_str())
            .bind(COMPARED_MAX)
            .fetch_all(&self.read)
            .await?;
        for r in &rows {
            let memos = row::memos(r)?;
            if !memos.iter().any(|said| resembles(said, memo)) {
                continue;
            }
            let (signature, account) = ends(r)?;
            let asking = self.asking(&signature, &account).await?;
            if meant(&memos, &asking).is_some_and(|one| one.memo == *memo) {
                return Ok(Some(signature));
            }
        }
        Ok(None)
    }
}

fn ends(r: &SqliteRow) -> Result<(String, String)> {
    Ok((r.try_get("signature")?, r.try_get("token_account")?))
}
