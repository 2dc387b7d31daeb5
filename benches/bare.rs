//! The same work without paywatch, as bare as it goes: the floors of `make bench`. Prints one number, or watches for ever.
//!
//! `fetch RPC FILE`: transactions a second that the node gives, over 64 connections; `fetch-put RPC FILE API`: the same, and a
//! PUT for each; `list RPC TOKEN_ACCOUNT`: signatures a second of a history, page after page. `watch WS RPC API TOKEN_ACCOUNT`: one fetch and one PUT for each notification. `insert DATABASE COUNT`: payments a
//! second as bare rows; `record DATABASE COUNT`: the same through paywatch's store.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a bench may fail"
)]

use anyhow::{Context, bail};
use futures_util::{SinkExt, StreamExt, stream};
use paywatch::domain::{
    BaseUnits, Checkout, CheckoutStatus, Commitment, Credit, Decimals, Decoded, Memo, Mint, Policy,
    Pubkey, Rules, Signature, Timestamp, TokenAccount, TokenProgram, Wallet, Watched,
};
use paywatch::store::{Cursor, Ingested, Page, Reading, Store};
use serde_json::{Value, json};
use sqlx::{
    QueryBuilder, SqliteConnection, sqlite::SqliteConnectOptions, sqlite::SqlitePoolOptions,
};
use std::{
    collections::HashSet,
    str::FromStr,
    time::{Duration, Instant},
};
use tokio_tungstenite::{connect_async, tungstenite::Message};

const CONNECTIONS: usize = 64;
/// Rows of one SQL transaction, as in a sweep.
const BATCH: usize = 64;
/// Wallet, mint and token account of all payments.
const ACCOUNT: [u8; 32] = [1; 32];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let per_second = match words[..] {
        ["fetch", rpc, file] => fetch(rpc, file, None).await?,
        ["fetch-put", rpc, file, api] => fetch(rpc, file, Some(api)).await?,
        ["watch", ws, rpc, api, account] => return watch(ws, rpc, api, account).await,
        ["list", rpc, account] => list(rpc, account).await?,
        ["insert", database, count] => insert(database, count.parse()?).await?,
        ["record", database, count] => record(database, count.parse()?).await?,
        _ => bail!("see the head of bare.rs"),
    };
    println!("{per_second}");
    Ok(())
}

fn question(signature: &str) -> Value {
    let options = json!({ "encoding": "base64", "commitment": "confirmed", "maxSupportedTransactionVersion": 1 });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "getTransaction", "params": [signature, options] })
}

/// One request; whether the node has it.
async fn get(http: &reqwest::Client, rpc: &str, signature: &str) -> anyhow::Result<bool> {
    let request = http
        .post(rpc)
        .header("content-type", "application/json")
        .body(question(signature).to_string());
    let answer = request.send().await?.error_for_status()?.bytes().await?;
    // A null answer is short.
    Ok(answer.len() > 200)
}

async fn put(http: &reqwest::Client, api: &str, signature: &str) -> anyhow::Result<()> {
    let url = format!("{api}/crypto/confirm?payment_id=0&transaction_hash={signature}");
    http.put(url)
        .send()
        .await?
        .error_for_status()?
        .bytes()
        .await?;
    Ok(())
}

async fn fetch(rpc: &str, file: &str, api: Option<&str>) -> anyhow::Result<f64> {
    let http = reqwest::Client::builder().tcp_nodelay(true).build()?;
    let text = std::fs::read_to_string(file)?;
    let signatures: Vec<&str> = text.lines().collect();
    let began = Instant::now();
    let one = |signature| {
        let http = &http;
        async move {
            anyhow::ensure!(
                get(http, rpc, signature).await?,
                "the node does not have {signature}"
            );
            match api {
                Some(api) => put(http, api, signature).await,
                None => Ok(()),
            }
        }
    };
    let all: Vec<anyhow::Result<()>> = stream::iter(&signatures)
        .map(|signature| one(*signature))
        .buffer_unordered(CONNECTIONS)
        .collect()
        .await;
    all.into_iter().collect::<anyhow::Result<Vec<()>>>()?;
    per_second(signatures.len(), began)
}

