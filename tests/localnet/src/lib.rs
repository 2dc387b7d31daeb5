//! A Solana network to test against: an embedded one, or any whose addresses stand in `PAYWATCH_TEST_RPC` and
//! `PAYWATCH_TEST_WS` and whose faucet gives (a stock test validator, say).
//!
//! Knows nothing of paywatch: it makes wallets and mints, and sends what wallets send.

mod mint;
mod payment;
mod versioned;

pub use mint::TestMint;
pub use payment::{
    Payment, associated, batch, create_associated, memo, transfer, transfer_checked,
};
pub use solana_compute_budget_interface as compute_budget;
pub use solana_sdk::{
    instruction::{AccountMeta, Instruction},
    pubkey::Pubkey,
    signature::{Keypair, Signature, Signer},
};
pub use solana_system_interface as system;
pub use spl_associated_token_account_interface as associated_token;
pub use versioned::{Assembled, Version};

use anyhow::{Context, bail};
use solana_client::{nonblocking::rpc_client::RpcClient, rpc_config::RpcSendTransactionConfig};
use solana_commitment_config::CommitmentConfig;
use solana_transaction::{Transaction, versioned::VersionedTransaction};
use std::{
    net::{SocketAddr, TcpListener},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};
use surfpool_sdk::{BlockProductionMode, SimnetCommand, Surfnet};
use tokio::{runtime, sync::oneshot, time::timeout};

/// Lamports a wallet begins with.
const ALLOWANCE: u64 = 2_000_000_000;
/// How long anything may take to be confirmed.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long the embedded network may take to start; a second is usual.
const START_PATIENCE: Duration = Duration::from_secs(20);

/// How often it may fail to.
const TRIES: u32 = 3;

/// What fails, fails on chain.
const UNCHECKED: RpcSendTransactionConfig = RpcSendTransactionConfig {
    skip_preflight: true,
    preflight_commitment: None,
    encoding: None,
    max_retries: None,
    min_context_slot: None,
};

/// Starts an embedded network. It looks for free ports and takes them a moment later; when somebody else was quicker it fails, or says
/// so and waits for ever. Then others are tried.
async fn embedded(slot_time_ms: u64) -> anyhow::Result<Surfnet> {
    let mut network = try_embedded(slot_time_ms).await;
    for _ in 1..TRIES {
        if network.is_ok() {
            break;
        }
        network = try_embedded(slot_time_ms).await;
    }
    network
}

async fn try_embedded(slot_time_ms: u64) -> anyhow::Result<Surfnet> {
    let network = Surfnet::builder()
        .block_production_mode(BlockProductionMode::Clock)
        .slot_time_ms(slot_time_ms);
    let (started, starting) = oneshot::channel();
    let here = runtime::Handle::current();
    // A thread, since it blocks; nobody waits for it if it never ends, or listens if it took too long.
    std::thread::spawn(move || started.send(here.block_on(network.start())).is_ok());
    Ok(timeout(START_PATIENCE, starting).await???)
}

/// An address of this machine where somebody can listen later: it is another one each time, and none that outgoing connections are
/// given, so that nobody takes it meanwhile.
///
/// # Errors
/// When a hundred ports in a row are taken.
pub fn address_to_listen_at() -> anyhow::Result<SocketAddr> {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let begin = 20_000 + u16::try_from(std::process::id() % 10_000)?;
    for _ in 0..100 {
        let port = begin + GIVEN.fetch_add(1, Ordering::Relaxed) % 2_000;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return Ok(listener.local_addr()?);
        }
    }
    bail!("a hundred ports from {begin} on are taken")
}

/// A running network.
pub struct Localnet {
    /// HTTP endpoint.
    pub rpc_url: String,
    /// WebSocket endpoint.
    pub ws_url: String,
    client: RpcClient,
    /// The embedded network lives as long as this.
    _embedded: Option<Surfnet>,
}

impl Localnet {
    /// The network named by the environment, or an embedded one with this slot time.
    ///
    /// # Errors
    /// When the network does not start, or only one of the two variables is set.
    pub async fn start(slot_time_ms: u64) -> anyhow::Result<Self> {
        match (
            std::env::var("PAYWATCH_TEST_RPC"),
            std::env::var("PAYWATCH_TEST_WS"),
        ) {
            (Ok(rpc_url), Ok(ws_url)) => Ok(Self::over(rpc_url, ws_url, None)),
            (Err(_), Err(_)) => {
                let surfnet = embedded(slot_time_ms)
                    .await
                    .with_context(|| format!("start the embedded network, {TRIES} times"))?;
                // By default each transaction is executed again, instruction by instruction, for a profile nobody here
                // reads (45 ms each). While a "runbook" runs it is not; there is no other switch in the SDK.
                surfnet.send_command(SimnetCommand::StartRunbookExecution("unprofiled".into()))?;
                Ok(Self::over(
                    surfnet.rpc_url().to_owned(),
                    surfnet.ws_url().to_owned(),
                    Some(surfnet),
                ))
            }
            _ => bail!("set both PAYWATCH_TEST_RPC and PAYWATCH_TEST_WS, or neither"),
        }
    }

    /// A network that runs already, to send transactions to.
    #[must_use]
    pub fn at(rpc_url: &str, ws_url: &str) -> Self {
        Self::over(rpc_url.to_owned(), ws_url.to_owned(), None)
    }

