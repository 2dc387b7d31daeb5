//! Step 6: due confirmations are sent to the merchant, and each answer decides what becomes of them.

use super::status::KeyUse;
use super::{Pipeline, next_attempt};
use crate::domain::{Checkout, CheckoutStatus, Signature, Timestamp};
use crate::merchant::Answer;
use crate::store::{Attempt, Due, Next};
use crate::{chance, clock};
use anyhow::Context;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use std::{sync::Arc, time::Duration};

/// How long an API that says no is given to catch up with the chain before a person must look.
const REJECTION_PATIENCE: Duration = Duration::from_mins(10);
/// How long confirmations wait after the key was refused.
const KEY_PAUSE: Duration = Duration::from_mins(1);
/// Added to the request's deadline before a leased confirmation may be sent by somebody else.
const LEASE_MARGIN: Duration = Duration::from_secs(5);
/// Longest sleep without a look at the outbox: another process may have filled it.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What one step did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfirmOutcome {
    /// Attempts were made, and this became of them.
    Attempted(Vec<Next>),
    /// Nothing was to be done.
    Idle,
}

struct Done {
    due: Due,
    attempt: Attempt,
    next: Next,
    answer: Answer,
    /// What the API's history told by the way; it concerns other payments too.
    learned: Option<Checkout>,
}

/// Sends confirmations, several at once.
///
/// An attempt under way talks to the API only. It must never use the database: it goes on only while [`Confirm::step`] lets it, and
/// would keep a connection that the step itself waits for.
pub struct Confirm {
    pipeline: Arc<Pipeline>,
    under_way: FuturesUnordered<BoxFuture<'static, Done>>,
    /// When the outbox is worth a look; until then nothing is due, as far as this process knows.
    look_at: Timestamp,
    /// After the key was refused: nothing is sent before then, and then one at a time.
    refused_until: Option<Timestamp>,
}

impl Confirm {
    /// Sends what the pipeline queued.
    #[must_use]
    pub fn new(pipeline: Arc<Pipeline>) -> Self {
        Self {
            pipeline,
            under_way: FuturesUnordered::new(),
            look_at: Timestamp(0),
            refused_until: None,
        }
    }

    /// Takes what is due, as far as hands are free, and finishes attempts or waits for something to do.
    ///
    /// # Errors
    /// When the database fails. An attempt whose outcome could not be recorded is made again, with the same pair.
    pub async fn step(&mut self) -> anyhow::Result<ConfirmOutcome> {
        self.take_due(clock::now()).await?;
        let pipeline = self.pipeline.clone();
        let wait = self
            .look_at
            .since(clock::now())
            .clamp(Duration::from_millis(1), LOOK_EVERY);
        tokio::select! {
            biased;
            Some(done) = self.under_way.next() => {
                let mut all = vec![done];
                while let Some(Some(done)) = self.under_way.next().now_or_never() {
                    all.push(done);
                }
                self.finish(all).await.map(ConfirmOutcome::Attempted)
            }
            () = pipeline.bells.confirm.notified() => {
                self.look_at = Timestamp(0);
                Ok(ConfirmOutcome::Idle)
            }
            () = tokio::time::sleep(wait) => Ok(ConfirmOutcome::Idle),
        }
    }

    /// Finishes the attempts under way without beginning new ones.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn drain(&mut self) -> anyhow::Result<()> {
        while let Some(done) = self.under_way.next().await {
            self.finish(vec![done]).await?;
        }
        Ok(())
    }

    /// Whether attempts are under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.under_way.is_empty()
    }

    async fn take_due(&mut self, now: Timestamp) -> anyhow::Result<()> {
        let settings = &self.pipeline.config.merchant.settings;
        let hands = match self.refused_until {
            Some(until) if until > now => 0,
            Some(_) => 1,
            None => settings.max_in_flight,
        };
        let free = hands.saturating_sub(self.under_way.len());
        if free == 0 || self.look_at > now {
            return Ok(());
        }
        let store = &self.pipeline.store;
        let taken = store
            .claim_due(now, self.pipeline.lease(), free)
            .await
            .context("take due confirmations")?;
        if taken.len() < free {
            let next = store.next_due_at().await.context("read the outbox")?;
            let latest = now.plus(LOOK_EVERY);
            self.look_at = next.map_or(latest, |at| at.min(latest));
        }
        for due in taken {
            let pipeline = self.pipeline.clone();
            self.under_way
                .push(async move { pipeline.attempt(due).await }.boxed());
        }
        Ok(())
    }

    async fn finish(&mut self, all: Vec<Done>) -> anyhow::Result<Vec<Next>> {
        let refused = all.iter().any(|done| done.answer == Answer::KeyRefused);
        self.refused_until = refused.then(|| clock::now().plus(KEY_PAUSE));
        self.pipeline.note_key(KeyUse::Confirm, refused);
        let learned: Vec<_> = all.iter().filter_map(|done| done.learned.clone()).collect();
        if let Err(error) = self.pipeline.store.upsert_checkouts(&learned).await {
            tracing::debug!(%error, "looked-up checkout not recorded; left to the next poll");
        }
        let outcomes: Vec<_> = all
            .iter()
            .map(|done| (&done.due, &done.attempt, &done.next))
            .collect();
        self.pipeline
            .store
            .attempted(&outcomes)
            .await
            .context("record attempts")?;
        // A retry may be due before the next look.
        self.look_at = Timestamp(0);
        all.iter().for_each(announce);
        Ok(all.into_iter().map(|done| done.next).collect())
    }
}

