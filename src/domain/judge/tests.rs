use super::*;
use crate::domain::{
    Decimals, Limit, Mint, Policy, Pubkey, StatusWord, TokenAccount, TokenName, TokenProgram,
    Wallet, Watched,
};
use proptest::prelude::*;

const DUE: u64 = 19_000_000;

fn key<T>(wrap: fn(Pubkey) -> T, byte: u8) -> T {
    wrap(Pubkey::new_from_array([byte; 32]))
}

fn signature(byte: u8) -> Signature {
    Signature::from([byte; 64])
}

fn memo(text: &str) -> Memo {
    Memo::parse(text).unwrap()
}

fn credit(received: u64) -> Credit {
    Credit {
        token_account: key(TokenAccount, 1),
        wallet: key(Wallet, 3),
        mint: key(Mint, 2),
        received: BaseUnits(received),
        payer: None,
    }
}

fn pending(text: &str) -> Candidate {
    let checkout = Checkout {
        memo: memo(text),
        amount: Some(BaseUnits(DUE)),
        mint: Some(key(Mint, 2)),
        recipient: Some(key(Wallet, 3)),
        status: CheckoutStatus::Pending,
        created_at: None,
    };
    Candidate {
        checkout,
        claim: Claim::Free,
    }
}

fn rules(policy: Policy) -> Rules {
    let watched = Watched {
        token_account: key(TokenAccount, 1),
        wallet: key(Wallet, 3),
        mint: key(Mint, 2),
        token_program: TokenProgram::Token,
        decimals: Decimals::new(6).unwrap(),
        symbol: "USDC".into(),
    };
    Rules::new(policy, [watched].into_iter().collect())
}

fn change(mut candidate: Candidate, edit: impl FnOnce(&mut Candidate)) -> Candidate {
    edit(&mut candidate);
    candidate
}

fn confirm(wait_for: Commitment, note: Option<&'static str>) -> Verdict {
    Verdict::Matched(Matched::Confirm {
        memo: memo("a"),
        wait_for,
        note,
    })
}

fn check(
    what: &str,
    received: u64,
    memos: &[&str],
    candidates: &[Candidate],
    rules: &Rules,
    expected: &Verdict,
) {
    let memos: Vec<_> = memos.iter().map(|text| memo(text)).collect();
    assert_eq!(
        judge(signature(7), &credit(received), &memos, candidates, rules).as_ref(),
        Some(expected),
        "{what}"
    );
}

