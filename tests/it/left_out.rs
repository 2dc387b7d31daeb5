//! Nodes that leave balances out: what they do not tell is unknown, and asked of others, until somebody tells it.

use crate::support::eventually;
use crate::support::node::{Node, Question};
use crate::support::scripted::{Daemon, Scripted};
use crate::support::server::Said;
use base64::{Engine, prelude::BASE64_STANDARD};
use localnet::Pubkey;
use paywatch::domain::{Signature, Timestamp};
use serde_json::{Value, json};

/// What a node leaves out of an answer of `getTransaction`.
pub(crate) type Omission = fn(&mut Value);

pub(crate) const BALANCES_AFTER: Omission = |meta| meta["postTokenBalances"] = json!([]);

/// The shop's own entry of a list of balances.
fn of_the_shop(list: &mut Value) -> &mut Value {
    let entries = list.as_array_mut().unwrap();
    let is_buyers = |entry: &Value| entry["uiTokenAmount"]["amount"].as_str().unwrap().len() > 15;
    let index = entries.iter().position(|entry| !is_buyers(entry)).unwrap();
    &mut entries[index]
}

fn remove(list: &mut Value) {
    let entry = of_the_shop(list).clone();
    list.as_array_mut().unwrap().retain(|one| *one != entry);
}

const OMISSIONS: [(&str, Omission); 14] = [
    ("balances after", BALANCES_AFTER),
    ("all balances", |meta| {
        meta["preTokenBalances"] = json!([]);
        meta["postTokenBalances"] = json!([]);
    }),
    ("balances before", |meta| {
        meta["preTokenBalances"] = json!([]);
    }),
    ("null for balances", |meta| {
        meta["postTokenBalances"] = Value::Null;
    }),
    ("the entry after", |meta| {
        remove(&mut meta["postTokenBalances"]);
    }),
    ("both entries", |meta| {
        remove(&mut meta["preTokenBalances"]);
        remove(&mut meta["postTokenBalances"]);
    }),
    ("the entry before", |meta| {
        remove(&mut meta["preTokenBalances"]);
    }),
    ("the owner", |meta| {
        of_the_shop(&mut meta["postTokenBalances"])["owner"] = Value::Null;
    }),
    ("the owner's text", |meta| {
        of_the_shop(&mut meta["postTokenBalances"])["owner"] = json!("");
    }),
    ("the mint", |meta| {
        of_the_shop(&mut meta["postTokenBalances"])
            .as_object_mut()
            .unwrap()
            .remove("mint");
    }),
    ("the program", |meta| {
        of_the_shop(&mut meta["postTokenBalances"])
            .as_object_mut()
            .unwrap()
            .remove("programId");
    }),
    ("an index in range", |meta| {
        of_the_shop(&mut meta["postTokenBalances"])["accountIndex"] = json!(250);
    }),
    ("whether it failed", |meta| {
        meta.as_object_mut().unwrap().remove("err");
    }),
    ("which of two is right", |meta| {
        let mut other = of_the_shop(&mut meta["postTokenBalances"]).clone();
        other["uiTokenAmount"]["amount"] = json!("9");
        meta["postTokenBalances"]
            .as_array_mut()
            .unwrap()
            .push(other);
    }),
];

/// From now on the node leaves something out of every transaction.
pub(crate) fn leaves_out(node: &Node, omit: Omission) {
    node.says(move |question: &Question<'_>, mut honest| {
        if question.method == "getTransaction" && !honest["result"].is_null() {
            omit(&mut honest["result"]["meta"]);
        }
        Said::Json(honest)
    });
}

async fn is_held(daemon: &Daemon, signature: Signature) -> bool {
    let payment = daemon.payment(signature).await;
    payment.is_some_and(|payment| payment.verdict == "unreadable")
}

async fn quarantined(daemon: &Daemon) -> usize {
    let all = daemon.store.quarantined(Timestamp(i64::MAX), 99).await;
    all.unwrap().len()
}

