//! An account, as `getAccountInfo` tells it with `encoding: base64`.

use crate::domain::TokenProgram;
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;
use std::fmt;

/// What stands at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountKind {
    /// An account that holds tokens.
    TokenAccount,
    /// A token.
    Mint,
    /// Anything else, also nothing: it may be a wallet.
    Other,
}

impl fmt::Display for AccountKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TokenAccount => "a token account",
            Self::Mint => "a token's mint",
            Self::Other => "no account of a token program",
        })
    }
}

/// Bytes of a mint, and of a token account, without extensions.
const MINT: usize = 82;
const TOKEN_ACCOUNT: usize = 165;
/// Bytes of a multisig of a token program. It may own tokens, so it counts as a wallet.
const MULTISIG: usize = 355;

/// Reads what an account is.
pub(in crate::solana) fn account_kind(account: &Value) -> AccountKind {
    let Some((_, data)) = of_token_program(account) else {
        return AccountKind::Other;
    };
    // Behind the size of a token account, Token-2022 says of which kind an account with extensions is.
    match (data.len(), data.get(TOKEN_ACCOUNT).copied()) {
        (MULTISIG, _) => AccountKind::Other,
        (MINT, _) | (_, Some(1)) => AccountKind::Mint,
        (TOKEN_ACCOUNT, _) | (_, Some(2)) => AccountKind::TokenAccount,
        _ => AccountKind::Other,
    }
}

/// Reads the program and the decimal places of a mint; `None` if the account is no mint.
pub(in crate::solana) fn mint(account: &Value) -> Option<(TokenProgram, u8)> {
    let (program, data) = of_token_program(account)?;
    let is_mint = data.get(45) == Some(&1);
    let decimals = data.get(44).copied();
    decimals.filter(|_| is_mint).map(|places| (program, places))
}

fn of_token_program(account: &Value) -> Option<(TokenProgram, Vec<u8>)> {
    let program = TokenProgram::from_id(&account.get("owner")?.as_str()?.parse().ok()?)?;
    let data = account.get("data")?.get(0)?.as_str()?;
    Some((program, BASE64_STANDARD.decode(data).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn account(owner: &str, data: &[u8]) -> Value {
        json!({ "owner": owner, "data": [BASE64_STANDARD.encode(data), "base64"] })
    }

    #[test]
    fn accounts_of_token_programs_are_told_from_wallets() {
        let programs = [TokenProgram::Token, TokenProgram::Token2022];
        let [token, token_2022] = programs.map(|program| program.id().to_string());
        let extended = |length: usize, kind: u8| {
            let mut data = vec![0; length];
            data[TOKEN_ACCOUNT] = kind;
            data
        };
        let kind = |owner: &str, data: &[u8]| account_kind(&account(owner, data));
        for owner in [&token, &token_2022] {
            assert_eq!(kind(owner, &[0; 165]), AccountKind::TokenAccount);
            assert_eq!(kind(owner, &[0; 82]), AccountKind::Mint);
            assert_eq!(kind(owner, &[2; 355]), AccountKind::Other, "a multisig");
            assert_eq!(kind(owner, &[0; 12]), AccountKind::Other);
        }
        let with_fee = extended(182, 2);
        assert_eq!(kind(&token_2022, &with_fee), AccountKind::TokenAccount);
        assert_eq!(kind(&token_2022, &extended(278, 1)), AccountKind::Mint);
        let system = "11111111111111111111111111111111";
        assert_eq!(kind(system, &[]), AccountKind::Other);
        assert_eq!(kind(system, &[0; 165]), AccountKind::Other);
        assert_eq!(account_kind(&Value::Null), AccountKind::Other);
    }
}
