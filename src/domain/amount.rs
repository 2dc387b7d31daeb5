//! Money: integers in base units, and their exact decimal text. There is no float anywhere near.

use std::{fmt, str::FromStr};

/// Number of decimal places between a token's human unit and its base unit (6 for USDC), 0 to 19.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimals(u8);

impl Decimals {
    /// Most decimal places an amount can have without losing 1 human unit in a `u64`.
    const MAX: u8 = 19;

    /// Accepts 0 to 19; a mint with more is not money this program can print.
    #[must_use]
    pub fn new(places: u8) -> Option<Self> {
        (places <= Self::MAX).then_some(Self(places))
    }

    /// The number of decimal places.
    #[must_use]
    pub fn places(self) -> u8 {
        self.0
    }
}

/// An integer amount of some mint, in base units (1 USDC = 1,000,000).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BaseUnits(pub u64);

impl BaseUnits {
    /// The amount as exact decimal text in human units, `19` or `19.000001`.
    #[must_use]
    pub fn human(self, decimals: Decimals) -> String {
        let places = usize::from(decimals.0);
        let digits = format!("{:0>width$}", self.0, width = places.saturating_add(1));
        let (whole, fraction) = digits.split_at(digits.len().saturating_sub(places));
        match fraction.trim_end_matches('0') {
            "" => whole.to_owned(),
            fraction => format!("{whole}.{fraction}"),
        }
    }

    /// Reads exact decimal text in human units.
    ///
    /// # Errors
    /// When the text is not a plain decimal number, has more places than the mint, or is too large.
    pub fn parse_human(text: &str, decimals: Decimals) -> Result<Self, AmountError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let places = usize::from(decimals.0);
        if fraction.len() > places {
            return Err(AmountError::TooManyPlaces(decimals.0));
        }
        format!("{whole}{fraction:0<places$}").parse()
    }
}

impl fmt::Display for BaseUnits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for BaseUnits {
    type Err = AmountError;

    /// Reads base units: digits only, no sign, no separator.
    fn from_str(text: &str) -> Result<Self, AmountError> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(AmountError::NotDigits);
        }
        text.parse().map(Self).map_err(|_| AmountError::TooLarge)
    }
}

/// An exact amount in human units, whatever the token: for comparing payments of several tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HumanAmount(u128);

impl HumanAmount {
    /// An amount of a token with so many decimal places.
    #[must_use]
    pub fn of(amount: BaseUnits, decimals: Decimals) -> Self {
        let missing = u32::from(Decimals::MAX.saturating_sub(decimals.0));
        Self(u128::from(amount.0).saturating_mul(10_u128.saturating_pow(missing)))
    }
}

impl FromStr for HumanAmount {
    type Err = AmountError;

    /// Reads exact decimal text.
    fn from_str(text: &str) -> Result<Self, AmountError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let places = usize::from(Decimals::MAX);
        if fraction.len() > places {
            return Err(AmountError::TooManyPlaces(Decimals::MAX));
        }
        let digits = format!("{whole}{fraction:0<places$}");
        if whole.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(AmountError::NotDigits);
        }
        digits.parse().map(Self).map_err(|_| AmountError::TooLarge)
    }
}

/// Why a text is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Something other than digits.
    #[error("not a plain number")]
    NotDigits,
    /// Does not fit 64 bits.
    #[error("larger than 18446744073709551615 base units")]
    TooLarge,
    /// Finer than one base unit.
    #[error("more than {0} decimal places")]
    TooManyPlaces(u8),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimals(places: u8) -> Decimals {
        Decimals::new(places).unwrap()
    }

    #[test]
    fn human_units_are_exact_text() {
        for (base, places, text) in [
            (19_000_000, 6, "19"),
            (19_000_001, 6, "19.000001"),
            (1, 6, "0.000001"),
            (0, 6, "0"),
            (7, 0, "7"),
            (u64::MAX, 6, "18446744073709.551615"),
            (u64::MAX, 19, "1.8446744073709551615"),
        ] {
            assert_eq!(BaseUnits(base).human(decimals(places)), text);
            assert_eq!(
                BaseUnits::parse_human(text, decimals(places)),
                Ok(BaseUnits(base))
            );
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        let six = decimals(6);
        assert_eq!(
            BaseUnits::parse_human("0.0000001", six),
            Err(AmountError::TooManyPlaces(6))
        );
        assert_eq!(
            BaseUnits::parse_human("-1", six),
            Err(AmountError::NotDigits)
        );
        assert_eq!(
            BaseUnits::parse_human("1e3", six),
            Err(AmountError::NotDigits)
        );
        assert_eq!(
            BaseUnits::parse_human("18446744073709.551616", six),
            Err(AmountError::TooLarge)
        );
        assert_eq!("".parse::<BaseUnits>(), Err(AmountError::NotDigits));
        assert!(Decimals::new(20).is_none());
    }

    #[test]
    fn amounts_of_several_tokens_compare_in_human_units() {
        let of =
            |amount, places| HumanAmount::of(BaseUnits(amount), Decimals::new(places).unwrap());
        let read = |text: &str| text.parse::<HumanAmount>();
        assert_eq!(Ok(of(19_000_000, 6)), read("19"));
        assert_eq!(Ok(of(19_000_001, 6)), read("19.000001"));
        assert!(of(19_000_001, 6) > of(19, 0));
        assert!(of(1, 19) < read("0.000001").unwrap());
        assert!(of(u64::MAX, 0) > of(u64::MAX, 1));
        assert_eq!(read("1e3"), Err(AmountError::NotDigits));
        assert_eq!(read(".5"), Err(AmountError::NotDigits));
        assert_eq!(
            read("0.00000000000000000001"),
            Err(AmountError::TooManyPlaces(19))
        );
        assert_eq!(read(&"9".repeat(40)), Err(AmountError::TooLarge));
    }
}
