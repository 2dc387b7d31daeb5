//! An assistant's way from the plans to a confirmed payment: a real MCP client over standard input and output.

use crate::support::{World, eventually};
use rmcp::{
    RoleClient, ServiceExt,
    model::{CallToolRequestParams, CallToolResult},
    service::RunningService,
    transport::TokioChildProcess,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

struct Assistant(RunningService<RoleClient, ()>);

impl Assistant {
    async fn beside(environment: &[(String, String)]) -> Self {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_paywatch"));
        command
            .arg("mcp")
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)));
        let transport = TokioChildProcess::new(command).unwrap();
        Self(().serve(transport).await.unwrap())
    }

    async fn call(&self, tool: &'static str, arguments: Value) -> CallToolResult {
        let mut request = CallToolRequestParams::new(tool);
        request.arguments = arguments.as_object().cloned();
        self.0.call_tool(request).await.unwrap()
    }

    /// What a tool answers, which must go well.
    async fn ask(&self, tool: &'static str, arguments: Value) -> Value {
        let result = self.call(tool, arguments).await;
        assert_ne!(result.is_error, Some(true), "{result:?}");
        result.structured_content.unwrap()
    }

    async fn refused(&self, tool: &'static str, arguments: Value) -> String {
        let mut request = CallToolRequestParams::new(tool);
        request.arguments = arguments.as_object().cloned();
        match self.0.call_tool(request).await {
            Ok(result) => {
                assert_eq!(result.is_error, Some(true), "{result:?}");
                format!("{:?}", result.content)
            }
            // What does not fit the schema is refused by the protocol itself.
            Err(error) => error.to_string(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_plans_to_confirmed() {
    let world = World::new().await;
    let _daemon = world.watch(&[]).await;
    let assistant = Assistant::beside(&world.environment()).await;
    let plans = assistant.ask("list_plans", json!({})).await;
    let tokens = assistant.ask("list_tokens", json!({})).await;
    let new = json!({ "plan_id": plans["plans"][0]["id"], "token": tokens["tokens"][0]["symbol"] });
    let made = assistant.ask("create_crypto_checkout", new).await;
    let memo = made["memo"].as_str().unwrap();
    assert!(
        made["solana_pay_url"]
            .as_str()
            .unwrap()
            .starts_with("solana:")
    );
    let of_it = json!({ "memo": memo });
    let status = assistant.ask("payment_status", of_it.clone()).await;
    assert_eq!(status["stage"], "waiting");
    assert_eq!(status["checkout"]["amount_human"], "19");
    let amount = made["amount"].as_str().unwrap().parse().unwrap();
    let signature = world.pay(amount, memo).await;
    let mut status = Value::Null;
    eventually("it is confirmed", async || {
        status = assistant.ask("payment_status", of_it.clone()).await;
        status["stage"] == "confirmed"
    })
    .await;
    assert_eq!(status["signature"], signature.to_string());
    let explained = json!({ "signature": signature.to_string() });
    let explained = assistant.ask("explain_transaction", explained).await;
    assert!(
        explained.to_string().contains("19 USDC arrived"),
        "{explained}"
    );
    let confirmed = json!({ "status": "confirmed" });
    let history = assistant.ask("history", confirmed).await;
    assert_eq!(history["checkouts"][0]["memo"], memo);
    let card = json!({ "plan_id": 11, "success_url": "https://shop.test/yes", "cancel_url": "https://shop.test/no" });
    let card = assistant.ask("create_card_checkout", card).await;
    assert!(card["payment_link"].as_str().unwrap().starts_with("http"));
    assistant.0.cancel().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_say_what_they_do_and_wrong_calls_say_what_is_allowed() {
    let world = World::new().await;
    // No daemon ever ran here.
    let assistant = Assistant::beside(&world.environment()).await;
    let tools = assistant.0.list_all_tools().await.unwrap();
    let acts: BTreeMap<_, _> = tools
        .iter()
        .map(|tool| {
            let about = tool.annotations.clone().unwrap();
            assert!(
                tool.description
                    .as_ref()
                    .is_some_and(|text| text.len() > 80)
            );
            (tool.name.to_string(), about.read_only_hint == Some(false))
        })
        .collect();
    let expected = [
        ("create_card_checkout", true),
        ("create_crypto_checkout", true),
        ("explain_transaction", false),
        ("history", false),
        ("list_plans", false),
        ("list_tokens", false),
        ("payment_status", false),
    ];
    assert_eq!(
        acts,
        expected.map(|(name, acts)| (name.to_owned(), acts)).into()
    );
    for (tool, arguments, expected) in [
        (
            "create_crypto_checkout",
            json!({ "plan_id": 11, "token": "DOGE" }),
            "allowed is USDC (",
        ),
        (
            "create_crypto_checkout",
            json!({ "plan_id": 11, "token": "USDC", "quantity": 0 }),
            "1 or more",
        ),
        (
            "create_crypto_checkout",
            json!({ "plan_id": 12, "token": "USDC" }),
            "no such plan",
        ),
        (
            "create_crypto_checkout",
            json!({ "plan": 11, "token": "USDC" }),
            "plan",
        ),
        (
            "create_card_checkout",
            json!({ "plan_id": 11, "success_url": "javascript:1", "cancel_url": "https://a.test" }),
            "http://… or https://…",
        ),
        (
            "payment_status",
            json!({ "memo": "nobody" }),
            "no checkout with the memo nobody",
        ),
        ("payment_status", json!({ "memo": " " }), "allowed is text"),
        ("history", json!({ "limit": 1000 }), "1 to 200"),
        ("history", json!({ "status": "lost" }), "pending"),
        (
            "explain_transaction",
            json!({ "signature": "x" }),
            "86 to 88 characters",
        ),
    ] {
        let text = assistant.refused(tool, arguments.clone()).await;
        assert!(text.contains(expected), "{tool} {arguments}: {text}");
    }
    assistant.0.cancel().await.unwrap();
}
