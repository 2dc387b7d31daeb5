//! What a list comes in: bare, or as the one list of an object or of an object inside it.

use super::fields::integral;
use crate::merchant::More;
use serde_json::Value;

/// Names that a list of entries has. They decide only where an answer holds several lists.
const LISTS: [&str; 11] = [
    "items",
    "data",
    "payments",
    "results",
    "history",
    "payment_sessions",
    "sessions",
    "tokens",
    "supported_tokens",
    "plans",
    "credit_plans",
];
/// Parts of names of fields that are never the list: a null there is not an empty list.
const NO_LISTS: [&str; 7] = [
    "error", "message", "next", "prev", "cursor", "page", "warning",
];

/// Reads a body; an empty one is null. A byte order mark in front is skipped.
pub(in crate::merchant) fn parse(body: &[u8]) -> Option<Value> {
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    if body.iter().all(u8::is_ascii_whitespace) {
        return Some(Value::Null);
    }
    serde_json::from_slice(body).ok()
}

/// The entries of a list. Null is an empty one, bare or in the place of a list.
pub(in crate::merchant) fn list(body: &Value) -> Option<&[Value]> {
    match body {
        Value::Null => Some(&[]),
        Value::Array(entries) => Some(entries),
        Value::Object(_) => wrapped(body),
        _ => None,
    }
}

/// The list in an object. An empty one beside the word that something failed is no answer: it would pass for the end of a history.
fn wrapped(body: &Value) -> Option<&[Value]> {
    only_list(body).filter(|list| !list.is_empty() || !tells_failure(body))
}

fn only_list(body: &Value) -> Option<&[Value]> {
    let lists: Vec<_> = members(body)
        .filter(|(name, _)| !name.to_ascii_lowercase().contains("error"))
        .filter_map(|(name, value)| Some((name, value.as_array()?)))
        .collect();
    match lists.as_slice() {
        [] => {
            let mut nulls =
                members(body).filter(|(name, value)| value.is_null() && may_be_list(name));
            nulls.next().map(|_| [].as_slice())
        }
        [(_, only)] => Some(only),
        _ => {
            let mut named = lists.iter().filter(|(name, _)| LISTS.contains(name));
            match (named.next(), named.next()) {
                (Some((_, only)), None) => Some(only),
                _ => None,
            }
        }
    }
}

/// Whether an answer says that it is a failure, whatever its status.
fn tells_failure(body: &Value) -> bool {
    members(body).any(|(name, value)| match name.to_ascii_lowercase().as_str() {
        "error" | "errors" => !is_nothing(value),
        "success" | "ok" => *value == Value::Bool(false),
        _ => false,
    })
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
        // A code of 0 says that nothing failed.
        Value::Number(code) => integral(code) == Some(0),
        Value::Bool(true) => false,
    }
}

/// The members of an object and of the objects inside it.
fn members(body: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let outer = || body.as_object().into_iter().flatten();
    let inner = outer().filter_map(|(_, value)| value.as_object()).flatten();
    outer()
        .chain(inner)
        .map(|(name, value)| (name.as_str(), value))
}

fn may_be_list(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    NO_LISTS.iter().all(|part| !name.contains(part))
}

