//! What a wallet is asked to send: Solana Pay's transfer request.

use super::{BaseUnits, Decimals, Memo, Mint, Wallet};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All that is needed to pay for a checkout, in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferRequest {
    /// Names the checkout; must be the transaction's memo.
    pub memo: Memo,
    /// What is due, base units.
    pub amount: BaseUnits,
    /// The token due.
    pub mint: Mint,
    /// Decimal places of the token.
    pub decimals: Decimals,
    /// The token's name, for people.
    pub symbol: String,
    /// The wallet (not token account) to be paid.
    pub recipient: Wallet,
}

/// What RFC 3986 leaves as it is.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

impl TransferRequest {
    /// The amount as exact decimal text in human units, `19`.
    #[must_use]
    pub fn human(&self) -> String {
        self.amount.human(self.decimals)
    }

    /// The address that wallets scan or open. Its form is that of the Solana Pay specification, “transfer request”: the amount
    /// in human units, the memo percent-encoded.
    #[must_use]
    pub fn url(&self) -> String {
        format!(
            "solana:{}?amount={}&spl-token={}&memo={}",
            self.recipient,
            self.human(),
            self.mint,
            utf8_percent_encode(self.memo.as_str(), RESERVED),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wallet_is_asked_for_exactly_what_is_due() {
        let request = |amount, memo| TransferRequest {
            memo: Memo::parse(memo).unwrap(),
            amount: BaseUnits(amount),
            mint: "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
                .parse()
                .unwrap(),
            decimals: Decimals::new(6).unwrap(),
            symbol: "USDC".into(),
            recipient: "HYrGnz31G1NkucuR466acwk3rfEJe7KaXEs3KwjBxpf5"
                .parse()
                .unwrap(),
        };
        for (amount, memo, end) in [
            (
                19_000_000,
                "9df573b6",
                "amount=19&spl-token=EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v&memo=9df573b6",
            ),
            (
                1,
                "a b&c",
                "amount=0.000001&spl-token=EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v&memo=a%20b%26c",
            ),
            (
                19_500_000,
                "ü#",
                "amount=19.5&spl-token=EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v&memo=%C3%BC%23",
            ),
        ] {
            let start = "solana:HYrGnz31G1NkucuR466acwk3rfEJe7KaXEs3KwjBxpf5?";
            assert_eq!(request(amount, memo).url(), format!("{start}{end}"));
        }
    }
}
