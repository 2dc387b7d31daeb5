//! A page of the API's history against the outbox, in the SQL transaction that records the page.

use super::confirmations::GIVEN_UP;
use super::script::Script;
use super::turn::rejected;
use super::{Error, Result, Tx, row};
use crate::domain::{
    Checkout, CheckoutStatus, Finding, Held, Memo, Signature, Timestamp, Told, reconcile,
};
use sqlx::{Row, sqlite::SqliteRow};
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

/// What a page of the history is compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// When the page was requested.
    pub asked_at: Timestamp,
    /// Time for the API to show a credit after it accepted a confirmation.
    pub credit_within: Duration,
}

/// A confirmation that a page of the history changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconciled {
    /// The checkout's memo.
    pub memo: Memo,
    /// The payment's transaction.
    pub signature: Signature,
    /// When the confirmation was queued.
    pub queued_at: Timestamp,
    /// What the history made of it.
    pub finding: Finding,
}

/// A confirmation as the history finds it.
struct Found {
    id: i64,
    payment: i64,
    signature: Signature,
    queued_at: Timestamp,
    told: Told,
}

/// Changes each confirmation that the page proves or contradicts. Must run before the page is written: a checkout that is known to be
/// confirmed is not pending again because one page says so.
///
/// A checkout that the page does not show says nothing. A payment whose fork died stays as it is, for a person.
pub(super) async fn run(
    tx: &mut Tx,
    checkouts: &[Checkout],
    page: Page,
    now: Timestamp,
) -> Result<Vec<Reconciled>> {
    let forms: HashSet<String> = checkouts.iter().map(|one| one.memo.folded()).collect();
    let forms: Vec<String> = forms.into_iter().collect();
    let mut script = Script::new();
    script.select_in(
        "SELECT c.* FROM confirmations c JOIN payments p ON p.id = c.payment_id WHERE c.state <> 'cancelled' AND p.chain_state <> 'dropped' \
         AND (c.state <> 'acknowledged' OR (c.accepted_at IS NOT NULL AND c.credited_at IS NULL)) AND c.folded IN",
        &forms,
    );
    let (mut changed, mut script, rows) = (Vec::new(), Script::new(), script.fetch(tx).await?);
    let sessions = Sessions::read(tx, checkouts, &rows).await?;
    for r in &rows {
        let memo = row::memo(r, "memo")?;
        let Some(status) = sessions.shown_for(&memo, r.try_get("is_unknown")?) else {
            continue;
        };
        let one = read(r)?;
        let finding = reconcile(
            one.told,
            one.signature,
            status,
            page.asked_at,
            page.credit_within,
        );
        if let Some(finding) = finding {
            write(&mut script, &one, finding, now);
            changed.push(Reconciled {
                memo,
                signature: one.signature,
                queued_at: one.queued_at,
                finding,
            });
        }
    }
    script.run(tx).await?;
    Ok(changed)
}

/// The sessions that are known or shown under some memos, by the form in which memos are compared.
struct Sessions(HashMap<String, HashMap<Memo, Session>>);

#[derive(Default)]
struct Session {
    /// The page's word.
    shown: Option<CheckoutStatus>,
    /// Known to be confirmed; a page that says something else is older.
    is_confirmed: bool,
}

impl Sessions {
    /// Those that may be meant by these confirmations.
    async fn read(
        tx: &mut Tx,
        checkouts: &[Checkout],
        confirmations: &[SqliteRow],
    ) -> Result<Self> {
        let mut forms = HashMap::new();
        for r in confirmations {
            forms.insert(r.try_get("folded")?, HashMap::new());
        }
        let mut script = Script::new();
        let keys: Vec<String> = forms.keys().cloned().collect();
        script.select_in(
            "SELECT memo, folded, status FROM checkouts WHERE folded IN",
            &keys,
        );
        for r in script.fetch(tx).await? {
            let session = Session {
                shown: None,
                is_confirmed: r.try_get::<&str, _>("status")? == "confirmed",
            };
            let alike = forms.entry(r.try_get("folded")?);
            alike.or_default().insert(row::memo(&r, "memo")?, session);
        }
        for checkout in checkouts {
            if let Some(alike) = forms.get_mut(&checkout.memo.folded()) {
                let session = alike.entry(checkout.memo.clone()).or_default();
                session.shown = Some(checkout.status);
            }
        }
        Ok(Self(forms))
    }

