//! The cases that are built by hand: calls of other programs, and answers no node should give.

use super::by_hand::{Balance, ByHand};
use super::case::{Case, DUE, Move, Said, memo};
use super::fixture::Landed;
use super::studio::Studio;
use base64::{Engine, prelude::BASE64_STANDARD};
use localnet::{AccountMeta, Instruction, Pubkey, Signer, batch};
use serde_json::{Value, json};
use spl_token_2022_interface::instruction as token;

const CALLS: &str = "inner instructions from the layouts of the token and memo programs";

pub(super) fn land(studio: &Studio) -> Vec<Landed> {
    let mut all = calls(studio);
    all.extend(token_data(studio));
    all.extend(left_out(studio));
    all.extend(broken(studio));
    all
}

/// An instruction of some other program.
fn other_program(studio: &Studio, name: &str) -> Instruction {
    Instruction {
        program_id: studio.key(name).pubkey(),
        accounts: vec![AccountMeta::new(studio.cast.buyer, true)],
        data: vec![1, 2, 3],
    }
}

fn said(case: &Case) -> Instruction {
    memo(Said::V3, case.memo.as_bytes())
}

/// Programs that pay for somebody: smart wallets, multisigs, routers, bridges.
fn calls(studio: &Studio) -> Vec<Landed> {
    let cast = studio.cast;
    let vault = studio.key("vault").pubkey();
    let paid = |case: Case, payer: Pubkey| case.matched(cast.shop_usdc, DUE, Some(payer));
    let from_vault = Move {
        authority: vault,
        payer: vault,
        ..cast.pays(DUE)
    };
    let balances = |owner: Pubkey| {
        let usdc = |account, owner, before, after| Balance {
            account,
            owner,
            mint: cast.usdc,
            program: spl_token::id(),
            before: Some(before),
            after: Some(after),
        };
        [
            usdc(cast.buyer_usdc, owner, 5 * DUE, 4 * DUE),
            usdc(cast.shop_usdc, cast.shop, 0, DUE),
        ]
    };
    let by = |owner| ByHand::paying(&cast, DUE).balances(&balances(owner));
    let case = |name, about: &str, program: &str| {
        studio
            .case(name, about)
            .step(other_program(studio, program))
    };

    let smart = case(
        "smart-wallet",
        "A smart wallet makes transfer and memo itself",
        "smart wallet",
    );
    let bytes = smart.memo.clone().into_bytes();
    let smart = paid(
        smart
            .moves(from_vault, Some(cast.usdc), 1)
            .hears(Said::V3, &bytes, 1),
        vault,
    );
    let smart_calls = [(from_vault.checked(), 1), (said(&smart), 1)];

    let nested = case(
        "multisig-vault-execute",
        "A multisig executes what its members approved, two calls deep",
        "multisig",
    );
    let bytes = nested.memo.clone().into_bytes();
    let nested = paid(
        nested
            .hears(Said::V3, &bytes, 1)
            .moves(from_vault, Some(cast.usdc), 2),
        vault,
    );
    let nested_calls = [
        (said(&nested), 1),
        (other_program(studio, "vault program"), 1),
        (from_vault.checked(), 2),
    ];

    let pool = studio.key("pool").pubkey();
    let payout = Move {
        authority: pool,
        payer: pool,
        ..cast.pays(DUE)
    };
    let into_pool = Move {
        source: cast.buyer_usdt,
        destination: cast.shop_usdt,
        ..cast.pays_usdt(3)
    };
    let into_pool = Move {
        destination: studio.key("pool usdt").pubkey(),
        ..into_pool
    };
    let swap = paid(
        case(
            "swap-pays-out",
            "A swap takes USDT from the buyer and pays USDC out to the shop",
            "router",
        )
        .moves(into_pool, Some(cast.usdt), 2)
        .moves(payout, Some(cast.usdc), 2)
        .say(),
        pool,
    );
    let swap_calls = [
        (other_program(studio, "pool program"), 1),
        (into_pool.checked(), 2),
        (payout.checked(), 2),
    ];

    let authority = studio.key("bridge").pubkey();
    let give = token::mint_to(
        &spl_token::id(),
        &cast.usdc,
        &cast.shop_usdc,
        &authority,
        &[],
        DUE,
    )
    .unwrap();
    let bridge = case(
        "bridge-mints",
        "A bridge mints straight into the account",
        "bridge program",
    )
    .flow(
        (None, cast.shop_usdc),
        authority,
        Some(cast.usdc),
        DUE,
        None,
        1,
    )
    .say()
    .matched(cast.shop_usdc, DUE, None);

    let (first, second) = (
        Move {
            amount: DUE - 9,
            ..from_vault
        },
        Move {
            amount: 9,
            ..from_vault
        },
    );
    let batched = paid(
        case(
            "batch-inner",
            "A program calls the batch instruction",
            "smart wallet",
        )
        .moves(first, None, 1)
        .moves(second, Some(cast.usdc), 1)
        .say(),
        vault,
    );
    let batch_calls = [(batch(&[first.plain(), second.checked()]), 1)];

    let old = case(
        "inner-without-depth",
        "An old node does not say how deep a call was",
        "smart wallet",
    );
    let old = paid(old.moves(from_vault, Some(cast.usdc), 1).say(), vault);
    vec![
        by(vault).calls(0, &smart_calls).land(smart, CALLS),
        by(vault).calls(0, &nested_calls).land(nested, CALLS),
        by(pool).calls(0, &swap_calls).land(swap, CALLS),
        by(authority).calls(0, &[(give, 1)]).land(bridge, CALLS),
        by(vault).calls(0, &batch_calls).land(batched, CALLS),
        by(vault)
            .calls(0, &[(from_vault.checked(), 1)])
            .land_changed(old, CALLS, |answer| {
                let inner =
                    &mut answer["result"]["meta"]["innerInstructions"][0]["instructions"][0];
                inner.as_object_mut().unwrap().remove("stackHeight");
            }),
    ]
}

