//! Step 5 of the road: transactions become payments, payments become confirmations, and the cursor moves
//! over them, all in one SQL transaction. Judging happens inside it, so two payments cannot both win a checkout.

use super::{Cursor, Result, Store, Tx, checkouts, confirmations, payments, quarantine, row};
use crate::domain::{
    Candidate, Commitment, Credit, Decoded, Memo, Policy, Signature, Slot, Timestamp, TokenAccount,
    Verdict, judge,
};

/// A transaction that was looked at, ready to be recorded. Recording it again changes nothing.
#[derive(Clone, Debug)]
pub struct Ingested {
    /// Its id.
    pub signature: Signature,
    /// The slot it landed in.
    pub slot: Slot,
    /// Estimated production time of its block, Unix seconds.
    pub block_time: Option<i64>,
    /// How sure the chain was of it when it was looked at.
    pub reached: Commitment,
    /// The watched token accounts it names.
    pub mentions: Vec<TokenAccount>,
    /// When its signature came to us.
    pub seen_at: Timestamp,
    /// What came out of it.
    pub reading: Reading,
}

/// What came out of a transaction.
#[derive(Clone, Debug)]
pub enum Reading {
    /// It failed on chain; not even fetched.
    Failed,
    /// It was recorded before, at the same slot.
    Known,
    /// It was read.
    Decoded(Decoded),
    /// It cannot be read, for this reason: quarantined, shown, and tried again.
    Unreadable(String),
}

/// A payment that was recorded, or judged anew.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The transaction.
    pub signature: Signature,
    /// Its memos.
    pub memos: Vec<Memo>,
    /// What was credited; `None` if the transaction is unreadable.
    pub credit: Option<Credit>,
    /// What is to be done with it.
    pub verdict: Verdict,
}

/// A payment row's id.
pub(super) type PaymentId = i64;

impl Store {
    /// Records transactions and, in a sweep, the cursor that covers them. All or nothing.
    ///
    /// Returns the payments that are new or were judged anew.
    ///
    /// # Errors
    /// When the database fails; then nothing is recorded and the cursor stays.
    pub async fn record(
        &self,
        batch: &[Ingested],
        cursor: Option<&Cursor>,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Vec<Recorded>> {
        let mut tx = self.begin().await?;
        let mut recorded = Vec::new();
        for ingested in batch {
            record_one(&mut tx, ingested, policy, now, &mut recorded).await?;
        }
        if let Some(cursor) = cursor {
            Self::advance(&mut tx, cursor).await?;
        }
        tx.commit().await?;
        Ok(recorded)
    }

    /// Which of these signatures are recorded for a token account, with the slot they were seen in.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn known(
        &self,
        token_account: TokenAccount,
        signatures: &[Signature],
    ) -> Result<Vec<(Signature, Slot)>> {
        let mut query =
            sqlx::QueryBuilder::new("SELECT signature, slot FROM ingested WHERE token_account = ");
        query
            .push_bind(token_account.to_string())
            .push(" AND signature IN (");
        let mut list = query.separated(", ");
        for signature in signatures {
            list.push_bind(signature.to_string());
        }
        query.push(")");
        let rows = query.build().fetch_all(&self.read).await?;
        rows.iter()
            .map(|r| Ok((row::parse(r, "signature")?, row::slot(r)?)))
            .collect()
    }

    /// Judges again the payments whose memo was unknown and no longer is. Returns them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rejudge(&self, policy: &Policy, now: Timestamp) -> Result<Vec<Recorded>> {
        let mut tx = self.begin().await?;
        let mut recorded = Vec::new();
        for (id, payment) in payments::no_longer_unknown(&mut tx).await? {
            let verdict = judge_in(
                &mut tx,
                Some(id),
                payment.signature,
                &payment.credit,
                &payment.memos,
                policy,
            )
            .await?;
            payments::set_verdict(&mut tx, id, &verdict).await?;
            confirmations::queue(
                &mut tx,
                id,
                payment.signature,
                &verdict,
                payment.reached,
                now,
            )
            .await?;
            recorded.push(Recorded {
                signature: payment.signature,
                memos: payment.memos,
                credit: Some(payment.credit),
                verdict,
            });
        }
        tx.commit().await?;
        Ok(recorded)
    }
}

