//! `paywatch payments confirm`, `dismiss` and `retry`: what a person decides, on record with who and when.

use super::bulk::Choice;
use super::memo;
use crate::cli::print;
use crate::clock;
use crate::domain::{Memo, Signature, TokenAccount, visible};
use crate::store::{BulkAction, Decision, Store, Which};
use anyhow::{Context, anyhow};

/// Who decides.
#[derive(Debug, clap::Args)]
pub(super) struct Actor {
    /// Who decides; without it, the user who is logged in
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

/// Which payments are meant: one, or all of a choice.
#[derive(Debug, clap::Args)]
struct Whom {
    /// The transaction's signature
    #[arg(value_parser = crate::cli::signature, required_unless_present = "all")]
    signature: Option<Signature>,
    /// The payment's token account, if the transaction has several payments
    #[arg(long, value_name = "ADDRESS", conflicts_with = "all")]
    token_account: Option<TokenAccount>,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    actor: Actor,
}

#[derive(Debug, clap::Args)]
pub(super) struct Confirm {
    /// The transaction's signature
    #[arg(value_parser = crate::cli::signature)]
    signature: Signature,
    /// The payment's token account, if the transaction has several payments
    #[arg(long, value_name = "ADDRESS")]
    token_account: Option<TokenAccount>,
    #[command(flatten)]
    actor: Actor,
    /// Memo of the checkout that it pays for
    #[arg(long, value_name = "MEMO", value_parser = memo)]
    checkout: Memo,
    /// Why; stays on record
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct Dismiss {
    #[command(flatten)]
    whom: Whom,
    /// Why; stays on record
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct Retry {
    #[command(flatten)]
    whom: Whom,
    /// Why; stays on record
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
}

fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        Err("say why: it stays on record".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

impl Actor {
    fn decision(&self, reason: &str) -> anyhow::Result<Decision> {
        let logged_in = || {
            ["SUDO_USER", "USER", "LOGNAME"]
                .iter()
                .find_map(|name| std::env::var(name).ok())
        };
        let actor = self
            .by
            .clone()
            .or_else(logged_in)
            .filter(|actor| !actor.trim().is_empty())
            .ok_or_else(|| anyhow!("nobody is logged in; say who decides with --by NAME"))?;
        Ok(Decision {
            actor,
            reason: reason.to_owned(),
        })
    }
}

impl Whom {
    /// The one payment that is meant; `None` if a choice is.
    fn which(&self) -> Option<Which> {
        Some(Which {
            signature: self.signature?,
            token_account: self.token_account,
        })
    }
}

impl Confirm {
    pub(super) async fn run(&self, store: &Store) -> anyhow::Result<()> {
        let by = self.actor.decision(&self.reason)?;
        let which = Which {
            signature: self.signature,
            token_account: self.token_account,
        };
        store
            .confirm_by_hand(which, &self.checkout, &by, clock::now())
            .await
            .context("confirm the payment by hand")?;
        print::line(&format!(
            "queued for checkout {}, as decided by {}. It is sent once the chain has finalized the payment, by the running daemon or the next backfill.",
            self.checkout,
            visible(&by.actor)
        ))
    }
}

impl Dismiss {
    pub(super) async fn run(&self, store: &Store) -> anyhow::Result<()> {
        let by = self.whom.actor.decision(&self.reason)?;
        let Some(which) = self.whom.which() else {
            return self.whom.choice.run(store, BulkAction::Dismiss, &by).await;
        };
        store
            .dismiss(which, &by, clock::now())
            .await
            .context("dismiss the payment")?;
        print::line(&format!("dismissed, as decided by {}", visible(&by.actor)))
    }
}

impl Retry {
    pub(super) async fn run(&self, store: &Store) -> anyhow::Result<()> {
        let by = self.whom.actor.decision(&self.reason)?;
        let Some(which) = self.whom.which() else {
            return self.whom.choice.run(store, BulkAction::Retry, &by).await;
        };
        store
            .retry(which, &by, clock::now())
            .await
            .context("retry the payment")?;
        print::line("due now: the running daemon, or the next backfill, tries it again")
    }
}