/// With hints, and by the sweep alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_endpoint_is_asked_for_what_the_first_leaves_out_for_ever() {
    for sockets in [true, false] {
        let tries = OMISSIONS.map(|(what, omit)| async move {
            let scripted = Scripted::with(2).await;
            let _running = scripted.chain.run();
            leaves_out(&scripted.nodes[0], omit);
            let changes: &[(&str, &str)] = if sockets {
                &[]
            } else {
                &[("SOLANA__WS_URLS", "")]
            };
            let daemon = scripted.watch(changes).await;
            for index in 0..2 {
                let paid = scripted.buy();
                scripted.confirmed(what, &paid).await;
                scripted.swept_past(&daemon, index).await;
                assert!(
                    !is_held(&daemon, paid.1).await,
                    "{what}: read by the second"
                );
            }
            scripted.assert_no_double_confirm();
        });
        futures_util::future::join_all(tries).await;
    }
}

/// With a single endpoint the payment is held and said to be unreadable, the sweep goes on, and it is confirmed as soon as the
/// node tells all.
#[tokio::test(flavor = "multi_thread")]
async fn without_another_endpoint_it_is_held_until_the_node_tells_all() {
    let tries = OMISSIONS.map(|(what, omit)| async move {
        let scripted = Scripted::with(1).await;
        let _running = scripted.chain.run();
        leaves_out(&scripted.nodes[0], omit);
        let daemon = scripted.watch(&[]).await;
        let poor = scripted.buy();
        daemon.judges(poor.1, "unreadable").await;
        scripted.swept_past(&daemon, 0).await;
        assert_eq!(quarantined(&daemon).await, 1, "{what}");
        scripted.nodes[0].is_honest_again();
        scripted.confirmed(what, &poor).await;
        let next = scripted.buy();
        scripted.confirmed(what, &next).await;
        eventually(what, async || quarantined(&daemon).await == 0).await;
        scripted.assert_no_double_confirm();
    });
    futures_util::future::join_all(tries).await;
}

/// Both leave it out at first. Then the one that is asked last becomes well: the retry asks it, not the preferred one alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_asks_every_endpoint() {
    let scripted = Scripted::with(2).await;
    let _running = scripted.chain.run();
    for node in &scripted.nodes {
        leaves_out(node, OMISSIONS[0].1);
    }
    let daemon = scripted.watch(&[]).await;
    let paid = scripted.buy();
    daemon.judges(paid.1, "unreadable").await;
    scripted.nodes[1].is_honest_again();
    scripted.confirmed("by the second endpoint", &paid).await;
}

/// One node gives the payment as one to another account: it does not name the account for whose history the node lists it.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_does_not_name_the_account_it_is_listed_for_cannot_be_read() {
    for sockets in [true, false] {
        let scripted = Scripted::with(2).await;
        let _running = scripted.chain.run();
        let shop = scripted.chain.ledger().shop.account;
        for node in &scripted.nodes {
            node.says(move |question: &Question<'_>, mut honest| {
                if question.method == "getTransaction" && !honest["result"].is_null() {
                    rename(&mut honest["result"], &shop);
                }
                Said::Json(honest)
            });
        }
        let changes: &[(&str, &str)] = if sockets {
            &[]
        } else {
            &[("SOLANA__WS_URLS", "")]
        };
        let daemon = scripted.watch(changes).await;
        let paid = scripted.buy();
        daemon.judges(paid.1, "unreadable").await;
        scripted.swept_past(&daemon, 0).await;
        scripted.nodes[1].is_honest_again();
        scripted.confirmed("read by the second", &paid).await;
        let next = scripted.buy();
        scripted.confirmed("asked of the second", &next).await;
        assert!(!is_held(&daemon, next.1).await, "at once");
        scripted.assert_no_double_confirm();
    }
}

/// Puts another key in the place of an account's.
fn rename(result: &mut Value, account: &Pubkey) {
    let other = Pubkey::new_from_array([9; 32]);
    let bytes = result["transaction"][0].as_str().unwrap();
    let mut bytes = BASE64_STANDARD.decode(bytes).unwrap();
    let at = bytes.windows(32).position(|one| one == account.as_ref());
    if let Some(at) = at {
        bytes[at..at + 32].copy_from_slice(other.as_ref());
    }
    result["transaction"][0] = BASE64_STANDARD.encode(bytes).into();
    let loaded = result["meta"]["loadedAddresses"]["writable"].as_array_mut();
    for key in loaded.unwrap() {
        if *key == account.to_string() {
            *key = other.to_string().into();
        }
    }
}
