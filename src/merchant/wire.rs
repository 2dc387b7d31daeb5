//! The payments API's JSON. Tolerant, because it is not published in full (see API.md's table of silences).

use super::NewCardPayment;
use crate::clock;
use crate::domain::{BaseUnits, Checkout, CheckoutStatus, Decimals, Memo, Mint, Wallet, visible};
use serde_json::{Map, Value, json};
use url::Url;

/// A token the API takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SupportedToken {
    /// Its name, for people.
    pub symbol: String,
    /// Its mint.
    pub mint: Mint,
    /// The wallet to be paid.
    pub recipient: Wallet,
    /// Decimal places of its mint, if told.
    pub decimals: Option<Decimals>,
    /// Whether new checkouts may ask for it.
    pub enabled: bool,
}

/// What can be bought.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Its id.
    pub id: u64,
    /// All that the API says of it, the id among it: nothing more is published.
    pub entry: Map<String, Value>,
}

/// Why something is no checkout that can be paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotACheckout {
    /// A field is missing.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A field makes no sense, or several do not.
    #[error(
        "allowed is an object as POST /crypto/checkout answers it: `memo` (text), `amount` (whole number of base units, above zero), `recipient` and `token` (base58 addresses)"
    )]
    Nonsense,
}

/// The entries of a list that comes bare or as the one list of an object.
pub(super) fn list(body: &Value) -> Option<&Vec<Value>> {
    const NAMES: [&str; 5] = ["items", "data", "payments", "results", "history"];
    body.as_array()
        .or_else(|| NAMES.iter().find_map(|name| body.get(name)?.as_array()))
}

/// A line of `GET /supported_tokens`.
pub(super) fn token(entry: &Value) -> Option<SupportedToken> {
    Some(SupportedToken {
        symbol: text(entry, &["symbol"]).unwrap_or_else(|| "?".into()),
        mint: text(entry, &["mint", "token"])?.parse().ok()?,
        recipient: text(entry, &["recipient"])?.parse().ok()?,
        decimals: entry
            .get("decimals")
            .and_then(Value::as_u64)
            .and_then(|places| Decimals::new(u8::try_from(places).ok()?)),
        enabled: entry
            .get("enabled")
            .and_then(Value::as_bool)
            .unwrap_or(true),
    })
}

/// A line of `GET /credit_plans`.
pub(super) fn plan(entry: &Value) -> Option<Plan> {
    let id = text(entry, &["id"])?.parse().ok()?;
    let entry = entry.as_object()?.clone();
    Some(Plan { id, entry })
}

/// A checkout that was just made, as `POST /crypto/checkout` answers it: pending, and told in full.
///
/// # Errors
/// When something is missing or makes no sense.
pub fn handed_over(entry: &Value) -> Result<Checkout, NotACheckout> {
    for names in [
        &["memo", "payment_id", "id"][..],
        &["amount"],
        &["recipient"],
        &["token", "mint"],
    ] {
        let name = names.first().copied().unwrap_or_default();
        field(entry, names).ok_or(NotACheckout::Missing(name))?;
    }
    let mut entry = entry.clone();
    if let Some(entry) = entry.as_object_mut() {
        entry.insert("status".into(), 0.into());
    }
    let is_told = |checkout: &Checkout| {
        checkout.amount.is_some_and(|amount| amount.0 > 0)
            && checkout.mint.is_some()
            && checkout.recipient.is_some()
    };
    checkout(&entry)
        .filter(is_told)
        .ok_or(NotACheckout::Nonsense)
}

/// The body of `POST /credit_card`.
pub(super) fn new_card_payment(new: &NewCardPayment) -> Vec<u8> {
    let body = json!({
        "credit_plan_id": new.plan,
        "success_url": new.success_url.as_str(),
        "cancel_url": new.cancel_url.as_str(),
    });
    body.to_string().into_bytes()
}

/// The answer to it.
pub(super) fn payment_link(answer: &Value) -> Option<Url> {
    let link = Url::parse(answer.get("payment_link")?.as_str()?).ok()?;
    matches!(link.scheme(), "http" | "https").then_some(link)
}

/// The beginning of a refusal's text, to be shown after its status.
pub(super) fn said(body: &[u8]) -> String {
    const SHOWN_MAX: usize = 200;
    let text = String::from_utf8_lossy(body);
    let shown: String = text.trim().chars().take(SHOWN_MAX).collect();
    if shown.is_empty() {
        shown
    } else {
        format!(": {}", visible(&shown))
    }
}

/// A line of `GET /history`. A field that is there but makes no sense makes the entry unreadable: it must not pass as
/// "not told", which would leave it unchecked.
pub(super) fn checkout(entry: &Value) -> Option<Checkout> {
    Some(Checkout {
        memo: Memo::parse(&text(entry, &["memo", "payment_id", "id"])?)?,
        amount: optional(entry, &["amount"], amount).ok()?,
        mint: optional(entry, &["token", "mint"], |value| {
            value.as_str()?.parse().ok()
        })
        .ok()?,
        recipient: optional(entry, &["recipient"], |value| value.as_str()?.parse().ok()).ok()?,
        status: status(entry)?,
        created_at: field(entry, &["created_at"]).and_then(unix_seconds),
    })
}

