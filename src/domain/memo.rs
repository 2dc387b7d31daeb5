//! The text that names a checkout.

use std::{fmt, iter};
use unicode_general_category::{GeneralCategory, get_general_category};
use unicode_normalization::UnicodeNormalization;

/// A memo without the white space and invisible characters around it; never empty. Attacker-controlled text of any
/// length a transaction allows: bind it, escape it, cap it on show.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Memo(String);

impl Memo {
    /// Most characters of a memo that are shown whole in the midst of other text.
    const SHOWN_CHARS: usize = 80;
    /// Characters that are shown of the beginning of a longer memo, and of its end.
    const ENDS_CHARS: (usize, usize) = (40, 16);

    /// Trims white space and invisible characters at both ends, as a copied memo may carry them; nothing left means no memo.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let trimmed = text.trim_matches(|c: char| c.is_whitespace() || is_invisible(c));
        (!trimmed.is_empty()).then(|| Self(trimmed.to_owned()))
    }

    /// The memo of a checkout, which is sent back to the API as it is. `None` if it begins or ends with an invisible character:
    /// without it, it might be the memo of another checkout.
    #[must_use]
    pub fn of_checkout(text: &str) -> Option<Self> {
        let text = text.trim();
        Self::parse(text).filter(|memo| memo.as_str() == text)
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

    /// The whole memo as a person may see it: no two memos that differ in what cannot be seen look alike. Letters of different
    /// scripts that look alike are shown as they are.
    #[must_use]
    pub fn in_full(&self) -> String {
        shown(&self.0)
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

/// The memo as a person may see it, see [`Memo::in_full`]. Of a long one: beginning, end and length.
impl fmt::Display for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.0.chars().count();
        if length <= Self::SHOWN_CHARS {
            return f.write_str(&self.in_full());
        }
        let (head, tail) = Self::ENDS_CHARS;
        let start_of = |index| self.0.char_indices().nth(index).map(|(start, _)| start);
        let until = |index| start_of(index).and_then(|end| self.0.get(..end));
        let from = |index| start_of(index).and_then(|start| self.0.get(start..));
        let head = shown(until(head).unwrap_or_default());
        let tail = shown(from(length.saturating_sub(tail)).unwrap_or_default());
        write!(f, "{head}…{tail} ({length} characters)")
    }
}

/// A memo that spells an escape, or looks like a long one, must not look like one that is.
fn shown(memo: &str) -> String {
    let spelled = memo.replace("\\u{", "\\u{5c}u{");
    escaped(&spelled, |c| is_unclear(c) || c == '…')
}

/// Tells whether a character may make text look like other text: one that is invisible, one that combines with the character before it, as
/// there is a single character for `u` and U+0308, or one that Unicode takes for another spelling of others, as U+212B is of U+00C5.
#[must_use]
pub fn is_unclear(c: char) -> bool {
    is_invisible(c)
        || matches!(
            get_general_category(c),
            GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark
        )
        || is_part_of_a_syllable(c)
        || iter::once(c).nfkc().ne(iter::once(c))
}

/// Tells whether it is one of the letters of which Korean syllables, single characters elsewhere, are put together.
fn is_part_of_a_syllable(c: char) -> bool {
    matches!(c, '\u{1100}'..='\u{11ff}' | '\u{a960}'..='\u{a97f}' | '\u{d7b0}'..='\u{d7ff}')
}

/// Whether a character leaves no mark of its own: it acts on a terminal or on the order of the text around it, is blank and not the
/// plain space, or has no glyph that tells it from others.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    let category = get_general_category(c);
    let has_no_glyph = matches!(
        category,
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
            | GeneralCategory::SpaceSeparator
            | GeneralCategory::PrivateUse
            | GeneralCategory::Surrogate
            | GeneralCategory::Unassigned
    );
    has_no_glyph || is_ignorable(c)
}

/// Characters that Unicode 16 calls default ignorable (`DerivedCoreProperties.txt`) and that are letters or marks by their category,
/// and two that are always blank: the empty Braille pattern and the filler of the Khitan script.
fn is_ignorable(c: char) -> bool {
    matches!(c,
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}' | '\u{2800}' | '\u{16fe4}')
}

