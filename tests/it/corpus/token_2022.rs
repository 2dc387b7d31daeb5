//! What the extensions of Token-2022 do to a payment.

use super::case::{Case, DUE, Move};
use super::fixture::Landed;
use super::studio::Studio;
use localnet::{AccountMeta, Instruction, Keypair, Pubkey, Signer, TestMint, associated};
use spl_token_2022_interface::{
    extension::{
        ExtensionType, interest_bearing_mint, memo_transfer, scaled_ui_amount, transfer_fee,
        transfer_hook,
    },
    instruction as token,
};

/// One percent is withheld.
const FEE_BASIS_POINTS: u16 = 100;

pub(super) async fn land(studio: &Studio) -> Vec<Landed> {
    let mut all = fees(studio).await;
    all.extend(shown_otherwise(studio).await);
    all.push(hooked(studio).await);
    all.push(memo_required(studio).await);
    all.push(pulled(studio).await);
    all
}

/// A funded mint with extensions, and the shop's account for it; `before` makes the extensions' own instructions for the
/// addresses of mint and authority.
async fn mint(
    studio: &Studio,
    name: &str,
    extensions: &[ExtensionType],
    before: impl FnOnce(&Pubkey, &Pubkey) -> Vec<Instruction>,
) -> TestMint {
    let authority = studio.wallet(&format!("{name} authority")).await;
    let address: Keypair = studio.key(name);
    let before = before(&address.pubkey(), &authority.pubkey());
    let mint = studio
        .net
        .mint_with(authority, &address, extensions, &before)
        .await
        .unwrap();
    studio
        .net
        .fund(&studio.cast.buyer, &mint, 1_000 * DUE)
        .await
        .unwrap();
    studio.open(&studio.cast.shop, &mint).await;
    mint
}

fn pays(studio: &Studio, mint: &TestMint, amount: u64) -> Move {
    Move {
        program: mint.token_program,
        mint: mint.address,
        source: associated(&studio.cast.buyer, mint),
        destination: associated(&studio.cast.shop, mint),
        ..studio.cast.pays(amount)
    }
}

fn paid(studio: &Studio, case: Case, mint: &TestMint) -> Case {
    case.matched(
        associated(&studio.cast.shop, mint),
        DUE,
        Some(studio.cast.buyer),
    )
}

async fn fees(studio: &Studio) -> Vec<Landed> {
    let program = spl_token_2022_interface::id();
    let plain = mint(studio, "token-2022", &[], |_, _| vec![]).await;
    let fee = mint(
        studio,
        "token-2022 with fee",
        &[ExtensionType::TransferFeeConfig],
        |mint, authority| {
            let (authority, most) = (Some(authority), u64::MAX);
            vec![
                transfer_fee::instruction::initialize_transfer_fee_config(
                    &program,
                    mint,
                    authority,
                    authority,
                    FEE_BASIS_POINTS,
                    most,
                )
                .unwrap(),
            ]
        },
    )
    .await;
    let account = associated(&studio.cast.shop, &fee);
    let case = |name, about: &str| studio.case_in(name, about, &fee).say();
    let withheld = DUE / 100;
    // What arrives is due: the fee is rounded up, so this much must be sent.
    let gross = DUE * 100 / 99 + 1;
    let with_fee = pays(studio, &fee, DUE + withheld);
    let named = transfer_fee::instruction::transfer_checked_with_fee(
        &program,
        &with_fee.source,
        &fee.address,
        &account,
        &with_fee.authority,
        &[],
        with_fee.amount,
        6,
        (DUE + withheld).div_ceil(100),
    )
    .unwrap();
    let received = DUE + withheld - (DUE + withheld).div_ceil(100);
    let authority = fee.authority.pubkey();
    let mut all = vec![
        studio
            .land(
                paid(
                    studio,
                    studio
                        .case_in("token-2022", "Token-2022 without any extension", &plain)
                        .say(),
                    &plain,
                )
                .send(pays(studio, &plain, DUE)),
            )
            .await,
        studio
            .land(
                case(
                    "token-2022-fee",
                    "One percent is withheld: less arrives than was sent",
                )
                .with("why", "the token withheld a transfer fee")
                .send(pays(studio, &fee, DUE))
                .held(
                    account,
                    DUE - withheld,
                    Some(studio.cast.buyer),
                    "underpaid",
                ),
            )
            .await,
        studio
            .land(
                case(
                    "token-2022-fee-on-top",
                    "The buyer adds the fee, so that what arrives is what is due",
                )
                .send(pays(studio, &fee, gross))
                .matched(account, DUE, Some(studio.cast.buyer)),
            )
            .await,
        studio
            .land(
                case(
                    "token-2022-transfer-checked-with-fee",
                    "TransferCheckedWithFee, which names the fee",
                )
                .moves(with_fee, Some(fee.address), 0)
                .step(named)
                .held(account, received, Some(studio.cast.buyer), "underpaid"),
            )
            .await,
    ];
    // The withheld fees of all accounts come to the shop: a credit that no transfer explains.
    let sources = [&account];
    let withdraw = transfer_fee::instruction::withdraw_withheld_tokens_from_accounts(
        &program,
        &fee.address,
        &account,
        &authority,
        &[],
        &sources,
    )
    .unwrap();
    let gathered = withheld + gross.div_ceil(100) + (DUE + withheld).div_ceil(100);
    let case = studio
        .case_in(
            "token-2022-fees-withdrawn",
            "Withheld fees are withdrawn into the account: no transfer explains the credit",
            &fee,
        )
        .say()
        .step(withdraw)
        .held(account, gathered, None, "underpaid");
    all.push(studio.land_by(case, &fee.authority).await);
    all
}

