//! WebSockets that break, stall or never were: payments are confirmed all the same, and no gap stays.

use crate::support::{Mode, Proxy, World, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_websocket_is_opened_again_and_nothing_between_is_lost() {
    let world = World::new().await;
    let socket = Proxy::before(&world.net.ws_url).await;
    let url = format!("ws://{}", socket.address);
    // Sweeps come from reconnecting alone.
    let _daemon = world
        .watch(&[("SOLANA__WS_URLS", &url), ("SOLANA__SWEEP_EVERY", "1h")])
        .await;
    let (checkout, signature) = world.buy().await;
    world.wait_confirmed(&checkout, signature).await;

    let connections = socket.connections();
    socket.set(Mode::Cut);
    let (checkout, signature) = world.buy().await;
    socket.set(Mode::Pass);
    world.wait_confirmed(&checkout, signature).await;
    // The sweep that a closing socket asks for may have been faster than the next socket.
    eventually("it is opened again", async || {
        socket.connections() > connections
    })
    .await;

    let (checkout, signature) = world.buy().await;
    world.wait_confirmed(&checkout, signature).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_that_stands_open_and_says_nothing_is_noticed() {
    let world = World::new().await;
    let socket = Proxy::before(&world.net.ws_url).await;
    let url = format!("ws://{}", socket.address);
    let daemon = world
        .watch(&[("SOLANA__WS_URLS", &url), ("SOLANA__SWEEP_EVERY", "1h")])
        .await;
    socket.set(Mode::Stall);
    let (checkout, signature) = world.buy().await;
    eventually("the silence is noticed", async || {
        daemon.log().contains("no slot for")
    })
    .await;
    socket.set(Mode::Pass);
    world.wait_confirmed(&checkout, signature).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_confirms_while_the_websocket_is_dead() {
    let world = World::new().await;
    let socket = Proxy::before(&world.net.ws_url).await;
    let url = format!("ws://{}", socket.address);
    let _daemon = world.watch(&[("SOLANA__WS_URLS", &url)]).await;
    socket.set(Mode::Cut);
    for _ in 0..3 {
        let (checkout, signature) = world.buy().await;
        world.wait_confirmed(&checkout, signature).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_websockets_bring_one_confirmation() {
    let world = World::new().await;
    let second = Proxy::before(&world.net.ws_url).await;
    let urls = format!("{},ws://{}", world.net.ws_url, second.address);
    let daemon = world.watch(&[("SOLANA__WS_URLS", &urls)]).await;
    eventually("both sockets are open", async || {
        daemon.metrics().await.contains("paywatch_sockets_open 2")
    })
    .await;
    let (checkout, signature) = world.buy().await;
    world.wait_confirmed(&checkout, signature).await;
    assert_eq!(world.calls().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_away_makes_it_unready_and_its_return_ready_again() {
    let world = World::new().await;
    let (rpc, socket) = (
        Proxy::before(&world.net.rpc_url).await,
        Proxy::before(&world.net.ws_url).await,
    );
    let (rpc_url, ws_url) = (
        format!("http://{}", rpc.address),
        format!("ws://{}", socket.address),
    );
    rpc.set(Mode::Cut);
    socket.set(Mode::Cut);
    let daemon = world.start(&[("SOLANA__RPC_URLS", &rpc_url), ("SOLANA__WS_URLS", &ws_url)]);
    let ops = daemon.ops().await;
    let ready = async || {
        reqwest::get(format!("{ops}/readyz"))
            .await
            .unwrap()
            .status()
            .is_success()
    };
    let healthy = reqwest::get(format!("{ops}/healthz"))
        .await
        .unwrap()
        .status()
        .is_success();
    assert!(healthy && !ready().await);
    let (checkout, signature) = world.buy().await;
    rpc.set(Mode::Pass);
    socket.set(Mode::Pass);
    world.wait_confirmed(&checkout, signature).await;
    eventually("the daemon is ready", ready).await;
}
