//! `[policy]`, and `solana.confirm_at`, which belongs to it.

use super::{Check, raw};
use crate::domain::{AmountRule, Commitment, Limit, Policy, TokenName, UnknownMemo};
use std::collections::BTreeMap;

impl Check {
    pub(super) fn policy(&mut self, raw: &raw::Policy, confirm_at: &str) -> Option<Policy> {
        let amount = self.either(
            "policy.amount",
            &raw.amount,
            [
                ("exact", AmountRule::Exact),
                ("at_least", AmountRule::AtLeast),
            ],
        );
        let unknown_memo = self.either(
            "policy.unknown_memo",
            &raw.unknown_memo,
            [
                ("hold", UnknownMemo::Hold),
                ("confirm", UnknownMemo::Confirm),
            ],
        );
        let confirm_at = self.either(
            "solana.confirm_at",
            confirm_at,
            [
                ("confirmed", Commitment::Confirmed),
                ("finalized", Commitment::Finalized),
            ],
        );
        let finalized_above = self.limits("policy.finalized_above", &raw.finalized_above);
        let dust_below = self.limits("policy.dust_below", &raw.dust_below);
        Some(Policy {
            amount: amount?,
            unknown_memo: unknown_memo?,
            confirm_at: confirm_at?,
            finalized_above: finalized_above?,
            dust_below: dust_below?,
        })
    }

    fn limits(
        &mut self,
        key: &'static str,
        written: &BTreeMap<String, String>,
    ) -> Option<Vec<Limit>> {
        let limits: Vec<_> = written
            .iter()
            .map(|(token, amount)| {
                let limit = is_plain(amount).then(|| Limit {
                    token: TokenName::parse(token),
                    amount: amount.clone(),
                });
                let allowed = "decimal text in human units, like \"1000\" or \"0.5\"";
                self.some(key, amount, allowed, limit)
            })
            .collect();
        limits.into_iter().collect()
    }
}

/// Digits with at most one point among them.
fn is_plain(amount: &str) -> bool {
    amount
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
        && amount.bytes().any(|byte| byte.is_ascii_digit())
        && amount.matches('.').count() <= 1
}
