//! Which token accounts are watched, whoever makes more of them and whatever the node refuses to tell.

use crate::support::backend::DUE;
use crate::support::ledger::Entry;
use crate::support::node::error;
use crate::support::scripted::Scripted;
use crate::support::server::Said;
use crate::support::{eventually, exit_of, said, try_eventually};
use paywatch::domain::{Signature, TokenAccount};
use paywatch::pipeline::Pipeline;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The node lists so many accounts that strangers made, and the shop's other one.
fn strangers(scripted: &Scripted, count: u32) {
    scripted.nodes[0].says(move |question, mut honest| {
        if question.method == "getTokenAccountsByOwner" {
            let made = (0..count).map(|number| {
                let mut bytes = [0; 32];
                bytes[..4].copy_from_slice(&number.to_be_bytes());
                json!({ "pubkey": TokenAccount(bytes.into()).to_string() })
            });
            let listed = honest["result"]["value"].as_array_mut().unwrap();
            listed.extend(made);
        }
        Said::Json(honest)
    });
}

/// A new checkout, paid into the shop's other account.
fn buy_aside(scripted: &Scripted) -> (String, Signature) {
    let memo = scripted.checkout();
    let entry = Entry {
        aside: true,
        ..Entry::paid(scripted.chain.slot(), DUE, &memo)
    };
    let signature = scripted.chain.ledger().land(entry);
    (memo, signature)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_accounts_made_by_strangers_cost_a_bounded_number_of_requests() {
    let scripted = Scripted::with(1).await;
    let _running = scripted.chain.run();
    strangers(&scripted, 1_000);
    let pipeline = scripted.pipeline(&[("SOLANA__WS_URLS", "")]).await;
    let _daemon = scripted.run(&pipeline).await;
    let paid = scripted.buy();
    scripted.confirmed("in the flood of accounts", &paid).await;
    let associated = scripted.chain.ledger().shop.account.to_string();
    let node = &scripted.nodes[0];
    let sweeps = || node.asked(&format!("getSignaturesForAddress [\"{associated}"));
    eventually("ten sweeps", async || sweeps() > 10).await;
    let listings = node.asked("getSignaturesForAddress");
    // Those of a sweep under way may be there without that of the associated account.
    let most = (sweeps() + 1) * (32 + 4);
    assert!(listings <= most, "{listings} listings, {most} at most");
    let watching = pipeline.watching();
    assert_eq!(watching.accounts().len(), 1_002, "all of them count");
    assert_eq!(watching.active().count(), 32);
    assert_eq!(watching.turns.listened().len(), 32);
    assert_eq!(watching.turns.in_turn(), 1_002 - 32);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_beyond_the_bound_is_swept_in_turn_and_becomes_active_by_what_it_receives() {
    let scripted = Scripted::with(1).await;
    let _running = scripted.chain.run();
    strangers(&scripted, 40);
    let changes = [("SOLANA__WS_URLS", ""), ("WATCH__MAX_ACCOUNTS", "2")];
    let pipeline = scripted.pipeline(&changes).await;
    let aside = TokenAccount(scripted.chain.ledger().shop.aside);
    let associated = TokenAccount(scripted.chain.ledger().shop.account);
    let daemon = scripted.run(&pipeline).await;
    eventually("it is watched", async || {
        pipeline.watching().accounts().contains(&aside)
    })
    .await;
    let watching = pipeline.watching();
    assert!(watching.turns.is_active(associated) && !watching.turns.is_active(aside));
    let paid = buy_aside(&scripted);
    scripted.confirmed("its turn has come", &paid).await;
    eventually("it is active", async || {
        pipeline.watching().turns.is_active(aside)
    })
    .await;
    drop(daemon);
    // Also after a restart, from the first look on.
    let again = scripted.pipeline(&changes).await;
    let _daemon = scripted.run(&again).await;
    eventually("it is watched again", async || {
        again.watching().accounts().contains(&aside)
    })
    .await;
    assert!(again.watching().turns.is_active(aside));
}

/// A stranger who pays a little into one account after the other must not keep sockets from standing.
#[tokio::test(flavor = "multi_thread")]
async fn only_a_matched_payment_takes_the_place_of_another_subscription() {
    let scripted = Scripted::with(1).await;
    let _running = scripted.chain.run();
    strangers(&scripted, 40);
    let pipeline = scripted.pipeline(&[("WATCH__MAX_ACCOUNTS", "2")]).await;
    let aside = TokenAccount(scripted.chain.ledger().shop.aside);
    let _daemon = scripted.run(&pipeline).await;
    eventually("sockets are open", async || pipeline.open_sockets().0 == 1).await;
    let spam = Entry {
        aside: true,
        ..Entry::paid(scripted.chain.slot(), DUE, "nobody knows")
    };
    scripted.chain.ledger().land(spam);
    eventually("it is swept each time", async || {
        pipeline.watching().turns.is_active(aside)
    })
    .await;
    assert!(!pipeline.watching().turns.is_listened(aside));
    let is_reopened = async || scripted.nodes[0].connections() > 1;
    assert!(!try_eventually(Duration::from_secs(2), is_reopened).await);
    let paid = buy_aside(&scripted);
    scripted.confirmed("it was swept", &paid).await;
    eventually("it is listened to", async || {
        pipeline.watching().turns.is_listened(aside) && scripted.nodes[0].connections() == 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_that_strangers_made_and_closed_cost_nothing_at_the_next_start() {
    let scripted = Scripted::with(1).await;
    let _running = scripted.chain.run();
    strangers(&scripted, 20);
    let changes = [("SOLANA__WS_URLS", ""), ("SOLANA__SWEEP_EVERY", "100ms")];
    let watched = |pipeline: &Pipeline| pipeline.watching().accounts().len();
    let pipeline = scripted.pipeline(&changes).await;
    let daemon = scripted.run(&pipeline).await;
    eventually("all are watched", async || watched(&pipeline) == 22).await;
    scripted.nodes[0].is_honest_again();
    eventually("all are gone", async || watched(&pipeline) == 2).await;
    drop(daemon);
    let again = scripted.pipeline(&changes).await;
    let daemon = scripted.run(&again).await;
    eventually("it watches", async || watched(&again) > 0).await;
    let are_back = async || watched(&again) > 2;
    assert!(!try_eventually(Duration::from_secs(3), are_back).await);
    assert_eq!(
        daemon.store.watched().await.unwrap().len(),
        22,
        "known still"
    );
    // Their owner may make them anew.
    strangers(&scripted, 20);
    eventually("all are back", are_back).await;
}

/// Ways of not listing accounts; the first is a public node's without that index.
type Refusal = fn() -> Said;

const REFUSALS: [(&str, Refusal); 6] = [
    ("-32010", || {
        Said::Json(error(
            -32010,
            "excluded from account secondary indexes; this RPC method unavailable for key",
        ))
    }),
    ("-32601", || Said::Json(error(-32601, "Method not found"))),
    ("403", || Said::Status(403, None)),
    ("503", || Said::Status(503, None)),
    ("429", || Said::Status(429, Some(30))),
    ("-32429", || Said::Json(error(-32429, "rate limited"))),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lists_no_accounts_keeps_the_associated_and_the_known_ones_from_nothing() {
    for (what, refusal) in REFUSALS {
        let scripted = Scripted::with(1).await;
        let _running = scripted.chain.run();
        let refuses = || {
            scripted.nodes[0].says(move |question, honest| {
                let is_listing = question.method == "getTokenAccountsByOwner";
                if is_listing {
                    refusal()
                } else {
                    Said::Json(honest)
                }
            });
        };
        refuses();
        let began = Instant::now();
        let daemon = scripted.watch(&[]).await;
        let paid = scripted.buy();
        scripted.confirmed(what, &paid).await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(8), "{what}: {took:?}");
        drop(daemon);

        scripted.nodes[0].is_honest_again();
        let listed = scripted.watch(&[]).await;
        let aside = buy_aside(&scripted);
        scripted.confirmed(what, &aside).await;
        drop(listed);

        refuses();
        let _daemon = scripted.watch(&[]).await;
        let (paid, aside) = (scripted.buy(), buy_aside(&scripted));
        scripted.confirmed(what, &paid).await;
        scripted.confirmed(what, &aside).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_that_a_node_lists_no_accounts_and_names_the_associated_one() {
    let scripted = Scripted::with(1).await;
    scripted.nodes[0].says(|question, honest| match question.method {
        "getTokenAccountsByOwner" => Said::Json(error(-32010, "unavailable for key")),
        _ => Said::Json(honest),
    });
    let findings = check(&scripted).await;
    let finding = about(&findings, "token accounts for USDC");
    assert_eq!(finding["outcome"], "warning", "{finding}");
    let associated = scripted.chain.ledger().shop.account.to_string();
    let text = finding.to_string();
    for part in [
        &associated,
        "unavailable for key",
        "getTokenAccountsByOwner",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

/// What `check` finds.
async fn check(scripted: &Scripted) -> Vec<Value> {
    let environment = scripted.environment(&[]);
    let args = ["check", "--json"];
    let checked = tokio::task::spawn_blocking(move || exit_of(&environment, &args));
    let output = checked.await.unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)))
}

fn about<'a>(findings: &'a [Value], check: &str) -> &'a Value {
    let mut of_it = findings.iter().filter(|one| one["check"] == check);
    of_it.next().unwrap_or_else(|| panic!("{findings:?}"))
}

/// The API names the shop's token account as a wallet to be paid, beside the shop.
#[tokio::test(flavor = "multi_thread")]
async fn a_recipient_that_is_a_token_account_is_told_of_loudly_and_harms_nobody_else() {
    let scripted = Scripted::with(1).await;
    let _running = scripted.chain.run();
    let shop = scripted.chain.ledger().shop;
    scripted.api_says(move |asked| {
        let token = |symbol: &str, recipient: String| {
            json!({ "symbol": symbol, "mint": shop.mint.to_string(), "recipient": recipient, "decimals": 6, "enabled": true })
        };
        let tokens = json!([token("WRONG", shop.account.to_string()), token("USDC", shop.wallet.to_string())]);
        (asked.url.path() == "/supported_tokens").then_some(Said::Json(tokens))
    });
    let pipeline = scripted.pipeline(&[]).await;
    let _daemon = scripted.run(&pipeline).await;
    let paid = scripted.buy();
    scripted.confirmed("others go on", &paid).await;
    let unwatchable = pipeline.status.unwatchable();
    assert_eq!(unwatchable.len(), 1, "{unwatchable:?}");
    let account = shop.account.to_string();
    for part in [&account, "a token account, not a wallet"] {
        assert!(unwatchable[0].contains(part), "{part} in {unwatchable:?}");
    }
    let watching = pipeline.watching();
    assert!(
        watching
            .accounts()
            .iter()
            .all(|one| one.wallet.0 == shop.wallet)
    );
    let findings = check(&scripted).await;
    let failed: Vec<_> = findings
        .iter()
        .filter(|one| one["outcome"] == "failed")
        .collect();
    assert_eq!(failed.len(), 1, "{findings:?}");
    let text = failed[0].to_string();
    assert!(
        text.contains(&account) && text.contains("not a wallet"),
        "{text}"
    );
}

/// The buyer's wallet application was given the shop's token account as the recipient, and derived an account for it.
#[test]
fn explain_recognises_a_payment_to_a_token_account_as_if_it_were_a_wallet() {
    let file = "tests/fixtures/field/tx-into-account-of-a-token-account.answer.json";
    let wallet = "DUnzHip8r7Mek12GQt3X4krW83xi9nbHXnD7guhDyd2U";
    let account = "AwhT1SqgbKs22bcpMUzpguM2bSdx3dVe8bSSJT1YZvmV";
    let explain = ["explain", "--file", file, "--recipient"];
    let text = said(&exit_of(&[], &[&explain[..], &[wallet]].concat()));
    for part in [
        "No payment arrived",
        account,
        "its owner is our token account",
        "RecoverNested",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let stranger = "8cmtQX9MRVobU9ZgybJrheM7Zz968fYtzXT9X9e6JZim";
    let text = said(&exit_of(&[], &[&explain[..], &[stranger]].concat()));
    assert!(!text.contains("our token account"), "{text}");
}
