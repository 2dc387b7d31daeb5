use super::*;
use crate::domain::{CheckoutStatus, Pubkey};
use proptest::prelude::*;

fn piece(amount: u64) -> Piece {
    Piece {
        wallet: Wallet(Pubkey::new_from_array([3; 32])),
        mint: Mint(Pubkey::new_from_array([2; 32])),
        amount: BaseUnits(amount),
    }
}

fn due(memo: &str, amount: Option<u64>) -> Checkout {
    Checkout {
        memo: Memo::parse(memo).unwrap(),
        amount: amount.map(BaseUnits),
        mint: None,
        recipient: None,
        status: CheckoutStatus::Pending,
        created_at: None,
    }
}

fn check(
    paid: &[u64],
    checkouts: &[(&str, Option<u64>)],
    rule: AmountRule,
    expected: Option<&[&str]>,
) {
    let pieces: Vec<_> = paid.iter().copied().map(piece).collect();
    let checkouts: Vec<_> = checkouts
        .iter()
        .map(|(memo, amount)| due(memo, *amount))
        .collect();
    let shares = unique_assignment(&pieces, &checkouts.iter().collect::<Vec<_>>(), rule);
    let memos: Option<Vec<_>> = shares
        .as_ref()
        .map(|shares| shares.iter().map(|share| share.memo.as_str()).collect());
    assert_eq!(memos.as_deref(), expected, "{paid:?} for {checkouts:?}");
}

#[test]
#[rustfmt::skip] // a table
fn an_assignment_is_named_only_if_there_is_exactly_one() {
    use AmountRule::{AtLeast, Exact};
    let (a19, b5) = (("a", Some(19)), ("b", Some(5)));
    check(&[19, 5], &[a19, b5], Exact, Some(&["a", "b"]));
    check(&[5, 19], &[a19, b5], Exact, Some(&["b", "a"]));
    check(&[19], &[a19, b5], Exact, Some(&["a"]));
    check(&[19], &[a19, ("b", Some(19))], Exact, None);
    check(&[19, 19], &[a19, ("b", Some(19))], Exact, None);
    check(&[24], &[a19, b5], Exact, None);
    check(&[19, 6], &[a19, b5], Exact, None);
    check(&[19, 5, 1], &[a19, b5], Exact, None);
    check(&[19, 6], &[a19, b5], AtLeast, Some(&["a", "b"]));
    check(&[19, 20], &[a19, b5], AtLeast, None);
    check(&[19, 7], &[a19, ("b", None)], Exact, Some(&["a", "b"]));
    check(&[u64::MAX, 0], &[("a", Some(u64::MAX)), ("b", Some(0))], Exact, Some(&["a", "b"]));
    check(&[], &[a19], Exact, None);
}

proptest! {
    /// Checked against trying every permutation.
    #[test]
    fn it_agrees_with_trying_everything(paid in prop::collection::vec(0_u64..3, 0..4), dues in prop::collection::vec(0_u64..3, 0..5)) {
        let pieces: Vec<_> = paid.iter().copied().map(piece).collect();
        let checkouts: Vec<_> = dues.iter().enumerate().map(|(index, amount)| due(&format!("m{index}"), Some(*amount))).collect();
        let found = unique_assignment(&pieces, &checkouts.iter().collect::<Vec<_>>(), AmountRule::AtLeast);
        let ways = count(&paid, &dues, &mut vec![false; dues.len()]);
        prop_assert_eq!(found.is_some(), ways == 1 && !paid.is_empty());
    }
}

fn count(paid: &[u64], dues: &[u64], used: &mut Vec<bool>) -> usize {
    let Some((first, rest)) = paid.split_first() else {
        return 1;
    };
    let mut ways = 0;
    for index in 0..dues.len() {
        if !used[index] && *first >= dues[index] {
            used[index] = true;
            ways += count(rest, dues, used);
            used[index] = false;
        }
    }
    ways
}
