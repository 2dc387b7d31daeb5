//! Tells people, or their programs, what happened: notices are found in the database, written down there, and posted until they
//! are taken. Payments never wait for any of it.

mod message;
mod post;

pub use post::{Format, signing_key};

use post::Poster;

use crate::domain::Timestamp;
use crate::merchant::Secret;
use crate::pipeline::{Pipeline, Unready, next_attempt};
use crate::solana::endpoint_label;
use crate::store::{DueNotice, Fact, Notice};
use crate::{chance, clock};
use anyhow::Context;
use futures_util::{StreamExt, stream};
use std::{collections::BTreeSet, fmt, str::FromStr, sync::Arc, time::Duration};
use url::Url;

/// How long a notice is tried.
const GIVE_UP_AFTER: Duration = Duration::from_hours(72);
/// How long a daemon may be silent after its start before anybody is told.
const START: Duration = Duration::from_mins(1);
/// Posted at a time.
const AT_ONCE: usize = 4;
/// Posted in one step.
const IN_A_STEP: u32 = 64;

/// What people are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// The API took a payment.
    Confirmed,
    /// A payment waits for a person.
    Held,
    /// A confirmation was given up.
    Parked,
    /// The API accepted a confirmation, and its history shows no credit.
    Uncredited,
    /// The fork of a payment died.
    Dropped,
    /// The API does not take the key.
    KeyRefused,
    /// The daemon does not do its work.
    NotReady,
    /// It does again.
    Recovered,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Confirmed,
        Self::Held,
        Self::Parked,
        Self::Uncredited,
        Self::Dropped,
        Self::KeyRefused,
        Self::NotReady,
        Self::Recovered,
    ];

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Held => "held",
            Self::Parked => "parked",
            Self::Uncredited => "uncredited",
            Self::Dropped => "dropped",
            Self::KeyRefused => "key_refused",
            Self::NotReady => "not_ready",
            Self::Recovered => "recovered",
        }
    }
}

impl FromStr for Event {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        let mut all = Self::ALL.into_iter();
        all.find(|event| event.as_str() == word).ok_or(())
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is told, when, and to whom.
#[derive(Clone)]
pub struct Settings {
    /// Where notices are posted.
    pub url: Url,
    /// How they look.
    pub format: Format,
    /// What they are signed with, valid for [`signing_key`].
    pub secret: Option<Secret>,
    /// What is told of.
    pub events: BTreeSet<Event>,
    /// How long a payment is held before anybody is told: most that are held for a memo nobody knows are matched a moment later.
    pub held_after: Duration,
}

/// The address may hold a key.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("url", &endpoint_label(&self.url))
            .field("format", &self.format)
            .field("secret", &self.secret)
            .field("events", &self.events)
            .field("held_after", &self.held_after)
            .finish()
    }
}

/// Finds and posts notices.
pub struct Notify {
    pipeline: Arc<Pipeline>,
    settings: Settings,
    poster: Poster,
    began_at: Timestamp,
}

impl Notify {
    /// Tells what happens to this pipeline's payments.
    ///
    /// # Errors
    /// When an HTTP client cannot be built.
    pub fn new(pipeline: Arc<Pipeline>, settings: Settings) -> anyhow::Result<Self> {
        let poster = Poster::new(&settings).context("build a client for notices")?;
        Ok(Self {
            pipeline,
            settings,
            poster,
            began_at: clock::now(),
        })
    }

    /// Writes down what is new, and posts what is due. Returns how many were posted, well or in vain.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn step(&self) -> anyhow::Result<usize> {
        let now = clock::now();
        self.write_down(now).await?;
        let due = self.pipeline.store.due_notices(now, IN_A_STEP).await;
        let due = due.context("read the notices that are due")?;
        let count = due.len();
        let mut posts = stream::iter(due)
            .map(|notice| self.post(notice))
            .buffer_unordered(AT_ONCE);
        while let Some(posted) = posts.next().await {
            posted?;
        }
        Ok(count)
    }

    async fn write_down(&self, now: Timestamp) -> anyhow::Result<()> {
        let store = &self.pipeline.store;
        let (held_before, events) = (now.minus(self.settings.held_after), &self.settings.events);
        let is_wanted = |word: &str| word.parse().is_ok_and(|event| events.contains(&event));
        let found = store.unnoticed(is_wanted, held_before, now).await;
        let found = found.context("look for what nobody was told")?;
        let of_payment = |fact: &Fact| {
            let event = fact.told.parse().ok()?;
            Some(message::of_payment(event, fact, self.settings.format))
        };
        let mut notices: Vec<_> = found.facts.iter().filter_map(of_payment).collect();
        notices.extend(self.of_health(now).await?);
        if !notices.is_empty() || found.looked_at.is_some() {
            let written = store.write_notices(&notices, &found, now).await;
            written.context("write notices down")?;
        }
        Ok(())
    }

    /// What changed of the daemon's health since somebody was last told of it.
    async fn of_health(&self, now: Timestamp) -> anyhow::Result<Option<Notice>> {
        let health = [Event::KeyRefused, Event::NotReady, Event::Recovered];
        let last = self
            .pipeline
            .store
            .last_notice(health.map(Event::as_str))
            .await;
        let last: Option<Event> = last
            .context("read the last notice of health")?
            .and_then(|word| word.parse().ok());
        let sweep_every = self.pipeline.config.solana.sweep_every;
        let unready = self.pipeline.status.unready(sweep_every, now);
        let event = match unready {
            Some(Unready::KeyRefused) => Event::KeyRefused,
            // Just started: nothing was heard yet.
            Some(Unready::ChainSilent) if now.since(self.began_at) < START => return Ok(None),
            Some(_) => Event::NotReady,
            None => Event::Recovered,
        };
        let is_news = last.unwrap_or(Event::Recovered) != event;
        let is_wanted = self.settings.events.contains(&event);
        let format = self.settings.format;
        Ok((is_news && is_wanted).then(|| message::of_health(event, unready, now, format)))
    }

    async fn post(&self, notice: DueNotice) -> anyhow::Result<()> {
        let posted = self.poster.post(&notice, clock::now()).await;
        let now = clock::now();
        let attempts = notice.attempts.saturating_add(1);
        let (due_at, outcome) = match posted {
            Ok(()) => (None, "sent"),
            Err(why) if now.since(notice.at) > GIVE_UP_AFTER => {
                tracing::error!(key = notice.key, reason = %why, "notice given up");
                (None, "given_up")
            }
            Err(why) => {
                let due_at = next_attempt(attempts, why.retry_after, now, chance::fraction());
                tracing::warn!(key = notice.key, reason = %why, again_in = ?due_at.since(now), "notice not taken; will be sent again");
                (Some(due_at), "retry")
            }
        };
        metrics::counter!("paywatch_notices_total", "outcome" => outcome).increment(1);
        let noted = self.pipeline.store.note_sent(&notice, due_at, now).await;
        noted.context("note what became of a notice")
    }
}
