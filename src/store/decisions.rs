//! What people decide about payments. Not on chain, so it is on the disk before it counts, and never deleted.

use super::record::PaymentId;
use super::script::Script;
use super::{Error, Result, Store, Tx, confirmations, quarantine, row};
use crate::domain::{CheckoutStatus, Commitment, Memo, Signature, Timestamp, TokenAccount};
use sqlx::{Row, sqlite::SqliteRow};

/// Which payment is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Which {
    /// Its transaction.
    pub signature: Signature,
    /// Its token account; needed only if the transaction credits several.
    pub token_account: Option<TokenAccount>,
}

/// Who decided, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Action<'a> {
    Confirm(&'a Memo),
    Dismiss,
    Retry,
}

/// Why a decision is not carried out. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not recorded here.
    #[error("no payment of this transaction is recorded")]
    NoSuchPayment,
    /// Which one is not told.
    #[error("the transaction has several payments; name one of the token accounts {}", list(.0))]
    SeveralPayments(Vec<TokenAccount>),
    /// Its fork died.
    #[error("the payment was dropped: the finalized chain does not give it")]
    Dropped,
    /// A payment confirms one checkout.
    #[error("the payment has a confirmation already, for checkout {checkout}: {state}")]
    HasConfirmation {
        /// Of which checkout.
        checkout: Memo,
        /// `queued`, `acknowledged`, `parked` or `uncredited`.
        state: String,
    },
    /// Likely mistyped.
    #[error(
        "no checkout with the memo {0} is known; the API's history is read every merchant.poll_every"
    )]
    UnknownCheckout(Memo),
    /// The API has credited it.
    #[error("checkout {0} is confirmed already, by the word of the payments API")]
    CheckoutConfirmed(Memo),
    /// A checkout gets one transaction.
    #[error("checkout {checkout} is paid by transaction {by} ({state})")]
    CheckoutTaken {
        /// Which checkout.
        checkout: Memo,
        /// The other payment's transaction.
        by: Signature,
        /// State of its confirmation.
        state: String,
    },
    /// A person put it aside before.
    #[error("the payment was dismissed already")]
    AlreadyDismissed,
    /// It waits for nothing that could be hurried.
    #[error("there is nothing to retry: {0}")]
    NothingToRetry(&'static str),
}

