//! What a buyer sees while paying, and how a backend hands checkouts over.

use crate::support::{Browser, Child, World, scanned};
use reqwest::StatusCode;
use serde_json::{Value, json};

/// A daemon with pages for buyers that reads the history at its start, and then not for an hour.
async fn with_pay_pages(world: &World) -> (Child, String) {
    let file = world.folder.path().join("token");
    std::fs::write(&file, "open sesame\n").unwrap();
    let settings = [
        ("OPS__TOKEN_FILE", file.to_str().unwrap()),
        ("OPS__PAY_PAGES", "true"),
        ("MERCHANT__POLL_EVERY", "1h"),
    ];
    let daemon = world.watch(&settings).await;
    let root = daemon.ops().await;
    (daemon, root)
}

/// Hands something over with this token; returns status and answer.
async fn hand_over(world: &World, root: &str, token: &str, body: &str) -> (StatusCode, Value) {
    let request = world.http.post(format!("{root}/v1/checkouts"));
    let request = request.bearer_auth(token).body(body.to_owned());
    let answer = request.send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    (status, serde_json::from_str(&text).unwrap_or(text.into()))
}

/// As the API answered it.
fn as_made(world: &World, memo: &str, amount: u64) -> Value {
    let recipient = world.recipient().to_string();
    json!({ "memo": memo, "amount": amount, "recipient": recipient, "token": world.usdc.address.to_string() })
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_qr_code_to_confirmed() {
    let world = World::new().await;
    let (_daemon, root) = with_pay_pages(&world).await;
    let checkout = world.checkout(&world.usdc).await;
    let made = as_made(&world, &checkout.memo, checkout.amount);
    let (status, answer) = hand_over(&world, &root, "open sesame", &made.to_string()).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let browser = Browser::on_a_phone(&root).await;
    browser.goto(answer["pay_page"].as_str().unwrap()).await;
    browser.sees("Waiting for your payment").await;
    browser.sees("Payment of 19 USDC").await;
    browser.sees("a private Solana network").await;
    browser.picture("pay").await;
    // What a camera sees of it is what is paid.
    let codes = scanned(&browser.screen().await);
    assert_eq!(codes.len(), 1, "{codes:?}");
    let link = "return document.querySelector('a.main').getAttribute('href')";
    assert_eq!(browser.evaluate(link).await, codes[0].as_str());
    browser.click("Copy").await;
    browser.sees_any(&["Copied", "Selected"]).await;
    let select = "getSelection().selectAllChildren(document.querySelector('#live .key'))";
    browser.evaluate(select).await;
    let signature = world.net.pay_url(&world.buyer, &codes[0]).await.unwrap();
    world.wait_confirmed(&checkout, signature).await;
    // What is selected is not taken away, and what came meanwhile not forgotten.
    let kept = "return document.querySelector('main').innerText.includes('Open in a wallet')";
    assert_eq!(browser.evaluate(kept).await, true);
    browser.evaluate("getSelection().removeAllRanges()").await;
    browser.sees("Your payment is confirmed").await;
    browser.sees(&signature.to_string()).await;
    assert!(!browser.text().await.contains("Open in a wallet"));
    browser.picture("paid").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_pays_wrongly_is_told_kindly_and_nothing_of_others() {
    let world = World::new().await;
    let (_daemon, root) = with_pay_pages(&world).await;
    let (one, other) = (
        world.checkout(&world.usdc).await,
        world.checkout(&world.usdc).await,
    );
    let browser = Browser::open(&root).await;
    let page = format!("/pay/{}", one.memo);
    browser.goto(&page).await;
    browser.sees("not known (yet)").await;
    for checkout in [&one, &other] {
        let made = as_made(&world, &checkout.memo, checkout.amount);
        hand_over(&world, &root, "open sesame", &made.to_string()).await;
    }
    // Loaded again by itself.
    browser.sees("Waiting for your payment").await;
    let mut payment = world.payment(one.amount, &one.memo);
    payment.memos_after.push(other.memo.clone());
    let signature = world.net.pay(&payment).await.unwrap();
    browser.sees("it names more than one purchase").await;
    browser.sees(&signature.to_string()).await;
    browser.picture("pay-needs-help").await;
    let source = "return document.documentElement.outerHTML";
    let source = browser.evaluate(source).await;
    assert!(!source.as_str().unwrap().contains(&other.memo));
    // The operator's pages are not opened by it.
    browser.goto("/payments").await;
    browser.sees("Your name").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn checkouts_are_handed_over_once_by_who_may_and_match_without_a_poll() {
    let world = World::new().await;
    let (_daemon, root) = with_pay_pages(&world).await;
    // The API's history does not have it: what matches, matches by what was handed over.
    let made = as_made(&world, "handed-over", 5_000_000);
    let text = made.to_string();
    let (status, _) = hand_over(&world, &root, "a guess", &text).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let early = world
        .net
        .pay(&world.payment(5_000_000, "handed-over"))
        .await;
    let early = early.unwrap();
    world.wait_verdict(early, "unknown_memo").await;
    let (status, answer) = hand_over(&world, &root, "open sesame", &text).await;
    assert_eq!(
        (status, &answer["checkout"]),
        (StatusCode::CREATED, &"new".into())
    );
    assert_eq!(answer["watched"], true);
    world.wait_verdict(early, "matched").await;
    let (status, answer) = hand_over(&world, &root, "open sesame", &text).await;
    assert_eq!(
        (status, &answer["checkout"]),
        (StatusCode::OK, &"known".into())
    );
    for (change, value, expected) in [
        ("amount", json!(6_000_000), StatusCode::CONFLICT),
        (
            "token",
            json!(world.usdt.address.to_string()),
            StatusCode::CONFLICT,
        ),
        ("amount", json!(0), StatusCode::UNPROCESSABLE_ENTITY),
        ("amount", json!(1.5), StatusCode::UNPROCESSABLE_ENTITY),
        (
            "recipient",
            json!("nobody"),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        ("token", Value::Null, StatusCode::UNPROCESSABLE_ENTITY),
        ("memo", json!(" "), StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let mut changed = made.clone();
        changed[change] = value.clone();
        let (status, answer) = hand_over(&world, &root, "open sesame", &changed.to_string()).await;
        assert_eq!(status, expected, "{change} {value}: {answer}");
        assert!(answer["error"].is_string());
    }
    let (status, _) = hand_over(&world, &root, "open sesame", "memo=1").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(answer["pay_page"], "/pay/handed-over");

    let page = format!("{root}/pay/handed-over");
    let mut statuses = Vec::new();
    for _ in 0..60 {
        statuses.push(world.http.get(&page).send().await.unwrap().status());
    }
    assert_eq!(statuses[0], StatusCode::OK);
    assert!(statuses.contains(&StatusCode::TOO_MANY_REQUESTS));
    let plain = world.start(&[]);
    let root = plain.ops().await;
    let off = world.http.get(format!("{root}/pay/handed-over"));
    assert_eq!(off.send().await.unwrap().status(), StatusCode::NOT_FOUND);
    let (status, _) = hand_over(&world, &root, "open sesame", &text).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "actions are off");
}
