//! From nothing to a set-up that can be trusted: `init`, `config show`, `check`.

use crate::support::scripted::Scripted;
use crate::support::server::Said;
use crate::support::{World, changed, eventually, exit_of, said};
use serde_json::Value;
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

const FLAGS: [&str; 6] = [
    "--base-url",
    "https://api.example.com/v1",
    "--rpc-url",
    "https://rpc.example.com/?key=hunter2",
    "--rpc-url",
    "http://127.0.0.1:8899",
];

#[test]
fn init_writes_every_key_for_its_owner_alone_and_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("paywatch.toml");
    let name = file.to_str().unwrap();
    let init = || exit_of(&[], &[&["init", name][..], &FLAGS].concat());
    let output = init();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("check"), "{}", said(&output));
    let text = fs::read_to_string(&file).unwrap();
    let example = fs::read_to_string("config/example.toml").unwrap();
    assert_eq!(text.lines().count(), example.lines().count());
    for comment in example.lines().filter_map(|line| line.split_once(" # ")) {
        assert!(text.contains(comment.1), "{}", comment.1);
    }
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "addresses hold keys");
    let written: toml::Table = text.parse().unwrap();
    assert_eq!(written["solana"]["rpc_urls"].as_array().unwrap().len(), 2);
    let socket = &written["solana"]["ws_urls"][0];
    assert_eq!(socket.as_str(), Some("wss://rpc.example.com/?key=hunter2"));
    let output = init();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("never overwritten"),
        "{}",
        said(&output)
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

#[test]
fn init_refuses_what_would_not_run_and_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("paywatch.toml");
    let name = file.to_str().unwrap();
    for (flags, expected) in [
        (&[][..], "--base-url"),
        (&FLAGS[..2], "--rpc-url"),
        (
            &["--base-url", "https://a.example", "--rpc-url", "ftp://b"],
            "solana.rpc_urls: found",
        ),
    ] {
        let output = exit_of(&[], &[&["init", name][..], flags].concat());
        assert_eq!(output.status.code(), Some(64), "{}", said(&output));
        assert!(said(&output).contains(expected), "{}", said(&output));
        assert!(!file.exists());
    }
}

#[test]
fn config_show_tells_what_is_set_and_by_whom_and_keeps_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("paywatch.toml");
    let text = "[merchant]\nbase_url = \"https://user:hunter2@api.example.com/v1?x=hunter2\"\n[solana]\nrpc_urls = [\"https://rpc.example.com/hunter2\"]\n";
    fs::write(&file, text).unwrap();
    let environment = [
        ("PAYWATCH__MERCHANT__API_KEY", "hunter2"),
        ("PAYWATCH__POLICY__FINALIZED_ABOVE__USDC", "1000"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let show = |more: &[&str]| {
        let arguments = ["--config", file.to_str().unwrap(), "config", "show"];
        exit_of(&environment, &[&arguments[..], more].concat())
    };
    let output = show(&[]);
    let shown = said(&output);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
    let has = |line: &str| {
        let mut lines = shown.lines();
        lines.any(|shown| shown.split_whitespace().eq(line.split_whitespace()))
    };
    assert!(
        has("base_url = \"https://api.example.com/v1/…\" # file"),
        "{shown}"
    );
    assert!(has("api_key = \"(hidden)\" # environment"), "{shown}");
    assert!(
        has("rpc_urls = [\"https://rpc.example.com/…\"] # file"),
        "{shown}"
    );
    assert!(
        has("finalized_above = { USDC = \"1000\" } # environment"),
        "{shown}"
    );
    assert!(has("sweep_every = \"15s\" # default"), "{shown}");
    let list: Value = serde_json::from_slice(&show(&["--json"]).stdout).unwrap();
    let list = list.as_array().unwrap();
    let of = |key| list.iter().find(|one| one["key"] == key).unwrap();
    assert_eq!(of("max_rps")["value"], 40);
    assert_eq!(of("api_key")["origin"], "environment");
    // What is wrong is shown too, and then said.
    fs::write(&file, "[solana]\nsweep_every = \"soon\"\n").unwrap();
    let output = show(&[]);
    assert_eq!(output.status.code(), Some(64));
    let shown = said(&output);
    assert!(shown.contains("sweep_every = \"soon\""), "{shown}");
    assert!(
        shown.contains("solana.sweep_every: found \"soon\""),
        "{shown}"
    );
}

/// What `check --json` found, by check.
pub(crate) fn findings(
    environment: &[(String, String)],
    arguments: &[&str],
) -> (Option<i32>, Vec<Value>) {
    let output = exit_of(environment, &[&["check", "--json"][..], arguments].concat());
    let found = serde_json::from_slice(&output.stdout);
    let found: Value = found.unwrap_or_else(|error| panic!("{error}: {}", said(&output)));
    (output.status.code(), found.as_array().unwrap().clone())
}

pub(crate) fn outcome<'a>(findings: &'a [Value], check: &str) -> &'a Value {
    let of = |one: &&Value| one["check"].as_str().unwrap().starts_with(check);
    let found = findings.iter().find(of);
    &found.unwrap_or_else(|| panic!("{check} in {findings:?}"))["outcome"]
}

