//! Several endpoints: who fails, lags or says nothing is asked last, and first again once it is well.

use crate::support::eventually;
use crate::support::server::Said;
use crate::support::stage::Stage;

/// Waits until the preferred node, and not the other one, is asked.
async fn is_preferred(stage: &Stage, preferred: usize) {
    let pages = |node: usize| stage.nodes[node].asked("getSignaturesForAddress");
    eventually(&format!("node {preferred} is asked"), async || {
        let before = (pages(preferred), pages(1 - preferred));
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        pages(preferred) > before.0 && pages(1 - preferred) == before.1
    })
    .await;
}

/// What goes wrong with the preferred node.
type Trouble = fn(&Stage);

#[tokio::test(flavor = "multi_thread")]
async fn errors_lag_and_silence_fail_over_and_come_back() {
    let troubles: [(&str, Trouble); 4] = [
        ("errors", |stage| {
            stage.nodes[0].says(|_, _| Said::Status(502, None));
        }),
        ("silence", |stage| {
            stage.nodes[0].says(|_, _| Said::Silence);
        }),
        ("429", |stage| {
            stage.nodes[0].says(|_, _| Said::Status(429, Some(1)));
        }),
        ("lag", |stage| stage.nodes[0].lags(200)),
    ];
    for (what, begin) in troubles {
        let stage = Stage::with(2).await;
        stage.chain.advance(500);
        let _running = stage.chain.run();
        let _daemon = stage.watch(&[]).await;
        is_preferred(&stage, 0).await;
        begin(&stage);
        is_preferred(&stage, 1).await;
        let paid = stage.buy();
        stage.confirmed(what, &paid).await;
        stage.nodes[0].is_honest_again();
        stage.nodes[0].lags(0);
        is_preferred(&stage, 0).await;
        let paid = stage.buy();
        stage.confirmed(what, &paid).await;
    }
}

/// The history of the preferred node does not reach back: the other one's does.
#[tokio::test(flavor = "multi_thread")]
async fn a_gap_in_one_history_is_closed_by_another() {
    let stage = Stage::with(2).await;
    let running = stage.chain.run();
    let daemon = stage.watch(&[("SOLANA__WS_URLS", "")]).await;
    let first = stage.buy();
    stage.confirmed("it works", &first).await;
    stage.swept_past(&daemon, 0).await;
    stage.nodes[0].says(|question, mut honest| {
        if question.method == "getSignaturesForAddress" {
            honest["result"] = serde_json::json!([]);
        }
        Said::Json(honest)
    });
    let second = stage.buy();
    stage.confirmed("the other one lists it", &second).await;
    stage.swept_past(&daemon, 1).await;
    drop(running);
}

/// Each socket alone is enough.
#[tokio::test(flavor = "multi_thread")]
async fn all_sockets_are_listened_to_at_once() {
    let stage = Stage::with(2).await;
    let _daemon = stage.watch(&[("SOLANA__SWEEP_EVERY", "1h")]).await;
    for silent in [0, 1] {
        eventually("both are open", async || {
            stage.nodes.iter().all(|node| node.connections() > 0)
        })
        .await;
        stage.nodes[silent].socket(crate::support::node::Socket::Mute);
        stage.nodes[1 - silent].socket(crate::support::node::Socket::Honest);
        let paid = stage.buy();
        stage.chain.advance(5);
        stage.confirmed("by the other one", &paid).await;
    }
}
