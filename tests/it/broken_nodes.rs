//! Scripted nodes, behind real sockets, that answer nonsense, late, half, or not at all: each payment is confirmed once.

use crate::support::backend::DUE;
use crate::support::eventually;
use crate::support::ledger::Entry;
use crate::support::node::{Question, Socket, error};
use crate::support::scripted::Scripted;
use crate::support::server::Said;
use futures_util::future::join_all;
use paywatch::pipeline::{Checkouts, Sweep, Watch};
use paywatch::store::Filter;
use serde_json::{Value, json};

/// What a node does to its honest answer; `None` if that question is not one for it.
type Fault = fn(&Question<'_>, &Value) -> Option<Said>;

fn is_page(question: &Question<'_>) -> bool {
    question.method == "getSignaturesForAddress"
}

fn page(question: &Question<'_>, honest: &Value, change: fn(&mut Vec<Value>)) -> Option<Said> {
    let mut answer = honest.clone();
    change(
        answer["result"]
            .as_array_mut()
            .filter(|_| is_page(question))?,
    );
    Some(Said::Json(answer))
}

/// Everything that a node, or what stands before it, was seen or feared to answer.
const FAULTS: [(&str, Fault); 26] = [
    ("null", |question, _| {
        (question.method == "getTransaction").then(|| Said::Json(json!({ "result": null })))
    }),
    ("node behind", |_, _| Some(Said::Json(error(-32005, "")))),
    ("slot skipped", |_, _| Some(Said::Json(error(-32007, "")))),
    ("status not there yet", |_, _| {
        Some(Said::Json(error(-32014, "")))
    }),
    ("unknown version", |question, _| {
        (question.method == "getTransaction").then(|| Said::Json(error(-32015, "")))
    }),
    ("min context slot", |_, _| {
        Some(Said::Json(error(-32016, "")))
    }),
    ("unknown anchor", |question, _| {
        is_page(question).then(|| Said::Json(error(-32020, "")))
    }),
    ("incomplete anchor", |question, _| {
        is_page(question).then(|| Said::Json(error(-32602, "Unable to get block")))
    }),
    ("an error of the future", |_, _| {
        Some(Said::Json(
            json!({ "error": { "code": "much", "message": [7] } }),
        ))
    }),
    ("429 as status", |_, _| Some(Said::Status(429, Some(1)))),
    ("429 inside an answer", |_, _| {
        Some(Said::Json(error(429, "")))
    }),
    ("status 503", |_, _| Some(Said::Status(503, None))),
    ("HTML", |_, _| Some(Said::Text("<html>busy</html>".into()))),
    ("JSON that breaks off", |_, honest| {
        let text = honest.to_string();
        Some(Said::Text(text[..text.len() / 2].into()))
    }),
    ("other JSON", |_, _| {
        Some(Said::Json(json!({ "result": { "value": { "data": 7 } } })))
    }),
    ("no JSON-RPC", |_, _| Some(Said::Json(json!([1, 2])))),
    ("a body of 10 MB", |_, honest| {
        Some(Said::Padded(10 << 20, honest.clone()))
    }),
    ("a body without end", |_, honest| {
        Some(Said::Padded(100 << 20, honest.clone()))
    }),
    ("half a body", |_, honest| Some(Said::Half(honest.clone()))),
    ("drop by drop", |_, honest| Some(Said::Drip(honest.clone()))),
    ("a reset", |_, _| Some(Said::Reset)),
    ("silence", |_, _| Some(Said::Silence)),
    ("every entry twice", |question, honest| {
        page(question, honest, |page| page.extend(page.clone()))
    }),
    ("a page upside down", |question, honest| {
        page(question, honest, |page| page.reverse())
    }),
    ("an empty page", |question, honest| {
        page(question, honest, Vec::clear)
    }),
    ("errors nobody knows", |question, honest| {
        page(question, honest, |page| {
            let key = json!(paywatch::domain::Signature::from([9; 64]).to_string());
            page.insert(0, json!({ "signature": key, "slot": 1_000, "err": { "Future": [{ "x": 1 }] }, "memo": 7, "more": {} }));
        })
    }),
];

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_node_answers_at_first_each_payment_is_confirmed_once() {
    let tries = FAULTS.map(|(what, fault)| async move {
        let scripted = Scripted::with(1).await;
        let _running = scripted.chain.run();
        scripted.nodes[0].says(move |question, honest| {
            let said = fault(question, &honest).filter(|_| question.before < 2);
            said.unwrap_or(Said::Json(honest))
        });
        let before = scripted.buy();
        let daemon = scripted.watch(&[]).await;
        scripted.confirmed(what, &before).await;
        let after = scripted.buy();
        scripted.confirmed(what, &after).await;
        scripted.swept_past(&daemon, 1).await;
        assert_eq!(scripted.told_of(before.1), 1, "{what}");
        scripted.assert_no_double_confirm();
    });
    join_all(tries).await;
}

/// The same by a node that never becomes well, while another one is.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stays_broken_harms_nobody_while_another_one_is_well() {
    let tries = FAULTS.map(|(what, fault)| async move {
        let scripted = Scripted::with(2).await;
        let _running = scripted.chain.run();
        scripted.nodes[0]
            .says(move |question, honest| fault(question, &honest).unwrap_or(Said::Json(honest)));
        let _daemon = scripted.watch(&[]).await;
        for _ in 0..3 {
            let paid = scripted.buy();
            scripted.confirmed(what, &paid).await;
        }
        scripted.assert_no_double_confirm();
    });
    join_all(tries).await;
}

