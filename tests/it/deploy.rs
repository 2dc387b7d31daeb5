//! What stands in `deploy/` works: systemd accepts the units, and they start what is there.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

/// `systemd-analyze verify` wants the programs to exist: the copies name one that does.
#[test]
fn systemd_accepts_the_units() {
    let folder = tempfile::tempdir().unwrap();
    let mut units = Vec::new();
    for name in [
        "paywatch.service",
        "paywatch-backfill.service",
        "paywatch-backfill.timer",
    ] {
        let text = fs::read_to_string(Path::new("deploy").join(name)).unwrap();
        let unit = folder.path().join(name);
        fs::write(
            &unit,
            text.replace("/usr/local/bin/paywatch", env!("CARGO_BIN_EXE_paywatch")),
        )
        .unwrap();
        // The ops port bears as many connections as half of these.
        let is_service = Path::new(name)
            .extension()
            .is_some_and(|end| end == "service");
        assert_eq!(text.contains("\nLimitNOFILE=65536\n"), is_service, "{name}");
        units.push(unit);
    }
    let compose = fs::read_to_string("deploy/compose.yaml").unwrap();
    assert!(compose.contains("\n    ulimits: { nofile: 65536 }\n"));
    let output = Command::new("systemd-analyze")
        .arg("verify")
        .args(&units)
        .output()
        .expect("systemd-analyze; `make test` installs it");
    let said = String::from_utf8_lossy(&output.stderr);
    // It also reads the units of the machine, and warns of theirs.
    let about_ours: Vec<_> = said
        .lines()
        .filter(|line| line.contains("paywatch"))
        .collect();
    assert!(output.status.success() && about_ours.is_empty(), "{said}");
}

#[test]
fn installed_under_a_prefix_it_is_all_there_and_fits() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("make")
        .args(["--no-print-directory", "install-files", "PREFIX=/opt/watch"])
        .arg(format!("DESTDIR={}", folder.path().display()))
        .arg(concat!("BINARY=", env!("CARGO_BIN_EXE_paywatch")))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", crate::support::said(&output));
    let read = |file: &str| fs::read_to_string(folder.path().join("opt/watch").join(file)).unwrap();
    let unit = read("lib/systemd/system/paywatch.service");
    assert!(
        unit.contains("ExecStart=/opt/watch/bin/paywatch run"),
        "{unit}"
    );
    assert!(!unit.contains("/usr/local"), "{unit}");
    let page = read("share/man/man1/paywatch-payments-confirm.1");
    assert!(page.contains(".TH") && page.contains("checkout"), "{page}");
    assert!(read("share/man/man1/paywatch.1").contains("64 usage"));
    assert!(read("share/zsh/site-functions/_paywatch").starts_with("#compdef paywatch"));
    assert!(read("share/fish/vendor_completions.d/paywatch.fish").contains("healthcheck"));
    assert_eq!(
        read("share/paywatch/example.toml"),
        fs::read_to_string("config/example.toml").unwrap()
    );
    // A shell takes it, and knows the way on from `paywatch payments d`.
    let ask = "source share/bash-completion/completions/paywatch; COMP_WORDS=(paywatch payments d); COMP_CWORD=2; \
        _paywatch paywatch d payments; echo ${COMPREPLY[@]}";
    let bash = Command::new("bash")
        .args(["-c", ask])
        .current_dir(folder.path().join("opt/watch"))
        .output()
        .unwrap();
    assert_eq!(crate::support::said(&bash).trim(), "dismiss");
}

#[test]
fn the_units_leave_little_exposed() {
    for unit in ["paywatch.service", "paywatch-backfill.service"] {
        let output = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--threshold=20"])
            .arg(Path::new("deploy").join(unit))
            .output()
            .expect("systemd-analyze; `make test` installs it");
        let said = crate::support::said(&output);
        assert!(output.status.success(), "{unit}: above 2.0\n{said}");
        assert!(said.contains("Overall exposure level"), "{said}");
    }
}

#[test]
fn the_daemon_tells_systemd_when_it_is_ready_and_when_it_stops() {
    use std::os::unix::net::UnixDatagram;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(crate::support::PATIENCE))
        .unwrap();
    let database = format!("sqlite:{}", folder.path().join("paywatch.db").display());
    let mut environment = [
        ("PAYWATCH__MERCHANT__BASE_URL", "http://127.0.0.1:1"),
        ("PAYWATCH__SOLANA__RPC_URLS", "http://127.0.0.1:1"),
        ("PAYWATCH__OPS__LISTEN", ""),
        ("PAYWATCH__STORE__URL", &database),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    environment.push(("NOTIFY_SOCKET".into(), path.display().to_string()));
    let mut daemon = crate::support::Child::under_watchdog(&folder, &environment);
    let mut heard = String::new();
    let mut hear = |word: &str| {
        while !heard.contains(word) {
            let mut bytes = [0; 256];
            let count = socket
                .recv(&mut bytes)
                .unwrap_or_else(|error| panic!("{word}: {error}; heard {heard}"));
            heard += &String::from_utf8_lossy(&bytes[..count]);
        }
    };
    hear("READY=1");
    hear("WATCHDOG=1");
    daemon.signal("TERM");
    hear("STOPPING=1");
    assert!(
        daemon
            .wait_for_exit(crate::support::PATIENCE)
            .unwrap()
            .success()
    );
}

