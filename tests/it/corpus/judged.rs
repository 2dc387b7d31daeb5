//! Payments that are plain to decode and need judging.

use super::case::{Case, DUE, Move, hex};
use super::fixture::Landed;
use super::studio::Studio;
use localnet::{Signer, associated};
use serde_json::json;

pub(super) async fn land(studio: &Studio) -> Vec<Landed> {
    let cast = studio.cast;
    let (usdc, buyer) = (cast.usdc, Some(cast.buyer));
    let pay = |name, about: &str, amount| studio.case(name, about).say().send(cast.pays(amount));
    let elsewhere = studio.key("another wallet").pubkey();
    let other_wallet = {
        let case = studio.paid(
            "wrong-recipient",
            "The checkout asks to pay another wallet of the merchant",
        );
        case.with("checkouts", json!([]))
            .with("credits", json!([]))
            .checkout(DUE, usdc, elsewhere)
            .held(cast.shop_usdc, DUE, buyer, "wrong_recipient")
    };
    let usdt = Move {
        ..cast.pays_usdt(DUE)
    };
    let mut all = vec![
        studio
            .land(pay("overpaid", "One base unit too much", DUE + 1).held(
                cast.shop_usdc,
                DUE + 1,
                buyer,
                "overpaid",
            ))
            .await,
        studio
            .land(
                pay(
                    "overpaid-allowed",
                    "One base unit too much, under the policy at_least",
                    DUE + 1,
                )
                .with("amount", "at_least")
                .matched(cast.shop_usdc, DUE + 1, buyer),
            )
            .await,
        studio
            .land(pay("underpaid", "One base unit too little", DUE - 1).held(
                cast.shop_usdc,
                DUE - 1,
                buyer,
                "underpaid",
            ))
            .await,
        studio
            .land(
                pay(
                    "underpaid-at-least",
                    "One base unit too little, under the policy at_least",
                    DUE - 1,
                )
                .with("amount", "at_least")
                .held(cast.shop_usdc, DUE - 1, buyer, "underpaid"),
            )
            .await,
        studio
            .land(
                studio
                    .case("wrong-token", "USDT for a checkout in USDC")
                    .with("why", "in the token")
                    .say()
                    .send(usdt)
                    .held(cast.shop_usdt, DUE, buyer, "wrong_token"),
            )
            .await,
        studio.land(other_wallet).await,
        studio
            .land(
                pay(
                    "paid-again",
                    "The checkout was confirmed before, by another transaction",
                    DUE,
                )
                .confirmed_by(&"5".repeat(87))
                .held(cast.shop_usdc, DUE, buyer, "already_paid"),
            )
            .await,
        studio
            .land(
                pay(
                    "confirmed-by-hand",
                    "The payer had submitted this very transaction by hand",
                    DUE,
                )
                .confirmed_by("itself")
                .matched(cast.shop_usdc, DUE, buyer),
            )
            .await,
    ];
    all.extend(several(studio).await);
    all.extend(largest(studio).await);
    all
}

/// Memos of several checkouts in one transaction: a person decides, and is told if there is but one way.
async fn several(studio: &Studio) -> Vec<Landed> {
    let cast = studio.cast;
    let (usdc, usdt, shop, buyer) = (cast.usdc, cast.usdt, cast.shop, Some(cast.buyer));
    let second = |case: Case, amount, mint| {
        let memo = hex(&format!("{} second", case.name));
        case.say().open(&memo, amount, mint, shop).say_text(&memo)
    };
    let shares = |case: Case, amounts: [u64; 2]| {
        let memos = [case.memo.clone(), hex(&format!("{} second", case.name))];
        let shares: Vec<_> = memos
            .iter()
            .zip(amounts)
            .map(|(memo, amount)| json!([amount.to_string(), memo]))
            .collect();
        case.with("assignment", shares)
    };
    let case = |name, about: &str| studio.case(name, about);
    let unique = second(
        case(
            "several-checkouts-one-way",
            "Two checkouts, two transfers, one way to assign them",
        )
        .with("why", "exactly one way"),
        5,
        usdc,
    )
    .send(cast.pays(DUE))
    .send(cast.pays(5))
    .held(cast.shop_usdc, DUE + 5, buyer, "several_checkouts");
    let tokens = second(
        case(
            "several-checkouts-two-tokens",
            "Two checkouts in two tokens, both paid",
        ),
        DUE,
        usdt,
    )
    .send(cast.pays(DUE))
    .send(cast.pays_usdt(DUE))
    .held(cast.shop_usdc, DUE, buyer, "several_checkouts")
    .held(cast.shop_usdt, DUE, buyer, "several_checkouts");
    let alike = second(
        case(
            "several-checkouts-alike",
            "Two checkouts of the same amount: either transfer may be for either",
        )
        .with("why", "cannot be assigned to them in exactly one way"),
        DUE,
        usdc,
    )
    .send(cast.pays(DUE))
    .send(cast.pays(DUE))
    .held(cast.shop_usdc, 2 * DUE, buyer, "several_checkouts");
    let one_paid = second(
        case(
            "several-checkouts-one-paid",
            "Two checkouts are named, the money is for one of them",
        ),
        5,
        usdc,
    )
    .send(cast.pays(DUE))
    .held(cast.shop_usdc, DUE, buyer, "several_checkouts");
    let memo = one_paid.memo.clone();
    let tokens = if cast.shop_usdc < cast.shop_usdt {
        shares(tokens, [DUE, DUE])
    } else {
        let memos = [hex(&format!("{} second", tokens.name)), tokens.memo.clone()];
        tokens.with(
            "assignment",
            json!([[DUE.to_string(), memos[0]], [DUE.to_string(), memos[1]]]),
        )
    };
    vec![
        studio.land(shares(unique, [DUE, 5])).await,
        studio.land(tokens).await,
        studio.land(alike).await,
        studio
            .land(one_paid.with("assignment", json!([[DUE.to_string(), memo]])))
            .await,
    ]
}

/// Amounts at the end of what 64 bits hold.
async fn largest(studio: &Studio) -> Vec<Landed> {
    let cast = studio.cast;
    let mut all = Vec::new();
    for (name, about, due, verdict) in [
        (
            "largest-amount",
            "All that 64 bits hold, and as much is due",
            u64::MAX,
            None,
        ),
        (
            "largest-amount-overpaid",
            "All that 64 bits hold, one less is due",
            u64::MAX - 1,
            Some("overpaid"),
        ),
    ] {
        let authority = studio.wallet(&format!("{name} authority")).await;
        let mint = studio
            .net
            .mint_at(spl_token::id(), authority, &studio.key(name))
            .await
            .unwrap();
        studio.net.fund(&cast.buyer, &mint, u64::MAX).await.unwrap();
        studio.open(&cast.shop, &mint).await;
        let account = associated(&cast.shop, &mint);
        let all_of_it = Move {
            mint: mint.address,
            source: associated(&cast.buyer, &mint),
            destination: account,
            ..cast.pays(u64::MAX)
        };
        let case = studio
            .case_in(name, about, &mint)
            .with("checkouts", json!([]))
            .checkout(due, mint.address, cast.shop)
            .say()
            .send(all_of_it);
        let case = match verdict {
            None => case.matched(account, u64::MAX, Some(cast.buyer)),
            Some(reason) => case.held(account, u64::MAX, Some(cast.buyer), reason),
        };
        all.push(studio.land(case).await);
    }
    all
}
