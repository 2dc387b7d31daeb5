//! The forms a transaction can have: wallets' orders, versions, lookup tables, nonces, who pays the fee.

use super::case::{Case, DUE, Move};
use super::fixture::Landed;
use super::stage::Stage;
use localnet::compute_budget::ComputeBudgetInstruction as Budget;
use localnet::system::instruction as system;
use localnet::{AccountMeta, Instruction, Pubkey, Signer, Version, associated, create_associated};

pub(super) async fn land(stage: &Stage) -> Vec<Landed> {
    let mut all = wallets(stage).await;
    all.extend(versions(stage).await);
    all.extend(sponsors(stage).await);
    all
}

fn fees() -> [Instruction; 2] {
    [
        Budget::set_compute_unit_limit(120_000),
        Budget::set_compute_unit_price(5_000),
    ]
}

/// In the orders in which standard wallets and payment links put their instructions.
async fn wallets(stage: &Stage) -> Vec<Landed> {
    let cast = stage.cast;
    let [limit, price] = fees();
    let open = create_associated(&cast.buyer, &cast.shop, &stage.usdc);
    let matched = |case: Case| case.matched(cast.shop_usdc, DUE, Some(cast.buyer));
    // Solana Pay: the memo right before the transfer, and read-only references behind the transfer's own accounts.
    let mut referenced = cast.pays(DUE).checked();
    for name in ["reference 1", "reference 2"] {
        let reference = stage.key(name).pubkey();
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
        stage
            .land(matched(
                stage
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
        stage
            .land(matched(
                stage
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
        stage
            .land(matched(
                stage
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
        stage
            .land(matched(
                stage
                    .case(
                        "solana-pay-references",
                        "Solana Pay: memo before the transfer, references as further accounts",
                    )
                    .say()
                    .moves(cast.pays(DUE), Some(cast.usdc), 0)
                    .step(referenced),
            ))
            .await,
        stage
            .land(matched(
                far(stage
                    .case(
                        "memo-far-before",
                        "Five other instructions between memo and transfer",
                    )
                    .say())
                .send(cast.pays(DUE)),
            ))
            .await,
        stage
            .land(matched(
                far(stage
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

async fn versions(stage: &Stage) -> Vec<Landed> {
    let cast = stage.cast;
    let buyer = &stage.buyer;
    let paid = |name, about| stage.paid(name, about);
    // Somebody else is paid; the shop's account is only read.
    let stranger = stage.key("stranger").pubkey();
    stage.open(&stranger, &stage.usdc).await;
    let elsewhere = Move {
        destination: associated(&stranger, &stage.usdc),
        ..cast.pays(DUE)
    };
    let mut reading = elsewhere.checked();
    reading
        .accounts
        .push(AccountMeta::new_readonly(cast.shop_usdc, false));
    let read_only = stage
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
        let key = stage.key(&format!("bystander {index}")).pubkey();
        crowded.accounts.push(AccountMeta::new_readonly(key, false));
    }
    let large = |name, about: &str| {
        let case = stage.case(name, about);
        let text = format!("{}{}", case.memo, " ".repeat(1_815));
        case.say_text(&text)
    };
    vec![
        stage
            .land_as(
                paid("v0", "Version 0 without any lookup table"),
                Version::V0(vec![]),
                buyer,
                &[],
            )
            .await,
        stage
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
        stage
            .land_as(
                read_only,
                Version::V0(vec![cast.shop_usdc, cast.usdc]),
                buyer,
                &[],
            )
            .await,
        stage
            .land_as(paid("v1", "Version 1"), Version::V1, buyer, &[])
            .await,
        stage
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
async fn sponsors(stage: &Stage) -> Vec<Landed> {
    let sponsor = stage.wallet("sponsor").await;
    let sponsored = stage.paid(
        "sponsored",
        "Another wallet pays the fee: the payer is still who owned the tokens",
    );
    let nonce = stage.key("nonce");
    let authority = stage.cast.buyer;
    let create = system::create_nonce_account(&authority, &nonce.pubkey(), &authority, 2_000_000);
    stage.prepare(&stage.buyer, &[&nonce], &create).await;
    let durable = stage
        .case("durable-nonce", "A durable nonce is advanced first")
        .step(system::advance_nonce_account(&nonce.pubkey(), &authority))
        .say()
        .send(stage.cast.pays(DUE))
        .matched(stage.cast.shop_usdc, DUE, Some(authority));
    let blockhash = nonce_hash(stage, &nonce.pubkey()).await;
    vec![
        stage
            .land_as(sponsored, Version::Legacy, &sponsor, &[&stage.buyer])
            .await,
        stage
            .land_with(durable, Version::Legacy, &stage.buyer, &[], blockhash)
            .await,
    ]
}

/// The hash a nonce account holds: bytes 40 to 72 of its data (`solana_nonce::versions::Versions`).
async fn nonce_hash(stage: &Stage, nonce: &Pubkey) -> solana_sdk::hash::Hash {
    let data = stage.net.client().get_account(nonce).await.unwrap().data;
    solana_sdk::hash::Hash::new_from_array(data[40..72].try_into().unwrap())
}
