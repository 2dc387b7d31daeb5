//! The whole story on an embedded local network: two checkouts, two payments, nobody pastes a hash.
//!
//! `make demo` runs it; `make demo KEEP=1` leaves everything running and says what to try.

use anyhow::{Context, bail};
use localnet::{Keypair, Localnet, Payment, Signer, TestMint};
use paywatch::{clock, config::Config, sandbox, supervisor};
use serde_json::Value;
use std::{
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// As on mainnet, about.
const SLOT_TIME_MS: u64 = 300;
const PATIENCE: Duration = Duration::from_mins(1);
/// Where everything of the demo is.
const FOLDER: &str = "tmp/demo";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1).as_deref() {
        None => demo(std::env::var_os("KEEP").is_some()).await,
        Some("pay") => pay(std::env::args().nth(2)).await,
        Some(other) => bail!("unknown argument {other}; there is only `pay`"),
    }
}

/// What the demo set up.
struct Scene {
    network: Localnet,
    tokens: Vec<(&'static str, TestMint)>,
    buyer: Keypair,
    api: String,
    ops: SocketAddr,
    folder: PathBuf,
}

async fn demo(keep: bool) -> anyhow::Result<()> {
    let began = Instant::now();
    say(
        began,
        "starting an embedded Solana network, two stand-in tokens and a buyer's wallet",
    );
    let (scene, mut tasks) = set_up().await?;
    say(
        began,
        &format!(
            "network at {}, payments API at {}",
            scene.network.rpc_url, scene.api
        ),
    );
    say(began, "paywatch is watching");
    let http = reqwest::Client::new();
    for (symbol, mint) in &scene.tokens {
        story(&scene, &http, began, symbol, mint).await?;
    }
    let history: Vec<Value> = http
        .get(format!("{}/history", scene.api))
        .send()
        .await?
        .json()
        .await?;
    let confirmed = history
        .iter()
        .filter(|session| session["status"] == 1)
        .count();
    if history.len() != 2 || confirmed != 2 {
        bail!(
            "the history shows {confirmed} of {} checkouts confirmed, not 2 of 2",
            history.len()
        );
    }
    say(
        began,
        "the API's history shows both as confirmed; nobody pasted a hash",
    );
    if keep {
        say_what_to_try(&scene);
        tokio::signal::ctrl_c().await?;
    }
    tasks.abort_all();
    Ok(())
}

async fn set_up() -> anyhow::Result<(Scene, JoinSet<()>)> {
    let network = Localnet::start(SLOT_TIME_MS).await?;
    let (merchant, buyer) = (Keypair::new(), network.wallet().await?);
    let mut tokens = Vec::new();
    for symbol in ["USDC", "USDT"] {
        let mint = network.mint().await?;
        network.fund(&buyer.pubkey(), &mint, 1_000_000_000).await?;
        tokens.push((symbol, mint));
    }
    let folder = PathBuf::from(FOLDER);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).context("remove what the last demo left")?;
    }
    std::fs::create_dir_all(&folder).context("make a folder for the demo")?;
    std::fs::write(folder.join("buyer.json"), format!("{:?}", buyer.to_bytes()))
        .context("write the buyer's key")?;
    std::fs::write(folder.join("rpc_url"), &network.rpc_url).context("write the node's address")?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let api = format!("http://{}/api/v1/payments", listener.local_addr()?);
    let settings = sandbox_settings(&folder, &network, &merchant, &tokens)?;
    let ops = localnet::address_to_listen_at()?;
    let config = paywatch_config(&folder, &network, &api, ops)?;
    let mut tasks = JoinSet::new();
    let shutdown = CancellationToken::new();
    let (api_shutdown, watcher_shutdown) = (shutdown.clone(), shutdown);
    tasks.spawn(async move { complain(sandbox::serve(settings, listener, api_shutdown).await) });
    tasks.spawn(async move { complain(supervisor::run(config, watcher_shutdown).await) });
    let scene = Scene {
        network,
        tokens,
        buyer,
        api,
        ops,
        folder,
    };
    wait_until("paywatch is ready", async || {
        reqwest::get(format!("http://{ops}/readyz"))
            .await
            .is_ok_and(|answer| answer.status().is_success())
    })
    .await?;
    Ok((scene, tasks))
}

fn complain(result: anyhow::Result<()>) {
    if let Err(error) = result {
        eprintln!("{error:#}");
    }
}

fn sandbox_settings(
    folder: &Path,
    network: &Localnet,
    merchant: &Keypair,
    tokens: &[(&str, TestMint)],
) -> anyhow::Result<sandbox::Settings> {
    let mut text = format!(
        "rpc_url = \"{}\"\ndatabase = \"sqlite:{}\"\n[[plans]]\nid = 11\nname = \"Starter\"\ncredits = 1900\nprice = \"19\"\n",
        network.rpc_url,
        folder.join("sandbox.db").display(),
    );
    for (symbol, mint) in tokens {
        text += &format!(
            "[[tokens]]\nsymbol = \"{symbol}\"\nmint = \"{}\"\nrecipient = \"{}\"\ndecimals = {}\n",
            mint.address,
            merchant.pubkey(),
            mint.decimals,
        );
    }
    let file = folder.join("sandbox.toml");
    std::fs::write(&file, text).context("write the sandbox's configuration")?;
    sandbox::Settings::load(&file)
}