fn list(accounts: &[TokenAccount]) -> String {
    let texts: Vec<_> = accounts.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

/// A payment as a decision finds it.
pub(super) struct Found {
    id: PaymentId,
    signature: Signature,
    token_account: TokenAccount,
    chain_state: String,
    is_dismissed: bool,
    /// The one that is not cancelled.
    confirmation: Option<FoundConfirmation>,
}

/// Its confirmation.
struct FoundConfirmation {
    id: i64,
    checkout: Memo,
    state: String,
    /// Whether it has a due time; it has none before the payment is finalized, and none once it is closed.
    is_due: bool,
}

impl FoundConfirmation {
    /// It is there, so nobody begins another.
    fn refusal(&self) -> Error {
        let (checkout, state) = (self.checkout.clone(), self.state.clone());
        Refusal::HasConfirmation { checkout, state }.into()
    }
}

impl Store {
    /// Queues a confirmation for a checkout that a person named. It waits for `finalized`.
    ///
    /// # Errors
    /// [`Refusal`] if payment or checkout is taken, unknown or gone; or the database fails. Then nothing is changed.
    pub async fn confirm_by_hand(
        &self,
        which: Which,
        checkout: &Memo,
        by: &Decision,
        now: Timestamp,
    ) -> Result<()> {
        let mut tx = self.begin_durable().await?;
        let found = find(&mut tx, which).await?;
        if found.chain_state == "dropped" {
            return Err(Refusal::Dropped.into());
        }
        if let Some(confirmation) = &found.confirmation {
            return Err(confirmation.refusal());
        }
        check_free(&mut tx, checkout).await?;
        quarantine::give_up(&mut tx, found.signature, found.token_account).await?;
        sqlx::query(
            "UPDATE payments SET verdict = 'matched', reason = NULL, note = 'confirmed by hand', checkout = $2, \
             dismissed_at = NULL, is_dust = 0 WHERE id = $1",
        )
        .bind(found.id)
        .bind(checkout.as_str())
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "INSERT INTO judgements (payment_id, at, verdict, checkout) VALUES ($1, $2, 'matched', $3)",
        )
        .bind(found.id)
        .bind(now.0)
        .bind(checkout.as_str())
        .execute(&mut *tx)
        .await?;
        let is_final = found.chain_state == Commitment::Finalized.as_str();
        let new = confirmations::New::by_hand(found.id, found.signature, checkout, is_final);
        let mut script = Script::new();
        confirmations::insert(&mut script, &[new], now);
        script.run(&mut tx).await?;
        note(&mut tx, &found, &Action::Confirm(checkout), by, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Puts a held, parked or uncredited payment aside: it is judged no more and needs nobody. A parked one frees its checkout; an
    /// uncredited one keeps it, since the API accepted it once and is never sent another transaction for that checkout.
    ///
    /// # Errors
    /// [`Refusal`] if it is being confirmed, or was; or the database fails. Then nothing is changed.
    pub async fn dismiss(&self, which: Which, by: &Decision, now: Timestamp) -> Result<()> {
        let mut tx = self.begin_durable().await?;
        let found = find(&mut tx, which).await?;
        dismiss(&mut tx, &found, by, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Makes due now what waits: a parked, uncredited or queued confirmation, or the next try at an unreadable transaction.
    ///
    /// # Errors
    /// [`Refusal`] if nothing waits; or the database fails. Then nothing is changed.
    pub async fn retry(&self, which: Which, by: &Decision, now: Timestamp) -> Result<()> {
        let mut tx = self.begin_durable().await?;
        let found = find(&mut tx, which).await?;
        retry(&mut tx, &found, by, now).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Puts a payment aside, in a transaction that is dropped if this fails.
pub(super) async fn dismiss(
    tx: &mut Tx,
    found: &Found,
    by: &Decision,
    now: Timestamp,
) -> Result<()> {
    if found.is_dismissed {
        return Err(Refusal::AlreadyDismissed.into());
    }
    match &found.confirmation {
        None => {}
        Some(one) if one.state == "uncredited" => {}
        Some(one) if one.state == "parked" => {
            sqlx::query(
                "UPDATE confirmations SET state = 'cancelled', closed_at = $2 WHERE id = $1",
            )
            .bind(one.id)
            .bind(now.0)
            .execute(&mut **tx)
            .await?;
        }
        Some(one) => return Err(one.refusal()),
    }
    quarantine::give_up(tx, found.signature, found.token_account).await?;
    sqlx::query("UPDATE payments SET dismissed_at = $2 WHERE id = $1")
        .bind(found.id)
        .bind(now.0)
        .execute(&mut **tx)
        .await?;
    note(tx, found, &Action::Dismiss, by, now).await
}

/// The same as [`retry`] for a payment that still waits for a person: what is on its way stays as it is.
pub(super) async fn retry_waiting(
    tx: &mut Tx,
    found: &Found,
    by: &Decision,
    now: Timestamp,
) -> Result<()> {
    match &found.confirmation {
        Some(one) if one.state == "queued" => {
            Err(Refusal::NothingToRetry("it is on its way").into())
        }
        _ if found.is_dismissed => Err(Refusal::AlreadyDismissed.into()),
        _ => retry(tx, found, by, now).await,
    }
}

/// Makes a payment due, in a transaction that is dropped if this fails.
pub(super) async fn retry(tx: &mut Tx, found: &Found, by: &Decision, now: Timestamp) -> Result<()> {
    match &found.confirmation {
        Some(one) if one.state == "acknowledged" => {
            return Err(Refusal::NothingToRetry("it is confirmed").into());
        }
        Some(one) if one.state == "queued" && !one.is_due => {
            let why = "its confirmation waits for the chain to finalize it";
            return Err(Refusal::NothingToRetry(why).into());
        }
        Some(_) if found.chain_state == "dropped" => return Err(Refusal::Dropped.into()),
        Some(_) => {
            confirmations::retry(tx, found.id, now).await?;
            sqlx::query("UPDATE payments SET dismissed_at = NULL WHERE id = $1")
                .bind(found.id)
                .execute(&mut **tx)
                .await?;
        }
        None => {
            if !quarantine::hurry(tx, found.signature, now).await? {
                let why = "it is held; confirm it for a checkout, or dismiss it";
                return Err(Refusal::NothingToRetry(why).into());
            }
        }
    }
    note(tx, found, &Action::Retry, by, now).await
}

pub(super) async fn find(tx: &mut Tx, which: Which) -> Result<Found> {
    let rows = sqlx::query(
        "SELECT p.id, p.token_account, p.chain_state, p.dismissed_at, c.id AS confirmation, c.memo, c.state, c.due_at \
         FROM payments p LEFT JOIN confirmations c ON c.payment_id = p.id AND c.state <> 'cancelled' \
         WHERE p.signature = $1 AND p.token_account = COALESCE($2, p.token_account) ORDER BY p.token_account",
    )
    .bind(which.signature.to_string())
    .bind(which.token_account.map(|account| account.to_string()))
    .fetch_all(&mut **tx)
    .await?;
    match rows.as_slice() {
        [] => Err(Refusal::NoSuchPayment.into()),
        [only] => found(only, which.signature),
        several => {
            let accounts = several.iter().map(|r| row::parse(r, "token_account"));
            Err(Refusal::SeveralPayments(accounts.collect::<Result<_>>()?).into())
        }
    }
}

fn found(r: &SqliteRow, signature: Signature) -> Result<Found> {
    let confirmation = match r.try_get::<Option<i64>, _>("confirmation")? {
        None => None,
        Some(id) => Some(FoundConfirmation {
            id,
            checkout: row::memo(r, "memo")?,
            state: r.try_get("state")?,
            is_due: r.try_get::<Option<i64>, _>("due_at")?.is_some(),
        }),
    };
    Ok(Found {
        id: r.try_get("id")?,
        signature,
        token_account: row::parse(r, "token_account")?,
        chain_state: r.try_get("chain_state")?,
        is_dismissed: r.try_get::<Option<i64>, _>("dismissed_at")?.is_some(),
        confirmation,
    })
}

/// A checkout may be confirmed by hand if it is known, pending, and no payment holds it.
pub(super) async fn check_free(tx: &mut Tx, memo: &Memo) -> Result<()> {
    let checkout = sqlx::query("SELECT * FROM checkouts WHERE memo = $1")
        .bind(memo.as_str())
        .fetch_optional(&mut **tx)
        .await?;
    let checkout = checkout.ok_or_else(|| Refusal::UnknownCheckout(memo.clone()))?;
    if let CheckoutStatus::Confirmed(_) = row::checkout(&checkout)?.status {
        return Err(Refusal::CheckoutConfirmed(memo.clone()).into());
    }
    let holder = sqlx::query(
        // The API may hold another spelling of the memo, of which no checkout is known, for this one.
        "SELECT signature, state FROM confirmations f WHERE state <> 'cancelled' AND (memo = $1 OR (folded = $2 \
         AND NOT EXISTS (SELECT 1 FROM checkouts c WHERE c.memo = f.memo))) LIMIT 1",
    )
    .bind(memo.as_str())
    .bind(memo.folded())
    .fetch_optional(&mut **tx)
    .await?;
    match holder {
        None => Ok(()),
        Some(r) => Err(Refusal::CheckoutTaken {
            checkout: memo.clone(),
            by: row::parse(&r, "signature")?,
            state: r.try_get("state")?,
        }
        .into()),
    }
}

async fn note(
    tx: &mut Tx,
    found: &Found,
    action: &Action<'_>,
    by: &Decision,
    now: Timestamp,
) -> Result<()> {
    let (word, checkout) = match action {
        Action::Confirm(memo) => ("confirm", Some(memo.as_str())),
        Action::Dismiss => ("dismiss", None),
        Action::Retry => ("retry", None),
    };
    sqlx::query(
        "INSERT INTO decisions (at, actor, action, signature, token_account, checkout, reason) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(now.0)
    .bind(&by.actor)
    .bind(word)
    .bind(found.signature.to_string())
    .bind(found.token_account.to_string())
    .bind(checkout)
    .bind(&by.reason)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
