//! Payments whose memo names no checkout, and the one pending checkout that each may be for. Nothing here decides anything.

use super::{PaymentSummary, Result, Store, row};
use crate::domain::{AmountRule, Checkout, Credit, Memo, meant, resembles};
use sqlx::{Row, sqlite::SqliteRow};

/// Most checkouts or payments that are compared. A plan's price may have thousands pending; more would make a page
/// slow.
const COMPARED_MAX: i64 = 10_000;

/// Pending checkouts that a payment is enough for, and that no other payment holds.
const ASKING: &str = "SELECT c.* FROM payments p JOIN checkouts c ON c.mint = p.mint AND {enough} \
    AND (c.recipient IS NULL OR c.recipient = p.wallet) \
    WHERE p.signature = $1 AND p.token_account = $2 AND p.verdict = 'held' AND p.reason = 'unknown_memo' AND c.status = 'pending' \
    AND NOT EXISTS (SELECT 1 FROM confirmations x WHERE x.memo = c.memo AND x.state <> 'cancelled') \
    ORDER BY c.created_at DESC LIMIT $3";

/// Payments that are enough for a pending checkout, and whose memo names none.
const MISNAMED: &str = "SELECT p.signature, p.token_account, p.memos FROM checkouts c JOIN payments p ON p.mint = c.mint AND {enough} \
    AND (c.recipient IS NULL OR c.recipient = p.wallet) \
    WHERE c.memo = $1 AND c.status = 'pending' AND p.verdict = 'held' AND p.reason = 'unknown_memo' AND p.dismissed_at IS NULL \
    AND p.chain_state <> 'dropped' ORDER BY p.id DESC LIMIT $2";

impl Store {
    /// The same database; a payment counts as enough for a checkout by this rule, where it is asked which one may be meant.
    #[must_use]
    pub fn taking(self, amount: AmountRule) -> Self {
        Self { amount, ..self }
    }

    /// A query with what is enough, by columns or parameters that hold amounts. Decimal text without leading zeros is as large as it is
    /// long, then as its digits are.
    fn with_enough(&self, query: &str, due: &str, received: &str) -> String {
        let enough = match self.amount {
            AmountRule::Exact => format!("{due} = {received}"),
            AmountRule::AtLeast => format!(
                "(LENGTH({due}) < LENGTH({received}) OR (LENGTH({due}) = LENGTH({received}) AND {due} <= {received}))"
            ),
        };
        query.replace("{enough}", &enough)
    }

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
        let query = self.with_enough(ASKING, "c.amount", "p.received");
        let rows = sqlx::query(&query)
            .bind(signature)
            .bind(token_account)
            .bind(COMPARED_MAX)
            .fetch_all(&self.read)
            .await?;
        rows.iter().map(row::checkout).collect()
    }

    /// Pending checkouts that a credit is enough for, and that no payment holds.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn asking_for(&self, credit: &Credit) -> Result<Vec<Checkout>> {
        let query = self.with_enough(
            "SELECT c.* FROM checkouts c WHERE c.status = 'pending' AND c.mint = $1 AND {enough} \
             AND (c.recipient IS NULL OR c.recipient = $3) \
             AND NOT EXISTS (SELECT 1 FROM confirmations x WHERE x.memo = c.memo AND x.state <> 'cancelled') \
             ORDER BY c.created_at DESC LIMIT $4",
            "c.amount",
            "$2",
        );
        let rows = sqlx::query(&query)
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
        let query = self.with_enough(MISNAMED, "c.amount", "p.received");
        let rows = sqlx::query(&query)
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
