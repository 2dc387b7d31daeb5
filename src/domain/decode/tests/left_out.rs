//! A balance that a node does not tell is unknown, never zero.

use super::*;
use crate::domain::Lamports;

/// Decodes the plain payment, changed.
fn changed(edit: impl FnOnce(&mut Transaction)) -> Result<Vec<u64>, Incomplete> {
    let mut transaction = plain();
    edit(&mut transaction);
    let decoded = decode(&transaction, &watch_list())?;
    Ok(decoded
        .credits
        .iter()
        .map(|credit| credit.received.0)
        .collect())
}

fn check_left_out(what: &str, edit: impl FnOnce(&mut Transaction), expected: Incomplete) {
    assert_eq!(changed(edit), Err(expected), "{what}");
}

fn check_gave(what: &str, edit: impl FnOnce(&mut Transaction), received: &[u64]) {
    assert_eq!(changed(edit).as_deref(), Ok(received), "{what}");
}

/// So many lamports in each account, before and after.
#[expect(clippy::unnecessary_wraps, reason = "as the transaction has them")]
fn lamports(transaction: &Transaction, each: u64) -> Option<Vec<Lamports>> {
    let (before, after) = (each, each);
    Some(vec![Lamports { before, after }; transaction.keys.len()])
}

fn close(account: u8) -> Instruction {
    token(&[account, PAYER, WALLET], vec![9])
}

/// `[255]` and each item with the number of its accounts and the length of its data.
fn batch(items: &[(&[u8], &[u8])]) -> Instruction {
    let mut data = vec![255];
    let mut accounts = Vec::new();
    for (named, bytes) in items {
        data.push(u8::try_from(named.len()).unwrap());
        data.push(u8::try_from(bytes.len()).unwrap());
        data.extend(*bytes);
        accounts.extend(*named);
    }
    token(&accounts, data)
}

#[test]
#[rustfmt::skip] // a table
fn an_account_that_received_tokens_must_be_among_the_balances() {
    use Incomplete::{BalanceAfter, BalanceBefore};
    check_left_out("no balances after", |t| t.post.clear(), BalanceAfter);
    check_left_out("no balances at all", |t| { t.pre.clear(); t.post.clear(); }, BalanceAfter);
    check_left_out("its balance after", |t| { t.post.remove(0); }, BalanceAfter);
    check_left_out("its balance before", |t| { t.pre.remove(0); }, BalanceBefore);
    check_left_out("both of its balances", |t| { t.pre.remove(0); t.post.remove(0); }, BalanceAfter);
    let inner = |t: &mut Transaction| { t.instructions[1].depth = 2; t.pre.clear(); t.post.clear(); };
    check_left_out("a transfer of an inner instruction", inner, BalanceAfter);
    for (what, accounts, data) in [
        ("checked", &[SOURCE, MINT, ACCOUNT, PAYER][..], [&[12][..], &transfer_data(10)[1..], &[6]].concat()),
        ("with a fee", &[SOURCE, MINT, ACCOUNT, PAYER], [&[26, 1][..], &transfer_data(10)[1..], &[6], &[0; 8]].concat()),
        ("minted", &[MINT, ACCOUNT, PAYER], [&[7][..], &transfer_data(10)[1..]].concat()),
        ("minted, checked", &[MINT, ACCOUNT, PAYER], [&[14][..], &transfer_data(10)[1..], &[6]].concat()),
        ("lamports counted as tokens", &[ACCOUNT], vec![17]),
    ] {
        let edit = |t: &mut Transaction| { t.instructions[1] = token(accounts, data); t.pre.clear(); t.post.clear(); };
        check_left_out(what, edit, BalanceAfter);
    }
    let in_batch = |t: &mut Transaction| {
        t.instructions[1] = batch(&[(&[SOURCE, ACCOUNT, PAYER], &transfer_data(10))]);
        t.pre.clear(); t.post.clear();
    };
    check_left_out("in a batch", in_batch, BalanceAfter);
    // It held 5, sent 5 away and got 10: 10 are there afterwards, and 5 of them are no gain.
    let passed_on = |t: &mut Transaction| {
        t.instructions.push(token(&[ACCOUNT, SOURCE, WALLET], transfer_data(5)));
        t.pre.remove(0);
        t.post[0].amount = BaseUnits(10);
    };
    check_left_out("a balance before, hidden by what was sent away", passed_on, BalanceBefore);
}

