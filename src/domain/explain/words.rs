//! The reasons in words. Amounts are exact; text from the chain is escaped.

use super::{
    BaseUnits, Candidate, Checkout, Credit, Decoded, Explanation, Known, Matched, Mint, Outcome,
    Payees, Reason, TokenBalance, Transaction, Verdict, WatchList, Watched, held,
};
use crate::domain::{Commitment, Held, TokenAccount};
use std::cmp::Ordering;

/// A credit and all that bears on it.
pub(super) struct Case<'a> {
    pub(super) transaction: &'a Transaction,
    pub(super) decoded: &'a Decoded,
    pub(super) credit: &'a Credit,
    pub(super) watched: &'a Watched,
    pub(super) watch_list: &'a WatchList,
    pub(super) known: Option<&'a Known>,
    /// The checkout that the payer may have meant.
    pub(super) meant: Option<&'a Checkout>,
    pub(super) explanation: &'a Explanation,
}

impl Case<'_> {
    pub(super) fn received(&self) -> String {
        self.human(self.credit.received, self.credit.mint)
    }

    pub(super) fn due(&self, checkout: &Checkout) -> String {
        match (checkout.amount, checkout.mint) {
            (Some(amount), mint) => self.human(amount, mint.unwrap_or(self.credit.mint)),
            (None, _) => "an amount the API does not tell".into(),
        }
    }

    pub(super) fn human(&self, amount: BaseUnits, mint: Mint) -> String {
        match self.watch_list.iter().find(|watched| watched.mint == mint) {
            Some(watched) => format!("{} {}", amount.human(watched.decimals), watched.symbol),
            None => format!("{amount} base units of {mint}"),
        }
    }

    pub(super) fn token(&self, mint: Mint) -> String {
        match self.watch_list.iter().find(|watched| watched.mint == mint) {
            Some(watched) => format!("{} ({mint})", watched.symbol),
            None => mint.to_string(),
        }
    }
}

pub(super) const BY_HAND: &str =
    "confirm the payment for its checkout by hand, or refund the payer";

pub(super) fn reason(why: impl Into<String>, advice: impl Into<String>) -> Reason {
    Reason {
        why: why.into(),
        advice: advice.into(),
    }
}

pub(super) fn unreadable(why: &str) -> Reason {
    reason(
        format!(
            "The transaction cannot be read: {why}. What it gave is not known, so nothing is decided about it."
        ),
        "Try another node (solana.rpc_urls) or a newer paywatch; the daemon tries again by itself.",
    )
}

pub(super) fn not_judged(case: &Case<'_>) -> Reason {
    reason(
        format!(
            "{} arrived. Without a database or payments API no checkouts are known, so it is not judged.",
            case.received()
        ),
        "Give the configuration (--config) to have it judged.",
    )
}

pub(super) fn no_credit(
    transaction: &Transaction,
    explanation: &Explanation,
    payees: &Payees,
) -> Reason {
    if transaction.outcome == Outcome::Failed {
        return reason(
            "The transaction failed on chain: it moved nothing, whatever its balances and memos say.",
            "The buyer keeps the money and has to pay again.",
        );
    }
    let gained = |one: &&super::AccountChange| {
        one.after.unwrap_or_default() > one.before.unwrap_or_default()
    };
    let mut all_gained = explanation.accounts.iter().filter(gained);
    let nested = all_gained.find_map(|one| {
        let owner = TokenAccount(one.owner?.0);
        payees
            .token_accounts
            .contains(&owner)
            .then_some((one, owner))
    });
    if let Some((one, owner)) = nested {
        return nested_account(one, owner);
    }
    let watched = || explanation.accounts.iter().filter(|one| one.is_watched);
    // An account that gained and is credited nothing is what the question is about.
    let asked_about = watched().find(gained).or_else(|| watched().next());
    if let Some(why) = asked_about.and_then(|one| one.no_credit.as_deref()) {
        return reason(
            format!("No payment arrived: the watched token account {why}."),
            "",
        );
    }
    let strange = explanation.accounts.iter().filter(gained).find(|one| {
        one.owner
            .is_some_and(|owner| payees.wallets.contains(&owner))
    });
    match strange {
        Some(one) => reason(
            format!(
                "No payment arrived: a watched wallet gained tokens of mint {}, which is not an accepted token, whatever it calls itself.",
                one.mint
            ),
            "If the mint is a token you accept, add it (watch.tokens, or the API's /supported_tokens).",
        ),
        None => reason(
            "No payment arrived: no watched token account gained anything.",
            "Compare the recipient, token and network that the buyer used with those of the checkout.",
        ),
    }
}