/// What `promtool` says of a file, or of what it is given.
fn promtool(arguments: &[&str], input: &str) -> (bool, String) {
    use std::{io::Write, process::Stdio};
    let program = std::env::var("PROMTOOL").unwrap_or_else(|_| "promtool".into());
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir("deploy/prometheus")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool; `make test` fetches it and sets PROMTOOL");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    (output.status.success(), crate::support::said(&output))
}

#[test]
fn prometheus_accepts_the_alerts_and_each_fires_for_its_cause() {
    for arguments in [
        &["check", "config", "prometheus.yml"][..],
        &["test", "rules", "alerts.test.yml"],
    ] {
        let (is_well, said) = promtool(arguments, "");
        assert!(is_well && !said.contains("FAILED"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_finds_no_fault_with_the_metrics() {
    let world = crate::support::World::new().await;
    let daemon = world.watch(&[]).await;
    let (checkout, signature) = world.buy().await;
    world.wait_confirmed(&checkout, signature).await;
    let page = daemon.metrics().await;
    let (is_well, said) = promtool(&["check", "metrics"], &page);
    assert!(is_well && said.trim().is_empty(), "{said}");
}

/// A name that is not exported would be an alert that never fires, or a panel that stays empty.
#[test]
fn alerts_and_dashboard_name_only_metrics_that_exist() {
    let known: Vec<_> = paywatch::telemetry::METRICS
        .iter()
        .map(|one| one.name)
        .collect();
    let mut named = 0;
    for file in [
        "deploy/prometheus/alerts.yml",
        "deploy/grafana/dashboards/paywatch.json",
    ] {
        let text = fs::read_to_string(file).unwrap();
        let words = text.split(|c: char| c != '_' && !c.is_ascii_lowercase());
        for word in words.filter(|word| word.starts_with("paywatch_")) {
            let name = word.strip_suffix("_bucket").unwrap_or(word);
            assert!(known.contains(&name), "{file}: {word}");
            named += 1;
        }
        if file.ends_with("json") {
            let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert!(dashboard["panels"].as_array().unwrap().len() > 10);
        }
    }
    assert!(named > 25, "{named}");
    let dashboard = fs::read_to_string("deploy/grafana/dashboards/paywatch.json").unwrap();
    for name in [
        "paywatch_key_refused",
        "paywatch_uncredited_confirmations",
        "paywatch_store_failed",
        "paywatch_dropped_payments_total",
        "paywatch_notices_total",
        "paywatch_unmatched_limits",
    ] {
        let (alone, counted) = (format!("\"expr\": \"{name}\""), format!("({name}["));
        let is_shown = dashboard.contains(&alone) || dashboard.contains(&counted);
        assert!(is_shown, "{name} has no panel of its own");
    }
}

/// The names that follow these words in the sources.
fn named_after(folder: &Path, words: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names.extend(named_after(&path, words));
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for rest in text.split(words).skip(1) {
            let is_of_name = |c: char| c == '_' || c.is_ascii_alphanumeric();
            let end = rest.find(|c| !is_of_name(c)).unwrap_or(rest.len());
            names.insert(rest[..end].to_owned());
        }
    }
    names
}

/// A series that begins with its first event hides that event from `increase`.
#[test]
fn every_step_and_every_method_is_counted_from_the_start() {
    let values = |metric: &str, label: &str| -> BTreeSet<String> {
        let mut metrics = paywatch::telemetry::METRICS.iter();
        let metric = metrics.find(|one| one.name == metric).unwrap();
        let mut labels = metric.labels.iter();
        let values = labels.find(|one| one.name == label).unwrap().values;
        values.iter().map(|value| (*value).to_owned()).collect()
    };
    let steps = named_after(Path::new("src"), "Failures::of(\"");
    assert_eq!(steps, values("paywatch_failed_steps_total", "step"));
    let requests = named_after(Path::new("src/solana"), "RpcRequest::Get");
    let methods = requests.iter().map(|name| format!("get{name}"));
    let methods: BTreeSet<_> = methods.collect();
    assert_eq!(methods, values("paywatch_rpc_requests_total", "method"));
}
