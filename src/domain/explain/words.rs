//! The reasons in words. Amounts are exact; text from the chain is escaped.

use super::{
    BaseUnits, Candidate, Checkout, CheckoutStatus, Claim, Credit, Decoded, Explanation, Known,
    Matched, Mint, Outcome, Reason, TokenBalance, TokenProgram, Transaction, Verdict, WatchList,
    Watched,
};
use crate::domain::{Commitment, Held};
use std::cmp::Ordering;

/// A credit and all that bears on it.
pub(super) struct Case<'a> {
    pub(super) transaction: &'a Transaction,
    pub(super) decoded: &'a Decoded,
    pub(super) credit: &'a Credit,
    pub(super) watched: &'a Watched,
    pub(super) watch_list: &'a WatchList,
    pub(super) known: Option<&'a Known>,
    pub(super) explanation: &'a Explanation,
}

impl Case<'_> {
    fn received(&self) -> String {
        self.human(self.credit.received, self.credit.mint)
    }

    fn due(&self, checkout: &Checkout) -> String {
        match (checkout.amount, checkout.mint) {
            (Some(amount), mint) => self.human(amount, mint.unwrap_or(self.credit.mint)),
            (None, _) => "an amount the API does not tell".into(),
        }
    }

    fn human(&self, amount: BaseUnits, mint: Mint) -> String {
        match self.watch_list.iter().find(|watched| watched.mint == mint) {
            Some(watched) => format!("{} {}", amount.human(watched.decimals), watched.symbol),
            None => format!("{amount} base units of {mint}"),
        }
    }

    fn token(&self, mint: Mint) -> String {
        match self.watch_list.iter().find(|watched| watched.mint == mint) {
            Some(watched) => format!("{} ({mint})", watched.symbol),
            None => mint.to_string(),
        }
    }
}

const BY_HAND: &str = "confirm the payment for its checkout by hand, or refund the payer";

