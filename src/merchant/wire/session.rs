//! An entry of `GET /history`.

use super::fields::{Unknown, address, amount, field, integral, optional, unix_seconds};
use crate::domain::{Checkout, CheckoutStatus, Memo, StatusWord};
use serde_json::Value;

/// What an entry of the history is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::merchant) enum Entry {
    /// A crypto checkout.
    Checkout {
        /// The checkout.
        checkout: Checkout,
        /// A field that no decision depends on alone, and that has no known form.
        unknown_field: Option<&'static str>,
    },
    /// Another session: of a card, for instance. No payment on chain is for it.
    NoCrypto,
    /// The field of this name is missing or has no known form.
    Unreadable(&'static str),
}

/// Reads an entry. A field that is present without a known form makes the entry unreadable: as "not told" it would go unchecked.
pub(in crate::merchant) fn entry(entry: &Value) -> Entry {
    match memo(entry) {
        Id::None => Entry::NoCrypto,
        Id::Unknown => Entry::Unreadable("memo"),
        Id::Memo(memo) => match status(entry) {
            Ok(status) => read(entry, memo, status),
            Err(Unknown) => Entry::Unreadable("status"),
        },
    }
}

/// Reads an entry whose status is known already.
pub(super) fn entry_as(entry: &Value, status: CheckoutStatus) -> Entry {
    match memo(entry) {
        Id::None => Entry::NoCrypto,
        Id::Unknown => Entry::Unreadable("memo"),
        Id::Memo(memo) => read(entry, memo, status),
    }
}

fn read(entry: &Value, memo: Memo, status: CheckoutStatus) -> Entry {
    let Ok(amount) = optional(entry, "amount", amount) else {
        return Entry::Unreadable("amount");
    };
    let Ok(mint) = address(entry, &["token", "mint"]) else {
        return Entry::Unreadable("token");
    };
    let Ok(recipient) = address(entry, &["recipient"]) else {
        return Entry::Unreadable("recipient");
    };
    let created_at = optional(entry, "created_at", unix_seconds);
    Entry::Checkout {
        checkout: Checkout {
            memo,
            amount,
            mint,
            recipient,
            status,
            created_at: created_at.unwrap_or_default(),
        },
        unknown_field: created_at.is_err().then_some("created_at"),
    }
}

enum Id {
    Memo(Memo),
    /// The entry has no id that could be a memo.
    None,
    Unknown,
}

/// The id is `memo`, else `payment_id`, else `id`, and always text. An entry whose `memo` is null or empty, or whose only id is a
/// number, is no crypto checkout; nor is one that names a card as its means of payment. `payment_id` is the name under which the API is
/// told of a payment; a mere `id` may be of any session, and is a memo only beside a token or a recipient.
fn memo(entry: &Value) -> Id {
    if !entry.is_object() {
        return Id::Unknown;
    }
    let method = field(entry, &["payment_method", "method"]).and_then(Value::as_str);
    if method.is_some_and(|method| method.to_ascii_lowercase().contains("card")) {
        return Id::None;
    }
    match entry.get("memo") {
        Some(Value::Null | Value::Number(_)) => return Id::None,
        Some(Value::String(text)) if text.is_empty() => return Id::None,
        Some(Value::String(text)) => return Memo::of_checkout(text).map_or(Id::Unknown, Id::Memo),
        Some(_) => return Id::Unknown,
        None => {}
    }
    let ids = || {
        ["payment_id", "id"]
            .into_iter()
            .filter_map(|name| entry.get(name))
    };
    let is_of_chain = || field(entry, &["token", "mint", "recipient"]).is_some();
    match ids().find_map(Value::as_str) {
        Some(_) if !entry.get("payment_id").is_some_and(Value::is_string) && !is_of_chain() => {
            Id::None
        }
        Some(text) => Memo::of_checkout(text).map_or(Id::Unknown, Id::Memo),
        None if ids().any(Value::is_number) => Id::None,
        None => Id::Unknown,
    }
}