/// What an answer says of the entries after its own: `has_more` decides where it is told, else `next`, else `total`.
pub(in crate::merchant) fn more(body: &Value) -> More {
    let (mut has_more, mut has_next, mut total) = (None, false, More::Untold);
    for (name, value) in members(body) {
        match (name.to_ascii_lowercase().as_str(), value) {
            ("has_more" | "hasmore" | "has_next" | "hasnext", Value::Bool(told)) => {
                has_more = Some(*told);
            }
            ("total" | "total_count" | "totalcount", told) => {
                let told = match told {
                    Value::Number(told) => integral(told).and_then(|told| told.try_into().ok()),
                    Value::String(told) => told.parse().ok(),
                    _ => None,
                };
                total = told.map_or(total, More::Total);
            }
            ("next" | "next_page" | "next_cursor" | "next_offset" | "nextcursor", told) => {
                has_next |= told.is_number() || told.as_str().is_some_and(|text| !text.is_empty());
            }
            _ => {}
        }
    }
    if has_more.unwrap_or(has_next) {
        More::Follows
    } else {
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_one_list_is_found_whatever_its_name_and_one_object_down() {
        for body in [
            json!([1, 2]),
            json!({ "payment_sessions": [1, 2], "total": 2 }),
            json!({ "whatever": [1, 2] }),
            json!({ "data": { "entries": [1, 2], "total": 2 }, "ok": true }),
            json!({ "data": { "items": [1, 2] }, "links": [] }),
            json!({ "errors": [], "payments": [1, 2] }),
        ] {
            assert_eq!(list(&body).map(<[_]>::len), Some(2), "{body}");
        }
    }

    #[test]
    fn null_in_the_place_of_a_list_is_an_empty_one() {
        for body in [
            json!(null),
            json!([]),
            json!({ "items": null, "total": 0, "limit": 1000, "offset": 1 }),
            json!({ "data": { "items": null } }),
            json!({ "items": null, "next": null }),
            json!({ "data": null, "error": null }),
            json!({ "data": [], "errors": [], "success": true }),
            json!({ "data": [], "error": 0 }),
        ] {
            assert_eq!(list(&body), Some(&[][..]), "{body}");
        }
    }

    #[test]
    fn an_empty_list_beside_a_failure_is_none() {
        for body in [
            json!({ "data": null, "error": "database is down" }),
            json!({ "data": [], "error": { "code": 7 } }),
            json!({ "data": { "items": [], "error": "no" } }),
            json!({ "success": false, "errors": [] }),
            json!({ "success": false, "data": null }),
            json!({ "data": [], "error": 7 }),
            json!({ "ok": false, "items": [] }),
            json!({ "errors": [{ "code": 7 }] }),
            json!({ "errors": [] }),
        ] {
            assert_eq!(list(&body), None, "{body}");
        }
        // Some entries are more than none.
        let some = json!({ "data": [1], "errors": ["the rest is missing"] });
        assert_eq!(list(&some).map(<[_]>::len), Some(1));
    }

    #[test]
    fn an_answer_without_exactly_one_list_is_none() {
        for body in [
            json!({}),
            json!({ "error": "no" }),
            json!({ "error": null, "next_cursor": null }),
            json!({ "ok": true }),
            json!({ "one": [1], "two": [2] }),
            json!({ "items": [1], "payments": [2] }),
            json!({ "a": { "b": { "items": [1] } } }),
            json!("items"),
            json!(7),
        ] {
            assert_eq!(list(&body), None, "{body}");
        }
    }

    #[test]
    fn a_body_may_be_empty_or_begin_with_a_byte_order_mark() {
        assert_eq!(parse(b""), Some(json!(null)));
        assert_eq!(parse(b" \r\n"), Some(json!(null)));
        assert_eq!(parse(b"\xef\xbb\xbf[1]"), Some(json!([1])));
        assert_eq!(parse(b"\xef\xbb\xbf"), Some(json!(null)));
        assert_eq!(parse(b"<html>"), None);
        assert_eq!(parse(b"[1"), None);
    }

    #[test]
    fn what_an_answer_says_of_further_pages_is_understood() {
        for (body, told) in [
            (
                json!({ "data": [], "has_more": true, "total": 30 }),
                More::Follows,
            ),
            (
                json!({ "data": [], "has_more": false, "total": 30 }),
                More::Total(30),
            ),
            (json!({ "data": [], "next_cursor": "10" }), More::Follows),
            (
                json!({ "data": [], "links": { "next": "/history?offset=10" } }),
                More::Follows,
            ),
            (
                json!({ "data": [], "next": null, "next_cursor": "" }),
                More::Untold,
            ),
            (
                json!({ "data": [], "meta": { "total": 3 } }),
                More::Total(3),
            ),
            (json!({ "data": [], "total": "30" }), More::Total(30)),
            (json!({ "data": [], "total": "many" }), More::Untold),
            (json!([]), More::Untold),
        ] {
            assert_eq!(more(&body), told, "{body}");
        }
    }
}
