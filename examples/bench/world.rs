//! The network, a buyer and a merchant on it, and how programs are set upon them.

use crate::{api::Api, daemon::Daemon, tap::Tap};
use anyhow::{Context, bail};
use axum::serve::{Listener, ListenerExt};
use futures_util::{StreamExt, stream};
use localnet::{
    Instruction, Keypair, Localnet, Payment, Signer, TestMint, Version, associated, batch, memo,
    transfer_checked,
};
use paywatch::domain::Signature;
use solana_client::rpc_config::CommitmentConfig;
use spl_token_2022_interface::extension::{ExtensionType, transfer_fee};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Slot time of the embedded network.
const SLOT_TIME_MS: u64 = 200;
/// Of a payment, base units.
pub const PRICE: u64 = 19_000_000;
/// Payments that are sent at once while seeding.
const AT_ONCE: usize = 32;

/// What all parts share. Each merchant has one token account, so parts do not see each other's payments.
pub struct World {
    pub net: Localnet,
    pub usdc: TestMint,
    buyer: Keypair,
    binary: PathBuf,
    bare: PathBuf,
    pub folder: TempDir,
}

impl World {
    pub async fn start(binary: &Path, bare: &Path) -> anyhow::Result<Self> {
        let net = Localnet::start(SLOT_TIME_MS).await?;
        let buyer = net.wallet().await?;
        let usdc = net.mint().await?;
        net.fund(&buyer.pubkey(), &usdc, u64::MAX / 4).await?;
        Ok(Self {
            net,
            usdc,
            buyer,
            binary: binary.to_owned(),
            bare: bare.to_owned(),
            folder: tempfile::tempdir()?,
        })
    }

    /// A merchant with a token account.
    pub async fn merchant(&self) -> anyhow::Result<Keypair> {
        let merchant = Keypair::new();
        self.net.fund(&merchant.pubkey(), &self.usdc, 1).await?;
        Ok(merchant)
    }

    /// An API with so many pending sessions of this merchant.
    pub async fn api(&self, merchant: &Keypair, sessions: usize) -> anyhow::Result<Api> {
        Api::start(
            self.usdc.address.to_string(),
            merchant.pubkey().to_string(),
            sessions,
        )
        .await
    }

    pub async fn tap(&self, per_second: Option<u32>) -> anyhow::Result<Tap> {
        Tap::start(&self.net.rpc_url, &self.net.ws_url, per_second).await
    }

    /// paywatch, set upon an API and a node.
    pub fn paywatch(
        &self,
        api: &str,
        rpc_url: &str,
        ws_url: &str,
        database: &str,
        ops: &str,
    ) -> Command {
        let mut command = Command::new(&self.binary);
        let database = self.folder.path().join(database);
        command
            .env("PAYWATCH__MERCHANT__BASE_URL", api)
            .env("PAYWATCH__MERCHANT__MAX_IN_FLIGHT", "32")
            .env("PAYWATCH__MERCHANT__POLL_EVERY", "2s")
            .env("PAYWATCH__SOLANA__RPC_URLS", rpc_url)
            .env("PAYWATCH__SOLANA__WS_URLS", ws_url)
            .env("PAYWATCH__SOLANA__MAX_RPS", "0")
            .env("PAYWATCH__SOLANA__MAX_IN_FLIGHT", "32")
            .env(
                "PAYWATCH__STORE__URL",
                format!("sqlite:{}", database.display()),
            )
            .env("PAYWATCH__OPS__LISTEN", ops)
            .env("PAYWATCH__LOG__LEVEL", "error");
        command
    }

    /// The bare work.
    pub fn bare(&self) -> Command {
        Command::new(&self.bare)
    }

