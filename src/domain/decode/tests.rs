use super::*;
use crate::domain::{
    Decimals, Instruction, Pubkey, Signature, TokenAccount, TokenBalance, TokenProgram, Version,
};
use proptest::prelude::*;

mod left_out;
mod wrapped;

const ACCOUNT: u8 = 1;
const WALLET: u8 = 2;
const MINT: u8 = 3;
const SOURCE: u8 = 4;
const PAYER: u8 = 5;

fn key(byte: u8) -> Pubkey {
    Pubkey::new_from_array([byte; 32])
}

fn watched(account: u8) -> Watched {
    Watched {
        token_account: TokenAccount(key(account)),
        wallet: Wallet(key(WALLET)),
        mint: Mint(key(MINT)),
        token_program: TokenProgram::Token,
        decimals: Decimals::new(6).unwrap(),
        symbol: "USDC".into(),
    }
}

fn watch_list() -> WatchList {
    [watched(ACCOUNT), watched(ACCOUNT + 100)]
        .into_iter()
        .collect()
}

fn balance(account: u8, owner: u8, amount: u64) -> TokenBalance {
    TokenBalance {
        token_account: TokenAccount(key(account)),
        mint: Mint(key(MINT)),
        owner: Some(Wallet(key(owner))),
        token_program: Some(TokenProgram::Token),
        decimals: None,
        amount: BaseUnits(amount),
    }
}

fn token(accounts: &[u8], data: Vec<u8>) -> Instruction {
    Instruction {
        program: spl_token::id(),
        accounts: accounts.iter().map(|byte| key(*byte)).collect(),
        data,
        depth: 0,
    }
}

fn transfer_data(amount: u64) -> Vec<u8> {
    [&[3_u8][..], &amount.to_le_bytes()].concat()
}

fn memo(text: &str) -> Instruction {
    Instruction {
        program: spl_memo_interface::v3::id(),
        accounts: vec![],
        data: text.as_bytes().to_vec(),
        depth: 0,
    }
}

/// The payer's 10 arrive; change what makes a case.
fn plain() -> Transaction {
    Transaction {
        signature: Signature::from([7; 64]),
        slot: 1,
        block_time: None,
        version: Version::Legacy,
        outcome: Outcome::Succeeded,
        keys: vec![
            key(ACCOUNT),
            key(SOURCE),
            key(ACCOUNT + 100),
            spl_token::id(),
        ],
        writable: [ACCOUNT, SOURCE].map(key).to_vec(),
        instructions: vec![
            memo("a"),
            token(&[SOURCE, ACCOUNT, PAYER], transfer_data(10)),
        ],
        inner_known: true,
        pre: vec![balance(ACCOUNT, WALLET, 5), balance(SOURCE, PAYER, 50)],
        post: vec![balance(ACCOUNT, WALLET, 15), balance(SOURCE, PAYER, 40)],
        lamports: None,
    }
}

fn check(what: &str, edit: impl FnOnce(&mut Transaction), received: &[u64], payer: Option<u8>) {
    let mut transaction = plain();
    edit(&mut transaction);
    let decoded = decode(&transaction, &watch_list()).unwrap();
    assert_eq!(
        decoded
            .credits
            .iter()
            .map(|credit| credit.received.0)
            .collect::<Vec<_>>(),
        received,
        "{what}"
    );
    if let Some(first) = decoded.credits.first() {
        assert_eq!(first.payer, payer.map(|byte| Wallet(key(byte))), "{what}");
    }
}

