//! What an operator sees of a running daemon.

use crate::support::{Mode, Proxy, World, changed, eventually, exit_of, said};
use paywatch::ops::Snapshot;
use paywatch::telemetry::METRICS;
use std::collections::BTreeSet;

fn snapshot(environment: &[(String, String)]) -> Snapshot {
    let output = exit_of(environment, &["status", "--json"]);
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", said(&output)))
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_how_the_daemon_stands() {
    let world = World::new().await;
    let daemon = world.watch(&[]).await;
    let environment = world.beside(&daemon).await;
    let (checkout, signature) = world.buy().await;
    world.wait_confirmed(&checkout, signature).await;
    world.wait_acknowledged(signature).await;
    eventually("everything was swept and heard", async || {
        let seen = snapshot(&environment).standing;
        seen.slot.is_some()
            && seen.token_accounts.len() == 2
            && seen
                .token_accounts
                .iter()
                .all(|account| account.swept_ago_seconds.is_some_and(|ago| ago < 60))
    })
    .await;
    let Snapshot {
        standing: seen,
        last_hour,
        ..
    } = snapshot(&environment);
    assert_eq!(seen.not_ready, None);
    assert_eq!((seen.sockets_open, seen.sockets), (1, 1));
    assert!(seen.slot_heard_ago_seconds.unwrap() < 10, "{seen:?}");
    assert_eq!((seen.outbox.queued, seen.outbox.parked), (0, 0));
    assert_eq!((last_hour.payments, last_hour.confirmed), (1, 1));
    assert!(seen.held.is_empty());
    let output = exit_of(&environment, &["status"]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.contains("does its work") && text.contains("swept USDC"),
        "{text}"
    );
    assert!(text.contains("1 recorded, 1 confirmed"), "{text}");

    let held = world.pay(7, "nobody-knows").await;
    world.wait_verdict(held, "unknown_memo").await;
    let output = exit_of(&environment, &["status"]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(
        text.contains("1 unknown_memo: paywatch payments list"),
        "{text}"
    );
    assert_eq!(snapshot(&environment).standing.held["unknown_memo"], 1);
}

#[test]
fn status_of_nobody_says_what_to_look_at() {
    let environment = |listen: &str| {
        let settings = [
            ("MERCHANT__BASE_URL", "http://127.0.0.1:1"),
            ("SOLANA__RPC_URLS", "http://127.0.0.1:1"),
            ("OPS__LISTEN", listen),
        ];
        changed(&[], &settings)
    };
    let output = exit_of(&environment("127.0.0.1:1"), &["status"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("does paywatch run"),
        "{}",
        said(&output)
    );
    let output = exit_of(&environment(""), &["status"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(
        said(&output).contains("ops.listen is off"),
        "{}",
        said(&output)
    );
}

/// The names in a page of Prometheus text.
fn exported(page: &str) -> BTreeSet<String> {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .map(|rest| rest.split(' ').next().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_documented_and_every_documented_metric_exists() {
    let world = World::new().await;
    let daemon = world.watch(&[]).await;
    world.one_confirmed_one_held().await;
    let page = daemon.metrics().await;
    let known: BTreeSet<_> = METRICS.iter().map(|one| one.name.to_owned()).collect();
    let exported = exported(&page);
    assert_eq!(exported, known, "{page}");
    for value in [
        "paywatch_ready 1",
        "paywatch_held_payments{reason=\"unknown_memo\"} 1",
        "paywatch_held_payments{reason=\"underpaid\"} 0",
        "paywatch_payments_total{verdict=\"unreadable\"} 0",
        "paywatch_rejudged_payments_total{verdict=\"already_paid\"} 0",
        "paywatch_attempts_total{outcome=\"acknowledged\"} 1",
        "paywatch_attempts_total{outcome=\"parked\"} 0",
        "paywatch_notices_total{outcome=\"given_up\"} 0",
        "paywatch_failed_steps_total{step=\"sweep\"} 0",
        "paywatch_dust_payments 0",
        "paywatch_confirm_seconds_count 1",
        "paywatch_outbox_depth 0",
        "paywatch_sockets_open 1",
    ] {
        assert!(page.lines().any(|line| line == value), "{value} in\n{page}");
    }
    let counted = page.lines().filter_map(|line| {
        let (_, count) = line
            .strip_prefix("paywatch_payments_total{")?
            .split_once(' ')?;
        count.parse::<u64>().ok()
    });
    assert_eq!(counted.sum::<u64>(), 2, "each payment once: {page}");
}

/// Its checkout becomes known after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_is_judged_again_is_counted_once() {
    let world = World::new().await;
    let api = Proxy::before(&world.api).await;
    let checkout = world.checkout(&world.usdc).await;
    api.set(Mode::Status500);
    let tokens = format!("USDC:{}:{}", world.usdc.address, world.recipient());
    let daemon = world.start(&[
        ("MERCHANT__BASE_URL", &world.api_through(&api)),
        ("WATCH__TOKENS", &tokens),
    ]);
    let has = async |value: &str| {
        let page = daemon.metrics().await;
        page.lines().any(|line| line == value)
    };
    eventually("it listens", async || has("paywatch_sockets_open 1").await).await;
    let signature = world.pay(checkout.amount, &checkout.memo).await;
    world.wait_verdict(signature, "unknown_memo").await;
    api.set(Mode::Pass);
    world.wait_verdict(signature, "matched").await;
    for value in [
        "paywatch_payments_total{verdict=\"unknown_memo\"} 1",
        "paywatch_payments_total{verdict=\"matched\"} 0",
        "paywatch_rejudged_payments_total{verdict=\"matched\"} 1",
    ] {
        eventually(value, async || has(value).await).await;
    }
}

#[test]
fn the_table_of_metrics_says_what_the_catalogue_says() {
    let text = std::fs::read_to_string("deploy/metrics.md").unwrap();
    let rows: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    let expected: Vec<_> = METRICS
        .iter()
        .map(|one| {
            let kind = format!("{:?}", one.kind).to_lowercase();
            let labels: Vec<_> = one.labels.iter().map(|label| label.name).collect();
            let row = format!(
                "| `{}` | {kind} | {} | {} |",
                one.name,
                labels.join(", "),
                one.help
            );
            row.replace("|  |", "| |")
        })
        .collect();
    assert_eq!(rows, expected);
}