async fn record_one(
    tx: &mut Tx,
    ingested: &Ingested,
    policy: &Policy,
    now: Timestamp,
    recorded: &mut Vec<Recorded>,
) -> Result<()> {
    if !matches!(ingested.reading, Reading::Known) {
        remember(tx, ingested, now).await?;
    }
    match &ingested.reading {
        Reading::Failed => {}
        Reading::Known => {
            if ingested.reached == Commitment::Finalized {
                payments::finalize(tx, ingested.signature, ingested.slot, now).await?;
            }
        }
        Reading::Unreadable(why) => {
            for token_account in &ingested.mentions {
                if payments::insert_unreadable(tx, ingested, *token_account, why, now).await? {
                    recorded.push(Recorded {
                        signature: ingested.signature,
                        memos: Vec::new(),
                        credit: None,
                        verdict: Verdict::Held(crate::domain::Held::Unreadable),
                    });
                }
                quarantine::put(tx, ingested, *token_account, now).await?;
            }
        }
        Reading::Decoded(decoded) => {
            quarantine::release(tx, ingested.signature).await?;
            for credit in &decoded.credits {
                recorded.extend(record_credit(tx, ingested, decoded, credit, policy, now).await?);
            }
        }
    }
    Ok(())
}

/// Records one credit, unless it is recorded already and unchanged.
async fn record_credit(
    tx: &mut Tx,
    ingested: &Ingested,
    decoded: &Decoded,
    credit: &Credit,
    policy: &Policy,
    now: Timestamp,
) -> Result<Option<Recorded>> {
    let known = payments::find(tx, ingested.signature, credit.token_account).await?;
    if let Some(known) = &known {
        payments::seen_again(tx, known, ingested, now).await?;
        // Another fork may have given another amount. What the merchant was already told stands.
        let same = known.received == Some(credit.received) && !known.was_dropped;
        if same || confirmations::was_attempted(tx, known.id).await? {
            return Ok(None);
        }
        confirmations::cancel(tx, known.id, now).await?;
    }
    let id = known.map(|known| known.id);
    let verdict = judge_in(tx, id, ingested.signature, credit, &decoded.memos, policy).await?;
    let id = match id {
        Some(id) => {
            payments::set_credit(tx, id, credit).await?;
            payments::set_verdict(tx, id, &verdict).await?;
            id
        }
        None => payments::insert(tx, ingested, credit, &decoded.memos, &verdict, now).await?,
    };
    confirmations::queue(tx, id, ingested.signature, &verdict, ingested.reached, now).await?;
    Ok(Some(Recorded {
        signature: ingested.signature,
        memos: decoded.memos.clone(),
        credit: Some(credit.clone()),
        verdict,
    }))
}

async fn judge_in(
    tx: &mut Tx,
    payment: Option<PaymentId>,
    signature: Signature,
    credit: &Credit,
    memos: &[Memo],
    policy: &Policy,
) -> Result<Verdict> {
    let mut candidates: Vec<Candidate> = Vec::new();
    for memo in memos {
        for checkout in checkouts::named_by(tx, memo).await? {
            if candidates
                .iter()
                .all(|candidate| candidate.checkout.memo != checkout.memo)
            {
                let claim = confirmations::claim(tx, &checkout.memo, payment).await?;
                candidates.push(Candidate { checkout, claim });
            }
        }
    }
    let mut verdict = judge(signature, credit, memos, &candidates, policy);
    // A memo that is left to the backend is still good for one payment only.
    if let (Verdict::Matched(crate::domain::Matched::Confirm { memo, .. }), true) =
        (&verdict, candidates.is_empty())
        && confirmations::claim(tx, memo, payment).await? == crate::domain::Claim::Taken
    {
        verdict = Verdict::Held(crate::domain::Held::AlreadyPaid);
    }
    Ok(verdict)
}

async fn remember(tx: &mut Tx, ingested: &Ingested, now: Timestamp) -> Result<()> {
    for token_account in &ingested.mentions {
        sqlx::query(
            "INSERT INTO ingested (token_account, signature, slot, at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (token_account, signature) DO UPDATE SET slot = excluded.slot, at = excluded.at",
        )
        .bind(token_account.to_string())
        .bind(ingested.signature.to_string())
        .bind(row::slot_column(ingested.slot))
        .bind(now.0)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}
