//! Recorded credits with their verdicts.

use super::record::PaymentId;
use super::script::Script;
use super::{Ingested, Result, Tx, finality, row};
use crate::domain::{
    BaseUnits, Commitment, Credit, Held, Matched, Memo, Mint, Signature, Slot, Timestamp,
    TokenAccount, Verdict, Weight,
};
use sqlx::{Row, sqlite::SqliteRow};

/// What is known of a payment that is seen again.
#[derive(Clone, Copy)]
pub(super) struct Known {
    pub(super) id: PaymentId,
    pub(super) slot: Slot,
    pub(super) received: Option<BaseUnits>,
    pub(super) was_dropped: bool,
    pub(super) is_final: bool,
    pub(super) is_dismissed: bool,
}

impl Known {
    /// Whether a reading at `confirmed` comes too late to say anything of this payment: it is final in another slot, or the fork of
    /// that very slot is dead. Only a node that is behind still shows such a fork.
    pub(super) fn outdates(&self, ingested: &Ingested) -> bool {
        let is_same_slot = self.slot == ingested.slot;
        ingested.reached != Commitment::Finalized
            && ((self.is_final && !is_same_slot) || (self.was_dropped && is_same_slot))
    }
}

/// A payment as judging needs it.
pub(super) struct Judgeable {
    pub(super) signature: Signature,
    pub(super) credit: Credit,
    pub(super) memos: Vec<Memo>,
    pub(super) reached: Commitment,
    /// Why it is held; `None` for a matched one.
    pub(super) reason: Option<Held>,
}

pub(super) fn known(r: &SqliteRow) -> Result<Known> {
    Ok(Known {
        id: r.try_get("id")?,
        slot: row::slot(r)?,
        received: row::parse_opt(r, "received")?,
        was_dropped: r.try_get::<&str, _>("chain_state")? == "dropped",
        is_final: r.try_get::<&str, _>("chain_state")? == Commitment::Finalized.as_str(),
        is_dismissed: r.try_get::<Option<i64>, _>("dismissed_at")?.is_some(),
    })
}

/// A payment to be inserted.
pub(super) struct New {
    pub(super) id: PaymentId,
    pub(super) signature: Signature,
    slot: Slot,
    block_time: Option<i64>,
    reached: Commitment,
    seen_at: Timestamp,
    credit: Credit,
    memos: Vec<Memo>,
    verdict: Verdict,
    weight: Weight,
}

impl New {
    pub(super) fn of(
        id: PaymentId,
        ingested: &Ingested,
        credit: &Credit,
        memos: &[Memo],
        (verdict, weight): (&Verdict, Weight),
    ) -> Self {
        Self {
            id,
            signature: ingested.signature,
            slot: ingested.slot,
            block_time: ingested.block_time,
            reached: ingested.reached,
            seen_at: ingested.seen_at,
            credit: credit.clone(),
            memos: memos.to_vec(),
            verdict: verdict.clone(),
            weight,
        }
    }
}

/// Writes payments into a script.
pub(super) fn insert(script: &mut Script, all: &[New], now: Timestamp) {
    let head = "INSERT INTO payments (id, signature, token_account, slot, block_time, wallet, mint, received, payer, memos, \
         verdict, reason, note, checkout, is_dust, chain_state, seen_at, recorded_at, settled_at) ";
    script.insert(head, all, "", |mut values, new| {
        let (credit, words) = (&new.credit, Words::of(&new.verdict));
        let payer = credit.payer.map(|payer| payer.to_string());
        let is_final = new.reached == Commitment::Finalized;
        values
            .push_bind(new.id)
            .push_bind(new.signature.to_string())
            .push_bind(credit.token_account.to_string())
            .push_bind(row::slot_column(new.slot))
            .push_bind(new.block_time)
            .push_bind(credit.wallet.to_string())
            .push_bind(credit.mint.to_string())
            .push_bind(credit.received.to_string())
            .push_bind(payer)
            .push_bind(row::memos_column(&new.memos))
            .push_bind(words.verdict)
            .push_bind(words.reason)
            .push_bind(words.note)
            .push_bind(words.checkout.map(str::to_owned))
            .push_bind(new.weight == Weight::Dust)
            .push_bind(new.reached.as_str())
            .push_bind(new.seen_at.0)
            .push_bind(now.0)
            .push_bind(is_final.then_some(now.0));
    });
}

