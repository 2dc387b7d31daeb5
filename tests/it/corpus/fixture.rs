//! The corpus as files: a raw answer, and beside it what paywatch must see of it.

use super::case::Case;
use crate::support::books::{NOW, page};
use paywatch::domain::{
    AmountRule, BaseUnits, Checkout, CheckoutStatus, Commitment, Decimals, Decoded, Known, Matched,
    Memo, Payees, Policy, Rules, TokenProgram, Transaction, Verdict, WatchList, Watched, decode,
    explain,
};
use paywatch::solana::Fetched;
use paywatch::store::{Ingested, Reading, Store};
use serde_json::{Value, json};
use solana_sdk::bs58;
use std::{collections::BTreeMap, fs, path::PathBuf};

const FOLDER: &str = "tests/fixtures/transactions";

/// A transaction with what is expected of it.
pub(super) struct Landed {
    pub(super) case: Case,
    pub(super) answer: Value,
}

/// Every case of the folder: its name, the raw answer, and what is expected.
pub(super) fn all() -> Vec<(String, String, Value)> {
    let mut names: Vec<String> = fs::read_dir(FOLDER)
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(".expected.json").map(str::to_owned)
        })
        .collect();
    names.sort();
    names
        .into_iter()
        .map(|name| {
            let read = |kind: &str| fs::read_to_string(path(&name, kind)).unwrap();
            let expected = serde_json::from_str(&read("expected")).unwrap();
            (name.clone(), read("answer"), expected)
        })
        .collect()
}

fn path(name: &str, kind: &str) -> PathBuf {
    PathBuf::from(FOLDER).join(format!("{name}.{kind}.json"))
}

impl Landed {
    pub(super) fn write(&self) {
        let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap() + "\n";
        fs::write(path(self.case.name, "answer"), pretty(&self.answer)).unwrap();
        fs::write(
            path(self.case.name, "expected"),
            pretty(&self.case.expected),
        )
        .unwrap();
    }

    pub(super) async fn check(&self) {
        check(
            self.case.name,
            &self.answer.to_string(),
            &self.case.expected,
        )
        .await;
    }
}

/// Reads an answer as the daemon does, records it into a fresh database, and compares every line of it.
pub(super) async fn check(name: &str, answer: &str, expected: &Value) {
    let fetched = Fetched::from_saved(answer).unwrap_or_else(|error| panic!("{name}: {error}"));
    let watch_list = watch_list(expected);
    let read = match &fetched {
        Fetched::NotYet => panic!("{name}: null"),
        Fetched::Unreadable(why) => Err(why.clone()),
        Fetched::Transaction(transaction) => decode(transaction, &watch_list)
            .map(|decoded| (transaction, decoded))
            .map_err(|why| why.to_string()),
    };
    match (read, expected["unreadable"].as_str()) {
        (Err(why), Some(expected)) => assert!(why.contains(expected), "{name}: {why}"),
        (Err(why), None) => panic!("{name}: unreadable: {why}"),
        (Ok((transaction, decoded)), unreadable) => {
            assert_eq!(unreadable, None, "{name}");
            let seen = seen(transaction, &decoded, &watch_list, expected).await;
            for (key, seen) in seen.as_object().unwrap() {
                assert_eq!(seen, &expected[key], "{name}: {key}");
            }
        }
    }
}

