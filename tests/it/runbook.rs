//! The runbook names every alert and every reason, and its commands do what they say.

use crate::support::{World, eventually, exit_of, said};
use paywatch::domain::{Held, Memo};
use std::fs;

fn runbook() -> String {
    fs::read_to_string("deploy/runbook.md").unwrap()
}

/// As a person's day brings them: each about a payment that is held at the moment.
const FILES: [&str; 2] = ["deploy/runbook.md", "docs/held.md"];

#[test]
fn it_has_an_entry_for_every_alert_and_every_reason() {
    let entries: Vec<String> = runbook()
        .lines()
        .filter_map(|line| line.strip_prefix("### ").map(str::to_owned))
        .collect();
    let rules = fs::read_to_string("deploy/prometheus/alerts.yml").unwrap();
    let alerts = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    let reasons = Held::ALL.iter().map(|reason| reason.as_str());
    let expected: Vec<_> = alerts.chain(reasons).collect();
    assert_eq!(entries, expected);
}

/// The commands of their blocks, in their order.
fn commands() -> Vec<String> {
    let mut commands = Vec::new();
    for file in FILES {
        let text = fs::read_to_string(file).unwrap();
        let lines = text.split("```").skip(1).step_by(2).flat_map(str::lines);
        let lines = lines.filter(|line| !line.is_empty());
        commands.extend(lines.map(|line| line.strip_prefix("paywatch ").expect(line).to_owned()));
    }
    commands
}

/// As a shell would take it apart.
fn words(line: &str) -> Vec<String> {
    let mut parts = line.split('"');
    let mut all = Vec::new();
    while let Some(plain) = parts.next() {
        all.extend(plain.split_whitespace().map(str::to_owned));
        all.extend(parts.next().map(str::to_owned));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_in_it_and_in_the_answers_on_held_payments_runs() {
    let world = World::new().await;
    let daemon = world.watch(&[]).await;
    let mut environment = world.beside(&daemon).await;
    environment.push(("USER".into(), "somebody".into()));
    let backup = world.folder.path().join("backup.db").display().to_string();
    let commands = commands();
    assert!(commands.len() > 22, "{commands:?}");
    for command in commands {
        // A held payment of its own for each, and a checkout it could be for.
        let checkout = world.checkout(&world.usdc).await;
        let signature = world
            .net
            .pay(&world.payment(checkout.amount, "a typo"))
            .await;
        let signature = signature.unwrap();
        world.wait_verdict(signature, "unknown_memo").await;
        let memo = [Memo::parse(&checkout.memo).unwrap()];
        eventually("the checkout is known", async || {
            let store = world.store().await;
            let known = store.checkouts_named(&memo).await.unwrap();
            store.close().await;
            !known.is_empty()
        })
        .await;
        let filled_in = |word: String| match word.as_str() {
            "SIGNATURE" => signature.to_string(),
            "MEMO" => checkout.memo.clone(),
            "BACKUP" => backup.clone(),
            _ => word,
        };
        let arguments: Vec<_> = words(&command).into_iter().map(filled_in).collect();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let output = exit_of(&environment, &arguments);
        let (code, text) = (output.status.code(), said(&output));
        // `status` and `backfill` say that somebody is needed, and `retry` that nothing of this payment is to be tried. The API may have
        // refused by now what was confirmed by hand, since its memo is a typo: `backfill` says that it was not taken.
        let expected: &[i32] = match arguments[..] {
            ["status"] => &[2],
            ["backfill", ..] => &[1, 2],
            ["payments", "retry", "--all", ..] => &[0],
            ["payments", "retry", ..] => &[1],
            _ => &[0],
        };
        assert!(
            code.is_some_and(|code| expected.contains(&code)),
            "{code:?}: {command}: {text}"
        );
    }
    let output = exit_of(&environment, &["store", "backup", &backup]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("is not overwritten"),
        "{}",
        said(&output)
    );
}

/// What was recorded before the copy is there again, and what came after is found again on chain.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_backup_knows_what_was_confirmed_and_finds_the_rest() {
    let world = World::new().await;
    let backup = world.folder.path().join("backup.db");
    let daemon = world.watch(&[]).await;
    let (first, paid_first) = world.buy().await;
    world.wait_confirmed(&first, paid_first).await;
    world.wait_acknowledged(paid_first).await;
    let output = exit_of(
        &world.environment(),
        &["store", "backup", backup.to_str().unwrap()],
    );
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("rules hold"), "{}", said(&output));
    let (second, paid_second) = world.buy().await;
    world.wait_confirmed(&second, paid_second).await;
    world.wait_acknowledged(paid_second).await;
    daemon.kill();
    for suffix in ["", "-wal", "-shm"] {
        let file = world.folder.path().join(format!("paywatch.db{suffix}"));
        // The last connection may have cleared the log away.
        let _gone = fs::remove_file(file);
    }
    fs::copy(&backup, world.database()).unwrap();
    let _again = world.watch(&[]).await;
    world.wait_acknowledged(paid_second).await;
    assert_eq!(world.recorded(paid_first).await.len(), 1);
    // Told twice with the same pair, credited once.
    assert_eq!(world.credits().await, 2 * 1900);
}
