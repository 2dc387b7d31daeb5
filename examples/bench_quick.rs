//! The three figures asked of every version, measured on this machine: `make bench-quick` prints them.
//!
//! The daemon and the sandbox are release binaries; the network is the embedded one. Nothing is asserted here.

use anyhow::{Context, bail};
use axum::{
    Json, Router,
    extract::Query,
    routing::{get, put},
};
use futures_util::{StreamExt, stream};
use localnet::{Keypair, Localnet, Payment, Signer, TestMint};
use paywatch::domain::{Commitment, Signature};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::task::JoinSet;

const SLOT_TIME_MS: u64 = 200;
const LIVE_PAYMENTS: usize = 150;
const LIVE_EVERY: Duration = Duration::from_millis(200);
const PENDING_CHECKOUTS: usize = 10_000;
const BACKFILL_PAYMENTS: usize = 5_000;
const CEILING_CONNECTIONS: usize = 64;
const AT_ONCE: usize = 16;
/// Of a payment, base units.
const PRICE: u64 = 19_000_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let binary = std::env::args()
        .nth(1)
        .context("usage: bench_quick BINARY")?;
    let bench = Bench::start(&binary).await?;
    println!("figures on this machine; slot time {SLOT_TIME_MS} ms, everything on loopback\n");
    bench.live().await?;
    bench.memory().await?;
    bench.backfill().await?;
    Ok(())
}

struct Bench {
    net: Localnet,
    usdc: TestMint,
    merchant: Keypair,
    buyer: Keypair,
    binary: String,
    api: String,
    folder: TempDir,
    http: reqwest::Client,
    _sandbox: Killed,
}

/// A child process that does not outlive its owner.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Already ended is fine.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

impl Bench {
    async fn start(binary: &str) -> anyhow::Result<Self> {
        let net = Localnet::start(SLOT_TIME_MS).await?;
        let (buyer, merchant) = (net.wallet().await?, Keypair::new());
        let usdc = net.mint().await?;
        net.fund(&buyer.pubkey(), &usdc, u64::MAX / 4).await?;
        net.fund(&merchant.pubkey(), &usdc, 1).await?;
        let folder = tempfile::tempdir()?;
        let api_address = free_address().await?;
        let settings = format!(
            "listen = \"{api_address}\"\nrpc_url = \"{}\"\ndatabase = \"sqlite:{}\"\n[[plans]]\nid = 11\nname = \"x\"\ncredits = 1\nprice = \"19\"\n\
             [[tokens]]\nsymbol = \"USDC\"\nmint = \"{}\"\nrecipient = \"{}\"\ndecimals = 6\n",
            net.rpc_url,
            folder.path().join("sandbox.db").display(),
            usdc.address,
            merchant.pubkey(),
        );
        let file = folder.path().join("sandbox.toml");
        std::fs::write(&file, settings)?;
        let sandbox = Command::new(binary)
            .arg("--config")
            .arg(&file)
            .arg("sandbox")
            .stderr(Stdio::null())
            .spawn()?;
        let bench = Self {
            net,
            usdc,
            merchant,
            buyer,
            binary: binary.to_owned(),
            api: format!("http://{api_address}/api/v1/payments"),
            folder,
            http: reqwest::Client::new(),
            _sandbox: Killed(sandbox),
        };
        until("the sandbox answers", async || {
            bench
                .http
                .get(format!("{}/credit_plans", bench.api))
                .send()
                .await
                .is_ok()
        })
        .await?;
        Ok(bench)
    }

