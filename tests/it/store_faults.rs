//! Databases that are old, new, damaged, read-only, full or shared: each is opened, or refused in plain words.

use crate::support::books::{
    Books, NOW, account, checkout, confirm, ingested, page, paid, rules, signature,
};
use crate::support::{Child, PRICE, World, eventually, exit_of, said, tables};
use futures_util::future::join_all;
use paywatch::domain::{Commitment, Policy};
use paywatch::store::{Attempt, Error, Filter, Next, PaymentState, Store};
use sqlx::{Connection, Executor};
use std::{path::Path, time::Duration};

async fn open(file: &Path) -> Result<Store, Error> {
    Store::open(&format!("sqlite:{}", file.display())).await
}

/// A daemon does not start, and names the database and what is wrong with it.
fn refused(environment: &[(String, String)], why: &str) {
    let output = exit_of(environment, &["run"]);
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    assert!(text.contains("paywatch.db") && text.contains(why), "{text}");
}

/// A migration is the shape of somebody's database: it is never changed, and what is in it comes along.
#[tokio::test]
async fn a_database_of_each_earlier_version_is_brought_up_with_what_is_in_it() {
    let migrator = sqlx::migrate::Migrator::new(Path::new("src/store/migrations"))
        .await
        .unwrap();
    let versions: Vec<i64> = migrator.iter().map(|one| one.version).collect();
    assert!(versions.len() > 1);
    for last in &versions {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("old.db");
        let mut old = tables(&file).await;
        let mut until = sqlx::migrate::Migrator::new(Path::new("src/store/migrations"))
            .await
            .unwrap();
        until.migrations = until
            .migrations
            .iter()
            .filter(|one| one.version <= *last)
            .cloned()
            .collect();
        until.run_direct(&mut old).await.unwrap();
        let address = account().to_string();
        old.execute(sqlx::query(
            "INSERT INTO checkouts (memo, folded, status) VALUES ('a', 'a', 'pending')",
        ))
        .await
        .unwrap();
        if *last < 7 {
            // A card session that was taken for a checkout.
            old.execute(sqlx::query(
                "INSERT INTO checkouts (memo, folded, status) VALUES ('77', '77', 'pending')",
            ))
            .await
            .unwrap();
        }
        old.execute(
            sqlx::query("INSERT INTO cursors VALUES ($1, 7, $2, 1)")
                .bind(&address)
                .bind(signature(1).to_string()),
        )
        .await
        .unwrap();
        old.execute(
            sqlx::query(
                "INSERT INTO payments (signature, token_account, slot, memos, verdict, reason, chain_state, seen_at, recorded_at) \
                 VALUES ($1, $2, 7, '[\"a\"]', 'held', 'no_memo', 'finalized', 1, 1)",
            )
            .bind(signature(1).to_string())
            .bind(&address),
        )
        .await
        .unwrap();
        // As versions before the sixth left what was sent in vain before its fork died.
        let is_queued = *last < 6;
        if is_queued {
            old.execute(
                sqlx::query(
                    "INSERT INTO payments (id, signature, token_account, slot, memos, verdict, checkout, chain_state, seen_at, recorded_at) \
                     VALUES (9, 'b', $1, 7, '[\"a\"]', 'matched', 'a', 'dropped', 1, 1)",
                )
                .bind(&address),
            )
            .await
            .unwrap();
            old.execute(
                "INSERT INTO confirmations (payment_id, memo, signature, state, attempts, due_at, queued_at) \
                 VALUES (9, 'a', 'b', 'queued', 1, 1, 1)",
            )
            .await
            .unwrap();
        }
        old.close().await.unwrap();
        let store = open(&file).await.unwrap();
        let payments = store.payments(&Filter::newest(9)).await.unwrap();
        let mut verdicts = payments.iter().map(|one| one.verdict.as_str());
        assert!(
            verdicts.any(|verdict| verdict == "no_memo"),
            "from version {last}"
        );
        let outbox = store.count_confirmations().await.unwrap();
        assert_eq!((outbox.queued, outbox.parked), (0, u64::from(is_queued)));
        assert_eq!(store.cursors(account()).await.unwrap()[0].slot, 7);
        assert_eq!(store.count_checkouts().await.unwrap(), (1, 1));
        assert_eq!(store.audit().await.unwrap(), []);
    }
}