/// One transaction is answered like this for ever: it is held, with an alarm, and the next ones are confirmed without it. When it
/// can be read at last, it is confirmed too.
#[tokio::test(flavor = "multi_thread")]
async fn a_poison_transaction_is_held_and_stalls_nothing() {
    // Who is busy or behind says nothing of a transaction.
    let of_the_node = [
        "node behind",
        "min context slot",
        "429 as status",
        "429 inside an answer",
    ];
    let of_it = FAULTS
        .into_iter()
        .filter(|(what, _)| !of_the_node.contains(what));
    let tries = of_it.map(|(what, fault)| async move {
        let scripted = Scripted::with(1).await;
        let _running = scripted.chain.run();
        let poison = scripted.buy();
        let id = json!(poison.1.to_string());
        scripted.nodes[0].says(move |question, honest| {
            let is_poison = question.method == "getTransaction" && question.params[0] == id;
            let said = fault(question, &honest).filter(|_| is_poison);
            said.unwrap_or(Said::Json(honest))
        });
        // Some of them do no harm to a single transaction.
        let is_harmless = is_for_pages(fault) || matches!(what, "a body of 10 MB");
        let daemon = scripted.watch(&[]).await;
        for _ in 0..2 {
            let next = scripted.buy();
            scripted.confirmed(what, &next).await;
        }
        if !is_harmless {
            daemon.judges(poison.1, "unreadable").await;
        }
        scripted.swept_past(&daemon, 2).await;
        scripted.nodes[0].is_honest_again();
        scripted.confirmed(what, &poison).await;
        scripted.assert_no_double_confirm();
    });
    join_all(tries).await;
}

fn is_for_pages(fault: Fault) -> bool {
    let question = Question {
        method: "getTransaction",
        params: &Value::Null,
        before: 0,
    };
    fault(&question, &Value::Null).is_none()
}

/// Without any sweep that time brings: what a socket that fails leaves out is brought by the one that a new connection asks for.
#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_fail_lose_nothing() {
    let moods = [
        Socket::Drops(0),
        Socket::Drops(7),
        Socket::Mute,
        Socket::Speechless,
        Socket::Babbles,
    ];
    let tries = moods.map(|mood| async move {
        let scripted = Scripted::with(1).await;
        let _running = scripted.chain.run();
        scripted.nodes[0].socket(mood);
        let _daemon = scripted.watch(&[("SOLANA__SWEEP_EVERY", "1h")]).await;
        let first = scripted.buy();
        eventually("it was connected", async || {
            scripted.nodes[0].connections() > 0
        })
        .await;
        let second = scripted.buy();
        if matches!(mood, Socket::Mute | Socket::Speechless) {
            // It looks alive: only its silence tells.
            eventually("its silence is noticed", async || {
                scripted.nodes[0].connections() > 1
            })
            .await;
        }
        let third = scripted.buy();
        if !matches!(mood, Socket::Drops(7) | Socket::Babbles) {
            scripted.nodes[0].socket(Socket::Honest);
        }
        for paid in [first, second, third] {
            scripted.confirmed(&format!("{mood:?}"), &paid).await;
        }
        scripted.assert_no_double_confirm();
    });
    join_all(tries).await;
}

