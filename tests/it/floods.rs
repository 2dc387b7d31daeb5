//! Junk poured into the shop's history: it costs a bounded number of calls, and delays nobody who pays.

use crate::support::eventually;
use crate::support::ledger::Entry;
use crate::support::scripted::Scripted;
use crate::support::server::Said;
use paywatch::pipeline::{Checkouts, Sweep, Watch};
use paywatch::store::Filter;
use serde_json::json;

const JUNK: u64 = 5_000;

/// Half of it failed transactions, half dust with random memos.
fn flood(scripted: &Scripted) {
    let (mut ledger, slot) = (scripted.chain.ledger(), scripted.chain.slot());
    for number in 0..JUNK {
        let junk = Entry::paid(slot + number / 500, 1, &format!("junk {number}"));
        ledger.land(Entry {
            failed: number % 2 == 0,
            ..junk
        });
    }
}

/// Without sockets: the sweep that first lists a payment confirms it, however much junk stands before and after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_among_junk_is_confirmed_by_the_sweep_that_lists_it() {
    let scripted = Scripted::with(1).await;
    flood(&scripted);
    let among = scripted.buy();
    flood(&scripted);
    scripted.chain.advance(200);
    let changes = [
        ("SOLANA__WS_URLS", ""),
        ("SOLANA__MAX_RPS", "1000"),
        ("SOLANA__SWEEP_EVERY", "5s"),
    ];
    let daemon = scripted.watch(&changes).await;
    scripted
        .confirmed("it does not wait for the junk", &among)
        .await;
    let fetched = scripted.nodes[0].asked("getTransaction");
    assert!(
        fetched < 1_000,
        "{fetched} of {JUNK} were fetched before it"
    );
    scripted.swept_past(&daemon, 10_000).await;
    let account = scripted.chain.ledger().shop.account;
    let (fetched, listed) = (
        scripted.nodes[0].asked("getTransaction"),
        scripted.nodes[0].asked(&format!("getSignaturesForAddress [\"{account}\"")),
    );
    // Each that may have paid once, nothing of what failed; and pages: 11 for the sweep and for each look ahead meanwhile.
    assert!(fetched <= JUNK + 10, "{fetched} fetches");
    assert!(listed <= 400, "{listed} pages");
    scripted.assert_no_double_confirm();
}

/// With sockets: each junk transaction is notified too, faster than it can be looked at. To look at all of it takes 25 seconds, on
/// any machine.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_behind_a_flood_of_notifications_waits_for_a_sweep_at_most() {
    let scripted = Scripted::with(1).await;
    let changes = [("SOLANA__MAX_RPS", "100"), ("SOLANA__SWEEP_EVERY", "2s")];
    let _daemon = scripted.watch(&changes).await;
    let first = scripted.buy();
    scripted.chain.advance(10);
    scripted.confirmed("it works", &first).await;
    flood(&scripted);
    scripted.chain.advance(50);
    let node = &scripted.nodes[0];
    eventually("the flood is on", async || {
        node.asked("getTransaction") > 100
    })
    .await;
    let behind = scripted.buy();
    scripted.chain.advance(10);
    scripted
        .confirmed("it does not wait for the flood", &behind)
        .await;
    let fetched = node.asked("getTransaction");
    assert!(fetched < JUNK / 2, "{fetched} were fetched before it");
}

/// More than is kept in memory at once: the newest part is let go while the oldest is walked, and listed again. Whoever lists it the
/// second time may break off: what is missing is not the end of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_history_longer_than_memory_is_walked_to_its_end_and_no_gap_is_passed() {
    const PAGES: u64 = 45;
    let scripted = Scripted::with(1).await;
    let mut bought = Vec::new();
    for page in 0..PAGES {
        if page % 11 == 0 {
            bought.push(scripted.buy());
        }
        let (mut ledger, slot) = (scripted.chain.ledger(), scripted.chain.slot());
        for number in 0..1_000 {
            let junk = Entry::paid(slot + number / 400, 1, "junk");
            ledger.land(Entry {
                failed: true,
                ..junk
            });
        }
        drop(ledger);
        scripted.chain.advance(2);
    }
    bought.push(scripted.buy());
    scripted.chain.advance(200);
    let (node, pipeline) = (&scripted.nodes[0], scripted.pipeline(&[]).await);
    let store = scripted.store().await;
    Checkouts::new(pipeline.clone()).step().await.unwrap();
    Watch::new(pipeline.clone()).step().await.unwrap();
    let mut sweep = Sweep::new(pipeline);
    // Only a second listing has both ends: the first sweeps have no anchor.
    node.says(|question, mut honest| {
        let options = &question.params[1];
        let is_listing = question.method == "getSignaturesForAddress";
        if is_listing && options["before"].is_string() && options["until"].is_string() {
            honest["result"] = json!([]);
        }
        Said::Json(honest)
    });
    let failure = format!("{:#}", sweep.step().await.unwrap_err());
    assert!(failure.contains("listed again"), "{failure}");
    let passed = scripted.cursor(&store).await.unwrap().slot;
    node.is_honest_again();
    let pages = || node.asked("getSignaturesForAddress");
    let before = pages();
    let (_, newest) = sweep.step().await.unwrap().slots.unwrap();
    assert!(passed + PAGES / 2 < newest, "it passed a gap");
    assert_eq!(scripted.cursor(&store).await.unwrap().slot, newest);
    let recorded = store.payments(&Filter::newest(100)).await.unwrap();
    assert_eq!(recorded.len(), bought.len());
    assert_eq!(node.fetched(), bought.len(), "failed ones are not fetched");
    let listed = pages() - before;
    let twice = PAGES + 20..=2 * PAGES + 10;
    assert!(twice.contains(&listed), "{listed} pages");
    let _daemon = scripted.watch(&[("SOLANA__WS_URLS", "")]).await;
    for one in &bought {
        scripted.confirmed("a payment anywhere in it", one).await;
    }
    scripted.assert_no_double_confirm();
}
