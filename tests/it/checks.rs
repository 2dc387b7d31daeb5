//! `paywatch check` where a set-up looks right and is not.

use crate::setup::{findings, outcome};
use crate::support::scripted::Scripted;
use crate::support::server::Said;
use serde_json::Value;
use std::{fs, os::unix::fs::PermissionsExt};

/// The file that `--config` names may hold keys, too: of the API, or in the addresses of nodes.
#[test]
fn check_warns_of_a_configuration_with_secrets_that_everybody_can_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("paywatch.toml");
    let database = folder.path().join("x.db");
    let name = file.to_str().unwrap();
    for (key, node, is_secret) in [
        ("", "https://node.example", false),
        ("a-key", "https://node.example", true),
        ("", "https://node.example/?api-key=a-key", true),
        ("", "https://node.example/v2/a-key", true),
        ("", "https://a-key@node.example", true),
    ] {
        let text = format!(
            "[merchant]\nbase_url = \"https://api.example/v1\"\napi_key = \"{key}\"\n[solana]\nrpc_urls = [\"{node}\"]\n\
             [ops]\nlisten = \"\"\n[store]\nurl = \"sqlite:{}\"\n",
            database.display()
        );
        fs::write(&file, text).unwrap();
        for (mode, word) in [(0o644, "warning"), (0o600, "ok")] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let (code, found) = findings(&[], &["--offline", "--config", name]);
            assert_eq!(code, Some(0), "{found:?}");
            let of_it = |one: &&Value| one["check"] == "the configuration file";
            let of_it = found.iter().find(of_it);
            let expected = is_secret.then_some(word);
            let outcome = of_it.map(|one| one["outcome"].as_str().unwrap());
            assert_eq!(outcome, expected, "{node} {mode:o}");
        }
    }
}

/// The API says how many entries it has, and gives none of those beyond the first 200.
#[tokio::test(flavor = "multi_thread")]
async fn check_finds_a_history_that_is_cut_beyond_the_pages_it_reads() {
    let scripted = Scripted::with(1).await;
    let shop = scripted.chain.ledger().shop;
    for (given, expected) in [(5_000, "ok"), (200, "failed")] {
        scripted.api_says(move |asked| {
            let url = &asked.url;
            let number = |name| {
                let mut pairs = url.query_pairs();
                let found = pairs.find(|(key, _)| key == name)?;
                found.1.parse::<usize>().ok()
            };
            let (offset, limit) = (number("offset")?, number("limit")?.min(50));
            let end = (offset + limit).min(given).max(offset);
            let entries: Vec<_> = (offset..end)
                .map(|index| {
                    serde_json::json!({ "memo": format!("{index:032x}"), "amount": 19, "status": 0,
                        "token": shop.mint.to_string(), "recipient": shop.wallet.to_string(), "created_at": 1_790_000_000 })
                })
                .collect();
            Some(Said::Json(
                serde_json::json!({ "data": entries, "total": 5_000 }),
            ))
        });
        let environment = scripted.environment(&[("SOLANA__WS_URLS", "")]);
        let (_, found) = tokio::task::block_in_place(|| findings(&environment, &[]));
        assert_eq!(
            outcome(&found, "the API's history"),
            expected,
            "{given}: {found:?}"
        );
    }
}

/// The API tells nine decimal places of a token that has six: a wallet would be asked for a thousandth.
#[tokio::test(flavor = "multi_thread")]
async fn check_finds_decimal_places_that_are_not_the_mint_s() {
    let scripted = Scripted::with(1).await;
    let shop = scripted.chain.ledger().shop;
    for (decimals, expected) in [(6, "ok"), (9, "failed")] {
        scripted.api_says(move |asked| {
            let token = serde_json::json!({ "symbol": "USDC", "mint": shop.mint.to_string(),
                "recipient": shop.wallet.to_string(), "decimals": decimals, "enabled": true });
            let is_asked = asked.url.path() == "/supported_tokens";
            is_asked.then(|| Said::Json(serde_json::json!([token])))
        });
        let environment = scripted.environment(&[("SOLANA__WS_URLS", "")]);
        let (_, found) = tokio::task::block_in_place(|| findings(&environment, &[]));
        let told = outcome(&found, "token accounts for USDC");
        assert_eq!(told, expected, "{decimals}: {found:?}");
    }
}