#[test]
#[rustfmt::skip] // a table
fn a_balance_that_ends_needs_an_end() {
    use Incomplete::BalanceAfter;
    let nothing_moved = |t: &mut Transaction| { t.instructions.remove(1); };
    check_left_out("it held 5 and is gone", |t| { nothing_moved(t); t.post.clear(); }, BalanceAfter);
    check_gave("it was closed", |t| { t.post.clear(); t.instructions.push(close(ACCOUNT)); }, &[]);
    check_gave("it was closed in a batch", |t| {
        t.post.clear();
        t.instructions.push(batch(&[(&[ACCOUNT, PAYER, WALLET], &[9])]));
    }, &[]);
    check_gave("made, filled and closed", |t| {
        t.pre.clear(); t.post.clear();
        t.instructions.push(close(ACCOUNT));
    }, &[]);
    check_left_out("another account was closed", |t| { t.post.clear(); t.instructions.push(close(SOURCE)); }, BalanceAfter);
    check_left_out("closed, made anew, and paid", |t| { t.post.clear(); t.instructions.insert(1, close(ACCOUNT)); }, BalanceAfter);
    let other_program = Instruction { program: key(88), ..close(ACCOUNT) };
    check_left_out("another program's bytes", |t| { t.post.clear(); t.instructions.push(other_program); }, BalanceAfter);
}

/// Anybody can name our account, before it is there or after: that alone must not fill the quarantine.
#[test]
#[rustfmt::skip] // a table
fn a_mention_without_money_needs_no_balance() {
    let mention = |t: &mut Transaction| {
        t.instructions.truncate(1); t.pre.clear(); t.post.clear();
        t.lamports = lamports(t, 0);
    };
    check_gave("named and not touched", mention, &[]);
    let nothing = |t: &mut Transaction| { mention(t); t.instructions.push(token(&[SOURCE, ACCOUNT, PAYER], transfer_data(0))); };
    check_gave("a transfer of nothing", nothing, &[]);
    let elsewhere = |t: &mut Transaction| { mention(t); t.instructions.push(token(&[SOURCE, 98, PAYER, ACCOUNT], transfer_data(10))); };
    check_gave("a transfer elsewhere that names it", elsewhere, &[]);
    let fake = |t: &mut Transaction| {
        mention(t);
        t.instructions.push(Instruction { program: key(88), ..token(&[SOURCE, ACCOUNT, PAYER], transfer_data(10)) });
    };
    check_gave("another program's bytes", fake, &[]);
    check_gave("read-only, with inner instructions unknown", |t| {
        mention(t);
        t.inner_known = false;
        t.writable.clear();
    }, &[]);
    check_gave("writable, with inner instructions unknown, and not there", |t| {
        mention(t);
        t.inner_known = false;
    }, &[]);
    check_gave("without a token program nobody can move tokens", |t| {
        mention(t);
        t.keys.pop();
        t.lamports = None;
        t.inner_known = false;
    }, &[]);
}

/// Balances and inner instructions are both empty lists: the payment would look like a mention.
#[test]
#[rustfmt::skip] // a table
fn an_account_that_is_there_must_be_among_the_balances() {
    use Incomplete::{BalanceAfter, InnerInstructions};
    let nothing = |t: &mut Transaction| { t.instructions.truncate(1); t.pre.clear(); t.post.clear(); };
    check_left_out("no lamports told", nothing, BalanceAfter);
    check_left_out("it has lamports", |t| { nothing(t); t.lamports = lamports(t, 9); }, BalanceAfter);
    check_left_out("inner instructions unknown, too", |t| { nothing(t); t.inner_known = false; }, InnerInstructions);
    check_left_out("the other token program", |t| { nothing(t); t.keys[3] = spl_token_2022_interface::id(); }, BalanceAfter);
    check_left_out("another account is told", |t| { t.instructions.truncate(1); t.pre.remove(0); t.post.remove(0); }, BalanceAfter);
    check_gave("made and closed, and no lamports told", |t| { nothing(t); t.instructions.push(close(ACCOUNT)); }, &[]);
    check_gave("read-only", |t| { nothing(t); t.writable.clear(); }, &[]);
}

