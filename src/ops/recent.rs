//! What came lately: counted over many rows, so not more often than that may cost.

use super::status::Rate;
use crate::clock;
use crate::domain::Timestamp;
use crate::store::{self, Hour, Store};
use std::time::Duration;
use tokio::{sync::Mutex, time::Instant};

/// What came in the last day.
#[derive(Clone, Debug)]
pub(super) struct Recent {
    pub(super) hours: Vec<Hour>,
    pub(super) last_hour: Rate,
    pub(super) last_day: Rate,
}

/// The last count, and until when it is good enough.
#[derive(Debug, Default)]
pub(super) struct Recents(Mutex<Option<(Recent, Instant)>>);

impl Recents {
    /// A count is good for so many times as long as it took: counting takes at most a twentieth of one core, whoever looks on.
    const GOOD_FOR: u32 = 20;
    /// In the chart.
    pub(super) const HOURS: u8 = 24;

    pub(super) async fn get(&self, store: &Store) -> store::Result<Recent> {
        let mut last = self.0.lock().await;
        let began = Instant::now();
        if let Some((recent, good_until)) = &*last
            && began < *good_until
        {
            return Ok(recent.clone());
        }
        let recent = Recent::count(store, clock::now()).await?;
        let good_until = Instant::now() + began.elapsed().saturating_mul(Self::GOOD_FOR);
        *last = Some((recent.clone(), good_until));
        Ok(recent)
    }
}

impl Recent {
    async fn count(store: &Store, now: Timestamp) -> store::Result<Self> {
        let ago = |hours| now.minus(Duration::from_hours(hours));
        let this_hour = Timestamp(now.0.div_euclid(Hour::MILLISECONDS) * Hour::MILLISECONDS);
        let since = this_hour.minus(Duration::from_hours(u64::from(Recents::HOURS) - 1));
        let hours = store.hourly(since).await?;
        let starts = (0..Recents::HOURS).map(|hour| since.plus(Duration::from_hours(hour.into())));
        let of = |start: Timestamp| hours.iter().find(|hour| hour.start == start).copied();
        Ok(Self {
            hours: starts
                .map(|start| of(start).unwrap_or_else(|| Hour::empty(start)))
                .collect(),
            last_hour: rate(store, ago(1)).await?,
            last_day: rate(store, ago(24)).await?,
        })
    }
}

async fn rate(store: &Store, since: Timestamp) -> store::Result<Rate> {
    let (payments, confirmed) = store.recorded_since(since).await?;
    Ok(Rate {
        payments,
        confirmed,
    })
}
