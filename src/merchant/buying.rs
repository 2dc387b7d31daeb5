//! The calls of the payments API that begin a payment.

use super::wire::{self, Plan};
use super::{Error, Merchant};
use crate::domain::{Checkout, Mint};
use url::Url;

/// What a buyer wants to pay for with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewCheckout {
    /// Of the plan.
    pub plan: u64,
    /// How many of it.
    pub quantity: u32,
    /// Who is credited; `None` = whoever the key belongs to.
    pub organization: Option<u64>,
    /// The token to pay in.
    pub mint: Mint,
}

/// What a buyer wants to pay for by card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCardPayment {
    /// Of the plan.
    pub plan: u64,
    /// Where the buyer is sent after paying.
    pub success_url: Url,
    /// Where the buyer is sent after not paying.
    pub cancel_url: Url,
}

impl Merchant {
    /// `GET /credit_plans`. A plan without a readable id is left out: it cannot be bought.
    ///
    /// # Errors
    /// When the API does not answer with a list.
    pub async fn plans(&self) -> Result<Vec<Plan>, Error> {
        let body = self.get("credit_plans", &[]).await?;
        let entries = wire::list(&body).ok_or(Error::Malformed("a list of plans"))?;
        Ok(entries.iter().filter_map(wire::plan).collect())
    }

    /// `POST /crypto/checkout`. Makes a new checkout each time; one that nobody pays costs nothing.
    ///
    /// # Errors
    /// When the API does not make one, or does not say what, to whom and under which memo is to be paid.
    pub async fn start_checkout(&self, new: NewCheckout) -> Result<Checkout, Error> {
        let mut query = vec![
            ("credit_plan_id", new.plan.to_string()),
            ("quantity", new.quantity.to_string()),
            ("token", new.mint.to_string()),
        ];
        query.extend(
            new.organization
                .map(|id| ("organization_id", id.to_string())),
        );
        let body = self.post("crypto/checkout", &query, None).await?;
        wire::handed_over(&body)
            .map_err(|_| Error::Malformed("a checkout with memo, amount, recipient and token"))
    }

    /// `POST /credit_card`. Returns the address of the page that takes the card.
    ///
    /// # Errors
    /// When the API does not make one.
    pub async fn card_link(&self, new: &NewCardPayment) -> Result<Url, Error> {
        let body = wire::new_card_payment(new);
        let answer = self.post("credit_card", &[], Some(body)).await?;
        wire::payment_link(&answer).ok_or(Error::Malformed("a link to a payment page"))
    }
}