#[test]
#[rustfmt::skip] // a table
fn an_entry_without_owner_or_program_is_unknown() {
    use Incomplete::{Owner, Wallet as OfTheWallet};
    let own = |amounts: [u64; 2]| move |t: &mut Transaction| {
        t.pre.push(balance(50, WALLET, amounts[0]));
        t.post.push(balance(50, WALLET, amounts[1]));
    };
    check_left_out("ours, after", |t| t.post[0].owner = None, Owner);
    check_left_out("ours, the program", |t| t.post[0].token_program = None, Owner);
    check_gave("ours, before: it gained 10 whoever owned it", |t| t.pre[0].owner = None, &[10]);
    check_gave("the payer's, after", |t| t.post[1].owner = None, &[10]);
    check_left_out("the payer's, before: the 10 may be the wallet's own", |t| t.pre[1].owner = None, OfTheWallet);
    check_gave("another account of the wallet that stays", own([30, 30]), &[10]);
    check_gave("another account of the wallet that paid", own([30, 20]), &[]);
    check_left_out("whose owner before is unknown", |t| { own([30, 20])(t); t.pre[2].owner = None; }, OfTheWallet);
    check_left_out("whose owner after is unknown", |t| { own([30, 30])(t); t.post[2].owner = None; }, OfTheWallet);
    check_left_out("whose balance before is missing", |t| { own([30, 20])(t); t.pre.remove(2); }, OfTheWallet);
    check_left_out("whose balance after is missing", |t| { own([30, 20])(t); t.post.remove(2); }, OfTheWallet);
    check_gave("which was closed", |t| { own([30, 20])(t); t.post.remove(2); t.instructions.push(close(50)); }, &[]);
    check_gave("a new one that was filled, too", |t| {
        own([0, 4])(t);
        t.pre.remove(2);
        t.instructions.push(token(&[SOURCE, 50, PAYER], transfer_data(4)));
    }, &[10]);
    check_gave("another mint", |t| {
        own([30, 20])(t);
        t.pre.remove(2);
        t.post[2].mint = Mint(key(99));
    }, &[10]);
}

#[test]
#[rustfmt::skip] // a table
fn a_source_without_balances_may_be_the_wallets_own() {
    let hidden = |t: &mut Transaction| { t.pre.remove(1); t.post.remove(1); };
    check_left_out("both balances of the source", hidden, Incomplete::Wallet);
    check_gave("a source that was filled, emptied and closed", |t| {
        hidden(t);
        t.instructions.insert(1, token(&[60, SOURCE, 61], transfer_data(10)));
        t.instructions.push(close(SOURCE));
    }, &[10]);
    check_gave("tokens that were minted have no source", |t| {
        hidden(t);
        t.instructions[1] = token(&[MINT, ACCOUNT, PAYER], [&[7][..], &transfer_data(10)[1..]].concat());
    }, &[10]);
}

#[test]
#[rustfmt::skip] // a table
fn two_things_told_of_one_account_are_no_answer() {
    use Incomplete::Contradiction;
    check_left_out("two balances after", |t| t.post.push(balance(ACCOUNT, WALLET, 16)), Contradiction);
    check_left_out("two balances before", |t| t.pre.push(balance(ACCOUNT, WALLET, 6)), Contradiction);
    check_left_out("two owners", |t| t.post.push(balance(ACCOUNT, PAYER, 15)), Contradiction);
    check_gave("the same told twice", |t| {
        t.pre.extend(t.pre.clone());
        t.post.extend(t.post.clone());
    }, &[10]);
    check_gave("the same told twice, after alone", |t| t.post.extend(t.post.clone()), &[10]);
    check_left_out("another mint before", |t| t.pre[0].mint = Mint(key(99)), Contradiction);
    check_left_out("another mint after", |t| t.post[0].mint = Mint(key(99)), Contradiction);
    check_left_out("another program before", |t| t.pre[0].token_program = Some(TokenProgram::Token2022), Contradiction);
    let wrong_program = |t: &mut Transaction| for one in [&mut t.pre[0], &mut t.post[0]] {
        one.token_program = Some(TokenProgram::Token2022);
    };
    check_left_out("another program than the one that paid", wrong_program, Contradiction);
    let checked = [&[12_u8][..], &10_u64.to_le_bytes(), &[6]].concat();
    let wrong_mint = |t: &mut Transaction| {
        t.instructions[1] = token(&[SOURCE, MINT, ACCOUNT, PAYER], checked);
        (t.pre[0].mint, t.post[0].mint) = (Mint(key(99)), Mint(key(99)));
    };
    check_left_out("another mint than the one that was paid", wrong_mint, Contradiction);
    check_gave("closed, and made anew for another mint", |t| {
        t.instructions[1] = close(ACCOUNT);
        t.post[0].mint = Mint(key(99));
        t.post[0].amount = BaseUnits(0);
    }, &[]);
}
