//! Accounts are swept side by side: junk at one of them makes nobody wait who pays into another one.

use crate::support::backend::DUE;
use crate::support::eventually;
use crate::support::ledger::Entry;
use crate::support::scripted::Scripted;
use crate::support::server::Said;
use futures_util::future::join_all;
use paywatch::domain::Signature;
use paywatch::pipeline::{Checkouts, Sweep, Watch};
use paywatch::store::Filter;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const JUNK: usize = 1_500;

/// Two requests for transactions at once, each answered after 20 ms: all the junk takes 15 s.
const SLOWLY: [(&str, &str); 3] = [
    ("SOLANA__WS_URLS", ""),
    ("SOLANA__MAX_IN_FLIGHT", "3"),
    ("SOLANA__SWEEP_EVERY", "1s"),
];

fn answers_slowly(scripted: &Scripted) {
    scripted.nodes[0].says(|question, honest| match question.method {
        "getTransaction" => Said::Later(Duration::from_millis(20), honest),
        _ => Said::Json(honest),
    });
}

/// Account one account or the other.
#[derive(Clone, Copy)]
enum Account {
    Associated,
    Aside,
}

impl Account {
    fn the_other(self) -> Self {
        match self {
            Self::Associated => Self::Aside,
            Self::Aside => Self::Associated,
        }
    }

    fn land(self, scripted: &Scripted, amount: u64, memo: &str) -> Signature {
        let entry = Entry {
            aside: matches!(self, Self::Aside),
            ..Entry::paid(scripted.chain.slot(), amount, memo)
        };
        scripted.chain.ledger().land(entry)
    }

    fn flood(self, scripted: &Scripted) {
        for number in 0..JUNK {
            self.land(scripted, 1, &format!("junk {number}"));
        }
        scripted.chain.advance(100);
    }
}

/// What one sweep lists is taken in side by side, whichever account comes first.
#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_takes_in_a_payment_at_a_quiet_account_beside_the_junk_of_another() {
    let tries = [Account::Associated, Account::Aside].map(|flooded| async move {
        let scripted = Scripted::with(1).await;
        flooded.flood(&scripted);
        let paid = flooded.the_other().land(&scripted, DUE, "nobody's");
        scripted.chain.advance(100);
        answers_slowly(&scripted);
        let pipeline = scripted.pipeline(&SLOWLY).await;
        Checkouts::new(pipeline.clone()).step().await.unwrap();
        Watch::new(pipeline.clone()).step().await.unwrap();
        let (store, mut sweep) = (pipeline.store.clone(), Sweep::new(pipeline));
        let is_found = eventually("it is found", async || {
            let payments = store.payments(&Filter::newest(2_000)).await.unwrap();
            payments.iter().any(|one| one.signature == paid.to_string())
        });
        tokio::select! {
            swept = sweep.step() => panic!("it waited for the end of the sweep: {swept:?}"),
            () = is_found => {}
        }
        let fetched = scripted.nodes[0].fetched();
        assert!(fetched < JUNK / 2, "{fetched} were fetched before it");
    });
    join_all(tries).await;
}

/// A payment that lands while the junk is being fetched.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_at_a_quiet_account_waits_an_interval_and_not_for_the_end_of_a_flood() {
    let scripted = Scripted::with(1).await;
    let _daemon = scripted.watch(&SLOWLY).await;
    let first = scripted.buy();
    scripted.chain.advance(100);
    scripted.confirmed("it works", &first).await;
    answers_slowly(&scripted);
    Account::Associated.flood(&scripted);
    let node = &scripted.nodes[0];
    eventually("the flood is on", async || node.fetched() > 100).await;
    let memo = scripted.checkout();
    let signature = Account::Aside.land(&scripted, DUE, &memo);
    scripted.chain.advance(100);
    let began = Instant::now();
    let paid = (memo, signature);
    scripted.confirmed("it does not wait", &paid).await;
    let fetched = node.fetched();
    println!(
        "confirmed after {:?}, {fetched} of {JUNK} fetched",
        began.elapsed()
    );
    assert!(fetched < JUNK * 2 / 3, "{fetched} were fetched before it");
}

/// An account that fails does not keep the others from being swept each interval.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_cannot_be_listed_makes_no_other_one_wait() {
    let scripted = Scripted::with(1).await;
    let failing = json!(scripted.chain.ledger().shop.account.to_string());
    scripted.nodes[0].says(move |question, honest| {
        let is_it = question.method == "getSignaturesForAddress" && question.params[0] == failing;
        if is_it {
            Said::Status(403, None)
        } else {
            Said::Json(honest)
        }
    });
    let _daemon = scripted.watch(&[("SOLANA__WS_URLS", "")]).await;
    for _ in 0..2 {
        let memo = scripted.checkout();
        let signature = Account::Aside.land(&scripted, DUE, &memo);
        scripted.chain.advance(100);
        scripted.confirmed("it is found", &(memo, signature)).await;
    }
}

/// The sweep of an account waits for a transaction that the node does not give. A payment at the same account whose memo no history
/// shows is taken in beside it.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_at_an_account_that_is_being_swept_is_taken_in_beside_the_sweep() {
    let scripted = Scripted::with(1).await;
    let missing = scripted.buy().1;
    scripted.chain.advance(100);
    let id = json!(missing.to_string());
    scripted.nodes[0].says(move |question, mut honest| {
        match question.method {
            "getTransaction" if question.params[0] == id => honest["result"] = Value::Null,
            "getSignaturesForAddress" => {
                if let Some(page) = honest["result"].as_array_mut() {
                    for entry in page {
                        entry["memo"] = Value::Null;
                    }
                }
            }
            _ => {}
        }
        Said::Json(honest)
    });
    let daemon = scripted.watch(&[("SOLANA__WS_URLS", "")]).await;
    eventually("it is waited for", async || {
        scripted.nodes[0].asked(&format!("getTransaction [\"{missing}\"]")) > 1
    })
    .await;
    let paid = scripted.buy();
    scripted.chain.advance(100);
    scripted.confirmed("it does not wait", &paid).await;
    assert!(
        daemon.payment(missing).await.is_none(),
        "the sweep still waits for the other one"
    );
}
