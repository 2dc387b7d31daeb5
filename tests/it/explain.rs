//! `paywatch explain`: what a support person sees of a transaction, with as little set up as there is.

use crate::support::{PRICE, World, eventually, exit_of, said};
use localnet::{Signer, associated};
use serde_json::Value;

/// Runs it in this environment; the JSON it prints, and the text.
fn explain(environment: &[(String, String)], args: &[&str]) -> (Value, String) {
    let args = [&["explain"], args].concat();
    let text = exit_of(environment, &args);
    assert!(text.status.success(), "{}", said(&text));
    let json = exit_of(environment, &[&args[..], &["--json"]].concat());
    (
        serde_json::from_slice(&json.stdout).unwrap(),
        String::from_utf8(text.stdout).unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_rpc_endpoint_is_all_it_needs() {
    let world = World::new().await;
    let payment = world.payment(PRICE, "some-memo\u{1b}[2J");
    let signature = world.net.pay(&payment).await.unwrap().to_string();
    let shop = world.merchant.pubkey().to_string();
    let (json, text) = explain(
        &[],
        &[
            &signature,
            "--rpc",
            &world.net.rpc_url,
            "--recipient",
            &shop,
        ],
    );
    assert_eq!(json["signature"], signature);
    assert_eq!(json["version"], "legacy");
    assert_eq!(json["succeeded"], true);
    assert!(json["slot"].as_u64().unwrap() > 0);
    assert!(
        json["commitment"] == "confirmed" || json["commitment"] == "finalized",
        "{json}"
    );
    let credit = &json["credits"][0];
    let account = associated(&world.merchant.pubkey(), &world.usdc).to_string();
    assert_eq!(credit["token_account"], account);
    assert_eq!(credit["owner"], shop);
    assert_eq!(credit["mint"], world.usdc.address.to_string());
    assert_eq!(credit["token_program"], "Token");
    assert_eq!(
        credit["before"],
        Value::Null,
        "it was created by the payment"
    );
    assert_eq!(credit["after"], PRICE.to_string());
    assert_eq!(credit["received_human"], "19");
    assert_eq!(credit["payer"], world.buyer.pubkey().to_string());
    assert_eq!(credit["verdict"], Value::Null, "no checkouts are known");
    assert_eq!(json["transfers"][0]["depth"], 0);
    assert_eq!(
        json["transfers"][0]["payer"],
        world.buyer.pubkey().to_string()
    );
    assert_eq!(json["memos"][0]["program"], "v3");
    assert_eq!(json["memos"][0]["depth"], 0);
    assert_eq!(json["memos"][0]["text"], "some-memo\u{1b}[2J");
    assert_eq!(json["memos"][0]["bytes_hex"], "736f6d652d6d656d6f1b5b324a");
    for part in [
        "credit of 19 ",
        "not judged",
        "some-memo\\u{1b}[2J",
        "version legacy",
        &account,
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "nothing is executed");
    // Without any recipient, whatever gained counts, and it says so.
    let (json, text) = explain(&[], &[&signature, "--rpc", &world.net.rpc_url]);
    assert_eq!(json["credits"][0]["token_account"], account);
    assert!(text.contains("nothing says what is watched"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_configuration_the_api_says_which_checkout_it_is_and_the_verdict_has_its_reason() {
    let world = World::new().await;
    let checkout = world.checkout(&world.usdc).await;
    let payment = world.payment(PRICE - 1, &checkout.memo);
    let signature = world.net.pay(&payment).await.unwrap().to_string();
    // No daemon has run: there is no database.
    let (json, text) = explain(&world.environment(), &[&signature]);
    assert_eq!(json["credits"][0]["reason"], "underpaid");
    assert_eq!(json["checkouts"][0]["memo"], checkout.memo);
    assert_eq!(json["checkouts"][0]["status"], "pending");
    let why = json["credits"][0]["why"].as_str().unwrap();
    for part in [
        "18.999999 USDC arrived, 19 USDC is due",
        "0.000001 USDC short",
    ] {
        assert!(why.contains(part), "{part} in {why}");
    }
    for part in [
        "held: underpaid",
        "paywatch payments confirm",
        "there is no database",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(!world.database().exists(), "nothing is made");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_database_it_says_what_is_on_record_and_asks_no_api() {
    let mut world = World::new().await;
    let daemon = world.watch(&[]).await;
    let (first, second) = (
        world.checkout(&world.usdc).await,
        world.checkout(&world.usdc).await,
    );
    let (paid, signature) = world.buy().await;
    world.wait_confirmed(&paid, signature).await;
    world.wait_acknowledged(signature).await;
    let mut again = world.payment(PRICE, &paid.memo);
    again.memos_after.push("again".into());
    let again = world.net.pay(&again).await.unwrap();
    world.wait_verdict(again, "already_paid").await;
    let mut several = world.payment(PRICE, &first.memo);
    several.memos_after.push(second.memo.clone());
    let several = world.net.pay(&several).await.unwrap();
    world.wait_verdict(several, "several_checkouts").await;
    world.sandbox.end();

    let environment = world.environment();
    let (json, _) = explain(&environment, &[&signature.to_string()]);
    assert_eq!(json["credits"][0]["verdict"], "matched");
    assert_eq!(json["credits"][0]["checkout"], paid.memo);
    assert_eq!(json["recorded"][0]["state"], "acknowledged");
    let (json, text) = explain(&environment, &[&again.to_string()]);
    assert_eq!(json["credits"][0]["reason"], "already_paid");
    assert!(
        text.contains(&signature.to_string()),
        "says by what it is paid:\n{text}"
    );
    assert!(text.contains("refund the payer"), "{text}");
    let (json, text) = explain(&environment, &[&several.to_string()]);
    assert_eq!(json["credits"][0]["reason"], "several_checkouts");
    assert_eq!(json["assignment"], Value::Null, "either may be meant");
    assert!(
        text.contains("cannot be assigned to them in exactly one way"),
        "{text}"
    );
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_paid_nothing_is_explained_too() {
    let world = World::new().await;
    let checkout = world.checkout(&world.usdc).await;
    let too_much = world.payment(u64::MAX, &checkout.memo);
    let failed = world
        .net
        .land_as(
            localnet::Version::Legacy,
            &world.buyer,
            &[],
            &too_much.instructions().unwrap(),
        )
        .await
        .unwrap();
    let (json, text) = explain(&world.environment(), &[&failed.to_string()]);
    assert_eq!(json["succeeded"], false);
    assert_eq!(json["credits"], serde_json::json!([]));
    assert!(
        text.contains("FAILED") && text.contains("has to pay again"),
        "{text}"
    );

    let stranger = localnet::Keypair::new().pubkey();
    let elsewhere = localnet::Payment::new(&world.buyer, stranger, &world.usdc, 5, &checkout.memo);
    let elsewhere = world.net.pay(&elsewhere).await.unwrap();
    let (_, text) = explain(&world.environment(), &[&elsewhere.to_string()]);
    assert!(
        text.contains("no watched token account gained anything"),
        "{text}"
    );

    let forged = world.net.mint().await.unwrap();
    world
        .net
        .fund(&world.buyer.pubkey(), &forged, PRICE)
        .await
        .unwrap();
    let forged = localnet::Payment::new(
        &world.buyer,
        world.merchant.pubkey(),
        &forged,
        PRICE,
        &checkout.memo,
    );
    let forged = world.net.pay(&forged).await.unwrap();
    let (_, text) = explain(&world.environment(), &[&forged.to_string()]);
    assert!(text.contains("not an accepted token"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_explained_is_said_with_an_exit_code() {
    let world = World::new().await;
    let unknown = "5".repeat(87);
    let output = exit_of(&[], &["explain", &unknown, "--rpc", &world.net.rpc_url]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        said(&output).contains("does not know this transaction"),
        "{}",
        said(&output)
    );
    for (args, code, part) in [
        (vec!["explain"], 64, "SIGNATURE"),
        (
            vec!["explain", "no-signature", "--rpc", "http://127.0.0.1:1"],
            64,
            "no-signature",
        ),
        (vec!["explain", &unknown], 64, "--rpc URL"),
        (
            vec![
                "explain",
                &unknown,
                "--rpc",
                "http://127.0.0.1:1/?key=hunter2",
            ],
            1,
            "http://127.0.0.1:1",
        ),
        (
            vec!["explain", "--file", "/nonexistent/answer.json"],
            1,
            "/nonexistent/answer.json",
        ),
        (vec!["explain", "--file", "Cargo.toml"], 1, "not JSON"),
        (
            vec![
                "explain",
                &unknown,
                "--file",
                "tests/fixtures/transactions/transfer.answer.json",
            ],
            1,
            "holds the transaction",
        ),
    ] {
        let output = exit_of(&[], &args);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{args:?}: {}",
            said(&output)
        );
        assert!(said(&output).contains(part), "{args:?}: {}", said(&output));
        assert!(!said(&output).contains("hunter2"), "{}", said(&output));
    }
}

/// Hostile or broken, every answer of the corpus can be shown, and nothing in it reaches the terminal as it is.
#[test]
fn every_transaction_of_the_corpus_is_explained_from_its_file_and_executes_nothing() {
    let mut shown = 0;
    for entry in std::fs::read_dir("tests/fixtures/transactions").unwrap() {
        let path = entry.unwrap().path();
        let file = path.to_str().unwrap();
        if !file.ends_with(".answer.json") {
            continue;
        }
        for json in [&[][..], &["--json"]] {
            let output = exit_of(&[], &[&["explain", "--file", file], json].concat());
            let text = String::from_utf8(output.stdout.clone()).unwrap();
            let bad = text
                .chars()
                .find(|c| paywatch::domain::is_invisible(*c) && *c != '\n');
            assert_eq!(bad, None, "{file}");
            assert!(
                matches!(output.status.code(), Some(0 | 1)),
                "{file}: {}",
                said(&output)
            );
            assert!(text.contains("why"), "{file}: {text}");
            shown += 1;
        }
    }
    assert!(shown >= 160, "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_does_not_answer_is_noted_and_done_without() {
    let mut world = World::new().await;
    let signature = world.pay(PRICE, "x").await;
    world.sandbox.end();
    let mut environment = world.environment();
    let token = format!("USDC:{}:{}", world.usdc.address, world.merchant.pubkey());
    environment.push(("PAYWATCH__WATCH__TOKENS".into(), token));
    eventually("it explains", async || {
        let (json, text) = explain(&environment, &[&signature.to_string()]);
        json["credits"][0]["reason"] == "unknown_memo"
            && text.contains("the payments API was not asked")
    })
    .await;
}
