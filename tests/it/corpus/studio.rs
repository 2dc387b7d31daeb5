//! The network the corpus is recorded on: who plays there, and what it says of each transaction itself.

use super::case::{Case, Cast, DUE, Said, to_hex};
use super::fixture::Landed;
use localnet::{
    Instruction, Keypair, Localnet, Pubkey, Signature, Signer, TestMint, Version, associated,
    create_associated,
};
use paywatch::solana::Fetched;
use serde_json::{Value, json};
use solana_sdk::hash::{Hash, hash};

pub(super) struct Studio {
    pub(super) net: Localnet,
    pub(super) shop: Keypair,
    pub(super) buyer: Keypair,
    pub(super) usdc: TestMint,
    pub(super) cast: Cast,
    /// Goes into every key, so that a network that lives longer than one run is no hindrance.
    seed: String,
    http: reqwest::Client,
}

impl Studio {
    pub(super) async fn set(net: Localnet, seed: &str) -> Self {
        let key = |name: &str| keypair(seed, name);
        let (shop, buyer) = (key("shop"), key("buyer"));
        for wallet in [&shop, &buyer] {
            net.airdrop(&wallet.pubkey()).await.unwrap();
        }
        let mut mints = Vec::new();
        for name in ["usdc", "usdt"] {
            let authority = key(&format!("{name} authority"));
            net.airdrop(&authority.pubkey()).await.unwrap();
            let mint = net
                .mint_at(spl_token::id(), authority, &key(name))
                .await
                .unwrap();
            net.fund(&buyer.pubkey(), &mint, 1_000_000 * DUE)
                .await
                .unwrap();
            net.fund(&shop.pubkey(), &mint, 1_000 * DUE).await.unwrap();
            mints.push(mint);
        }
        let (usdt, usdc) = (mints.pop().unwrap(), mints.pop().unwrap());
        let cast = Cast {
            shop: shop.pubkey(),
            buyer: buyer.pubkey(),
            usdc: usdc.address,
            usdt: usdt.address,
            shop_usdc: associated(&shop.pubkey(), &usdc),
            shop_usdt: associated(&shop.pubkey(), &usdt),
            buyer_usdc: associated(&buyer.pubkey(), &usdc),
            buyer_usdt: associated(&buyer.pubkey(), &usdt),
        };
        Self {
            net,
            shop,
            buyer,
            usdc,
            cast,
            seed: seed.to_owned(),
            http: reqwest::Client::new(),
        }
    }

    /// A key that belongs to a name.
    pub(super) fn key(&self, name: &str) -> Keypair {
        keypair(&self.seed, name)
    }

    /// A wallet with some SOL.
    pub(super) async fn wallet(&self, name: &str) -> Keypair {
        let wallet = self.key(name);
        self.net.airdrop(&wallet.pubkey()).await.unwrap();
        wallet
    }

    /// A case about the shop's two associated token accounts, with a checkout of 19 USDC under the case's memo.
    pub(super) fn case(&self, name: &'static str, about: &str) -> Case {
        let Cast {
            shop,
            usdc,
            usdt,
            shop_usdc,
            shop_usdt,
            ..
        } = self.cast;
        let token = spl_token::id();
        Case::new(
            name,
            about,
            &[
                (shop_usdc, shop, usdc, token),
                (shop_usdt, shop, usdt, token),
            ],
        )
        .checkout(DUE, usdc, shop)
    }

    /// The case with the payment that most of them hold: the memo, then 19 USDC from the buyer.
    pub(super) fn paid(&self, name: &'static str, about: &str) -> Case {
        let cast = self.cast;
        self.case(name, about).say().send(cast.pays(DUE)).matched(
            cast.shop_usdc,
            DUE,
            Some(cast.buyer),
        )
    }

