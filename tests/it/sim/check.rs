//! What must be true, checked against the ledger.

use super::api::is_third;
use super::model::Model;
use super::person::Decided;
use super::traits::Honesty;
use crate::support::backend::{DUE, Session};
use crate::support::ledger::{Entry, Fate, Ledger};
use localnet::Pubkey;
use paywatch::domain::{Slot, TokenAccount};
use paywatch::store::{Filter, PaymentState, PaymentSummary, Store};
use std::collections::{BTreeMap, BTreeSet};

/// At any moment: the cursor has passed nothing that is not recorded (I4, I5), nothing false was sent (I2, I3, I8), and what people
/// decided stands.
pub(super) fn always(model: &Model, recorded: &Recorded, cursors: &Cursors) -> Result<(), String> {
    nothing_false_was_sent(model)?;
    people_are_obeyed(model, recorded)?;
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
        for (account, _) in entry.gives(entry.slot) {
            let cursor = cursors.get(&TokenAccount(account));
            let passed = Ledger::final_slot(entry)
                .zip(cursor)
                .is_some_and(|(slot, cursor)| slot <= *cursor);
            // Set aside, perhaps; the end will show that nothing was lost by it.
            let may_wait = model.traits.is_shared && entry.memo.is_some();
            if passed && !may_wait && !recorded.contains_key(&key_of(entry, account)) {
                return Err(format!("I4: the cursor at {cursor:?} passed {entry:?}"));
            }
        }
    }
    Ok(())
}

