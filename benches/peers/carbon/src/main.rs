//! A watcher over Carbon: its RPC crawler, its token decoder, and a processor that confirms what names a pending session.
//!
//! RPC, API and ACCOUNT come from the environment; FORM is "default" or "tuned" (1,000 a page, 32 fetches, sending that waits
//! instead of dropping, PUTs 32 wide, polled twenty times a second). It never ends: whoever measures stops it.

use carbon_core::{
    error::CarbonResult,
    instruction::InstructionProcessorInputType,
    pipeline::{Pipeline, ShutdownStrategy},
    processor::Processor,
    transaction::TransactionMetadata,
};
use carbon_rpc_transaction_crawler_datasource::{
    ConnectionConfig, Filters, RetryConfig, RpcTransactionCrawler,
};
use carbon_token_program_decoder::{TokenProgramDecoder, instructions::TokenProgramInstruction};
use solana_commitment_config::CommitmentConfig;
use solana_pubkey::Pubkey;
use std::{collections::HashMap, env, sync::Arc, time::Duration};
use tokio::sync::Semaphore;

const MEMO_PROGRAMS: [&str; 2] = [
    "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr",
    "Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo",
];

struct Confirmer {
    api: String,
    account: Pubkey,
    sessions: HashMap<String, u64>,
    http: reqwest::Client,
    hands: Option<Arc<Semaphore>>,
}

impl Processor<InstructionProcessorInputType<'_, TokenProgramInstruction>> for Confirmer {
    async fn process(
        &mut self,
        input: &InstructionProcessorInputType<'_, TokenProgramInstruction>,
    ) -> CarbonResult<()> {
        let transaction = &input.metadata.transaction_metadata;
        let (destination, amount) = match input.decoded_instruction {
            TokenProgramInstruction::Transfer { data, accounts, .. } => {
                (accounts.destination, data.amount)
            }
            TokenProgramInstruction::TransferChecked { data, accounts, .. } => {
                (accounts.destination, data.amount)
            }
            _ => return Ok(()),
        };
        if destination != self.account || transaction.meta.status.is_err() {
            return Ok(());
        }
        let Some(memo) = memo(transaction) else {
            return Ok(());
        };
        if self.sessions.get(&memo) != Some(&amount) {
            return Ok(());
        }
        self.sessions.remove(&memo);
        let url = format!(
            "{}/crypto/confirm?payment_id={memo}&transaction_hash={}",
            self.api, transaction.signature
        );
        let put = self.http.put(url);
        let Some(hands) = self.hands.clone() else {
            if let Err(error) = put.send().await {
                eprintln!("{error}");
            }
            return Ok(());
        };
        let place = hands.acquire_owned().await;
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = put.send().await {
                eprintln!("{error}");
            }
        });
        Ok(())
    }
}

fn memo(transaction: &TransactionMetadata) -> Option<String> {
    let keys = transaction.message.static_account_keys();
    let mut memos = transaction.message.instructions().iter().filter_map(|one| {
        let program = keys.get(usize::from(one.program_id_index))?.to_string();
        MEMO_PROGRAMS.contains(&program.as_str()).then(|| String::from_utf8(one.data.clone()).ok())?
    });
    memos.next()
}

async fn sessions(http: &reqwest::Client, api: &str) -> HashMap<String, u64> {
    let mut all = HashMap::new();
    for offset in (0..).step_by(1000) {
        let url = format!("{api}/history?limit=1000&offset={offset}");
        let body = http.get(url).send().await.expect("sessions").bytes().await.expect("sessions");
        let page: Vec<serde_json::Value> = serde_json::from_slice(&body).expect("a list");
        for one in &page {
            all.insert(
                one["memo"].as_str().unwrap_or_default().to_owned(),
                one["amount"].as_u64().unwrap_or_default(),
            );
        }
        if page.len() < 1000 {
            break;
        }
    }
    all
}

#[tokio::main]
async fn main() -> CarbonResult<()> {
    let word = |name: &str| env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let (api, is_tuned) = (word("API"), word("FORM") == "tuned");
    let account: Pubkey = word("ACCOUNT").parse().expect("an address");
    let http = reqwest::Client::new();
    let connection = if is_tuned {
        let poll = Duration::from_millis(50);
        ConnectionConfig::new(1000, poll, 32, RetryConfig::default(), None, None, true)
    } else {
        ConnectionConfig::default()
    };
    let confirmer = Confirmer {
        sessions: sessions(&http, &api).await,
        api,
        account,
        http,
        hands: is_tuned.then(|| Arc::new(Semaphore::new(32))),
    };
    Pipeline::builder()
        .datasource(RpcTransactionCrawler::new(
            word("RPC"),
            account,
            connection,
            Filters::new(None, None, None),
            Some(CommitmentConfig::confirmed()),
        ))
        .instruction(TokenProgramDecoder, confirmer)
        .shutdown_strategy(ShutdownStrategy::Immediate)
        .build()?
        .run()
        .await
}