async fn list(rpc: &str, account: &str) -> anyhow::Result<f64> {
    let http = reqwest::Client::builder().tcp_nodelay(true).build()?;
    let (began, mut listed, mut before) = (Instant::now(), 0, None::<String>);
    loop {
        let options = json!({ "commitment": "confirmed", "limit": 1000, "before": before });
        let question = json!({ "jsonrpc": "2.0", "id": 1, "method": "getSignaturesForAddress", "params": [account, options] });
        let request = http.post(rpc).header("content-type", "application/json");
        let answer = request.body(question.to_string()).send().await?;
        let answer: Value = serde_json::from_slice(&answer.bytes().await?)?;
        let page = answer["result"].as_array().context("a page")?;
        let Some(last) = page.last() else {
            return per_second(listed, began);
        };
        listed += page.len();
        before = last["signature"].as_str().map(str::to_owned);
    }
}

async fn watch(ws: &str, rpc: &str, api: &str, account: &str) -> anyhow::Result<()> {
    let http = reqwest::Client::builder().tcp_nodelay(true).build()?;
    // Both connections are open before the first payment.
    let _null = get(&http, rpc, &Signature::default().to_string()).await;
    http.get(format!("{api}/supported_tokens"))
        .send()
        .await?
        .bytes()
        .await?;
    let (mut socket, _) = connect_async(ws).await?;
    let params = json!([{ "mentions": [account] }, { "commitment": "confirmed" }]);
    let subscribe =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "logsSubscribe", "params": params });
    socket.send(Message::text(subscribe.to_string())).await?;
    let mut seen = HashSet::new();
    while let Some(said) = socket.next().await {
        let Message::Text(text) = said? else { continue };
        let said: Value = serde_json::from_str(&text)?;
        let Some(signature) = said
            .pointer("/params/result/value/signature")
            .and_then(Value::as_str)
        else {
            continue;
        };
        if seen.insert(signature.to_owned()) {
            while !get(&http, rpc, signature).await? {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            put(&http, api, signature).await?;
        }
    }
    bail!("the node closed the socket")
}

/// A row for each of what paywatch keeps of a payment: that it was seen, the payment, its memo, its verdict, its confirmation.
async fn insert(database: &str, count: usize) -> anyhow::Result<f64> {
    // Tables and pragmas as paywatch makes them.
    Store::open(database).await?.close().await;
    let options = SqliteConnectOptions::from_str(database)?
        .synchronous(sqlx::sqlite::SqliteSynchronous::Normal)
        .foreign_keys(true);
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(options)
        .await?;
    let all: Vec<(i64, Ingested)> = (1..).zip(batch_of(count)).collect();
    let began = Instant::now();
    for batch in all.chunks(BATCH) {
        let mut tx = pool.begin().await?;
        insert_batch(&mut tx, batch).await?;
        tx.commit().await?;
    }
    per_second(count, began)
}

async fn insert_batch(tx: &mut SqliteConnection, batch: &[(i64, Ingested)]) -> anyhow::Result<()> {
    let mut rows = QueryBuilder::new("INSERT INTO ingested (token_account, signature, slot, at) ");
    rows.push_values(batch, |mut values, (id, one)| {
        values
            .push_bind(one.mentions[0].to_string())
            .push_bind(one.signature.to_string())
            .push_bind(id)
            .push_bind(id);
    });
    rows.build().execute(&mut *tx).await?;
    let mut rows = QueryBuilder::new(
        "INSERT INTO payments (id, signature, token_account, slot, wallet, mint, received, memos, verdict, checkout, chain_state, seen_at, recorded_at) ",
    );
    rows.push_values(batch, |mut values, (id, one)| {
        let account = one.mentions[0].to_string();
        values
            .push_bind(id)
            .push_bind(one.signature.to_string())
            .push_bind(account.clone())
            .push_bind(id);
        values
            .push_bind(account.clone())
            .push_bind(account)
            .push_bind("19000000")
            .push_bind(memo_of(*id));
        values
            .push_bind("matched")
            .push_bind(memo_of(*id))
            .push_bind("finalized")
            .push_bind(id)
            .push_bind(id);
    });
    rows.build().execute(&mut *tx).await?;
    let mut rows = QueryBuilder::new("INSERT INTO payment_memos (payment_id, folded) ");
    rows.push_values(batch, |mut values, (id, _)| {
        values.push_bind(id).push_bind(memo_of(*id));
    });
    rows.build().execute(&mut *tx).await?;
    let mut rows = QueryBuilder::new("INSERT INTO judgements (payment_id, at, verdict, checkout) ");
    rows.push_values(batch, |mut values, (id, _)| {
        values
            .push_bind(id)
            .push_bind(id)
            .push_bind("matched")
            .push_bind(memo_of(*id));
    });
    rows.build().execute(&mut *tx).await?;
    let mut rows = QueryBuilder::new(
        "INSERT INTO confirmations (payment_id, memo, signature, state, origin, due_at, due_set_at, queued_at) ",
    );
    rows.push_values(batch, |mut values, (id, one)| {
        values
            .push_bind(id)
            .push_bind(memo_of(*id))
            .push_bind(one.signature.to_string());
        values.push_bind("queued").push_bind("verdict");
        values.push_bind(id).push_bind(id).push_bind(id);
    });
    rows.build().execute(&mut *tx).await?;
    Ok(())
}

