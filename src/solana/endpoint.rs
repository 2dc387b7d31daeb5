//! One endpoint, and whether it is well: who fails or lags is asked last for a while, and comes back to its place.

use super::endpoint_label;
use crate::domain::Slot;
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use url::Url;

pub(super) struct Endpoint {
    pub(super) url: Url,
    /// What may be printed of it.
    pub(super) label: String,
    health: Mutex<Health>,
}

#[derive(Default)]
struct Health {
    /// Until then others are asked first.
    resting_until: Option<Instant>,
    /// How often in a row it was sent to rest.
    rests: u32,
    /// Beside the others, when they were last compared.
    is_behind: bool,
}

impl Endpoint {
    /// The first rest; each in a row is twice as long as the one before.
    const REST_MIN: Duration = Duration::from_secs(2);
    const REST_MAX: Duration = Duration::from_mins(1);
    /// So many slots behind the others is as good as away.
    const LAG_MAX: Slot = 50;

    pub(super) fn new(url: &Url) -> Self {
        Self {
            url: url.clone(),
            label: endpoint_label(url),
            health: Mutex::default(),
        }
    }

    pub(super) fn is_unwell(&self, now: Instant) -> bool {
        let health = self.health();
        health.is_behind || health.resting_until.is_some_and(|until| until > now)
    }

    /// It failed; it said itself for how long, or did not.
    pub(super) fn rest(&self, asked: Option<Duration>) {
        let now = Instant::now();
        let mut health = self.health();
        if health.resting_until.is_some_and(|until| until > now) {
            // Many requests under way may fail of one cause.
            return;
        }
        let pause = Self::REST_MIN.saturating_mul(1 << health.rests.min(8));
        let pause = pause.max(asked.unwrap_or_default()).min(Self::REST_MAX);
        health.rests = health.rests.saturating_add(1);
        health.resting_until = Some(now + pause);
        tracing::debug!(
            endpoint = self.label,
            ?pause,
            "endpoint is asked last for a while"
        );
    }

    /// It gave an answer that can be used.
    pub(super) fn answered(&self) {
        self.health().rests = 0;
    }

    /// Beside the others it is so many slots behind; `None` if it did not answer. It stays unwell until it compares better.
    pub(super) fn compared(&self, behind: Option<Slot>) {
        let is_behind = behind.is_none_or(|slots| slots > Self::LAG_MAX);
        let was_behind = std::mem::replace(&mut self.health().is_behind, is_behind);
        let endpoint = &self.label;
        match (was_behind, is_behind) {
            (false, true) => {
                tracing::warn!(
                    endpoint,
                    behind,
                    "endpoint is away or lags: others are asked first"
                );
            }
            (true, false) => tracing::info!(endpoint, "endpoint is well again"),
            _ => {}
        }
    }

    fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
