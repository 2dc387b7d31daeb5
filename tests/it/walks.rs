//! The cursor never stands where something below it is not recorded: not in the middle of a slot, and not beyond a transaction that may
//! still vanish.

use crate::support::backend::DUE;
use crate::support::ledger::Entry;
use crate::support::node::error;
use crate::support::scripted::Scripted;
use crate::support::server::Said;
use paywatch::domain::{Signature, TokenAccount};
use paywatch::pipeline::{Checkouts, Sweep, Watch};
use paywatch::store::Store;
use serde_json::json;

async fn sweep(scripted: &Scripted) -> (Sweep, Store) {
    let pipeline = scripted.pipeline(&[("SOLANA__WS_URLS", "")]).await;
    Checkouts::new(pipeline.clone()).step().await.unwrap();
    Watch::new(pipeline.clone()).step().await.unwrap();
    let store = pipeline.store.clone();
    (Sweep::new(pipeline), store)
}

/// Everything up to the cursor's slot is recorded.
async fn assert_covered(scripted: &Scripted, store: &Store) {
    let Some(cursor) = scripted.cursor(store).await else {
        return;
    };
    let below: Vec<Signature> = {
        let ledger = scripted.chain.ledger();
        let account = ledger.shop.account;
        // Failed transactions leave no trace.
        let below = |entry: &&Entry| {
            !entry.failed && entry.slot <= cursor.slot && entry.account() == account
        };
        let entries = ledger.entries.iter().filter(below);
        entries.map(|entry| entry.signature).collect()
    };
    let account = TokenAccount(scripted.chain.ledger().shop.account);
    let mut known = 0;
    for some in below.chunks(500) {
        known += store.known(account, some).await.unwrap().len();
    }
    assert_eq!(
        known,
        below.len(),
        "not recorded, below slot {}",
        cursor.slot
    );
}

/// Lands a payment in this slot.
fn paid_in(scripted: &Scripted, slot: u64) -> Signature {
    let entry = Entry::paid(slot, DUE, &scripted.checkout());
    scripted.chain.ledger().land(entry)
}

/// From now on the node is busy whenever it is asked for this transaction.
fn is_busy_for(scripted: &Scripted, signature: Signature) {
    let id = json!(signature.to_string());
    scripted.nodes[0].says(move |question, honest| {
        let is_it = question.method == "getTransaction" && question.params[0] == id;
        Said::Json(if is_it {
            error(-32005, "behind")
        } else {
            honest
        })
    });
}

/// A walk breaks off within a slot of a few transactions, and within one of more than a batch.
#[tokio::test(flavor = "multi_thread")]
async fn a_walk_that_breaks_off_in_a_slot_leaves_all_of_that_slot_to_the_next_sweep() {
    for beside in [1, 150] {
        let scripted = Scripted::with(1).await;
        let slot = scripted.chain.slot();
        paid_in(&scripted, slot);
        // Of one slot, a node lists the first to land as the newest: it is walked over last.
        let last = paid_in(&scripted, slot + 5);
        for number in 0..beside {
            let junk = Entry::paid(slot + 5, 1, &format!("junk {number}"));
            scripted.chain.ledger().land(Entry {
                failed: number > 0,
                ..junk
            });
        }
        scripted.chain.advance(100);
        is_busy_for(&scripted, last);
        let (mut sweep, store) = sweep(&scripted).await;
        let failure = sweep.step().await.unwrap_err();
        assert!(format!("{failure:#}").contains("behind"), "{failure:#}");
        let cursor = scripted.cursor(&store).await.map(|cursor| cursor.slot);
        assert_eq!(cursor, Some(slot), "{beside} beside it");
        assert_covered(&scripted, &store).await;
        scripted.nodes[0].is_honest_again();
        sweep.step().await.unwrap();
        let cursor = scripted.cursor(&store).await.map(|cursor| cursor.slot);
        assert_eq!(cursor, Some(slot + 5));
        assert_covered(&scripted, &store).await;
    }
}

