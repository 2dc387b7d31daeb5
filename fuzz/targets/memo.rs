//! Any bytes as a memo: what is shown is harmless, and what is looked up does not depend on how it is written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use paywatch::domain::{Memo, is_invisible};

fuzz_target!(|data: &[u8]| {
    let Some(memo) = Memo::from_bytes(data) else {
        return;
    };
    assert!(!memo.to_string().chars().any(is_invisible));
    assert!(memo.to_string().chars().count() <= 10 * 80 + 1);
    assert_eq!(
        Memo::parse(memo.as_str()).as_ref(),
        Some(&memo),
        "trimmed once is trimmed"
    );
    let folded = Memo::parse(&memo.folded()).unwrap();
    assert_eq!(folded.folded(), memo.folded());
    let padded = format!(" \0{}\n\t\0", memo.as_str());
    assert_eq!(Memo::parse(&padded).as_ref(), Some(&memo));
});
