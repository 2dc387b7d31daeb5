//! Nothing is judged before the rules for it are known: a payment above `policy.finalized_above` that is held when the program
//! starts is not sent at `confirmed`, whichever of checkout and watch list becomes known first.

use crate::support::eventually;
use crate::support::scripted::{Daemon, Scripted};
use crate::support::server::Said;
use paywatch::domain::{BaseUnits, Checkout, CheckoutStatus, Memo, Mint, Signature, Wallet};
use paywatch::pipeline::{Backfill, LogLines};
use paywatch::store::Store;
use paywatch::{ConfirmResult, Watcher, async_trait};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The payment of every test is one base unit above it.
const LIMIT: (&str, &str) = ("POLICY__FINALIZED_ABOVE__USDC", "18.999999");

/// A world in which a large payment is held for its unknown memo, and the program that recorded it is gone.
async fn held() -> (Scripted, (String, Signature)) {
    let scripted = Scripted::with(1).await;
    let paid = scripted.buy();
    let session = scripted.backend().sessions.pop();
    let daemon = scripted.watch(&[LIMIT]).await;
    scripted.chain.advance(5);
    daemon.judges(paid.1, "unknown_memo").await;
    drop(daemon);
    scripted.backend().sessions.extend(session);
    (scripted, paid)
}

