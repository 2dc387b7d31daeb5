//! Payments that do not deserve it are held, each with its reason, and nothing is confirmed that should not be.

use crate::support::{PRICE, World, eventually};
use localnet::{Keypair, Payment, Signer, associated, memo, transfer_checked};

#[tokio::test(flavor = "multi_thread")]
async fn each_reason_is_reached_and_nothing_is_confirmed() {
    let world = World::new().await;
    let _daemon = world.watch(&[]).await;
    let checkout = world.checkout(&world.usdc).await;
    let other = world.checkout(&world.usdc).await;

    let mut silent = world.payment(PRICE, "");
    silent.memos_before.clear();
    let no_memo = world.net.pay(&silent).await.unwrap();
    let unknown = world.pay(PRICE, "nobody-knows-this").await;
    let mut two = world.payment(PRICE, &checkout.memo);
    two.memos_after.push(other.memo.clone());
    let several = world.net.pay(&two).await.unwrap();
    let wrong_mint = Payment::new(
        &world.buyer,
        world.merchant.pubkey(),
        &world.usdt,
        PRICE,
        &checkout.memo,
    );
    let wrong_token = world.net.pay(&wrong_mint).await.unwrap();
    let underpaid = world.pay(PRICE - 1, &checkout.memo).await;
    let overpaid = world.pay(PRICE + 1, &checkout.memo).await;

    for (signature, verdict) in [
        (no_memo, "no_memo"),
        (unknown, "unknown_memo"),
        (several, "several_checkouts"),
        (wrong_token, "wrong_token"),
        (underpaid, "underpaid"),
        (overpaid, "overpaid"),
    ] {
        world.wait_verdict(signature, verdict).await;
    }
    assert_eq!(world.calls().await, [], "nothing was confirmed");

    // The right payment still gets through, and a second one of the same is one too many.
    let right = world.pay(PRICE, &checkout.memo).await;
    world.wait_confirmed(&checkout, right).await;
    let mut again = world.payment(PRICE, &checkout.memo);
    again.memos_after.push("again".into());
    let already = world.net.pay(&again).await.unwrap();
    world.wait_verdict(already, "already_paid").await;
    assert_eq!(world.calls().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn overpaid_is_confirmed_where_the_operator_allows_it() {
    let world = World::new().await;
    let _daemon = world.watch(&[("POLICY__AMOUNT", "at_least")]).await;
    let checkout = world.checkout(&world.usdc).await;
    let signature = world.pay(PRICE + 5, &checkout.memo).await;
    world.wait_verdict(signature, "matched").await;
    // This sandbox takes exact amounts only: what counts here is that it was asked, with the right pair.
    eventually("the backend is asked", async || {
        !world.calls().await.is_empty()
    })
    .await;
    assert_eq!(world.calls().await[0].1, signature.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memo_that_becomes_known_is_judged_again() {
    let world = World::new().await;
    let daemon = world.watch(&[("MERCHANT__POLL_EVERY", "1h")]).await;
    // The daemon has read the history; this checkout is newer, and only the unknown memo makes it look again.
    let (checkout, signature) = world.buy().await;
    world.wait_confirmed(&checkout, signature).await;
    assert!(
        daemon.log().contains("unknown_memo"),
        "it was unknown at first:\n{}",
        daemon.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_memos_can_be_left_to_the_backend() {
    let world = World::new().await;
    let _daemon = world.watch(&[("POLICY__UNKNOWN_MEMO", "confirm")]).await;
    let signature = world.pay(PRICE, "only-the-backend-knows").await;
    eventually("the backend is asked", async || {
        world.calls().await.first().is_some_and(|(memo, hash, _)| {
            memo == "only-the-backend-knows" && *hash == signature.to_string()
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_transactions_and_moves_between_own_accounts_are_no_payments() {
    let world = World::new().await;
    world
        .net
        .fund(&world.merchant.pubkey(), &world.usdc, 10 * PRICE)
        .await
        .unwrap();
    let own = world
        .net
        .token_account(&world.buyer, &world.merchant.pubkey(), &world.usdc)
        .await
        .unwrap();
    let _daemon = world.watch(&[]).await;
    let checkout = world.checkout(&world.usdc).await;
    let account = associated(&world.merchant.pubkey(), &world.usdc);

    // It pays, names the checkout, and then fails as a whole.
    let stranger = Keypair::new();
    let pay = transfer_checked(&world.buyer, &account, &world.usdc, PRICE).unwrap();
    let fail = transfer_checked(
        &world.buyer,
        &associated(&stranger.pubkey(), &world.usdc),
        &world.usdc,
        PRICE,
    )
    .unwrap();
    let failed = world
        .net
        .land_as(
            localnet::Version::Legacy,
            &world.buyer,
            &[],
            &[memo(&checkout.memo), pay, fail],
        )
        .await
        .unwrap();
    // The merchant moves tokens between two watched accounts, with the memo of an open checkout.
    world.net.airdrop(&world.merchant.pubkey()).await.unwrap();
    let shuffle = transfer_checked(&world.merchant, &own, &world.usdc, PRICE).unwrap();
    let moved = world
        .net
        .send(&world.merchant, &[], &[memo(&checkout.memo), shuffle])
        .await
        .unwrap();

    let (next, signature) = world.buy().await;
    world.wait_confirmed(&next, signature).await;
    let store = world.store().await;
    eventually("the sweep has passed them", async || {
        let cursors = store
            .cursors(paywatch::domain::TokenAccount(account))
            .await
            .unwrap();
        let recorded = world.recorded(signature).await;
        !cursors.is_empty() && recorded[0].chain_state == "finalized"
    })
    .await;
    let recorded = store
        .payments(&paywatch::store::Filter::newest(100))
        .await
        .unwrap();
    assert!(
        recorded
            .iter()
            .all(|payment| payment.signature != failed.to_string()
                && payment.signature != moved.to_string()),
        "{recorded:?}"
    );
    assert_eq!(world.session(&checkout.memo).await["status"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_minted_straight_into_the_account_are_a_payment_without_payer() {
    let world = World::new().await;
    let account = world.open_account().await;
    let _daemon = world.watch(&[]).await;
    let checkout = world.checkout(&world.usdc).await;
    let signature = world
        .net
        .mint_into(&account, &world.usdc, PRICE, &checkout.memo)
        .await
        .unwrap();
    world.wait_confirmed(&checkout, signature).await;
}
