//! The three figures asked of every version, measured on this machine: `make bench-quick` prints them.
//!
//! The daemon and the sandbox are release binaries; the network is the embedded one. Nothing is asserted here.

use anyhow::{Context, bail};
use futures_util::{StreamExt, stream};
use localnet::{Keypair, Localnet, Payment, Signer, TestMint, associated};
use paywatch::{clock, domain::Commitment, domain::Signature, solana::Event};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
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

    /// From the node's last notification of a payment to the PUT arriving at the API.
    async fn live(&self) -> anyhow::Result<()> {
        let ops = free_address().await?;
        let _daemon = Killed(self.command("live.db", &ops).arg("run").spawn()?);
        until("the daemon is ready", async || is_ready(&ops).await).await?;
        let checkouts = self.checkouts(LIVE_PAYMENTS).await?;
        until("the checkouts are known", async || {
            gauge(&ops, "paywatch_checkouts_pending").await >= LIVE_PAYMENTS
        })
        .await?;
        let notified: Arc<Mutex<HashMap<String, i64>>> = Arc::default();
        let mut listeners = JoinSet::new();
        let (url, account) = (
            self.net.ws_url.parse()?,
            associated(&self.merchant.pubkey(), &self.usdc),
        );
        let heard = notified.clone();
        listeners.spawn(async move {
            let accounts = [paywatch::domain::TokenAccount(account)];
            paywatch::solana::listen_once(&url, &accounts, Duration::from_secs(30), |event| {
                if let (Event::Hint { signature, .. }, Ok(mut heard)) = (event, heard.lock()) {
                    heard.insert(signature.to_string(), clock::now().0);
                }
            })
            .await
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        for (memo, amount) in &checkouts {
            self.pay(memo, *amount).await?;
            tokio::time::sleep(LIVE_EVERY).await;
        }
        let calls = self.wait_for_calls(LIVE_PAYMENTS).await?;
        let notified = notified
            .lock()
            .map_err(|_| anyhow::anyhow!("the listener panicked"))?;
        let mut latencies: Vec<_> = calls
            .iter()
            .filter_map(|(hash, at)| Some(at - notified.get(hash)?))
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
        let began = Instant::now();
        let checkouts = self.checkouts(BACKFILL_PAYMENTS).await?;
        let slot = self.net.client().get_slot().await? + 1;
        until("a new slot", async || {
            self.net
                .client()
                .get_slot()
                .await
                .is_ok_and(|now| now > slot)
        })
        .await?;
        let sent: Vec<_> = stream::iter(&checkouts)
            .map(|(memo, amount)| self.pay(memo, *amount))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let signatures: Vec<Signature> = sent.into_iter().collect::<anyhow::Result<_>>()?;
        for signature in &signatures {
            self.net.wait_for(*signature).await?;
        }
        let seeded = self.net.client().get_slot().await?;
        until("all is finalized", async || {
            let finalized = solana_finalized(&self.net).await;
            finalized.is_some_and(|slot| slot > seeded)
        })
        .await?;
        println!(
            "                      ({BACKFILL_PAYMENTS} payments seeded in {:.0} s)",
            began.elapsed().as_secs_f64()
        );
        let ceiling = self.ceiling(&signatures).await?;
        // Twice: fetching and recording alone, and with every confirmation sent.
        let since = slot.to_string();
        for (what, arguments) in [
            ("without confirming", vec!["--dry-run"]),
            ("with every PUT", vec![]),
        ] {
            let began = Instant::now();
            let mut command = self.command("backfill.db", "");
            command
                .args(["backfill", "--json", "--since", &since])
                .args(arguments)
                .stdout(Stdio::piped());
            let output = command.output()?;
            let seconds = began.elapsed().as_secs_f64();
            let report: Value =
                serde_json::from_slice(&output.stdout).context("read the report")?;
            let payments = report["new_payments"].as_u64().unwrap_or_default();
            let rate = f64::from(u32::try_from(payments)?) / seconds;
            println!(
                "backfill:             {rate:.0} payments/s {what} ({payments} in {seconds:.1} s), {:.2} of the node's {ceiling:.0}/s",
                rate / ceiling
            );
        }
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

async fn solana_finalized(net: &Localnet) -> Option<u64> {
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
    const PATIENCE: Duration = Duration::from_secs(300);
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if condition().await {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("not within {PATIENCE:?}: {what}")
}
