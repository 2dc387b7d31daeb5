//! The log lines of a transaction: they decide the order in which transactions are read, and nothing about money.

use crate::domain::{Memo, Pubkey};

/// Returns whether the logs tell of a failure, for nodes whose notification does not. The sweep reads the outcome from history.
pub(super) fn has_failed(logs: &[String]) -> bool {
    let failed = |line: &String| {
        let mut words = line.strip_prefix("Program ").unwrap_or("").split(' ');
        // A program can print a line, but not one that begins with its own address.
        let is_address = words
            .next()
            .is_some_and(|word| word.parse::<Pubkey>().is_ok());
        is_address && words.next() == Some("failed:")
    };
    logs.iter().any(failed)
}

/// Reads memos as their programs log them: `Memo (len 4): "text"`, or `Memo (len 4)` and the text in the next line. All or nothing:
/// an escaped text, another form or a log that was cut off says that not everything is seen.
pub(super) fn logged_memos(logs: &[String]) -> Vec<Memo> {
    const MEMOS_MAX: usize = 8;
    let mut memos = Vec::new();
    let mut lines = logs.iter();
    while let Some(line) = lines.next() {
        if line.starts_with("Log truncated") {
            return Vec::new();
        }
        let Some(said) = line.strip_prefix("Program log: Memo (len ") else {
            continue;
        };
        let memo = match said.strip_suffix(')') {
            Some(length) => lines
                .next()
                .and_then(|next| whole(length, next.strip_prefix("Program log: ")?)),
            None => quoted(said),
        };
        let Some(memo) = memo else {
            return Vec::new();
        };
        memos.push(memo);
    }
    if memos.len() > MEMOS_MAX {
        memos.clear();
    }
    memos
}

fn quoted(said: &str) -> Option<Memo> {
    let (length, text) = said.split_once("): \"")?;
    let text = text.strip_suffix('"')?;
    whole(length, text).filter(|_| !text.contains(['\\', '"']))
}

fn whole(length: &str, text: &str) -> Option<Memo> {
    let is_whole = length.parse() == Ok(text.len());
    is_whole.then(|| Memo::parse(text)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memos_in_logs_are_read_whole_or_not_at_all() {
        let read = |logs: &[&str]| {
            let logs: Vec<_> = logs.iter().map(ToString::to_string).collect();
            let memos = logged_memos(&logs);
            memos
                .iter()
                .map(|memo| memo.as_str().to_owned())
                .collect::<Vec<_>>()
        };
        let plain = "Program log: Memo (len 2): \"ab\"";
        assert_eq!(read(&["Program x invoke [1]", plain]), ["ab"]);
        assert_eq!(
            read(&[plain, "Program log: Memo (len 1): \"c\""]),
            ["ab", "c"]
        );
        let other = ["Program log: Memo (len 2)", "Program log: ab"];
        assert_eq!(read(&other), ["ab"]);
        assert!(read(&["Program log: Memo (len 2)", "Program log: abc"]).is_empty());
        assert!(read(&["Program log: Memo (len 2)"]).is_empty());
        for odd in [
            "Program log: Memo (len 3): \"ab\"",
            "Program log: Memo (len 2): \"a\\n\"",
            "Program log: Memo (len 2): \"ab",
            "Program log: Memo (len x): \"ab\"",
            "Program log: Memo (len 4): \"a\"b\"",
            "Program log: Memo (len 1): \" \"",
            "Log truncated",
        ] {
            assert!(read(&[plain, odd]).is_empty(), "{odd}");
        }
        assert!(read(&["Program log: ab", "Memo (len 2): \"ab\""]).is_empty());
    }

    #[test]
    fn a_failure_is_read_from_what_no_program_can_print() {
        let failed = |line: &str| has_failed(&["Program log: x".to_owned(), line.to_owned()]);
        assert!(failed(
            "Program TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA failed: custom program error: 0x1"
        ));
        for line in [
            "Program log: failed: x",
            "Program data: failed: x",
            "Program TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA success",
            "Program  failed: x",
        ] {
            assert!(!failed(line), "{line}");
        }
    }
}
