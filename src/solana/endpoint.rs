//! One endpoint, and whether it is well: who fails or lags is asked last for a while, and comes back to its place.

use super::{endpoint_key, endpoint_label};
use crate::domain::Slot;
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use url::Url;

/// Slots that can have passed in a second, at most, on any network.
const SLOTS_A_SECOND_MAX: u64 = 10;
/// No network is older, Unix seconds.
const FIRST_NETWORK: u64 = 1_546_300_800;

/// The slot that endpoints are compared with, by what they told: of two the newer one; of more the median, so that one that is wrong
/// makes no other seem to lag. A slot that no network can have reached by now is no measure.
pub(super) fn newest_told(told: impl IntoIterator<Item = Slot>, unix_seconds: u64) -> Slot {
    let age = unix_seconds.saturating_sub(FIRST_NETWORK);
    let possible = age.saturating_mul(SLOTS_A_SECOND_MAX);
    let mut told: Vec<_> = told.into_iter().filter(|slot| *slot <= possible).collect();
    told.sort_unstable();
    let place = match told.len() {
        count @ ..3 => count.saturating_sub(1),
        count => count / 2,
    };
    told.get(place).copied().unwrap_or_default()
}

pub(super) struct Endpoint {
    pub(super) url: Url,
    /// What may be printed of it.
    pub(super) label: String,
    /// What tells it from other endpoints of the same host.
    pub(super) key: String,
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
            key: endpoint_key(url),
            health: Mutex::default(),
        }
    }

    /// Whether others are asked first.
    pub(super) fn is_unwell(&self, now: Instant) -> bool {
        self.health().is_behind || self.is_resting(now)
    }

    /// Whether it has failed lately.
    pub(super) fn is_resting(&self, now: Instant) -> bool {
        let resting_until = self.health().resting_until;
        resting_until.is_some_and(|until| until > now)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_endpoint_that_is_wrong_makes_no_other_seem_to_lag() {
        let (now, absurd) = (1_800_000_000, 1_000_000_000_000);
        let cases: [(&[Slot], Slot); 8] = [
            (&[], 0),
            (&[7], 7),
            (&[7, 9], 9),
            (&[7, absurd], 7),
            (&[absurd], 0),
            (&[400, 5_000, 401], 401),
            (&[400, 20, 401], 400),
            (&[400, 5_000, 401, 402], 402),
        ];
        for (told, newest) in cases {
            assert_eq!(newest_told(told.iter().copied(), now), newest, "{told:?}");
        }
    }

    #[test]
    fn endpoints_of_one_host_have_keys_of_their_own_that_show_no_secret() {
        let keys = [
            "https://node.example/key-one",
            "https://node.example/key-two",
        ]
        .map(|url| endpoint_key(&url.parse().unwrap()));
        assert_ne!(keys[0], keys[1]);
        for key in keys {
            assert!(key.starts_with("https://node.example#"), "{key}");
            assert!(!key.contains("key-"), "{key}");
        }
    }
}
