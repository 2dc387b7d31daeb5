//! The daemon may end at any moment: everything is confirmed once, by one transaction.

use crate::support::{Mode, PATIENCE, Proxy, World, eventually};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn payments_made_while_it_was_stopped_are_confirmed_once_after_the_start() {
    let world = World::new().await;
    let daemon = world.watch(&[]).await;
    let (checkout, signature) = world.buy().await;
    world.wait_confirmed(&checkout, signature).await;
    assert!(daemon.terminate().success());
    let mut missed = Vec::new();
    for _ in 0..5 {
        missed.push(world.buy().await);
    }
    // Hints cannot help: only the sweep that follows the start knows of these.
    let _daemon = world.start(&[]);
    for (checkout, signature) in &missed {
        world.wait_confirmed(checkout, *signature).await;
    }
    assert_eq!(world.calls().await.len(), 6);
    world.assert_no_double_confirm().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_many_moments_it_confirms_all_and_never_twice() {
    let world = World::new().await;
    let mut bought = Vec::new();
    for round in 0..8_u64 {
        let daemon = world.start(&[]);
        // A different moment each round: before it watches, while it fetches, around the confirm call, after it.
        let moment = Duration::from_millis(60 * round);
        if round % 2 == 0 {
            daemon.wait_until_ready().await;
        }
        bought.push(world.buy().await);
        tokio::time::sleep(moment).await;
        daemon.kill();
    }
    let _daemon = world.watch(&[]).await;
    for (checkout, signature) in &bought {
        world.wait_confirmed(checkout, *signature).await;
    }
    world.assert_no_double_confirm().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_the_call_and_its_answer_it_sends_the_same_pair_again() {
    let world = World::new().await;
    let api = Proxy::before(&world.api).await;
    let base = world.api_through(&api);
    let checkout = world.checkout(&world.usdc).await;
    let daemon = world
        .watch(&[
            ("MERCHANT__BASE_URL", &base),
            ("MERCHANT__POLL_EVERY", "1h"),
        ])
        .await;
    eventually("the checkout is known", async || {
        world.store().await.count_checkouts().await.unwrap().1 == 1
    })
    .await;
    api.set(Mode::SwallowAnswers);
    let signature = world.pay(checkout.amount, &checkout.memo).await;
    eventually("the API has been told", async || {
        !world.calls().await.is_empty()
    })
    .await;
    daemon.kill();
    api.set(Mode::Pass);
    let _daemon = world.watch(&[("MERCHANT__BASE_URL", &base)]).await;
    world.wait_acknowledged(signature).await;
    let calls = world.calls().await;
    assert!(
        calls
            .iter()
            .all(|(memo, hash, status)| (memo, hash, *status)
                == (&checkout.memo, &signature.to_string(), 200)),
        "{calls:?}"
    );
    world.assert_no_double_confirm().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_the_confirmation_under_way_finish() {
    let world = World::new().await;
    let api = Proxy::before(&world.api).await;
    let base = world.api_through(&api);
    let checkout = world.checkout(&world.usdc).await;
    let mut daemon = world
        .watch(&[
            ("MERCHANT__BASE_URL", &base),
            ("MERCHANT__REQUEST_TIMEOUT", "8s"),
            ("MERCHANT__POLL_EVERY", "1h"),
        ])
        .await;
    api.set(Mode::Stall);
    let signature = world.pay(checkout.amount, &checkout.memo).await;
    world.wait_verdict(signature, "matched").await;
    daemon.signal("TERM");
    assert!(
        daemon.wait_for_exit(Duration::from_millis(500)).is_none(),
        "it waits for the answer"
    );
    api.set(Mode::Pass);
    assert!(daemon.wait_for_exit(PATIENCE).unwrap().success());
    assert_eq!(world.session(&checkout.memo).await["status"], 1);
    assert_eq!(
        world.recorded(signature).await[0].confirmation.as_deref(),
        Some("acknowledged")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_ends_within_ten_seconds_and_a_second_signal_at_once() {
    let world = World::new().await;
    let api = Proxy::before(&world.api).await;
    let base = world.api_through(&api);
    let changes = [
        ("MERCHANT__BASE_URL", base.as_str()),
        ("MERCHANT__REQUEST_TIMEOUT", "60s"),
        ("MERCHANT__POLL_EVERY", "1h"),
    ];
    for second_signal in [false, true] {
        let checkout = world.checkout(&world.usdc).await;
        api.set(Mode::Pass);
        let mut daemon = world.watch(&changes).await;
        api.set(Mode::Stall);
        let signature = world.pay(checkout.amount, &checkout.memo).await;
        world.wait_verdict(signature, "matched").await;
        daemon.signal("TERM");
        assert!(daemon.wait_for_exit(Duration::from_millis(300)).is_none());
        if second_signal {
            daemon.signal("INT");
            let status = daemon
                .wait_for_exit(Duration::from_secs(2))
                .expect("it stops at once");
            assert_eq!(status.code(), Some(1));
        } else {
            assert!(
                daemon
                    .wait_for_exit(Duration::from_secs(10))
                    .expect("it stops within ten seconds")
                    .success()
            );
        }
    }
}