/// The payer was told to pay a token account as if it were a wallet, and the wallet application derived another account for it.
fn nested_account(one: &super::AccountChange, owner: TokenAccount) -> Reason {
    reason(
        format!(
            "No payment arrived: the token account {} gained tokens, and its owner is our token account {owner}. The sender gave the address of that token account in place of the wallet.",
            one.token_account
        ),
        format!(
            "The wallet that owns {owner} can get the tokens back: instruction RecoverNested of the associated token account program. Give buyers the address of the wallet, never of a token account."
        ),
    )
}

/// Why a watched account that the transaction touched is credited nothing.
pub(super) fn why_no_credit(
    transaction: &Transaction,
    watched: &Watched,
    before: Option<&TokenBalance>,
    after: Option<&TokenBalance>,
) -> String {
    if transaction.outcome == Outcome::Failed {
        return "is as before, since the transaction failed".into();
    }
    let Some(after) = after else {
        return "was closed in the transaction".into();
    };
    if after.mint != watched.mint {
        return format!("holds another mint, {}", after.mint);
    }
    if after
        .token_program
        .is_some_and(|program| program != watched.token_program)
    {
        return "belongs to another token program".into();
    }
    match after.owner {
        Some(owner) if owner != watched.wallet => {
            return format!(
                "belongs to {owner} after the transaction, not to {}",
                watched.wallet
            );
        }
        _ => {}
    }
    let was_elsewhere = before
        .and_then(|balance| balance.owner)
        .is_some_and(|owner| owner != watched.wallet);
    if was_elsewhere {
        return "was handed over to the wallet with what it held, and no balance grew".into();
    }
    let held = before.map_or(BaseUnits(0), |balance| balance.amount);
    match after.amount.cmp(&held) {
        Ordering::Less => "sent tokens away".into(),
        Ordering::Equal => "holds as much as before".into(),
        Ordering::Greater => {
            "was filled from another account of the same wallet, which as a whole gained nothing"
                .into()
        }
    }
}

pub(super) fn verdict(case: &Case<'_>, verdict: &Verdict, candidates: &[Candidate]) -> Reason {
    match (verdict, candidates) {
        (Verdict::Matched(matched), _) => matched_reason(case, matched, candidates),
        (Verdict::Held(held), [only]) => held::one_checkout(case, *held, only),
        (Verdict::Held(Held::NoMemo), _) => held::no_memo(case),
        (Verdict::Held(Held::SeveralCheckouts), _) => held::several(case, candidates),
        (Verdict::Held(_), _) => held::unknown_memo(case),
    }
}

fn matched_reason(case: &Case<'_>, matched: &Matched, candidates: &[Candidate]) -> Reason {
    match matched {
        Matched::Settled { memo } => reason(
            format!(
                "{} arrived for checkout {memo}, which the API shows as confirmed.",
                case.received()
            ),
            "",
        ),
        Matched::Confirm {
            memo,
            wait_for,
            note,
        } => {
            let checked = match (note, candidates) {
                (Some(note), _) => {
                    format!("{} arrived for checkout {memo} ({note}).", case.received())
                }
                (None, [only]) if only.checkout.amount != Some(case.credit.received) => format!(
                    "{} arrived for checkout {memo}, which asks for {}; policy.amount allows more.",
                    case.received(),
                    case.due(&only.checkout)
                ),
                (None, _) => format!(
                    "{} arrived, exactly what checkout {memo} asks for.",
                    case.received()
                ),
            };
            let waits = match wait_for {
                Commitment::Confirmed => "It is confirmed to the API at once.",
                Commitment::Finalized => {
                    "It is confirmed to the API once the chain has finalized it."
                }
            };
            reason(format!("{checked} {waits}"), "")
        }
    }
}
