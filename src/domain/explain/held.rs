//! Why a credit is held, in words, and what a person can do.

use super::words::{BY_HAND, Case, reason};
use super::{BaseUnits, Candidate, Checkout, CheckoutStatus, Claim, Reason, TokenProgram};
use crate::domain::{Held, credit::brought};

pub(super) fn one_checkout(case: &Case<'_>, held: Held, candidate: &Candidate) -> Reason {
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
        Held::NotPayable => not_payable(case, checkout),
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
    let sent = brought(case.credit.token_account, &case.decoded.transfers);
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

fn not_payable(case: &Case<'_>, checkout: &Checkout) -> Reason {
    let status = match checkout.status {
        CheckoutStatus::Other(word) => format!("gives it the status \"{word}\""),
        CheckoutStatus::Pending | CheckoutStatus::Confirmed(_) => "changed its status".into(),
    };
    reason(
        format!(
            "{} arrived for checkout {}, which is neither pending nor confirmed: the payments API {status}.",
            case.received(),
            checkout.memo
        ),
        format!(
            "Look up this checkout in the payments API. If it should be credited, {BY_HAND}; paywatch judges the payment again when the status becomes pending or confirmed. {}",
            payer(case)
        ),
    )
}

pub(super) fn no_memo(case: &Case<'_>) -> Reason {
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

pub(super) fn unknown_memo(case: &Case<'_>) -> Reason {
    let memos: Vec<_> = case
        .decoded
        .memos
        .iter()
        .map(|memo| format!("“{memo}”"))
        .collect();
    let mut why = format!(
        "{} arrived with the memo {}, and no checkout of that memo is known.",
        case.received(),
        memos.join(", ")
    );
    let Some(meant) = case.meant else {
        return reason(
            why,
            format!(
                "If the checkout was just made, it is judged again as soon as the API shows it. If the memo is mistyped, {BY_HAND}. {}",
                payer(case)
            ),
        );
    };
    let memo = &meant.memo;
    why += &format!(
        " Did they mean checkout {memo}? It asks for exactly this amount, no other payment is known for it, and its memo is contained in this one or differs by one slip."
    );
    reason(
        why,
        format!(
            "Compare, then confirm the payment by hand for checkout {memo}, or refund the payer. {}",
            payer(case)
        ),
    )
}

pub(super) fn several(case: &Case<'_>, candidates: &[Candidate]) -> Reason {
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
