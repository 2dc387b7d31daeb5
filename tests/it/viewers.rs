//! Many look at one page: it is rendered once for all of them, and all are told at once.

use crate::support::{PATIENCE, World};
use serde_json::json;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::timeout,
};

const VIEWERS: u8 = 240;

/// A viewer with an address of its own: pages for buyers bear only so many requests of one.
async fn viewer(number: u8, daemon: SocketAddr, memo: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    let own = SocketAddr::from(([127, 0, 7, number], 0));
    socket.bind(own).unwrap();
    let mut stream = socket.connect(daemon).await.unwrap();
    let asked =
        format!("GET /pay/{memo} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n");
    stream.write_all(asked.as_bytes()).await.unwrap();
    stream
}

/// Reads on until the page says this.
async fn reads(stream: &mut TcpStream, words: &str) {
    let reading = async {
        let (mut seen, mut part) = (String::new(), [0; 4_096]);
        while !seen.contains(words) {
            let count = stream.read(&mut part).await.unwrap();
            assert!(count > 0, "hung up after: {seen}");
            seen += &String::from_utf8_lossy(&part[..count]);
        }
    };
    timeout(PATIENCE, reading).await.expect(words);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_and_forty_viewers_of_a_page_are_told_of_its_payment() {
    let world = World::new().await;
    let token = world.folder.path().join("token");
    std::fs::write(&token, "open sesame").unwrap();
    let settings = [
        ("OPS__TOKEN_FILE", token.to_str().unwrap()),
        ("OPS__PAY_PAGES", "true"),
        ("LOG__LEVEL", "info,paywatch::ops=trace"),
    ];
    let daemon = world.watch(&settings).await;
    let root = daemon.ops().await;
    let checkout = world.checkout(&world.usdc).await;
    let made = json!({ "memo": checkout.memo, "amount": checkout.amount, "recipient": world.recipient().to_string(), "token": world.usdc.address.to_string() });
    let handed = world.http.post(format!("{root}/v1/checkouts"));
    let handed = handed.bearer_auth("open sesame").json(&made).send().await;
    assert!(handed.unwrap().status().is_success());
    let address = root.replace("http://", "").parse().unwrap();
    let mut viewers = Vec::new();
    for number in 1..=VIEWERS {
        let mut viewer = viewer(number, address, &checkout.memo).await;
        reads(&mut viewer, "Waiting for your payment").await;
        viewers.push(viewer);
    }
    let renderings = || daemon.log().matches("page rendered").count();
    let before = renderings();
    assert!(before > 0, "they are counted");
    tokio::time::sleep(Duration::from_secs(4)).await;
    let made = renderings() - before;
    // Sweeps write: it may be rendered with each look, four times a second, once for all who look on.
    assert!(made <= 16 + 1, "{made} renderings");
    let signature = world.pay(checkout.amount, &checkout.memo).await;
    let mut told = JoinSet::new();
    for mut viewer in viewers {
        told.spawn(async move { reads(&mut viewer, "Your payment is confirmed").await });
    }
    assert_eq!(told.join_all().await.len(), usize::from(VIEWERS));
    world.wait_confirmed(&checkout, signature).await;
}
