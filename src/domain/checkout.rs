//! A payment session of the API, as far as paywatch needs to know it.

use super::{BaseUnits, Memo, Mint, Signature, Wallet};
use std::fmt;

/// A payment session: who must be paid how much of what, and under which memo.
///
/// What the API does not tell is `None` and cannot be checked here; the backend checks it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkout {
    /// Names the checkout, on chain and in the API (`payment_id`).
    pub memo: Memo,
    /// Amount due, base units.
    pub amount: Option<BaseUnits>,
    /// Token due.
    pub mint: Option<Mint>,
    /// Wallet (not token account) to be paid.
    pub recipient: Option<Wallet>,
    /// Whether the API has credited it.
    pub status: CheckoutStatus,
    /// When it was made, Unix seconds.
    pub created_at: Option<i64>,
}

/// Where a checkout stands, by the API's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckoutStatus {
    /// Made, not yet credited.
    Pending,
    /// Credited, by this transaction if the API says which.
    Confirmed(Option<Signature>),
    /// Neither: expired, cancelled or refunded, for instance. No payment confirms it automatically.
    Other(StatusWord),
}

/// The API's own word, or number, for a status that is neither pending nor confirmed. Printable ASCII of at most
/// [`StatusWord::MAX`] bytes: other characters become `?`, and the rest is cut off.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StatusWord {
    bytes: [u8; Self::MAX],
    length: u8,
}

impl StatusWord {
    /// Longest word that is kept, bytes.
    pub const MAX: usize = 24;

    /// Keeps the beginning of a word. An empty one becomes `?`.
    #[must_use]
    pub fn new(word: &str) -> Self {
        let printable = |c: char| u8::try_from(c).ok().filter(u8::is_ascii_graphic);
        let word = if word.is_empty() { "?" } else { word };
        let (mut bytes, mut length) = ([0; Self::MAX], 0_u8);
        for (place, c) in bytes.iter_mut().zip(word.chars()) {
            *place = printable(c).unwrap_or(b'?');
            length = length.saturating_add(1);
        }
        Self { bytes, length }
    }

    /// The word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let kept = self.bytes.get(..usize::from(self.length));
        std::str::from_utf8(kept.unwrap_or_default()).unwrap_or("?")
    }
}

impl fmt::Display for StatusWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for StatusWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_word_is_short_and_printable() {
        for (word, kept) in [
            ("2", "2"),
            ("expired", "expired"),
            ("", "?"),
            ("zurück gezahlt", "zur?ck?gezahlt"),
            ("\u{1b}[31mx", "?[31mx"),
            (
                "a_word_of_more_than_24_characters",
                "a_word_of_more_than_24_c",
            ),
        ] {
            assert_eq!(StatusWord::new(word).as_str(), kept);
        }
    }
}