    fn over(rpc_url: String, ws_url: String, embedded: Option<Surfnet>) -> Self {
        let client = RpcClient::new_with_commitment(rpc_url.clone(), CommitmentConfig::confirmed());
        Self {
            rpc_url,
            ws_url,
            client,
            _embedded: embedded,
        }
    }

    /// A plain client of the network.
    #[must_use]
    pub fn client(&self) -> &RpcClient {
        &self.client
    }

    /// A new wallet with some SOL.
    ///
    /// # Errors
    /// When the faucet does not give.
    pub async fn wallet(&self) -> anyhow::Result<Keypair> {
        let wallet = Keypair::new();
        self.airdrop(&wallet.pubkey()).await?;
        Ok(wallet)
    }

    /// Some SOL for a wallet.
    ///
    /// # Errors
    /// When the faucet does not give.
    pub async fn airdrop(&self, wallet: &Pubkey) -> anyhow::Result<()> {
        let signature = self
            .client
            .request_airdrop(wallet, ALLOWANCE)
            .await
            .context("ask the faucet")?;
        self.wait_for(signature).await
    }

    /// What a wallet does with a Solana Pay address: exactly what it asks for, in a token of the classic program with six decimal places.
    ///
    /// # Errors
    /// When it is no transfer request, or the transaction does not land.
    pub async fn pay_url(&self, from: &Keypair, url: &str) -> anyhow::Result<Signature> {
        let asked = url::Url::parse(url)?;
        anyhow::ensure!(asked.scheme() == "solana", "not a Solana Pay address");
        let fields: std::collections::HashMap<_, _> = asked.query_pairs().collect();
        let field = |name: &str| {
            fields
                .get(name)
                .with_context(|| format!("it names no {name}"))
        };
        let mint = TestMint::existing(field("spl-token")?.parse()?, 6);
        let (whole, fraction) = field("amount")?
            .split_once('.')
            .unwrap_or((field("amount")?, ""));
        anyhow::ensure!(fraction.len() <= 6, "finer than the token");
        let amount = format!("{whole}{fraction:0<6}").parse()?;
        let mut payment = Payment::new(from, asked.path().parse()?, &mint, amount, "");
        payment.memos_before = fields
            .get("memo")
            .map(ToString::to_string)
            .into_iter()
            .collect();
        self.pay(&payment).await
    }

    /// Makes a payment and waits until it is confirmed.
    ///
    /// # Errors
    /// When the network does not take it.
    pub async fn pay(&self, payment: &Payment<'_>) -> anyhow::Result<Signature> {
        self.send(payment.from, &[], &payment.instructions()?).await
    }

    /// Signs, sends, and waits until confirmed.
    ///
    /// # Errors
    /// When the network refuses the transaction or it fails.
    pub async fn send(
        &self,
        payer: &Keypair,
        others: &[&Keypair],
        instructions: &[Instruction],
    ) -> anyhow::Result<Signature> {
        let signature = self.submit(payer, others, instructions).await?;
        self.wait_for(signature).await?;
        Ok(signature)
    }

    /// Signs and sends, without checking first and without waiting. Two equal calls in one block are one transaction.
    ///
    /// # Errors
    /// When the network refuses the transaction.
    pub async fn submit(
        &self,
        payer: &Keypair,
        others: &[&Keypair],
        instructions: &[Instruction],
    ) -> anyhow::Result<Signature> {
        let blockhash = self
            .client
            .get_latest_blockhash()
            .await
            .context("ask for a blockhash")?;
        let mut signers = vec![payer];
        signers.extend(others);
        let transaction = Transaction::new_signed_with_payer(
            instructions,
            Some(&payer.pubkey()),
            &signers,
            blockhash,
        );
        self.client
            .send_transaction_with_config(&transaction, UNCHECKED)
            .await
            .context("send a transaction")
    }

    /// Sends a transaction of any version without checking it first, so that it may fail on chain; waits for it to land.
    ///
    /// # Errors
    /// When the network refuses it outright.
    pub async fn land(&self, transaction: &VersionedTransaction) -> anyhow::Result<Signature> {
        let signature = self
            .client
            .send_transaction_with_config(transaction, UNCHECKED)
            .await
            .context("send a transaction")?;
        let landed = async {
            loop {
                let statuses = self.client.get_signature_statuses(&[signature]).await;
                if statuses
                    .is_ok_and(|statuses| statuses.value.first().is_some_and(Option::is_some))
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, landed)
            .await
            .context("the transaction did not land in time")?;
        Ok(signature)
    }

    /// Waits until a transaction is confirmed.
    ///
    /// # Errors
    /// When it failed, or did not land in time.
    pub async fn wait_for(&self, signature: Signature) -> anyhow::Result<()> {
        let confirmed = async {
            loop {
                let statuses = self.client.get_signature_statuses(&[signature]).await;
                if let Ok(statuses) = statuses
                    && let Some(Some(status)) = statuses.value.first()
                {
                    if let Some(error) = &status.err {
                        bail!("{signature} failed: {error:?}");
                    }
                    if status.satisfies_commitment(CommitmentConfig::confirmed()) {
                        return Ok(());
                    }
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, confirmed)
            .await
            .context("the transaction was not confirmed in time")?
    }
}
