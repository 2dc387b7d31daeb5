//! Step 6: due confirmations are sent to the merchant, and each answer decides what becomes of them.

use super::Pipeline;
use super::attempt::{Done, KEY_PAUSE, announce};
use super::key::KeyState;
use super::status::KeyUse;
use crate::clock;
use crate::domain::Timestamp;
use crate::store::{Due, Next};
use anyhow::Context;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

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

/// What recording brought.
struct Turned {
    recorded: Vec<Done>,
    taken: Vec<Due>,
    /// After how long the outbox is worth a look again.
    look_in: Duration,
}

/// Sends confirmations, several at once.
///
/// Attempts go on while their outcomes are recorded and others are taken from the outbox, all that has gathered in one SQL
/// transaction. An attempt under way talks to the API only: it must never use the database, which the recording may be waiting for.
pub struct Confirm {
    pipeline: Arc<Pipeline>,
    /// Taken from the outbox, waiting for a hand.
    taken: VecDeque<Due>,
    under_way: FuturesUnordered<BoxFuture<'static, Done>>,
    /// The outbox rows of the attempts under way, and until when they are leased.
    in_hand: HashMap<i64, Timestamp>,
    /// Taken, and not to be sent now: to be given back to the outbox.
    to_give_back: Vec<Due>,
    /// Attempts that ended and are not recorded yet.
    ended: Vec<Done>,
    /// Recording what ended and taking what is due.
    turning: Option<BoxFuture<'static, anyhow::Result<Turned>>>,
    /// When the outbox is worth a look; until then nothing is due, as far as this process knows. Not by the calendar, which may be
    /// put back.
    look_at: Instant,
    /// After the key was refused: nothing is sent before then, and then one at a time.
    refused_until: Option<Instant>,
}

impl Confirm {
    /// Sends what the pipeline queued.
    #[must_use]
    pub fn new(pipeline: Arc<Pipeline>) -> Self {
        Self {
            pipeline,
            taken: VecDeque::new(),
            under_way: FuturesUnordered::new(),
            in_hand: HashMap::new(),
            to_give_back: Vec::new(),
            ended: Vec::new(),
            turning: None,
            look_at: Instant::now(),
            refused_until: None,
        }
    }

    /// Goes on until outcomes were recorded, or there is nothing to do.
    ///
    /// # Errors
    /// When the database fails. An attempt whose outcome could not be recorded is made again, with the same pair.
    pub async fn step(&mut self) -> anyhow::Result<ConfirmOutcome> {
        loop {
            let now = Instant::now();
            self.begin_attempts(now);
            self.begin_turning(now, self.wanted(now));
            let pipeline = self.pipeline.clone();
            // Without a free hand there is no use in looking: an attempt that ends wakes this up.
            let wait = if self.look_at > now {
                self.look_at.duration_since(now).min(LOOK_EVERY)
            } else {
                LOOK_EVERY
            };
            tokio::select! {
                biased;
                Some(done) = self.under_way.next() => self.note_ended(done),
                turned = finished(&mut self.turning) => {
                    let outcomes = self.note_turned(turned?);
                    if !outcomes.is_empty() {
                        return Ok(ConfirmOutcome::Attempted(outcomes));
                    }
                    if !self.is_busy() {
                        return Ok(ConfirmOutcome::Idle);
                    }
                }
                () = pipeline.handed.bell.notified() => {}
                () = pipeline.bells.confirm.notified() => {
                    self.look_at = Instant::now();
                    return Ok(ConfirmOutcome::Idle);
                }
                () = tokio::time::sleep(wait), if self.turning.is_none() => return Ok(ConfirmOutcome::Idle),
            }
        }
    }