    fn command(&self, database: &str, ops: &str) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .env("PAYWATCH__MERCHANT__BASE_URL", &self.api)
            .env("PAYWATCH__MERCHANT__MAX_IN_FLIGHT", "32")
            .env("PAYWATCH__MERCHANT__POLL_EVERY", "2s")
            .env("PAYWATCH__SOLANA__RPC_URLS", &self.net.rpc_url)
            .env("PAYWATCH__SOLANA__WS_URLS", &self.net.ws_url)
            .env("PAYWATCH__SOLANA__MAX_RPS", "0")
            .env("PAYWATCH__SOLANA__MAX_IN_FLIGHT", "32")
            .env(
                "PAYWATCH__STORE__URL",
                format!("sqlite:{}", self.folder.path().join(database).display()),
            )
            .env("PAYWATCH__OPS__LISTEN", ops)
            .env("PAYWATCH__LOG__LEVEL", "warn")
            .stderr(Stdio::inherit());
        command
    }

    async fn checkouts(&self, count: usize) -> anyhow::Result<Vec<(String, u64)>> {
        let query = [
            ("credit_plan_id", "11"),
            ("token", &self.usdc.address.to_string()),
        ];
        let one = |_| async {
            let request = self
                .http
                .post(format!("{}/crypto/checkout", self.api))
                .query(&query);
            let body: Value = request.send().await?.error_for_status()?.json().await?;
            anyhow::Ok((
                body["memo"].as_str().unwrap_or_default().to_owned(),
                body["amount"].as_u64().unwrap_or_default(),
            ))
        };
        let made: Vec<_> = stream::iter(0..count)
            .map(one)
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        made.into_iter().collect()
    }

    async fn pay(&self, memo: &str, amount: u64) -> anyhow::Result<Signature> {
        let payment = Payment::new(
            &self.buyer,
            self.merchant.pubkey(),
            &self.usdc,
            amount,
            memo,
        );
        // The account is there: a memo and a transfer are what a wallet sends.
        let instructions = payment.instructions()?.split_off(1);
        self.net.submit(&self.buyer, &[], &instructions).await
    }

    /// From the node's notification, as the daemon receives it, to the PUT arriving at the API.
    async fn live(&self) -> anyhow::Result<()> {
        let ops = free_address().await?;
        let _daemon = Killed(self.command("live.db", &ops).arg("run").spawn()?);
        until("the daemon is ready", async || is_ready(&ops).await).await?;
        let checkouts = self.checkouts(LIVE_PAYMENTS).await?;
        until("the checkouts are known", async || {
            gauge(&ops, "paywatch_checkouts_pending").await >= LIVE_PAYMENTS
        })
        .await?;
        for (memo, amount) in &checkouts {
            self.pay(memo, *amount).await?;
            tokio::time::sleep(LIVE_EVERY).await;
        }
        let calls = self.wait_for_calls(LIVE_PAYMENTS).await?;
        let database = format!("sqlite:{}", self.folder.path().join("live.db").display());
        let pool = sqlx::SqlitePool::connect(&database).await?;
        let seen: Vec<(String, i64)> = sqlx::query_as("SELECT signature, seen_at FROM payments")
            .fetch_all(&pool)
            .await?;
        let seen: HashMap<_, _> = seen.into_iter().collect();
        let mut latencies: Vec<_> = calls
            .iter()
            .filter_map(|(hash, at)| Some(at - seen.get(hash)?))
            .collect();
        latencies.sort_unstable();
        let quantile = |percent: usize| latencies[(latencies.len() - 1) * percent / 100];
        println!(
            "notification to PUT:  p50 {} ms, p95 {} ms, p99 {} ms   ({} payments, {} PUTs)",
            quantile(50),
            quantile(95),
            quantile(99),
            latencies.len(),
            calls.len()
        );
        Ok(())
    }

    async fn memory(&self) -> anyhow::Result<()> {
        self.checkouts(PENDING_CHECKOUTS).await?;
        let ops = free_address().await?;
        let daemon = Killed(self.command("memory.db", &ops).arg("run").spawn()?);
        until("the checkouts are known", async || {
            gauge(&ops, "paywatch_checkouts_pending").await >= PENDING_CHECKOUTS
        })
        .await?;
        tokio::time::sleep(Duration::from_secs(5)).await;
        println!(
            "resident memory:      {:.1} MB with {PENDING_CHECKOUTS} pending checkouts",
            resident_mb(daemon.0.id())?
        );
        Ok(())
    }

    async fn backfill(&self) -> anyhow::Result<()> {
        let memos: Vec<String> = (0..BACKFILL_PAYMENTS)
            .map(|number| format!("{number:032x}"))
            .collect();
        let slot = self.net.client().get_slot().await? + 1;
        until("a new slot", async || {
            self.net
                .client()
                .get_slot()
                .await
                .is_ok_and(|now| now > slot)
        })
        .await?;
        let sent: Vec<_> = stream::iter(&memos)
            .map(|memo| self.pay(memo, PRICE))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let signatures: Vec<Signature> = sent.into_iter().collect::<anyhow::Result<_>>()?;
        for signature in &signatures {
            self.net.wait_for(*signature).await?;
        }
        let seeded = self.net.client().get_slot().await?;
        until("all is finalized", async || {
            finalized_slot(&self.net)
                .await
                .is_some_and(|slot| slot > seeded)
        })
        .await?;
        let ceiling = self.ceiling(&signatures).await?;
        println!(
            "node's ceiling:       {ceiling:.0} transactions/s to {CEILING_CONNECTIONS} bare connections"
        );
        for (max_rps, what) in [
            ("0", "as fast as the node answers"),
            ("2000", "held to 2,000 requests/s"),
        ] {
            self.backfill_once(&memos, slot, max_rps, what).await?;
        }
        Ok(())
    }

    async fn backfill_once(
        &self,
        memos: &[String],
        since: u64,
        max_rps: &str,
        what: &str,
    ) -> anyhow::Result<()> {
        let api = SwiftApi::start(self, memos).await?;
        let began = Instant::now();
        let mut command = self.command(&format!("backfill-{max_rps}.db"), "");
        command
            .env("PAYWATCH__MERCHANT__BASE_URL", &api.url)
            .env("PAYWATCH__SOLANA__MAX_RPS", max_rps);
        command
            .args(["backfill", "--json", "--since", &since.to_string()])
            .stdout(Stdio::piped());
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        let seconds = began.elapsed().as_secs_f64();
        let report: Value = serde_json::from_slice(&output.stdout).context("read the report")?;
        let confirmed = report["acknowledged"].as_u64().unwrap_or_default();
        let rate = f64::from(u32::try_from(confirmed)?) / seconds;
        println!(
            "backfill:             {rate:.0} payments/s {what} ({confirmed} confirmed in {seconds:.1} s, process start to end)"
        );
        Ok(())
    }

    /// How many transactions a second the node gives to a bare load generator.
    async fn ceiling(&self, signatures: &[Signature]) -> anyhow::Result<f64> {
        let began = Instant::now();
        let one = |signature: &Signature| {
            let options = json!({ "encoding": "base64", "commitment": Commitment::Confirmed.as_str(), "maxSupportedTransactionVersion": 1 });
            let question = json!({ "jsonrpc": "2.0", "id": 1, "method": "getTransaction", "params": [signature.to_string(), options] });
            let request = self.http.post(&self.net.rpc_url).json(&question);
            async move { anyhow::Ok(request.send().await?.bytes().await?.len()) }
        };
        let answers: Vec<_> = stream::iter(signatures)
            .map(one)
            .buffer_unordered(CEILING_CONNECTIONS)
            .collect()
            .await;
        let bytes: usize = answers.into_iter().sum::<anyhow::Result<usize>>()?;
        if bytes == 0 {
            bail!("the node gave nothing");
        }
        Ok(f64::from(u32::try_from(signatures.len())?) / began.elapsed().as_secs_f64())
    }

    /// Waits until the API saw that many confirm calls; returns transaction and arrival of each.
    async fn wait_for_calls(&self, count: usize) -> anyhow::Result<Vec<(String, i64)>> {
        let root = self.api.replace("/api/v1/payments", "");
        let mut calls: Vec<Value> = Vec::new();
        until("all payments are confirmed", async || {
            let Ok(answer) = self
                .http
                .get(format!("{root}/_sandbox/confirm_calls"))
                .send()
                .await
            else {
                return false;
            };
            calls = answer.json().await.unwrap_or_default();
            calls.len() >= count
        })
        .await?;
        let pair = |call: &Value| {
            Some((
                call["transaction_hash"].as_str()?.to_owned(),
                call["at"].as_i64()?,
            ))
        };
        Ok(calls.iter().filter_map(pair).collect())
    }
}

