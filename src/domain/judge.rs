//! Credit × memos × checkouts → verdict. The one place that decides whether money confirms a checkout.

use super::{
    AmountRule, BaseUnits, Checkout, CheckoutStatus, Commitment, Credit, Memo, Rules, Signature,
    UnknownMemo,
};
use std::{fmt, str::FromStr};

/// What is to be done with a credit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It pays for a checkout.
    Matched(Matched),
    /// It waits for a person or for news; never confirmed by itself.
    Held(Held),
}

/// A credit that pays for a checkout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Matched {
    /// The merchant is to be told.
    Confirm {
        /// The checkout's id.
        memo: Memo,
        /// What to wait for first.
        wait_for: Commitment,
        /// Why an amount was not checked here, where it was not.
        note: Option<&'static str>,
    },
    /// The merchant knows already: there is nothing to tell.
    Settled {
        /// The checkout's id.
        memo: Memo,
    },
}

/// Why a credit is held. The words are part of the interface: stored, counted and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Held {
    /// Money without memo.
    NoMemo,
    /// No checkout of that memo is known (yet).
    UnknownMemo,
    /// Its memos name two or more checkouts.
    SeveralCheckouts,
    /// The checkout asks for another token.
    WrongToken,
    /// The checkout asks for another wallet to be paid.
    WrongRecipient,
    /// Less than due.
    Underpaid,
    /// More than due.
    Overpaid,
    /// The checkout was confirmed, or another payment is queued for it.
    AlreadyPaid,
    /// The API gives the checkout a status that is neither pending nor confirmed.
    NotPayable,
    /// The transaction could not be read; what it gave is not known.
    Unreadable,
}

impl Held {
    /// All reasons.
    pub const ALL: [Self; 10] = [
        Self::NoMemo,
        Self::UnknownMemo,
        Self::SeveralCheckouts,
        Self::WrongToken,
        Self::WrongRecipient,
        Self::Underpaid,
        Self::Overpaid,
        Self::AlreadyPaid,
        Self::NotPayable,
        Self::Unreadable,
    ];

    /// The reasons of payments that name no known checkout: nobody waits for them.
    pub(crate) const NAMING_NONE: [Self; 2] = [Self::NoMemo, Self::UnknownMemo];

    /// The reason's word, in the database, in metrics and on pages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoMemo => "no_memo",
            Self::UnknownMemo => "unknown_memo",
            Self::SeveralCheckouts => "several_checkouts",
            Self::WrongToken => "wrong_token",
            Self::WrongRecipient => "wrong_recipient",
            Self::Underpaid => "underpaid",
            Self::Overpaid => "overpaid",
            Self::AlreadyPaid => "already_paid",
            Self::NotPayable => "not_payable",
            Self::Unreadable => "unreadable",
        }
    }
}

impl FromStr for Held {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL
            .into_iter()
            .find(|held| held.as_str() == word)
            .ok_or(())
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A known checkout that one of the memos names, and who has a claim on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The checkout.
    pub checkout: Checkout,
    /// Whether a payment holds it.
    pub claim: Claim,
}

impl Candidate {
    /// The checkouts that memos name, each once, in the order of the memos: by the exact text, or else by hexadecimal text in
    /// another case.
    ///
    /// `known` gives the checkouts whose memo has the same [`Memo::folded`] form; `claim` says who holds a checkout.
    #[must_use]
    pub fn named_by<'a>(
        memos: &[Memo],
        known: impl Fn(&Memo) -> &'a [Checkout],
        claim: impl Fn(&Memo) -> Claim,
    ) -> Vec<Self> {
        let mut named: Vec<Self> = Vec::new();
        for memo in memos {
            let alike = known(memo);
            let exact = alike.iter().find(|checkout| checkout.memo == *memo);
            for checkout in exact.map_or(alike, std::slice::from_ref) {
                if named.iter().all(|one| one.checkout.memo != checkout.memo) {
                    named.push(Self {
                        claim: claim(&checkout.memo),
                        checkout: checkout.clone(),
                    });
                }
            }
        }
        named
    }
}

/// Whether a payment other than the judged one holds a checkout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// None does.
    Free,
    /// Another payment is queued, confirmed or parked for it.
    Taken,
}

/// Judges one credit of the transaction `signature` by the checkouts its memos name; `None` if its token account is not watched.
#[must_use]
pub fn judge(
    signature: Signature,
    credit: &Credit,
    memos: &[Memo],
    candidates: &[Candidate],
    rules: &Rules,
) -> Option<Verdict> {
    if !rules.accounts().contains(&credit.token_account) {
        return None;
    }
    Some(match candidates {
        [] => judge_unknown(credit, memos, rules),
        [candidate] => judge_candidate(signature, credit, candidate, rules),
        _ => Verdict::Held(Held::SeveralCheckouts),
    })
}

fn judge_unknown(credit: &Credit, memos: &[Memo], rules: &Rules) -> Verdict {
    match memos {
        [] => Verdict::Held(Held::NoMemo),
        [memo] if rules.policy().unknown_memo == UnknownMemo::Confirm => {
            Verdict::Matched(Matched::Confirm {
                memo: memo.clone(),
                wait_for: rules.wait_for(credit),
                note: Some("checkout unknown here: left to the backend"),
            })
        }
        _ => Verdict::Held(Held::UnknownMemo),
    }
}

fn judge_candidate(
    signature: Signature,
    credit: &Credit,
    candidate: &Candidate,
    rules: &Rules,
) -> Verdict {
    let checkout = &candidate.checkout;
    let settled = || {
        Verdict::Matched(Matched::Settled {
            memo: checkout.memo.clone(),
        })
    };
    if checkout.mint.is_some_and(|mint| mint != credit.mint) {
        return Verdict::Held(Held::WrongToken);
    }
    if checkout
        .recipient
        .is_some_and(|recipient| recipient != credit.wallet)
    {
        return Verdict::Held(Held::WrongRecipient);
    }
    if candidate.claim == Claim::Taken {
        return Verdict::Held(Held::AlreadyPaid);
    }
    let fault = amount_fault(credit.received, checkout.amount, rules.policy().amount);
    match (checkout.status, fault) {
        (CheckoutStatus::Confirmed(Some(by)), _) if by == signature => settled(),
        (CheckoutStatus::Confirmed(Some(_)), _) | (CheckoutStatus::Confirmed(None), Some(_)) => {
            Verdict::Held(Held::AlreadyPaid)
        }
        // The API credited the checkout and does not say by what: the first payment that fits it is the one.
        (CheckoutStatus::Confirmed(None), None) => settled(),
        (CheckoutStatus::Other(_), _) => Verdict::Held(Held::NotPayable),
        (CheckoutStatus::Pending, Some(fault)) => Verdict::Held(fault),
        (CheckoutStatus::Pending, None) => Verdict::Matched(Matched::Confirm {
            memo: checkout.memo.clone(),
            wait_for: rules.wait_for(credit),
            note: checkout
                .amount
                .is_none()
                .then_some("amount left to the backend"),
        }),
    }
}

/// What is wrong with an amount, if anything; nothing where none is due.
pub(super) fn amount_fault(
    received: BaseUnits,
    due: Option<BaseUnits>,
    rule: AmountRule,
) -> Option<Held> {
    let due = due?;
    if received < due {
        Some(Held::Underpaid)
    } else if received > due && rule == AmountRule::Exact {
        Some(Held::Overpaid)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
