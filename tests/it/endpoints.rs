//! Several endpoints: who fails, lags or says nothing is asked last, and first again once it is well.

use crate::support::eventually;
use crate::support::scripted::Scripted;
use crate::support::server::Said;
use futures_util::future::join_all;

/// Waits until the preferred node, and not the other one, is asked.
async fn is_preferred(scripted: &Scripted, preferred: usize) {
    let pages = |node: usize| scripted.nodes[node].asked("getSignaturesForAddress");
    eventually(&format!("node {preferred} is asked"), async || {
        let before = (pages(preferred), pages(1 - preferred));
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        pages(preferred) > before.0 && pages(1 - preferred) == before.1
    })
    .await;
}

/// What goes wrong with the preferred node.
type Trouble = fn(&Scripted);

#[tokio::test(flavor = "multi_thread")]
async fn errors_lag_and_silence_fail_over_and_come_back() {
    let troubles: [(&str, Trouble); 4] = [
        ("errors", |scripted| {
            scripted.nodes[0].says(|_, _| Said::Status(502, None));
        }),
        ("silence", |scripted| {
            scripted.nodes[0].says(|_, _| Said::Silence);
        }),
        ("429", |scripted| {
            scripted.nodes[0].says(|_, _| Said::Status(429, Some(1)));
        }),
        ("lag", |scripted| scripted.nodes[0].lags(200)),
    ];
    let tries = troubles.map(|(what, begin)| async move {
        let scripted = Scripted::with(2).await;
        scripted.chain.advance(500);
        let _running = scripted.chain.run();
        let _daemon = scripted.watch(&[]).await;
        is_preferred(&scripted, 0).await;
        begin(&scripted);
        is_preferred(&scripted, 1).await;
        let paid = scripted.buy();
        scripted.confirmed(what, &paid).await;
        scripted.nodes[0].is_honest_again();
        scripted.nodes[0].lags(0);
        is_preferred(&scripted, 0).await;
        let paid = scripted.buy();
        scripted.confirmed(what, &paid).await;
    });
    join_all(tries).await;
}

/// The history of the preferred node does not reach back: the other one's does.
#[tokio::test(flavor = "multi_thread")]
async fn a_gap_in_one_history_is_closed_by_another() {
    let scripted = Scripted::with(2).await;
    let running = scripted.chain.run();
    let daemon = scripted.watch(&[("SOLANA__WS_URLS", "")]).await;
    let first = scripted.buy();
    scripted.confirmed("it works", &first).await;
    scripted.swept_past(&daemon, 0).await;
    scripted.nodes[0].says(|question, mut honest| {
        if question.method == "getSignaturesForAddress" {
            honest["result"] = serde_json::json!([]);
        }
        Said::Json(honest)
    });
    let second = scripted.buy();
    scripted.confirmed("the other one lists it", &second).await;
    scripted.swept_past(&daemon, 1).await;
    drop(running);
}

/// Each socket alone is enough.
#[tokio::test(flavor = "multi_thread")]
async fn all_sockets_are_listened_to_at_once() {
    let scripted = Scripted::with(2).await;
    let _daemon = scripted.watch(&[("SOLANA__SWEEP_EVERY", "1h")]).await;
    for silent in [0, 1] {
        eventually("both are open", async || {
            scripted.nodes.iter().all(|node| node.connections() > 0)
        })
        .await;
        scripted.nodes[silent].socket(crate::support::node::Socket::Mute);
        scripted.nodes[1 - silent].socket(crate::support::node::Socket::Honest);
        let paid = scripted.buy();
        scripted.chain.advance(5);
        scripted.confirmed("by the other one", &paid).await;
    }
}
