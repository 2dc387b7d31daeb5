//! Who may move tokens, and whose an account is after the transaction.

use super::case::{Case, DUE, Move};
use super::fixture::Landed;
use super::studio::Studio;
use localnet::associated_token::instruction::recover_nested;
use localnet::system::instruction as system;
use localnet::{Keypair, Pubkey, Signer, Version, associated, create_associated};
use solana_sdk::program_pack::Pack;
use spl_token_2022_interface::instruction::{self as token, AuthorityType};

pub(super) async fn land(studio: &Studio) -> Vec<Landed> {
    let mut all = vec![delegated(studio).await, by_multisig(studio).await];
    all.extend(source_closed(studio).await);
    all.extend(owners(studio).await);
    all.push(account_closed(studio).await);
    all.push(strange_mint(studio).await);
    all.push(wrapped(studio).await);
    all.push(recovered(studio).await);
    all
}

async fn delegated(studio: &Studio) -> Landed {
    let (cast, program) = (studio.cast, spl_token::id());
    let delegate = studio.wallet("delegate").await;
    let approve = token::approve(
        &program,
        &cast.buyer_usdc,
        &delegate.pubkey(),
        &cast.buyer,
        &[],
        DUE,
    )
    .unwrap();
    studio.prepare(&studio.buyer, &[], &[approve]).await;
    let pays = Move {
        authority: delegate.pubkey(),
        ..cast.pays(DUE)
    };
    let case = studio
        .case(
            "delegate",
            "A delegate sends what the buyer owns: the buyer paid",
        )
        .say()
        .send(pays)
        .matched(cast.shop_usdc, DUE, Some(cast.buyer));
    studio.land_by(case, &delegate).await
}

/// Two of three sign for a token account that belongs to a multisig of the token program.
async fn by_multisig(studio: &Studio) -> Landed {
    let (cast, program) = (studio.cast, spl_token::id());
    let multisig = studio.key("multisig");
    let signers = [
        studio.key("signer 1"),
        studio.key("signer 2"),
        studio.key("signer 3"),
    ];
    let keys: Vec<Pubkey> = signers.iter().map(Signer::pubkey).collect();
    let size = spl_token::state::Multisig::LEN;
    let rent = studio
        .net
        .client()
        .get_minimum_balance_for_rent_exemption(size)
        .await
        .unwrap();
    let create =
        system::create_account(&cast.buyer, &multisig.pubkey(), rent, size as u64, &program);
    let init = token::initialize_multisig2(
        &program,
        &multisig.pubkey(),
        &keys.iter().collect::<Vec<_>>(),
        2,
    )
    .unwrap();
    studio
        .prepare(&studio.buyer, &[&multisig], &[create, init])
        .await;
    studio
        .net
        .fund(&multisig.pubkey(), &studio.usdc, DUE)
        .await
        .unwrap();
    let pays = Move {
        source: associated(&multisig.pubkey(), &studio.usdc),
        authority: multisig.pubkey(),
        payer: multisig.pubkey(),
        ..cast.pays(DUE)
    };
    let signed = token::transfer_checked(
        &program,
        &pays.source,
        &pays.mint,
        &pays.destination,
        &pays.authority,
        &[&keys[0], &keys[2]],
        DUE,
        6,
    )
    .unwrap();
    let case = studio
        .case(
            "multisig",
            "Two of three sign for a multisig of the token program",
        )
        .say()
        .moves(pays, Some(cast.usdc), 0)
        .step(signed)
        .matched(cast.shop_usdc, DUE, Some(multisig.pubkey()));
    studio
        .land_as(
            case,
            Version::Legacy,
            &studio.buyer,
            &[&signers[0], &signers[2]],
        )
        .await
}

/// A temporary account is filled, emptied into the shop and closed, all in one transaction.
async fn source_closed(studio: &Studio) -> Vec<Landed> {
    let (cast, program) = (studio.cast, spl_token::id());
    let source = studio
        .net
        .token_account(&studio.buyer, &cast.buyer, &studio.usdc)
        .await
        .unwrap();
    let fill = Move {
        destination: source,
        ..cast.pays(DUE)
    };
    let pay = Move {
        source,
        ..cast.pays(DUE)
    };
    let close = token::close_account(&program, &source, &cast.buyer, &cast.buyer, &[]).unwrap();
    let case = studio
        .case(
            "source-closed",
            "The account it came from is closed in the transaction",
        )
        .say()
        .send(fill)
        .send(pay)
        .step(close)
        .matched(cast.shop_usdc, DUE, Some(cast.buyer));
    vec![studio.land(case).await]
}

