//! Tells people, or their programs, what happened: notices are found in the database, written down there, and posted until they
//! are taken. Payments never wait for any of it.

mod health;
mod message;
mod post;

pub use post::{Format, signing_key};

use health::{Damped, damp};
use message::Look;
use post::{NotTaken, Poster};

use crate::domain::Timestamp;
use crate::merchant::Secret;
use crate::pipeline::{Pipeline, Unready, next_attempt};
use crate::solana::endpoint_label;
use crate::store::{DueNotice, Fact, Health, Lasting};
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

impl From<Health> for Event {
    fn from(health: Health) -> Self {
        match health {
            Health::KeyRefused => Self::KeyRefused,
            Health::NotReady => Self::NotReady,
            Health::Recovered => Self::Recovered,
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
    /// What they are signed with, each valid for [`signing_key`]: while secrets are exchanged, the old and the new one.
    pub secrets: Vec<Secret>,
    /// What is told of.
    pub events: BTreeSet<Event>,
    /// How long a payment is held before anybody is told: most that are held for a memo nobody knows are matched a moment later.
    pub held_after: Duration,
    /// How long the daemon is not ready before anybody is told.
    pub health_after: Duration,
}

/// The address may hold a key.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("url", &endpoint_label(&self.url))
            .field("format", &self.format)
            .field("secrets", &self.secrets)
            .field("events", &self.events)
            .field("held_after", &self.held_after)
            .field("health_after", &self.health_after)
            .finish()
    }
}

/// Finds and posts notices.
pub struct Notify {
    pipeline: Arc<Pipeline>,
    settings: Settings,
    poster: Poster,
    began_at: Timestamp,
    /// The health that lasts, and what people were told last; `None` before the first look.
    health: Option<(Lasting, Health)>,
}

/// A state of health that people are to be told of.
struct News {
    lasting: Lasting,
    health: Health,
    unready: Option<Unready>,
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
            health: None,
        })
    }

    /// Writes down what is new, and posts what is due. Returns how many were posted, well or in vain. Once the address answered 410,
    /// nothing is posted to it until the next start.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn step(&mut self) -> anyhow::Result<usize> {
        let now = clock::now();
        self.write_down(now).await?;
        if self.is_gone() {
            return Ok(0);
        }
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

    async fn write_down(&mut self, now: Timestamp) -> anyhow::Result<()> {
        let news = self.of_health(now).await?;
        let store = &self.pipeline.store;
        let (held_before, events) = (now.minus(self.settings.held_after), &self.settings.events);
        let is_wanted = |word: &str| word.parse().is_ok_and(|event| events.contains(&event));
        let found = store.unnoticed(is_wanted, held_before, now).await;
        let found = found.context("look for what nobody was told")?;
        let of_payment = |fact: &Fact| {
            let event = fact.told.parse().ok()?;
            Some(message::of_payment(event, fact, self.look()))
        };
        let mut notices: Vec<_> = found.facts.iter().filter_map(of_payment).collect();
        let of_health = |news: &News| {
            let (event, since) = (news.health.into(), news.lasting.since);
            let is_wanted = events.contains(&event);
            is_wanted.then(|| message::of_health((event, since), news.unready, now, self.look()))
        };
        notices.extend(news.as_ref().and_then(of_health));
        if !notices.is_empty() || found.looked_at.is_some() {
            let written = store.write_notices(&notices, &found, now).await;
            written.context("write notices down")?;
        }
        // After it: a crash in between writes it again, under the same key.
        if let Some(News {
            lasting, health, ..
        }) = news
        {
            self.note_health(lasting, health).await?;
        }
        Ok(())
    }

    /// The change of the daemon's health that people are to be told of.
    async fn of_health(&mut self, now: Timestamp) -> anyhow::Result<Option<News>> {
        let (before, told) = match self.health {
            Some((lasting, told)) => (Some(lasting), told),
            None => self.before_the_start().await?,
        };
        let was_ready = before.is_none_or(|before| before.health == Health::Recovered);
        let sweep_every = self.pipeline.config.solana.sweep_every;
        let unready = self.pipeline.status.unready(sweep_every, now);
        let seen = match unready {
            Some(Unready::KeyRefused) => Health::KeyRefused,
            // Just started: nothing was heard yet, which goes on with an outage and begins none.
            Some(Unready::ChainSilent | Unready::HistoryUnread | Unready::NotListening)
                if was_ready && now.since(self.began_at) < START =>
            {
                return Ok(None);
            }
            Some(_) => Health::NotReady,
            None => Health::Recovered,
        };
        let Damped { lasting, news } = damp(told, before, seen, now, self.settings.health_after);
        self.note_health(lasting, told).await?;
        Ok(news.map(|health| News {
            lasting,
            health,
            unready,
        }))
    }

    async fn note_health(&mut self, lasting: Lasting, told: Health) -> anyhow::Result<()> {
        if self.health != Some((lasting, told)) {
            let noted = self.pipeline.store.note_health(lasting, told).await;
            noted.context("note the state of health")?;
            self.health = Some((lasting, told));
        }
        Ok(())
    }

    /// What lasted before this start, and what people were told. While it was away the daemon was not ready: readiness begins anew.
    async fn before_the_start(&self) -> anyhow::Result<(Option<Lasting>, Health)> {
        let noted = self.pipeline.store.noted_health().await;
        let noted = noted.context("read the state of health")?;
        let Some((lasting, told)) = noted else {
            return Ok((None, Health::Recovered));
        };
        let is_bad = lasting.health != Health::Recovered;
        Ok((is_bad.then_some(lasting), told))
    }

    fn look(&self) -> Look<'_> {
        Look {
            format: self.settings.format,
            pages: self.pipeline.config.ops.public_url.as_ref(),
        }
    }

    fn is_gone(&self) -> bool {
        self.pipeline.status.are_notices_refused()
    }

    async fn post(&self, notice: DueNotice) -> anyhow::Result<()> {
        if self.is_gone() {
            return Ok(());
        }
        let posted = self.poster.post(&notice, clock::now()).await;
        let now = clock::now();
        let attempts = notice.attempts.saturating_add(1);
        let (due_at, outcome) = match posted {
            Ok(()) => (None, "sent"),
            Err(NotTaken::Gone) => {
                metrics::counter!("paywatch_notices_total", "outcome" => "gone").increment(1);
                if !self.is_gone() {
                    tracing::error!(
                        key = notice.key,
                        "the address of notices answers 410 Gone: nothing more is posted to it; set notify.url and restart paywatch"
                    );
                }
                self.pipeline.status.refuse_notices();
                return Ok(());
            }
            Err(why) if now.since(notice.at) > GIVE_UP_AFTER => {
                tracing::error!(key = notice.key, reason = %why, "notice given up");
                (None, "given_up")
            }
            Err(why) => {
                let due_at = next_attempt(attempts, why.retry_after(), now, chance::fraction());
                tracing::warn!(key = notice.key, reason = %why, again_in = ?due_at.since(now), "notice not taken; will be sent again");
                (Some(due_at), "retry")
            }
        };
        metrics::counter!("paywatch_notices_total", "outcome" => outcome).increment(1);
        let noted = self.pipeline.store.note_sent(&notice, due_at, now).await;
        noted.context("note what became of a notice")
    }
}
