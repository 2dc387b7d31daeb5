//! `paywatch backfill`: the sweep with an end.

use crate::support::{Child, Mode, PATIENCE, Proxy, World, changed, eventually, exit_of};
use serde_json::Value;
use std::process::Output;

impl World {
    fn backfill(&self, args: &[&str]) -> Output {
        let all: Vec<_> = ["backfill"].iter().chain(args).copied().collect();
        exit_of(&self.environment(), &all)
    }

    fn backfill_json(&self, args: &[&str]) -> (i32, Value) {
        let output = self.backfill(&[args, &["--json"]].concat());
        let text = String::from_utf8_lossy(&output.stdout);
        let report = serde_json::from_str(&text)
            .unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
        (output.status.code().unwrap(), report)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_an_empty_database_it_finds_what_the_daemon_would_have_and_twice_is_once() {
    let world = World::new().await;
    let mut bought = Vec::new();
    for _ in 0..4 {
        bought.push(world.buy().await);
    }
    let (code, report) = world.backfill_json(&["--since", "1h"]);
    assert_eq!(
        (code, &report["new_payments"], &report["acknowledged"]),
        (0, &4.into(), &4.into()),
        "{report}"
    );
    for (checkout, signature) in &bought {
        world.wait_confirmed(checkout, *signature).await;
    }
    let (code, report) = world.backfill_json(&["--since", "1h"]);
    assert_eq!(
        (
            code,
            &report["new_payments"],
            &report["acknowledged"],
            &report["fetched"]
        ),
        (0, &0.into(), &0.into(), &0.into()),
        "{report}"
    );
    assert_eq!(world.calls().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn held_payments_end_it_with_code_2_and_a_summary() {
    let world = World::new().await;
    let held = world.pay(5, "nobody-knows-this").await;
    let output = world.backfill(&["--since", "1h"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(
        text.contains("unknown_memo") && text.contains("need a person"),
        "{text}"
    );
    world.wait_verdict(held, "unknown_memo").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_and_changes_nothing() {
    let world = World::new().await;
    let (checkout, _) = world.buy().await;
    let (code, report) = world.backfill_json(&["--since", "1h", "--dry-run"]);
    assert_eq!(
        (code, &report["new_payments"], &report["acknowledged"]),
        (0, &1.into(), &0.into()),
        "{report}"
    );
    assert_eq!(world.session(&checkout.memo).await["status"], 0);
    assert!(!world.database().exists());
    assert_eq!(world.calls().await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_may_be_slots_signatures_and_times() {
    let world = World::new().await;
    let mut signatures = Vec::new();
    for _ in 0..3 {
        let signature = world.buy().await.1;
        let slot = world.net.client().get_slot().await.unwrap();
        eventually("the next slot has come", async || {
            world.net.client().get_slot().await.unwrap() > slot + 1
        })
        .await;
        signatures.push(signature.to_string());
    }
    let count = |args: &[&str]| {
        world.backfill_json(&[args, &["--dry-run"]].concat()).1["new_payments"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(count(&["--since", &signatures[1]]), 2, "from the second on");
    assert_eq!(
        count(&["--since", "1h", "--until", &signatures[1]]),
        2,
        "up to the second"
    );
    assert_eq!(
        count(&["--since", &signatures[1], "--until", &signatures[1]]),
        1,
        "the second alone"
    );
    assert_eq!(count(&["--since", "0"]), 3, "since the first slot");
    assert_eq!(count(&["--since", "2020-01-01T00:00:00Z"]), 3);
    assert_eq!(
        count(&[
            "--since",
            "2020-01-01T00:00:00Z",
            "--until",
            "2020-01-02T00:00:00Z"
        ]),
        0
    );
    let output = world.backfill(&["--since", "yesterday-ish"]);
    assert_eq!(output.status.code(), Some(64));
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_running_daemon_nothing_is_confirmed_twice() {
    let world = World::new().await;
    let _daemon = world.watch(&[]).await;
    let mut bought = Vec::new();
    for _ in 0..6 {
        bought.push(world.buy().await);
        let (code, report) = world.backfill_json(&["--since", "1h"]);
        assert!(code == 0 || code == 2, "{report}");
    }
    for (checkout, signature) in &bought {
        world.wait_confirmed(checkout, *signature).await;
    }
    world.assert_no_double_confirm().await;
    // A call that the API refuses, since its own node lags, is made again.
    let mut calls = world.calls().await;
    calls.retain(|(_, _, status)| *status == 200);
    assert_eq!(calls.len(), 6, "each pair was taken once: {calls:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_and_started_again_it_goes_on() {
    let world = World::new().await;
    let bought = world.buy_at_once(20).await;
    for (_, signature) in &bought {
        world.net.wait_for(*signature).await.unwrap();
    }
    // Killed somewhere in the middle, again and again; slow enough that it never gets far.
    let mut environment = world.environment();
    environment.push(("PAYWATCH__SOLANA__MAX_IN_FLIGHT".into(), "1".into()));
    for milliseconds in [150, 250, 350] {
        let child = Child::command(&world.folder, &environment, &["backfill", "--since", "1h"]);
        tokio::time::sleep(std::time::Duration::from_millis(milliseconds)).await;
        child.kill();
    }
    // What the killed runs had leased comes back by itself within this run or the next.
    eventually("a run ends with all confirmed", async || {
        world.backfill(&["--since", "1h"]);
        world
            .store()
            .await
            .count_confirmations()
            .await
            .unwrap()
            .queued
            == 0
    })
    .await;
    for (checkout, signature) in &bought {
        world.wait_confirmed(checkout, *signature).await;
    }
    world.assert_no_double_confirm().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_bounds_it_resumes_where_the_last_sweep_ended() {
    let world = World::new().await;
    let (checkout, signature) = world.buy().await;
    let (_, report) = world.backfill_json(&[]);
    assert_eq!(report["new_payments"], 1, "{report}");
    world.wait_confirmed(&checkout, signature).await;
    let (_, report) = world.backfill_json(&[]);
    assert_eq!(
        (&report["new_payments"], &report["fetched"]),
        (&0.into(), &0.into()),
        "{report}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_backfill_ends_at_once_and_says_what_is_left() {
    let world = World::new().await;
    let (checkout, signature) = world.buy().await;
    let node = Proxy::before(&world.net.rpc_url).await;
    node.set(Mode::Stall);
    let url = format!("http://{}", node.address);
    let environment = changed(&world.environment(), &[("SOLANA__RPC_URLS", &url)]);
    let arguments = ["backfill", "--since", "1h"];
    let mut child = Child::command(&world.folder, &environment, &arguments);
    eventually("it asks the node", async || node.connections() > 0).await;
    child.signal("INT");
    let status = child.wait_for_exit(PATIENCE).expect("it ends");
    let said = child.log();
    assert_eq!(status.code(), Some(1), "{said}");
    let left = "interrupted: 0 confirmations are still to be sent, and history was not read to its end; run it again";
    assert!(said.contains(left), "{said}");
    let (code, report) = world.backfill_json(&["--since", "1h"]);
    assert_eq!(
        (code, &report["interrupted"]),
        (0, &false.into()),
        "{report}"
    );
    world.wait_confirmed(&checkout, signature).await;
}
