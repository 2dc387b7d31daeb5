//! What each reason for holding means, whatever the payment.

use super::Reason;
use super::words::reason;
use crate::domain::Held;

impl Held {
    /// What it means, and what a person can do. [`explain`](super::explain) says more of a payment at hand.
    #[must_use]
    pub fn meaning(self) -> Reason {
        let (why, advice) = match self {
            Self::NoMemo => (
                "Money came without a memo, so nothing tells which checkout it is for.",
                "Ask the buyer for the transaction, compare payer, amount and time with a pending checkout, and confirm for it; or refund. Never match by amount alone.",
            ),
            Self::UnknownMemo => (
                "No checkout of that memo is known.",
                "If the checkout is new, this resolves itself within a minute. If it stays, the memo is mistyped or old: find the right checkout and confirm for it, or refund.",
            ),
            Self::SeveralCheckouts => (
                "The memos name two or more checkouts.",
                "Confirm for one of them; the others need payments of their own.",
            ),
            Self::WrongToken => (
                "The memo is right, and the token is another than the checkout asks for.",
                "Confirm if you take that token, or refund.",
            ),
            Self::WrongRecipient => (
                "The checkout asks for another wallet to be paid.",
                "Look at the recipients of the payments API before anything else.",
            ),
            Self::Underpaid => (
                "Less came than is due.",
                "Ask for the rest in a new checkout, or confirm, or refund. A second payment is not added to the first.",
            ),
            Self::Overpaid => (
                "More came than is due.",
                "Confirm and refund the rest, or refund all. policy.amount = \"at_least\" takes such payments from then on.",
            ),
            Self::AlreadyPaid => (
                "The checkout was paid before.",
                "Likely somebody paid twice: refund the payer, and dismiss this.",
            ),
            Self::NotPayable => (
                "The payments API gives the checkout a status that is neither pending nor confirmed: it may be expired, cancelled or refunded.",
                "Look up the checkout in the payments API: confirm if it should be credited, or refund. When its status becomes pending or confirmed, the payment is judged again.",
            ),
            Self::Unreadable => (
                "The transaction could not be read, so what it gave is not known.",
                "It is tried again by itself. Another node, or a newer paywatch, may read it: retry.",
            ),
        };
        reason(why, advice)
    }
}
