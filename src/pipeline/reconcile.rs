//! Step 8: each page of the API's history is compared with the outbox. The history proves a credit; an answer only promises one.

use super::Pipeline;
use crate::clock;
use crate::domain::{Checkout, Finding, Timestamp};
use crate::store::{Page, Reconciled};
use anyhow::Context;

impl Pipeline {
    /// Records a page of the history that was requested at `asked_at`, and what it makes of confirmations. Returns how many checkouts
    /// are new or changed.
    pub(super) async fn record_page(
        &self,
        checkouts: &[Checkout],
        asked_at: Timestamp,
    ) -> anyhow::Result<u64> {
        let now = clock::now();
        let page = Page {
            // The clock may have been put back while the API answered.
            asked_at: asked_at.min(now),
            credit_within: self.config.merchant.credit_within,
        };
        let recorded = self.store.upsert_checkouts(checkouts, page, now).await;
        let (changed, reconciled) = recorded.context("record checkouts")?;
        reconciled.iter().for_each(announce);
        if reconciled
            .iter()
            .any(|one| one.finding == Finding::SendAgain)
        {
            self.bells.confirm.notify_one();
        }
        Ok(changed)
    }
}

/// Logs and counts what the history made of a confirmation.
fn announce(one: &Reconciled) {
    let (signature, memo) = (one.signature, &one.memo);
    let outcome = match one.finding {
        Finding::Credited => {
            tracing::debug!(%signature, %memo, "the history shows the credit");
            "credited"
        }
        Finding::Settled => {
            let took = clock::now().since(one.queued_at);
            metrics::histogram!("paywatch_confirm_seconds").record(took.as_secs_f64());
            tracing::info!(%signature, %memo, ?took, "payment confirmed, by the word of the history");
            "acknowledged"
        }
        Finding::PaidByOther(by) => {
            tracing::warn!(%signature, %memo, %by, "checkout was confirmed by another transaction: this payment is held");
            "paid_by_other"
        }
        Finding::SendAgain => {
            tracing::warn!(%signature, %memo, "the API accepted the confirmation and its history shows no credit; it is sent once more");
            "sent_again"
        }
        Finding::StillPending => {
            tracing::error!(%signature, %memo, "the API accepted the confirmation twice and its history shows no credit: a person must look");
            "uncredited"
        }
        Finding::CreditedOther(by) => {
            tracing::error!(%signature, %memo, %by, "the API accepted the confirmation and credited another transaction: a person must look");
            "uncredited"
        }
        Finding::GiveUp => {
            tracing::error!(%signature, %memo, "the API rejects the confirmation and its history shows no credit: a person must look");
            "parked"
        }
    };
    metrics::counter!("paywatch_reconciled_total", "outcome" => outcome).increment(1);
}
