//! What must be true of the tables, whatever happened: asked of the data itself, by `paywatch store check`.

use super::{Result, Store};
use sqlx::Row;

/// A rule that the data breaks.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Broken {
    /// The rule.
    pub rule: &'static str,
    /// What breaks it: keys of the first rows.
    pub rows: Vec<String>,
}

/// Each rule with the rows that break it, as one column of text.
const RULES: &[(&str, &str)] = &[
    (
        "the file is whole",
        "SELECT integrity_check AS broken FROM pragma_integrity_check WHERE integrity_check <> 'ok'",
    ),
    (
        "no row refers to one that is not there",
        "SELECT \"table\" || ' row ' || rowid AS broken FROM pragma_foreign_key_check",
    ),
    (
        "a checkout has at most one live confirmation",
        "SELECT memo AS broken FROM confirmations WHERE state <> 'cancelled' GROUP BY memo HAVING COUNT(*) > 1",
    ),
    (
        "one memo in two spellings has two live confirmations only where each is that of a known checkout",
        "SELECT a.memo AS broken FROM confirmations a JOIN confirmations b ON b.folded = a.folded AND b.id > a.id \
         WHERE a.state <> 'cancelled' AND b.state <> 'cancelled' AND (NOT EXISTS (SELECT 1 FROM checkouts c WHERE c.memo = a.memo) \
         OR NOT EXISTS (SELECT 1 FROM checkouts c WHERE c.memo = b.memo))",
    ),
    (
        "dust is held and names no checkout",
        "SELECT signature AS broken FROM payments WHERE is_dust = 1 AND (verdict <> 'held' OR reason NOT IN ('no_memo', 'unknown_memo'))",
    ),
    (
        "a payment has at most one live confirmation",
        "SELECT MIN(signature) AS broken FROM confirmations WHERE state <> 'cancelled' GROUP BY payment_id HAVING COUNT(*) > 1",
    ),
    (
        "a transaction is told to the API for one checkout only, for each of its payments",
        "SELECT c.signature AS broken FROM confirmations c JOIN payments p ON p.id = c.payment_id WHERE c.signature <> p.signature",
    ),
    (
        "a held payment has a reason, and no live confirmation",
        "SELECT p.signature AS broken FROM payments p WHERE p.verdict = 'held' AND (p.reason IS NULL OR EXISTS \
         (SELECT 1 FROM confirmations c WHERE c.payment_id = p.id AND c.state <> 'cancelled'))",
    ),
    (
        "a matched payment has a confirmation, unless its fork died or a person put it aside",
        "SELECT p.signature AS broken FROM payments p WHERE p.verdict = 'matched' AND p.chain_state <> 'dropped' \
         AND p.dismissed_at IS NULL AND NOT EXISTS (SELECT 1 FROM confirmations c WHERE c.payment_id = p.id AND c.state <> 'cancelled')",
    ),
    (
        "what died with its fork is not queued",
        "SELECT c.signature AS broken FROM confirmations c JOIN payments p ON p.id = c.payment_id \
         WHERE c.state = 'queued' AND p.chain_state = 'dropped'",
    ),
    (
        "a confirmation is for the checkout that its payment pays",
        "SELECT c.signature AS broken FROM confirmations c JOIN payments p ON p.id = c.payment_id \
         WHERE c.state <> 'cancelled' AND c.memo <> COALESCE(p.checkout, '')",
    ),
    (
        "what is acknowledged, parked, uncredited or cancelled is closed",
        "SELECT signature AS broken FROM confirmations WHERE (state = 'queued') = (closed_at IS NOT NULL)",
    ),
    (
        "a confirmation that the API accepted is never taken back",
        "SELECT signature AS broken FROM confirmations WHERE state = 'cancelled' AND accepted_at IS NOT NULL",
    ),
    (
        "a confirmation is uncredited only if the API accepted it",
        "SELECT signature AS broken FROM confirmations WHERE state = 'uncredited' AND accepted_at IS NULL",
    ),
    (
        "a due time says when it was set",
        "SELECT signature AS broken FROM confirmations WHERE state = 'queued' AND due_at IS NOT NULL AND due_set_at IS NULL",
    ),
    (
        "an unreadable payment that nobody put aside or confirmed is in quarantine",
        "SELECT p.signature AS broken FROM payments p WHERE p.reason = 'unreadable' AND p.dismissed_at IS NULL AND NOT EXISTS \
         (SELECT 1 FROM quarantine q WHERE q.signature = p.signature AND q.token_account = p.token_account)",
    ),
    (
        "an endpoint's listings of a token account ended in two places at most",
        "SELECT token_account || ' by ' || endpoint AS broken FROM opinions GROUP BY token_account, endpoint HAVING COUNT(*) > 2",
    ),
];

impl Store {
    /// Most rows that are named for a broken rule.
    const NAMED_MAX: u32 = 20;

    /// Checks every rule over all the data. Changes nothing.
    ///
    /// # Errors
    /// When the database cannot be read at all.
    pub async fn audit(&self) -> Result<Vec<Broken>> {
        let mut broken = Vec::new();
        for (rule, query) in RULES {
            let limited = format!("{query} LIMIT {}", Self::NAMED_MAX);
            let rows = sqlx::query(&limited).fetch_all(&self.read).await?;
            let rows: Vec<String> = rows
                .iter()
                .map(|r| Ok(r.try_get("broken")?))
                .collect::<Result<_>>()?;
            if !rows.is_empty() {
                broken.push(Broken { rule, rows });
            }
        }
        Ok(broken)
    }

    /// How many rules there are.
    #[must_use]
    pub fn rules() -> usize {
        RULES.len()
    }
}
