//! A page of a token account's history, as `getSignaturesForAddress` tells it.

use super::{commitment, outcome};
use crate::domain::{Commitment, Memo, Outcome, Signature, Slot};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::HashSet};

/// One line of a token account's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureEntry {
    /// The transaction.
    pub signature: Signature,
    /// The slot it landed in.
    pub slot: Slot,
    /// Estimated production time of its block, Unix seconds.
    pub block_time: Option<i64>,
    /// Whether it failed.
    pub outcome: Outcome,
    /// How sure the node is of it; `None` below `confirmed` or where it does not say.
    pub commitment: Option<Commitment>,
    /// Memos that the line shows. Not all of them, perhaps none, perhaps altered: good for deciding what to look at first.
    pub memo_hints: Vec<Memo>,
    /// Whether the line shows any memo, and all that it shows could be read.
    pub are_hints_whole: bool,
}

impl SignatureEntry {
    /// Whether a memo that the line shows is among these, which are folded.
    #[must_use]
    pub fn names_one_of(&self, folded: &HashSet<String>) -> bool {
        let mut memos = self.memo_hints.iter();
        memos.any(|memo| folded.contains(&memo.folded()))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawEntry<'a> {
    #[serde(borrow)]
    signature: Cow<'a, str>,
    slot: Slot,
    err: Option<IgnoredAny>,
    block_time: Option<i64>,
    #[serde(borrow)]
    confirmation_status: Option<Cow<'a, str>>,
    #[serde(borrow)]
    memo: Option<&'a RawValue>,
}

/// Reads a page of `getSignaturesForAddress`, newest first. One entry that cannot be read fails the page: its place in
/// the history would be lost.
pub(in crate::solana) fn signatures(page: &str) -> Option<Vec<SignatureEntry>> {
    let raw: Vec<RawEntry<'_>> = serde_json::from_str(page).ok()?;
    raw.into_iter()
        .map(|entry| {
            let memos: Option<String> = entry
                .memo
                .and_then(|memo| serde_json::from_str(memo.get()).ok());
            let (memo_hints, are_hints_whole) =
                memos.as_deref().map(memo_hints).unwrap_or_default();
            Some(SignatureEntry {
                signature: entry.signature.parse().ok()?,
                slot: entry.slot,
                block_time: entry.block_time,
                outcome: outcome(entry.err.is_some()),
                commitment: entry.confirmation_status.as_deref().and_then(commitment),
                memo_hints,
                are_hints_whole,
            })
        })
        .collect()
}

/// Reads `[length] text; [length] text`, as nodes show memos in a history; long ones are left out, they name no checkout.
/// Returns whether that was all.
fn memo_hints(mut shown: &str) -> (Vec<Memo>, bool) {
    const BYTES_MAX: usize = 128;
    let (mut hints, mut is_whole) = (Vec::new(), true);
    while let Some((length, rest)) = shown
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "))
    {
        let Some((text, rest)) = length
            .parse()
            .ok()
            .and_then(|bytes| rest.split_at_checked(bytes))
        else {
            return (hints, false);
        };
        let hint = Memo::parse(text).filter(|_| text.len() <= BYTES_MAX);
        is_whole &= hint.is_some();
        hints.extend(hint);
        if rest.is_empty() {
            return (hints, is_whole);
        }
        shown = rest.strip_prefix("; ").unwrap_or_default();
    }
    // Something follows that is no memo.
    (hints, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memos_in_a_history_are_read_by_their_length() {
        let hints = |shown: &str| {
            let (all, _) = memo_hints(shown);
            all.iter()
                .map(|memo| memo.as_str().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(hints("[2] ab"), ["ab"]);
        assert_eq!(hints("[6] a; [1]; [2] cd"), ["a; [1]", "cd"]);
        assert_eq!(hints("[2] äö"), ["ä"], "bytes, not characters");
        assert_eq!(hints("[0] ; [1] x"), ["x"]);
        for nonsense in [
            "",
            "ab",
            "[",
            "[x] ab",
            "[9] ab",
            "[1] ä",
            "[99999999999999999999999] a",
            "[-1] a",
        ] {
            assert_eq!(memo_hints(nonsense), (Vec::new(), false), "{nonsense}");
        }
        let long = format!("[200] {}", "x".repeat(200));
        assert_eq!(memo_hints(&long), (Vec::new(), false));
        for whole in ["[2] ab", "[2] ab; [1] c"] {
            assert!(memo_hints(whole).1, "{whole}");
        }
        for part in [
            "[2] ab; ",
            "[2] abc",
            "[2] ab; [9] c",
            "[2] ab;[1] c",
            "[2] ab; [3]    ",
        ] {
            assert!(!memo_hints(part).1, "{part}");
        }
    }
}
