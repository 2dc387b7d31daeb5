//! Decisions about many payments at once: an API that was wrong for a quarter of an hour parks everything.

use super::decisions::{self, Decision, Refusal, Which};
use super::{Error, Filter, PaymentState, PaymentSummary, Result, Store};
use crate::domain::{Held, HumanAmount, Timestamp};
use std::{fmt, str::FromStr};

/// Why a payment waits for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Its confirmation was given up.
    Parked,
    /// The API accepted its confirmation, and its history shows no credit.
    Uncredited,
    /// It is held.
    Held(Held),
}

impl Waiting {
    /// All reasons.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let held = Held::ALL.into_iter().map(Self::Held);
        [Self::Parked, Self::Uncredited]
            .into_iter()
            .chain(held)
            .collect()
    }

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parked => PaymentState::Parked.as_str(),
            Self::Uncredited => PaymentState::Uncredited.as_str(),
            Self::Held(reason) => reason.as_str(),
        }
    }
}

impl FromStr for Waiting {
    type Err = ();

    fn from_str(word: &str) -> std::result::Result<Self, ()> {
        let mut all = Self::all().into_iter();
        all.find(|one| one.as_str() == word).ok_or(())
    }
}

/// A decision that can be made about many payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BulkAction {
    /// As [`Store::retry`].
    Retry,
    /// As [`Store::dismiss`].
    Dismiss,
}

impl BulkAction {
    /// Whether it makes sense for payments that wait for this reason.
    #[must_use]
    pub fn suits(self, waiting: Waiting) -> bool {
        match (self, waiting) {
            (Self::Dismiss, _)
            | (
                Self::Retry,
                Waiting::Parked | Waiting::Uncredited | Waiting::Held(Held::Unreadable),
            ) => true,
            (Self::Retry, Waiting::Held(_)) => false,
        }
    }
}

/// How much was recorded when somebody looked: the newest verdict and the newest word of the API. What began to wait later was not
/// seen, however long ago its payment was recorded. By rows, not by the clock, which may be put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub(super) judgement: i64,
    pub(super) attempt: i64,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.judgement, self.attempt)
    }
}

impl FromStr for Seen {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let (judgement, attempt) = text.split_once('-').ok_or(())?;
        Ok(Self {
            judgement: judgement.parse().map_err(|_| ())?,
            attempt: attempt.parse().map_err(|_| ())?,
        })
    }
}

/// Payments that wait for a person. A criterion that is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Those that wait for this reason.
    pub waiting: Option<Waiting>,
    /// Those that were not seen after then.
    pub seen_until: Option<Timestamp>,
    /// Those that are not smaller. A payment whose amount is not known is left out.
    pub min_amount: Option<HumanAmount>,
    /// Those that are not larger. A payment whose amount is not known is left out.
    pub max_amount: Option<HumanAmount>,
    /// Those that began to wait before.
    pub seen: Option<Seen>,
}

impl Selection {
    fn takes(&self, payment: &PaymentSummary) -> bool {
        if self.min_amount.is_none() && self.max_amount.is_none() {
            return true;
        }
        let known = payment.received.zip(payment.token.as_ref());
        known.is_some_and(|(received, (_, decimals))| {
            let amount = HumanAmount::of(received, *decimals);
            self.min_amount.is_none_or(|min| amount >= min)
                && self.max_amount.is_none_or(|max| amount <= max)
        })
    }
}

/// Where a walk over a selection is: the states that are left, and the row that the first of them goes on from.
#[derive(Clone, Debug)]
pub struct Walk {
    left: Vec<Waiting>,
    before: Option<i64>,
}

impl Store {
    /// Most payments that are looked at, or decided about in one SQL transaction.
    const BATCH: u32 = 500;

    /// Begins a walk over the payments of a selection that an action suits.
    #[must_use]
    pub fn walk(action: BulkAction, selection: &Selection) -> Walk {
        let mut left = Waiting::all();
        left.retain(|one| {
            action.suits(*one) && selection.waiting.is_none_or(|waiting| waiting == *one)
        });
        Walk { left, before: None }
    }

