use super::*;
use crate::domain::{Decimals, Pubkey, TokenAccount, TokenProgram, Wallet, Watched};

fn mint(byte: u8) -> Mint {
    Mint(Pubkey::new_from_array([byte; 32]))
}

fn watched(byte: u8, symbol: &str) -> Watched {
    let key = Pubkey::new_from_array([byte; 32]);
    Watched {
        token_account: TokenAccount(key),
        wallet: Wallet(key),
        mint: mint(byte),
        token_program: TokenProgram::Token,
        decimals: Decimals::new(6).unwrap(),
        symbol: symbol.into(),
    }
}

fn credit(byte: u8, received: u64) -> Credit {
    let key = Pubkey::new_from_array([byte; 32]);
    Credit {
        token_account: TokenAccount(key),
        wallet: Wallet(key),
        mint: mint(byte),
        received: BaseUnits(received),
        payer: None,
    }
}

fn rules(limits: &[(&str, &str)]) -> Rules {
    let limit = |(token, amount): &(&str, &str)| Limit {
        token: TokenName::parse(token),
        amount: (*amount).to_owned(),
    };
    let policy = Policy {
        finalized_above: limits.iter().map(limit).collect(),
        ..Policy::default()
    };
    let accounts = [watched(1, "USD Coin"), watched(2, "USDT")];
    Rules::new(policy, accounts.into_iter().collect())
}

#[test]
fn a_limit_names_a_symbol_in_any_case_or_a_mint() {
    for token in ["USD Coin", "usd coin", " USD COIN ", &mint(1).to_string()] {
        let rules = rules(&[(token, "10")]);
        assert_eq!(rules.unmatched(), [], "{token}");
        let wait_for = |received| rules.wait_for(&credit(1, received));
        assert_eq!(wait_for(10_000_000), Commitment::Confirmed, "{token}");
        assert_eq!(wait_for(10_000_001), Commitment::Finalized, "{token}");
        let other = credit(2, u64::MAX);
        assert_eq!(rules.wait_for(&other), Commitment::Confirmed, "{token}");
    }
}

#[test]
fn a_limit_that_names_nothing_watched_makes_every_payment_large() {
    for token in ["USDC", "USD", "", &mint(9).to_string()] {
        let rules = rules(&[("USDT", "10"), (token, "10")]);
        assert_eq!(rules.unmatched(), [TokenName::parse(token)], "{token}");
        for one in [credit(1, 1), credit(2, 1)] {
            assert!(rules.is_large(&one), "{token}");
            assert_eq!(rules.wait_for(&one), Commitment::Finalized, "{token}");
        }
    }
}

#[test]
fn of_two_limits_for_one_mint_the_lower_counts() {
    for limits in [["10", "7"], ["7", "10"]] {
        let rules = rules(&[("usd coin", limits[0]), (&mint(1).to_string(), limits[1])]);
        assert!(rules.is_large(&credit(1, 7_000_001)), "{limits:?}");
        assert!(!rules.is_large(&credit(1, 7_000_000)), "{limits:?}");
    }
}

#[test]
fn a_limit_that_no_amount_of_the_mint_can_have_counts_as_zero() {
    for amount in ["0.0000001", "99999999999999999999"] {
        assert!(
            rules(&[("USDT", amount)]).is_large(&credit(2, 1)),
            "{amount}"
        );
    }
}

#[test]
fn without_limits_no_payment_is_large() {
    let rules = rules(&[]);
    assert!(!rules.is_large(&credit(1, u64::MAX)));
    assert_eq!(rules.wait_for(&credit(1, u64::MAX)), Commitment::Confirmed);
}

#[test]
fn dust_is_what_names_no_checkout_and_is_below_its_limit() {
    let limit = |token: &str, amount: &str| Limit {
        token: TokenName::parse(token),
        amount: amount.to_owned(),
    };
    let policy = Policy {
        dust_below: vec![limit("usd coin", "0.05"), limit("EURC", "1")],
        ..Policy::default()
    };
    let accounts = [watched(1, "USD Coin"), watched(2, "USDT")];
    let rules = Rules::new(policy, accounts.into_iter().collect());
    for reason in Held::ALL {
        let weigh = |credit| rules.weigh(&credit, &Verdict::Held(reason));
        let small = match reason {
            Held::NoMemo | Held::UnknownMemo => Weight::Dust,
            _ => Weight::Money,
        };
        assert_eq!(weigh(credit(1, 49_999)), small, "{reason}");
        assert_eq!(weigh(credit(1, 50_000)), Weight::Money, "{reason}");
        assert_eq!(weigh(credit(2, 1)), Weight::Money, "{reason}: no limit");
    }
    let memo = crate::domain::Memo::parse("a").unwrap();
    let matched = Verdict::Matched(crate::domain::Matched::Settled { memo });
    assert_eq!(rules.weigh(&credit(1, 1), &matched), Weight::Money);
    assert_eq!(rules.unmatched_dust(), [TokenName::parse("EURC")]);
    assert_eq!(rules.unmatched(), [], "it makes no payment large");
    assert!(!rules.is_large(&credit(1, 1)));
    let limits: Vec<_> = rules.dust_limits().collect();
    assert_eq!(
        limits,
        [(mint(1), BaseUnits(50_000)), (mint(2), BaseUnits(0))]
    );
}
