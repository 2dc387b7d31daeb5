//! How far back sweeps look: at once as far as `look_back`, and further when an older checkout is pending, once.

use crate::support::backend::DUE;
use crate::support::ledger::{Entry, Ledger};
use crate::support::scripted::{Daemon, Scripted};
use crate::support::server::Said;
use crate::support::{eventually, try_eventually};
use paywatch::clock;
use paywatch::domain::{BaseUnits, Checkout, CheckoutStatus, Memo, Mint, Signature, Wallet};
use paywatch::pipeline::{Checkouts, Pipeline, Sweep, Watch};
use std::{sync::Arc, time::Duration};

/// The ledger's blocks are months older than `look_back` here.
const AN_HOUR: [(&str, &str); 2] = [("SOLANA__WS_URLS", ""), ("WATCH__LOOK_BACK", "1h")];

/// A transaction long ago, and a payment after it.
fn long_ago(scripted: &Scripted) -> (String, Signature) {
    let slot = scripted.chain.slot();
    let memo = format!("{:032x}", 77);
    let mut ledger = scripted.chain.ledger();
    ledger.land(Entry::paid(slot, 1, "long before"));
    let signature = ledger.land(Entry::paid(slot + 1_000, DUE, &memo));
    drop(ledger);
    scripted.chain.advance(2_000);
    (memo, signature)
}

/// When the checkout of that payment was made.
fn made_at(scripted: &Scripted) -> u64 {
    Ledger::time_of(scripted.chain.slot() - 1_500)
}

fn becomes_known(scripted: &Scripted, memo: &str) {
    let created_at = Some(made_at(scripted));
    let mut backend = scripted.backend();
    backend.checkout(memo.to_owned());
    backend.sessions.last_mut().unwrap().created_at = created_at;
}

/// Lists of the shop's associated account so far.
fn listings(scripted: &Scripted) -> u64 {
    let account = scripted.chain.ledger().shop.account;
    scripted.nodes[0].asked(&format!("getSignaturesForAddress [\"{account}\""))
}

async fn swept_again(scripted: &Scripted, daemon: &Daemon) -> u64 {
    let cursor = scripted.cursor(&daemon.store).await;
    let before = listings(scripted);
    eventually("it is swept again", async || {
        listings(scripted) > before + 3
    })
    .await;
    assert_eq!(scripted.cursor(&daemon.store).await, cursor);
    listings(scripted)
}

/// The API is away from the start: payments are found, held, and confirmed when their checkouts become known.
#[tokio::test(flavor = "multi_thread")]
async fn sweeps_begin_before_the_checkouts_were_read() {
    let scripted = Scripted::with(1).await;
    let paid = scripted.buy();
    scripted.chain.advance(100);
    scripted.api_says(|asked| (asked.url.path() == "/history").then_some(Said::Status(500, None)));
    let daemon = scripted.watch(&[("SOLANA__WS_URLS", "")]).await;
    daemon.judges(paid.1, "unknown_memo").await;
    scripted.api_says(|_| None);
    scripted.confirmed("its checkout is known", &paid).await;
}

/// The same for a whole API that is away when the daemon starts again: what was watched last is watched, by the same policy.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_while_the_api_is_away_sweeps_what_was_watched() {
    let troubles: [fn() -> Said; 2] = [|| Said::Status(500, None), || Said::Silence];
    for trouble in troubles {
        let scripted = Scripted::with(1).await;
        let changes = [("SOLANA__WS_URLS", "")];
        let daemon = scripted.watch(&changes).await;
        let first = scripted.buy();
        scripted.chain.advance(100);
        scripted.confirmed("it works", &first).await;
        drop(daemon);
        let paid = scripted.buy();
        scripted.chain.advance(100);
        scripted.api_says(move |_| Some(trouble()));
        let limit = ("POLICY__FINALIZED_ABOVE__WRONG", "10");
        let pipeline = scripted.pipeline(&[changes[0], limit]).await;
        let daemon = scripted.run(&pipeline).await;
        daemon.judges(paid.1, "unknown_memo").await;
        assert_eq!(pipeline.watching().accounts().len(), 2);
        let unmatched = pipeline.watching().rules().unmatched().len();
        assert_eq!(unmatched, 1, "the limit stays strict");
        scripted.api_says(|_| None);
        scripted.confirmed("the API is back", &paid).await;
    }
}