/// A daemon and a command, say, right after an upgrade.
#[tokio::test(flavor = "multi_thread")]
async fn who_opens_a_database_while_it_is_brought_up_waits() {
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new.db");
        for opened in join_all((0..6).map(|_| open(&file))).await {
            opened.unwrap().close().await;
        }
    }
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new.db");
    open(&file).await.unwrap().close().await;
    let mut new = tables(&file).await;
    new.execute("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (99, 'x', 1, x'00', 0)")
        .await
        .unwrap();
    new.close().await.unwrap();
    let error = open(&file).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("newer paywatch (tables of version 99)"),
        "{error}"
    );
}

#[tokio::test]
async fn a_file_that_is_no_database_and_a_folder_without_rights_are_refused_by_name() {
    let world = World::new().await;
    let file = world.database();
    std::fs::write(
        &file,
        "this is no database, but it is long enough to be read as one".repeat(20),
    )
    .unwrap();
    refused(&world.environment(), "not a database");
}

/// Nothing is lost, the daemon says that it is not ready, and goes on once it can write.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_database_makes_it_unready_and_its_release_ready_again() {
    let world = World::new().await;
    let daemon = world.watch(&[]).await;
    let checkout = world.checkout(&world.usdc).await;
    // Another writer holds the database for good: no write succeeds.
    let mut holder = world.tables().await;
    holder.execute("BEGIN EXCLUSIVE").await.unwrap();
    let signature = world.pay(PRICE, &checkout.memo).await;
    let ops = daemon.ops().await;
    eventually("it is not ready", async || {
        let answer = reqwest::get(format!("{ops}/readyz")).await.unwrap();
        answer.status() == 503 && answer.text().await.unwrap().contains("database")
    })
    .await;
    assert_eq!(world.session(&checkout.memo).await["status"], 0);
    holder.execute("ROLLBACK").await.unwrap();
    world.wait_confirmed(&checkout, signature).await;
    daemon.wait_until_ready().await;
}

/// No file can grow any more: nothing is claimed, the daemon says that it is not ready, and goes on once there is room.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_makes_it_unready_and_room_ready_again() {
    let world = World::new().await;
    let daemon = Child::with_mortal_disk(&world.folder, &world.environment());
    daemon.wait_until_ready().await;
    let ops = daemon.ops().await;
    let checkout = world.checkout(&world.usdc).await;
    daemon.limit_files("4096");
    let signature = world.pay(PRICE, &checkout.memo).await;
    let why = async || {
        let answer = reqwest::get(format!("{ops}/readyz")).await.unwrap();
        answer.text().await.unwrap()
    };
    eventually("it is not ready", async || why().await.contains("database")).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(why().await.contains("database"), "still");
    assert_eq!(world.calls().await, [], "what is not recorded is not told");
    daemon.limit_files("unlimited");
    world.wait_confirmed(&checkout, signature).await;
    daemon.wait_until_ready().await;
    world.assert_no_double_confirm().await;
}

/// A database that can only be read is no place for a daemon.
#[tokio::test]
async fn a_read_only_database_is_refused_by_name() {
    let world = World::new().await;
    let file = world.database();
    open(&file).await.unwrap().close().await;
    let url = format!("sqlite:{}?mode=ro", file.display());
    let mut environment = world.environment();
    environment.push(("PAYWATCH__STORE__URL".into(), url));
    refused(&environment, "readonly");
}

/// Two daemons on one database share the work: each payment is told once.
#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_on_one_database_do_not_confirm_twice() {
    let world = World::new().await;
    let _first = world.watch(&[]).await;
    let _second = world.watch(&[]).await;
    let mut bought = Vec::new();
    for _ in 0..12 {
        bought.push(world.buy().await);
    }
    for (checkout, signature) in &bought {
        world.wait_confirmed(checkout, *signature).await;
        world.wait_acknowledged(*signature).await;
    }
    let mut calls = world.calls().await;
    assert_eq!(calls.len(), bought.len(), "one call a payment: {calls:?}");
    calls.sort();
    calls.dedup();
    assert_eq!(calls.len(), bought.len());
    let output = exit_of(&world.environment(), &["store", "check"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("rules hold"), "{}", said(&output));
}