/// Each confirm is for a checkout that its transaction pays, and for no other; it comes no sooner than the policy allows (I2, I3, I8).
/// What a person decided is the person's.
fn nothing_false_was_sent(model: &Model) -> Result<(), String> {
    let mut pairs: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut checkouts: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for (put, came_in) in model.backend.puts.iter().zip(&model.put_in) {
        let signature = put.signature.to_string();
        let is_by_hand = model.was_confirmed_by_hand(put);
        // A person who puts a payment aside frees its checkout for another one.
        if !is_by_hand && !model.was_decided(&signature) {
            checkouts
                .entry(signature.clone())
                .or_default()
                .insert(&put.memo);
            pairs
                .entry(&put.memo)
                .or_default()
                .insert(signature.clone());
        }
        let entry = model.ledger.find(&signature);
        let pays = |entry: &&Entry| {
            // What was sent at `confirmed` may have been given on a fork that died since.
            let was_on_fork =
                !model.traits.has_limit && entry.gives(entry.slot).any(|(_, amount)| amount == DUE);
            let is_due = was_on_fork || Ledger::pays_for_good(entry, DUE);
            !entry.failed && is_due && entry.memo.as_deref() == Some(&put.memo)
        };
        let pays = entry.as_ref().is_some_and(pays);
        if !is_by_hand && !pays {
            return Err(format!("I3: a false confirm: {put:?} for {entry:?}"));
        }
        let is_final = entry.is_some_and(|entry| {
            Ledger::landed_slot(entry).is_some_and(|slot| slot <= Ledger::finalized(*came_in))
        });
        if (model.traits.has_limit || !pays) && !is_final {
            return Err(format!(
                "I3: confirmed in slot {came_in}, before it was final: {put:?} for {entry:?}"
            ));
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
    Ok(())
}

/// What a person put aside stays so and is not sent; what a person confirmed is for the checkout that was named.
fn people_are_obeyed(model: &Model, recorded: &Recorded) -> Result<(), String> {
    for (key, decided) in &model.decided {
        let entry = model.ledger.find(&key.0);
        // What a person decided about was on another fork, or could not be read then and gives nothing.
        let is_other =
            entry.is_none_or(|entry| matches!(entry.fate, Fate::LandsFor(..)) || entry.is_poison);
        let Some(payment) = recorded.get(key) else {
            if is_other {
                continue;
            }
            return Err(format!("a person's decision is lost: {key:?} {decided:?}"));
        };
        let has_one = entry.is_some_and(|entry| entry.beside == 0);
        let is_kept = match decided {
            Decided::Dismissed { told } => {
                let was_told = has_one && model.told_of(&payment.signature) > *told;
                payment.state == PaymentState::Dismissed && !was_told
            }
            Decided::Confirmed(memo) => {
                payment.checkout.as_ref() == Some(memo) && payment.confirmation.is_some()
            }
        } || payment.was_dropped()
            || is_other;
        if !is_kept {
            return Err(format!(
                "a person decided {decided:?}, and not so: {payment:?}"
            ));
        }
    }
    Ok(())
}

/// Once it has been calm for long: every credit ends in a state that it deserves (I1), and what the API credited is known.
pub(super) fn finally(model: &Model, recorded: &Recorded) -> Result<(), String> {
    for entry in &model.ledger.entries {
        for (account, _) in entry.gives(entry.slot) {
            let key = key_of(entry, account);
            match model.decided.get(&key) {
                None => ends_well(model, entry, account, recorded.get(&key))?,
                Some(decided) => decision_ends(decided, recorded.get(&key))?,
            }
        }
    }
    for session in &model.backend.sessions {
        session_ends_well(model, session, recorded)?;
    }
    Ok(())
}

/// What a person confirmed was sent until the API said yes, or no for good.
fn decision_ends(decided: &Decided, payment: Option<&PaymentSummary>) -> Result<(), String> {
    let is_queued = payment.is_some_and(|payment| payment.state == PaymentState::Queued);
    if is_queued {
        return Err(format!("decided {decided:?}, and never sent: {payment:?}"));
    }
    Ok(())
}

fn ends_well(
    model: &Model,
    entry: &Entry,
    account: Pubkey,
    payment: Option<&PaymentSummary>,
) -> Result<(), String> {
    match (Ledger::final_amount(entry, account), payment) {
        (Some(_), None) if model.traits.is_shared && names_none(model, entry) => Ok(()),
        (Some(amount), None) if !entry.failed && amount > 0 => Err(format!("I1: lost: {entry:?}")),
        (Some(_), Some(_)) if entry.failed => {
            Err(format!("I3: a failed transaction is no payment: {entry:?}"))
        }
        (Some(amount), Some(payment)) => deserved(model, entry, amount, payment),
        // Two nodes are asked about what is to be sent: what one alone made up may be held, and is not sent.
        (None, Some(payment))
            if model.traits.liar.is_some() && payment.state == PaymentState::Held =>
        {
            Ok(())
        }
        (None, Some(payment))
            if payment.state != PaymentState::Dropped && !payment.was_dropped() =>
        {
            Err(format!(
                "a dead fork's payment stands: {entry:?} is {payment:?}"
            ))
        }
        _ => Ok(()),
    }
}

/// What was paid is confirmed, by a payment that is shown so; unless a person, or a fork that died, is in the way.
fn session_ends_well(model: &Model, session: &Session, recorded: &Recorded) -> Result<(), String> {
    let names_it = |entry: &&Entry| entry.memo.as_deref() == Some(&session.memo);
    let is_of_it = |payment: &&PaymentSummary| {
        let checkout = payment.checkout.as_ref();
        checkout.is_some_and(|memo| memo.as_str() == session.memo)
    };
    let is_in_hand = recorded
        .values()
        .any(|payment| is_of_it(&payment) && model.was_decided(&payment.signature));
    if let Some(by) = session.confirmed_by {
        let mut of_it = recorded.values().filter(is_of_it);
        let is_known = of_it.any(|payment| {
            let is_shown = payment.state == PaymentState::Acknowledged || payment.was_dropped();
            payment.signature == by.to_string() && is_shown
        });
        if !is_known && !is_in_hand && !model.was_decided(&by.to_string()) {
            return Err(format!("credited, and not known here: {session:?}"));
        }
        return Ok(());
    }
    let mut naming = model.ledger.entries.iter().filter(names_it);
    let payment =
        naming.find(|entry| Ledger::pays_for_good(entry, DUE) && !model.was_decided(&entry.id));
    // A payment whose fork died after the API was told of it, or may have been, holds its checkout until a person looks.
    let is_kept = recorded.values().any(|payment| {
        is_of_it(&payment) && payment.state == PaymentState::Parked && payment.was_dropped()
    });
    let is_haunted =
        model.backend.puts.iter().any(|put| {
            put.memo == session.memo
                && model.ledger.entries.iter().any(|entry| {
                    entry.signature == put.signature && !Ledger::pays_for_good(entry, DUE)
                })
        });
    let is_shown = recorded
        .values()
        .any(|payment| is_of_it(&payment) && payment.state == PaymentState::Uncredited);
    if never_credits(model, session) && is_shown {
        return Ok(());
    }
    match payment {
        Some(entry) if !is_haunted && !is_kept && !is_in_hand => Err(format!(
            "I1: {session:?} was paid and is not confirmed: {entry:?}"
        )),
        _ => Ok(()),
    }
}

/// Somebody else's, where the wallet is shared.
fn names_none(model: &Model, entry: &Entry) -> bool {
    let mut sessions = model.backend.sessions.iter();
    let memo = entry.memo.as_ref();
    memo.is_some_and(|memo| !sessions.any(|one| one.memo == *memo))
}

fn deserved(
    model: &Model,
    entry: &Entry,
    amount: u64,
    payment: &PaymentSummary,
) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("{why}: {entry:?} is {payment:?}"));
    // The API was told of what a dead fork gave, or may have been: that stands until a person looks.
    let changes = matches!(entry.fate, Fate::LandsFor(_, other) if other != entry.amount);
    if changes && payment.was_dropped() && payment.confirmation.is_some() {
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
    let is_boasted = session.is_some_and(|session| never_credits(model, session));
    if payment.verdict == "matched" && is_boasted && payment.state == PaymentState::Uncredited {
        return Ok(());
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

/// Whether the API never credits this checkout, whatever it says.
fn never_credits(model: &Model, session: &Session) -> bool {
    model.traits.honesty == Honesty::Boastful && is_third(&session.memo)
}

/// A checkout of which the API has said that it credited it, has not, and nobody has noticed yet.
pub(super) fn believed_in_vain<'a>(model: &'a Model, recorded: &Recorded) -> Option<&'a Session> {
    model.backend.sessions.iter().find(|session| {
        let mut of_it = recorded.values().filter(|payment| {
            let checkout = payment.checkout.as_ref();
            checkout.is_some_and(|memo| memo.as_str() == session.memo)
        });
        session.confirmed_by.is_none()
            && of_it.any(|payment| {
                payment.state == PaymentState::Acknowledged && !payment.was_dropped()
            })
    })
}

/// Whether a payment gave what is due, for good.
pub(super) fn is_due(model: &Model, payment: &PaymentSummary) -> bool {
    let entry = model.ledger.find(&payment.signature);
    entry.is_some_and(|entry| Ledger::pays_for_good(entry, DUE))
}

/// A payment: the transaction and the token account.
pub(super) type Key = (String, String);

pub(super) fn key(payment: &PaymentSummary) -> Key {
    (payment.signature.clone(), payment.token_account.clone())
}

fn key_of(entry: &Entry, account: Pubkey) -> Key {
    (entry.id.clone(), account.to_string())
}

/// All payments.
pub(super) type Recorded = BTreeMap<Key, PaymentSummary>;

pub(super) async fn payments(store: &Store) -> Result<Recorded, String> {
    let all = store.payments(&Filter::newest(10_000)).await;
    let all = all.map_err(|error| error.to_string())?;
    Ok(all.into_iter().map(|one| (key(&one), one)).collect())
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
