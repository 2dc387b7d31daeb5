//! The guides tell the truth: each command in them is run, in its order, and ends as they say.

use crate::support::{Child, World, eventually};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const BINARY: &str = env!("CARGO_BIN_EXE_paywatch");

/// What a reader of a guide has in the terminal.
struct Reader {
    folder: PathBuf,
    environment: BTreeMap<String, String>,
    /// What stands in a guide for something of the reader's own.
    own: Vec<(String, String)>,
    /// What was shown last.
    url: String,
    memo: String,
    signature: String,
}

impl Reader {
    fn new(folder: &Path, own: &[(&str, &str)]) -> Self {
        let bin = Path::new(BINARY).parent().unwrap().display();
        let path = format!("{bin}:{}", std::env::var("PATH").unwrap());
        let own = own
            .iter()
            .map(|(word, text)| ((*word).to_owned(), (*text).to_owned()));
        Self {
            folder: folder.to_owned(),
            environment: BTreeMap::from([
                ("PATH".into(), path),
                ("USER".into(), "somebody".into()),
            ]),
            own: own.collect(),
            url: String::new(),
            memo: String::new(),
            signature: String::new(),
        }
    }

    /// Runs a line as a shell would; returns exit code and output.
    fn run(&mut self, line: &str) -> (i32, String) {
        if let Some((name, value)) = line
            .strip_prefix("export ")
            .and_then(|set| set.split_once('='))
        {
            // Where the binary is, the reader knows already.
            if name != "PATH" {
                self.environment.insert(name.to_owned(), value.to_owned());
            }
            return (0, String::new());
        }
        let mut line = line.to_owned();
        for (word, text) in &self.own {
            line = line.replace(word, text);
        }
        let short = self.url.replace("amount=19", "amount=18");
        line = line
            .replace("SOLANA_PAY_URL_WITH_18", &short)
            .replace("SOLANA_PAY_URL", &self.url)
            .replace("MEMO", &self.memo)
            .replace("SIGNATURE", &self.signature);
        if let Some(url) = line.strip_prefix("make pay URL=") {
            line = format!("{} pay {url}", Child::demo_binary().display());
        }
        let output = Command::new("/usr/bin/timeout")
            .args(["60", "sh", "-c", &line])
            .current_dir(&self.folder)
            .env_clear()
            .envs(&self.environment)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        self.remember(&text);
        let said = String::from_utf8_lossy(&output.stderr);
        (
            output.status.code().unwrap(),
            format!("{line}\n{text}{said}"),
        )
    }

    fn remember(&mut self, text: &str) {
        let mut words = text.split_whitespace();
        if let Some(url) = words.find(|word| word.starts_with("solana:")) {
            self.url = url.into();
            self.memo = url.rsplit("memo=").next().unwrap().into();
        }
        let one = text.trim();
        if (86..=88).contains(&one.len()) && one.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            self.signature = one.into();
        }
    }
}

/// The lines of a guide's shell blocks.
fn lines(file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let blocks = text.split("```sh\n").skip(1);
    let lines = blocks.flat_map(|block| block.split("```").next().unwrap().lines());
    lines.map(str::to_owned).collect()
}

