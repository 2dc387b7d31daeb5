//! Any bytes as the payments API's answer: a page never has more entries than were sent, and an unreadable one stops no other.
#![no_main]

use fuzz::{network, run};
use libfuzzer_sys::fuzz_target;
use paywatch::config::Config;
use paywatch::domain::{Memo, Signature};
use paywatch::merchant::{Answer, Backend, Merchant};
use std::sync::LazyLock;

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let settings = [
        ("MERCHANT__BASE_URL", "http://api/"),
        ("SOLANA__RPC_URLS", "http://node/"),
    ];
    let environment = settings.map(|(key, value)| (format!("PAYWATCH__{key}"), value.to_owned()));
    Config::load(None, environment).unwrap()
});

fuzz_target!(|data: &[u8]| {
    run(async {
        let merchant = Merchant::over(network(data), &CONFIG.merchant.settings).unwrap();
        if let Ok(page) = merchant.history(0).await {
            assert!(page.entries() <= data.len());
            for checkout in page.checkouts {
                assert!(!checkout.memo.as_str().is_empty());
            }
        }
        let _tokens = merchant.supported_tokens().await;
        let memo = Memo::parse("a").unwrap();
        let result = merchant.confirm(&memo, Signature::from([1; 64])).await;
        // Status 200: taken if it is JSON or nothing, else later; never a no.
        let is_json = serde_json::from_slice::<serde_json::Value>(data).is_ok();
        match result.answer {
            Answer::Accepted => {}
            Answer::Later(None) => assert!(!is_json),
            other => panic!("{other:?}"),
        }
    });
});
