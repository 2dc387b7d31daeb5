//! Columns to domain values and back.

use super::{Cursor, Error, Result};
use crate::domain::{
    BaseUnits, Checkout, CheckoutStatus, Decimals, Memo, Slot, StatusWord, Timestamp, TokenAccount,
};
use sqlx::{Row, sqlite::SqliteRow};
use std::str::FromStr;

/// A text column that must parse.
pub(super) fn parse<T: FromStr>(row: &SqliteRow, column: &'static str) -> Result<T> {
    row.try_get::<&str, _>(column)?
        .parse()
        .map_err(|_| Error::Corrupt { column })
}

/// A text column that may be NULL.
pub(super) fn parse_opt<T: FromStr>(row: &SqliteRow, column: &'static str) -> Result<Option<T>> {
    row.try_get::<Option<&str>, _>(column)?
        .map(|text| text.parse().map_err(|_| Error::Corrupt { column }))
        .transpose()
}

pub(super) fn memo(row: &SqliteRow, column: &'static str) -> Result<Memo> {
    Memo::parse(row.try_get(column)?).ok_or(Error::Corrupt { column })
}

/// A memo that may be NULL.
pub(super) fn memo_opt(row: &SqliteRow, column: &'static str) -> Result<Option<Memo>> {
    row.try_get::<Option<&str>, _>(column)?
        .map(|text| Memo::parse(text).ok_or(Error::Corrupt { column }))
        .transpose()
}

/// Decimal places of a token, which may be NULL.
pub(super) fn decimals(row: &SqliteRow) -> Result<Option<Decimals>> {
    let column = "decimals";
    row.try_get::<Option<i64>, _>(column)?
        .map(|places| {
            u8::try_from(places)
                .ok()
                .and_then(Decimals::new)
                .ok_or(Error::Corrupt { column })
        })
        .transpose()
}

pub(super) fn slot(row: &SqliteRow) -> Result<Slot> {
    u64::try_from(row.try_get::<i64, _>("slot")?).map_err(|_| Error::Corrupt { column: "slot" })
}

/// A point of a token account's history.
pub(super) fn cursor(row: &SqliteRow, token_account: TokenAccount) -> Result<Cursor> {
    Ok(Cursor {
        token_account,
        slot: slot(row)?,
        signature: parse(row, "signature")?,
        at: Timestamp(row.try_get("at")?),
    })
}

/// An unsigned count.
pub(super) fn count(row: &SqliteRow, column: &'static str) -> Result<u64> {
    u64::try_from(row.try_get::<i64, _>(column)?).map_err(|_| Error::Corrupt { column })
}

/// Slots are far below 2^63; one that is not is stored as the largest.
pub(super) fn slot_column(slot: Slot) -> i64 {
    i64::try_from(slot).unwrap_or(i64::MAX)
}

pub(super) fn memos(row: &SqliteRow) -> Result<Vec<Memo>> {
    let texts: Vec<String> = serde_json::from_str(row.try_get("memos")?)
        .map_err(|_| Error::Corrupt { column: "memos" })?;
    Ok(texts.iter().filter_map(|text| Memo::parse(text)).collect())
}

pub(super) fn memos_column(memos: &[Memo]) -> String {
    memos
        .iter()
        .map(Memo::as_str)
        .collect::<serde_json::Value>()
        .to_string()
}

pub(super) fn checkout(row: &SqliteRow) -> Result<Checkout> {
    let status = match row.try_get("status")? {
        "pending" => CheckoutStatus::Pending,
        "confirmed" => CheckoutStatus::Confirmed(parse_opt(row, "signature")?),
        "other" => CheckoutStatus::Other(StatusWord::new(row.try_get("status_word")?)),
        _ => return Err(Error::Corrupt { column: "status" }),
    };
    Ok(Checkout {
        memo: memo(row, "memo")?,
        amount: parse_opt::<BaseUnits>(row, "amount")?,
        mint: parse_opt(row, "mint")?,
        recipient: parse_opt(row, "recipient")?,
        status,
        created_at: row.try_get("created_at")?,
    })
}
