//! The payments API's JSON. Tolerant, because its documentation leaves much open: see the modules below for the accepted forms.

mod envelope;
mod fields;
mod session;

use super::NewCardPayment;
use crate::domain::{Checkout, CheckoutStatus, Decimals, Mint, Wallet, visible};
pub(super) use envelope::{list, more, parse};
use fields::{address, field, text};
use serde_json::{Map, Value, json};
pub(super) use session::{Entry, entry};
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

/// A line of `GET /supported_tokens`.
pub(super) fn token(entry: &Value) -> Option<SupportedToken> {
    Some(SupportedToken {
        symbol: text(entry, &["symbol"]).unwrap_or_else(|| "?".into()),
        mint: address(entry, &["mint", "token", "address"]).ok()??,
        recipient: address(entry, &["recipient"]).ok()??,
        decimals: text(entry, &["decimals"]).and_then(|places| Decimals::new(places.parse().ok()?)),
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
    let is_complete = |checkout: &Checkout| {
        checkout.amount.is_some_and(|amount| amount.0 > 0)
            && checkout.mint.is_some()
            && checkout.recipient.is_some()
    };
    match session::entry_as(entry, CheckoutStatus::Pending) {
        Entry::Checkout { checkout, .. } if is_complete(&checkout) => Ok(checkout),
        _ => Err(NotACheckout::Nonsense),
    }
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
pub(super) fn said(text: &str) -> String {
    const SHOWN_MAX: usize = 200;
    let shown: String = text.trim().chars().take(SHOWN_MAX).collect();
    if shown.is_empty() {
        shown
    } else {
        format!(": {}", visible(&shown))
    }
}
