//! Limits of the policy against the tokens that are watched.

use super::Finding;
use crate::config::Config;
use crate::domain::Limit;
use crate::solana::Target;

/// A finding for each limit that names none of these tokens; one that says so where all do.
pub(super) fn of<'a>(
    config: &Config,
    targets: &(impl Iterator<Item = &'a Target> + Clone),
) -> Vec<Finding> {
    let policy = &config.policy;
    let mut findings = Vec::new();
    for (check, limits, advice) in [
        (
            "policy.finalized_above",
            &policy.finalized_above,
            "until the limit names the symbol or the mint of a watched token, all payments wait for finalized",
        ),
        (
            "policy.dust_below",
            &policy.dust_below,
            "until the limit names the symbol or the mint of a watched token, no payment is dust by it",
        ),
    ] {
        let is_unmatched = |limit: &&Limit| {
            let mut targets = targets.clone();
            !targets.any(|target| limit.token.names(target.mint, &target.symbol))
        };
        let unmatched = limits.iter().filter(is_unmatched);
        let before = findings.len();
        findings.extend(unmatched.map(|limit| {
            let found = format!("{} names no watched token", limit.token);
            Finding::failed(check, found, advice)
        }));
        if findings.len() == before && !limits.is_empty() {
            findings.push(Finding::ok(check, "every limit names a watched token"));
        }
    }
    findings
}
