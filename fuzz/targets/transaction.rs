//! Transactions of the corpus with bytes and balances changed: nothing panics, and nobody is credited more than arrived.
#![no_main]

use base64::{Engine, prelude::BASE64_STANDARD};
use libfuzzer_sys::fuzz_target;
use paywatch::domain::{
    Decimals, Outcome, Policy, Rules, TokenProgram, Transaction, WatchList, Watched, decode, judge,
};
use paywatch::solana::Fetched;
use serde_json::{Value, json};
use std::{fs, sync::LazyLock};

const FOLDER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tests/fixtures/transactions"
);

static CORPUS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let mut files: Vec<_> = fs::read_dir(FOLDER)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().ends_with(".answer.json"))
        .collect();
    files.sort();
    let answers = files
        .iter()
        .map(|path| serde_json::from_str::<Value>(&fs::read_to_string(path).unwrap()).unwrap());
    let whole = |answer: &Value| answer.pointer("/result/transaction/0").is_some();
    answers.filter(whole).collect()
});

// The first byte chooses a transaction, every four after it change something in it.
fuzz_target!(|data: &[u8]| {
    let Some((which, changes)) = data.split_first() else {
        return;
    };
    let mut answer = CORPUS[usize::from(*which) % CORPUS.len()].clone();
    let blob = answer["result"]["transaction"][0].as_str().unwrap_or("");
    let mut bytes = BASE64_STANDARD.decode(blob).unwrap_or_default();
    for change in changes.chunks_exact(4) {
        let at = usize::from(u16::from_le_bytes([change[1], change[2]]));
        alter(&mut answer, &mut bytes, change[0], at, change[3]);
    }
    answer["result"]["transaction"][0] = BASE64_STANDARD.encode(bytes).into();
    let Ok(Fetched::Transaction(transaction)) = Fetched::from_saved(&answer.to_string()) else {
        return;
    };
    check(&transaction);
});

fn alter(answer: &mut Value, bytes: &mut Vec<u8>, kind: u8, at: usize, value: u8) {
    let place = at % bytes.len().max(1);
    match kind % 8 {
        0..=2 if !bytes.is_empty() => bytes[place] ^= value,
        3 => bytes.insert(place.min(bytes.len()), value),
        4 if !bytes.is_empty() => drop(bytes.remove(place)),
        5 => {
            let which = ["preTokenBalances", "postTokenBalances"][at % 2];
            let balances = answer["result"]["meta"][which].as_array_mut();
            if let Some(balance) = balances.and_then(|all| all.get_mut(usize::from(value % 8))) {
                let amounts = ["0", "1", "18446744073709551615", "x", "-1"];
                balance["uiTokenAmount"]["amount"] = amounts[at / 2 % amounts.len()].into();
            }
        }
        6 => {
            let keys = [
                "innerInstructions",
                "preTokenBalances",
                "postTokenBalances",
                "loadedAddresses",
                "err",
            ];
            answer["result"]["meta"][keys[at % keys.len()]] = Value::Null;
        }
        7 => {
            let balances = answer["result"]["meta"]["postTokenBalances"].as_array_mut();
            if let Some(balance) = balances.and_then(|all| all.get_mut(at % 8)) {
                balance["accountIndex"] = json!(value);
            }
        }
        _ => {}
    }
}

/// Watches every account that tokens are said to be in.
fn check(transaction: &Transaction) {
    let watched: WatchList = transaction
        .post
        .iter()
        .filter_map(|balance| {
            Some(Watched {
                token_account: balance.token_account,
                wallet: balance.owner?,
                mint: balance.mint,
                token_program: balance.token_program.unwrap_or(TokenProgram::Token),
                decimals: balance.decimals.or(Decimals::new(6))?,
                symbol: "X".into(),
            })
        })
        .collect();
    let Ok(decoded) = decode(transaction, &watched) else {
        return;
    };
    assert!(transaction.outcome == Outcome::Succeeded || decoded.credits.is_empty());
    let rules = Rules::new(Policy::default(), watched);
    for credit in &decoded.credits {
        let sum = |balances: &[paywatch::domain::TokenBalance]| -> u128 {
            let of_it = balances
                .iter()
                .filter(|one| one.token_account == credit.token_account);
            of_it.map(|one| u128::from(one.amount.0)).sum()
        };
        assert!(u128::from(credit.received.0) <= sum(&transaction.post));
        let _verdict = judge(transaction.signature, credit, &decoded.memos, &[], &rules);
    }
    let words: String = decoded.memos.iter().map(ToString::to_string).collect();
    assert!(!words.chars().any(char::is_control));
}