async fn record(database: &str, count: usize) -> anyhow::Result<f64> {
    let store = Store::open(database).await?;
    let all = batch_of(count);
    let checkouts: Vec<Checkout> = all
        .iter()
        .zip(1..)
        .map(|(one, number)| checkout(one, number))
        .collect();
    let page = Page {
        asked_at: Timestamp(1),
        credit_within: Duration::from_mins(10),
    };
    store
        .upsert_checkouts(&checkouts, page, Timestamp(1))
        .await?;
    let account = Pubkey::new_from_array(ACCOUNT);
    let watched = Watched {
        token_account: TokenAccount(account),
        wallet: Wallet(account),
        mint: Mint(account),
        token_program: TokenProgram::Token,
        decimals: Decimals::new(6).context("decimals")?,
        symbol: "USDC".into(),
    };
    let rules = Rules::new(Policy::default(), [watched].into_iter().collect());
    let began = Instant::now();
    for batch in all.chunks(BATCH) {
        let last = batch.last().context("a batch")?;
        let cursor = Cursor {
            token_account: last.mentions[0],
            slot: last.slot,
            signature: last.signature,
            at: Timestamp(1),
        };
        let recorded = store
            .record(batch, Some(&cursor), &rules, Timestamp(1))
            .await?;
        anyhow::ensure!(recorded.len() == batch.len());
    }
    per_second(count, began)
}

fn per_second(count: usize, began: Instant) -> anyhow::Result<f64> {
    Ok(f64::from(u32::try_from(count)?) / began.elapsed().as_secs_f64())
}

fn memo_of(number: i64) -> String {
    format!("{number:032x}")
}

/// Payments of one token account, one a slot, whose memos are those of 1, 2, 3…
fn batch_of(count: usize) -> Vec<Ingested> {
    let account = Pubkey::new_from_array(ACCOUNT);
    let one = |number: i64| {
        let mut signature = [2; 64];
        // Signatures are spread over the index as real ones are.
        signature[..8].copy_from_slice(
            &number
                .wrapping_mul(0x9E37_79B9_7F4A_7C15_u64.cast_signed())
                .to_be_bytes(),
        );
        let credit = Credit {
            token_account: TokenAccount(account),
            wallet: Wallet(account),
            mint: Mint(account),
            received: BaseUnits(19_000_000),
            payer: Some(Wallet(account)),
        };
        Ingested {
            signature: Signature::from(signature),
            slot: number.cast_unsigned(),
            block_time: Some(number),
            reached: Commitment::Finalized,
            mentions: vec![TokenAccount(account)],
            seen_at: Timestamp(1),
            reading: Reading::Decoded(Decoded {
                credits: vec![credit],
                memos: vec![Memo::parse(&memo_of(number)).expect("a memo")],
                ..Decoded::default()
            }),
        }
    };
    (1..).take(count).map(one).collect()
}

fn checkout(payment: &Ingested, number: i64) -> Checkout {
    let account = payment.mentions[0].0;
    Checkout {
        memo: Memo::parse(&memo_of(number)).expect("a memo"),
        amount: Some(BaseUnits(19_000_000)),
        mint: Some(Mint(account)),
        recipient: Some(Wallet(account)),
        status: CheckoutStatus::Pending,
        created_at: None,
    }
}
