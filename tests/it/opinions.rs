//! What one endpoint hides for ever, another one tells: the listing of each endpoint goes on where its own last one ended.

use crate::support::backend::DUE;
use crate::support::ledger::{Entry, Ledger};
use crate::support::node::{FIRST_SLOT, Node, error};
use crate::support::scripted::Scripted;
use crate::support::server::Said;
use futures_util::future::join_all;
use paywatch::clock;
use paywatch::domain::{
    BaseUnits, Checkout, CheckoutStatus, Memo, Mint, Signature, TokenAccount, Wallet,
};
use paywatch::pipeline::{
    Backfill, Bound, Checkouts, LogLines, Pipeline, SecondOpinion, Sweep, Watch,
};
use paywatch::solana::endpoint_key;
use paywatch::store::{Cursor, Filter};
use serde_json::{Value, json};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};
use tokio_util::sync::CancellationToken;

const NO_SOCKETS: [(&str, &str); 1] = [("SOLANA__WS_URLS", "")];

/// Signatures that a node knows nothing of.
type Hidden = Arc<Mutex<HashSet<String>>>;

fn hides(node: &Node) -> Hidden {
    let hidden: Hidden = Arc::default();
    let known = hidden.clone();
    node.says(move |question, mut honest| {
        let hidden = known.lock().unwrap();
        let is_hidden = |id: &Value| id.as_str().is_some_and(|id| hidden.contains(id));
        match question.method {
            "getTransaction" if is_hidden(&question.params[0]) => honest["result"] = Value::Null,
            "getSignatureStatuses" if is_hidden(&question.params[0][0]) => {
                honest["result"]["value"][0] = Value::Null;
            }
            "getSignaturesForAddress" => {
                if let Some(page) = honest["result"].as_array_mut() {
                    page.retain(|entry| !is_hidden(&entry["signature"]));
                }
            }
            _ => {}
        }
        Said::Json(honest)
    });
    hidden
}

/// The steps of a daemon, taken by hand.
struct Steps {
    pipeline: Arc<Pipeline>,
    sweep: Sweep,
    opinion: SecondOpinion,
}

impl Steps {
    async fn begin(scripted: &Scripted) -> Self {
        Self::with(scripted, &NO_SOCKETS).await
    }

    async fn with(scripted: &Scripted, changes: &[(&str, &str)]) -> Self {
        let pipeline = scripted.pipeline(changes).await;
        Checkouts::new(pipeline.clone()).step().await.unwrap();
        Watch::new(pipeline.clone()).step().await.unwrap();
        Self {
            sweep: Sweep::new(pipeline.clone()),
            opinion: SecondOpinion::new(pipeline.clone()),
            pipeline,
        }
    }

    /// One step of a cycle: sweeps and second opinions take turns. Each time everybody can see another payment, and minutes pass.
    async fn step(&mut self, scripted: &Scripted, number: usize) {
        scripted.buy();
        scripted.chain.advance(100);
        if number.is_multiple_of(2) {
            self.sweep.step().await.unwrap();
        } else {
            self.opinion.step().await.unwrap();
        }
        scripted.lets_cursors_age().await;
    }

    async fn has(&self, signature: Signature) -> bool {
        let payments = self.pipeline.store.payments(&Filter::newest(1_000)).await;
        let mut payments = payments.unwrap().into_iter();
        payments.any(|one| one.signature == signature.to_string())
    }

    async fn ends(&self, scripted: &Scripted, node: usize) -> Vec<Cursor> {
        let account = TokenAccount(scripted.chain.ledger().shop.account);
        let key = endpoint_key(&scripted.nodes[node].url);
        self.pipeline.store.opinions(account, &key).await.unwrap()
    }
}