/// Token instructions whose bytes are cut short, too long, or hide what they do.
fn token_data(studio: &Studio) -> Vec<Landed> {
    const LAYOUT: &str = "token instructions from their documented layout";
    let cast = studio.cast;
    let paid = |case: Case| case.matched(cast.shop_usdc, DUE, Some(cast.buyer));
    let by = ByHand::paying(&cast, DUE);
    let pays = cast.pays(DUE);
    let mut trailing = pays.checked();
    trailing.data.extend([9, 9, 9]);
    let mut short = pays.checked();
    short.data.truncate(5);
    // The batch ends in an item that promises more accounts and bytes than there are.
    let mut cut = batch(&[pays.checked()]);
    cut.data.extend([200, 255, 3]);
    let mut inside = batch(&[pays.checked()]);
    inside.data = [
        vec![255, 4, u8::try_from(inside.data.len()).unwrap()],
        inside.data,
    ]
    .concat();
    let mut confidential = pays.checked();
    confidential.program_id = spl_token_2022_interface::id();
    confidential.data = [vec![27, 7], vec![0; 40]].concat();
    let token_2022 = spl_token_2022_interface::id();
    let hidden = Balance {
        account: cast.shop_usdc,
        owner: cast.shop,
        mint: cast.usdc,
        program: token_2022,
        before: Some(7),
        after: Some(7),
    };
    let watched = [(cast.shop_usdc, cast.shop, cast.usdc, token_2022)];
    let mut not_text = studio
        .case(
            "memo-not-utf8",
            "Bytes that are no text: they name no checkout",
        )
        .with("why", "is no text")
        .send(pays);
    not_text = not_text.say_bytes(Said::V4, &[0xc3, 0x28, 0xff]);
    vec![
        by.land(
            paid(
                studio
                    .case(
                        "transfer-trailing-data",
                        "Bytes behind a transfer's own are legal",
                    )
                    .say()
                    .moves(pays, Some(cast.usdc), 0)
                    .step(trailing),
            ),
            LAYOUT,
        ),
        by.land(
            studio
                .case(
                    "transfer-cut-short",
                    "The balance grew, and no instruction that can be read says by what",
                )
                .say()
                .step(short)
                .matched(cast.shop_usdc, DUE, None),
            LAYOUT,
        ),
        by.land(
            paid(
                studio
                    .case("batch-malformed", "A batch whose last item is cut short")
                    .say()
                    .moves(pays, Some(cast.usdc), 0)
                    .step(cut),
            ),
            LAYOUT,
        ),
        by.land(
            studio
                .case("batch-in-batch", "A batch inside a batch is none")
                .say()
                .step(inside)
                .matched(cast.shop_usdc, DUE, None),
            LAYOUT,
        ),
        by.land(
            studio
                .case(
                    "other-program-same-bytes",
                    "Another program's instruction looks like a transfer of a fortune",
                )
                .say()
                .send(pays)
                .step(Instruction {
                    program_id: studio.key("imitator").pubkey(),
                    ..cast.pays(u64::MAX).checked()
                })
                .matched(cast.shop_usdc, DUE, Some(cast.buyer)),
            LAYOUT,
        ),
        by.land(
            not_text.held(cast.shop_usdc, DUE, Some(cast.buyer), "no_memo"),
            LAYOUT,
        ),
        ByHand::paying(&cast, DUE).balances(&[hidden]).land(
            Case::new(
                "token-2022-confidential",
                "A confidential transfer changes no public balance: there is nothing to judge",
                &watched,
            )
            .checkout(DUE, cast.usdc, cast.shop)
            .say()
            .step(confidential),
            LAYOUT,
        ),
    ]
}

