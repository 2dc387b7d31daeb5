//! The loops that read history: sweeps, what is taken in beside a long sweep, and second opinions.

use super::failures::Failures;
use crate::pipeline::{Pipeline, SecondOpinion, Sweep};
use std::{convert::Infallible, sync::Arc};
use tokio::time::sleep;

/// Sweep intervals from one endpoint that is asked for a second opinion to the next.
const OPINION_EVERY_SWEEPS: u32 = 2;

pub(super) async fn sweep(pipeline: Arc<Pipeline>) {
    let (mut sweep, mut failures) = (
        Sweep::new(pipeline.clone()),
        Failures::of("sweep", &pipeline),
    );
    loop {
        // A payment whose checkout is not known yet is held, and judged again when the checkout becomes known.
        if !pipeline.watching().accounts().is_empty() {
            match peeking_meanwhile(&pipeline, sweep.step()).await {
                Ok(swept) => {
                    failures.none();
                    tracing::debug!(?swept, "swept");
                }
                // One account that fails makes the others wait no longer than usual.
                Err(error) => {
                    failures.note(&error);
                }
            }
        }
        let rung = pipeline.bells.sweep.notified();
        let _either = tokio::time::timeout(pipeline.sweep_pause(), rung).await;
    }
}

/// Lists history by each endpoint in turn, beside the sweeps: what an endpoint takes long for delays no sweep.
pub(super) async fn second_opinion(pipeline: Arc<Pipeline>) {
    let mut opinion = SecondOpinion::new(pipeline.clone());
    let mut failures = Failures::of("second_opinion", &pipeline);
    let every = pipeline.config.solana.sweep_every;
    loop {
        sleep(every.saturating_mul(OPINION_EVERY_SWEEPS)).await;
        match opinion.step().await {
            Ok(_) => failures.none(),
            Err(error) => {
                failures.note(&error);
            }
        }
    }
}

/// While a sweep takes longer than the interval, payments that arrive meanwhile are taken in beside it.
async fn peeking_meanwhile<T>(pipeline: &Arc<Pipeline>, step: impl Future<Output = T>) -> T {
    tokio::select! {
        biased;
        done = step => done,
        never = peek_for_ever(pipeline) => match never {},
    }
}

async fn peek_for_ever(pipeline: &Arc<Pipeline>) -> Infallible {
    let (peeking, mut failures) = (Sweep::new(pipeline.clone()), Failures::of("peek", pipeline));
    loop {
        sleep(pipeline.config.solana.sweep_every).await;
        match peeking.peek().await {
            Ok(_) => failures.none(),
            Err(error) => sleep(failures.note(&error)).await,
        }
    }
}