/// An account whose token the API lists no more is not among what a start without the API watches.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_watched_once_is_not_watched_again() {
    let scripted = Scripted::with(1).await;
    let pipeline = scripted.pipeline(&AN_HOUR).await;
    let mut watch = Watch::new(pipeline.clone());
    watch.step().await.unwrap();
    assert_eq!(pipeline.store.watched_last().await.unwrap().len(), 2);
    scripted.api_says(|asked| {
        let nothing = Said::Json(serde_json::json!([]));
        (asked.url.path() == "/supported_tokens").then_some(nothing)
    });
    watch.step().await.unwrap();
    assert!(pipeline.watching().accounts().is_empty());
    assert_eq!(pipeline.store.watched_last().await.unwrap().len(), 0);
    assert_eq!(pipeline.store.watched().await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_part_is_swept_when_an_older_checkout_becomes_known() {
    let scripted = Scripted::with(1).await;
    let paid = long_ago(&scripted);
    let daemon = scripted.watch(&AN_HOUR).await;
    eventually("it was swept", async || listings(&scripted) > 3).await;
    swept_again(&scripted, &daemon).await;
    assert!(
        daemon.payment(paid.1).await.is_none(),
        "it is older than look_back"
    );
    becomes_known(&scripted, &paid.0);
    scripted.confirmed("the older part is swept", &paid).await;
}

/// No socket was open when it was paid.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_of_the_older_part_is_held_against_no_socket() {
    let scripted = Scripted::with(1).await;
    let paid = long_ago(&scripted);
    let created_at = made_at(&scripted);
    let _running = scripted.chain.run();
    let pipeline = scripted.pipeline(&AN_HOUR[1..]).await;
    let _daemon = scripted.run(&pipeline).await;
    let every = pipeline.config.solana.sweep_every;
    eventually("sweeps are seldom", async || {
        pipeline.sweep_pause() == every * 4
    })
    .await;
    {
        let mut backend = scripted.backend();
        backend.checkout(paid.0.clone());
        backend.sessions.last_mut().unwrap().created_at = Some(created_at);
    }
    scripted.confirmed("the older part is swept", &paid).await;
    let is_reopened = async || scripted.nodes[0].connections() > 1;
    assert!(!try_eventually(Duration::from_secs(7), is_reopened).await);
}

async fn begin(scripted: &Scripted) -> (Arc<Pipeline>, Sweep) {
    let pipeline = scripted.pipeline(&AN_HOUR).await;
    Checkouts::new(pipeline.clone()).step().await.unwrap();
    Watch::new(pipeline.clone()).step().await.unwrap();
    (pipeline.clone(), Sweep::new(pipeline))
}

/// A checkout that is handed over counts like one that was read; what was swept for it is not swept again, not by another process
/// either.
#[tokio::test(flavor = "multi_thread")]
async fn the_older_part_is_swept_once_also_for_a_checkout_that_is_handed_over() {
    let scripted = Scripted::with(1).await;
    let (memo, _) = long_ago(&scripted);
    let (pipeline, mut sweep) = begin(&scripted).await;
    assert_eq!(sweep.step().await.unwrap().listed, 0);
    let shop = scripted.chain.ledger().shop;
    let checkout = Checkout {
        memo: Memo::parse(&memo).unwrap(),
        amount: Some(BaseUnits(DUE)),
        mint: Some(Mint(shop.mint)),
        recipient: Some(Wallet(shop.wallet)),
        status: CheckoutStatus::Pending,
        created_at: i64::try_from(made_at(&scripted)).ok(),
    };
    pipeline.take_in(&checkout).await.unwrap();
    let swept = sweep.step().await.unwrap();
    assert_eq!((swept.listed, swept.payments), (1, 1));
    let calls = async |sweep: &mut Sweep| {
        let before = listings(&scripted);
        assert_eq!(sweep.step().await.unwrap().fetched, 0);
        listings(&scripted) - before
    };
    assert_eq!(calls(&mut sweep).await, 1, "the older part is done");
    let (_, mut sweep) = begin(&scripted).await;
    assert_eq!(calls(&mut sweep).await, 1, "and remembered as done");
}

/// The older part has nothing in it, and the history before that is known to be there.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_part_without_transactions_is_asked_for_once() {
    let scripted = Scripted::with(1).await;
    long_ago(&scripted);
    becomes_known(&scripted, "never-paid");
    let after = Ledger::time_of(scripted.chain.slot());
    scripted.backend().sessions[0].created_at = Some(after);
    for calls in [2, 1] {
        let (_, mut sweep) = begin(&scripted).await;
        let before = listings(&scripted);
        assert_eq!(sweep.step().await.unwrap().listed, 0);
        assert_eq!(listings(&scripted) - before, calls);
    }
}

/// The older part is listed below what was listed before, not from the newest transaction on.
#[tokio::test(flavor = "multi_thread")]
async fn the_older_part_is_listed_below_the_oldest_transaction_that_is_known() {
    let scripted = Scripted::with(1).await;
    let (memo, _) = long_ago(&scripted);
    let slot = scripted.chain.slot();
    let oldest = {
        let mut ledger = scripted.chain.ledger();
        let oldest = ledger.land(Entry::paid(slot, 1, "within look_back"));
        ledger.land(Entry::paid(slot + 10, 1, "newer"));
        oldest
    };
    scripted.chain.advance(100);
    let back = clock::now().unix_seconds().unsigned_abs() - Ledger::time_of(slot - 500);
    let look_back = format!("{back}s");
    let changes = [("SOLANA__WS_URLS", ""), ("WATCH__LOOK_BACK", &look_back)];
    let pipeline = scripted.pipeline(&changes).await;
    Checkouts::new(pipeline.clone()).step().await.unwrap();
    Watch::new(pipeline.clone()).step().await.unwrap();
    let mut sweep = Sweep::new(pipeline.clone());
    assert_eq!(sweep.step().await.unwrap().listed, 2);
    becomes_known(&scripted, &memo);
    Checkouts::new(pipeline).step().await.unwrap();
    let swept = sweep.step().await.unwrap();
    assert_eq!(swept.payments, 1, "{swept:?}");
    let below = format!("\"before\":\"{oldest}\"");
    assert!(scripted.nodes[0].asked(&below) > 0);
}
