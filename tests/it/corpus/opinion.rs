//! The second opinion: what the network itself says of a transaction, beside what is expected of paywatch.

use super::fixture::Landed;
use serde_json::{Value, json};

impl Landed {
    /// The credits are what the accounts' balances grew by on that chain; or the file says why not.
    pub(super) fn compare_balances(&self, before: &[u64], after: &[u64]) {
        let expected = &self.case.expected;
        let ours: Vec<u64> = expected["watched"]
            .as_array()
            .unwrap()
            .iter()
            .map(|watched| {
                let of_account =
                    |credit: &&Value| credit["token_account"] == watched["token_account"];
                let credit = expected["credits"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .find(of_account);
                credit.map_or(0, |credit| {
                    credit["received"].as_str().unwrap().parse().unwrap()
                })
            })
            .collect();
        let grown: Vec<u64> = before
            .iter()
            .zip(after)
            .map(|(before, after)| after.saturating_sub(*before))
            .collect();
        self.differ("balance", &json!(ours), &json!(grown));
    }

    /// The transfers are those that the network's own parser lists; or the file says why not.
    pub(super) fn compare_parsed(&self, parsed: &Value) {
        let succeeded = parsed["meta"]["err"].is_null();
        let theirs: Vec<Value> = executed(parsed)
            .into_iter()
            .filter(|_| succeeded)
            .filter_map(transfer)
            .collect();
        let ours: Vec<Value> = self.case.expected["transfers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| {
                json!([
                    one["source"],
                    one["destination"],
                    one["authority"],
                    one["mint"],
                    one["amount"]
                ])
            })
            .collect();
        self.differ("parsed", &json!(ours), &json!(theirs));
    }

    fn differ(&self, view: &str, ours: &Value, theirs: &Value) {
        let name = self.case.name;
        match self.case.expected["differences"][view].as_str() {
            None => assert_eq!(ours, theirs, "{name}: {view}: ours, the network's"),
            Some(why) => assert_ne!(
                ours, theirs,
                "{name}: {view}: no difference, although the file says: {why}"
            ),
        }
    }
}

/// Parsed instructions in order of execution.
fn executed(parsed: &Value) -> Vec<&Value> {
    let list = |value: &'_ Value| value.as_array().map_or(0, Vec::len);
    let outer = &parsed["transaction"]["message"]["instructions"];
    let mut all = Vec::new();
    for index in 0..list(outer) {
        all.push(&outer[index]);
        for group in parsed["meta"]["innerInstructions"]
            .as_array()
            .into_iter()
            .flatten()
        {
            if group["index"] == index {
                all.extend(group["instructions"].as_array().unwrap());
            }
        }
    }
    all
}

/// A transfer in the node's words: `[source, destination, authority, mint, amount]`.
fn transfer(instruction: &Value) -> Option<Value> {
    let program = instruction["program"].as_str()?;
    if program != "spl-token" && program != "spl-token-2022" {
        return None;
    }
    let (kind, info) = (
        instruction["parsed"]["type"].as_str()?,
        &instruction["parsed"]["info"],
    );
    let first = |keys: &[&str]| {
        keys.iter()
            .map(|key| info[*key].clone())
            .find(|value| !value.is_null())
            .unwrap_or_default()
    };
    let amount = match &info["tokenAmount"]["amount"] {
        Value::Null => info["amount"].clone(),
        amount => amount.clone(),
    };
    let authority = first(&[
        "authority",
        "multisigAuthority",
        "mintAuthority",
        "multisigMintAuthority",
    ]);
    match kind {
        "transfer" | "transferChecked" | "transferCheckedWithFee" => Some(json!([
            info["source"],
            info["destination"],
            authority,
            info["mint"],
            amount
        ])),
        "mintTo" | "mintToChecked" => Some(json!([
            null,
            info["account"],
            authority,
            info["mint"],
            amount
        ])),
        _ => None,
    }
}