fn status(entry: &Value) -> Result<CheckoutStatus, Unknown> {
    let confirmed = || {
        let hash = field(entry, &["transaction_hash"]).and_then(Value::as_str);
        CheckoutStatus::Confirmed(hash.and_then(|hash| hash.trim().parse().ok()))
    };
    let word = match field(entry, &["status"]) {
        Some(Value::Number(number)) => {
            integral(number).map_or_else(|| number.to_string(), |number| number.to_string())
        }
        Some(Value::String(word)) if !word.trim().is_empty() => word.trim().to_ascii_lowercase(),
        _ => return Err(Unknown),
    };
    Ok(match word.as_str() {
        "0" | "pending" => CheckoutStatus::Pending,
        "1" | "confirmed" => confirmed(),
        other => CheckoutStatus::Other(StatusWord::new(other)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::BaseUnits;
    use serde_json::json;

    const MINT: &str = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";

    fn checkout(value: &Value) -> Checkout {
        match entry(value) {
            Entry::Checkout {
                checkout,
                unknown_field: None,
            } => checkout,
            other => panic!("{value}: {other:?}"),
        }
    }

    /// The API must be told exactly its memo: one that would be trimmed is not read, and named as the field that is unknown.
    #[test]
    fn a_memo_that_begins_or_ends_with_something_invisible_is_unknown() {
        for text in ["\u{feff}ab", "ab\u{200b}"] {
            for key in ["memo", "payment_id", "id"] {
                let value = json!({ key: text, "amount": 5, "token": MINT, "status": 0 });
                assert!(matches!(memo(&value), Id::Unknown), "{key}: {text:?}");
            }
        }
        let bare = json!({ "payment_id": "ab", "amount": 5, "status": 0 });
        assert!(matches!(memo(&bare), Id::Memo(_)));
        let inside = json!({ "memo": "a\u{200b}b", "status": 0 });
        assert!(matches!(memo(&inside), Id::Memo(_)));
    }

    #[test]
    fn an_entry_is_read_in_each_of_its_forms() {
        for value in [
            json!({ "memo": "ab", "amount": 5, "token": MINT, "status": 0 }),
            json!({ "payment_id": "ab", "amount": "5", "mint": MINT, "status": "pending", "extra": [] }),
            json!({ "id": "ab", "amount": 5.0, "token": MINT, "status": "0", "recipient": null }),
            json!({ "id": 7, "payment_id": "ab", "amount": "5.00", "token": { "mint": MINT }, "status": 0.0, "recipient": "" }),
            json!({ "id": 7, "memo": "ab", "amount": 5, "token": "USDC", "mint": MINT, "status": "PENDING" }),
        ] {
            let checkout = checkout(&value);
            assert_eq!(checkout.memo.as_str(), "ab");
            assert_eq!(checkout.amount, Some(BaseUnits(5)));
            assert_eq!(checkout.mint, MINT.parse().ok());
            assert_eq!(checkout.status, CheckoutStatus::Pending);
        }
    }

    #[test]
    fn what_is_left_out_is_not_told() {
        let checkout = checkout(&json!({ "memo": "ab", "status": 1 }));
        assert_eq!(
            (checkout.amount, checkout.mint, checkout.recipient),
            (None, None, None)
        );
        assert_eq!(checkout.status, CheckoutStatus::Confirmed(None));
    }

    #[test]
    fn another_status_is_neither_and_keeps_its_word() {
        for (status, word) in [
            (json!(2), "2"),
            (json!(-1), "-1"),
            (json!("Expired"), "expired"),
            (json!(0.5), "0.5"),
        ] {
            let checkout = checkout(&json!({ "memo": "ab", "status": status }));
            assert_eq!(
                checkout.status,
                CheckoutStatus::Other(StatusWord::new(word))
            );
        }
    }

    #[test]
    fn a_session_without_a_memo_is_no_crypto_checkout() {
        for value in [
            json!({ "id": 77, "memo": null, "payment_method": "card", "amount": 1900, "currency": "usd", "status": 0 }),
            json!({ "id": "77", "memo": null, "status": 0 }),
            json!({ "memo": "", "id": "77", "status": 0 }),
            json!({ "memo": 77, "status": 0 }),
            json!({ "id": 77, "status": 0 }),
            json!({ "payment_id": 77, "id": null, "status": 0 }),
            json!({ "id": "cs_77", "payment_method": "card", "status": 0 }),
            json!({ "id": "cs_1", "amount": 1900, "status": 0 }),
            json!({ "id": "cs_1", "token": null, "mint": null, "amount": 1900, "status": 0 }),
        ] {
            assert_eq!(entry(&value), Entry::NoCrypto, "{value}");
        }
    }

    #[test]
    fn an_unknown_form_names_its_field_and_is_not_taken_for_not_told() {
        for (value, field) in [
            (
                json!({ "memo": "ab", "amount": 5.5, "status": 0 }),
                "amount",
            ),
            (json!({ "memo": "ab", "amount": -5, "status": 0 }), "amount"),
            (
                json!({ "memo": "ab", "token": "USDC", "status": 0 }),
                "token",
            ),
            (
                json!({ "memo": "ab", "recipient": "nobody", "status": 0 }),
                "recipient",
            ),
            (json!({ "memo": "ab", "status": null }), "status"),
            (json!({ "memo": "ab", "status": true }), "status"),
            (json!({ "memo": "ab" }), "status"),
            (json!({ "memo": " ", "status": 0 }), "memo"),
            (json!({ "memo": [], "status": 0 }), "memo"),
            (json!({ "status": 0 }), "memo"),
            (json!(null), "memo"),
            (json!("ab"), "memo"),
        ] {
            assert_eq!(entry(&value), Entry::Unreadable(field), "{value}");
        }
    }

    #[test]
    fn an_unknown_time_is_named_and_stops_nothing() {
        let value = json!({ "memo": "ab", "status": 0, "created_at": "yesterday" });
        let Entry::Checkout {
            checkout,
            unknown_field,
        } = entry(&value)
        else {
            panic!("unreadable");
        };
        assert_eq!(
            (checkout.created_at, unknown_field),
            (None, Some("created_at"))
        );
    }
}