    /// What the page shows of a confirmation's session. A memo of which no session was known may be another spelling of the API's: then
    /// it is the only session of that form.
    fn shown_for(&self, memo: &Memo, is_unknown: bool) -> Option<CheckoutStatus> {
        let alike = self.0.get(&memo.folded())?;
        let only = || {
            alike
                .values()
                .next()
                .filter(|_| is_unknown && alike.len() == 1)
        };
        let session = alike.get(memo).or_else(only)?;
        session.shown.filter(|status| {
            !session.is_confirmed || matches!(status, CheckoutStatus::Confirmed(_))
        })
    }
}

fn read(r: &SqliteRow) -> Result<Found> {
    let accepted_at = r.try_get::<Option<i64>, _>("accepted_at")?.map(Timestamp);
    let told = match (r.try_get("state")?, accepted_at) {
        ("queued", _) => Told::Queued {
            rejected: rejected(r)?,
            was_accepted: accepted_at.is_some(),
        },
        ("acknowledged", Some(at)) => Told::Accepted {
            at,
            asked_again: r.try_get::<Option<i64>, _>("asked_again_at")?.is_some(),
        },
        ("parked", _) => Told::Parked,
        ("uncredited", _) => Told::Uncredited,
        _ => return Err(Error::Corrupt { column: "state" }),
    };
    Ok(Found {
        id: r.try_get("id")?,
        payment: r.try_get("payment_id")?,
        signature: row::parse(r, "signature")?,
        queued_at: Timestamp(r.try_get("queued_at")?),
        told,
    })
}

fn write(script: &mut Script, one: &Found, finding: Finding, now: Timestamp) {
    let changes: &[&str] = match finding {
        Finding::Credited => &["credited_at"],
        Finding::Settled => &[
            "state = 'acknowledged', due_at = NULL, rejected_since = NULL, rejected_at = NULL, closed_at",
            "credited_at",
        ],
        Finding::PaidByOther(_) => &["state = 'cancelled', due_at = NULL, closed_at"],
        Finding::SendAgain => &[
            "state = 'queued', closed_at = NULL, rejected_since = NULL, rejected_at = NULL, due_at",
            "due_set_at",
            "queued_at",
            "asked_again_at",
        ],
        Finding::StillPending | Finding::CreditedOther(_) => {
            &["state = 'uncredited', due_at = NULL, closed_at"]
        }
        Finding::GiveUp => &["due_at = NULL, closed_at"],
    };
    script.statement(|sql| {
        sql.push("UPDATE confirmations SET ");
        if finding == Finding::GiveUp {
            sql.push("state = ").push(GIVEN_UP).push(", ");
        }
        for (index, change) in changes.iter().enumerate() {
            sql.push(if index > 0 { ", " } else { "" }).push(*change);
            sql.push(" = ").push_bind(now.0);
        }
        sql.push(" WHERE id = ").push_bind(one.id);
    });
    if let Some(why) = said(finding) {
        script.statement(|sql| {
            sql.push(
                "INSERT INTO attempts (confirmation_id, at, source, took_ms, reason) VALUES (",
            );
            sql.push_bind(one.id).push(", ").push_bind(now.0);
            sql.push(", 'history', 0, ")
                .push_bind(why.clone())
                .push(")");
        });
        if matches!(finding, Finding::PaidByOther(_)) {
            hold_as_paid(script, one.payment, why, now);
        }
    }
}

/// What the timeline says of it; nothing of what goes as it should.
fn said(finding: Finding) -> Option<String> {
    Some(match finding {
        Finding::Credited => return None,
        Finding::Settled => "the history shows the checkout as confirmed".to_owned(),
        Finding::PaidByOther(by) | Finding::CreditedOther(by) => {
            format!("the history shows the checkout as confirmed by {by}")
        }
        Finding::SendAgain => {
            "accepted, but the history shows the checkout as pending: sent once more".to_owned()
        }
        Finding::StillPending => {
            "accepted twice, but the history shows the checkout as pending".to_owned()
        }
        Finding::GiveUp => {
            "rejected, and the history shows the checkout as pending: given up".to_owned()
        }
    })
}

/// The API credited the checkout by another transaction: this payment is one too many.
fn hold_as_paid(script: &mut Script, payment: i64, why: String, now: Timestamp) {
    script.statement(|sql| {
        sql.push("UPDATE payments SET verdict = 'held', checkout = NULL, reason = ")
            .push_bind(Held::AlreadyPaid.as_str());
        sql.push(", note = ").push_bind(why);
        sql.push(" WHERE id = ").push_bind(payment);
    });
    script.statement(|sql| {
        sql.push("INSERT INTO judgements (payment_id, at, verdict) VALUES (");
        sql.push_bind(payment).push(", ").push_bind(now.0);
        sql.push(", ")
            .push_bind(Held::AlreadyPaid.as_str())
            .push(")");
    });
}