    /// A case about one account of the shop for another mint, with a checkout of 19 of it.
    pub(super) fn case_in(&self, name: &'static str, about: &str, mint: &TestMint) -> Case {
        let shop = self.cast.shop;
        Case::new(
            name,
            about,
            &[(
                associated(&shop, mint),
                shop,
                mint.address,
                mint.token_program,
            )],
        )
        .checkout(DUE, mint.address, shop)
    }

    /// Sends what prepares a case.
    pub(super) async fn prepare(
        &self,
        payer: &Keypair,
        others: &[&Keypair],
        instructions: &[Instruction],
    ) {
        self.net.send(payer, others, instructions).await.unwrap();
    }

    /// Creates a wallet's associated token account.
    pub(super) async fn open(&self, wallet: &Pubkey, mint: &TestMint) {
        let create = create_associated(&self.cast.buyer, wallet, mint);
        self.prepare(&self.buyer, &[], &[create]).await;
    }

    /// Lands the case as the buyer's legacy transaction.
    pub(super) async fn land(&self, case: Case) -> Landed {
        self.land_by(case, &self.buyer).await
    }

    /// The same by another fee payer.
    pub(super) async fn land_by(&self, case: Case, payer: &Keypair) -> Landed {
        self.land_as(case, Version::Legacy, payer, &[]).await
    }

    /// Lands the case, asks the network what happened, and compares that with what is expected.
    pub(super) async fn land_as(
        &self,
        case: Case,
        version: Version,
        payer: &Keypair,
        others: &[&Keypair],
    ) -> Landed {
        let blockhash = self.net.client().get_latest_blockhash().await.unwrap();
        self.land_with(case, version, payer, others, blockhash)
            .await
    }

    /// The same with this blockhash, which may be that of a durable nonce.
    pub(super) async fn land_with(
        &self,
        mut case: Case,
        version: Version,
        payer: &Keypair,
        others: &[&Keypair],
        blockhash: Hash,
    ) -> Landed {
        case.expected["version"] = match version {
            Version::Legacy => "legacy",
            Version::V0(_) => "0",
            Version::V1 => "1",
        }
        .into();
        case.expected["made"] = "recorded on a local network".into();
        let before = self.balances(&case).await;
        let signature = self
            .net
            .land_with(version, payer, others, &case.instructions, blockhash)
            .await
            .unwrap_or_else(|error| panic!("{}: {error:#}", case.name));
        let after = self.balances(&case).await;
        let mut answer = self.answer(signature, "base64").await;
        if case.expected["unreadable"].is_null() {
            put_back(&mut case, &mut answer, &before, &after);
            put_back_sources(&mut case, &mut answer);
        }
        let failed = !answer["result"]["meta"]["err"].is_null();
        assert_eq!(
            failed,
            case.expected["failed"] == true,
            "{}: {}",
            case.name,
            answer["result"]["meta"]["err"]
        );
        if case.expected["checkouts"][0]["confirmed_by"] == "itself" {
            case = case.confirmed_by(&signature.to_string());
        }
        let landed = Landed {
            case: case.sorted(),
            answer,
        };
        landed.compare_balances(&before, &after);
        landed.compare_parsed(&self.answer(signature, "jsonParsed").await["result"]);
        landed
    }

