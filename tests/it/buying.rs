//! The steps before the payment, on the command line.

use crate::support::server::{Said, Server};
use crate::support::{Child, World, changed, eventually, exit_of, said, scanned};
use serde_json::{Value, json};

/// What a command prints as JSON, which must go well.
fn told(environment: &[(String, String)], args: &[&str]) -> Value {
    let output = exit_of(environment, &[args, &["--json"]].concat());
    assert!(output.status.success(), "{args:?}: {}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refused(environment: &[(String, String)], args: &[&str], code: i32) -> String {
    let output = exit_of(environment, args);
    assert_eq!(output.status.code(), Some(code), "{args:?}");
    assert!(output.stdout.is_empty(), "{}", said(&output));
    said(&output)
}

#[tokio::test(flavor = "multi_thread")]
async fn from_plans_and_tokens_to_a_confirmed_checkout() {
    let world = World::new().await;
    let environment = world.environment();
    assert_eq!(told(&environment, &["plans"])[0]["id"], 11);
    let listed = exit_of(&environment, &["plans"]);
    assert!(said(&listed).contains("Starter"), "{}", said(&listed));
    let tokens = told(&environment, &["tokens"]);
    assert_eq!(tokens[0]["symbol"], "USDC");
    assert_eq!(tokens[0]["decimals"], 6);

    let picture = world.folder.path().join("code.png");
    let begin = ["checkout", "--plan", "11", "--token", "usdc"];
    let more = ["--quantity", "2", "--organization", "239", "--qr"];
    let more = [&begin[..], &more, &[picture.to_str().unwrap()]].concat();
    let made = told(&environment, &more);
    let memo = made["memo"].as_str().unwrap();
    assert_eq!(
        (&made["amount"], &made["amount_human"]),
        (&"38000000".into(), &"38".into())
    );
    let url = format!(
        "solana:{}?amount=38&spl-token={}&memo={memo}",
        made["recipient"].as_str().unwrap(),
        world.usdc.address,
    );
    assert_eq!(made["solana_pay_url"], url.as_str());
    assert_eq!(scanned(&std::fs::read(&picture).unwrap()), [url]);
    let drawing = world.folder.path().join("code.svg");
    let text = exit_of(
        &environment,
        &[&begin[..], &["--qr", drawing.to_str().unwrap()]].concat(),
    );
    for part in [
        "send    19 USDC (exactly 19000000 base units",
        "memo",
        "solana:",
        "█",
    ] {
        assert!(said(&text).contains(part), "{part}: {}", said(&text));
    }
    assert!(std::fs::read_to_string(drawing).unwrap().contains("<svg"));
    let pending = told(&environment, &["history", "--status", "pending"]);
    assert_eq!(pending.as_array().unwrap().len(), 2);

    let _daemon = world.watch(&[]).await;
    let waiting = [&begin[..], &["--wait=50s", "--json"]].concat();
    let mut following = Child::command(&world.folder, &environment, &waiting);
    let mut memo = String::new();
    eventually("the checkout is shown", async || {
        let log = following.log();
        let shown: Option<Value> = serde_json::from_str(&log).ok();
        memo = shown.map_or_else(String::new, |shown| {
            shown["memo"].as_str().unwrap().to_owned()
        });
        !memo.is_empty()
    })
    .await;
    let signature = world.pay(19_000_000, &memo).await;
    let status = following.wait_for_exit(std::time::Duration::from_mins(1));
    let log = following.log();
    assert!(status.unwrap().success(), "{log}");
    assert!(
        log.contains("\"stage\": \"confirmed\"") && log.contains(&signature.to_string()),
        "{log}"
    );
    let confirmed = told(&environment, &["history", "--status", "confirmed"]);
    assert_eq!(confirmed[0]["memo"], memo.as_str());
    assert_eq!(confirmed[0]["amount_human"], "19");
    let table = exit_of(&environment, &["history", "--limit", "1"]);
    assert!(
        said(&table).contains("--limit N shows more"),
        "{}",
        said(&table)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_is_paid_wrongly_or_not_at_all_is_not_called_confirmed() {
    let world = World::new().await;
    let environment = world.environment();
    let begin = ["checkout", "--plan", "11", "--token", "USDC"];
    let waited = exit_of(&environment, &[&begin[..], &["--wait=1s"]].concat());
    assert_eq!(waited.status.code(), Some(1));
    assert!(said(&waited).contains("stays payable"), "{}", said(&waited));
    let _daemon = world.watch(&[]).await;
    let mut following = Child::command(
        &world.folder,
        &environment,
        &[&begin[..], &["--wait=50s", "--json"]].concat(),
    );
    let mut memo = None;
    eventually("the checkout is shown", async || {
        memo = serde_json::from_str::<Value>(&following.log()).ok();
        memo.is_some()
    })
    .await;
    let memo = memo.unwrap()["memo"].as_str().unwrap().to_owned();
    world.pay(1_000_000, &memo).await;
    let status = following.wait_for_exit(std::time::Duration::from_mins(1));
    assert_eq!(status.unwrap().code(), Some(2), "{}", following.log());
    assert!(
        following.log().contains("\"reason\": \"underpaid\""),
        "{}",
        following.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_bought_is_refused_with_what_can() {
    let mut world = World::new().await;
    let environment = world.environment();
    let text = refused(
        &environment,
        &["checkout", "--plan", "11", "--token", "DOGE"],
        1,
    );
    assert!(
        text.contains("\"DOGE\"") && text.contains("USDC ("),
        "{text}"
    );
    let text = refused(
        &environment,
        &["checkout", "--plan", "12", "--token", "USDC"],
        1,
    );
    assert!(
        text.contains("404") && text.contains("no such plan"),
        "{text}"
    );
    let text = refused(
        &environment,
        &[
            "checkout",
            "--plan",
            "11",
            "--token",
            "USDC",
            "--quantity",
            "0",
        ],
        64,
    );
    assert!(text.contains("--quantity"), "{text}");
    let text = refused(
        &environment,
        &[
            "checkout", "--plan", "11", "--token", "USDC", "--qr", "code.gif",
        ],
        64,
    );
    assert!(text.contains(".png or .svg"), "{text}");
    let card = [
        "card",
        "--plan",
        "11",
        "--success-url",
        "https://shop.test/yes",
        "--cancel-url",
    ];
    let text = refused(
        &environment,
        &[&card[..], &["javascript:alert(1)"]].concat(),
        64,
    );
    assert!(text.contains("http://… or https://…"), "{text}");
    let link = told(
        &environment,
        &[&card[..], &["https://shop.test/no"]].concat(),
    );
    let link = link["payment_link"].as_str().unwrap();
    let page = world.http.get(link).send().await.unwrap();
    assert!(page.text().await.unwrap().contains("Sandbox card page"));
    let opened = opened_by(
        &world,
        &[&card[..], &["https://shop.test/no", "--open"]].concat(),
    )
    .await;
    assert!(opened.contains("/_sandbox/card/"), "{opened}");
    world.restart_sandbox(&[], "secret").await;
    for command in [&["plans"][..], &["tokens"], &["history"]] {
        let text = refused(&environment, command, 1);
        assert!(text.contains("refuses the key"), "{text}");
    }
    let nobody = changed(
        &environment,
        &[("MERCHANT__BASE_URL", "http://127.0.0.1:1")],
    );
    let text = refused(&nobody, &["plans"], 1);
    assert!(text.contains("no connection"), "{text}");
}

/// What a command opens on a desktop.
async fn opened_by(world: &World, args: &[&str]) -> String {
    let bin = world.folder.path().join("bin");
    let opened = bin.join("opened");
    std::fs::create_dir(&bin).unwrap();
    let script = format!("#!/bin/sh\necho \"$1\" > {}\n", opened.display());
    std::fs::write(bin.join("xdg-open"), script).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(bin.join("xdg-open"), executable).unwrap();
    let mut environment = world.environment();
    environment.push(("PATH".into(), bin.display().to_string()));
    let output = exit_of(&environment, args);
    assert!(output.status.success(), "{}", said(&output));
    eventually("something is opened", async || opened.exists()).await;
    eventually("it is told what", async || {
        std::fs::read_to_string(&opened).is_ok_and(|text| text.ends_with('\n'))
    })
    .await;
    std::fs::read_to_string(opened).unwrap()
}

/// What is shown to be paid is what was asked for, or nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_makes_something_else_is_not_paid() {
    let world = World::new().await;
    let (usdc, usdt) = (
        world.usdc.address.to_string(),
        world.usdt.address.to_string(),
    );
    let wallet = world.recipient().to_string();
    let right = json!({ "memo": "ab", "amount": 5, "recipient": wallet, "token": usdc });
    let change = |name: &str, value: Value| {
        let mut made = right.clone();
        made[name] = value;
        made
    };
    for (made, decimals, expected) in [
        (
            change("token", json!(usdt)),
            json!(6),
            "in another token than",
        ),
        (
            change("amount", Value::Null),
            json!(6),
            "is not a checkout with memo, amount",
        ),
        (
            change("amount", json!(0)),
            json!(6),
            "is not a checkout with memo, amount",
        ),
        (
            change("recipient", json!("nobody")),
            json!(6),
            "is not a checkout with memo",
        ),
        (json!("welcome"), json!(6), "is not a checkout with memo"),
        (
            right.clone(),
            Value::Null,
            "does not tell the decimal places",
        ),
    ] {
        let token = |symbol: &str, mint: &str| json!({ "symbol": symbol, "mint": mint, "recipient": wallet, "decimals": decimals, "enabled": true });
        let tokens = json!([token("USDC", &usdc), token("USDT", &usdt)]);
        let api = Server::start(move |asked| match asked.method.as_str() {
            "GET" => Said::Json(tokens.clone()),
            _ => Said::Json(made.clone()),
        })
        .await;
        let environment = changed(
            &world.environment(),
            &[("MERCHANT__BASE_URL", api.url.as_str())],
        );
        let text = refused(
            &environment,
            &["checkout", "--plan", "11", "--token", "USDC"],
            1,
        );
        assert!(text.contains(expected), "{expected}: {text}");
    }
}