/// Runs all lines but those that serve (they run already); each must end so, or well.
fn follow(reader: &mut Reader, file: &str, serving: &[&str], otherwise: &[(&str, i32)]) -> String {
    let (mut all, mut served) = (String::new(), 0);
    for line in lines(file) {
        if serving.contains(&line.as_str()) {
            served += 1;
            continue;
        }
        let expected = otherwise.iter().find(|(end, _)| line.ends_with(end));
        let (code, text) = reader.run(&line);
        assert_eq!(
            code,
            expected.map_or(0, |(_, code)| *code),
            "{file}: {text}"
        );
        all += &text;
    }
    assert_eq!(served, serving.len(), "{file}: {serving:?}");
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tour_and_the_demo_it_begins_with() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Child::demo(&folder);
    eventually("the demo is over", async || {
        demo.log().contains("Everything keeps running")
    })
    .await;
    let log = demo.log();
    assert!(
        log.contains("shows both as confirmed; nobody pasted a hash"),
        "{log}"
    );
    let mut reader = Reader::new(folder.path(), &[]);
    let mut held = false;
    for line in lines("docs/tour.md")
        .iter()
        .filter(|line| *line != "make demo KEEP=1")
    {
        let (code, text) = tokio::task::block_in_place(|| reader.run(line));
        if line.starts_with("make pay") {
            // A person would not be faster.
            eventually(
                "the payment is judged, and confirmed if it is right",
                async || {
                    let list = "paywatch payments list --json";
                    let (_, listed) = tokio::task::block_in_place(|| reader.run(list));
                    listed.contains(&reader.signature)
                        && !listed.contains("\"queued\"")
                        && !listed.contains("unknown_memo")
                },
            )
            .await;
        }
        let expected = match line.as_str() {
            "paywatch status" if held => 2,
            line if line.ends_with("--wait=2s") => 1,
            _ => 0,
        };
        assert_eq!(code, expected, "{text}");
        held |= text.contains("underpaid");
        if line.starts_with("paywatch explain") {
            assert!(text.contains("1 USDC short"), "{text}");
        }
        if line.starts_with("paywatch payments show") {
            assert!(text.contains("acknowledged"), "{text}");
        }
    }
    assert!(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn going_live() {
    let world = World::new().await;
    let root = world.folder.path().display().to_string();
    let key = world.folder.path().join("api_key");
    std::fs::write(key, "a-key").unwrap();
    let own = [
        ("/etc/paywatch", root.as_str()),
        ("/var/backups", &root),
        ("https://api.example.com/api/v1/payments", &world.api),
        ("https://rpc.example.com", &world.net.rpc_url),
        ("wss://rpc.example.com", &world.net.ws_url),
    ];
    let mut reader = Reader::new(world.folder.path(), &own);
    reader.environment.extend([(
        "PAYWATCH__STORE__URL".into(),
        format!("sqlite:{root}/live.db"),
    )]);
    let mut signature = world.pay(1, "a typo").await;
    reader.signature = signature.to_string();
    // The daemon of the guide, at an address that is free.
    let environment: Vec<_> = [
        ("PAYWATCH__STORE__URL", format!("sqlite:{root}/live.db")),
        ("PAYWATCH_CONFIG", format!("{root}/paywatch.toml")),
        ("PAYWATCH__OPS__LISTEN", "127.0.0.1:0".into()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    let run = "paywatch --config /etc/paywatch/paywatch.toml run";
    let (before, after): (Vec<_>, Vec<_>) = {
        let all = lines("docs/going-live.md");
        let at = all.iter().position(|line| line == run).unwrap();
        (all[..at].to_vec(), all[at + 1..].to_vec())
    };
    let expected = |line: &str| match line {
        line if line.ends_with("--dry-run") || line.ends_with(" status") => 2,
        line if line.ends_with("--wait=2s") => 1,
        _ => 0,
    };
    for line in before {
        let (code, text) = tokio::task::block_in_place(|| reader.run(&line));
        assert_eq!(code, expected(&line), "{text}");
    }
    let daemon = Child::daemon(&world.folder, &environment);
    daemon.wait_until_ready().await;
    let address = daemon.ops().await.replace("http://", "");
    reader
        .environment
        .insert("PAYWATCH__OPS__LISTEN".into(), address);
    signature = world.pay(2, "a typo").await;
    eventually("both are held", async || {
        let metrics = daemon.metrics().await;
        metrics.contains("paywatch_held_payments{reason=\"unknown_memo\"} 2")
    })
    .await;
    assert_ne!(reader.signature, signature.to_string());
    for line in after {
        let (code, text) = tokio::task::block_in_place(|| reader.run(&line));
        assert_eq!(code, expected(&line), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_of_one_s_own_and_wallets() {
    let world = World::new().await;
    let token = world.folder.path().join("token");
    std::fs::write(&token, "open sesame").unwrap();
    let daemon = world
        .watch(&[
            ("OPS__TOKEN_FILE", token.to_str().unwrap()),
            ("OPS__PAY_PAGES", "true"),
        ])
        .await;
    let (checkout, signature) = world.buy().await;
    world.wait_confirmed(&checkout, signature).await;
    let sandbox = world
        .api
        .replace("http://", "")
        .replace("/api/v1/payments", "");
    let ops = daemon.ops().await.replace("http://", "");
    let (mint, recipient) = (
        world.usdc.address.to_string(),
        world.recipient().to_string(),
    );
    let own = [
        ("127.0.0.1:8787", sandbox.as_str()),
        ("127.0.0.1:9464", &ops),
        ("Bearer TOKEN", "Bearer open sesame"),
        ("token=MINT", &format!("token={mint}")),
        ("\"token\": \"MINT\"", &format!("\"token\": \"{mint}\"")),
        ("RECIPIENT", &recipient),
    ];
    let mut reader = Reader::new(world.folder.path(), &own);
    reader.environment.extend(world.environment());
    (reader.memo, reader.signature) = (checkout.memo.clone(), signature.to_string());
    let serving = ["paywatch --config config/sandbox.toml sandbox"];
    let said = tokio::task::block_in_place(|| {
        let said = follow(&mut reader, "docs/backend.md", &serving, &[]);
        follow(&mut reader, "docs/wallets.md", &[], &[]);
        said
    });
    assert!(!said.contains("{\"error\":\""), "{said}");
    for part in [
        "\"openapi\":\"3.1.0\"",
        "\"payment_link\":",
        "\"checkout\":\"known\"",
        "\"pay_page\":",
        "\"credits\":1900",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