/// What paywatch sees, in the words of the file.
async fn seen(
    transaction: &Transaction,
    decoded: &Decoded,
    watch_list: &WatchList,
    expected: &Value,
) -> Value {
    let rules = Rules::new(policy(expected), watch_list.clone());
    let known = Known {
        checkouts: checkouts(expected),
        held_by: BTreeMap::new(),
        asking: Vec::new(),
    };
    let explanation = explain(
        transaction,
        watch_list,
        &Payees::default(),
        Some(&known),
        &rules,
    );
    let verdicts = recorded(transaction, decoded, &rules, &known.checkouts).await;
    let explained: Vec<_> = explanation
        .credits
        .iter()
        .map(|one| one.verdict.clone().unwrap())
        .collect();
    assert_eq!(explained, verdicts, "what is explained is what is recorded");
    for one in &explanation.credits {
        assert!(!one.reason.why.is_empty());
    }
    assert_eq!(explanation.nothing.is_some(), decoded.credits.is_empty());
    if let Some(part) = expected["why"].as_str() {
        let reasons = explanation.credits.iter().map(|one| &one.reason);
        let whys: Vec<_> = reasons
            .chain(&explanation.nothing)
            .map(|reason| &reason.why)
            .collect();
        assert!(
            whys.iter().any(|why| why.contains(part)),
            "{part} in {whys:?}"
        );
    }
    let text = |key: Option<String>| key.map_or(Value::Null, Value::from);
    let credits: Vec<_> = decoded
        .credits
        .iter()
        .zip(&verdicts)
        .map(|(credit, verdict)| {
            let (word, checkout) = match verdict {
                Verdict::Held(reason) => (reason.as_str(), None),
                Verdict::Matched(Matched::Confirm { memo, .. } | Matched::Settled { memo }) => ("matched", Some(memo.as_str().to_owned())),
            };
            json!({ "token_account": credit.token_account.to_string(), "received": credit.received.to_string(),
                    "payer": text(credit.payer.map(|payer| payer.to_string())), "verdict": word, "checkout": text(checkout) })
        })
        .collect();
    let transfers: Vec<_> = decoded
        .transfers
        .iter()
        .map(|transfer| {
            json!({ "source": text(transfer.source.map(|source| source.to_string())), "destination": transfer.destination.to_string(),
                    "authority": transfer.authority.to_string(), "mint": text(transfer.mint.map(|mint| mint.to_string())),
                    "amount": transfer.amount.to_string(), "depth": transfer.depth,
                    "payer": text(transaction.payer_of(transfer).map(|payer| payer.to_string())) })
        })
        .collect();
    let succeeded = expected["failed"] != true;
    let memos: Vec<_> = explanation
        .memos
        .iter()
        .filter(|_| succeeded)
        .map(|said| json!({ "program": said.program.as_str(), "depth": said.depth, "bytes": bs58::encode(&said.bytes).into_string() }))
        .collect();
    let assignment = explanation.assignment.map(|shares| {
        let share = |share: &paywatch::domain::Share| {
            json!([share.piece.amount.to_string(), share.memo.as_str()])
        };
        shares.iter().map(share).collect::<Vec<_>>()
    });
    json!({ "version": transaction.version.as_str(), "credits": credits, "transfers": transfers, "memos": memos, "assignment": assignment })
}

/// The verdicts that recording it comes to, on a real database.
async fn recorded(
    transaction: &Transaction,
    decoded: &Decoded,
    rules: &Rules,
    checkouts: &[Checkout],
) -> Vec<Verdict> {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&format!(
        "sqlite:{}",
        folder.path().join("corpus.db").display()
    ))
    .await
    .unwrap();
    store
        .upsert_checkouts(checkouts, page(), NOW)
        .await
        .unwrap();
    let ingested = Ingested {
        signature: transaction.signature,
        slot: transaction.slot,
        block_time: transaction.block_time,
        reached: Commitment::Confirmed,
        mentions: Vec::new(),
        seen_at: NOW,
        reading: Reading::Decoded(decoded.clone()),
    };
    let recorded = store.record(&[ingested], None, rules, NOW).await.unwrap();
    store.close().await;
    recorded.into_iter().map(|one| one.verdict).collect()
}

pub(super) fn watch_list(expected: &Value) -> WatchList {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap().to_owned();
    expected["watched"]
        .as_array()
        .unwrap()
        .iter()
        .map(|watched| Watched {
            token_account: text(watched, "token_account").parse().unwrap(),
            wallet: text(watched, "wallet").parse().unwrap(),
            mint: text(watched, "mint").parse().unwrap(),
            token_program: TokenProgram::from_id(&text(watched, "token_program").parse().unwrap())
                .unwrap(),
            decimals: Decimals::new(6).unwrap(),
            symbol: text(watched, "mint")[..4].to_owned(),
        })
        .collect()
}

fn checkouts(expected: &Value) -> Vec<Checkout> {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap().to_owned();
    expected["checkouts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| Checkout {
            memo: Memo::parse(&text(one, "memo")).unwrap(),
            amount: Some(BaseUnits(text(one, "amount").parse().unwrap())),
            mint: Some(text(one, "mint").parse().unwrap()),
            recipient: Some(text(one, "recipient").parse().unwrap()),
            status: match one["confirmed_by"].as_str() {
                None => CheckoutStatus::Pending,
                Some(signature) => CheckoutStatus::Confirmed(Some(signature.parse().unwrap())),
            },
            created_at: None,
        })
        .collect()
}

fn policy(expected: &Value) -> Policy {
    Policy {
        amount: match expected["amount"].as_str().unwrap() {
            "exact" => AmountRule::Exact,
            "at_least" => AmountRule::AtLeast,
            other => panic!("{other}"),
        },
        ..Policy::default()
    }
}