fn paywatch_config(
    folder: &Path,
    network: &Localnet,
    api: &str,
    ops: SocketAddr,
) -> anyhow::Result<Config> {
    let text = format!(
        "[merchant]\nbase_url = \"{api}\"\n\n[solana]\nrpc_urls = [\"{}\"]\nws_urls = [\"{}\"]\nmax_rps = 0\n\n\
         [store]\nurl = \"sqlite:{}\"\n\n[ops]\nlisten = \"{ops}\"\npay_pages = true\n",
        network.rpc_url,
        network.ws_url,
        folder.join("paywatch.db").display(),
    );
    let file = folder.join("paywatch.toml");
    std::fs::write(&file, text).context("write paywatch's configuration")?;
    Config::load(Some(&file), [])
}

/// One checkout from its beginning to its credits.
async fn story(
    scene: &Scene,
    http: &reqwest::Client,
    began: Instant,
    symbol: &str,
    mint: &TestMint,
) -> anyhow::Result<()> {
    let query = [
        ("organization_id", "239"),
        ("credit_plan_id", "11"),
        ("quantity", "1"),
        ("token", &mint.address.to_string()),
    ];
    let request = http
        .post(format!("{}/crypto/checkout", scene.api))
        .query(&query);
    let checkout: Value = request.send().await?.error_for_status()?.json().await?;
    let (memo, amount) = (
        checkout["memo"].as_str().unwrap_or_default(),
        checkout["amount"].as_u64().unwrap_or_default(),
    );
    say(
        began,
        &format!("{symbol}: checkout {memo}, {amount} base units due"),
    );
    let recipient = checkout["recipient"].as_str().unwrap_or_default().parse()?;
    let paid_at = clock::now();
    let signature = scene
        .network
        .pay(&Payment::new(&scene.buyer, recipient, mint, amount, memo))
        .await?;
    let landed_at = clock::now();
    let session = session(scene, http, memo).await?;
    let store = sqlx::SqlitePool::connect(&format!(
        "sqlite:{}",
        scene.folder.join("paywatch.db").display()
    ))
    .await?;
    let (seen_at, judged_at, acknowledged_at): (i64, i64, i64) = sqlx::query_as(
        "SELECT p.seen_at, p.recorded_at, c.closed_at FROM payments p JOIN confirmations c ON c.payment_id = p.id WHERE p.signature = $1",
    )
    .bind(signature.to_string())
    .fetch_one(&store)
    .await
    .context("read paywatch's own times")?;
    println!("          {symbol}: transaction {signature}");
    let credited_at = session["confirmed_at"].as_i64().unwrap_or_default();
    let mut times = [
        ("paid (sent by the wallet)", paid_at.0),
        ("landed, as polled by the wallet", landed_at.0),
        ("seen by paywatch", seen_at),
        ("judged and recorded", judged_at),
        ("credited by the API", credited_at),
        ("confirmed (API's answer recorded)", acknowledged_at),
    ];
    times.sort_by_key(|(_, at)| *at);
    for (word, at) in times {
        println!("            {:>6} ms  {word}", at - paid_at.0);
    }
    Ok(())
}

/// Waits until the API shows a session as confirmed.
async fn session(scene: &Scene, http: &reqwest::Client, memo: &str) -> anyhow::Result<Value> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let history: Vec<Value> = http
            .get(format!("{}/history", scene.api))
            .send()
            .await?
            .json()
            .await?;
        if let Some(session) = history
            .into_iter()
            .find(|session| session["memo"] == memo && session["status"] == 1)
        {
            // The API credits before paywatch has recorded its answer.
            tokio::time::sleep(Duration::from_millis(200)).await;
            return Ok(session);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("checkout {memo} was not confirmed within {PATIENCE:?}")
}

async fn wait_until(what: &str, mut condition: impl AsyncFnMut() -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if condition().await {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("{what}: not within {PATIENCE:?}")
}

fn say(began: Instant, what: &str) {
    println!("{:>7.1} s {what}", began.elapsed().as_secs_f32());
    // Only a pipe nobody reads can fail here.
    let _closed = std::io::stdout().flush();
}

fn say_what_to_try(scene: &Scene) {
    let (api, ops, folder) = (&scene.api, scene.ops, scene.folder.display());
    println!("\nEverything keeps running until Ctrl-C.");
    println!("  pages         http://{ops}/");
    println!("  payments API  {api}");
    println!("  Solana        {}", scene.network.rpc_url);
    println!("\nIn another terminal (docs/tour.md says more):");
    println!("  export PATH=\"$PWD/target/debug:$PATH\" PAYWATCH_CONFIG={folder}/paywatch.toml");
    println!(
        "  paywatch checkout --plan 11 --token USDC    # shows what to send, also at http://{ops}/pay/MEMO"
    );
    println!(
        "  make pay URL='solana:…'                     # pays it; try another amount, or no memo"
    );
    println!("  paywatch payments list");
    println!("  paywatch explain SIGNATURE");
    println!("  paywatch status");
}

/// `demo pay URL`: pays what a Solana Pay address asks for, from the demo's buyer. Prints the transaction's signature.
async fn pay(url: Option<String>) -> anyhow::Result<()> {
    let url = url.context("usage: demo pay 'solana:…', as `paywatch checkout` shows it")?;
    let read = |file: &str| {
        let text = std::fs::read_to_string(Path::new(FOLDER).join(file));
        text.context("is the demo running? (make demo KEEP=1)")
    };
    let key: Vec<u8> = serde_json::from_str(&read("buyer.json")?)?;
    let buyer = Keypair::try_from(key.as_slice())?;
    let network = Localnet::at(&read("rpc_url")?, "");
    println!("{}", network.pay_url(&buyer, &url).await?);
    Ok(())
}
