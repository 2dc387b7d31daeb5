//! What must be true, checked against the ledger.

use super::model::Model;
use crate::support::backend::DUE;
use crate::support::ledger::{Entry, Ledger};
use paywatch::domain::{Slot, TokenAccount};
use paywatch::store::{Filter, PaymentState, PaymentSummary, Store};
use std::collections::{BTreeMap, BTreeSet};

/// At any moment: the cursor has passed nothing that is not recorded (I4, I5), and no two different confirms were sent
/// (I2, I8), nor a false one (I3).
pub(super) fn always(model: &Model, recorded: &Recorded, cursors: &Cursors) -> Result<(), String> {
    let mut pairs: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut checkouts: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for put in &model.backend.puts {
        let signature = put.signature.to_string();
        checkouts
            .entry(signature.clone())
            .or_default()
            .insert(&put.memo);
        pairs.entry(&put.memo).or_default().insert(signature);
        let entry = model
            .ledger
            .entries
            .iter()
            .find(|entry| entry.signature == put.signature);
        let pays = |entry: &&Entry| {
            let is_due = entry.amount == DUE || Ledger::final_amount(entry) == Some(DUE);
            !entry.failed && is_due && entry.memo.as_deref() == Some(&put.memo)
        };
        if !entry.as_ref().is_some_and(pays) {
            return Err(format!("I3: a false confirm: {put:?} for {entry:?}"));
        }
    }
    if let Some(two) = pairs.iter().find(|(_, signatures)| signatures.len() > 1) {
        return Err(format!(
            "I2: a checkout was claimed by several transactions: {two:?}"
        ));
    }
    if let Some(two) = checkouts.iter().find(|(_, memos)| memos.len() > 1) {
        return Err(format!(
            "I2: a transaction was claimed for several checkouts: {two:?}"
        ));
    }
    let is_undead = |payment: &&PaymentSummary| {
        payment.was_dropped() && payment.confirmation.as_deref() == Some("queued")
    };
    if let Some(undead) = recorded.values().find(is_undead) {
        return Err(format!(
            "I3: what died with its fork will be sent: {undead:?}"
        ));
    }
    let finalized = Ledger::finalized(model.slot());
    if let Some(beyond) = cursors.values().find(|slot| **slot > finalized) {
        return Err(format!(
            "I5: a cursor is at {beyond}, beyond finalized history"
        ));
    }
    // What history hides for a while is found by the overlap of sweeps, after the cursor.
    let shown = |entry: &&Entry| !entry.failed && entry.revealed_at == 0;
    for entry in model.ledger.entries.iter().filter(shown) {
        let cursor = cursors.get(&TokenAccount(entry.account()));
        let passed = Ledger::final_slot(entry)
            .zip(cursor)
            .is_some_and(|(slot, cursor)| slot <= *cursor);
        // Set aside, perhaps; the end will show that nothing was lost by it.
        let may_wait = model.is_shared && entry.memo.is_some();
        if passed && !may_wait && !recorded.contains_key(&entry.signature.to_string()) {
            return Err(format!("I4: the cursor at {cursor:?} passed {entry:?}"));
        }
    }
    Ok(())
}