/// Accounts that change hands in the transaction that pays into them.
async fn owners(studio: &Studio) -> Vec<Landed> {
    let (cast, program) = (studio.cast, spl_token::id());
    let thief = studio.key("thief").pubkey();
    let own = studio
        .net
        .token_account(&studio.buyer, &cast.shop, &studio.usdc)
        .await
        .unwrap();
    let given = studio
        .net
        .token_account(&studio.buyer, &cast.buyer, &studio.usdc)
        .await
        .unwrap();
    let watching = |account: Pubkey, name, about: &str| {
        Case::new(name, about, &[(account, cast.shop, cast.usdc, program)])
            .checkout(DUE, cast.usdc, cast.shop)
            .say()
    };
    let to = |account: Pubkey| Move {
        destination: account,
        ..cast.pays(DUE)
    };
    let hand = |account: &Pubkey, from: &Pubkey, to: &Pubkey| {
        token::set_authority(
            &program,
            account,
            Some(to),
            AuthorityType::AccountOwner,
            from,
            &[],
        )
        .unwrap()
    };
    let away = watching(
        own,
        "account-given-away",
        "It is paid into, and then belongs to somebody else",
    )
    .with("why", "after the transaction, not to")
    .send(to(own))
    .step(hand(&own, &cast.shop, &thief))
    .differs("balance", "the account belongs to somebody else afterwards");
    // The buyer fills an account of their own and hands it over.
    studio
        .prepare(&studio.buyer, &[], &[to(given).checked()])
        .await;
    let over = watching(
        given,
        "account-handed-over",
        "An account is handed over with what it holds: no balance grew",
    )
    .with("why", "was handed over")
    .step(hand(&given, &cast.buyer, &cast.shop));
    vec![
        studio
            .land_as(away, Version::Legacy, &studio.buyer, &[&studio.shop])
            .await,
        studio.land(over).await,
    ]
}

/// The shop's account is paid into, emptied and closed.
async fn account_closed(studio: &Studio) -> Landed {
    let (cast, program) = (studio.cast, spl_token::id());
    let own = studio
        .net
        .token_account(&studio.buyer, &cast.shop, &studio.usdc)
        .await
        .unwrap();
    let into = Move {
        destination: own,
        ..cast.pays(DUE)
    };
    let out = Move {
        source: own,
        destination: cast.buyer_usdc,
        authority: cast.shop,
        payer: cast.shop,
        ..cast.pays(DUE)
    };
    let close = token::close_account(&program, &own, &cast.shop, &cast.shop, &[]).unwrap();
    let case = Case::new(
        "account-closed",
        "It is paid into, emptied and closed",
        &[(own, cast.shop, cast.usdc, program)],
    )
    .checkout(DUE, cast.usdc, cast.shop)
    .say()
    .send(into)
    .send(out)
    .step(close);
    studio
        .land_as(case, Version::Legacy, &studio.buyer, &[&studio.shop])
        .await
}

/// Anyone can make a mint that calls itself USDC and send it to the merchant's wallet.
async fn strange_mint(studio: &Studio) -> Landed {
    let cast = studio.cast;
    let authority = studio.wallet("forger").await;
    let mint = studio
        .net
        .mint_at(spl_token::id(), authority, &studio.key("forged usdc"))
        .await
        .unwrap();
    studio.net.fund(&cast.buyer, &mint, DUE).await.unwrap();
    let pays = Move {
        mint: mint.address,
        source: associated(&cast.buyer, &mint),
        destination: associated(&cast.shop, &mint),
        ..cast.pays(DUE)
    };
    let mut pay = pays.checked();
    // The real account is named as well, so that its history and subscription bring the transaction.
    pay.accounts
        .push(localnet::AccountMeta::new_readonly(cast.shop_usdc, false));
    let case = studio
        .case(
            "forged-mint",
            "Another mint that calls itself USDC, paid to the same wallet",
        )
        .step(create_associated(&cast.buyer, &cast.shop, &mint))
        .say()
        .moves(pays, Some(mint.address), 0)
        .step(pay);
    studio.land(case).await
}

/// Lamports become wrapped SOL by SyncNative: no transfer of the token program is made.
async fn wrapped(studio: &Studio) -> Landed {
    let (cast, program) = (studio.cast, spl_token::id());
    let native = spl_token::native_mint::id();
    let (account, space) = (studio.key("wrapped sol"), spl_token::state::Account::LEN);
    let rent = studio
        .net
        .client()
        .get_minimum_balance_for_rent_exemption(space)
        .await
        .unwrap();
    let create =
        system::create_account(&cast.buyer, &account.pubkey(), rent, space as u64, &program);
    let init =
        token::initialize_account3(&program, &account.pubkey(), &native, &cast.shop).unwrap();
    studio
        .prepare(&studio.buyer, &[&account], &[create, init])
        .await;
    let key = account.pubkey();
    let case = Case::new(
        "wrapped-sol",
        "Lamports are sent to the account and synced: no token instruction moves anything",
        &[(key, cast.shop, native, program)],
    )
    .checkout(DUE, native, cast.shop)
    .say()
    .step(system::transfer(&cast.buyer, &key, DUE))
    .step(token::sync_native(&program, &key).unwrap())
    .matched(key, DUE, None);
    studio.land(case).await
}

/// Tokens that somebody sent to an account owned by the shop's token account come out again, by a call of the program for
/// associated accounts: a transfer that is an inner instruction.
async fn recovered(studio: &Studio) -> Landed {
    let cast = studio.cast;
    studio
        .net
        .fund(&cast.shop_usdc, &studio.usdc, DUE)
        .await
        .unwrap();
    let nested = associated(&cast.shop_usdc, &studio.usdc);
    let out = Move {
        source: nested,
        authority: cast.shop_usdc,
        payer: cast.shop_usdc,
        ..cast.pays(DUE)
    };
    let case = studio
        .case(
            "inner-transfer-recovered",
            "A transfer made by another program, recorded: tokens come out of a nested account",
        )
        .say()
        .moves(out, Some(cast.usdc), 1)
        .step(recover_nested(
            &cast.shop,
            &cast.usdc,
            &cast.usdc,
            &spl_token::id(),
        ))
        .matched(cast.shop_usdc, DUE, Some(cast.shop_usdc));
    let payer: &Keypair = &studio.shop;
    studio.land_by(case, payer).await
}