    /// The next payments of a walk; `None` at its end. A payment whose fork died is left out: a person must look at the API first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_selected(
        &self,
        selection: &Selection,
        walk: &mut Walk,
    ) -> Result<Option<Vec<PaymentSummary>>> {
        let Some(waiting) = walk.left.last() else {
            return Ok(None);
        };
        let (state, verdict) = match waiting {
            Waiting::Parked => (PaymentState::Parked, None),
            Waiting::Uncredited => (PaymentState::Uncredited, None),
            Waiting::Held(reason) => (PaymentState::Held, Some(reason.as_str().to_owned())),
        };
        let filter = Filter {
            state: Some(state),
            verdict,
            until: selection.seen_until,
            seen: selection.seen,
            before: walk.before,
            ..Filter::newest(Self::BATCH)
        };
        let mut payments = self.payments(&filter).await?;
        walk.before = payments.last().map(|last| last.id);
        if walk.before.is_none() {
            walk.left.pop();
        }
        payments.retain(|one| !one.was_dropped() && selection.takes(one));
        Ok(Some(payments))
    }

    /// How much is recorded by now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn seen(&self) -> Result<Seen> {
        let (judgement, attempt) = sqlx::query_as(
            "SELECT (SELECT COALESCE(MAX(rowid), 0) FROM judgements), (SELECT COALESCE(MAX(rowid), 0) FROM attempts)",
        )
        .fetch_one(&self.read)
        .await?;
        Ok(Seen { judgement, attempt })
    }

    /// How many payments of a selection an action suits.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_selected(&self, action: BulkAction, selection: &Selection) -> Result<u64> {
        let (mut walk, mut count) = (Self::walk(action, selection), 0);
        while let Some(some) = self.next_selected(selection, &mut walk).await? {
            count += u64::try_from(some.len()).unwrap_or(u64::MAX);
        }
        Ok(count)
    }

    /// Decides about every payment of a selection that the action suits, each with a decision on record. Each batch is one SQL
    /// transaction. A payment that changed meanwhile, so that the decision is refused, stays as it is. Returns how many were decided.
    ///
    /// # Errors
    /// When the database fails; the batches before that stay decided, and the same call goes on from there.
    pub async fn decide_all(
        &self,
        action: BulkAction,
        selection: &Selection,
        by: &Decision,
        now: Timestamp,
    ) -> Result<u64> {
        let (mut walk, mut decided) = (Self::walk(action, selection), 0);
        while let Some(some) = self.next_selected(selection, &mut walk).await? {
            if !some.is_empty() {
                decided += self.decide_batch(action, &some, by, now).await?;
            }
        }
        Ok(decided)
    }

    async fn decide_batch(
        &self,
        action: BulkAction,
        some: &[PaymentSummary],
        by: &Decision,
        now: Timestamp,
    ) -> Result<u64> {
        let mut tx = self.begin_durable().await?;
        let mut decided = 0;
        for payment in some {
            let column = "signature";
            let which = Which {
                signature: payment
                    .signature
                    .parse()
                    .map_err(|_| Error::Corrupt { column })?,
                token_account: payment.token_account.parse().ok(),
            };
            let done = match decisions::find(&mut tx, which).await {
                Ok(found) if action == BulkAction::Retry => {
                    decisions::retry_waiting(&mut tx, &found, by, now).await
                }
                Ok(found) => decisions::dismiss(&mut tx, &found, by, now).await,
                Err(error) => Err(error),
            };
            match done {
                Ok(()) => decided += 1,
                // Refused before anything was written.
                Err(Error::Refused(refusal)) => note_left(payment, &refusal),
                Err(error) => return Err(error),
            }
        }
        tx.commit().await?;
        Ok(decided)
    }
}

fn note_left(payment: &PaymentSummary, refusal: &Refusal) {
    let signature = &payment.signature;
    tracing::debug!(signature, %refusal, "a payment changed meanwhile and is left as it is");
}
