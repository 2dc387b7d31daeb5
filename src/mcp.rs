//! The payments flow for assistants: tools of the Model Context Protocol, over standard input and output.
//!
//! Tools that begin something are marked as acting. None can pay, confirm or decide: that stays with wallets, the daemon and people.

use crate::buyer::{Buyer, Which, Wish};
use crate::domain::{Memo, Signature};
use crate::merchant::NewCardPayment;
use crate::pipeline::Pipeline;
use crate::report::{
    checkout_json, explanation_json, plan_json, stage_json, token_json, transfer_request_json,
};
use anyhow::Context;
use rmcp::{
    ServerHandler, ServiceExt,
    handler::server::{router::tool::ToolRouter, wrapper::Parameters},
    model::{CallToolResult, ContentBlock},
    tool, tool_handler, tool_router,
    transport::stdio,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use url::Url;

/// Most checkouts of one answer.
const HISTORY_MAX: usize = 200;

/// The tools, and whom they ask.
#[derive(Clone)]
struct Tools {
    buyer: Arc<Buyer>,
    pipeline: Arc<Pipeline>,
    tool_router: ToolRouter<Self>,
}

/// Serves an assistant on standard input and output until it leaves or `shutdown`.
///
/// # Errors
/// When what comes in is no MCP.
pub async fn serve(
    buyer: Buyer,
    pipeline: Arc<Pipeline>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let tools = Tools {
        buyer: Arc::new(buyer),
        pipeline,
        tool_router: Tools::tool_router(),
    };
    let service = tools.serve_with_ct(stdio(), shutdown).await;
    let service = service.context("begin to talk MCP on standard input and output")?;
    service.waiting().await.context("serve MCP")?;
    Ok(())
}

/// What to buy with a token.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CryptoCheckout {
    /// Id of the plan, from list_plans.
    plan_id: u64,
    /// Token to pay in: its symbol (USDC) or the address of its mint, from list_tokens.
    token: String,
    /// How many of the plan, 1 or more; 1 if left out.
    #[schemars(range(min = 1))]
    quantity: Option<u32>,
    /// Id of the organization to credit; whom the API credits by itself if left out.
    organization_id: Option<u64>,
}

/// What to buy by card.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CardCheckout {
    /// Id of the plan, from list_plans.
    plan_id: u64,
    /// Where the buyer is sent after paying, http:// or https://.
    success_url: String,
    /// Where the buyer is sent after giving up, http:// or https://.
    cancel_url: String,
}

/// Which checkout.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OneCheckout {
    /// The checkout's memo, from create_crypto_checkout or history.
    memo: String,
}

/// Which checkouts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Checkouts {
    /// Only those that stand so; all if left out.
    status: Option<Status>,
    /// At most so many, in the API's order, 1 to 200; 20 if left out.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<usize>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Status {
    Pending,
    Confirmed,
}

/// Which transaction.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OneTransaction {
    /// The transaction's signature (its hash): 64 bytes in base58.
    signature: String,
}

#[tool_router]
impl Tools {
    /// List what can be bought: plans with their id, and whatever else the payments API says of them. Prices are in whole units of
    /// a token, as decimal text, where it tells them.
    #[tool(annotations(title = "List plans", read_only_hint = true, open_world_hint = true))]
    async fn list_plans(&self) -> CallToolResult {
        told(async {
            let plans = self.buyer.plans().await?;
            Ok(json!({ "plans": plans.iter().map(plan_json).collect::<Vec<_>>() }))
        })
        .await
    }

    /// List what can be paid with: tokens on Solana with symbol, mint, the wallet that is paid (recipient) and decimal places. Only
    /// enabled ones can be asked for.
    #[tool(annotations(title = "List tokens", read_only_hint = true, open_world_hint = true))]
    async fn list_tokens(&self) -> CallToolResult {
        told(async {
            let tokens = self.buyer.tokens().await?;
            Ok(json!({ "tokens": tokens.iter().map(token_json).collect::<Vec<_>>() }))
        })
        .await
    }

