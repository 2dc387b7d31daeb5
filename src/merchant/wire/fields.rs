//! Fields of an object, in each form that they come in.

use crate::clock;
use crate::domain::BaseUnits;
use serde_json::{Number, Value};
use std::str::FromStr;

/// A field that is present and has no known form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unknown;

/// The first of these fields that is present and not null.
pub(super) fn field<'a>(entry: &'a Value, names: &[&str]) -> Option<&'a Value> {
    names
        .iter()
        .find_map(|name| entry.get(name).filter(|value| !value.is_null()))
}

/// The first of these fields, if it is text or a number.
pub(super) fn text(entry: &Value, names: &[&str]) -> Option<String> {
    match field(entry, names)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A field that may be absent, null or empty.
pub(super) fn optional<T>(
    entry: &Value,
    name: &str,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Option<T>, Unknown> {
    match field(entry, &[name]) {
        None => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(value) => read(value).map(Some).ok_or(Unknown),
    }
}

/// The address in these fields: text, or an object with the address in it. An address wins over a symbol beside it; two
/// different addresses, or a symbol alone, are no known form.
pub(super) fn address<T: FromStr + PartialEq>(
    entry: &Value,
    names: &[&str],
) -> Result<Option<T>, Unknown> {
    const INSIDE: [&str; 3] = ["mint", "address", "wallet"];
    let (mut found, mut is_present) = (None, false);
    for name in names {
        let values = match entry.get(name) {
            Some(Value::Object(object)) => {
                is_present = true;
                INSIDE.iter().filter_map(|name| object.get(*name)).collect()
            }
            Some(value) => vec![value],
            None => Vec::new(),
        };
        for text in values.iter().filter_map(|value| value.as_str()) {
            is_present |= !text.trim().is_empty();
            match (text.trim().parse().ok(), &found) {
                (Some(address), Some(other)) if address != *other => return Err(Unknown),
                (Some(address), _) => found = Some(address),
                (None, _) => {}
            }
        }
        is_present |= values
            .iter()
            .any(|value| !value.is_null() && !value.is_string());
    }
    match found {
        None if is_present => Err(Unknown),
        found => Ok(found),
    }
}

/// Base units: an integer, an integral decimal (`19000000.0`), or either as text.
///
/// The JSON parser keeps a decimal number as a double, so one above 2^53 may have lost digits and is refused. Text is exact.
pub(super) fn amount(value: &Value) -> Option<BaseUnits> {
    match value {
        Value::Number(number) => integral(number).map(BaseUnits),
        Value::String(text) => whole(text.trim())?.parse().ok(),
        _ => None,
    }
}

/// The value of a number that is a whole one, however it is written.
pub(super) fn integral(number: &Number) -> Option<u64> {
    /// Up to this every whole number is a double of its own.
    const EXACT_MAX: u64 = 1 << 53;
    let value = whole(&number.to_string())?.parse().ok()?;
    (!number.is_f64() || value <= EXACT_MAX).then_some(value)
}

/// Decimal text without its fraction, if that is zero.
fn whole(text: &str) -> Option<&str> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_zero = !fraction.is_empty() && fraction.bytes().all(|byte| byte == b'0');
    is_zero.then_some(whole)
}

/// An instant in Unix seconds: RFC 3339 with any offset, or seconds or milliseconds since the epoch as a number or as text.
pub(super) fn unix_seconds(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => epoch(&number.to_string()),
        Value::String(text) => epoch(text.trim()).or_else(|| rfc_3339(text.trim())),
        _ => None,
    }
}

fn epoch(text: &str) -> Option<i64> {
    const MILLISECONDS_FROM: i64 = 100_000_000_000;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_plain = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_plain(whole) || !is_plain(fraction) {
        return None;
    }
    let at: i64 = whole.parse().ok()?;
    Some(if at >= MILLISECONDS_FROM {
        at / 1000
    } else {
        at
    })
}

fn rfc_3339(text: &str) -> Option<i64> {
    let text = text.to_ascii_uppercase();
    // The date has hyphens too: an offset comes after the time.
    let time = text.find(['T', ' '])?;
    let sign = text.get(time..)?.find(['+', '-']).map(|at| time + at);
    let (local, offset) = match sign {
        Some(at) => (text.get(..at)?, offset_seconds(text.get(at..)?)?),
        None => (text.as_str(), 0),
    };
    let at = clock::read(local.trim_end())?.unix_seconds();
    at.checked_sub(offset)
}

