//! Steps that fail: said once each, tried ever later.

use crate::pipeline::Pipeline;
use crate::store;
use std::{sync::Arc, time::Duration};

/// Pauses after failed steps in a row, the last repeats.
const FAILED_PAUSES: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(15),
];
/// How often in a row a step has failed.
pub(super) struct Failures {
    step: &'static str,
    in_a_row: usize,
    pipeline: Arc<Pipeline>,
}

impl Failures {
    pub(super) fn of(step: &'static str, pipeline: &Arc<Pipeline>) -> Self {
        Self {
            step,
            in_a_row: 0,
            pipeline: pipeline.clone(),
        }
    }

    /// Logs a failure; returns how long to pause.
    pub(super) fn note(&mut self, error: &anyhow::Error) -> Duration {
        let step = self.step;
        if error
            .chain()
            .filter_map(<dyn std::error::Error>::downcast_ref::<store::Error>)
            .any(store::Error::is_of_the_database)
        {
            self.pipeline.status.store_failed(true);
        }
        metrics::counter!("paywatch_failed_steps_total", "step" => step).increment(1);
        let last = FAILED_PAUSES.len() - 1;
        let pause = FAILED_PAUSES[self.in_a_row.min(last)];
        self.in_a_row = self.in_a_row.saturating_add(1);
        tracing::warn!(
            step,
            error = format!("{error:#}"),
            ?pause,
            "step failed; will be tried again"
        );
        pause
    }

    /// Whether the last step did not fail.
    pub(super) fn is_none(&self) -> bool {
        self.in_a_row == 0
    }

    pub(super) fn none(&mut self) {
        self.in_a_row = 0;
    }
}