#[tokio::test(flavor = "multi_thread")]
async fn check_finds_a_good_set_up_good() {
    let world = World::new().await;
    world.open_account().await;
    // The chain is some seconds old.
    let environment = changed(&world.environment(), &[("WATCH__LOOK_BACK", "1s")]);
    eventually("the chain is old enough", async || {
        let (_, found) = findings(&environment, &[]);
        outcome(&found, "history of") == "ok"
    })
    .await;
    let output = exit_of(&environment, &["check"]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(!text.contains("FAILED"), "{text}");
    assert!(
        text.contains("does not exist yet and can be made"),
        "{text}"
    );
    assert!(!world.database().exists(), "it only looks");
    let (code, found) = findings(&environment, &[]);
    assert_eq!(code, Some(0), "{found:?}");
    for check in [
        "configuration",
        "store.url",
        "rpc http",
        "clock",
        "history of",
        "socket ws",
        "the API's history",
        "the API's tokens",
        "token accounts for USDC",
    ] {
        assert_eq!(outcome(&found, check), "ok", "{check}: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_what_is_wrong_and_what_to_do() {
    let mut world = World::new().await;
    world.restart_sandbox(&[], "secret").await;
    let good = changed(&world.environment(), &[("MERCHANT__API_KEY", "secret")]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (changes, check, expected) in [
        (
            ("MERCHANT__API_KEY", "wrong"),
            "the API's history",
            "failed",
        ),
        (
            ("MERCHANT__BASE_URL", "http://127.0.0.1:1"),
            "the API's history",
            "failed",
        ),
        (
            ("SOLANA__RPC_URLS", "http://127.0.0.1:1/?key=hunter2"),
            "rpc http",
            "failed",
        ),
        (
            ("SOLANA__WS_URLS", "ws://127.0.0.1:1/?key=hunter2"),
            "socket ws",
            "failed",
        ),
        (("SOLANA__WS_URLS", ""), "solana.ws_urls", "warning"),
        (
            ("POLICY__FINALIZED_ABOVE__USD", "10"),
            "policy.finalized_above",
            "failed",
        ),
        (
            ("POLICY__FINALIZED_ABOVE__usdc", "10"),
            "policy.finalized_above",
            "ok",
        ),
        (
            ("POLICY__DUST_BELOW__EURC", "0.05"),
            "policy.dust_below",
            "failed",
        ),
        (("WATCH__LOOK_BACK", "87600h"), "history of", "warning"),
        (
            ("STORE__URL", "sqlite:/nonexistent/x.db"),
            "store.url",
            "failed",
        ),
        (("STORE__URL", "sqlite::memory:"), "store.url", "warning"),
        (("OPS__LISTEN", "192.0.2.7:1"), "ops.listen", "failed"),
        (("OPS__LISTEN", taken.as_str()), "ops.listen", "warning"),
        (
            (
                "WATCH__TOKENS",
                "USDC:11111111111111111111111111111111:11111111111111111111111111111111:6",
            ),
            "token accounts for USDC",
            "failed",
        ),
    ] {
        let token = ("OPS__TOKEN_FILE", "Cargo.toml");
        let (code, found) = findings(&changed(&good, &[changes, token]), &[]);
        assert_eq!(outcome(&found, check), expected, "{changes:?}: {found:?}");
        let fails = expected == "failed";
        assert_eq!(code, Some(i32::from(fails)), "{changes:?}: {found:?}");
        let text = serde_json::to_string(&found).unwrap();
        assert!(!text.contains("hunter2"), "{text}");
        let advised = found.iter().filter(|one| one["outcome"] != "ok");
        assert!(
            advised.into_iter().all(|one| one["advice"].is_string()),
            "{found:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_warns_while_wallets_may_refuse_to_pay() {
    let world = World::new().await;
    let environment = world.environment();
    let (code, found) = findings(&environment, &[]);
    assert_eq!(code, Some(0), "{found:?}");
    let of = |found: &[Value], check: &str| {
        let one = found.iter().find(|one| one["check"] == check);
        one.unwrap().clone()
    };
    let missing = of(&found, "token accounts for USDC");
    assert_eq!(missing["outcome"], "warning", "{missing}");
    let advice = missing["advice"].as_str().unwrap();
    let command = format!(
        "spl-token create-account {} --owner {}",
        world.usdc.address,
        world.recipient()
    );
    assert!(advice.contains(&command), "{advice}");
    world.open_account().await;
    let (_, found) = findings(&environment, &[]);
    assert_eq!(of(&found, "token accounts for USDC")["outcome"], "ok");
    assert_eq!(of(&found, "token accounts for USDT")["outcome"], "warning");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_does_not_believe_a_node_that_says_it_has_everything() {
    let scripted = Scripted::with(1).await;
    let node = &scripted.nodes[0];
    scripted.chain.advance(1_000_000);
    let environment = [
        ("MERCHANT__BASE_URL", "http://127.0.0.1:1"),
        ("SOLANA__RPC_URLS", node.url.as_str()),
        ("OPS__LISTEN", ""),
    ];
    let environment = changed(&[], &environment);
    for (knows_old, expected) in [(true, "ok"), (false, "warning")] {
        node.says(move |question, mut honest| {
            let is_old = question.params[0]
                .as_u64()
                .is_some_and(|slot| slot < 900_000);
            match question.method {
                "getFirstAvailableBlock" => honest["result"] = 0.into(),
                "getBlockTime" => {
                    let time = (knows_old || !is_old).then_some(1_700_000_000);
                    honest = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "result": time });
                }
                _ => {}
            }
            Said::Json(honest)
        });
        let (_, found) = tokio::task::block_in_place(|| findings(&environment, &[]));
        assert_eq!(outcome(&found, "history of"), expected, "{found:?}");
    }
}

#[test]
fn check_warns_of_a_secret_that_everybody_can_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("api_key");
    fs::write(&file, "key").unwrap();
    let name = file.to_str().unwrap();
    let key = [("MERCHANT__API_KEY_FILE", name)];
    let environment = changed(&alone(&folder.path().join("x.db")), &key);
    for (mode, expected) in [
        (0o644, "warning"),
        (0o640, "ok"),
        (0o600, "ok"),
        (0o604, "warning"),
    ] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let (code, found) = findings(&environment, &["--offline"]);
        assert_eq!(code, Some(0), "{found:?}");
        let found = outcome(&found, "merchant.api_key_file");
        assert_eq!(found, expected, "{mode:o}");
    }
}

#[test]
fn without_any_configuration_each_command_says_so_first() {
    for command in ["status", "run", "mcp", "check", "healthcheck"] {
        let output = exit_of(&[], &[command]);
        assert_eq!(output.status.code(), Some(64), "{command}");
        let text = said(&output);
        assert!(
            text.starts_with("paywatch: no configuration is named"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1, "{text}");
        for way in ["--config FILE", "PAYWATCH_CONFIG", "PAYWATCH__SECTION__KEY"] {
            assert!(text.contains(way), "{way}: {text}");
        }
    }
    // A key in the environment is a configuration, and its faults are told.
    let environment = changed(&[], &[("LOG__LEVEL", "info")]);
    let text = said(&exit_of(&environment, &["run"]));
    assert!(text.contains("merchant.base_url: found"), "{text}");
}

/// With this database, and nobody to ask.
fn alone(database: &Path) -> Vec<(String, String)> {
    let settings = [
        ("MERCHANT__BASE_URL", "http://127.0.0.1:1/api"),
        ("SOLANA__RPC_URLS", "http://127.0.0.1:1"),
        ("OPS__LISTEN", ""),
        ("STORE__URL", &format!("sqlite:{}", database.display())),
    ];
    changed(&[], &settings)
}

/// A newer program looks at the database of an older one that runs: to bring its tables up to date is not for a check to do.
#[test]
fn check_changes_no_database() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("paywatch.db");
    fs::write(&file, []).unwrap();
    let environment = alone(&file);
    let (code, found) = findings(&environment, &["--offline"]);
    assert_eq!(code, Some(0), "{found:?}");
    let size = fs::metadata(&file).unwrap().len();
    assert!(size <= 4096, "a header, and no table: {size} bytes");
    fs::write(&file, "this is no database, but a letter to the bank").unwrap();
    let (code, found) = findings(&environment, &["--offline"]);
    assert_eq!(code, Some(1), "{found:?}");
    assert_eq!(outcome(&found, "store.url"), "failed");
}

#[test]
fn check_offline_asks_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let environment = alone(&folder.path().join("x.db"));
    let (code, found) = findings(&environment, &["--offline"]);
    assert_eq!(code, Some(0), "{found:?}");
    let checks: Vec<_> = found
        .iter()
        .map(|one| one["check"].as_str().unwrap())
        .collect();
    assert_eq!(checks, ["configuration", "store.url", "ops.listen"]);
}