    /// What the bare work printed: one number.
    pub async fn bare_number(&self, arguments: &[&str]) -> anyhow::Result<f64> {
        let mut command = self.bare();
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit());
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        let text = String::from_utf8(output.stdout)?;
        text.trim()
            .parse()
            .with_context(|| format!("bare {arguments:?} said {text:?}"))
    }

    /// Sends a payment as wallets do, and does not wait for it.
    pub async fn pay(&self, merchant: &Keypair, memo: &str) -> anyhow::Result<Signature> {
        self.send(merchant, memo, PRICE).await
    }

    /// A payment that fails on chain: more than there is.
    pub async fn fail_to_pay(&self, merchant: &Keypair, memo: &str) -> anyhow::Result<Signature> {
        self.send(merchant, memo, u64::MAX / 2).await
    }

    async fn send(&self, merchant: &Keypair, memo: &str, amount: u64) -> anyhow::Result<Signature> {
        let payment = Payment::new(&self.buyer, merchant.pubkey(), &self.usdc, amount, memo);
        // The account is there: a memo and a transfer are what a wallet sends.
        let instructions = payment.instructions()?.split_off(1);
        self.net.submit(&self.buyer, &[], &instructions).await
    }

    /// The right amount of a token that anybody can make, and next to nothing of the right one.
    pub async fn pay_in_play_money(
        &self,
        merchant: &Keypair,
        text: &str,
    ) -> anyhow::Result<Signature> {
        let play = self.net.mint().await?;
        self.net.fund(&self.buyer.pubkey(), &play, PRICE).await?;
        self.net.fund(&merchant.pubkey(), &play, 1).await?;
        let pay = |mint: &TestMint, amount| {
            transfer_checked(
                &self.buyer,
                &associated(&merchant.pubkey(), mint),
                mint,
                amount,
            )
        };
        let instructions = [memo(text), pay(&play, PRICE)?, pay(&self.usdc, 1)?];
        self.net.submit(&self.buyer, &[], &instructions).await
    }

    /// As one of a batch, as the token program of 2026 knows it.
    pub async fn pay_in_a_batch(
        &self,
        merchant: &Keypair,
        text: &str,
    ) -> anyhow::Result<Signature> {
        let instructions = [memo(text), batch(&[self.transfer(merchant)?])];
        self.net.submit(&self.buyer, &[], &instructions).await
    }

    pub async fn pay_in_version_1(
        &self,
        merchant: &Keypair,
        text: &str,
    ) -> anyhow::Result<Signature> {
        let instructions = [memo(text), self.transfer(merchant)?];
        self.net
            .land_as(Version::V1, &self.buyer, &[], &instructions)
            .await
    }

    fn transfer(&self, merchant: &Keypair) -> anyhow::Result<Instruction> {
        let account = associated(&merchant.pubkey(), &self.usdc);
        transfer_checked(&self.buyer, &account, &self.usdc, PRICE)
    }

    /// The same on the same network with a token that withholds one percent of what is sent.
    pub async fn with_fee(&self) -> anyhow::Result<Self> {
        let (authority, address) = (self.net.wallet().await?, Keypair::new());
        let (owner, most) = (authority.pubkey(), u64::MAX);
        let fee = transfer_fee::instruction::initialize_transfer_fee_config(
            &spl_token_2022_interface::id(),
            &address.pubkey(),
            Some(&owner),
            Some(&owner),
            100,
            most,
        )?;
        let extensions = [ExtensionType::TransferFeeConfig];
        let usdc = self
            .net
            .mint_with(authority, &address, &extensions, &[fee])
            .await?;
        let net = Localnet::at(&self.net.rpc_url, &self.net.ws_url);
        net.fund(&self.buyer.pubkey(), &usdc, u64::MAX / 4).await?;
        Ok(Self {
            net,
            usdc,
            buyer: self.buyer.insecure_clone(),
            binary: self.binary.clone(),
            bare: self.bare.clone(),
            folder: tempfile::tempdir()?,
        })
    }

    /// A sandbox that sells to this merchant, and its root address.
    pub async fn sandbox(&self, merchant: &Keypair) -> anyhow::Result<(Daemon, String)> {
        let address = free_address().await?;
        let settings = format!(
            "listen = \"{address}\"\nrpc_url = \"{}\"\ndatabase = \"sqlite:{}\"\n[[plans]]\nid = 11\nname = \"x\"\ncredits = 1\nprice = \"19\"\n\
             [[tokens]]\nsymbol = \"USDC\"\nmint = \"{}\"\nrecipient = \"{}\"\ndecimals = 6\n",
            self.net.rpc_url,
            self.folder.path().join("sandbox.db").display(),
            self.usdc.address,
            merchant.pubkey(),
        );
        let file = self.folder.path().join("sandbox.toml");
        std::fs::write(&file, settings)?;
        let mut command = Command::new(&self.binary);
        let sandbox = Daemon::spawn(
            command
                .arg("--config")
                .arg(&file)
                .arg("sandbox")
                .stderr(Stdio::null()),
        )?;
        let url = format!("http://{address}");
        until("the sandbox answers", async || {
            reqwest::get(format!("{url}/api/v1/payments/credit_plans"))
                .await
                .is_ok()
        })
        .await?;
        Ok((sandbox, url))
    }

    /// Size of the binary.
    pub fn binary_bytes(&self) -> anyhow::Result<usize> {
        Ok(usize::try_from(std::fs::metadata(&self.binary)?.len())?)
    }

    /// Sends a payment for each memo and waits until all are finalized.
    pub async fn seed(
        &self,
        merchant: &Keypair,
        memos: &[String],
    ) -> anyhow::Result<Vec<Signature>> {
        let sent: Vec<_> = stream::iter(memos)
            .map(|memo| self.pay(merchant, memo))
            .buffered(AT_ONCE)
            .collect()
            .await;
        let signatures: Vec<Signature> = sent.into_iter().collect::<anyhow::Result<_>>()?;
        for signature in signatures.iter().rev().take(AT_ONCE * 4) {
            self.net.wait_for(*signature).await?;
        }
        let seeded = self.net.client().get_slot().await?;
        until("all is finalized", async || {
            let finalized = CommitmentConfig::finalized();
            let slot = self.net.client().get_slot_with_commitment(finalized).await;
            slot.is_ok_and(|slot| slot > seeded)
        })
        .await?;
        Ok(signatures)
    }
}

/// A listener whose connections send at once, as a good server's do.
pub async fn listener() -> anyhow::Result<impl Listener<Addr = SocketAddr>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    Ok(listener.tap_io(|socket| {
        if let Err(error) = socket.set_nodelay(true) {
            eprintln!("{error}");
        }
    }))
}

/// An address of this machine that is free.
pub async fn free_address() -> anyhow::Result<String> {
    Ok(tokio::net::TcpListener::bind("127.0.0.1:0")
        .await?
        .local_addr()?
        .to_string())
}

/// Waits for a condition.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) -> anyhow::Result<()> {
    const PATIENCE: Duration = Duration::from_mins(10);
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if condition().await {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bail!("not within {PATIENCE:?}: {what}")
}
