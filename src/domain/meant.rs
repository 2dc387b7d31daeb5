//! Which checkout a payer may have meant whose memo names none. A question for a person, never a verdict.

use super::{AmountRule, Checkout, CheckoutStatus, Credit, Memo};

/// Fewest letters and digits of a memo that others are compared with: short ones resemble too much.
const LETTERS_MIN: usize = 8;
/// Most characters of a memo that are compared. A transaction allows some 4,000; a link with a memo in it has 300.
const CHARS_MAX: usize = 1_000;

impl Checkout {
    /// Whether it is pending and what a credit brought is enough for it by the operator's rule.
    #[must_use]
    pub fn asks_for(&self, credit: &Credit, rule: AmountRule) -> bool {
        let is_enough = |due| match rule {
            AmountRule::Exact => credit.received == due,
            AmountRule::AtLeast => credit.received >= due,
        };
        self.status == CheckoutStatus::Pending
            && self.amount.is_some_and(is_enough)
            && self.mint == Some(credit.mint)
            && self.recipient.is_none_or(|wallet| wallet == credit.wallet)
    }
}

/// The one checkout among those that ask for what arrived whose memo these memos contain or resemble; `None` if there are several.
#[must_use]
pub fn meant<'a>(memos: &[Memo], asking: &'a [Checkout]) -> Option<&'a Checkout> {
    let said: Vec<_> = memos.iter().map(|memo| letters(memo.as_str())).collect();
    let mut alike = asking.iter().filter(|checkout| {
        let wanted = letters(checkout.memo.as_str());
        said.iter().any(|said| is_alike(said, &wanted))
    });
    let first = alike.next()?;
    let is_only = alike.all(|other| other.memo == first.memo);
    is_only.then_some(first)
}

/// Whether a memo contains the memo of a checkout, or differs from it by one slip of the hand. Case, and all that is neither letter
/// nor digit, is left out.
#[must_use]
pub fn resembles(memo: &Memo, checkout: &Memo) -> bool {
    is_alike(&letters(memo.as_str()), &letters(checkout.as_str()))
}

