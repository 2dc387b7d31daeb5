//! Ways money moves, or does not, with the classic token program.

use super::case::{DUE, Move};
use super::fixture::Landed;
use super::studio::Studio;
use localnet::{Signer, associated, batch, create_associated};
use spl_token_2022_interface::instruction as token;

pub(super) async fn land(studio: &Studio) -> Vec<Landed> {
    let cast = studio.cast;
    let (shop, buyer) = (cast.shop, cast.buyer);
    let pays = cast.pays(DUE);
    let mut all = vec![
        studio.land(studio.case("transfer", "Transfer, which names no mint, after its memo")
            .say().moves(pays, None, 0).step(pays.plain()).matched(cast.shop_usdc, DUE, Some(buyer))).await,
        studio.land(studio.paid("transfer-checked", "TransferChecked after its memo, as most wallets pay")).await,
        studio.land(studio.case("several-transfers-to-one-account", "Two transfers that together are what is due")
            .say().send(cast.pays(DUE - 9)).send(cast.pays(9)).matched(cast.shop_usdc, DUE, Some(buyer))).await,
        studio.land(studio.paid("usdc-and-usdt", "One memo, both tokens: the USDC checkout is paid, the USDT is in the wrong token")
            .send(cast.pays_usdt(DUE)).held(cast.shop_usdt, DUE, Some(buyer), "wrong_token")).await,
        studio.land(studio.case("zero-amount", "A transfer of nothing").say().send(cast.pays(0))).await,
        studio.land(studio.case("dust", "One base unit with the memo of an open checkout")
            .say().send(cast.pays(1)).held(cast.shop_usdc, 1, Some(buyer), "underpaid")).await,
    ];
    let to_itself = Move {
        source: cast.shop_usdc,
        authority: shop,
        payer: shop,
        ..pays
    };
    let back = Move {
        source: cast.shop_usdc,
        destination: cast.buyer_usdc,
        authority: shop,
        payer: shop,
        ..pays
    };
    all.extend([
        studio
            .land_by(
                studio
                    .case("self-transfer", "The shop's account to itself")
                    .say()
                    .send(to_itself),
                &studio.shop,
            )
            .await,
        studio
            .land_as(
                studio
                    .case("round-trip", "There and back again in one transaction")
                    .say()
                    .send(pays)
                    .send(back),
                localnet::Version::Legacy,
                &studio.buyer,
                &[&studio.shop],
            )
            .await,
        studio
            .land_by(
                studio
                    .case("outgoing", "A refund, with the memo of an open checkout")
                    .with("why", "sent tokens away")
                    .say()
                    .send(back),
                &studio.shop,
            )
            .await,
        studio
            .land_by(
                studio
                    .case("burned", "The shop burns tokens of its own")
                    .say()
                    .step(
                        token::burn(&spl_token::id(), &cast.shop_usdc, &cast.usdc, &shop, &[], 5)
                            .unwrap(),
                    ),
                &studio.shop,
            )
            .await,
    ]);
    all.extend(created(studio).await);
    all.extend(batches(studio).await);
    all.extend(minted(studio).await);
    all
}