    /// Finishes the attempts under way without beginning new ones, and gives back the confirmations that were only taken.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn drain(&mut self) -> anyhow::Result<()> {
        while let Some(done) = self.under_way.next().await {
            self.ended.push(done);
        }
        self.give_back_taken();
        while self.turning.is_some() || !self.ended.is_empty() || !self.to_give_back.is_empty() {
            self.begin_turning(Instant::now(), 0);
            let turned = finished(&mut self.turning).await?;
            self.note_turned(turned);
            self.give_back_taken();
        }
        Ok(())
    }

    /// Whether attempts are under way or about to be.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        let is_done = self.taken.is_empty() && self.under_way.is_empty() && self.ended.is_empty();
        !is_done
            || !self.to_give_back.is_empty()
            || self.turning.is_some()
            || !self.pipeline.handed.is_empty()
    }

    /// Attempts at once, now.
    fn hands(&self, now: Instant) -> usize {
        match self.refused_until {
            Some(until) if until > now => 0,
            Some(_) => 1,
            None => self.pipeline.config.merchant.settings.max_in_flight,
        }
    }

    fn give_back_taken(&mut self) {
        self.to_give_back.extend(self.taken.drain(..));
        self.to_give_back
            .extend(self.pipeline.handed.take(usize::MAX));
    }

    fn begin_attempts(&mut self, now: Instant) {
        if self.hands(now) == 0 {
            self.give_back_taken();
            return;
        }
        // New payments go first: their buyers look at the screen. While all hands are full, new confirmations go through the outbox.
        let room = (2 * self.hands(now)).saturating_sub(self.taken.len());
        for due in self.pipeline.handed.take(room) {
            self.taken.push_front(due);
        }
        while self.under_way.len() < self.hands(now)
            && let Some(due) = self.taken.pop_front()
        {
            // Taken again during an attempt that outlasted its lease, or after the clock was put back: the attempt goes on.
            if let Some(leased_until) = self.in_hand.get_mut(&due.id) {
                *leased_until = due.leased_until;
                continue;
            }
            // A confirmation that waited too long for a hand may belong to another process before the attempt ends: it is taken anew
            // after its lease.
            if due.leased_until.since(clock::now()) >= self.pipeline.longest_attempt() {
                self.in_hand.insert(due.id, due.leased_until);
                let pipeline = self.pipeline.clone();
                self.under_way
                    .push(async move { pipeline.attempt(due).await }.boxed());
            }
        }
    }

    /// How many to take from the outbox: as many as hands can do twice over, so that the others go on while some are recorded.
    fn wanted(&self, now: Instant) -> usize {
        let places = match self.refused_until {
            None => 2 * self.hands(now),
            Some(_) => self.hands(now),
        };
        if self.look_at > now {
            return 0;
        }
        places.saturating_sub(self.under_way.len() + self.taken.len())
    }

    /// Records the attempts that ended, gives back and takes confirmations, unless that is under way.
    fn begin_turning(&mut self, now: Instant, wanted: usize) {
        let is_idle = self.ended.is_empty() && self.to_give_back.is_empty() && wanted == 0;
        if self.turning.is_some() || is_idle {
            return;
        }
        if wanted > 0 {
            // A confirmation that is queued from now on rings a bell, which sets this back.
            self.look_at = now + LOOK_EVERY;
        }
        let (pipeline, ended) = (self.pipeline.clone(), std::mem::take(&mut self.ended));
        let back = std::mem::take(&mut self.to_give_back);
        self.turning = Some(async move { pipeline.turn_over(ended, back, wanted).await }.boxed());
    }

    fn note_ended(&mut self, done: Done) {
        let began = self.ended.len();
        self.ended.push(done);
        while let Some(Some(done)) = self.under_way.next().now_or_never() {
            self.ended.push(done);
        }
        let (mut is_accepted, mut is_refused) = (false, false);
        for done in self.ended.iter_mut().skip(began) {
            if let Some(leased_until) = self.in_hand.remove(&done.due.id) {
                done.due.leased_until = leased_until;
            }
            is_accepted |= done.key == KeyState::Accepted;
            is_refused |= done.key == KeyState::Refused;
        }
        if is_refused {
            self.refused_until = Some(Instant::now() + KEY_PAUSE);
        } else if is_accepted {
            self.refused_until = None;
        }
        if is_refused || is_accepted {
            self.pipeline.note_key(KeyUse::Confirm, is_refused);
        }
    }

    fn note_turned(&mut self, turned: Turned) -> Vec<Next> {
        self.taken.extend(turned.taken);
        self.look_at = self.look_at.min(Instant::now() + turned.look_in);
        turned.recorded.iter().for_each(announce);
        let recorded = turned.recorded.into_iter();
        recorded.map(|done| done.next).collect()
    }
}

/// What a recording brought, once it is done; never, if none is under way.
async fn finished(
    turning: &mut Option<BoxFuture<'static, anyhow::Result<Turned>>>,
) -> anyhow::Result<Turned> {
    match turning {
        Some(under_way) => {
            let turned = under_way.await;
            *turning = None;
            turned
        }
        None => std::future::pending().await,
    }
}

fn pause_until(due_at: Option<Timestamp>, now: Timestamp) -> Duration {
    due_at.map_or(LOOK_EVERY, |at| at.since(now).min(LOOK_EVERY))
}

impl Pipeline {
    /// How long a confirmation that was taken is left to this process: it waits for a hand, and then is attempted.
    pub(super) fn lease(&self) -> Duration {
        let deadline = self.config.merchant.settings.request_timeout;
        self.longest_attempt() + deadline + LEASE_MARGIN
    }

    /// How long an attempt may take, with all that belongs to it: a place and a turn among the requests, the call, the call with a new
    /// key, and the question about the key.
    pub(super) fn longest_attempt(&self) -> Duration {
        self.config.merchant.settings.request_timeout * 2
    }

    /// Records attempts, gives back confirmations that were not tried, and takes what is due.
    async fn turn_over(
        &self,
        ended: Vec<Done>,
        back: Vec<Due>,
        wanted: usize,
    ) -> anyhow::Result<Turned> {
        if !back.is_empty() {
            let given_back = self.store.give_back(&back, clock::now()).await;
            given_back.context("give back confirmations")?;
        }
        let attempts: Vec<_> = ended
            .iter()
            .map(|done| (&done.due, &done.attempt, &done.next))
            .collect();
        let (now, lease) = (clock::now(), self.lease());
        let taken = self.store.turn_over(&attempts, now, lease, wanted).await;
        let taken = taken.context("record attempts and take due confirmations")?;
        let look_in = if wanted == 0 {
            let retries = ended.iter().filter_map(|done| done.next.due_at());
            pause_until(retries.min(), now)
        } else if taken.len() == wanted {
            Duration::ZERO
        } else {
            let next = self.store.next_due_at().await.context("read the outbox")?;
            pause_until(next, now)
        };
        Ok(Turned {
            recorded: ended,
            taken,
            look_in,
        })
    }

    /// The API is back after it was away: what waits for a retry far off is due now. How many are sent at once stays bounded.
    pub(super) async fn hurry(&self) -> anyhow::Result<()> {
        let now = clock::now();
        let hurried = self
            .store
            .hurry(now, self.lease())
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
}
