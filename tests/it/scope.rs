//! A wallet that is shared with others (`watch.scope = "own"`): strangers' transactions cost no fetch, and no payment is lost by that.

use crate::support::backend::DUE;
use crate::support::eventually;
use crate::support::ledger::Entry;
use crate::support::scripted::Scripted;
use localnet::Pubkey;
use paywatch::clock;
use paywatch::domain::{Memo, Signature, TokenAccount};
use std::time::Duration;

const STRANGERS: usize = 50;

/// Strangers pay into the shared wallet, with memos of their own.
fn strangers_pay(scripted: &Scripted) {
    let (mut ledger, slot) = (scripted.chain.ledger(), scripted.chain.slot());
    for number in 0..STRANGERS {
        ledger.land(Entry::paid(slot, DUE, &format!("stranger {number}")));
    }
}

fn pays(scripted: &Scripted, memo: Option<&str>) -> Signature {
    let entry = Entry {
        memo: memo.map(str::to_owned),
        ..Entry::paid(scripted.chain.slot(), DUE, "")
    };
    scripted.chain.ledger().land(entry)
}

/// With sockets and without: what is ours is fetched, what shows no memo too, and nothing else.
async fn strangers_cost_nothing(sockets: bool) {
    let scripted = Scripted::with(1).await;
    let mut changes = vec![("WATCH__SCOPE", "own"), ("SOLANA__SWEEP_EVERY", "1s")];
    if !sockets {
        changes.push(("SOLANA__WS_URLS", ""));
    }
    let daemon = scripted.watch(&changes).await;
    let mut ours = Vec::new();
    for _ in 0..3 {
        strangers_pay(&scripted);
        ours.push(scripted.buy());
        scripted.chain.advance(5);
    }
    let silent = pays(&scripted, None);
    scripted.chain.advance(60);
    for one in &ours {
        scripted.confirmed("what is ours is confirmed", one).await;
    }
    daemon.judges(silent, "no_memo").await;
    scripted.swept_past(&daemon, 3 * STRANGERS + 3).await;
    // On a busy machine one of them perhaps twice: two ways of finding it may come upon it at the same moment.
    let fetched = scripted.nodes[0].fetched();
    assert_eq!(fetched, 4, "three of ours and one without a memo");
    scripted.assert_no_double_confirm();
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_cost_no_fetch_with_sockets() {
    strangers_cost_nothing(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_cost_no_fetch_without_sockets() {
    strangers_cost_nothing(false).await;
}

/// The API shows a checkout only after it was paid: the payment was set aside as somebody else's, and is taken up again.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_becomes_known_late_is_confirmed() {
    for sockets in ["", "ws"] {
        let scripted = Scripted::with(1).await;
        let mut changes = vec![
            ("WATCH__SCOPE", "own"),
            ("SOLANA__SWEEP_EVERY", "1s"),
            ("MERCHANT__POLL_EVERY", "1s"),
        ];
        if sockets.is_empty() {
            changes.push(("SOLANA__WS_URLS", ""));
        }
        let daemon = scripted.watch(&changes).await;
        let memo = format!("{:032x}", 0);
        let signature = pays(&scripted, Some(&memo));
        let last = scripted.chain.ledger().entries.len() - 1;
        scripted.chain.advance(60);
        scripted.swept_past(&daemon, last).await;
        assert_eq!(scripted.nodes[0].asked("getTransaction"), 0, "nobody's yet");
        assert_eq!(scripted.checkout(), memo);
        scripted
            .confirmed("it is taken up again", &(memo, signature))
            .await;
        scripted.assert_no_double_confirm();
    }
}

/// What was set aside for an account that is no longer watched stands in nobody's way.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_account_of_the_past_was_paid_delays_nobody() {
    let scripted = Scripted::with(1).await;
    let changes = [
        ("WATCH__SCOPE", "own"),
        ("SOLANA__SWEEP_EVERY", "1h"),
        ("SOLANA__WS_URLS", ""),
    ];
    let daemon = scripted.watch(&changes).await;
    eventually("the only sweep is done", async || {
        scripted.nodes[0].asked("getSignaturesForAddress") > 0
    })
    .await;
    let memo = format!("{:032x}", 0);
    let memos = [Memo::parse(&memo).unwrap()];
    let signature = pays(&scripted, Some(&memo));
    scripted.chain.advance(60);
    let past = Pubkey::new_from_array([7; 32]);
    let account = scripted.chain.ledger().shop.account;
    for (account, ago) in [(past, 2), (account, 1)] {
        let at = clock::now().minus(Duration::from_secs(ago));
        let account = TokenAccount(account);
        let aside = daemon.store.set_aside(account, signature, &memos, at);
        aside.await.unwrap();
    }
    assert_eq!(scripted.checkout(), memo);
    scripted
        .confirmed("it is taken up again", &(memo, signature))
        .await;
}