/// What old, pruned or careless nodes leave out.
fn left_out(studio: &Studio) -> Vec<Landed> {
    const MADE: &str = "a plain payment with parts of the answer taken out";
    let cast = studio.cast;
    let by = ByHand::paying(&cast, DUE);
    let paid = |name, about: &str| studio.paid(name, about);
    let silent = |name, about: &str| studio.case(name, about).send(cast.pays(DUE));
    let unreadable = |case: Case, why: &str| case.sees_nothing().with("unreadable", why);
    let meta = |key: &'static str, value: Value| {
        move |answer: &mut Value| answer["result"]["meta"][key] = value
    };
    let without = |list: &'static str, key: &'static str| {
        move |answer: &mut Value| {
            for balance in answer["result"]["meta"][list].as_array_mut().unwrap() {
                balance.as_object_mut().unwrap().remove(key);
            }
        }
    };
    vec![
        by.land_changed(paid("inner-null", "The node kept no inner instructions, but the memo is there"), MADE, meta("innerInstructions", Value::Null)),
        by.land_changed(unreadable(silent("inner-null-no-memo", "The node kept no inner instructions, where the memo may be"), "inner instructions"),
            MADE, meta("innerInstructions", Value::Null)),
        by.land_changed(unreadable(paid("balances-missing", "The node kept no balances"), "no token balances"), MADE, meta("postTokenBalances", Value::Null)),
        by.land_changed(unreadable(paid("balance-before-missing", "The node forgot what the account held before: all of it would look like a payment"), "from before"),
            MADE, |answer| { answer["result"]["meta"]["preTokenBalances"].as_array_mut().unwrap().pop(); }),
        by.land_changed(unreadable(paid("owner-missing", "An old node does not say whose an account is"), "no owner"), MADE, without("postTokenBalances", "owner")),
        by.land_changed(unreadable(paid("token-program-missing", "An old node does not say of which program an account is"), "token program"),
            MADE, without("postTokenBalances", "programId")),
        by.land_changed(unreadable(paid("status-missing", "No status: it may not have executed"), "no status"), MADE, |answer| answer["result"]["meta"] = Value::Null),
        by.land_changed(paid("more-than-known", "Fields and flags of a future node"), MADE, |answer| {
            answer["result"]["meta"]["costUnits"] = json!({ "unheard": "of" });
            answer["result"]["transactionIndex"] = json!("17");
        }),
    ]
}

/// What cannot be right.
fn broken(studio: &Studio) -> Vec<Landed> {
    const MADE: &str = "a plain payment, broken";
    let by = ByHand::paying(&studio.cast, DUE);
    let unreadable = |name, about: &str, why: &str| {
        studio
            .paid(name, about)
            .sees_nothing()
            .with("unreadable", why)
    };
    let bytes = |change: fn(&mut Vec<u8>)| {
        move |answer: &mut Value| {
            let blob = &mut answer["result"]["transaction"][0];
            let mut bytes = BASE64_STANDARD.decode(blob.as_str().unwrap()).unwrap();
            change(&mut bytes);
            *blob = BASE64_STANDARD.encode(bytes).into();
        }
    };
    vec![
        by.land_changed(unreadable("version-refused", "The node refuses a version newer than it was asked for", "version"), MADE,
            |answer| *answer = json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": -32015, "message": "Transaction version (2) is not supported by the requesting client." } })),
        // After one signature (1 + 64 bytes) the message begins; its first byte of a version has the high bit.
        by.land_changed(unreadable("version-unknown", "The message begins with a version that does not exist yet", "no transaction of version"), MADE,
            bytes(|bytes| bytes.insert(65, 0x80 | 9))),
        by.land_changed(unreadable("bytes-cut-short", "The bytes end in the middle", "no transaction of version"), MADE, bytes(|bytes| bytes.truncate(150))),
        by.land_changed(unreadable("balance-index-unknown", "A balance of an account that the transaction does not name", "names a key"), MADE,
            |answer| answer["result"]["meta"]["postTokenBalances"][1]["accountIndex"] = json!(200)),
        by.land_changed(unreadable("balance-no-number", "A balance that is no whole number", "expected form"), MADE,
            |answer| answer["result"]["meta"]["postTokenBalances"][1]["uiTokenAmount"]["amount"] = json!("1.9e7")),
        by.land_changed(unreadable("balance-too-large", "A balance that 64 bits do not hold", "expected form"), MADE,
            |answer| answer["result"]["meta"]["postTokenBalances"][1]["uiTokenAmount"]["amount"] = json!("18446744073709551616")),
        by.land_changed(unreadable("mint-no-key", "A mint that is no address", "expected form"), MADE,
            |answer| answer["result"]["meta"]["postTokenBalances"][1]["mint"] = json!("USDC")),
    ]
}