fn letters(text: &str) -> Vec<char> {
    let compared = text.chars().take(CHARS_MAX);
    compared
        .filter(|c| c.is_alphanumeric())
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

fn is_alike(said: &[char], wanted: &[char]) -> bool {
    if wanted.len() < LETTERS_MIN {
        return false;
    }
    let contains = said.windows(wanted.len()).any(|part| part == wanted);
    contains || is_one_slip(said, wanted)
}

/// Whether one character was inserted, left out or replaced, or two neighbours changed places.
fn is_one_slip(said: &[char], wanted: &[char]) -> bool {
    let same = |(a, b): &(&char, &char)| a == b;
    let head = said.iter().zip(wanted).take_while(same).count();
    let (said, wanted) = (
        said.get(head..).unwrap_or_default(),
        wanted.get(head..).unwrap_or_default(),
    );
    let tail = said
        .iter()
        .rev()
        .zip(wanted.iter().rev())
        .take_while(same)
        .count();
    let middle = |all: &[char]| -> Vec<char> {
        let end = all.len().saturating_sub(tail);
        all.get(..end).unwrap_or_default().to_vec()
    };
    match (middle(said).as_slice(), middle(wanted).as_slice()) {
        ([] | [_], [] | [_]) => true,
        ([a, b], [c, d]) => a == d && b == c,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{BaseUnits, Mint, Pubkey, TokenAccount, Wallet};

    const MEMO: &str = "122c597083bd438b7f6d72af75d02594";

    fn checkout(memo: &str) -> Checkout {
        Checkout {
            memo: Memo::parse(memo).unwrap(),
            amount: Some(BaseUnits(19)),
            mint: Some(Mint(Pubkey::new_from_array([3; 32]))),
            recipient: Some(Wallet(Pubkey::new_from_array([2; 32]))),
            status: CheckoutStatus::Pending,
            created_at: None,
        }
    }

    fn found(memo: &str, checkouts: &[&str]) -> Option<String> {
        let asking: Vec<_> = checkouts.iter().map(|memo| checkout(memo)).collect();
        let memos: Vec<_> = Memo::parse(memo).into_iter().collect();
        meant(&memos, &asking).map(|one| one.memo.as_str().to_owned())
    }

    #[test]
    fn a_memo_that_contains_or_by_one_slip_resembles_a_checkouts_names_it() {
        for (what, memo) in [
            (
                "the hyphens of a UUID",
                "122c5970-83bd-438b-7f6d-72af75d02594",
            ),
            (
                "a link",
                "solana:DUnzHip8r7Mek12GQt3X4krW83xi9nbHXnD7guhDyd2U?amount=19&memo=122c597083bd438b7f6d72af75d02594",
            ),
            ("JSON", "{\"memo\": \"122c597083bd438b7f6d72af75d02594\"}"),
            (
                "words around it",
                "Payment for 122C597083BD438B7F6D72AF75D02594, thanks!",
            ),
            ("a space within", "122c5970 83bd438b7f6d72af75d02594"),
            (
                "a zero-width space within",
                "122c5970\u{200b}83bd438b7f6d72af75d02594",
            ),
            ("one left out at the end", "122c597083bd438b7f6d72af75d0259"),
            (
                "one left out at the beginning",
                "22c597083bd438b7f6d72af75d02594",
            ),
            ("one left out", "122c59708bd438b7f6d72af75d02594"),
            ("one inserted", "122c597083bdd438b7f6d72af75d02594"),
            ("one replaced", "122c597083bd438b7f6d72af75d0259a"),
            ("two changed places", "122c597083bd4387bf6d72af75d02594"),
        ] {
            assert_eq!(found(memo, &[MEMO]).as_deref(), Some(MEMO), "{what}");
        }
        for (what, memo) in [
            ("two slips", "122c597083bd438b7f6d72af75d02"),
            ("two replaced", "022c597083bd438b7f6d72af75d0259a"),
            (
                "two that are not neighbours changed places",
                "122c597083db438b7f6d72af75d05294",
            ),
            ("half of it", "122c597083bd438b"),
            ("another", "ffffffffffffffffffffffffffffffff"),
        ] {
            assert_eq!(found(memo, &[MEMO]), None, "{what}");
        }
    }

    #[test]
    fn of_several_checkouts_none_is_named() {
        assert_eq!(found("order-1003", &["order-1001", "order-1002"]), None);
        assert_eq!(
            found("order-1003", &["order-1001"]).as_deref(),
            Some("order-1001")
        );
        let both = format!("{MEMO} or order-1001");
        assert_eq!(found(&both, &[MEMO, "order-1001"]), None);
        assert_eq!(
            found(&both, &[MEMO, MEMO]).as_deref(),
            Some(MEMO),
            "one, told twice"
        );
    }

    #[test]
    fn short_memos_resemble_too_much() {
        assert_eq!(found("order 7", &["7"]), None);
        assert_eq!(found("abcdef8", &["abcdefg"]), None);
        assert_eq!(
            found("abcdefgx", &["abcdefgh"]).as_deref(),
            Some("abcdefgh")
        );
    }

    #[test]
    fn only_a_pending_checkout_that_this_pays_for_is_compared() {
        let credit = Credit {
            token_account: TokenAccount(Pubkey::new_from_array([1; 32])),
            wallet: Wallet(Pubkey::new_from_array([2; 32])),
            mint: Mint(Pubkey::new_from_array([3; 32])),
            received: BaseUnits(19),
            payer: None,
        };
        let asks = |edit: fn(&mut Checkout)| {
            let mut one = checkout(MEMO);
            edit(&mut one);
            one.asks_for(&credit, AmountRule::Exact)
        };
        assert!(asks(|_| {}));
        assert!(asks(|one| one.recipient = None));
        assert!(!asks(|one| one.amount = Some(BaseUnits(20))));
        assert!(!asks(|one| one.amount = None));
        assert!(!asks(|one| one.mint = None));
        assert!(!asks(
            |one| one.mint = Some(Mint(Pubkey::new_from_array([9; 32])))
        ));
        assert!(!asks(
            |one| one.recipient = Some(Wallet(Pubkey::new_from_array([9; 32])))
        ));
        assert!(!asks(|one| one.status = CheckoutStatus::Confirmed(None)));
        for (due, is_named) in [(18, true), (19, true), (20, false)] {
            let mut one = checkout(MEMO);
            one.amount = Some(BaseUnits(due));
            assert_eq!(one.asks_for(&credit, AmountRule::AtLeast), is_named);
        }
    }
}