/// Returns the row if it is new; one that still cannot be read may stand in another slot now.
pub(super) async fn insert_unreadable(
    tx: &mut Tx,
    ingested: &Ingested,
    token_account: TokenAccount,
    why: &str,
    now: Timestamp,
) -> Result<Option<PaymentId>> {
    let id = sqlx::query_scalar(
        "INSERT INTO payments (signature, token_account, slot, block_time, memos, verdict, reason, note, chain_state, seen_at, recorded_at, \
         settled_at) VALUES ($1, $2, $3, $4, '[]', 'held', $5, $6, $7, $8, $9, $10) ON CONFLICT (signature, token_account) DO NOTHING RETURNING id",
    )
    .bind(ingested.signature.to_string())
    .bind(token_account.to_string())
    .bind(row::slot_column(ingested.slot))
    .bind(ingested.block_time)
    .bind(Held::Unreadable.as_str())
    .bind(why)
    .bind(ingested.reached.as_str())
    .bind(ingested.seen_at.0)
    .bind(now.0)
    .bind((ingested.reached == Commitment::Finalized).then_some(now.0))
    .fetch_optional(&mut **tx)
    .await?;
    if id.is_none() {
        sqlx::query("UPDATE payments SET slot = $3 WHERE signature = $1 AND token_account = $2 AND reason = $4 AND chain_state <> 'finalized'")
            .bind(ingested.signature.to_string())
            .bind(token_account.to_string())
            .bind(row::slot_column(ingested.slot))
            .bind(Held::Unreadable.as_str())
            .execute(&mut **tx)
            .await?;
    }
    Ok(id)
}