/// Amounts that wallets show scaled or with interest are the same base units.
async fn shown_otherwise(studio: &Studio) -> Vec<Landed> {
    let program = spl_token_2022_interface::id();
    let interest = mint(
        studio,
        "token-2022 with interest",
        &[ExtensionType::InterestBearingConfig],
        |mint, authority| {
            vec![
                interest_bearing_mint::instruction::initialize(
                    &program,
                    mint,
                    Some(*authority),
                    30_000,
                )
                .unwrap(),
            ]
        },
    )
    .await;
    let scaled = mint(
        studio,
        "token-2022 scaled",
        &[ExtensionType::ScaledUiAmount],
        |mint, authority| {
            vec![
                scaled_ui_amount::instruction::initialize(&program, mint, Some(*authority), 2.5)
                    .unwrap(),
            ]
        },
    )
    .await;
    let mut all = Vec::new();
    for (name, about, mint) in [
        (
            "token-2022-interest-bearing",
            "Wallets show the amount with interest; base units are what count",
            &interest,
        ),
        (
            "token-2022-scaled",
            "Wallets show the amount times 2.5; base units are what count",
            &scaled,
        ),
    ] {
        let case = studio
            .case_in(name, about, mint)
            .say()
            .send(pays(studio, mint, DUE));
        all.push(studio.land(paid(studio, case, mint)).await);
    }
    all
}

/// The token program calls another program at each transfer. Here that is the compute budget program, which takes anything.
async fn hooked(studio: &Studio) -> Landed {
    let (program, hook) = (
        spl_token_2022_interface::id(),
        localnet::compute_budget::id(),
    );
    let mint = mint(
        studio,
        "token-2022 with hook",
        &[ExtensionType::TransferHook],
        |mint, authority| {
            vec![
                transfer_hook::instruction::initialize(
                    &program,
                    mint,
                    Some(*authority),
                    Some(hook),
                )
                .unwrap(),
            ]
        },
    )
    .await;
    let pays = pays(studio, &mint, DUE);
    let mut transfer = pays.checked();
    transfer
        .accounts
        .push(AccountMeta::new_readonly(hook, false));
    let case = studio
        .case_in(
            "token-2022-transfer-hook",
            "Each transfer calls a hook program",
            &mint,
        )
        .say()
        .moves(pays, Some(mint.address), 0)
        .step(transfer);
    studio.land(paid(studio, case, &mint)).await
}

async fn memo_required(studio: &Studio) -> Landed {
    let program = spl_token_2022_interface::id();
    let mint = mint(studio, "token-2022 with memo", &[], |_, _| vec![]).await;
    let (shop, account) = (studio.cast.shop, associated(&studio.cast.shop, &mint));
    let grow = token::reallocate(
        &program,
        &account,
        &shop,
        &shop,
        &[],
        &[ExtensionType::MemoTransfer],
    )
    .unwrap();
    let require =
        memo_transfer::instruction::enable_required_transfer_memos(&program, &account, &shop, &[])
            .unwrap();
    studio.prepare(&studio.shop, &[], &[grow, require]).await;
    let case = studio
        .case_in(
            "token-2022-memo-required",
            "The account takes no transfer without a memo right before it",
            &mint,
        )
        .say()
        .send(pays(studio, &mint, DUE));
    studio.land(paid(studio, case, &mint)).await
}

/// A permanent delegate moves tokens of anybody: the payer is still who owned them.
async fn pulled(studio: &Studio) -> Landed {
    let program = spl_token_2022_interface::id();
    let mint = mint(
        studio,
        "token-2022 with delegate",
        &[ExtensionType::PermanentDelegate],
        |mint, authority| {
            vec![token::initialize_permanent_delegate(&program, mint, authority).unwrap()]
        },
    )
    .await;
    let pulls = Move {
        authority: mint.authority.pubkey(),
        ..pays(studio, &mint, DUE)
    };
    let case = studio
        .case_in(
            "token-2022-permanent-delegate",
            "The mint's permanent delegate takes the tokens from the buyer",
            &mint,
        )
        .say()
        .send(pulls);
    studio
        .land_by(paid(studio, case, &mint), &mint.authority)
        .await
}