fn status(entry: &Value) -> Option<CheckoutStatus> {
    let confirmed = || {
        let hash = field(entry, &["transaction_hash"]).and_then(Value::as_str);
        CheckoutStatus::Confirmed(hash.and_then(|hash| hash.parse().ok()))
    };
    match entry.get("status")? {
        Value::Number(number) => match number.as_u64()? {
            0 => Some(CheckoutStatus::Pending),
            1 => Some(confirmed()),
            _ => None,
        },
        Value::String(word) => match word.to_ascii_lowercase().as_str() {
            "0" | "pending" => Some(CheckoutStatus::Pending),
            "1" | "confirmed" => Some(confirmed()),
            _ => None,
        },
        _ => None,
    }
}

fn amount(value: &Value) -> Option<BaseUnits> {
    match value {
        Value::Number(number) => number.as_u64().map(BaseUnits),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// RFC 3339 text, or a number of seconds or milliseconds.
fn unix_seconds(value: &Value) -> Option<i64> {
    const MILLISECONDS_FROM: i64 = 100_000_000_000;
    match value {
        Value::Number(number) => number.as_i64().map(|at| {
            if at >= MILLISECONDS_FROM {
                at / 1000
            } else {
                at
            }
        }),
        Value::String(text) => {
            let at = clock::read(text.trim_end_matches("+00:00"))?;
            Some(at.unix_seconds())
        }
        _ => None,
    }
}

/// The first of these fields that is there and not null.
fn field<'a>(entry: &'a Value, names: &[&str]) -> Option<&'a Value> {
    names
        .iter()
        .find_map(|name| entry.get(name).filter(|value| !value.is_null()))
}

fn text(entry: &Value, names: &[&str]) -> Option<String> {
    match field(entry, names)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A field that is there and makes no sense.
struct Nonsense;

/// A field that may be absent, null or empty.
fn optional<T>(
    entry: &Value,
    names: &[&str],
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Option<T>, Nonsense> {
    match field(entry, names) {
        None => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(value) => read(value).map(Some).ok_or(Nonsense),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_history_entry_may_come_in_many_dresses() {
        let mint = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";
        for entry in [
            json!({ "memo": "ab", "amount": 5, "token": mint, "status": 0 }),
            json!({ "payment_id": "ab", "amount": "5", "mint": mint, "status": "pending", "extra": [] }),
            json!({ "id": "ab", "amount": 5, "token": mint, "status": "0", "recipient": null }),
        ] {
            let checkout = checkout(&entry).unwrap();
            assert_eq!(checkout.memo.as_str(), "ab");
            assert_eq!(checkout.amount, Some(BaseUnits(5)));
            assert_eq!(checkout.mint, mint.parse().ok());
            assert_eq!(checkout.status, CheckoutStatus::Pending);
        }
    }

    #[test]
    fn what_makes_no_sense_is_not_taken_for_not_told() {
        assert_eq!(
            checkout(&json!({ "memo": "ab", "status": 0 }))
                .unwrap()
                .amount,
            None
        );
        for entry in [
            json!({ "memo": "ab", "amount": 5.5, "status": 0 }),
            json!({ "memo": "ab", "amount": -5, "status": 0 }),
            json!({ "memo": "ab", "token": "USDC", "status": 0 }),
            json!({ "memo": "ab", "status": 2 }),
            json!({ "memo": "ab" }),
            json!({ "memo": " ", "status": 0 }),
            json!(null),
        ] {
            assert_eq!(checkout(&entry), None, "{entry}");
        }
    }

    #[test]
    fn lists_come_bare_or_wrapped() {
        assert_eq!(list(&json!([1])).unwrap().len(), 1);
        assert_eq!(
            list(&json!({ "total": 1, "payments": [1] })).unwrap().len(),
            1
        );
        assert_eq!(list(&json!({ "error": "no" })), None);
    }

    #[test]
    fn instants_are_read_in_three_forms() {
        assert_eq!(unix_seconds(&json!(1_700_000_000)), Some(1_700_000_000));
        assert_eq!(
            unix_seconds(&json!(1_700_000_000_123_i64)),
            Some(1_700_000_000)
        );
        assert_eq!(
            unix_seconds(&json!("2023-11-14T22:13:20Z")),
            Some(1_700_000_000)
        );
        assert_eq!(
            unix_seconds(&json!("2023-11-14T22:13:20.5+00:00")),
            Some(1_700_000_000)
        );
        assert_eq!(unix_seconds(&json!("yesterday")), None);
    }
}
