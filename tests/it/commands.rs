//! What a person sees who starts it the wrong way: a clear message and an exit code.

use crate::support::{World, changed, eventually, exit_of, said};
use std::io::Write;

fn valid() -> Vec<(String, String)> {
    let settings = [
        ("MERCHANT__BASE_URL", "http://127.0.0.1:1/api"),
        ("SOLANA__RPC_URLS", "http://127.0.0.1:1/?api-key=hunter2"),
        ("STORE__URL", "sqlite:/nonexistent/x.db"),
    ];
    changed(&[], &settings)
}

#[test]
fn a_bad_configuration_is_refused_before_anything_opens() {
    let one_key = [("PAYWATCH__LOG__LEVEL".to_owned(), "info".to_owned())];
    let output = exit_of(&one_key, &["run"]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(64), "{text}");
    assert!(
        text.contains("merchant.base_url: found nothing")
            && text.contains("solana.rpc_urls: found an empty list"),
        "{text}"
    );

    let mut environment = valid();
    environment.push(("PAYWATCH__SOLANA__SWEEP_EVRY".into(), "15s".into()));
    let output = exit_of(&environment, &["run"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(said(&output).contains("sweep_evry"), "{}", said(&output));

    let output = exit_of(&[], &["--config", "/nonexistent/paywatch.toml", "run"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(
        said(&output).contains("/nonexistent/paywatch.toml"),
        "{}",
        said(&output)
    );
}

#[test]
fn a_database_that_cannot_be_opened_is_a_failure_with_its_name() {
    let output = exit_of(&valid(), &["run"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        said(&output).contains("sqlite:/nonexistent/x.db"),
        "{}",
        said(&output)
    );
}

#[test]
fn usage_errors_and_help() {
    let output = exit_of(&[], &["fly"]);
    assert_eq!(output.status.code(), Some(64), "{}", said(&output));
    let output = exit_of(&[], &["--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(said(&output).contains("Exit codes"), "{}", said(&output));
    let output = exit_of(&[], &["sandbox"]);
    assert_eq!(output.status.code(), Some(64), "{}", said(&output));
    let output = exit_of(&valid(), &["healthcheck"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_url_or_key_fails_a_backfill_with_a_clear_message_and_no_secret() {
    let world = World::new().await;
    let folder = world.folder.path().join("b.db");
    let mut environment = world.environment();
    environment.push((
        "PAYWATCH__STORE__URL".into(),
        format!("sqlite:{}", folder.display()),
    ));
    environment.push((
        "PAYWATCH__MERCHANT__BASE_URL".into(),
        world.api.replace("payments", "elsewhere"),
    ));
    let output = exit_of(&environment, &["backfill", "--since", "1h"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("the payments API answered with HTTP status 404"),
        "{}",
        said(&output)
    );

    environment.retain(|(name, _)| name != "PAYWATCH__MERCHANT__BASE_URL");
    environment.push(("PAYWATCH__MERCHANT__BASE_URL".into(), world.api.clone()));
    environment.push((
        "PAYWATCH__SOLANA__RPC_URLS".into(),
        "http://127.0.0.1:1/?api-key=hunter2".into(),
    ));
    let output = exit_of(&environment, &["backfill", "--since", "1h"]);
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    assert!(
        text.contains("http://127.0.0.1:1: getAccountInfo was not answered")
            && !text.contains("hunter2"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_fails_a_backfill_with_a_clear_message() {
    let mut world = World::new().await;
    world.restart_sandbox(&[], "secret").await;
    let output = exit_of(&world.environment(), &["backfill", "--since", "1h"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("the payments API refuses the key"),
        "{}",
        said(&output)
    );
}

#[tokio::test]
async fn whose_output_nobody_reads_ends_without_a_word() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    drop(reader);
    // What another test is just starting may have a copy of it.
    eventually("nobody can read", async || writer.write(b".").is_err()).await;
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_paywatch"))
        .args(["config", "show"])
        .env_clear()
        .envs(valid())
        .stdout(writer)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn healthcheck_asks_the_running_daemon() {
    let world = World::new().await;
    let daemon = world.watch(&[]).await;
    let environment = world.beside(&daemon).await;
    let output = exit_of(&environment, &["healthcheck"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let metrics = daemon.metrics().await;
    for name in [
        "paywatch_rpc_requests_total",
        "paywatch_checkouts_pending",
        "paywatch_outbox_depth",
        "paywatch_last_poll_timestamp_seconds",
    ] {
        assert!(metrics.contains(name), "{name} in\n{metrics}");
    }
}