/// A payment that another node's history shows late, older than the cursor.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_signature_that_is_revealed_late_is_found() {
    let scripted = Scripted::with(1).await;
    let daemon = scripted.watch(&[("SOLANA__WS_URLS", "")]).await;
    let first = scripted.buy();
    let late = scripted.buy();
    let reveal_at = scripted.chain.slot() + 200;
    scripted.chain.ledger().entries[1].revealed_at = reveal_at;
    scripted.chain.advance(20);
    let newer = scripted.buy();
    scripted.chain.advance(100);
    for paid in [&first, &newer] {
        scripted.confirmed("what is shown is confirmed", paid).await;
    }
    scripted.swept_past(&daemon, 2).await;
    assert_eq!(scripted.told_of(late.1), 0);
    scripted.chain.advance(200);
    scripted
        .confirmed("what was hidden is confirmed", &late)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_goes_back_in_time_moves_no_cursor() {
    let scripted = Scripted::with(1).await;
    let daemon = scripted.watch(&[]).await;
    let paid = scripted.buy();
    scripted.chain.advance(100);
    scripted.confirmed("it is paid", &paid).await;
    let cursor = async || scripted.cursor(&daemon.store).await;
    eventually("there is a cursor", async || cursor().await.is_some()).await;
    let before = cursor().await;
    let asked = scripted.nodes[0].asked("getSignaturesForAddress");
    scripted.nodes[0].lags(90);
    eventually("it was swept", async || {
        scripted.nodes[0].asked("getSignaturesForAddress") > asked + 3
    })
    .await;
    assert_eq!(cursor().await, before);
    let paid = scripted.buy();
    scripted.nodes[0].lags(0);
    scripted.chain.advance(100);
    scripted.confirmed("it goes on", &paid).await;
    eventually("the cursor goes on", async || cursor().await != before).await;
}

/// An account is closed, or left out of a list, after it was paid into and before that was read, by a daemon that is then ended.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_listed_no_more_is_swept_once_more() {
    let scripted = Scripted::with(1).await;
    // A look at the chain's list is good for twenty of these.
    let changes = [("SOLANA__SWEEP_EVERY", "10ms")];
    let before = scripted.pipeline(&changes).await;
    Checkouts::new(before.clone()).step().await.unwrap();
    Watch::new(before).step().await.unwrap();
    let paid = Entry {
        aside: true,
        ..Entry::paid(scripted.chain.slot(), DUE, &scripted.checkout())
    };
    let signature = scripted.chain.ledger().land(paid);
    scripted.chain.advance(100);
    scripted.nodes[0].says(|question, mut honest| {
        if question.method == "getTokenAccountsByOwner" {
            honest["result"]["value"] = json!([]);
        }
        Said::Json(honest)
    });
    let pipeline = scripted.pipeline(&changes).await;
    let watched = || pipeline.watching().accounts().len();
    let mut watch = Watch::new(pipeline.clone());
    watch.step().await.unwrap();
    assert_eq!(watched(), 2);
    Checkouts::new(pipeline.clone()).step().await.unwrap();
    Sweep::new(pipeline.clone()).step().await.unwrap();
    let recorded = scripted.store().await.payments(&Filter::newest(9)).await;
    assert_eq!(recorded.unwrap()[0].signature, signature.to_string());
    eventually("it is watched no more", async || {
        watch.step().await.unwrap();
        watched() == 1
    })
    .await;
}
