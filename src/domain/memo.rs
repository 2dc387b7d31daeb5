//! The text that names a checkout.

use std::fmt;

/// A memo without the white space and NULs around it; never empty. Attacker-controlled text of any
/// length a transaction allows: bind it, escape it, cap it on show.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Memo(String);

impl Memo {
    /// Most characters of a memo that are ever shown to a person.
    const SHOWN_CHARS: usize = 80;

    /// Trims white space and NULs; nothing left means no memo.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let trimmed = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        (!trimmed.is_empty()).then(|| Self(trimmed.to_owned()))
    }

    /// The memo of an instruction's data. Bytes that are not UTF-8 name no checkout.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        std::str::from_utf8(bytes).ok().and_then(Self::parse)
    }

    /// The exact text, as sent to the API.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form under which memos are looked up: hexadecimal text in lower case, other text as it is.
    #[must_use]
    pub fn folded(&self) -> String {
        if self.0.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            self.0.to_ascii_lowercase()
        } else {
            self.0.clone()
        }
    }
}

/// The memo as a person may see it: control characters visible, length capped.
impl fmt::Display for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.char_indices().nth(Self::SHOWN_CHARS);
        let shown = end.and_then(|(end, _)| self.0.get(..end));
        f.write_str(&visible(shown.unwrap_or(&self.0)))?;
        f.write_str(if shown.is_some() { "…" } else { "" })
    }
}

/// Whether a character does something to a terminal, or to the order of the text around it, instead of being seen.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    let changes_direction =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || changes_direction
}

/// Text from outside with every such character written out.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_invisible(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_and_nuls_around_a_memo_are_not_part_of_it() {
        assert_eq!(
            Memo::parse(" \0abc\n\0").map(|m| m.as_str().to_owned()),
            Some("abc".to_owned())
        );
        assert_eq!(Memo::parse(" \0\n"), None);
        assert_eq!(Memo::from_bytes(&[0xff, 0xfe]), None);
    }

    #[test]
    fn only_hexadecimal_text_is_compared_without_case() {
        assert_eq!(Memo::parse("9DF5aB").unwrap().folded(), "9df5ab");
        assert_eq!(Memo::parse("Order-9DF5").unwrap().folded(), "Order-9DF5");
    }

    #[test]
    fn a_hostile_memo_is_shown_harmlessly() {
        let memo = Memo::parse("a\x1b[31m\u{202e}b").unwrap();
        assert_eq!(memo.to_string(), "a\\u{1b}[31m\\u{202e}b");
        assert_eq!(
            Memo::parse(&"x".repeat(4000))
                .unwrap()
                .to_string()
                .chars()
                .count(),
            81
        );
    }
}