    /// The network's answer to `getTransaction`, as it came.
    async fn answer(&self, signature: Signature, encoding: &str) -> Value {
        let options = json!({ "encoding": encoding, "commitment": "confirmed", "maxSupportedTransactionVersion": 1 });
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "getTransaction", "params": [signature.to_string(), options] });
        let mut answer = Value::Null;
        crate::support::eventually("the network gives the transaction", async || {
            let sent = self
                .http
                .post(&self.net.rpc_url)
                .json(&request)
                .send()
                .await
                .unwrap();
            answer = sent.json().await.unwrap();
            !answer["result"].is_null()
        })
        .await;
        answer
    }

    /// What every watched account of a case holds now; nothing where there is none.
    async fn balances(&self, case: &Case) -> Vec<u64> {
        let mut all = Vec::new();
        for watched in case.expected["watched"].as_array().unwrap() {
            let account = watched["token_account"].as_str().unwrap().parse().unwrap();
            let balance = self.net.client().get_token_account_balance(&account).await;
            all.push(balance.map_or(0, |balance| balance.amount.parse().unwrap()));
        }
        all
    }

    /// Puts the memo program of this network under another id as well, where it is missing.
    pub(super) async fn deploy_memo(&self, program: Said) {
        if self
            .net
            .client()
            .get_account(&program.program())
            .await
            .is_ok()
        {
            return;
        }
        let code = self
            .net
            .client()
            .get_account(&Said::V3.program())
            .await
            .unwrap()
            .data;
        let hex = to_hex(&code);
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "surfnet_writeProgram", "params": [program.program().to_string(), hex, 0] });
        let answer: Value = self
            .http
            .post(&self.net.rpc_url)
            .json(&request)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert!(
            answer["error"].is_null(),
            "deploy memo {program:?}: {answer}"
        );
    }
}

const FORGOT: &str = "recorded on a local network, which forgot a balance before the transaction; it was put back from getTokenAccountBalance";

/// The embedded network forgets what accounts held before when one before them in the list is closed. Where it does, the
/// balance that it gave when asked before the transaction takes its place.
fn put_back(case: &mut Case, answer: &mut Value, before: &[u64], after: &[u64]) {
    let watched = case.expected["watched"].as_array().unwrap().clone();
    let meta = &mut answer["result"]["meta"];
    for (watched, (before, after)) in watched.iter().zip(before.iter().zip(after)) {
        let after = after.to_string();
        let is_watched = |balance: &&Value| {
            balance["mint"] == watched["mint"]
                && balance["owner"] == watched["wallet"]
                && balance["uiTokenAmount"]["amount"] == after
        };
        let posts = meta["postTokenBalances"].as_array().unwrap();
        let Some(mut balance) = posts.iter().find(is_watched).cloned() else {
            continue;
        };
        let pres = meta["preTokenBalances"].as_array_mut().unwrap();
        let is_known = pres
            .iter()
            .any(|pre| pre["accountIndex"] == balance["accountIndex"]);
        if *before > 0 && !is_known {
            balance["uiTokenAmount"] = json!({ "amount": before.to_string(), "decimals": 6, "uiAmount": null, "uiAmountString": "" });
            pres.push(balance);
            case.expected["made"] = FORGOT.into();
        }
    }
}

/// The same for an account that paid and was closed: it was there before, since it held lamports, and it held what it paid.
fn put_back_sources(case: &mut Case, answer: &mut Value) {
    let Ok(Fetched::Transaction(transaction)) = Fetched::from_saved(&answer.to_string()) else {
        return;
    };
    let is_told = |key: Pubkey| {
        let mut all = transaction.pre.iter().chain(&transaction.post);
        all.any(|balance| balance.token_account.0 == key)
    };
    let transfers = case.expected["transfers"].as_array().unwrap().clone();
    for transfer in transfers {
        let source = transfer["source"].as_str().unwrap_or_default();
        let Ok(source) = source.parse::<Pubkey>() else {
            continue;
        };
        let was_there = transaction
            .lamports_of(source)
            .is_some_and(|told| told.before > 0);
        if is_told(source) || !was_there {
            continue;
        }
        let index = transaction.keys.iter().position(|key| *key == source);
        let pres = answer["result"]["meta"]["preTokenBalances"]
            .as_array_mut()
            .unwrap();
        pres.push(json!({ "accountIndex": index, "mint": transfer["mint"], "owner": transfer["payer"], "programId": spl_token::id().to_string(),
                          "uiTokenAmount": { "amount": transfer["amount"], "decimals": 6, "uiAmount": null, "uiAmountString": "" } }));
        case.expected["made"] = FORGOT.into();
    }
}

fn keypair(seed: &str, name: &str) -> Keypair {
    Keypair::new_from_array(hash(format!("{seed} {name}").as_bytes()).to_bytes())
}
