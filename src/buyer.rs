//! What a buyer's side does before the money moves, and asks after it has: for commands and assistants.
//!
//! Never judges and never confirms; what it begins at the payments API costs nothing until it is paid.

use crate::domain::{Checkout, CheckoutStatus, Memo, Mint, TransferRequest};
use crate::merchant::Backend;
use crate::merchant::{self, Merchant, NewCardPayment, NewCheckout, Plan, SupportedToken, search};
use crate::store::{self, Stage, Store};
use url::Url;

/// Why a buyer's wish was not met.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The payments API did not do it.
    #[error(transparent)]
    Merchant(#[from] merchant::Error),
    /// The database failed.
    #[error("read the database")]
    Store(#[from] store::Error),
    /// No token of that name is taken now.
    #[error("token: found {found:?}, allowed is {allowed}, or the address of its mint")]
    NoSuchToken {
        /// What was asked for.
        found: String,
        /// What there is.
        allowed: String,
    },
    /// The payments API does not tell a token's decimal places, so no amount can be shown to a wallet.
    #[error(
        "the payments API does not tell the decimal places of {0} (`decimals` in its list of tokens)"
    )]
    NoDecimals(String),
    /// The payments API made a checkout in another token.
    #[error(
        "the payments API made a checkout in another token than {0}, which was asked for; do not pay it"
    )]
    AnotherToken(Mint),
}

type Result<T> = std::result::Result<T, Error>;

/// What is to be bought, as people say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Id of the plan.
    pub plan: u64,
    /// Symbol or mint of the token.
    pub token: String,
    /// How many of the plan.
    pub quantity: u32,
    /// Who is credited; `None` = whoever the key belongs to.
    pub organization: Option<u64>,
}

/// Which checkouts of the history are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All.
    All,
    /// Those that are not credited.
    Pending,
    /// Those that are.
    Confirmed,
}

/// A buyer's side of the payments API.
pub struct Buyer {
    merchant: Merchant,
    /// The daemon's database, where there is one: it knows of a payment before the API does.
    store: Option<Store>,
}

impl Buyer {
    /// Asks this API, and this database if there is one.
    #[must_use]
    pub fn new(merchant: Merchant, store: Option<Store>) -> Self {
        Self { merchant, store }
    }

    /// What can be bought.
    ///
    /// # Errors
    /// When the API does not answer.
    pub async fn plans(&self) -> Result<Vec<Plan>> {
        Ok(self.merchant.plans().await?)
    }

    /// What can be paid with, disabled tokens too.
    ///
    /// # Errors
    /// When the API does not answer.
    pub async fn tokens(&self) -> Result<Vec<SupportedToken>> {
        Ok(self.merchant.supported_tokens().await?)
    }

    /// Begins a checkout, and says what a wallet must send.
    ///
    /// # Errors
    /// When the token is not taken, or the API makes no such checkout.
    pub async fn checkout(&self, wish: &Wish) -> Result<TransferRequest> {
        let tokens = self.tokens().await?;
        let token = taken(&tokens, &wish.token)?;
        let new = NewCheckout {
            plan: wish.plan,
            quantity: wish.quantity,
            organization: wish.organization,
            mint: token.mint,
        };
        // Told before anything is begun.
        token
            .decimals
            .ok_or_else(|| Error::NoDecimals(token.symbol.clone()))?;
        let checkout = self.merchant.start_checkout(new).await?;
        // Of no other token than that: what was not asked for is not to be paid.
        transfer_request(&checkout, std::slice::from_ref(token))
            .ok_or(Error::AnotherToken(token.mint))
    }

    /// Begins a payment by card; returns the page that takes the card.
    ///
    /// # Errors
    /// When the API makes none.
    pub async fn card(&self, new: &NewCardPayment) -> Result<Url> {
        Ok(self.merchant.card_link(new).await?)
    }

    /// Checkouts, in the API's order, at most so many.
    ///
    /// # Errors
    /// When the API does not answer.
    pub async fn history(&self, which: Which, limit: usize) -> Result<Vec<Checkout>> {
        let is_wanted = |checkout: &Checkout| match which {
            Which::All => true,
            Which::Pending => checkout.status == CheckoutStatus::Pending,
            Which::Confirmed => matches!(checkout.status, CheckoutStatus::Confirmed(_)),
        };
        Ok(search(&self.merchant, limit, is_wanted).await?)
    }

    /// A checkout and how far it is, by the database or else by the API; `None` if there is no such checkout.
    ///
    /// # Errors
    /// When neither can be asked.
    pub async fn stage(&self, memo: &Memo) -> Result<Option<(Checkout, Stage)>> {
        if let Some(store) = &self.store
            && let Some((checkout, stage)) = store.stage(memo).await?
            && !matches!(stage, Stage::Waiting | Stage::Closed)
        {
            return Ok(Some((checkout, stage)));
        }
        let found = search(&self.merchant, 1, |one| one.memo == *memo).await?;
        Ok(found.into_iter().next().map(|checkout| {
            let stage = Stage::by_status(checkout.status);
            (checkout, stage)
        }))
    }
}

/// The token of a symbol or mint, if new checkouts may ask for it.
fn taken<'a>(tokens: &'a [SupportedToken], wanted: &str) -> Result<&'a SupportedToken> {
    let mint = wanted.parse::<Mint>().ok();
    let is_it = |token: &&SupportedToken| {
        token.enabled && (token.symbol.eq_ignore_ascii_case(wanted) || mint == Some(token.mint))
    };
    let mut found = tokens.iter().filter(is_it);
    match (found.next(), found.next()) {
        (Some(token), None) => Ok(token),
        // Two of the same symbol: the mint must say which.
        _ => Err(Error::NoSuchToken {
            found: wanted.to_owned(),
            allowed: {
                let enabled = tokens.iter().filter(|token| token.enabled);
                let names: Vec<_> = enabled
                    .map(|token| format!("{} ({})", token.symbol, token.mint))
                    .collect();
                names.join(", ")
            },
        }),
    }
}

/// What a wallet must send for a checkout, if that is told in full and its token is one of these.
#[must_use]
pub fn transfer_request(checkout: &Checkout, tokens: &[SupportedToken]) -> Option<TransferRequest> {
    let mint = checkout.mint?;
    let token = tokens.iter().find(|token| token.mint == mint)?;
    Some(TransferRequest {
        memo: checkout.memo.clone(),
        amount: checkout.amount?,
        mint,
        decimals: token.decimals?,
        symbol: token.symbol.clone(),
        recipient: checkout.recipient?,
    })
}
