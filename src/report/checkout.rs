//! What is to be paid, and how far that is: for buyers.

use crate::domain::{Checkout, CheckoutStatus, Held, TransferRequest, visible};
use crate::merchant::{Plan, SupportedToken};
use crate::store::Stage;
use serde_json::{Value, json};

/// A plan for machines: what the API says of it.
#[must_use]
pub fn plan_json(plan: &Plan) -> Value {
    Value::Object(plan.entry.clone())
}

/// A token for machines.
#[must_use]
pub fn token_json(token: &SupportedToken) -> Value {
    json!({
        "symbol": token.symbol,
        "mint": token.mint.to_string(),
        "recipient": token.recipient.to_string(),
        "decimals": token.decimals.map(crate::domain::Decimals::places),
        "enabled": token.enabled,
    })
}

/// What a wallet must send, for machines; amounts are decimal text.
#[must_use]
pub fn transfer_request_json(request: &TransferRequest) -> Value {
    json!({
        "memo": request.memo.as_str(),
        "amount": request.amount.to_string(),
        "amount_human": request.human(),
        "symbol": request.symbol,
        "decimals": request.decimals.places(),
        "recipient": request.recipient.to_string(),
        "mint": request.mint.to_string(),
        "solana_pay_url": request.url(),
    })
}

/// The same for people.
#[must_use]
pub fn transfer_request_text(request: &TransferRequest) -> String {
    format!(
        "checkout {}\n  send    {} {} (exactly {} base units of {})\n  to      {} (a wallet)\n  memo    {}\n  or open {}",
        request.memo,
        request.human(),
        visible(&request.symbol),
        request.amount,
        request.mint,
        request.recipient,
        request.memo.in_full(),
        request.url(),
    )
}

/// A checkout for machines; amounts are decimal text, and in human units where its token is one of these.
#[must_use]
pub fn checkout_json(checkout: &Checkout, tokens: &[SupportedToken]) -> Value {
    let token = token_of(checkout, tokens);
    let decimals = token.and_then(|token| token.decimals);
    json!({
        "memo": checkout.memo.as_str(),
        "status": status(checkout),
        "amount": checkout.amount.map(|amount| amount.to_string()),
        "amount_human": checkout.amount.zip(decimals).map(|(amount, decimals)| amount.human(decimals)),
        "symbol": token.map(|token| &token.symbol),
        "mint": checkout.mint.map(|mint| mint.to_string()),
        "recipient": checkout.recipient.map(|wallet| wallet.to_string()),
        "signature": signature(checkout),
        "created_at": checkout.created_at.map(super::seconds),
    })
}

/// What is due for a checkout, for people; nothing if the API does not tell.
#[must_use]
pub fn due(checkout: &Checkout, tokens: &[SupportedToken]) -> String {
    let token = token_of(checkout, tokens);
    match (checkout.amount, token) {
        (Some(amount), Some(token)) => match token.decimals {
            Some(decimals) => format!("{} {}", amount.human(decimals), visible(&token.symbol)),
            None => format!("{amount} base units of {}", visible(&token.symbol)),
        },
        (Some(amount), None) => format!("{amount} base units"),
        (None, _) => String::new(),
    }
}

/// `pending`, `confirmed`, or the API's own word for another status.
#[must_use]
pub fn status(checkout: &Checkout) -> &str {
    match &checkout.status {
        CheckoutStatus::Pending => "pending",
        CheckoutStatus::Confirmed(_) => "confirmed",
        CheckoutStatus::Other(word) => word.as_str(),
    }
}

/// The transaction a checkout was confirmed by, if told.
#[must_use]
pub fn signature(checkout: &Checkout) -> Option<String> {
    match checkout.status {
        CheckoutStatus::Confirmed(by) => by.map(|signature| signature.to_string()),
        CheckoutStatus::Pending | CheckoutStatus::Other(_) => None,
    }
}

/// How far a checkout is, for machines.
#[must_use]
pub fn stage_json(stage: &Stage) -> Value {
    let reason = match stage {
        Stage::NeedsHelp { reason, .. } => Some(reason.map_or("parked", Held::as_str)),
        _ => None,
    };
    json!({
        "stage": stage.as_str(),
        "reason": reason,
        "signature": stage.signature(),
        "message": stage_words(stage),
    })
}

/// How far a checkout is, in words for its buyer: nothing of other checkouts, and no blame.
#[must_use]
pub fn stage_words(stage: &Stage) -> &'static str {
    match stage {
        Stage::Waiting => "Waiting for your payment.",
        Stage::Closed => {
            "This purchase is no longer open. Please do not pay it; ask the shop for a new one."
        }
        Stage::Seen { .. } => "Your payment was seen. It is being confirmed.",
        Stage::Confirmed { .. } => "Your payment is confirmed. Thank you!",
        Stage::NeedsHelp { reason, .. } => match reason {
            Some(Held::Underpaid) => {
                "Your payment arrived, but it is less than what is due. Please contact the shop and name the transaction below; they will tell you how to pay the rest."
            }
            Some(Held::Overpaid) => {
                "Your payment arrived, but it is more than what is due. Please contact the shop and name the transaction below; nothing is lost."
            }
            Some(Held::WrongToken) => {
                "A payment arrived in another token than the one asked for. Please contact the shop and name the transaction below; nothing is lost."
            }
            Some(Held::NotPayable) => {
                "Your payment arrived, but this purchase is no longer open. Please do not pay again; contact the shop and name the transaction below."
            }
            Some(Held::SeveralCheckouts) => {
                "Your payment arrived, but it names more than one purchase. Please contact the shop and name the transaction below; nothing is lost."
            }
            Some(Held::UnknownMemo) => {
                "A payment of this amount arrived with another memo, much like the one asked for. Somebody at the shop has to look at it. Please do not pay again; contact the shop and name the transaction below."
            }
            Some(Held::AlreadyPaid) => {
                "This was paid before, and another payment arrived. Please contact the shop and name the transaction below to have it returned."
            }
            _ => {
                "Your payment arrived, and somebody at the shop has to look at it. Please do not pay again; contact the shop and name the transaction below."
            }
        },
    }
}

fn token_of<'a>(checkout: &Checkout, tokens: &'a [SupportedToken]) -> Option<&'a SupportedToken> {
    tokens
        .iter()
        .find(|token| checkout.mint == Some(token.mint))
}