/// A payment that the preferred nodes hide lands at one point of a cycle, before or after a restart or without one; the last node finds
/// it within one more cycle.
async fn found_at_each_point(nodes: usize) {
    let cycle = 2 * nodes;
    let points = (0..cycle).flat_map(|point| [(point, 0), (point, 1), (point, 2)]);
    let tries = points.map(|(point, restart)| async move {
        let scripted = Scripted::with(nodes).await;
        let hidden: Vec<_> = scripted.nodes[..nodes - 1].iter().map(hides).collect();
        let mut steps = Steps::begin(&scripted).await;
        for number in 0..2 * cycle {
            steps.step(&scripted, number).await;
        }
        for number in 0..point {
            steps.step(&scripted, number).await;
        }
        if restart == 1 {
            steps = Steps::begin(&scripted).await;
        }
        let (_, signature) = scripted.buy();
        for one in &hidden {
            one.lock().unwrap().insert(signature.to_string());
        }
        if restart == 2 {
            steps = Steps::begin(&scripted).await;
        }
        for number in point..point + 2 * cycle {
            steps.step(&scripted, number).await;
        }
        let cursors = scripted.cursor(&steps.pipeline.store).await.unwrap();
        assert!(
            cursors.slot > scripted.chain.slot() - 500,
            "the sweeps went on"
        );
        assert!(
            steps.has(signature).await,
            "{nodes} nodes, point {point}, restart {restart}: not found"
        );
    });
    // All of them at once would be too much for a small machine.
    let mut tries: Vec<_> = tries.collect();
    while !tries.is_empty() {
        let some = tries.split_off(tries.len().saturating_sub(4));
        join_all(some).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_preferred_node_hides_for_ever_is_found_at_each_point_of_the_cycle() {
    found_at_each_point(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_three_nodes_the_one_that_tells_has_its_turn() {
    found_at_each_point(3).await;
}

/// A node that lags is asked all the same; and a node that tells a slot of the far future makes no other seem to lag.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lags_or_seems_to_has_its_turn() {
    let lagging: fn(&Scripted) = |scripted| scripted.nodes[1].lags(60);
    let absurd: fn(&Scripted) = |scripted| {
        scripted.nodes[0].says(|question, mut honest| {
            if question.method == "getSlot" {
                honest["result"] = json!(1_000_000_000_000_u64);
            }
            Said::Json(honest)
        });
    };
    for trouble in [lagging, absurd] {
        let scripted = Scripted::with(2).await;
        scripted.chain.advance(500);
        trouble(&scripted);
        let mut steps = Steps::begin(&scripted).await;
        for number in 0..12 {
            steps.pipeline.rpc.compare_endpoints().await;
            steps.step(&scripted, number).await;
        }
        assert!(!steps.ends(&scripted, 1).await.is_empty());
    }
}

/// A node that fails has its turn later, from where its own listing ended; the others have theirs meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_fails_for_a_while_goes_on_where_its_own_listing_ended() {
    let scripted = Scripted::with(2).await;
    let hidden = hides(&scripted.nodes[0]);
    let mut steps = Steps::begin(&scripted).await;
    for number in 0..8 {
        steps.step(&scripted, number).await;
    }
    let before = steps.ends(&scripted, 1).await;
    let (_, signature) = scripted.buy();
    hidden.lock().unwrap().insert(signature.to_string());
    scripted.chain.advance(100);
    let after = scripted.chain.slot();
    let answers: [fn(Value, u64) -> Said; 3] = [
        |_, _| Said::Json(json!({ "result": [] })),
        // Of a history with a gap, only what came after it.
        |mut honest, after| {
            let page = honest["result"].as_array_mut().unwrap();
            page.retain(|entry| entry["slot"].as_u64() >= Some(after));
            Said::Json(honest)
        },
        |_, _| Said::Status(503, None),
    ];
    for answer in answers {
        scripted.nodes[1].says(move |question, honest| match question.method {
            "getSignaturesForAddress" => answer(honest, after),
            _ => Said::Json(honest),
        });
        for _ in 0..4 {
            scripted.buy();
            scripted.chain.advance(100);
            steps.sweep.step().await.unwrap();
            // It fails, or loses its turn; node 0 may have its own.
            let _failed = steps.opinion.step().await;
            scripted.lets_cursors_age().await;
        }
        let slots = |ends: &[Cursor]| ends.iter().map(|end| end.slot).collect::<Vec<_>>();
        let now = steps.ends(&scripted, 1).await;
        assert_eq!(slots(&now), slots(&before), "not all was listed");
    }
    assert!(!steps.has(signature).await);
    scripted.nodes[1].is_honest_again();
    // A node that failed rests for a while before it is asked again.
    crate::support::eventually("it is found", async || {
        steps.opinion.step().await.unwrap();
        steps.has(signature).await
    })
    .await;
}

/// The other node keeps history for a short time only: it does not know where its own listing ended, and cannot tell of what it has
/// pruned. What it has, it tells.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_a_short_history_tells_what_it_has() {
    let scripted = Scripted::with(2).await;
    let hidden = hides(&scripted.nodes[0]);
    let mut steps = Steps::begin(&scripted).await;
    for number in 0..8 {
        steps.step(&scripted, number).await;
    }
    let ended = steps.ends(&scripted, 1).await[0].slot;
    scripted.chain.advance(1_000);
    let oldest = scripted.chain.slot();
    scripted.nodes[1].says(move |question, mut honest| {
        match question.method {
            "getFirstAvailableBlock" => honest["result"] = json!(oldest),
            "getSignaturesForAddress" if question.params[1]["until"].is_string() => {
                return Said::Json(error(-32020, "unknown signature"));
            }
            "getSignaturesForAddress" => {
                let page = honest["result"].as_array_mut().unwrap();
                page.retain(|entry| entry["slot"].as_u64() >= Some(oldest));
            }
            _ => {}
        }
        Said::Json(honest)
    });
    let (_, signature) = scripted.buy();
    hidden.lock().unwrap().insert(signature.to_string());
    for number in 0..4 {
        steps.step(&scripted, number).await;
    }
    assert!(steps.has(signature).await);
    let now = steps.ends(&scripted, 1).await[0].slot;
    assert!(now > ended, "its listing goes on: {now}, {ended}");
}

/// The other node itself reveals a payment late, after it has listed newer ones several times: listings overlap.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_other_node_reveals_late_is_found() {
    let scripted = Scripted::with(2).await;
    let hidden = hides(&scripted.nodes[0]);
    let mut steps = Steps::begin(&scripted).await;
    for number in 0..8 {
        steps.step(&scripted, number).await;
    }
    let (_, late) = scripted.buy();
    hidden.lock().unwrap().insert(late.to_string());
    let reveal_at = scripted.chain.slot() + 1_000;
    let index = scripted.chain.ledger().entries.len() - 1;
    scripted.chain.ledger().entries[index].revealed_at = reveal_at;
    for _ in 0..6 {
        scripted.buy();
        scripted.chain.advance(100);
        steps.sweep.step().await.unwrap();
        steps.opinion.step().await.unwrap();
    }
    assert!(!steps.has(late).await);
    scripted.chain.advance(1_000);
    for _ in 0..2 {
        steps.opinion.step().await.unwrap();
    }
    assert!(steps.has(late).await);
}

