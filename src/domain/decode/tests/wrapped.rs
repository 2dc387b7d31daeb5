//! Wrapped SOL: `SyncNative` counts lamports as tokens, also those that came in an earlier transaction. A credit is what the
//! transaction itself brought.

use super::*;
use crate::domain::Lamports;

const RENT: u64 = 2_039_280;
/// Another account of the wallet.
const OTHER: u8 = 50;

fn native_list() -> WatchList {
    let mint = Mint(spl_token::native_mint::id());
    [Watched {
        mint,
        ..watched(ACCOUNT)
    }]
    .into_iter()
    .collect()
}

fn native(account: u8, owner: u8, amount: u64) -> TokenBalance {
    TokenBalance {
        mint: Mint(spl_token::native_mint::id()),
        ..balance(account, owner, amount)
    }
}

fn sync(account: u8) -> Instruction {
    token(&[account], vec![17])
}

/// Our account, by its tokens and its lamports before and after.
fn synced(tokens: [u64; 2], lamports: Option<[u64; 2]>) -> Transaction {
    let told = |[before, after]: [u64; 2]| Lamports { before, after };
    let none = Lamports {
        before: 0,
        after: 0,
    };
    Transaction {
        keys: [ACCOUNT, SOURCE, OTHER].map(key).to_vec(),
        instructions: vec![memo("a"), sync(ACCOUNT)],
        pre: vec![native(ACCOUNT, WALLET, tokens[0])],
        post: vec![native(ACCOUNT, WALLET, tokens[1])],
        lamports: lamports.map(|lamports| vec![told(lamports), none, none]),
        ..plain()
    }
}

fn received(transaction: &Transaction) -> Result<u64, Incomplete> {
    let decoded = decode(transaction, &native_list())?;
    Ok(decoded.credits.iter().map(|one| one.received.0).sum())
}

#[test]
fn lamports_that_came_earlier_are_credited_to_nobody() {
    let earlier = synced([0, 700], Some([RENT + 700, RENT + 700]));
    assert_eq!(received(&earlier), Ok(0), "all of it came earlier");
    let partly = synced([0, 700], Some([RENT + 600, RENT + 700]));
    assert_eq!(received(&partly), Ok(100), "100 came in this transaction");
    let now = synced([5, 705], Some([RENT + 5, RENT + 705]));
    assert_eq!(
        received(&now),
        Ok(700),
        "all of it came in this transaction"
    );
    let unsynced = synced([5, 5], Some([RENT + 5, RENT + 705]));
    assert_eq!(received(&unsynced), Ok(0), "lamports alone are no tokens");
    let mut made = synced([0, 700], Some([0, RENT + 700]));
    made.pre.clear();
    assert_eq!(
        received(&made),
        Ok(700),
        "an account that is new holds its rent, too"
    );
    let mut funded = synced([0, 700], Some([RENT + 700, RENT + 700]));
    funded.pre.clear();
    assert_eq!(
        received(&funded),
        Ok(0),
        "made where the lamports lay already"
    );
}

#[test]
fn a_transfer_beside_a_sync_is_credited_alone() {
    let mut both = synced([0, 710], Some([RENT + 700, RENT + 710]));
    both.instructions
        .push(token(&[SOURCE, ACCOUNT, PAYER], transfer_data(10)));
    both.pre.push(native(SOURCE, PAYER, 50));
    both.post.push(native(SOURCE, PAYER, 40));
    assert_eq!(received(&both), Ok(10));
}

/// Earlier lamports hide that the wallet moved its own tokens.
#[test]
fn a_sync_does_not_make_income_of_the_wallets_own_tokens() {
    let mut own = synced([0, 15], Some([RENT + 5, RENT + 15]));
    own.instructions
        .push(token(&[OTHER, ACCOUNT, WALLET], transfer_data(10)));
    own.instructions.push(sync(OTHER));
    own.pre.push(native(OTHER, WALLET, 30));
    own.post.push(native(OTHER, WALLET, 27));
    if let Some(lamports) = own.lamports.as_mut() {
        lamports[2] = Lamports {
            before: RENT + 37,
            after: RENT + 27,
        };
    }
    assert_eq!(received(&own), Ok(0));
}

#[test]
fn without_lamports_only_transfers_are_believed() {
    assert_eq!(received(&synced([0, 700], None)), Err(Incomplete::Lamports));
    let mut made = synced([0, 700], None);
    made.pre.clear();
    assert_eq!(received(&made), Err(Incomplete::BalanceBefore));
    let mut paid = synced([5, 15], None);
    paid.instructions[1] = token(&[SOURCE, ACCOUNT, PAYER], transfer_data(10));
    paid.pre.push(native(SOURCE, PAYER, 50));
    paid.post.push(native(SOURCE, PAYER, 40));
    assert_eq!(received(&paid), Ok(10));
    paid.post[0].amount = BaseUnits(16);
    assert_eq!(
        received(&paid),
        Err(Incomplete::Lamports),
        "one more than was paid"
    );
    assert_eq!(received(&synced([5, 5], None)), Ok(0), "nothing was gained");
}

/// Wallets wrap SOL in an account that they make, spend from and close in one transaction.
#[test]
fn a_source_that_was_made_of_lamports_is_a_payer() {
    let mut paid = synced([5, 15], Some([RENT + 5, RENT + 15]));
    paid.instructions[1] = token(&[SOURCE, ACCOUNT, PAYER], transfer_data(10));
    paid.instructions
        .push(token(&[SOURCE, PAYER, PAYER], vec![9]));
    assert_eq!(received(&paid), Ok(10));
    if let Some(lamports) = paid.lamports.as_mut() {
        lamports[1].before = RENT;
    }
    assert_eq!(
        received(&paid),
        Err(Incomplete::Wallet),
        "it was there before"
    );
}