/// Logs and counts what became of an attempt.
fn announce(done: &Done) {
    let Done {
        due, attempt, next, ..
    } = done;
    let (signature, memo, reason) = (due.signature, &due.memo, &attempt.reason);
    let word = match next {
        Next::Acknowledged => {
            let took = clock::now().since(due.queued_at);
            metrics::histogram!("paywatch_queued_to_acknowledged_seconds")
                .record(took.as_secs_f64());
            tracing::info!(%signature, %memo, reason, ?took, "payment confirmed");
            "acknowledged"
        }
        Next::Retry { due_at, .. } => {
            let again_in = due_at.since(clock::now());
            tracing::warn!(%signature, %memo, reason, ?again_in, "confirmation not taken; will be sent again");
            "retry"
        }
        Next::Parked => {
            tracing::error!(%signature, %memo, reason, "confirmation given up: a person must look");
            "parked"
        }
        Next::PaidByOther => {
            tracing::warn!(%signature, %memo, reason, "checkout was confirmed by another transaction: this payment is held");
            "paid_by_other"
        }
    };
    metrics::counter!("paywatch_attempts_total", "outcome" => word).increment(1);
}

impl Pipeline {
    /// How long an attempt may take before somebody else may make it: a rejection is looked up in the history, which takes a second
    /// deadline or more.
    fn lease(&self) -> Duration {
        let deadline = self.config.merchant.settings.request_timeout;
        deadline.saturating_mul(3) + LEASE_MARGIN
    }

    /// The API is back after it was away: what waits for a retry far off is due now. How many are sent at once stays bounded.
    pub(super) async fn hurry(&self) -> anyhow::Result<()> {
        let now = clock::now();
        let hurried = self
            .store
            .hurry(now, now.plus(self.lease()))
            .await
            .context("hurry confirmations")?;
        if hurried > 0 {
            tracing::info!(
                confirmations = hurried,
                "the payments API is back: sending what waited for it"
            );
            self.bells.confirm.notify_one();
        }
        Ok(())
    }

    /// One call to the merchant, and what it means.
    async fn attempt(&self, due: Due) -> Done {
        let (at, began) = (clock::now(), tokio::time::Instant::now());
        let result = self.merchant.confirm(&due.memo, due.signature).await;
        let mut learned = None;
        let attempt = |reason: String| Attempt {
            at,
            status: result.status,
            took: began.elapsed(),
            reason,
        };
        let (next, reason) = match result.answer {
            Answer::Accepted => (Next::Acknowledged, result.reason.clone()),
            Answer::KeyRefused => {
                let due_at = clock::now().plus(KEY_PAUSE);
                (
                    Next::Retry {
                        due_at,
                        rejected_since: due.rejected_since,
                    },
                    result.reason.clone(),
                )
            }
            Answer::Later(retry_after) => (
                self.later(&due, retry_after, due.rejected_since),
                result.reason.clone(),
            ),
            Answer::Rejected => match self.look_up(&due.memo).await {
                Ok(checkout) => {
                    let after = self.after_rejection(&due, checkout.as_ref(), &result.reason);
                    learned = checkout;
                    after
                }
                Err(error) => (
                    self.later(&due, None, due.rejected_since),
                    format!("{}; the history could not be read: {error}", result.reason),
                ),
            },
        };
        Done {
            attempt: attempt(reason),
            answer: result.answer,
            next,
            due,
            learned,
        }
    }

    fn later(
        &self,
        due: &Due,
        retry_after: Option<Duration>,
        rejected_since: Option<Timestamp>,
    ) -> Next {
        let now = clock::now();
        if now.since(due.queued_at) > self.config.merchant.give_up_after {
            return Next::Parked;
        }
        let due_at = next_attempt(
            due.attempts.saturating_add(1),
            retry_after,
            now,
            chance::fraction(),
        );
        Next::Retry {
            due_at,
            rejected_since,
        }
    }

    /// The API said no. Its history says why: the checkout is confirmed already, or the API lags behind the chain.
    fn after_rejection(
        &self,
        due: &Due,
        checkout: Option<&Checkout>,
        reason: &str,
    ) -> (Next, String) {
        let now = clock::now();
        match confirmed_by(checkout, due.signature) {
            ConfirmedBy::This => (
                Next::Acknowledged,
                "the history shows it confirmed by this transaction".into(),
            ),
            ConfirmedBy::Untold => (
                Next::Acknowledged,
                "the history shows it confirmed and does not say by which transaction".into(),
            ),
            ConfirmedBy::Other(other) => (
                Next::PaidByOther,
                format!("the history shows it confirmed by {other}"),
            ),
            ConfirmedBy::Nobody => {
                let since = due.rejected_since.unwrap_or(now);
                if now.since(since) > REJECTION_PATIENCE {
                    (
                        Next::Parked,
                        format!("{reason}, and the history still shows it pending"),
                    )
                } else {
                    (
                        self.later(due, None, Some(since)),
                        format!("{reason}, and the history shows it pending"),
                    )
                }
            }
        }
    }
}

enum ConfirmedBy {
    This,
    Untold,
    Other(Signature),
    Nobody,
}

fn confirmed_by(checkout: Option<&Checkout>, signature: Signature) -> ConfirmedBy {
    match checkout.map(|checkout| checkout.status) {
        Some(CheckoutStatus::Confirmed(Some(by))) if by == signature => ConfirmedBy::This,
        Some(CheckoutStatus::Confirmed(Some(by))) => ConfirmedBy::Other(by),
        Some(CheckoutStatus::Confirmed(None)) => ConfirmedBy::Untold,
        Some(CheckoutStatus::Pending) | None => ConfirmedBy::Nobody,
    }
}