/// A transaction long ago, and a payment after it that the preferred node hides; and since when sweeps look at most, after both.
fn hidden_long_ago(scripted: &Scripted) -> (Signature, String) {
    let hidden = hides(&scripted.nodes[0]);
    let slot = scripted.chain.slot();
    let mut ledger = scripted.chain.ledger();
    ledger.land(Entry::paid(slot, 1, "long before"));
    let signature = ledger.land(Entry::paid(slot + 500, DUE, "paid-long-ago"));
    drop(ledger);
    hidden.lock().unwrap().insert(signature.to_string());
    scripted.chain.advance(2_000);
    let age = clock::now().unix_seconds().unsigned_abs() - Ledger::time_of(slot + 1_000);
    (signature, format!("{age}s"))
}

/// The ends of all listings are newer than an older part that is asked for later: every endpoint lists that part, too.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_preferred_node_hides_of_the_older_part_is_found() {
    let scripted = Scripted::with(2).await;
    let (signature, look_back) = hidden_long_ago(&scripted);
    let changes = [NO_SOCKETS[0], ("WATCH__LOOK_BACK", look_back.as_str())];
    let mut steps = Steps::with(&scripted, &changes).await;
    for number in 0..8 {
        steps.step(&scripted, number).await;
    }
    for node in [0, 1] {
        assert!(!steps.ends(&scripted, node).await.is_empty());
    }
    assert!(!steps.has(signature).await, "nobody asked for it");
    let shop = scripted.chain.ledger().shop;
    let checkout = Checkout {
        memo: Memo::parse("paid-long-ago").unwrap(),
        amount: Some(BaseUnits(DUE)),
        mint: Some(Mint(shop.mint)),
        recipient: Some(Wallet(shop.wallet)),
        status: CheckoutStatus::Pending,
        created_at: i64::try_from(Ledger::time_of(FIRST_SLOT + 200)).ok(),
    };
    steps.pipeline.take_in(&checkout).await.unwrap();
    steps.step(&scripted, 8).await;
    assert!(steps.has(signature).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_preferred_node_hides_is_found_by_backfills_with_bounds_and_without() {
    for since in [
        Some(Bound::Slot(FIRST_SLOT + 200)),
        Some(Bound::Time(
            i64::try_from(Ledger::time_of(FIRST_SLOT + 200)).unwrap(),
        )),
        None,
    ] {
        let scripted = Scripted::with(2).await;
        let (signature, _) = hidden_long_ago(&scripted);
        let steps = Steps::begin(&scripted).await;
        let mut backfill = Backfill::new(steps.pipeline.clone());
        backfill.since = since;
        let (progress, stop) = (Arc::new(LogLines::default()), CancellationToken::new());
        backfill.run(progress, &stop).await.unwrap();
        assert!(steps.has(signature).await, "{since:?}");
        // What both list counts once.
        let (_, recent) = scripted.buy();
        scripted.chain.advance(100);
        let progress = Arc::new(LogLines::default());
        let report = backfill.run(progress, &stop).await.unwrap();
        assert!(steps.has(recent).await && report.listed <= 3, "{report:?}");
    }
}

/// The loops of a daemon, without sockets.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_the_preferred_node_hides_is_confirmed() {
    let scripted = Scripted::with(2).await;
    let hidden = hides(&scripted.nodes[0]);
    let _daemon = scripted.watch(&NO_SOCKETS).await;
    let first = scripted.buy();
    scripted.chain.advance(100);
    scripted.confirmed("it works", &first).await;
    let paid = scripted.buy();
    hidden.lock().unwrap().insert(paid.1.to_string());
    scripted.chain.advance(100);
    scripted.confirmed("the other one tells", &paid).await;
    scripted.assert_no_double_confirm();
}
