//! What the rule about accounts without balances rests on, held by the answers of a real network: of every token account that is
//! there the balance is told, wherever a token program is among the keys.

use super::fixture;
use paywatch::domain::{Outcome, TokenAccount, TokenBalance, TokenProgram, Transaction, decode};
use paywatch::solana::Fetched;
use serde_json::{Value, json};

fn read(answer: &str) -> Option<Transaction> {
    match Fetched::from_saved(answer) {
        Ok(Fetched::Transaction(transaction)) => Some(*transaction),
        _ => None,
    }
}

/// What the network recorded, with what is expected of it.
fn recorded() -> impl Iterator<Item = (String, String, Value)> {
    let all = fixture::all().into_iter();
    all.filter(|(_, _, expected)| expected["made"].as_str().unwrap().starts_with("recorded"))
}

fn is_told(balances: &[TokenBalance], account: TokenAccount) -> bool {
    balances.iter().any(|one| one.token_account == account)
}

#[test]
fn a_validator_tells_the_balance_of_every_token_account_that_is_there() {
    let (mut told, mut absent) = (0, 0);
    for (name, answer, expected) in recorded() {
        let Some(transaction) = read(&answer) else {
            continue;
        };
        let calls_tokens = |key| TokenProgram::from_id(key).is_some();
        if !transaction.keys.iter().any(calls_tokens) {
            assert_eq!(transaction.post, [], "{name}: no token program");
            continue;
        }
        let moved = transaction.transfers().into_iter();
        let mut accounts: Vec<_> = moved
            .flat_map(|one| one.source.into_iter().chain([one.destination]))
            .collect();
        accounts.extend(
            fixture::watch_list(&expected)
                .iter()
                .map(|one| one.token_account),
        );
        for account in accounts {
            let Some(lamports) = transaction.lamports_of(account.0) else {
                continue;
            };
            let is_there = lamports.after > 0;
            let balances = &transaction.post;
            assert_eq!(is_told(balances, account), is_there, "{name}: {account}");
            told += usize::from(is_there);
            absent += usize::from(!is_there);
        }
    }
    assert!(told > 200 && absent > 2, "{told} told, {absent} not there");
}

/// With balances and inner instructions left out, a payment by an inner instruction would look like one that gave nothing.
#[test]
fn without_balances_and_inner_instructions_no_payment_looks_like_nothing() {
    let mut inner = 0;
    for (name, answer, expected) in fixture::all() {
        let Some(whole) = read(&answer) else { continue };
        let watch_list = fixture::watch_list(&expected);
        let is_paid = |decoded: &paywatch::domain::Decoded| !decoded.credits.is_empty();
        if whole.outcome == Outcome::Failed
            || !decode(&whole, &watch_list).is_ok_and(|one| is_paid(&one))
        {
            continue;
        }
        inner += usize::from(whole.transfers().iter().any(|one| one.depth > 0));
        for without_lamports in [false, true] {
            let mut poor: Value = serde_json::from_str(&answer).unwrap();
            let meta = poor.pointer_mut("/result/meta").unwrap();
            for part in ["innerInstructions", "preTokenBalances", "postTokenBalances"] {
                meta[part] = json!([]);
            }
            if without_lamports {
                (meta["preBalances"], meta["postBalances"]) = (json!([]), json!([]));
            }
            let poor = read(&poor.to_string()).unwrap();
            assert!(decode(&poor, &watch_list).is_err(), "{name}");
        }
    }
    assert!(inner > 3, "{inner} payments by inner instructions");
}