#[test]
#[rustfmt::skip] // a table
fn what_a_transaction_gave() {
    check("a plain transfer", |_| {}, &[10], Some(PAYER));
    let created = |t: &mut Transaction| {
        t.pre.truncate(0);
        t.post[0].amount = BaseUnits(10);
    };
    check("account created by the payment", created, &[10], Some(PAYER));
    check("source closed in the transaction", |t| t.post.truncate(1), &[10], Some(PAYER));
    check("a fee withheld on the way", |t| t.post[0].amount = BaseUnits(14), &[9], Some(PAYER));
    check("failed", |t| t.outcome = Outcome::Failed, &[], None);
    check("another owner afterwards", |t| t.post[0].owner = Some(Wallet(key(99))), &[], None);
    let other_mint = |t: &mut Transaction| {
        (t.pre[0].mint, t.post[0].mint) = (Mint(key(99)), Mint(key(99)));
    };
    check("another mint of the same name", other_mint, &[], None);
    let other_program = |t: &mut Transaction| {
        t.instructions[1].program = spl_token_2022_interface::id();
        for balance in [&mut t.pre[0], &mut t.post[0]] {
            balance.token_program = Some(TokenProgram::Token2022);
        }
    };
    check("another token program", other_program, &[], None);
    let closed = |t: &mut Transaction| {
        t.post.truncate(0);
        t.instructions.push(token(&[ACCOUNT, PAYER, WALLET], vec![9]));
    };
    check("closed afterwards", closed, &[], None);
    check("outgoing", |t| t.post[0].amount = BaseUnits(4), &[], None);
    check("there and back again", |t| t.post = t.pre.clone(), &[], None);
    let handed_over = |t: &mut Transaction| {
        (t.pre[0].owner, t.post[0].amount) = (Some(Wallet(key(PAYER))), BaseUnits(5));
    };
    check("an account handed over with its balance", handed_over, &[], None);
    let minted = |t: &mut Transaction| {
        t.instructions = vec![token(
            &[MINT, ACCOUNT, PAYER],
            [&[7][..], &10_u64.to_le_bytes()].concat(),
        )];
    };
    check("minted by a bridge", minted, &[10], None);
    let delegated = |t: &mut Transaction| t.instructions[1].accounts[2] = key(77);
    check("a delegate as authority", delegated, &[10], Some(PAYER));
    let shuffled = |t: &mut Transaction| {
        t.pre.push(balance(ACCOUNT + 100, WALLET, 30));
        t.post.push(balance(ACCOUNT + 100, WALLET, 20));
    };
    check("moved between two accounts of the wallet", shuffled, &[], None);
    let two = |t: &mut Transaction| {
        t.pre.push(balance(ACCOUNT + 100, WALLET, 1));
        t.post.push(balance(ACCOUNT + 100, WALLET, 4));
    };
    check("to two watched accounts", two, &[10, 3], Some(PAYER));
    let all = |t: &mut Transaction| {
        (t.pre[0].amount, t.post[0].amount) = (BaseUnits(0), BaseUnits(u64::MAX));
    };
    check("all there is", all, &[u64::MAX], Some(PAYER));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a list of cases")]
fn transfers_are_read_from_every_instruction_that_moves_tokens() {
    let checked = [&[12_u8][..], &10_u64.to_le_bytes(), &[6]].concat();
    let with_fee = [
        &[26_u8, 1][..],
        &10_u64.to_le_bytes(),
        &[6],
        &1_u64.to_le_bytes(),
    ]
    .concat();
    let expected = |mint: Option<u8>| Transfer {
        source: Some(TokenAccount(key(SOURCE))),
        destination: TokenAccount(key(ACCOUNT)),
        authority: Wallet(key(PAYER)),
        mint: mint.map(key).map(Mint),
        amount: BaseUnits(10),
        depth: 0,
    };
    let long = [SOURCE, MINT, ACCOUNT, PAYER, 90, 91];
    for (instruction, mint) in [
        (
            token(&[SOURCE, ACCOUNT, PAYER, 90], transfer_data(10)),
            None,
        ),
        (
            token(
                &[SOURCE, ACCOUNT, PAYER],
                [transfer_data(10), vec![1, 2]].concat(),
            ),
            None,
        ),
        (token(&long, checked.clone()), Some(MINT)),
        (
            Instruction {
                program: spl_token_2022_interface::id(),
                ..token(&long, with_fee)
            },
            Some(MINT),
        ),
    ] {
        assert_eq!(Transfer::in_instruction(&instruction), [expected(mint)]);
    }
    let item = |accounts: u8, data: &[u8]| {
        [&[accounts, u8::try_from(data.len()).unwrap()][..], data].concat()
    };
    let batch = [
        &[255_u8][..],
        &item(3, &transfer_data(10)),
        &item(4, &checked),
        &item(1, &[9]),
    ]
    .concat();
    let accounts = [SOURCE, ACCOUNT, PAYER, SOURCE, MINT, ACCOUNT, PAYER, 90];
    assert_eq!(
        Transfer::in_instruction(&token(&accounts, batch.clone())),
        [expected(None), expected(Some(MINT))]
    );
    assert_eq!(
        Transfer::in_instruction(&token(&accounts[..5], batch.clone())),
        [expected(None)],
        "accounts cut short"
    );
    assert_eq!(
        Transfer::in_instruction(&token(&accounts, batch[..8].to_vec())),
        [],
        "data cut short"
    );
    let nested = [
        &[255_u8][..],
        &item(3, &[&[255][..], &item(3, &transfer_data(10))].concat()),
    ]
    .concat();
    assert_eq!(
        Transfer::in_instruction(&token(&accounts, nested)),
        [],
        "a batch holds no batch"
    );
    let elsewhere = Instruction {
        program: key(88),
        ..token(&[SOURCE, ACCOUNT, PAYER], transfer_data(10))
    };
    assert_eq!(
        Transfer::in_instruction(&elsewhere),
        [],
        "another program's bytes"
    );
}

#[test]
fn memos_of_all_three_programs_count_and_of_no_other() {
    let mut transaction = plain();
    transaction.instructions = vec![
        Instruction {
            program: spl_memo_interface::v1::id(),
            ..memo("one")
        },
        Instruction {
            program: spl_memo_interface::v4::id(),
            ..memo(" four\0")
        },
        Instruction {
            program: key(88),
            ..memo("fake")
        },
        memo("  "),
        Instruction {
            data: vec![0xff],
            ..memo("")
        },
        memo("three"),
    ];
    let memos = decode(&transaction, &watch_list()).unwrap().memos;
    assert_eq!(
        memos.iter().map(Memo::as_str).collect::<Vec<_>>(),
        ["one", "four", "three"]
    );
}

#[test]
fn what_the_node_left_out_is_not_judged_by_half() {
    let unknown_inner = Transaction {
        inner_known: false,
        ..plain()
    };
    assert!(
        decode(&unknown_inner, &watch_list()).is_ok(),
        "the memo is there"
    );
    let mut no_memo = unknown_inner;
    no_memo.instructions.remove(0);
    assert_eq!(
        decode(&no_memo, &watch_list()),
        Err(Incomplete::InnerInstructions)
    );
}

/// Lengths that the data claims cost nothing: what is allocated is bounded by the transaction's own size.
#[test]
fn what_is_allocated_is_bounded_by_the_size_of_the_transaction() {
    let claims = |items: &[u8]| [&[255_u8][..], items].concat();
    let hostile = [
        claims(&[255; 2_000]),
        claims(&[0; 3_000]),
        claims(&[1, 0].repeat(1_500)),
        claims(&[&[3, 9, 3][..], &[255; 8]].concat().repeat(200)),
        [&[3][..], &[255; 3_000]].concat(),
    ];
    let accounts: Vec<u8> = (0..=u8::MAX).cycle().take(600).collect();
    for data in hostile {
        let mut transaction = plain();
        transaction.instructions.push(memo(&"m".repeat(3_000)));
        let instruction = token(&accounts, data);
        let size = instruction.data.len() + 32 * instruction.accounts.len() + 3_000;
        transaction.instructions.push(instruction);
        let watch_list = watch_list();
        let mut decoded = None;
        let used = allocation_counter::measure(|| {
            decoded = Some(decode(&transaction, &watch_list));
        });
        assert!(decoded.is_some());
        let (most, total) = (used.bytes_max, used.bytes_total);
        let bound = u64::try_from(8 * size + 4_096).unwrap();
        assert!(
            total <= bound,
            "{most} at once, {total} in all, {size} given"
        );
    }
}

proptest! {
    /// No bytes of an instruction can make reading it panic, nor change what was received.
    #[test]
    fn no_instruction_changes_the_amount(accounts in prop::collection::vec(any::<u8>(), 0..12), data in prop::collection::vec(any::<u8>(), 0..80)) {
        let mut transaction = plain();
        transaction.instructions.push(token(&accounts, data));
        // Such bytes may contradict the balances, or move tokens to an account without one: then nothing is credited.
        if let Ok(decoded) = decode(&transaction, &watch_list()) {
            prop_assert_eq!(decoded.credits[0].received, BaseUnits(10));
        }
    }

    /// However balances move between a wallet's accounts, it is credited no more than it gained.
    #[test]
    fn no_wallet_is_credited_more_than_it_gained(pre: [u64; 2], post: [u64; 2]) {
        let both = |amounts: [u64; 2]| vec![balance(ACCOUNT, WALLET, amounts[0]), balance(ACCOUNT + 100, WALLET, amounts[1]), balance(SOURCE, PAYER, 0)];
        let transaction = Transaction { pre: both(pre), post: both(post), ..plain() };
        let credited: u128 = decode(&transaction, &watch_list()).unwrap().credits.iter().map(|credit| u128::from(credit.received.0)).sum();
        let sum = |amounts: [u64; 2]| u128::from(amounts[0]) + u128::from(amounts[1]);
        prop_assert!(credited <= sum(post).saturating_sub(sum(pre)));
    }

    /// The order in which a node tells balances changes nothing.
    #[test]
    fn the_order_of_balances_does_not_matter(pre: [u64; 2], post: [u64; 2], turns: [bool; 2]) {
        let told = |amounts: [u64; 2], is_turned: bool| {
            let mut both = vec![balance(ACCOUNT, WALLET, amounts[0]), balance(ACCOUNT + 100, WALLET, amounts[1]), balance(SOURCE, PAYER, 0)];
            if is_turned {
                both.reverse();
            }
            both
        };
        let read = |turns: [bool; 2]| {
            let transaction = Transaction { pre: told(pre, turns[0]), post: told(post, turns[1]), ..plain() };
            decode(&transaction, &watch_list()).unwrap().credits
        };
        prop_assert_eq!(read([false; 2]), read(turns));
    }
}
