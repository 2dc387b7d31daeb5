//! Payments that are judged again: a checkout became known, or what they are judged by has changed.

use super::desk::Desk;
use super::payments::{self, Judgeable};
use super::record::PaymentId;
use super::script::Script;
use super::{Occasion, Recorded, Result, Store, Tx, confirmations};
use crate::domain::{Rules, Timestamp, Verdict};
use std::collections::HashSet;

impl Store {
    /// Judges again the payments that news of checkouts concerns: held ones, and those that were queued without a known checkout and
    /// that the API has not taken. Returns those whose verdict changed, or that are queued anew.
    ///
    /// A payment into an account that is not watched stays as it is, and is judged when the account is watched again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rejudge(&self, rules: &Rules, now: Timestamp) -> Result<Vec<Recorded>> {
        if rules.accounts().is_empty() {
            return Ok(Vec::new());
        }
        let mut tx = self.begin().await?;
        let mut recorded = Vec::new();
        let blind = payments::queued_blindly(&mut tx).await?;
        judge_all(&mut tx, blind, rules, now, &mut recorded).await?;
        // What those held may be free now.
        let waiting = payments::to_be_rejudged(&mut tx).await?;
        judge_all(&mut tx, waiting, rules, now, &mut recorded).await?;
        tx.commit().await?;
        Ok(recorded)
    }

    /// Finds out again which held payments in watched tokens are dust. Returns how many changed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn weigh_again(&self, rules: &Rules) -> Result<u64> {
        let mut tx = self.begin().await?;
        let mut changed = 0;
        for (mint, limit) in rules.dust_limits() {
            changed += payments::weigh_again(&mut tx, mint, limit).await?;
        }
        tx.commit().await?;
        Ok(changed)
    }
}

async fn judge_all(
    tx: &mut Tx,
    mut waiting: Vec<(PaymentId, Judgeable)>,
    rules: &Rules,
    now: Timestamp,
    recorded: &mut Vec<Recorded>,
) -> Result<()> {
    waiting.retain(|(_, payment)| rules.accounts().contains(&payment.credit.token_account));
    let memos: HashSet<_> = waiting
        .iter()
        .flat_map(|(_, payment)| &payment.memos)
        .collect();
    let mut desk = Desk::for_memos(tx, memos).await?;
    for (id, payment) in waiting {
        let verdict = desk.judge(
            Some(id),
            payment.signature,
            &payment.credit,
            &payment.memos,
            rules,
        );
        let is_new =
            |verdict: &Verdict| payment.reason.map(Verdict::Held).as_ref() != Some(verdict);
        let Some(verdict) = verdict.filter(is_new) else {
            continue;
        };
        if payment.reason.is_none() {
            confirmations::cancel_refused(tx, id, now).await?;
            desk.released(id);
        }
        let weight = rules.weigh(&payment.credit, &verdict);
        payments::set_verdict(tx, id, &verdict, weight).await?;
        desk.judged(id, payment.signature, &verdict, payment.reached);
        recorded.push(Recorded {
            occasion: Occasion::JudgedAgain,
            signature: payment.signature,
            memos: payment.memos,
            credit: Some(payment.credit),
            verdict,
        });
    }
    let mut script = Script::new();
    desk.write_into(&mut script, now);
    script.run(tx).await?;
    Ok(())
}
