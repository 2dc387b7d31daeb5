//! Payments that deserve it are confirmed, however they are made.

use crate::support::{PATIENCE, World, eventually, try_eventually};
use localnet::{Payment, Signer, Version, memo, transfer, transfer_checked};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn usdc_and_usdt_payments_are_confirmed_and_credited() {
    let world = World::new().await;
    let _daemon = world.watch(&[]).await;
    for mint in [&world.usdc, &world.usdt] {
        let checkout = world.checkout(mint).await;
        // The first payment creates the merchant's token account, which nobody had when the watching began.
        let payment = Payment::new(
            &world.buyer,
            world.merchant.pubkey(),
            mint,
            checkout.amount,
            &checkout.memo,
        );
        let signature = world.net.pay(&payment).await.unwrap();
        world.wait_confirmed(&checkout, signature).await;
    }
    assert_eq!(world.credits().await, 3800);
    assert_eq!(world.calls().await.len(), 2, "one call a payment");
}

#[tokio::test(flavor = "multi_thread")]
async fn memo_before_or_after_the_transfer_in_any_case_and_with_space_around_it() {
    let world = World::new().await;
    let _daemon = world.watch(&[]).await;
    let (before, after, loud) = tokio::join!(
        world.checkout(&world.usdc),
        world.checkout(&world.usdc),
        world.checkout(&world.usdc)
    );
    let first = world.pay(before.amount, &before.memo).await;
    let mut payment = world.payment(after.amount, "");
    (payment.memos_before, payment.memos_after) = (vec![], vec![after.memo.clone()]);
    let second = world.net.pay(&payment).await.unwrap();
    let spaced = format!(" {}\n", loud.memo.to_uppercase());
    let third = world.pay(loud.amount, &spaced).await;
    world.wait_confirmed(&before, first).await;
    world.wait_confirmed(&after, second).await;
    world.wait_confirmed(&loud, third).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn legacy_v0_and_v1_transactions_and_plain_transfers() {
    let world = World::new().await;
    let account = world.open_account().await;
    let _daemon = world.watch(&[]).await;
    for version in [
        Version::Legacy,
        Version::V0(vec![account, world.usdc.address]),
        Version::V1,
    ] {
        let checkout = world.checkout(&world.usdc).await;
        let pay = transfer_checked(&world.buyer, &account, &world.usdc, checkout.amount).unwrap();
        let signature = world
            .net
            .land_as(version, &world.buyer, &[], &[pay, memo(&checkout.memo)])
            .await
            .unwrap();
        world.wait_confirmed(&checkout, signature).await;
    }
    let checkout = world.checkout(&world.usdc).await;
    let pay = transfer(&world.buyer, &account, &world.usdc, checkout.amount).unwrap();
    let signature = world
        .net
        .send(&world.buyer, &[], &[memo(&checkout.memo), pay])
        .await
        .unwrap();
    world.wait_confirmed(&checkout, signature).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_the_token_program_names_its_payer() {
    let world = World::new().await;
    let account = world.open_account().await;
    let _daemon = world.watch(&[]).await;
    let checkout = world.checkout(&world.usdc).await;
    let halves = [checkout.amount / 2, checkout.amount - checkout.amount / 2];
    let items =
        halves.map(|amount| transfer_checked(&world.buyer, &account, &world.usdc, amount).unwrap());
    let signature = world
        .net
        .send(
            &world.buyer,
            &[],
            &[memo(&checkout.memo), localnet::batch(&items)],
        )
        .await
        .unwrap();
    world.wait_confirmed(&checkout, signature).await;
    let payer = &world.recorded(signature).await[0].payer;
    assert_eq!(*payer, Some(world.buyer.pubkey().to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_2022_mint_is_watched_at_its_own_associated_account() {
    let world = World::with_program(spl_token_2022_interface::id()).await;
    let _daemon = world.watch(&[]).await;
    let (checkout, signature) = world.buy().await;
    world.wait_confirmed(&checkout, signature).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_websocket_the_sweep_confirms() {
    let world = World::new().await;
    let _daemon = world.start(&[("SOLANA__WS_URLS", "")]);
    let (checkout, signature) = world.buy().await;
    world.wait_confirmed(&checkout, signature).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_token_account_of_the_wallet_is_noticed_without_a_restart() {
    let world = World::new().await;
    let _daemon = world.watch(&[("SOLANA__SWEEP_EVERY", "500ms")]).await;
    let account = world
        .net
        .token_account(&world.buyer, &world.merchant.pubkey(), &world.usdc)
        .await
        .unwrap();
    let checkout = world.checkout(&world.usdc).await;
    let pay = transfer_checked(&world.buyer, &account, &world.usdc, checkout.amount).unwrap();
    let signature = world
        .net
        .send(&world.buyer, &[], &[memo(&checkout.memo), pay])
        .await
        .unwrap();
    world.wait_confirmed(&checkout, signature).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_the_api_lists_later_is_watched_without_a_restart() {
    let mut world = World::new().await;
    let daemon = world.watch(&[("SOLANA__SWEEP_EVERY", "500ms")]).await;
    let mint = world.net.mint().await.unwrap();
    world
        .net
        .fund(&world.buyer.pubkey(), &mint, 1_000_000_000)
        .await
        .unwrap();
    world.restart_sandbox(&[("EURC", &mint)], "").await;
    eventually("it is watched", async || daemon.log().contains("EURC")).await;
    let checkout = world.checkout(&mint).await;
    let payment = Payment::new(
        &world.buyer,
        world.merchant.pubkey(),
        &mint,
        checkout.amount,
        &checkout.memo,
    );
    let signature = world.net.pay(&payment).await.unwrap();
    world.wait_confirmed(&checkout, signature).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn finalized_is_waited_for_where_it_is_asked() {
    let world = World::new().await;
    let _daemon = world.watch(&[("SOLANA__CONFIRM_AT", "finalized")]).await;
    let (checkout, signature) = world.buy().await;
    eventually("it is confirmed", async || {
        let payments = world.recorded(signature).await;
        payments.first().is_some_and(|payment| {
            let confirmation = payment.confirmation.as_deref();
            let is_final = payment.chain_state == "finalized";
            // It is held while its checkout is still to be read.
            let judged = (payment.verdict.as_str(), confirmation);
            let waits = matches!(judged, ("unknown_memo", None) | ("matched", Some("queued")));
            assert!(is_final || waits, "{payment:?}");
            confirmation == Some("acknowledged")
        })
    })
    .await;
    world.wait_confirmed(&checkout, signature).await;
    assert_eq!(world.recorded(signature).await[0].chain_state, "finalized");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_payments_wait_for_finalized_and_small_ones_do_not() {
    let world = World::new().await;
    let _daemon = world
        .watch(&[
            ("POLICY__FINALIZED_ABOVE__USDC", "18.99"),
            ("POLICY__FINALIZED_ABOVE__USDT", "19"),
        ])
        .await;
    let (_, large) = world.buy().await;
    let small = world.checkout(&world.usdt).await;
    let payment = Payment::new(
        &world.buyer,
        world.merchant.pubkey(),
        &world.usdt,
        small.amount,
        &small.memo,
    );
    let signature = world.net.pay(&payment).await.unwrap();
    world.wait_confirmed(&small, signature).await;
    assert_eq!(
        world.recorded(signature).await[0].chain_state,
        "confirmed",
        "the small one did not wait"
    );
    eventually("the large one is confirmed", async || {
        world.recorded(large).await[0].confirmation.as_deref() == Some("acknowledged")
    })
    .await;
    assert_eq!(
        world.recorded(large).await[0].chain_state,
        "finalized",
        "the large one waited"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_from_the_configuration_need_no_list_of_the_api() {
    let world = World::new().await;
    let token = format!("USDC:{}:{}", world.usdc.address, world.merchant.pubkey());
    let _daemon = world.watch(&[("WATCH__TOKENS", &token)]).await;
    let (checkout, signature) = world.buy().await;
    world.wait_confirmed(&checkout, signature).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_payments_is_confirmed_each_exactly_once() {
    const PAYMENTS: usize = 40;
    let world = World::new().await;
    let daemon = world.watch(&[]).await;
    let pairs = world.buy_at_once(PAYMENTS).await;
    let began = Instant::now();
    for (checkout, signature) in &pairs {
        world.wait_confirmed(checkout, *signature).await;
    }
    println!(
        "{PAYMENTS} payments confirmed {:?} after the last was sent",
        began.elapsed()
    );
    assert_eq!(world.calls().await.len(), PAYMENTS);
    world.assert_no_double_confirm().await;
    // A sweep that meets them all again changes nothing.
    eventually("the cursor has passed them", async || {
        let recorded = world
            .store()
            .await
            .payments(&paywatch::store::Filter::newest(100))
            .await
            .unwrap();
        recorded
            .iter()
            .all(|payment| payment.chain_state == "finalized")
    })
    .await;
    assert!(
        !try_eventually(Duration::from_secs(3), async || world.calls().await.len()
            > PAYMENTS)
        .await
    );
    assert!(PATIENCE > Duration::ZERO && daemon.terminate().success());
}
