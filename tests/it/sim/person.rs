//! A person who decides about payments while the daemon runs.

use super::check::{self, Key};
use super::life::Life;
use super::model::World;
use paywatch::clock;
use paywatch::domain::Memo;
use paywatch::store::{Decision, Error, PaymentState, PaymentSummary, Which};
use std::collections::BTreeMap;

/// What a person decided of a payment last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decided {
    /// It is put aside; the API was told of it so often by then.
    Dismissed { told: usize },
    /// It confirms this checkout.
    Confirmed(Memo),
}

pub(super) type Decisions = BTreeMap<Key, Decided>;

/// Decides about some payment that needs a person, and not always well.
pub(super) async fn decide(world: &World, life: &Life) -> Result<(), String> {
    let payments = check::payments(&life.store).await?;
    let needs_person = |one: &&PaymentSummary| {
        matches!(
            one.state,
            PaymentState::Held | PaymentState::Parked | PaymentState::Uncredited
        )
    };
    let waiting: Vec<_> = payments.values().filter(needs_person).collect();
    let (payment, choice, checkout) = {
        let mut model = world.lock();
        if waiting.is_empty() || model.backend.sessions.is_empty() {
            return Ok(());
        }
        let mut pick =
            |below: usize| usize::try_from(model.pick(u64::try_from(below).unwrap())).unwrap();
        let payment = waiting[pick(waiting.len())];
        let (choice, session) = (pick(3), pick(usize::MAX >> 1));
        let named = payment.memos.first().cloned();
        let sessions = &model.backend.sessions;
        let some = Memo::parse(&sessions[session % sessions.len()].memo);
        (payment, choice, named.or(some).unwrap())
    };
    let which = which(payment);
    let (by, now) = (decision(), clock::now());
    let (decided, done) = match choice {
        0 => {
            let told = world.lock().told_of(&payment.signature);
            let done = life.store.dismiss(which, &by, now).await;
            (Some(Decided::Dismissed { told }), done)
        }
        1 => {
            let done = life.store.confirm_by_hand(which, &checkout, &by, now);
            (Some(Decided::Confirmed(checkout.clone())), done.await)
        }
        _ => (None, life.store.retry(which, &by, now).await),
    };
    match done {
        Ok(()) => {
            tracing::debug!(signature = payment.signature, ?decided, "a person decided");
            let mut model = world.lock();
            if let Some(Decided::Confirmed(memo)) = &decided {
                let signature = payment.signature.clone();
                model.by_hand.push((signature, memo.clone()));
            }
            if let Some(decided) = decided {
                model.decided.insert(check::key(payment), decided);
            }
            Ok(())
        }
        Err(Error::Refused(_)) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// Retries what was given up and deserves better. Returns whether there was any.
pub(super) async fn tidy_up(world: &World, life: &Life) -> Result<bool, String> {
    let mut any = false;
    for payment in check::payments(&life.store).await?.values() {
        let deserves = {
            let model = world.lock();
            payment.state == PaymentState::Parked
                && check::is_due(&model, payment)
                && !model.decided.contains_key(&check::key(payment))
        };
        if deserves {
            let by = decision();
            let retried = life.store.retry(which(payment), &by, clock::now()).await;
            match retried {
                Ok(()) => any = true,
                Err(Error::Refused(_)) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }
    Ok(any)
}

fn which(payment: &PaymentSummary) -> Which {
    Which {
        signature: payment.signature.parse().unwrap(),
        token_account: payment.token_account.parse().ok(),
    }
}

fn decision() -> Decision {
    Decision {
        actor: "somebody".into(),
        reason: "seems right".into(),
    }
}
