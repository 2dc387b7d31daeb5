//! The sandbox's own configuration: plans, tokens, the node.

use crate::domain::{BaseUnits, Decimals, Mint, Wallet};
use anyhow::{Context, bail};
use serde::{Deserialize, Deserializer, Serialize};
use std::{net::SocketAddr, path::Path, str::FromStr};
use utoipa::ToSchema;

/// Everything the sandbox needs to know.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where to listen.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// The node that payments are verified against.
    pub rpc_url: String,
    /// The key callers must send as `Authorization: Bearer`; empty = none needed.
    #[serde(default)]
    pub api_key: String,
    /// `sqlite:PATH`.
    #[serde(default = "default_database")]
    pub database: String,
    /// Who can buy; empty = every id is an organization. The first is whom the key belongs to.
    #[serde(default)]
    pub organizations: Vec<Organization>,
    /// What can be bought.
    pub plans: Vec<Plan>,
    /// What can be paid with.
    pub tokens: Vec<Token>,
}

/// Who can buy.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Organization {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
}

/// Credits for sale.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Credits it gives.
    pub credits: i64,
    /// Price in human units of any of the tokens, decimal text.
    pub price: String,
}

/// A token taken.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Its name.
    pub symbol: String,
    /// Its mint.
    #[serde(deserialize_with = "parsed", serialize_with = "shown")]
    #[schema(value_type = String)]
    pub mint: Mint,
    /// The wallet to be paid.
    #[serde(deserialize_with = "parsed", serialize_with = "shown")]
    #[schema(value_type = String)]
    pub recipient: Wallet,
    /// Its decimal places.
    pub decimals: u8,
    /// Whether new checkouts may ask for it.
    #[serde(default = "default_enabled")]
    pub enabled: bool,
}

impl Settings {
    /// Reads and checks a TOML file.
    ///
    /// # Errors
    /// When it cannot be read, has unknown keys, or a price is no amount of one of the tokens.
    pub fn load(file: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        let source = ::config::File::from_str(&text, ::config::FileFormat::Toml);
        let built = ::config::Config::builder()
            .add_source(source)
            .build()
            .with_context(|| format!("read {}", file.display()))?;
        let settings: Self = built
            .try_deserialize()
            .with_context(|| format!("read {}", file.display()))?;
        for plan in &settings.plans {
            for token in &settings.tokens {
                plan.due(token, 1).with_context(|| {
                    format!(
                        "plan {}: price {:?} in {}",
                        plan.id, plan.price, token.symbol
                    )
                })?;
            }
        }
        Ok(settings)
    }
}

impl Plan {
    /// What so many of this plan cost in a token.
    ///
    /// # Errors
    /// When the price is not an amount of that token, or the sum is too large.
    pub(super) fn due(&self, token: &Token, quantity: u32) -> anyhow::Result<BaseUnits> {
        let Some(decimals) = Decimals::new(token.decimals) else {
            bail!("a token has 0 to 19 decimals")
        };
        let one = BaseUnits::parse_human(&self.price, decimals)?;
        one.0
            .checked_mul(quantity.into())
            .map(BaseUnits)
            .context("the sum is too large")
    }
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8787))
}

fn default_database() -> String {
    "sqlite:paywatch-sandbox.db".into()
}

fn default_enabled() -> bool {
    true
}

fn parsed<'de, T: FromStr<Err: std::fmt::Display>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    String::deserialize(deserializer)?
        .parse()
        .map_err(serde::de::Error::custom)
}

fn shown<T: ToString, S: serde::Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.to_string())
}
