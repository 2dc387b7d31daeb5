//! An explanation for machines. Amounts are decimal text in base units: they are 64 bits, which JSON numbers are not.

use super::text::{hex, program};
use crate::domain::{
    AccountChange, BaseUnits, Candidate, CheckoutStatus, ExplainedCredit, Matched, Memo, Outcome,
    Reason, SaidMemo, Share, Transfer, Verdict, Wallet,
};
use crate::pipeline::{Explained, Read};
use crate::report;
use serde_json::{Value, json};

pub(super) fn of(explained: &Explained) -> Value {
    match explained {
        Explained::Not { signature, reason } => {
            json!({ "signature": signature.map(|one| one.to_string()), "no_payment": told(reason) })
        }
        Explained::Read(read) => read.json(),
    }
}

fn told(reason: &Reason) -> Value {
    json!({ "why": reason.why, "advice": reason.advice })
}

impl Read {
    fn json(&self) -> Value {
        let (transaction, explanation) = (&self.transaction, &self.explanation);
        json!({
            "signature": transaction.signature.to_string(),
            "version": transaction.version.as_str(),
            "slot": transaction.slot,
            "block_time": transaction.block_time.map(report::seconds),
            "commitment": self.commitment.map(crate::domain::Commitment::as_str),
            "succeeded": transaction.outcome == Outcome::Succeeded,
            "credits": explanation.credits.iter().map(|one| self.credit_json(one)).collect::<Vec<_>>(),
            "no_payment": explanation.nothing.as_ref().map(told),
            "checkouts": explanation.checkouts.iter().map(|one| self.checkout_json(one)).collect::<Vec<_>>(),
            "assignment": explanation.assignment.as_ref().map(|shares| shares.iter().map(share).collect::<Vec<_>>()),
            "memos": explanation.memos.iter().map(memo).collect::<Vec<_>>(),
            "transfers": explanation.transfers.iter().map(|(one, payer)| transfer(one, *payer)).collect::<Vec<_>>(),
            "token_accounts": explanation.accounts.iter().map(account).collect::<Vec<_>>(),
            "recorded": self.background.recorded.iter().map(report::summary).collect::<Vec<_>>(),
            "notes": self.background.notes,
        })
    }

    fn credit_json(&self, one: &ExplainedCredit) -> Value {
        let (credit, watched) = (&one.credit, &one.watched);
        let change = self
            .explanation
            .accounts
            .iter()
            .find(|change| change.token_account == credit.token_account);
        let (verdict, reason, checkout) = match &one.verdict {
            None => (None, None, None),
            Some(Verdict::Held(reason)) => (Some("held"), Some(reason.as_str()), None),
            Some(Verdict::Matched(Matched::Confirm { memo, .. } | Matched::Settled { memo })) => {
                (Some("matched"), None, Some(memo.as_str()))
            }
        };
        json!({
            "token_account": credit.token_account.to_string(),
            "owner": credit.wallet.to_string(),
            "mint": credit.mint.to_string(),
            "token_program": program(Some(watched.token_program)),
            "symbol": watched.symbol,
            "decimals": watched.decimals.places(),
            "before": change.and_then(|change| change.before).map(text),
            "after": change.and_then(|change| change.after).map(text),
            "received": text(credit.received),
            "received_human": credit.received.human(watched.decimals),
            "payer": credit.payer.map(|payer| payer.to_string()),
            "verdict": verdict,
            "reason": reason,
            "checkout": checkout,
            "meant": one.meant.as_ref().map(Memo::as_str),
            "why": one.reason.why,
            "advice": one.reason.advice,
        })
    }

    fn checkout_json(&self, one: &Candidate) -> Value {
        let checkout = &one.checkout;
        let (status, by) = match &checkout.status {
            CheckoutStatus::Pending => ("pending", None),
            CheckoutStatus::Confirmed(by) => ("confirmed", *by),
            CheckoutStatus::Other(word) => (word.as_str(), None),
        };
        let held_by = self
            .background
            .known
            .as_ref()
            .and_then(|known| known.held_by.get(&checkout.memo));
        json!({
            "memo": checkout.memo.as_str(),
            "amount": checkout.amount.map(text),
            "mint": checkout.mint.map(|mint| mint.to_string()),
            "recipient": checkout.recipient.map(|wallet| wallet.to_string()),
            "status": status,
            "confirmed_by": by.map(|by| by.to_string()),
            "held_by": held_by.map(ToString::to_string),
        })
    }
}

fn share(one: &Share) -> Value {
    json!({ "amount": text(one.piece.amount), "mint": one.piece.mint.to_string(), "checkout": one.memo.as_str() })
}

fn memo(one: &SaidMemo) -> Value {
    json!({
        "program": one.program.as_str(),
        "depth": one.depth,
        "text": one.memo.as_ref().map(Memo::as_str),
        "bytes_hex": hex(&one.bytes),
        "names": one.names.iter().map(Memo::as_str).collect::<Vec<_>>(),
    })
}

fn transfer(one: &Transfer, payer: Option<Wallet>) -> Value {
    json!({
        "source": one.source.map(|source| source.to_string()),
        "destination": one.destination.to_string(),
        "authority": one.authority.to_string(),
        "mint": one.mint.map(|mint| mint.to_string()),
        "amount": text(one.amount),
        "payer": payer.map(|payer| payer.to_string()),
        "depth": one.depth,
    })
}

fn account(one: &AccountChange) -> Value {
    json!({
        "token_account": one.token_account.to_string(),
        "owner": one.owner.map(|owner| owner.to_string()),
        "mint": one.mint.to_string(),
        "token_program": program(one.token_program),
        "before": one.before.map(text),
        "after": one.after.map(text),
        "watched": one.is_watched,
        "no_credit": one.no_credit,
    })
}

fn text(amount: BaseUnits) -> String {
    amount.to_string()
}