/// Text from outside with every such character written out.
#[must_use]
pub fn visible(text: &str) -> String {
    escaped(text, is_invisible)
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_escaped(c) {
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
    }

    #[test]
    fn of_a_long_memo_both_ends_and_the_length_are_shown() {
        let shown = |text: &str| Memo::parse(text).unwrap().to_string();
        let (head, tail) = ("h".repeat(40), "t".repeat(16));
        let whole = "x".repeat(80);
        assert_eq!(shown(&whole), whole);
        let long = format!("{head}{}{tail}", "x".repeat(3_944));
        assert_eq!(shown(&long), format!("{head}…{tail} (4000 characters)"));
        for other in [
            format!("{head}{}{tail}", "x".repeat(3_945)),
            format!("{long}t"),
            format!("{long}-"),
            format!("{head}…{tail} (4000 characters)"),
        ] {
            assert_ne!(shown(&other), shown(&long), "{other}");
        }
        let umlauts = "ü".repeat(81);
        assert_eq!(shown(&umlauts).chars().filter(|c| *c == 'ü').count(), 56);
        let memo = Memo::parse(&long).unwrap();
        assert_eq!(memo.in_full(), long);
    }

    /// They are letters of the memo all the same: nothing is trimmed.
    #[test]
    fn marks_that_combine_are_shown_as_escapes() {
        let combined = Memo::parse("Gru\u{308}n u\u{308}").unwrap();
        assert_eq!(combined.as_str(), "Gru\u{308}n u\u{308}");
        assert_eq!(combined.to_string(), "Gru\\u{308}n u\\u{308}");
        assert_eq!(Memo::parse("Grün ü").unwrap().to_string(), "Grün ü");
        for mark in ['\u{300}', '\u{36f}', '\u{20dd}', '\u{483}', '\u{1dc0}'] {
            let memo = Memo::parse(&format!("a{mark}")).unwrap();
            assert_eq!(memo.to_string(), format!("a{}", mark.escape_unicode()));
            assert_eq!(Memo::of_checkout(memo.as_str()).as_ref(), Some(&memo));
        }
    }

    #[test]
    fn other_spellings_of_the_same_characters_are_shown_as_escapes() {
        for (one, other) in [
            ("\u{1112}\u{1161}\u{11ab}", "\u{d55c}"),
            ("\u{212b}", "\u{c5}"),
            ("\u{212a}", "K"),
            ("\u{37e}", ";"),
            ("\u{fb01}", "fi"),
            ("\u{ff11}", "1"),
        ] {
            let [one, other] = [one, other].map(|text| Memo::parse(text).unwrap());
            assert_eq!(other.to_string(), other.as_str());
            let escapes: String = one
                .as_str()
                .chars()
                .flat_map(char::escape_unicode)
                .collect();
            assert_eq!(one.to_string(), escapes);
        }
    }

    /// Format characters, default ignorable ones, blanks, tags, fillers, and what no font has a glyph for.
    const UNSEEN: [char; 34] = [
        '\0',
        '\u{1b}',
        '\u{7f}',
        '\u{85}',
        '\u{a0}',
        '\u{ad}',
        '\u{34f}',
        '\u{61c}',
        '\u{115f}',
        '\u{1160}',
        '\u{17b4}',
        '\u{180b}',
        '\u{180e}',
        '\u{2003}',
        '\u{200b}',
        '\u{200c}',
        '\u{200d}',
        '\u{200e}',
        '\u{202e}',
        '\u{2028}',
        '\u{2029}',
        '\u{202f}',
        '\u{205f}',
        '\u{2060}',
        '\u{2064}',
        '\u{2069}',
        '\u{2800}',
        '\u{3000}',
        '\u{3164}',
        '\u{fe0f}',
        '\u{feff}',
        '\u{ffa0}',
        '\u{e0041}',
        '\u{e0101}',
    ];

    #[test]
    fn invisible_characters_around_a_memo_are_not_part_of_it() {
        let plain = Memo::parse("9df5").unwrap();
        for c in UNSEEN {
            for text in [
                format!("{c}9df5"),
                format!("9df5{c}"),
                format!("{c} {c}9df5{c}\n{c}"),
            ] {
                assert_eq!(
                    Memo::parse(&text).as_ref(),
                    Some(&plain),
                    "{}",
                    c.escape_unicode()
                );
            }
            assert_eq!(Memo::parse(&c.to_string()), None, "{}", c.escape_unicode());
        }
    }

    #[test]
    fn inside_a_memo_they_are_shown_as_escapes() {
        for c in UNSEEN {
            let memo = Memo::parse(&format!("9d{c}f5")).unwrap();
            assert_ne!(memo.as_str(), "9df5");
            assert_eq!(memo.to_string(), format!("9d{}f5", c.escape_unicode()));
        }
    }

    #[test]
    fn a_memo_that_spells_an_escape_does_not_look_like_the_character() {
        let spelled = Memo::parse("9d\\u{200b}f5").unwrap();
        let real = Memo::parse("9d\u{200b}f5").unwrap();
        assert_eq!(real.to_string(), "9d\\u{200b}f5");
        assert_eq!(spelled.to_string(), "9d\\u{5c}u{200b}f5");
    }

    #[test]
    fn what_can_be_seen_is_shown_as_it_is() {
        let text = "Grüße, 注文 заказ ☕ a+b=c \\ “x”";
        assert_eq!(Memo::parse(text).unwrap().to_string(), text);
    }

    /// The API is told exactly the memo that it gave.
    #[test]
    fn a_checkout_whose_memo_would_be_changed_is_none() {
        assert_eq!(Memo::of_checkout("9df5"), Memo::parse("9df5"));
        assert_eq!(Memo::of_checkout(" 9df5\n"), Memo::parse("9df5"));
        assert_eq!(
            Memo::of_checkout("9d\u{200b}f5").unwrap().as_str(),
            "9d\u{200b}f5"
        );
        for text in [
            "\u{feff}9df5",
            "9df5\u{200b}",
            "9df5 \u{ad}",
            "\u{200b}",
            "\0",
            "",
        ] {
            assert_eq!(Memo::of_checkout(text), None, "{text:?}");
        }
    }
}