/// From now on the API tells no tokens, so nothing can be watched, until the switch is turned. Counts readings of the history.
fn without_tokens(scripted: &Scripted) -> (Arc<AtomicBool>, Arc<AtomicUsize>) {
    let (tokens, read) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let (told, counted) = (tokens.clone(), read.clone());
    scripted.api_says(move |asked| {
        if asked.url.path() == "/history" {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        let is_withheld = asked.url.path() == "/supported_tokens" && !told.load(Ordering::SeqCst);
        is_withheld.then_some(Said::Status(503, None))
    });
    (tokens, read)
}

/// Waits until the payment is judged, and sees that its confirmation waits for the chain.
async fn waits_for_finalized(store: &Store) {
    eventually("it is queued", async || {
        store.count_confirmations().await.unwrap().queued == 1
    })
    .await;
    assert_eq!(store.next_due_at().await.unwrap(), None, "not due yet");
}

async fn is_sent_when_final(scripted: &Scripted, daemon: &Daemon, paid: &(String, Signature)) {
    waits_for_finalized(&daemon.store).await;
    assert_eq!(scripted.told_of(paid.1), 0);
    scripted.chain.advance(40);
    scripted.confirmed("once it is final", paid).await;
    scripted.assert_no_double_confirm();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_without_the_tokens_judges_by_what_was_watched_last_and_its_limits() {
    let (scripted, paid) = held().await;
    let (tokens, read) = without_tokens(&scripted);
    let daemon = scripted.watch(&[LIMIT]).await;
    // Payments are judged again at the end of each reading: the third begins after the first one's end.
    eventually("the checkouts are read", async || {
        read.load(Ordering::SeqCst) >= 6
    })
    .await;
    assert_eq!(daemon.store.count_checkouts().await.unwrap().1, 1);
    daemon.judges(paid.1, "matched").await;
    waits_for_finalized(&daemon.store).await;
    tokens.store(true, Ordering::SeqCst);
    is_sent_when_final(&scripted, &daemon, &paid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_judges_held_payments_by_the_limits_of_what_is_watched() {
    let (scripted, paid) = held().await;
    let run = async || {
        let pipeline = scripted.pipeline(&[LIMIT]).await;
        let stop = CancellationToken::new();
        let backfill = Backfill::new(pipeline);
        backfill.run(Arc::new(LogLines::default()), &stop).await
    };
    let report = run().await.unwrap();
    assert_eq!((report.queued, report.acknowledged), (1, 0));
    assert_eq!(scripted.told_of(paid.1), 0);
    scripted.chain.advance(40);
    let report = run().await.unwrap();
    assert_eq!((report.queued, report.acknowledged), (0, 1));
    scripted.confirmed("once it is final", &paid).await;
}

/// A checkout that is handed over, `POST /v1/checkouts`, before anything is watched.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_handed_over_before_the_watch_list_is_known_judges_nothing() {
    let (scripted, paid) = held().await;
    let session = scripted.backend().sessions.pop();
    let pipeline = scripted.pipeline(&[LIMIT]).await;
    let shop = scripted.chain.ledger().shop;
    let checkout = due(&paid.0, Mint(shop.mint), Wallet(shop.wallet));
    pipeline.take_in(&checkout).await.unwrap();
    let store = scripted.store().await;
    assert_eq!(store.count_confirmations().await.unwrap().queued, 0);
    scripted.backend().sessions.extend(session);
    let daemon = scripted.watch(&[LIMIT]).await;
    is_sent_when_final(&scripted, &daemon, &paid).await;
}

/// The API's token is USDC.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_names_no_watched_token_makes_every_payment_wait() {
    let scripted = Scripted::with(1).await;
    let limit = [("POLICY__FINALIZED_ABOVE__USD", "1000")];
    let daemon = scripted.watch(&limit).await;
    let paid = scripted.buy();
    scripted.chain.advance(5);
    is_sent_when_final(&scripted, &daemon, &paid).await;
}

/// The environment gives symbols in any case, and addresses as they are.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_names_a_token_by_symbol_or_mint_address() {
    for token in ["USDC", "usdc", "its mint"] {
        for (amount, waits) in [("19", false), ("18.999999", true)] {
            let scripted = Scripted::with(1).await;
            let mint = scripted.chain.ledger().shop.mint.to_string();
            let token = if token == "its mint" { &mint } else { token };
            let key = format!("POLICY__FINALIZED_ABOVE__{token}");
            let daemon = scripted.watch(&[(&key, amount)]).await;
            let paid = scripted.buy();
            scripted.chain.advance(5);
            if waits {
                is_sent_when_final(&scripted, &daemon, &paid).await;
            } else {
                scripted.confirmed("at confirmed", &paid).await;
            }
        }
    }
}

/// A shop that keeps books of its own.
#[derive(Clone, Default)]
struct Shop(Arc<AtomicUsize>);

#[async_trait]
impl paywatch::Backend for Shop {
    async fn confirm(&self, _: &Memo, _: Signature) -> ConfirmResult {
        self.0.fetch_add(1, Ordering::SeqCst);
        ConfirmResult::accepted()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_expected_before_the_library_runs_judges_nothing() {
    let (scripted, paid) = held().await;
    let (ledger_shop, shop) = (scripted.chain.ledger().shop, Shop::default());
    let (mint, wallet) = (Mint(ledger_shop.mint), Wallet(ledger_shop.wallet));
    let watcher = Watcher::builder()
        .rpc_url(scripted.nodes[0].url.as_str())
        .token("USDC", mint, wallet)
        .database(scripted.file())
        .settings(
            "[solana]\nmax_rps = 0\nsweep_every = \"300ms\"\n[watch]\nlook_back = \"10years\"",
        )
        .settings("[policy]\nfinalized_above = { usdc = \"18.999999\" }")
        .backend(shop.clone())
        .build()
        .await
        .unwrap();
    let checkout = due(&paid.0, mint, wallet);
    watcher.expect(&checkout).await.unwrap();
    let store = scripted.store().await;
    assert_eq!(store.count_confirmations().await.unwrap().queued, 0);
    let (stop, mut running) = (CancellationToken::new(), JoinSet::new());
    running.spawn(watcher.run(stop.clone().cancelled_owned()));
    waits_for_finalized(&store).await;
    assert_eq!(shop.0.load(Ordering::SeqCst), 0);
    scripted.chain.advance(40);
    eventually("it is credited", async || {
        shop.0.load(Ordering::SeqCst) == 1
    })
    .await;
    stop.cancel();
    running.join_next().await.unwrap().unwrap().unwrap();
}

fn due(memo: &str, mint: Mint, wallet: Wallet) -> Checkout {
    Checkout {
        memo: Memo::parse(memo).unwrap(),
        amount: Some(BaseUnits(crate::support::backend::DUE)),
        mint: Some(mint),
        recipient: Some(wallet),
        status: CheckoutStatus::Pending,
        created_at: None,
    }
}
