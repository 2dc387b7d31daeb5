//! The sandbox refuses what an honest backend refuses.

use crate::support::{PRICE, World};
use localnet::{Keypair, Payment, Signer};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn confirm_takes_the_right_payment_once_and_nothing_else() {
    let world = World::new().await;
    let (checkout, other) = (
        world.checkout(&world.usdc).await,
        world.checkout(&world.usdc).await,
    );
    let right = world.pay(PRICE, &checkout.memo).await.to_string();
    let short = world.pay(PRICE - 1, &checkout.memo).await.to_string();
    let mut silent = world.payment(PRICE, "");
    silent.memos_before.clear();
    let no_memo = world.net.pay(&silent).await.unwrap().to_string();
    let usdt = Payment::new(
        &world.buyer,
        world.merchant.pubkey(),
        &world.usdt,
        PRICE,
        &checkout.memo,
    );
    let wrong_mint = world.net.pay(&usdt).await.unwrap().to_string();
    let stranger = Payment::new(
        &world.buyer,
        Keypair::new().pubkey(),
        &world.usdc,
        PRICE,
        &checkout.memo,
    );
    let wrong_wallet = world.net.pay(&stranger).await.unwrap().to_string();
    let unknown = localnet::Signature::from([7; 64]).to_string();

    assert_eq!(world.put("nobody", &right).await, 404);
    assert_eq!(world.put(&checkout.memo, "not-a-signature").await, 422);
    assert_eq!(world.put(&checkout.memo, &unknown).await, 404);
    for wrong in [&short, &no_memo, &wrong_mint, &wrong_wallet] {
        assert_eq!(world.put(&checkout.memo, wrong).await, 422);
    }
    assert_eq!(
        world.put(&other.memo, &right).await,
        422,
        "the memo names another checkout"
    );
    assert_eq!(world.put(&checkout.memo, &right).await, 200);
    assert_eq!(
        world.put(&checkout.memo, &right).await,
        200,
        "the same pair again"
    );
    assert_eq!(
        world.put(&checkout.memo, &short).await,
        409,
        "a second transaction"
    );
    assert_eq!(world.credits().await, 1900, "credited once");
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_tokens_and_a_card_payment_with_its_redirects() {
    let world = World::new().await;
    let get = async |path: &str| -> Value {
        world
            .http
            .get(format!("{}/{path}", world.api))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    };
    assert_eq!(get("credit_plans").await[0]["id"], 11);
    let tokens = get("supported_tokens").await;
    assert_eq!(tokens[0]["mint"], world.usdc.address.to_string());
    assert_eq!(
        (&tokens[0]["decimals"], &tokens[0]["enabled"]),
        (&6.into(), &true.into())
    );

    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    for (choice, target, status) in [
        ("cancel", "http://shop.test/no", 0),
        ("decline", "", 0),
        ("challenge", "", 0),
        ("fail", "", 0),
        ("authenticate", "http://shop.test/yes", 1),
        ("pay", "http://shop.test/yes", 1),
    ] {
        let body = json!({ "credit_plan_id": 11, "success_url": "http://shop.test/yes", "cancel_url": "http://shop.test/no" });
        let answer = client
            .post(format!("{}/credit_card", world.api))
            .json(&body)
            .send()
            .await
            .unwrap();
        let link: Value = answer.error_for_status().unwrap().json().await.unwrap();
        let link = link["payment_link"].as_str().unwrap();
        let page = client
            .get(link)
            .send()
            .await
            .unwrap()
            .error_for_status()
            .unwrap()
            .text()
            .await
            .unwrap();
        assert!(
            page.contains("/pay\"") && page.contains("1900 credits"),
            "{page}"
        );
        let pressed = client.post(format!("{link}/{choice}")).send();
        let pressed = pressed.await.unwrap();
        let location = pressed.headers().get("location").cloned();
        assert_eq!(
            location.as_ref().map_or(&b""[..], |to| to.as_bytes()),
            target.as_bytes()
        );
        if target.is_empty() {
            let page = pressed.text().await.unwrap();
            assert!(page.contains("role=\"alert\""), "{page}");
        }
        assert_eq!(
            world.session(link.rsplit('/').next().unwrap()).await["status"],
            status
        );
    }
    let bad = json!({ "credit_plan_id": 11, "success_url": "javascript:alert(1)", "cancel_url": "http://shop.test/no" });
    assert_eq!(
        client
            .post(format!("{}/credit_card", world.api))
            .json(&bad)
            .send()
            .await
            .unwrap()
            .status(),
        400
    );
    for query in [
        "credit_plan_id=12&token=",
        "credit_plan_id=11&token=x",
        "credit_plan_id=11&quantity=0&token=",
    ] {
        let query = if query.ends_with("token=") {
            format!("{query}{}", world.usdc.address)
        } else {
            query.to_owned()
        };
        let status = client
            .post(format!("{}/crypto/checkout?{query}", world.api))
            .send()
            .await
            .unwrap()
            .status();
        assert!(status.is_client_error(), "{query}: {status}");
    }
}