    /// Begin a payment with a token. Returns what must be sent: memo, amount in base units (text) and in human units, recipient
    /// wallet, mint, and solana_pay_url, which a wallet can open. No money moves by this; each call makes a new checkout. The buyer
    /// must send exactly the amount, with the memo as the transaction's memo, in one transaction; it is then confirmed by itself.
    #[tool(annotations(
        title = "Create a checkout in a token",
        read_only_hint = false,
        destructive_hint = false,
        idempotent_hint = false,
        open_world_hint = true
    ))]
    async fn create_crypto_checkout(
        &self,
        Parameters(new): Parameters<CryptoCheckout>,
    ) -> CallToolResult {
        told(async {
            let quantity = new.quantity.unwrap_or(1);
            anyhow::ensure!(quantity > 0, "quantity: found 0, allowed is 1 or more");
            let wish = Wish {
                plan: new.plan_id,
                token: new.token,
                quantity,
                organization: new.organization_id,
            };
            Ok(transfer_request_json(&self.buyer.checkout(&wish).await?))
        })
        .await
    }

    /// Begin a payment by card. Returns payment_link, the page where the buyer types the card; no money moves by this, and each call
    /// makes a new one. Give the link to the buyer; never ask for card numbers.
    #[tool(annotations(
        title = "Create a checkout by card",
        read_only_hint = false,
        destructive_hint = false,
        idempotent_hint = false,
        open_world_hint = true
    ))]
    async fn create_card_checkout(
        &self,
        Parameters(new): Parameters<CardCheckout>,
    ) -> CallToolResult {
        told(async {
            let new = NewCardPayment {
                plan: new.plan_id,
                success_url: web_address("success_url", &new.success_url)?,
                cancel_url: web_address("cancel_url", &new.cancel_url)?,
            };
            let link = self.buyer.card(&new).await?;
            Ok(json!({ "payment_link": link.as_str() }))
        })
        .await
    }

    /// How far a checkout is. `stage` is waiting (no payment seen), seen (a payment is being confirmed), confirmed (credited),
    /// closed (not to be paid any more) or "needs help" (a payment came and is held: `reason` says why, `message` says it kindly); `signature` is the transaction, once
    /// one is known. Amounts are text in base units, and in human units beside them.
    #[tool(annotations(
        title = "Payment status",
        read_only_hint = true,
        open_world_hint = true
    ))]
    async fn payment_status(&self, Parameters(which): Parameters<OneCheckout>) -> CallToolResult {
        told(async {
            let memo = Memo::parse(&which.memo).context("memo: found nothing, allowed is text")?;
            let found = self.buyer.stage(&memo).await?;
            let (checkout, stage) = found.with_context(|| {
                format!(
                    "the account has no checkout with the memo {memo}; history lists those it has"
                )
            })?;
            let tokens = self.buyer.tokens().await?;
            let mut answer = stage_json(&stage);
            answer["checkout"] = checkout_json(&checkout, &tokens);
            Ok(answer)
        })
        .await
    }

    /// List checkouts of the account, as the payments API has them: memo, status (pending or confirmed), amount in base units (text)
    /// and in human units, token, recipient, and the signature of the transaction that confirmed it.
    #[tool(annotations(title = "History", read_only_hint = true, open_world_hint = true))]
    async fn history(&self, Parameters(which): Parameters<Checkouts>) -> CallToolResult {
        told(async {
            let limit = which.limit.unwrap_or(20);
            let is_allowed = (1..=HISTORY_MAX).contains(&limit);
            anyhow::ensure!(
                is_allowed,
                "limit: found {limit}, allowed is 1 to {HISTORY_MAX}"
            );
            let status = match which.status {
                None => Which::All,
                Some(Status::Pending) => Which::Pending,
                Some(Status::Confirmed) => Which::Confirmed,
            };
            let checkouts = self.buyer.history(status, limit).await?;
            let tokens = self.buyer.tokens().await?;
            let all = checkouts.iter().map(|one| checkout_json(one, &tokens));
            Ok(json!({ "checkouts": all.collect::<Vec<_>>() }))
        })
        .await
    }

    /// Explain a transaction on Solana: what it moved to the watched wallets, which memos it carries, which checkout they name, how
    /// each credit is judged (matched, or held with the reason), why, and what a person can do about it.
    #[tool(annotations(
        title = "Explain a transaction",
        read_only_hint = true,
        open_world_hint = true
    ))]
    async fn explain_transaction(
        &self,
        Parameters(which): Parameters<OneTransaction>,
    ) -> CallToolResult {
        told(async {
            let signature: Option<Signature> = which.signature.trim().parse().ok();
            let signature = signature.context("signature: found no signature, allowed are 64 bytes in base58, which are 86 to 88 characters")?;
            Ok(explanation_json(&self.pipeline.explain(signature).await?))
        })
        .await
    }
}

#[tool_handler(
    router = self.tool_router,
    name = "paywatch",
    instructions = "Buying credits with stablecoins on Solana or by card. The way of a payment: list_plans, list_tokens, create_crypto_checkout, give solana_pay_url (or amount, recipient and memo) to the buyer, then payment_status with the memo until the stage is confirmed; nobody has to submit a transaction hash. Nothing here can pay or move money."
)]
impl ServerHandler for Tools {}

/// What was found out; or why not, with all causes, for the assistant to mend or to tell.
async fn told(what: impl Future<Output = anyhow::Result<Value>>) -> CallToolResult {
    match what.await {
        Ok(value) => CallToolResult::structured(value),
        Err(error) => CallToolResult::error(vec![ContentBlock::text(format!("{error:#}"))]),
    }
}

fn web_address(name: &str, text: &str) -> anyhow::Result<Url> {
    let url = Url::parse(text).ok();
    url.filter(|url| matches!(url.scheme(), "http" | "https"))
        .with_context(|| {
            format!("{name}: found {text:?}, allowed is an address http://… or https://…")
        })
}
