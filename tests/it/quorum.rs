//! A node that lies about amounts, memos or success is caught when another one must tell the same.

use crate::support::eventually;
use crate::support::ledger::{Entry, Fate, Ledger};
use paywatch::config::Config;
use paywatch::domain::{Signature, TokenAccount};
use paywatch::http::{Exchange, Fault, Reply, Request};
use paywatch::merchant::Merchant;
use paywatch::pipeline::{Hint, Pipeline};
use paywatch::solana::Rpc;
use paywatch::store::{Filter, Store};
use paywatch::supervisor::Loops;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Everything is final from the first slot on.
const NOW: u64 = 1_000;
const DUE: u64 = 2_000_000_000;

/// What a node does with the truth.
type Lie = fn(Entry) -> Option<Entry>;

/// A payments API with one checkout of 2,000 USDC, an honest node, and one that lies.
struct Network {
    truth: Ledger,
    lie: Lie,
    /// Whether the honest node answers.
    honest_is_up: Mutex<bool>,
    confirms: AtomicUsize,
}

impl Network {
    fn node(ledger: &Ledger, request: &Request) -> Value {
        let question: Value = serde_json::from_slice(request.json.as_deref().unwrap()).unwrap();
        let params = &question["params"];
        match question["method"].as_str().unwrap() {
            "getSlot" => json!(Ledger::finalized(NOW)),
            "getSignaturesForAddress" => ledger.page(params, NOW).unwrap().into(),
            "getTransaction" => ledger.transaction(params, NOW),
            "getSignatureStatuses" => ledger.statuses(params, NOW),
            "getAccountInfo" => Ledger::mint(),
            "getTokenAccountsByOwner" => json!({ "value": [] }),
            other => panic!("{other}"),
        }
    }

    fn told_by_liar(&self) -> Ledger {
        let mut lies = Ledger::new();
        lies.entries = self
            .truth
            .entries
            .iter()
            .cloned()
            .filter_map(self.lie)
            .collect();
        lies
    }
}

#[async_trait::async_trait]
impl Exchange for Network {
    async fn exchange(&self, request: Request) -> Result<Reply, Fault> {
        let shop = self.truth.shop;
        let body = match request.url.host_str().unwrap() {
            "honest" if !*self.honest_is_up.lock().unwrap() => {
                return Err(Fault::NoConnection(None));
            }
            "honest" => json!({ "result": Self::node(&self.truth, &request) }),
            "liar" => json!({ "result": Self::node(&self.told_by_liar(), &request) }),
            _ if request.method == Method::PUT => {
                self.confirms.fetch_add(1, Ordering::SeqCst);
                json!({})
            }
            _ if request.url.path().ends_with("supported_tokens") => {
                json!([{ "symbol": "USDC", "mint": shop.mint.to_string(), "recipient": shop.wallet.to_string(), "enabled": true }])
            }
            _ => {
                json!([{ "memo": "a", "amount": DUE, "token": shop.mint.to_string(), "recipient": shop.wallet.to_string(), "status": 0 }])
            }
        };
        Ok(Reply {
            status: StatusCode::OK,
            retry_after: None,
            body: body.to_string().into_bytes(),
        })
    }
}

/// A daemon that must hear the same from both nodes of payments above 1,000 USDC.
struct Watch {
    network: Arc<Network>,
    store: Store,
    _loops: Loops,
    _folder: TempDir,
}

impl Watch {
    /// `paid` is what really happened; the liar, who is asked first, tells something else.
    async fn start(paid: Entry, lie: Lie, honest_is_up: bool) -> Self {
        let mut truth = Ledger::new();
        let signature = truth.land(paid);
        let shop = truth.shop;
        let network = Arc::new(Network {
            truth,
            lie,
            honest_is_up: Mutex::new(honest_is_up),
            confirms: AtomicUsize::new(0),
        });
        let folder = tempfile::tempdir().unwrap();
        let database = format!("sqlite:{}", folder.path().join("paywatch.db").display());
        let environment = [
            ("MERCHANT__BASE_URL", "http://api/"),
            ("SOLANA__RPC_URLS", "http://liar/,http://honest/"),
            ("SOLANA__QUORUM", "2"),
            ("SOLANA__SWEEP_EVERY", "300ms"),
            // The ledger's blocks are of another year.
            ("WATCH__LOOK_BACK", "10years"),
            ("POLICY__FINALIZED_ABOVE__USDC", "1000"),
            ("STORE__URL", &database),
            ("OPS__LISTEN", ""),
        ]
        .map(|(key, value)| (format!("PAYWATCH__{key}"), value.to_owned()));
        let config = Config::load(None, environment).unwrap();
        let store = Store::open(&config.store_url).await.unwrap();
        let nodes: Arc<dyn Exchange> = network.clone();
        let rpc = Rpc::over(&nodes, &config.solana.rpc_urls, config.solana.limits);
        let merchant = Merchant::over(network.clone(), &config.merchant.settings);
        let pipeline = Pipeline::over(config, store.clone(), rpc, merchant);
        let (loops, hints) = Loops::spawn(&pipeline, CancellationToken::new());
        let token_account = TokenAccount(shop.account);
        hints
            .send(Hint {
                signature,
                token_account,
            })
            .await
            .unwrap();
        Self {
            network,
            store,
            _loops: loops,
            _folder: folder,
        }
    }

    async fn becomes(&self, verdict: &str) {
        eventually(verdict, async || {
            let payments = self.store.payments(&Filter::newest(9)).await.unwrap();
            payments.len() == 1 && payments[0].verdict == verdict
        })
        .await;
    }

    fn confirms(&self) -> usize {
        self.network.confirms.load(Ordering::SeqCst)
    }
}

fn paid(amount: u64) -> Entry {
    Entry {
        signature: Signature::default(),
        slot: 1,
        fate: Fate::Stays,
        failed: false,
        amount,
        memo: Some("a".into()),
        revealed_at: 0,
        is_poison: false,
    }
}

#[tokio::test]
async fn lies_about_amount_memo_and_success_are_caught() {
    let failed = Entry {
        failed: true,
        ..paid(DUE)
    };
    let other_memo = Entry {
        memo: Some("b".into()),
        ..paid(DUE)
    };
    let cases: [(&str, Entry, Lie); 3] = [
        ("amount", paid(DUE - 1), |entry| {
            Some(Entry {
                amount: DUE,
                ..entry
            })
        }),
        ("memo", other_memo, |entry| {
            Some(Entry {
                memo: Some("a".into()),
                ..entry
            })
        }),
        ("success", failed, |entry| {
            Some(Entry {
                failed: false,
                ..entry
            })
        }),
    ];
    for (what, truth, lie) in cases {
        let watch = Watch::start(truth, lie, true).await;
        watch.becomes("unreadable").await;
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert_eq!(watch.confirms(), 0, "a lie about the {what}");
    }
}

#[tokio::test]
async fn where_both_tell_the_same_it_is_confirmed() {
    let watch = Watch::start(paid(DUE), Some, true).await;
    watch.becomes("matched").await;
    eventually("the API is told", async || watch.confirms() == 1).await;
}

/// A witness that is away delays a large payment, and stalls nothing.
#[tokio::test]
async fn while_a_witness_is_away_a_large_payment_waits() {
    let watch = Watch::start(paid(DUE), Some, false).await;
    watch.becomes("unreadable").await;
    assert_eq!(watch.confirms(), 0);
    *watch.network.honest_is_up.lock().unwrap() = true;
    watch.becomes("matched").await;
    eventually("the API is told", async || watch.confirms() == 1).await;
}