pub(super) async fn set_verdict(
    tx: &mut Tx,
    id: PaymentId,
    verdict: &Verdict,
    weight: Weight,
) -> Result<()> {
    let words = Words::of(verdict);
    sqlx::query(
        "UPDATE payments SET verdict = $2, reason = $3, note = $4, checkout = $5, is_dust = $6 WHERE id = $1",
    )
    .bind(id)
    .bind(words.verdict)
    .bind(words.reason)
    .bind(words.note)
    .bind(words.checkout)
    .bind(weight == Weight::Dust)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Takes over what a transaction gave that could not be read before, or gave something else on another fork.
pub(super) async fn set_credit(
    tx: &mut Tx,
    id: PaymentId,
    credit: &Credit,
    memos: &[Memo],
) -> Result<()> {
    sqlx::query("UPDATE payments SET wallet = $2, mint = $3, received = $4, payer = $5, memos = $6 WHERE id = $1")
        .bind(id)
        .bind(credit.wallet.to_string())
        .bind(credit.mint.to_string())
        .bind(credit.received.to_string())
        .bind(credit.payer.map(|payer| payer.to_string()))
        .bind(row::memos_column(memos))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Takes over slot and chain state of a payment that was seen again; a dropped one is alive again.
pub(super) async fn seen_again(
    tx: &mut Tx,
    known: &Known,
    ingested: &Ingested,
    now: Timestamp,
) -> Result<()> {
    sqlx::query("UPDATE payments SET slot = $2, block_time = $3, chain_state = 'confirmed', settled_at = NULL WHERE id = $1 AND chain_state <> 'finalized'")
        .bind(known.id)
        .bind(row::slot_column(ingested.slot))
        .bind(ingested.block_time)
        .execute(&mut **tx)
        .await?;
    if ingested.reached == Commitment::Finalized {
        finality::finalize(tx, &[(ingested.signature, ingested.slot)], now).await?;
    }
    Ok(())
}

/// Payments that news of checkouts concerns: held for a memo that is no longer unknown; or held as one too many, although the
/// API names this very transaction as the one it took, or the payment that was first is gone (its fork died); or held for a status
/// that the checkout no longer has. What is gone itself
/// waits for its transaction to be met again.
pub(super) async fn to_be_rejudged(tx: &mut Tx) -> Result<Vec<(PaymentId, Judgeable)>> {
    let rows = sqlx::query(
        "SELECT DISTINCT p.* FROM payments p JOIN payment_memos m ON m.payment_id = p.id \
         JOIN checkouts c ON c.folded = m.folded WHERE p.verdict = 'held' AND p.dismissed_at IS NULL \
         AND p.chain_state <> 'dropped' AND (p.reason = $1 OR (p.reason = $3 AND c.status <> 'other') OR (p.reason = $2 AND (c.signature = p.signature \
         OR (c.status = 'pending' AND NOT EXISTS (SELECT 1 FROM confirmations f WHERE f.memo = c.memo AND f.state <> 'cancelled'))))) ORDER BY p.slot, p.id",
    )
    .bind(Held::UnknownMemo.as_str())
    .bind(Held::AlreadyPaid.as_str())
    .bind(Held::NotPayable.as_str())
    .fetch_all(&mut **tx)
    .await?;
    rows.iter().map(judgeable).collect()
}

/// Payments whose confirmation was queued before its checkout was known, and is not with the API: the API's last answer before it was
/// given up was no, or it was never sent. What died with its fork stays as it is.
pub(super) async fn queued_blindly(tx: &mut Tx) -> Result<Vec<(PaymentId, Judgeable)>> {
    let rows = sqlx::query(
        "SELECT p.* FROM confirmations f JOIN payments p ON p.id = f.payment_id WHERE f.is_unknown = 1 \
         AND ((f.state = 'parked' AND f.rejected_at IS NOT NULL) OR (f.state = 'queued' AND f.leases = 0)) \
         AND p.chain_state <> 'dropped' AND EXISTS (SELECT 1 FROM checkouts c WHERE c.folded = f.folded) ORDER BY p.slot, p.id",
    )
    .fetch_all(&mut **tx)
    .await?;
    rows.iter().map(judgeable).collect()
}

/// Marks as dust what is held in a mint below a limit, and takes the mark from what is not.
pub(super) async fn weigh_again(tx: &mut Tx, mint: Mint, limit: BaseUnits) -> Result<u64> {
    let [no_memo, unknown_memo] = Held::NAMING_NONE;
    // Decimal text without leading zeros is as large as it is long, then as its digits are.
    let done = sqlx::query(
        "UPDATE payments SET is_dust = NOT is_dust WHERE verdict = 'held' AND mint = $1 AND is_dust <> (reason IN ($2, $3) \
         AND (LENGTH(received) < LENGTH($4) OR (LENGTH(received) = LENGTH($4) AND received < $4)))",
    )
    .bind(mint.to_string())
    .bind(no_memo.as_str())
    .bind(unknown_memo.as_str())
    .bind(limit.to_string())
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

pub(super) fn judgeable(r: &SqliteRow) -> Result<(PaymentId, Judgeable)> {
    let credit = Credit {
        token_account: row::parse(r, "token_account")?,
        wallet: row::parse(r, "wallet")?,
        mint: row::parse(r, "mint")?,
        received: row::parse(r, "received")?,
        payer: row::parse_opt(r, "payer")?,
    };
    let finalized = r.try_get::<&str, _>("chain_state")? == Commitment::Finalized.as_str();
    Ok((
        r.try_get("id")?,
        Judgeable {
            signature: row::parse(r, "signature")?,
            credit,
            memos: row::memos(r)?,
            reason: row::parse_opt(r, "reason")?,
            reached: if finalized {
                Commitment::Finalized
            } else {
                Commitment::Confirmed
            },
        },
    ))
}

/// A verdict as columns.
pub(super) struct Words<'a> {
    verdict: &'static str,
    reason: Option<&'static str>,
    note: Option<&'static str>,
    pub(super) checkout: Option<&'a str>,
}

impl<'a> Words<'a> {
    /// `matched`, or why held.
    pub(super) fn word(&self) -> &'static str {
        self.reason.unwrap_or(self.verdict)
    }

    pub(super) fn of(verdict: &'a Verdict) -> Self {
        match verdict {
            Verdict::Held(held) => Self {
                verdict: "held",
                reason: Some(held.as_str()),
                note: None,
                checkout: None,
            },
            Verdict::Matched(Matched::Confirm { memo, note, .. }) => Self {
                verdict: "matched",
                reason: None,
                note: *note,
                checkout: Some(memo.as_str()),
            },
            Verdict::Matched(Matched::Settled { memo }) => Self {
                verdict: "matched",
                reason: None,
                note: Some("the API had it confirmed already"),
                checkout: Some(memo.as_str()),
            },
        }
    }
}
