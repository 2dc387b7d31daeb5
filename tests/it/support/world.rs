//! What a test plays on, and what it can see of it.

use super::{Child, PATIENCE, Proxy, eventually, try_eventually};
use localnet::{Keypair, Localnet, Payment, Pubkey, Signature, Signer, TestMint, associated};
use paywatch::store::{Filter, PaymentSummary, Store};
use serde_json::Value;
use sqlx::SqliteConnection;
use std::path::PathBuf;
use tempfile::TempDir;

/// Price of the sandbox's plan 11, in base units of every test mint.
pub(crate) const PRICE: u64 = 19_000_000;

/// What a test plays on.
pub(crate) struct World {
    pub(crate) net: Localnet,
    pub(crate) merchant: Keypair,
    pub(crate) buyer: Keypair,
    pub(crate) usdc: TestMint,
    pub(crate) usdt: TestMint,
    pub(crate) sandbox: Child,
    /// Root of the sandbox's paths.
    pub(crate) api: String,
    pub(crate) http: reqwest::Client,
    /// Last, so that it is removed after everything that writes to it.
    pub(crate) folder: TempDir,
}

/// An open checkout.
#[derive(Clone, Debug)]
pub(crate) struct Checkout {
    pub(crate) memo: String,
    pub(crate) amount: u64,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_program(spl_token::id()).await
    }

    /// With mints of this token program.
    pub(crate) async fn with_program(token_program: Pubkey) -> Self {
        let net = super::localnet();
        let buyer = net.wallet().await.unwrap();
        let (usdc, usdt) = (
            net.mint_of(token_program).await.unwrap(),
            net.mint_of(token_program).await.unwrap(),
        );
        for mint in [&usdc, &usdt] {
            net.fund(&buyer.pubkey(), mint, 1_000_000_000_000)
                .await
                .unwrap();
        }
        let merchant = Keypair::new();
        let folder = tempfile::tempdir().unwrap();
        let settings = sandbox_settings(
            &net,
            &folder,
            &[("USDC", &usdc), ("USDT", &usdt)],
            &merchant.pubkey(),
        );
        std::fs::write(folder.path().join("sandbox.toml"), settings).unwrap();
        let sandbox = Child::sandbox(&folder);
        let api = format!(
            "http://{}/api/v1/payments",
            sandbox.address("sandbox API at http://").await
        );
        Self {
            net,
            merchant,
            buyer,
            usdc,
            usdt,
            folder,
            sandbox,
            api,
            http: reqwest::Client::new(),
        }
    }

    /// The API comes back at the same address, with more tokens, and wants this key if any.
    pub(crate) async fn restart_sandbox(&mut self, more: &[(&str, &TestMint)], api_key: &str) {
        let address = &self.api["http://".len()..self.api.find("/api").unwrap()];
        let tokens = [&[("USDC", &self.usdc), ("USDT", &self.usdt)], more].concat();
        let settings = sandbox_settings(&self.net, &self.folder, &tokens, &self.merchant.pubkey());
        let settings = settings.replace("127.0.0.1:0", address);
        let file = self.folder.path().join("sandbox.toml");
        std::fs::write(file, format!("api_key = \"{api_key}\"\n{settings}")).unwrap();
        self.sandbox.end();
        self.sandbox = Child::sandbox(&self.folder);
        self.sandbox.address("sandbox API at http://").await;
    }

    /// Opens a checkout of plan 11.
    pub(crate) async fn checkout(&self, mint: &TestMint) -> Checkout {
        let query = [
            ("organization_id", "239"),
            ("credit_plan_id", "11"),
            ("token", &mint.address.to_string()),
        ];
        let request = self
            .http
            .post(format!("{}/crypto/checkout", self.api))
            .query(&query);
        let body: Value = request
            .send()
            .await
            .unwrap()
            .error_for_status()
            .unwrap()
            .json()
            .await
            .unwrap();
        assert_eq!(body["recipient"], self.merchant.pubkey().to_string());
        Checkout {
            memo: body["memo"].as_str().unwrap().to_owned(),
            amount: body["amount"].as_u64().unwrap(),
        }
    }

    /// A payment of some amount in USDC with a memo.
    pub(crate) fn payment(&self, amount: u64, memo: &str) -> Payment<'_> {
        Payment::new(
            &self.buyer,
            self.merchant.pubkey(),
            &self.usdc,
            amount,
            memo,
        )
    }

    /// Pays some amount in USDC with a memo; returns once it has landed.
    pub(crate) async fn pay(&self, amount: u64, memo: &str) -> Signature {
        self.net.pay(&self.payment(amount, memo)).await.unwrap()
    }

    /// Opens a USDC checkout and pays it.
    pub(crate) async fn buy(&self) -> (Checkout, Signature) {
        let checkout = self.checkout(&self.usdc).await;
        let signature = self.pay(checkout.amount, &checkout.memo).await;
        (checkout, signature)
    }

    /// Pays for so many USDC checkouts at once, without waiting for any.
    pub(crate) async fn buy_at_once(&self, count: usize) -> Vec<(Checkout, Signature)> {
        let mut bought = Vec::new();
        for _ in 0..count {
            let checkout = self.checkout(&self.usdc).await;
            let payment = self.payment(checkout.amount, &checkout.memo);
            let instructions = payment.instructions().unwrap();
            let signature = self.net.submit(&self.buyer, &[], &instructions).await;
            bought.push((checkout, signature.unwrap()));
        }
        bought
    }

    /// The recipient's USDC account, which is there now and holds next to nothing.
    pub(crate) async fn open_account(&self) -> Pubkey {
        let owner = self.recipient();
        self.net.fund(&owner, &self.usdc, 1).await.unwrap();
        associated(&owner, &self.usdc)
    }

    /// A payment that is confirmed, and one with a memo of no checkout, which is held; returns that one.
    pub(crate) async fn one_confirmed_one_held(&self) -> Signature {
        let (checkout, signature) = self.buy().await;
        self.wait_confirmed(&checkout, signature).await;
        self.wait_acknowledged(signature).await;
        let held = self.pay(7, "nobody-knows").await;
        self.wait_verdict(held, "unknown_memo").await;
        held
    }

    /// The file of the daemon's database.
    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("paywatch.db")
    }

    /// Environment of a daemon that watches this world through this API and WebSocket.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let database = format!("sqlite:{}", self.database().display());
        let settings = [
            ("MERCHANT__BASE_URL", self.api.as_str()),
            ("MERCHANT__POLL_EVERY", "2s"),
            ("MERCHANT__REQUEST_TIMEOUT", "2s"),
            ("SOLANA__RPC_URLS", &self.net.rpc_url),
            ("SOLANA__WS_URLS", &self.net.ws_url),
            ("SOLANA__SWEEP_EVERY", "2s"),
            ("SOLANA__MAX_RPS", "0"),
            ("STORE__URL", &database),
            ("OPS__LISTEN", "127.0.0.1:0"),
            ("LOG__LEVEL", "info,paywatch=debug"),
        ];
        super::changed(&[], &settings)
    }

    /// The wallet that is paid.
    pub(crate) fn recipient(&self) -> Pubkey {
        self.merchant.pubkey()
    }

    /// The same for commands that ask this daemon.
    pub(crate) async fn beside(&self, daemon: &Child) -> Vec<(String, String)> {
        let address = daemon.ops().await.replace("http://", "");
        super::changed(&self.environment(), &[("OPS__LISTEN", &address)])
    }

    /// Starts a daemon with the usual environment and some changes, and waits until it is ready.
    pub(crate) async fn watch(&self, changes: &[(&str, &str)]) -> Child {
        let daemon = self.start(changes);
        daemon.wait_until_ready().await;
        daemon
    }

    /// Starts a daemon without waiting.
    pub(crate) fn start(&self, changes: &[(&str, &str)]) -> Child {
        let environment = super::changed(&self.environment(), changes);
        Child::daemon(&self.folder, &environment)
    }

    /// The API's history, by memo.
    pub(crate) async fn session(&self, memo: &str) -> Value {
        let request = self.http.get(format!("{}/history?limit=100", self.api));
        let history: Vec<Value> = request.send().await.unwrap().json().await.unwrap();
        history
            .into_iter()
            .find(|session| session["memo"] == memo)
            .unwrap()
    }

    /// Waits until the API shows the checkout as confirmed by this transaction.
    pub(crate) async fn wait_confirmed(&self, checkout: &Checkout, signature: Signature) {
        eventually("the checkout is confirmed", async || {
            self.session(&checkout.memo).await["status"] == 1
        })
        .await;
        assert_eq!(
            self.session(&checkout.memo).await["transaction_hash"],
            signature.to_string()
        );
    }

    /// Every confirm call the API saw, as (payment id, transaction hash, answer).
    pub(crate) async fn calls(&self) -> Vec<(String, String, u64)> {
        let calls = self.inside("confirm_calls").await;
        let text = |call: &Value, key: &str| call[key].as_str().unwrap().to_owned();
        let call = |call: &Value| {
            (
                text(call, "payment_id"),
                text(call, "transaction_hash"),
                call["status"].as_u64().unwrap(),
            )
        };
        calls.as_array().unwrap().iter().map(call).collect()
    }

    /// Credits of the organization that buys.
    pub(crate) async fn credits(&self) -> u64 {
        self.inside("organizations/239").await["credits"]
            .as_u64()
            .unwrap()
    }

    async fn inside(&self, path: &str) -> Value {
        let root = self.api.replace("/api/v1/payments", "");
        self.http
            .get(format!("{root}/_sandbox/{path}"))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    }

    /// Confirms by hand; returns the HTTP status.
    pub(crate) async fn put(&self, memo: &str, signature: &str) -> u16 {
        let query = [("payment_id", memo), ("transaction_hash", signature)];
        let request = self
            .http
            .put(format!("{}/crypto/confirm", self.api))
            .query(&query);
        request.send().await.unwrap().status().as_u16()
    }

    /// The API's base URL through a proxy.
    pub(crate) fn api_through(&self, proxy: &Proxy) -> String {
        format!(
            "http://{}{}",
            proxy.address,
            &self.api[self.api.find("/api").unwrap()..]
        )
    }

    /// No checkout was ever claimed by two different transactions, and no transaction for two checkouts.
    pub(crate) async fn assert_no_double_confirm(&self) {
        let mut pairs: Vec<_> = self
            .calls()
            .await
            .into_iter()
            .map(|(memo, hash, _)| (memo, hash))
            .collect();
        pairs.sort();
        pairs.dedup();
        for (index, (memo, hash)) in pairs.iter().enumerate() {
            for (other_memo, other_hash) in &pairs[index + 1..] {
                assert!(
                    memo != other_memo && hash != other_hash,
                    "two different confirms: {pairs:?}"
                );
            }
        }
    }

    /// The daemon's database, for what no daemon would do to it.
    pub(crate) async fn tables(&self) -> SqliteConnection {
        super::tables(&self.database()).await
    }

    /// The daemon's database.
    pub(crate) async fn store(&self) -> Store {
        let url = format!("sqlite:{}", self.database().display());
        Store::open(&url).await.unwrap()
    }

    /// Waits until a transaction is recorded; returns its payments.
    pub(crate) async fn recorded(&self, signature: Signature) -> Vec<PaymentSummary> {
        let store = self.store().await;
        let mut found = Vec::new();
        eventually("the payment is recorded", async || {
            found = store.payments(&Filter::newest(1000)).await.unwrap();
            found.retain(|payment| payment.signature == signature.to_string());
            !found.is_empty()
        })
        .await;
        // Who opens the file anew is not to meet this one's leave.
        store.close().await;
        found
    }

    /// Waits until the daemon has the API's word for a transaction's payment.
    pub(crate) async fn wait_acknowledged(&self, signature: Signature) {
        eventually("it is acknowledged", async || {
            self.recorded(signature).await[0].confirmation.as_deref() == Some("acknowledged")
        })
        .await;
    }

    /// Waits until a transaction's single payment has this verdict.
    pub(crate) async fn wait_verdict(&self, signature: Signature, verdict: &str) {
        let mut last = String::new();
        let seen = try_eventually(PATIENCE, async || {
            let payments = self.recorded(signature).await;
            last = format!("{payments:?}");
            payments.len() == 1 && payments[0].verdict == verdict
        });
        assert!(seen.await, "expected {verdict}, found {last}");
    }
}

fn sandbox_settings(
    net: &Localnet,
    folder: &TempDir,
    tokens: &[(&str, &TestMint)],
    recipient: &Pubkey,
) -> String {
    let database = folder.path().join("sandbox.db");
    let mut text = format!(
        "listen = \"127.0.0.1:0\"\nrpc_url = \"{}\"\ndatabase = \"sqlite:{}\"\n\
         [[plans]]\nid = 11\nname = \"Starter\"\ncredits = 1900\nprice = \"19\"\n",
        net.rpc_url,
        database.display(),
    );
    for (symbol, mint) in tokens {
        let (mint, decimals) = (mint.address, mint.decimals);
        text += &format!(
            "[[tokens]]\nsymbol = \"{symbol}\"\nmint = \"{mint}\"\nrecipient = \"{recipient}\"\ndecimals = {decimals}\n"
        );
    }
    text
}
