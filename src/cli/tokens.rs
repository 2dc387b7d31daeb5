//! `paywatch tokens`: what can be paid with.

use super::{Failure, buyer, print};
use crate::config::Config;
use crate::domain::visible;
use crate::report::token_json;

pub(super) fn run(config: &Config, args: &buyer::Listing) -> Result<u8, Failure> {
    buyer::ask(config, async |buyer| {
        let tokens = buyer.tokens().await?;
        if args.json {
            return print::json(&tokens.iter().map(token_json).collect::<Vec<_>>());
        }
        if tokens.is_empty() {
            return print::line("no tokens");
        }
        let mut table = print::table(["SYMBOL", "TAKEN", "DECIMALS", "MINT", "RECIPIENT WALLET"]);
        for token in &tokens {
            let decimals = token.decimals.map(|decimals| decimals.places().to_string());
            table.add_row([
                visible(&token.symbol),
                if token.enabled { "yes" } else { "no" }.to_owned(),
                decimals.unwrap_or_else(|| "?".into()),
                token.mint.to_string(),
                token.recipient.to_string(),
            ]);
        }
        print::line(&table.to_string())
    })
}
