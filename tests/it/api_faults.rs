//! A payments API that is down, slow, wrong or forgetful: what is due is confirmed once it is back, with the same pair.

use crate::support::{Mode, Proxy, World, eventually};

/// The API misbehaves while a known checkout is paid, and then no longer.
async fn recovers_from(mode: Mode) {
    let world = World::new().await;
    let api = Proxy::before(&world.api).await;
    let checkout = world.checkout(&world.usdc).await;
    let daemon = world
        .watch(&[("MERCHANT__BASE_URL", &world.api_through(&api))])
        .await;
    api.set(mode);
    let signature = world.pay(checkout.amount, &checkout.memo).await;
    eventually("an attempt fails", async || {
        daemon.log().contains("confirmation not taken")
    })
    .await;
    api.set(Mode::Pass);
    world.wait_confirmed(&checkout, signature).await;
    world.wait_acknowledged(signature).await;
    let calls = world.calls().await;
    assert!(
        calls
            .iter()
            .all(|(memo, hash, _)| *memo == checkout.memo && *hash == signature.to_string()),
        "{calls:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn down() {
    recovers_from(Mode::Cut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answering_500() {
    recovers_from(Mode::Status500).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answering_429() {
    recovers_from(Mode::Status429).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hanging() {
    recovers_from(Mode::Stall).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_after_it_has_applied_the_confirmation() {
    recovers_from(Mode::SwallowAnswers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_stops_confirming_keeps_the_queue_and_says_so() {
    let mut world = World::new().await;
    let checkout = world.checkout(&world.usdc).await;
    let daemon = world.watch(&[]).await;
    world.restart_sandbox(&[], "secret").await;
    let signature = world.pay(checkout.amount, &checkout.memo).await;
    let ops = daemon.ops().await;
    eventually("the daemon is not ready, and says why", async || {
        let answer = reqwest::get(format!("{ops}/readyz")).await.unwrap();
        answer.status() == 503 && answer.text().await.unwrap().contains("refuses the key")
    })
    .await;
    world.wait_verdict(signature, "matched").await;
    assert_eq!(
        world.recorded(signature).await[0].confirmation.as_deref(),
        Some("queued")
    );
    assert!(daemon.terminate().success());

    // With the right key, the queue goes out.
    let _daemon = world.watch(&[("MERCHANT__API_KEY", "secret")]).await;
    world.wait_acknowledged(signature).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_confirmed_by_hand_is_not_confirmed_again() {
    let world = World::new().await;
    let (by_same, by_other) = (
        world.checkout(&world.usdc).await,
        world.checkout(&world.usdc).await,
    );
    let same = world.pay(by_same.amount, &by_same.memo).await;
    assert_eq!(world.put(&by_same.memo, &same.to_string()).await, 200);
    let other = world.pay(by_other.amount, &by_other.memo).await;
    assert_eq!(world.put(&by_other.memo, &other.to_string()).await, 200);
    let mut second = world.payment(by_other.amount, &by_other.memo);
    second.memos_after.push("again".into());
    let again = world.net.pay(&second).await.unwrap();
    let _daemon = world.watch(&[]).await;
    world.wait_verdict(same, "matched").await;
    world.wait_verdict(other, "matched").await;
    world.wait_verdict(again, "already_paid").await;
    assert_eq!(world.calls().await.len(), 2, "only the two made by hand");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_confirmed_by_hand_with_another_payment_holds_the_first_one() {
    let world = World::new().await;
    let api = Proxy::before(&world.api).await;
    let checkout = world.checkout(&world.usdc).await;
    let _daemon = world
        .watch(&[("MERCHANT__BASE_URL", &world.api_through(&api))])
        .await;
    api.set(Mode::Status500);
    let first = world.pay(checkout.amount, &checkout.memo).await;
    world.wait_verdict(first, "matched").await;
    let mut payment = world.payment(checkout.amount, &checkout.memo);
    payment.memos_after.push("again".into());
    let second = world.net.pay(&payment).await.unwrap();
    world.wait_verdict(second, "already_paid").await;
    // A person pastes the second hash. Its history says so, and the API says no to the first.
    assert_eq!(world.put(&checkout.memo, &second.to_string()).await, 200);
    api.set(Mode::Pass);
    world.wait_verdict(first, "already_paid").await;
    world.wait_verdict(second, "matched").await;
    let refused: Vec<_> = world
        .calls()
        .await
        .into_iter()
        .filter(|(_, hash, _)| *hash == first.to_string())
        .collect();
    // The history may tell before the API is asked.
    assert!(refused.len() <= 1, "it is not asked again: {refused:?}");
    assert!(refused.iter().all(|call| call.2 == 409), "{refused:?}");
}