/// `+02:00`, `-0530` or `+02`, seconds.
fn offset_seconds(text: &str) -> Option<i64> {
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let digits: String = text.get(1..)?.chars().filter(|c| *c != ':').collect();
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_plain || !matches!(digits.len(), 2 | 4) {
        return None;
    }
    let hours: i64 = digits.get(..2)?.parse().ok()?;
    let minutes: i64 = digits
        .get(2..)
        .filter(|text| !text.is_empty())
        .unwrap_or("0")
        .parse()
        .ok()?;
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Mint;
    use serde_json::json;

    #[test]
    fn an_amount_is_a_whole_number_however_it_is_written() {
        let read = |text: &str| amount(&serde_json::from_str(text).unwrap());
        for (text, expected) in [
            ("19000000", Some(19_000_000)),
            ("19000000.0", Some(19_000_000)),
            ("\"19000000\"", Some(19_000_000)),
            ("\"19000000.00\"", Some(19_000_000)),
            ("1.9e7", Some(19_000_000)),
            ("0", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("\"18446744073709551615\"", Some(u64::MAX)),
            ("9007199254740992.0", Some(1 << 53)),
            ("9007199254740994.0", None),
            ("1e16", None),
            ("18446744073709551616", None),
            ("\"18446744073709551616\"", None),
            ("19000000.5", None),
            ("\"19.\"", None),
            ("\".0\"", None),
            ("\"1e7\"", None),
            ("\"19,000,000\"", None),
            ("-5", None),
            ("\"-5\"", None),
            ("true", None),
            ("[]", None),
        ] {
            assert_eq!(read(text), expected.map(BaseUnits), "{text}");
        }
    }

    #[test]
    fn an_instant_is_read_in_every_form() {
        let at = Some(1_795_600_800);
        for value in [
            json!(1_795_600_800),
            json!(1_795_600_800.5),
            json!(1_795_600_800_123_i64),
            json!("1795600800"),
            json!("1795600800.25"),
            json!("1795600800123"),
            json!("2026-11-25T10:00:00Z"),
            json!("2026-11-25t10:00:00z"),
            json!("2026-11-25T10:00:00.5+00:00"),
            json!("2026-11-25T12:00:00+02:00"),
            json!("2026-11-25T04:30:00-0530"),
            json!("2026-11-25 12:00:00+02"),
            json!("2026-11-25 12:00:00 +0200"),
            json!("2026-11-25 10:00:00"),
        ] {
            assert_eq!(unix_seconds(&value), at, "{value}");
        }
        for value in [
            json!("yesterday"),
            json!("2026-11-25T10:00:00+2"),
            json!("2026-11-25T10:00:00+25:00"),
            json!("-5"),
            json!(-5),
            json!(1e300),
            json!([]),
        ] {
            assert_eq!(unix_seconds(&value), None, "{value}");
        }
    }

    #[test]
    fn an_address_wins_over_a_symbol_and_contradicts_no_other() {
        let (one, other) = (
            "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v",
            "3fvwqrjuHmqhi8J7y6QksSPXAm8wKgUbh2ydtXQkCA9r",
        );
        let names = ["token", "mint"];
        let read =
            |entry| address::<Mint>(&entry, &names).map(|mint| mint.map(|mint| mint.to_string()));
        let told = Ok(Some(one.to_owned()));
        assert_eq!(read(json!({ "token": one })), told);
        assert_eq!(read(json!({ "token": "USDC", "mint": one })), told);
        assert_eq!(read(json!({ "mint": "USDC", "token": one })), told);
        assert_eq!(read(json!({ "token": one, "mint": one })), told);
        assert_eq!(
            read(json!({ "token": { "symbol": "USDC", "mint": one } })),
            told
        );
        assert_eq!(
            read(json!({ "token": { "address": one }, "mint": null })),
            told
        );
        for absent in [
            json!({}),
            json!({ "token": null }),
            json!({ "token": "", "mint": null }),
        ] {
            assert_eq!(read(absent), Ok(None));
        }
        for unknown in [
            json!({ "token": "USDC" }),
            json!({ "token": one, "mint": other }),
            json!({ "token": 7 }),
            json!({ "token": {} }),
            json!({ "token": [one] }),
        ] {
            assert_eq!(read(unknown.clone()), Err(Unknown), "{unknown}");
        }
    }
}