fn reason(why: impl Into<String>, advice: impl Into<String>) -> Reason {
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
    watch_list: &WatchList,
) -> Reason {
    if transaction.outcome == Outcome::Failed {
        return reason(
            "The transaction failed on chain: it moved nothing, whatever its balances and memos say.",
            "The buyer keeps the money and has to pay again.",
        );
    }
    let watched = explanation.accounts.iter().find(|one| one.is_watched);
    if let Some(why) = watched.and_then(|one| one.no_credit.as_deref()) {
        return reason(
            format!("No payment arrived: the watched token account {why}."),
            "",
        );
    }
    let gained = |one: &&super::AccountChange| {
        one.after.unwrap_or_default() > one.before.unwrap_or_default()
    };
    let strange = explanation.accounts.iter().filter(gained).find(|one| {
        one.owner
            .is_some_and(|owner| watch_list.iter().any(|watched| watched.wallet == owner))
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
        (Verdict::Held(held), [only]) => held_reason(case, *held, only),
        (Verdict::Held(Held::NoMemo), _) => no_memo(case),
        (Verdict::Held(Held::SeveralCheckouts), _) => several(case, candidates),
        (Verdict::Held(_), _) => unknown_memo(case),
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

fn held_reason(case: &Case<'_>, held: Held, candidate: &Candidate) -> Reason {
    let checkout = &candidate.checkout;
    let (memo, received, due) = (&checkout.memo, case.received(), case.due(checkout));
    match held {
        Held::WrongToken => reason(
            format!(
                "Checkout {memo} asks for {due} in the token {}; what arrived is {received}, in the token {}.",
                checkout
                    .mint
                    .map(|mint| case.token(mint))
                    .unwrap_or_default(),
                case.token(case.credit.mint),
            ),
            format!("Accept the other token and {BY_HAND}."),
        ),
        Held::WrongRecipient => reason(
            format!(
                "Checkout {memo} asks to pay the wallet {}; {received} arrived at {}.",
                checkout
                    .recipient
                    .map(|wallet| wallet.to_string())
                    .unwrap_or_default(),
                case.credit.wallet,
            ),
            format!("Find out why, then {BY_HAND}."),
        ),
        Held::Underpaid => underpaid(case, checkout),
        Held::Overpaid => reason(
            format!(
                "{received} arrived, {due} is due for checkout {memo}: {} too much.",
                case.human(
                    difference(case.credit.received, checkout.amount),
                    case.credit.mint
                )
            ),
            format!(
                "Confirm the payment for its checkout by hand and refund the rest, or refund all; policy.amount = \"at_least\" accepts such payments. {}",
                payer(case)
            ),
        ),
        Held::AlreadyPaid => already_paid(case, candidate),
        Held::NoMemo | Held::UnknownMemo | Held::SeveralCheckouts | Held::Unreadable => {
            unknown_memo(case)
        }
    }
}

fn underpaid(case: &Case<'_>, checkout: &Checkout) -> Reason {
    let short = difference(case.credit.received, checkout.amount);
    let mut why = format!(
        "{} arrived, {} is due for checkout {}: {} short.",
        case.received(),
        case.due(checkout),
        checkout.memo,
        case.human(short, case.credit.mint)
    );
    let sent: u128 = case
        .decoded
        .transfers
        .iter()
        .filter(|transfer| transfer.destination == case.credit.token_account)
        .map(|transfer| u128::from(transfer.amount.0))
        .sum();
    if case.watched.token_program == TokenProgram::Token2022
        && sent > u128::from(case.credit.received.0)
    {
        let sent = BaseUnits(u64::try_from(sent).unwrap_or(u64::MAX));
        why += &format!(
            " {} were sent: the token withheld a transfer fee.",
            case.human(sent, case.credit.mint)
        );
    }
    let together: u128 = case
        .decoded
        .credits
        .iter()
        .filter(|credit| credit.mint == case.credit.mint && credit.wallet == case.credit.wallet)
        .map(|credit| u128::from(credit.received.0))
        .sum();
    if case.decoded.credits.len() > 1
        && checkout
            .amount
            .is_some_and(|due| u128::from(due.0) == together)
    {
        why += " Together the credits of this transaction are exactly what is due.";
    }
    reason(
        why,
        format!(
            "Ask the buyer for the rest in a new checkout, or {BY_HAND}. {}",
            payer(case)
        ),
    )
}

fn already_paid(case: &Case<'_>, candidate: &Candidate) -> Reason {
    let memo = &candidate.checkout.memo;
    let holder = case.known.and_then(|known| known.held_by.get(memo));
    let by = match (candidate.checkout.status, holder, candidate.claim) {
        (CheckoutStatus::Confirmed(Some(by)), _, _) => {
            format!("the API confirmed it by transaction {by}")
        }
        (_, Some(holder), Claim::Taken) if *holder == case.transaction.signature => {
            "another credit of this very transaction pays for it".into()
        }
        (_, Some(holder), Claim::Taken) => format!("transaction {holder} pays for it"),
        (CheckoutStatus::Confirmed(None), _, _) => {
            "the API confirmed it and does not say by which transaction".into()
        }
        _ => "another payment is queued for it".into(),
    };
    reason(
        format!(
            "{} arrived for checkout {memo}, which is paid already: {by}.",
            case.received()
        ),
        format!("Likely paid twice: refund the payer. {}", payer(case)),
    )
}

fn no_memo(case: &Case<'_>) -> Reason {
    let said = match case.explanation.memos.as_slice() {
        [] => "The transaction carries no memo".to_owned(),
        [only] if only.bytes.is_empty() => "The transaction's memo is empty".to_owned(),
        _ => "The transaction's memo is no text".to_owned(),
    };
    reason(
        format!(
            "{said}, so nothing tells which checkout the {} are for.",
            case.received()
        ),
        format!(
            "Find the checkout by amount and time, then {BY_HAND}. {}",
            payer(case)
        ),
    )
}

fn unknown_memo(case: &Case<'_>) -> Reason {
    let memos: Vec<_> = case
        .decoded
        .memos
        .iter()
        .map(|memo| format!("“{memo}”"))
        .collect();
    reason(
        format!(
            "{} arrived with the memo {}, and no checkout of that memo is known.",
            case.received(),
            memos.join(", ")
        ),
        format!(
            "If the checkout was just made, it is judged again as soon as the API shows it. If the memo is mistyped, {BY_HAND}. {}",
            payer(case)
        ),
    )
}

fn several(case: &Case<'_>, candidates: &[Candidate]) -> Reason {
    let named: Vec<_> = candidates
        .iter()
        .map(|one| format!("{} ({})", one.checkout.memo, case.due(&one.checkout)))
        .collect();
    let way = match &case.explanation.assignment {
        Some(shares) => {
            let shares: Vec<_> = shares
                .iter()
                .map(|share| {
                    format!(
                        "{} for {}",
                        case.human(share.piece.amount, share.piece.mint),
                        share.memo
                    )
                })
                .collect();
            format!(
                "There is exactly one way to assign what arrived: {}.",
                shares.join(", ")
            )
        }
        None => "What arrived cannot be assigned to them in exactly one way.".to_owned(),
    };
    reason(
        format!(
            "{} arrived, and the memos name {} checkouts: {}. {way}",
            case.received(),
            candidates.len(),
            named.join(", ")
        ),
        format!(
            "Decide which checkout it pays for and {BY_HAND}. {}",
            payer(case)
        ),
    )
}

fn payer(case: &Case<'_>) -> String {
    match case.credit.payer {
        Some(payer) => format!("The payer is {payer}."),
        None => {
            "The chain names no payer: the tokens were minted, or came out of a program.".into()
        }
    }
}

fn difference(received: BaseUnits, due: Option<BaseUnits>) -> BaseUnits {
    BaseUnits(received.0.abs_diff(due.map_or(received.0, |due| due.0)))
}
