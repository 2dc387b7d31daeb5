//! Any bytes as a node's answer to every question there is.
#![no_main]

use fuzz::{network, run};
use libfuzzer_sys::fuzz_target;
use paywatch::domain::{Commitment, Mint, Pubkey, Signature, TokenAccount, Wallet};
use paywatch::solana::{Fetched, Limits, Rpc};
use std::time::Duration;
use url::Url;

fuzz_target!(|data: &[u8]| {
    run(async {
        let limits = Limits {
            request_timeout: Duration::from_secs(1),
            max_rps: 0,
            max_in_flight: 1,
        };
        let rpc = Rpc::over(
            &network(data),
            &[Url::parse("http://node/").unwrap()],
            limits,
        );
        let (key, signature) = (Pubkey::new_from_array([1; 32]), Signature::from([1; 64]));
        let page = rpc.signatures(TokenAccount(key), None, None).await;
        if let Err(error) = &page {
            assert!(!error.to_string().chars().any(char::is_control));
        }
        let _statuses = rpc.statuses(&[signature]).await;
        let _slot = rpc.slot(Commitment::Confirmed).await;
        let _mint = rpc.mint(Mint(key)).await;
        let _accounts = rpc.token_accounts(Wallet(key), Mint(key)).await;
        let _anywhere = rpc
            .transaction_anywhere(signature, Commitment::Confirmed)
            .await;
        if let Ok(Fetched::Transaction(transaction)) =
            rpc.transaction(signature, Commitment::Confirmed).await
        {
            assert_eq!(transaction.signature, signature);
        }
    });
    if let Ok(text) = std::str::from_utf8(data) {
        let _saved = Fetched::from_saved(text);
    }
});
