//! The forms a transaction can have: wallets' orders, versions, lookup tables, nonces, who pays the fee.

use super::case::{Case, DUE, Move};
use super::fixture::Landed;
use super::studio::Studio;
use localnet::compute_budget::ComputeBudgetInstruction as Budget;
use localnet::system::instruction as system;
use localnet::{AccountMeta, Instruction, Pubkey, Signer, Version, associated, create_associated};

pub(super) async fn land(studio: &Studio) -> Vec<Landed> {
    let mut all = wallets(studio).await;
    all.extend(versions(studio).await);
    all.extend(sponsors(studio).await);
    all
}

fn fees() -> [Instruction; 2] {
    [
        Budget::set_compute_unit_limit(120_000),
        Budget::set_compute_unit_price(5_000),
    ]
}

/// In the orders in which standard wallets and payment links put their instructions.
async fn wallets(studio: &Studio) -> Vec<Landed> {
    let cast = studio.cast;
    let [limit, price] = fees();
    let open = create_associated(&cast.buyer, &cast.shop, &studio.usdc);
    let matched = |case: Case| case.matched(cast.shop_usdc, DUE, Some(cast.buyer));
    // Solana Pay: the memo right before the transfer, and read-only references behind the transfer's own accounts.
    let mut referenced = cast.pays(DUE).checked();
    for name in ["reference 1", "reference 2"] {
        let reference = studio.key(name).pubkey();
        referenced
            .accounts
            .push(AccountMeta::new_readonly(reference, false));
    }
    let far = |case: Case| {
        (0..5).fold(case, |case, lamports| {
            case.step(system::transfer(
                &cast.buyer,
                &cast.shop,
                1_000_000 + lamports,
            ))
        })
    };
    vec![
        studio
            .land(matched(
                studio
                    .case(
                        "wallet-fees-account-memo-transfer",
                        "Compute limit and price, account if missing, memo, TransferChecked",
                    )
                    .step(limit.clone())
                    .step(price.clone())
                    .step(open.clone())
                    .say()
                    .send(cast.pays(DUE)),
            ))
            .await,
        studio
            .land(matched(
                studio
                    .case(
                        "wallet-transfer-memo-fees",
                        "TransferChecked, memo, then the fee instructions",
                    )
                    .send(cast.pays(DUE))
                    .say()
                    .step(price.clone())
                    .step(limit.clone()),
            ))
            .await,
        studio
            .land(matched(
                studio
                    .case(
                        "priority-fee",
                        "A price for compute units and a heap request",
                    )
                    .step(price)
                    .step(Budget::request_heap_frame(64 * 1024))
                    .say()
                    .send(cast.pays(DUE)),
            ))
            .await,
        studio
            .land(matched(
                studio
                    .case(
                        "solana-pay-references",
                        "Solana Pay: memo before the transfer, references as further accounts",
                    )
                    .say()
                    .moves(cast.pays(DUE), Some(cast.usdc), 0)
                    .step(referenced),
            ))
            .await,
        studio
            .land(matched(
                far(studio
                    .case(
                        "memo-far-before",
                        "Five other instructions between memo and transfer",
                    )
                    .say())
                .send(cast.pays(DUE)),
            ))
            .await,
        studio
            .land(matched(
                far(studio
                    .case(
                        "memo-far-after",
                        "Five other instructions between transfer and memo",
                    )
                    .send(cast.pays(DUE)))
                .say(),
            ))
            .await,
    ]
}

async fn versions(studio: &Studio) -> Vec<Landed> {
    let cast = studio.cast;
    let buyer = &studio.buyer;
    let paid = |name, about| studio.paid(name, about);
    // Somebody else is paid; the shop's account is only read.
    let stranger = studio.key("stranger").pubkey();
    studio.open(&stranger, &studio.usdc).await;
    let elsewhere = Move {
        destination: associated(&stranger, &studio.usdc),
        ..cast.pays(DUE)
    };
    let mut reading = elsewhere.checked();
    reading
        .accounts
        .push(AccountMeta::new_readonly(cast.shop_usdc, false));
    let read_only = studio
        .case(
            "v0-lookup-read-only",
            "The shop's account stands read-only in a lookup table; the money goes elsewhere",
        )
        .say()
        .moves(elsewhere, Some(cast.usdc), 0)
        .step(reading);

    // 64 keys and about four kilobytes: nothing larger fits into a transaction.
    let mut crowded = cast.pays(DUE).checked();
    for index in 0..58 {
        let key = studio.key(&format!("bystander {index}")).pubkey();
        crowded.accounts.push(AccountMeta::new_readonly(key, false));
    }
    let large = |name, about: &str| {
        let case = studio.case(name, about);
        let text = format!("{}{}", case.memo, " ".repeat(1_815));
        case.say_text(&text)
    };
    vec![
        studio
            .land_as(
                paid("v0", "Version 0 without any lookup table"),
                Version::V0(vec![]),
                buyer,
                &[],
            )
            .await,
        studio
            .land_as(
                paid(
                    "v0-lookup-writable",
                    "The shop's account, its mint and the source stand in a lookup table",
                ),
                Version::V0(vec![cast.shop_usdc, cast.usdc, cast.buyer_usdc]),
                buyer,
                &[],
            )
            .await,
        studio
            .land_as(
                read_only,
                Version::V0(vec![cast.shop_usdc, cast.usdc]),
                buyer,
                &[],
            )
            .await,
        studio
            .land_as(paid("v1", "Version 1"), Version::V1, buyer, &[])
            .await,
        studio
            .land_as(
                large(
                    "v1-64-accounts",
                    "Version 1 with 64 accounts and four kilobytes",
                )
                .moves(cast.pays(DUE), Some(cast.usdc), 0)
                .step(crowded)
                .matched(cast.shop_usdc, DUE, Some(cast.buyer)),
                Version::V1,
                buyer,
                &[],
            )
            .await,
    ]
}

/// Somebody else pays the fee, or a nonce takes the place of the blockhash.
async fn sponsors(studio: &Studio) -> Vec<Landed> {
    let sponsor = studio.wallet("sponsor").await;
    let sponsored = studio.paid(
        "sponsored",
        "Another wallet pays the fee: the payer is still who owned the tokens",
    );
    let nonce = studio.key("nonce");
    let authority = studio.cast.buyer;
    let create = system::create_nonce_account(&authority, &nonce.pubkey(), &authority, 2_000_000);
    studio.prepare(&studio.buyer, &[&nonce], &create).await;
    let durable = studio
        .case("durable-nonce", "A durable nonce is advanced first")
        .step(system::advance_nonce_account(&nonce.pubkey(), &authority))
        .say()
        .send(studio.cast.pays(DUE))
        .matched(studio.cast.shop_usdc, DUE, Some(authority));
    let blockhash = nonce_hash(studio, &nonce.pubkey()).await;
    vec![
        studio
            .land_as(sponsored, Version::Legacy, &sponsor, &[&studio.buyer])
            .await,
        studio
            .land_with(durable, Version::Legacy, &studio.buyer, &[], blockhash)
            .await,
    ]
}

/// The hash a nonce account holds: bytes 40 to 72 of its data (`solana_nonce::versions::Versions`).
async fn nonce_hash(studio: &Studio, nonce: &Pubkey) -> solana_sdk::hash::Hash {
    let data = studio.net.client().get_account(nonce).await.unwrap().data;
    solana_sdk::hash::Hash::new_from_array(data[40..72].try_into().unwrap())
}