/// Accounts that the transaction itself creates, and a second account of the same wallet.
async fn created(studio: &Studio) -> Vec<Landed> {
    let cast = studio.cast;
    let (buyer, fresh) = (cast.buyer, studio.key("fresh shop").pubkey());
    let account = associated(&fresh, &studio.usdc);
    let into_new = Move {
        destination: account,
        ..cast.pays(DUE)
    };
    let in_fresh = super::case::Case::new(
        "account-created-in-the-transaction",
        "The first payment to a wallet creates its token account",
        &[(account, fresh, cast.usdc, spl_token::id())],
    )
    .checkout(DUE, cast.usdc, fresh)
    .step(create_associated(&buyer, &fresh, &studio.usdc))
    .say()
    .send(into_new)
    .matched(account, DUE, Some(buyer));

    let second = studio
        .net
        .token_account(&studio.buyer, &cast.shop, &studio.usdc)
        .await
        .unwrap();
    let watched = [
        (cast.shop_usdc, cast.shop, cast.usdc, spl_token::id()),
        (second, cast.shop, cast.usdc, spl_token::id()),
    ];
    let into_second = |amount| Move {
        destination: second,
        ..cast.pays(amount)
    };
    // Credits are judged in the order of their addresses.
    let late = if cast.shop_usdc < second {
        "already_paid"
    } else {
        "underpaid"
    };
    let both = |name, about| {
        super::case::Case::new(name, about, &watched)
            .checkout(DUE, cast.usdc, cast.shop)
            .say()
    };
    let shuffle = Move {
        source: cast.shop_usdc,
        destination: second,
        authority: cast.shop,
        payer: cast.shop,
        ..cast.pays(DUE)
    };
    vec![
        studio.land(in_fresh).await,
        studio
            .land(
                both(
                    "two-watched-accounts",
                    "What is due to one account of the wallet, some more to another",
                )
                .send(cast.pays(DUE))
                .send(into_second(5))
                .matched(cast.shop_usdc, DUE, Some(buyer))
                .held(second, 5, Some(buyer), late),
            )
            .await,
        studio
            .land(
                both(
                    "two-credits-that-are-due-together",
                    "What is due, in two parts to two accounts of the wallet",
                )
                .with(
                    "why",
                    "Together the credits of this transaction are exactly what is due",
                )
                .send(cast.pays(DUE - 9))
                .send(into_second(9))
                .held(cast.shop_usdc, DUE - 9, Some(buyer), "underpaid")
                .held(second, 9, Some(buyer), "underpaid"),
            )
            .await,
        studio
            .land(
                both(
                    "two-credits-of-one-checkout",
                    "What is due, twice, to two accounts of the wallet",
                )
                .with("why", "another credit of this very transaction")
                .send(cast.pays(DUE))
                .send(into_second(DUE))
                .matched(cast.shop_usdc.min(second), DUE, Some(buyer))
                .held(cast.shop_usdc.max(second), DUE, Some(buyer), "already_paid"),
            )
            .await,
        studio
            .land_by(
                both(
                    "moved-between-own-accounts",
                    "The shop moves tokens between two watched accounts of its own",
                )
                .with("why", "another account of the same wallet")
                .send(shuffle)
                .differs(
                    "balance",
                    "a wallet is credited no more than all its accounts together gained",
                ),
                &studio.shop,
            )
            .await,
    ]
}

/// The batch of p-token, which no node before 4.2 parses.
async fn batches(studio: &Studio) -> Vec<Landed> {
    const UNPARSED: &str = "this network's parser does not know the batch instruction";
    let cast = studio.cast;
    let (first, second) = (cast.pays(DUE - 9), cast.pays(9));
    let malformed = {
        let mut batch = batch(&[cast.pays(DUE).checked()]);
        batch.data.truncate(7);
        batch
    };
    vec![
        studio
            .land(
                studio
                    .case(
                        "batch",
                        "A batch with a Transfer and a TransferChecked inside",
                    )
                    .say()
                    .moves(first, None, 0)
                    .moves(second, Some(cast.usdc), 0)
                    .step(batch(&[first.plain(), second.checked()]))
                    .matched(cast.shop_usdc, DUE, Some(cast.buyer))
                    .differs("parsed", UNPARSED),
            )
            .await,
        studio
            .land(
                studio
                    .case(
                        "batch-malformed-failed",
                        "A batch that is cut short fails on chain",
                    )
                    .say()
                    .step(malformed)
                    .with("failed", true)
                    .sees_nothing(),
            )
            .await,
    ]
}

/// Tokens that come from the mint, as bridges and exchanges of the issuer pay.
async fn minted(studio: &Studio) -> Vec<Landed> {
    let cast = studio.cast;
    let authority = studio.usdc.authority.pubkey();
    let give = token::mint_to(
        &spl_token::id(),
        &cast.usdc,
        &cast.shop_usdc,
        &authority,
        &[],
        DUE,
    )
    .unwrap();
    let give_checked = token::mint_to_checked(
        &spl_token::id(),
        &cast.usdc,
        &cast.shop_usdc,
        &authority,
        &[],
        DUE,
        6,
    )
    .unwrap();
    let mut all = Vec::new();
    for (name, give) in [("minted", give), ("minted-checked", give_checked)] {
        let case = studio
            .case(
                name,
                "Minted straight into the account: there is no transfer and no payer",
            )
            .say()
            .flow(
                (None, cast.shop_usdc),
                authority,
                Some(cast.usdc),
                DUE,
                None,
                0,
            )
            .step(give)
            .matched(cast.shop_usdc, DUE, None);
        all.push(studio.land_by(case, &studio.usdc.authority).await);
    }
    all
}