/// A payments API that takes every confirmation at once: it must not be what is measured.
struct SwiftApi {
    url: String,
    _server: JoinSet<()>,
}

impl SwiftApi {
    async fn start(bench: &Bench, memos: &[String]) -> anyhow::Result<Self> {
        let (mint, wallet) = (
            bench.usdc.address.to_string(),
            bench.merchant.pubkey().to_string(),
        );
        let tokens = json!([{ "symbol": "USDC", "mint": mint, "recipient": wallet, "decimals": 6, "enabled": true }]);
        let session = |memo: &String| json!({ "memo": memo, "amount": PRICE, "token": mint, "recipient": wallet, "status": 0 });
        let sessions: Arc<Vec<Value>> = Arc::new(memos.iter().map(session).collect());
        let history = move |Query(page): Query<HashMap<String, usize>>| async move {
            let (limit, offset) = (
                page.get("limit").copied().unwrap_or(50),
                page.get("offset").copied().unwrap_or(0),
            );
            Json(
                sessions
                    .iter()
                    .skip(offset)
                    .take(limit)
                    .cloned()
                    .collect::<Vec<_>>(),
            )
        };
        let router = Router::new()
            .route(
                "/supported_tokens",
                get(move || async move { Json(tokens) }),
            )
            .route("/history", get(history))
            .route("/crypto/confirm", put(async || Json(json!({}))));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let mut server = JoinSet::new();
        server.spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                eprintln!("{error}");
            }
        });
        Ok(Self {
            url,
            _server: server,
        })
    }
}

async fn finalized_slot(net: &Localnet) -> Option<u64> {
    let question = json!({ "jsonrpc": "2.0", "id": 1, "method": "getSlot", "params": [{ "commitment": "finalized" }] });
    let answer = reqwest::Client::new()
        .post(&net.rpc_url)
        .json(&question)
        .send()
        .await
        .ok()?;
    answer.json::<Value>().await.ok()?["result"].as_u64()
}

async fn free_address() -> anyhow::Result<String> {
    Ok(tokio::net::TcpListener::bind("127.0.0.1:0")
        .await?
        .local_addr()?
        .to_string())
}

async fn is_ready(ops: &str) -> bool {
    reqwest::get(format!("http://{ops}/readyz"))
        .await
        .is_ok_and(|answer| answer.status().is_success())
}

async fn gauge(ops: &str, name: &str) -> usize {
    let Ok(answer) = reqwest::get(format!("http://{ops}/metrics")).await else {
        return 0;
    };
    let text = answer.text().await.unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    line.unwrap_or(0)
}

fn resident_mb(process: u32) -> anyhow::Result<f64> {
    let status =
        std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("VmRSS")?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kilobytes / 1000.0)
}

async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) -> anyhow::Result<()> {
    const PATIENCE: Duration = Duration::from_mins(5);
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if condition().await {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("not within {PATIENCE:?}: {what}")
}