/// A daemon that slept through its lease cannot undo what the other one did meanwhile.
#[tokio::test]
async fn who_comes_back_after_its_lease_changes_nothing_but_an_acceptance() {
    let books = Books::with(&["a"]).await;
    assert_eq!(
        books
            .record(ingested(1, 5, Commitment::Confirmed, paid("a")))
            .await,
        Some(confirm("a"))
    );
    let lease = Duration::from_secs(10);
    let sleeper = books.store.turn_over(&[], NOW, lease, 1).await.unwrap();
    let later = NOW.plus(Duration::from_secs(11));
    let other = books.store.turn_over(&[], later, lease, 1).await.unwrap();
    let attempt = |at| Attempt {
        at,
        status: Some(400),
        took: Duration::ZERO,
        reason: "refused".into(),
    };
    let again = Next::Retry { due_at: NOW };
    for stale in [
        again,
        Next::Parked,
        Next::Rejected {
            due_at: NOW,
            since: NOW,
        },
    ] {
        books
            .store
            .turn_over(
                &[(&sleeper[0], &attempt(NOW), &stale)],
                NOW,
                Duration::ZERO,
                0,
            )
            .await
            .unwrap();
        let payments = books.store.payments(&Filter::newest(1)).await.unwrap();
        assert_eq!(payments[0].state, PaymentState::Queued, "{stale:?}");
        assert_eq!(
            books.store.next_due_at().await.unwrap(),
            Some(later.plus(lease)),
            "{stale:?}"
        );
    }
    books
        .store
        .turn_over(
            &[(&other[0], &attempt(later), &Next::Parked)],
            NOW,
            Duration::ZERO,
            0,
        )
        .await
        .unwrap();
    assert_eq!(
        books.store.payments(&Filter::newest(1)).await.unwrap()[0].state,
        PaymentState::Parked
    );
    // What the API took is taken, whoever heard it.
    books
        .store
        .turn_over(
            &[(&sleeper[0], &attempt(later), &Next::Acknowledged)],
            NOW,
            Duration::ZERO,
            0,
        )
        .await
        .unwrap();
    assert_eq!(
        books.store.payments(&Filter::newest(1)).await.unwrap()[0].state,
        PaymentState::Acknowledged
    );
    assert_eq!(books.store.audit().await.unwrap(), []);
}

#[tokio::test]
async fn store_check_names_what_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("books.db");
    let store = open(&file).await.unwrap();
    store
        .upsert_checkouts(&[checkout("a")], page(), NOW)
        .await
        .unwrap();
    store
        .record(
            &[ingested(1, 5, Commitment::Confirmed, paid("a"))],
            None,
            &rules(Policy::default()),
            NOW,
        )
        .await
        .unwrap();
    assert_eq!(store.audit().await.unwrap(), []);
    store.close().await;
    let mut raw = tables(&file).await;
    raw.execute("UPDATE payments SET checkout = 'b', chain_state = 'dropped'")
        .await
        .unwrap();
    raw.execute("DROP INDEX confirmations_one_per_checkout")
        .await
        .unwrap();
    raw.execute("INSERT INTO confirmations (payment_id, memo, signature, state, origin, queued_at) VALUES (77, 'a', 'x', 'queued', 'verdict', 1)").await.unwrap_err();
    raw.execute("PRAGMA foreign_keys = OFF").await.unwrap();
    raw.execute("INSERT INTO confirmations (payment_id, memo, signature, state, origin, queued_at) VALUES (77, 'a', 'x', 'queued', 'verdict', 1)").await.unwrap();
    raw.close().await.unwrap();
    let environment = [
        (
            "PAYWATCH__MERCHANT__BASE_URL",
            "http://127.0.0.1:1/".to_owned(),
        ),
        (
            "PAYWATCH__SOLANA__RPC_URLS",
            "http://127.0.0.1:1/".to_owned(),
        ),
        ("PAYWATCH__STORE__URL", format!("sqlite:{}", file.display())),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    let output = exit_of(&environment, &["store", "check"]);
    assert_eq!(output.status.code(), Some(1));
    for part in [
        "at most one live confirmation",
        "no row refers to one that is not there",
        "for the checkout that its payment pays",
        "what died with its fork is not queued",
    ] {
        assert!(said(&output).contains(part), "{part} in {}", said(&output));
    }
}