/// Once it has been calm for long: every credit ends in a state that it deserves (I1).
pub(super) fn finally(model: &Model, recorded: &Recorded) -> Result<(), String> {
    for entry in &model.ledger.entries {
        let payment = recorded.get(&entry.signature.to_string());
        match (Ledger::final_slot(entry), payment) {
            (Some(_), None) if model.is_shared && names_none(model, entry) => {}
            (Some(_), None) if !entry.failed => return Err(format!("I1: lost: {entry:?}")),
            (Some(_), Some(_)) if entry.failed => {
                return Err(format!("I3: a failed transaction is no payment: {entry:?}"));
            }
            (Some(_), Some(payment)) => deserved(model, entry, payment)?,
            (None, Some(payment))
                if payment.state != PaymentState::Dropped && !payment.was_dropped() =>
            {
                return Err(format!("a dead fork's payment stands: {payment:?}"));
            }
            _ => {}
        }
    }
    for session in &model.backend.sessions {
        let paid = |entry: &&Entry| {
            !entry.failed
                && Ledger::final_amount(entry) == Some(DUE)
                && entry.memo.as_deref() == Some(&session.memo)
        };
        let payment = model.ledger.entries.iter().find(paid);
        // A payment whose fork died after the API was told of it, or may have been, holds its checkout until a person looks.
        let is_kept = recorded.values().any(|payment| {
            let checkout = payment.checkout.as_ref();
            payment.state == PaymentState::Parked
                && payment.was_dropped()
                && checkout.is_some_and(|memo| memo.as_str() == session.memo)
        });
        let is_haunted = model.backend.puts.iter().any(|put| {
            put.memo == session.memo
                && model.ledger.entries.iter().any(|entry| {
                    entry.signature == put.signature && Ledger::final_amount(entry) != Some(DUE)
                })
        });
        if let (Some(entry), None, false) = (payment, session.confirmed_by, is_haunted || is_kept) {
            return Err(format!(
                "I1: {session:?} was paid and is not confirmed: {entry:?}"
            ));
        }
    }
    Ok(())
}

/// Somebody else's, where the wallet is shared.
fn names_none(model: &Model, entry: &Entry) -> bool {
    let mut sessions = model.backend.sessions.iter();
    let memo = entry.memo.as_ref();
    memo.is_some_and(|memo| !sessions.any(|one| one.memo == *memo))
}

fn deserved(model: &Model, entry: &Entry, payment: &PaymentSummary) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("{why}: {entry:?} is {payment:?}"));
    let amount = Ledger::final_amount(entry).unwrap_or_default();
    // The API was told of what a dead fork gave, or may have been: that stands until a person looks.
    if amount != entry.amount && payment.was_dropped() && payment.confirmation.is_some() {
        return Ok(());
    }
    if payment.chain_state != "finalized" {
        return wrong("not finalized");
    }
    let session = entry
        .memo
        .as_ref()
        .and_then(|memo| model.backend.sessions.iter().find(|one| one.memo == *memo));
    let expected: &[&str] = match (&entry.memo, session) {
        (None, _) => &["no_memo"],
        (Some(_), None) => &["unknown_memo"],
        _ if amount < DUE => &["underpaid", "already_paid"],
        _ if amount > DUE => &["overpaid", "already_paid"],
        _ => &["matched", "already_paid"],
    };
    if !expected.contains(&payment.verdict.as_str()) {
        return wrong("I1: another verdict than it deserves");
    }
    if payment.verdict == "matched" && payment.state != PaymentState::Acknowledged {
        return wrong("I1: not delivered");
    }
    if payment.verdict == "matched"
        && session.and_then(|one| one.confirmed_by) != Some(entry.signature)
    {
        return wrong("I3: acknowledged, and the API knows nothing of it");
    }
    Ok(())
}

/// Payments by signature.
pub(super) type Recorded = BTreeMap<String, PaymentSummary>;

pub(super) async fn payments(store: &Store) -> Result<Recorded, String> {
    let all = store
        .payments(&Filter::newest(10_000))
        .await
        .map_err(|error| error.to_string())?;
    Ok(all
        .into_iter()
        .map(|payment| (payment.signature.clone(), payment))
        .collect())
}

/// The slots that the cursors have reached.
pub(super) type Cursors = BTreeMap<TokenAccount, Slot>;

pub(super) async fn cursors(store: &Store) -> Result<Cursors, String> {
    let watched = store.watched().await.map_err(|error| error.to_string())?;
    let mut reached = Cursors::new();
    for one in watched.iter() {
        let account = one.token_account;
        let cursors = store.cursors(account).await;
        let newest = cursors
            .map_err(|error| error.to_string())?
            .into_iter()
            .next();
        reached.extend(newest.map(|cursor| (account, cursor.slot)));
    }
    Ok(reached)
}