/// A node calls one transaction of a slot finalized and another one of the same slot only confirmed.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_of_which_a_part_is_not_final_is_not_passed() {
    let scripted = Scripted::with(1).await;
    let slot = scripted.chain.slot();
    paid_in(&scripted, slot);
    let open = paid_in(&scripted, slot + 5).to_string();
    paid_in(&scripted, slot + 5);
    paid_in(&scripted, slot + 9);
    scripted.chain.advance(100);
    scripted.nodes[0].says(move |question, mut honest| {
        if question.method == "getSignaturesForAddress" {
            let page = honest["result"].as_array_mut().unwrap();
            for entry in page.iter_mut().filter(|entry| entry["signature"] == open) {
                entry["confirmationStatus"] = json!("confirmed");
            }
        }
        Said::Json(honest)
    });
    let (mut sweep, store) = sweep(&scripted).await;
    sweep.step().await.unwrap();
    assert_eq!(scripted.cursor(&store).await.unwrap().slot, slot);
    scripted.nodes[0].is_honest_again();
    sweep.step().await.unwrap();
    assert_eq!(scripted.cursor(&store).await.unwrap().slot, slot + 9);
}

/// Of a history that is walked over in parts, the first part ends within a slot, and has one transaction that is not final.
#[tokio::test(flavor = "multi_thread")]
async fn the_parts_of_a_long_history_split_no_slot_and_none_passes_what_is_not_final() {
    const ENTRIES: u64 = 41_000;
    const IN_A_SLOT: u64 = 650;
    let scripted = Scripted::with(1).await;
    let slot = scripted.chain.slot();
    for number in 0..ENTRIES {
        let junk = Entry::paid(slot + number / IN_A_SLOT, 1, "junk");
        // Of one slot, a node lists the first to land as the newest: of a slot that is split, the newer part has the one that pays.
        scripted.chain.ledger().land(Entry {
            failed: number % IN_A_SLOT != 0,
            ..junk
        });
    }
    scripted.chain.advance(1_000);
    let (mut sweep, store) = sweep(&scripted).await;
    let node = &scripted.nodes[0];
    // The newer part is listed again with both ends given; the first sweep has no anchor.
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
    assert!(
        scripted.cursor(&store).await.is_some(),
        "the first part is recorded"
    );
    assert_covered(&scripted, &store).await;
    // In another database, one of the oldest stays open.
    let scripted = Scripted::over(scripted.chain.clone(), scripted.nodes).await;
    let (open, open_slot) = {
        let ledger = scripted.chain.ledger();
        let entry = &ledger.entries[5_000];
        (entry.signature.to_string(), entry.slot)
    };
    scripted.nodes[0].says(move |question, mut honest| {
        if question.method == "getSignaturesForAddress" {
            let page = honest["result"].as_array_mut().unwrap();
            for entry in page.iter_mut().filter(|entry| entry["signature"] == open) {
                entry["confirmationStatus"] = json!("confirmed");
            }
        }
        Said::Json(honest)
    });
    let (mut sweep, store) = self::sweep(&scripted).await;
    sweep.step().await.unwrap();
    assert_eq!(
        scripted.cursor(&store).await.unwrap().slot,
        open_slot - 1,
        "nothing beyond the open one is covered"
    );
}

/// Fetched ahead, before their turn because they seem to pay, or in their turn: once, whichever comes first.
#[tokio::test(flavor = "multi_thread")]
async fn what_seems_to_pay_is_fetched_once() {
    const PAYMENTS: u64 = 30;
    let scripted = Scripted::with(1).await;
    for slot in 0..PAYMENTS {
        paid_in(&scripted, scripted.chain.slot() + slot);
    }
    scripted.chain.advance(PAYMENTS + 100);
    let (mut sweep, store) = sweep(&scripted).await;
    sweep.step().await.unwrap();
    assert_eq!(store.count_confirmations().await.unwrap().queued, PAYMENTS);
    assert_eq!(scripted.nodes[0].asked("getTransaction"), PAYMENTS);
}