#[test]
#[rustfmt::skip] // a table
#[expect(clippy::too_many_lines, reason = "a table")]
fn the_table_of_verdicts() {
    let (strict, settled) = (
        rules(Policy::default()),
        Verdict::Matched(Matched::Settled { memo: memo("a") }),
    );
    let at_least = rules(Policy {
        amount: AmountRule::AtLeast,
        ..Policy::default()
    });
    let trusting = rules(Policy {
        unknown_memo: UnknownMemo::Confirm,
        ..Policy::default()
    });
    let limit = Limit {
        token: TokenName::parse("usdc"),
        amount: "18.999999".into(),
    };
    let careful = rules(Policy {
        finalized_above: vec![limit],
        ..Policy::default()
    });
    let now = confirm(Commitment::Confirmed, None);
    let held = Verdict::Held;
    let status = |status| change(pending("a"), |candidate| candidate.checkout.status = status);
    let taken = change(pending("a"), |candidate| candidate.claim = Claim::Taken);
    let other_mint = change(pending("a"), |candidate| {
        candidate.checkout.mint = Some(key(Mint, 9));
    });
    let other_wallet = change(pending("a"), |candidate| {
        candidate.checkout.recipient = Some(key(Wallet, 9));
    });
    let untold = change(pending("a"), |candidate| {
        (
            candidate.checkout.amount,
            candidate.checkout.mint,
            candidate.checkout.recipient,
        ) = (None, None, None);
    });
    let by_this = status(CheckoutStatus::Confirmed(Some(signature(7))));
    let by_other = status(CheckoutStatus::Confirmed(Some(signature(8))));
    let by_untold = status(CheckoutStatus::Confirmed(None));

    let expired = status(CheckoutStatus::Other(StatusWord::new("expired")));
    let untold_expired = change(untold.clone(), |candidate| {
        candidate.checkout.status = CheckoutStatus::Other(StatusWord::new("2"));
    });

    check("the right payment", DUE, &["a"], &[pending("a")], &strict, &now);
    check("among other memos", DUE, &["thanks", "a"], &[pending("a")], &strict, &now);
    check("no memo", DUE, &[], &[], &strict, &held(Held::NoMemo));
    check("no memo, trusting", DUE, &[], &[], &trusting, &held(Held::NoMemo));
    check("unknown", DUE, &["x"], &[], &strict, &held(Held::UnknownMemo));
    check("unknown, two memos, trusting", DUE, &["x", "y"], &[], &trusting, &held(Held::UnknownMemo));
    let unknown = confirm(
        Commitment::Confirmed,
        Some("checkout unknown here: left to the backend"),
    );
    check("unknown, trusting", DUE, &["a"], &[], &trusting, &unknown);
    check("two checkouts", DUE, &["a", "b"], &[pending("a"), pending("b")], &strict, &held(Held::SeveralCheckouts));
    check("wrong token", DUE, &["a"], &[other_mint], &strict, &held(Held::WrongToken));
    check("wrong recipient", DUE, &["a"], &[other_wallet], &strict, &held(Held::WrongRecipient));
    check("one less", DUE - 1, &["a"], &[pending("a")], &strict, &held(Held::Underpaid));
    check("one more", DUE + 1, &["a"], &[pending("a")], &strict, &held(Held::Overpaid));
    check("all there is", u64::MAX, &["a"], &[pending("a")], &strict, &held(Held::Overpaid));
    check("one more, allowed", DUE + 1, &["a"], &[pending("a")], &at_least, &now);
    check("one less, never", DUE - 1, &["a"], &[pending("a")], &at_least, &held(Held::Underpaid));
    check("taken", DUE, &["a"], &[taken], &strict, &held(Held::AlreadyPaid));
    check("confirmed by this", DUE, &["a"], std::slice::from_ref(&by_this), &strict, &settled);
    check("confirmed by this, other amount", 5, &["a"], &[by_this], &strict, &settled);
    check("confirmed by another", DUE, &["a"], &[by_other], &strict, &held(Held::AlreadyPaid));
    check("confirmed, not told by what", DUE, &["a"], std::slice::from_ref(&by_untold), &strict, &settled);
    check("the same, other amount", 5, &["a"], &[by_untold], &strict, &held(Held::AlreadyPaid));
    check("of another status", DUE, &["a"], &[expired], &strict, &held(Held::NotPayable));
    check("of another status, other amount", 5, &["a"], std::slice::from_ref(&untold_expired), &strict, &held(Held::NotPayable));
    check("of another status, trusting", DUE, &["a"], &[untold_expired], &trusting, &held(Held::NotPayable));
    let unchecked = confirm(Commitment::Confirmed, Some("amount left to the backend"));
    check("amount not told", 5, &["a"], &[untold], &strict, &unchecked);
    check("large", DUE, &["a"], &[pending("a")], &careful, &confirm(Commitment::Finalized, None));
}

proptest! {
    /// Whatever else varies: a pending checkout with an amount is confirmed for exactly that amount and nothing else.
    #[test]
    fn only_the_exact_amount_is_ever_confirmed(received: u64, due: u64, taken: bool, mint in 0_u8..3, wallet in 2_u8..5) {
        let candidate = change(pending("a"), |candidate| {
            candidate.checkout.amount = Some(BaseUnits(due));
            candidate.checkout.mint = Some(key(Mint, mint));
            candidate.checkout.recipient = Some(key(Wallet, wallet));
            candidate.claim = if taken { Claim::Taken } else { Claim::Free };
        });
        let rules = rules(Policy::default());
        let verdict = judge(signature(7), &credit(received), &[memo("a")], &[candidate], &rules);
        let deserves = received == due && mint == 2 && wallet == 3 && !taken;
        prop_assert_eq!(matches!(verdict, Some(Verdict::Matched(_))), deserves);
    }
}

#[test]
fn a_credit_of_an_account_that_is_not_watched_is_not_judged() {
    let nothing = Rules::new(Policy::default(), [].into_iter().collect());
    let elsewhere = Credit {
        token_account: key(TokenAccount, 9),
        ..credit(DUE)
    };
    let watching = rules(Policy::default());
    for (credit, rules) in [(&credit(DUE), &nothing), (&elsewhere, &watching)] {
        let verdict = judge(signature(7), credit, &[memo("a")], &[pending("a")], rules);
        assert_eq!(verdict, None);
    }
}
