//! A transaction as paywatch sees it, with the reason of every verdict in plain words.
//!
//! Says what decoding and judging say, and decides nothing: the verdicts come from `judge`.

mod held;
mod meaning;
mod words;

use super::{
    AmountRule, BaseUnits, Candidate, Checkout, CheckoutStatus, Claim, Credit, Decimals, Decoded,
    Held, Instruction, Matched, Memo, MemoProgram, Mint, Outcome, Rules, Share, Signature,
    TokenAccount, TokenBalance, TokenProgram, Transaction, Transfer, Verdict, Wallet, WatchList,
    Watched, decode, judge, meant, pieces, unique_assignment,
};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of checkouts.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Checkouts, at least all that the transaction's memos may name.
    pub checkouts: Vec<Checkout>,
    /// Those that another transaction's payment holds, and which.
    pub held_by: BTreeMap<Memo, Signature>,
    /// Pending checkouts that no payment holds and that may ask for what a credit brought, whatever their memo.
    pub asking: Vec<Checkout>,
}

/// Who is paid, whatever a transaction touches of it.
#[derive(Clone, Debug, Default)]
pub struct Payees {
    /// Wallets that are paid, also where none of their accounts is watched.
    pub wallets: BTreeSet<Wallet>,
    /// Their token accounts, to recognise them where they are named as if they were wallets.
    pub token_accounts: BTreeSet<TokenAccount>,
}

/// A transaction, explained.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Every memo instruction, also those whose bytes are no memo.
    pub memos: Vec<SaidMemo>,
    /// Every transfer with who paid it; of a failed transaction, what it tried.
    pub transfers: Vec<(Transfer, Option<Wallet>)>,
    /// Every token account whose balance the node tells, in the order of their addresses.
    pub accounts: Vec<AccountChange>,
    /// The checkouts that the memos name, if any are known.
    pub checkouts: Vec<Candidate>,
    /// The credits, each with its verdict.
    pub credits: Vec<ExplainedCredit>,
    /// With several checkouts: the only way to pay them, if there is exactly one.
    pub assignment: Option<Vec<Share>>,
    /// Why there is no verdict: it failed, gave nothing to a watched account, or cannot be read.
    pub nothing: Option<Reason>,
}

/// An instruction of a memo program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaidMemo {
    /// Which program.
    pub program: MemoProgram,
    /// How deep it was called, see [`Instruction::depth`].
    pub depth: u8,
    /// What was said, as it stands on chain.
    pub bytes: Vec<u8>,
    /// The memo, if the bytes are text.
    pub memo: Option<Memo>,
    /// The checkouts it names.
    pub names: Vec<Memo>,
}

/// What a transaction did to a token account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountChange {
    /// The token account.
    pub token_account: TokenAccount,
    /// Its owner, after the transaction if it is still there.
    pub owner: Option<Wallet>,
    /// What it holds.
    pub mint: Mint,
    /// Its program.
    pub token_program: Option<TokenProgram>,
    /// Decimal places of the mint.
    pub decimals: Option<Decimals>,
    /// Balance before; `None` if it was not there.
    pub before: Option<BaseUnits>,
    /// Balance after; `None` if it is not there any more.
    pub after: Option<BaseUnits>,
    /// Whether it is watched.
    pub is_watched: bool,
    /// Of a watched account without credit: why.
    pub no_credit: Option<String>,
}

/// A credit with its verdict.
#[derive(Clone, Debug)]
pub struct ExplainedCredit {
    /// The credit.
    pub credit: Credit,
    /// The account it came into.
    pub watched: Watched,
    /// `None` if nothing is known of checkouts.
    pub verdict: Option<Verdict>,
    /// The one pending checkout that the payer may have meant, if the memos name none.
    pub meant: Option<Memo>,
    /// Why, and what to do.
    pub reason: Reason,
}

/// A reason, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Why it is as it is.
    pub why: String,
    /// What a person can do; empty if nothing is to be done.
    pub advice: String,
}

/// Explains a transaction. Credits are shown, and judged where something is `known` and the rules watch their account.
#[must_use]
pub fn explain(
    transaction: &Transaction,
    watch_list: &WatchList,
    payees: &Payees,
    known: Option<&Known>,
    rules: &Rules,
) -> Explanation {
    let decoded = decode(transaction, watch_list);
    let candidates = known.map(|known| candidates(&transaction.memos(), known));
    let mut explanation = Explanation {
        memos: said(transaction, candidates.as_deref().unwrap_or_default()),
        transfers: transaction
            .transfers()
            .into_iter()
            .map(|transfer| (transfer.clone(), transaction.payer_of(&transfer)))
            .collect(),
        accounts: accounts(transaction, watch_list, decoded.as_ref().ok()),
        checkouts: candidates.clone().unwrap_or_default(),
        credits: Vec::new(),
        assignment: None,
        nothing: None,
    };
    match decoded {
        Err(incomplete) => explanation.nothing = Some(words::unreadable(&incomplete.to_string())),
        Ok(decoded) if decoded.credits.is_empty() => {
            explanation.nothing = Some(words::no_credit(transaction, &explanation, payees));
        }
        Ok(decoded) => {
            if explanation.checkouts.len() > 1 {
                explanation.assignment = assignment(&decoded, &explanation.checkouts, rules);
            }
            explanation.credits = judge_all(
                transaction,
                watch_list,
                &decoded,
                known,
                rules,
                &explanation,
            );
        }
    }
    explanation
}

fn candidates(memos: &[Memo], known: &Known) -> Vec<Candidate> {
    let mut alike: BTreeMap<String, Vec<Checkout>> = BTreeMap::new();
    for checkout in &known.checkouts {
        alike
            .entry(checkout.memo.folded())
            .or_default()
            .push(checkout.clone());
    }
    let claim = |memo: &Memo| {
        if known.held_by.contains_key(memo) {
            Claim::Taken
        } else {
            Claim::Free
        }
    };
    let alike = |memo: &Memo| alike.get(&memo.folded()).map_or(&[][..], Vec::as_slice);
    Candidate::named_by(memos, alike, claim)
}

fn said(transaction: &Transaction, candidates: &[Candidate]) -> Vec<SaidMemo> {
    let said = |instruction: &Instruction| {
        let program = MemoProgram::from_id(&instruction.program)?;
        let memo = Memo::from_bytes(&instruction.data);
        let is_named = |checkout: &Checkout| {
            memo.as_ref()
                .is_some_and(|memo| memo.folded() == checkout.memo.folded())
        };
        Some(SaidMemo {
            program,
            depth: instruction.depth,
            bytes: instruction.data.clone(),
            names: candidates
                .iter()
                .filter(|one| is_named(&one.checkout))
                .map(|one| one.checkout.memo.clone())
                .collect(),
            memo,
        })
    };
    transaction.instructions.iter().filter_map(said).collect()
}

fn accounts(
    transaction: &Transaction,
    watch_list: &WatchList,
    decoded: Option<&Decoded>,
) -> Vec<AccountChange> {
    let all: BTreeSet<_> = transaction
        .pre
        .iter()
        .chain(&transaction.post)
        .map(|balance| balance.token_account)
        .collect();
    let find = super::transaction::find;
    all.into_iter()
        .filter_map(|token_account| {
            let before = find(&transaction.pre, token_account);
            let after = find(&transaction.post, token_account);
            let shown: &TokenBalance = after.or(before)?;
            let watched = watch_list.get(&token_account);
            let is_uncredited = decoded.is_some_and(|decoded| {
                decoded
                    .credits
                    .iter()
                    .all(|credit| credit.token_account != token_account)
            });
            Some(AccountChange {
                token_account,
                owner: shown.owner,
                mint: shown.mint,
                token_program: shown.token_program,
                decimals: shown.decimals,
                before: before.map(|balance| balance.amount),
                after: after.map(|balance| balance.amount),
                is_watched: watched.is_some(),
                no_credit: watched
                    .filter(|_| is_uncredited)
                    .map(|watched| words::why_no_credit(transaction, watched, before, after)),
            })
        })
        .collect()
}

fn assignment(decoded: &Decoded, candidates: &[Candidate], rules: &Rules) -> Option<Vec<Share>> {
    let open: Vec<_> = candidates
        .iter()
        .filter(|one| one.claim == Claim::Free && one.checkout.status == CheckoutStatus::Pending)
        .map(|one| &one.checkout)
        .collect();
    let pieces = pieces(&decoded.credits, &decoded.transfers);
    unique_assignment(&pieces, &open, rules.policy().amount)
}

/// Judges the credits one after the other, as recording them does: the first to win a checkout has it.
fn judge_all(
    transaction: &Transaction,
    watch_list: &WatchList,
    decoded: &Decoded,
    known: Option<&Known>,
    rules: &Rules,
    explanation: &Explanation,
) -> Vec<ExplainedCredit> {
    let mut known = known.cloned();
    let mut explained = Vec::new();
    for credit in &decoded.credits {
        let Some(watched) = watch_list.get(&credit.token_account) else {
            continue;
        };
        let judged = known.as_ref().and_then(|known| {
            let candidates = candidates(&decoded.memos, known);
            let verdict = judge(
                transaction.signature,
                credit,
                &decoded.memos,
                &candidates,
                rules,
            )?;
            Some((verdict, candidates))
        });
        let meant = match &judged {
            Some((Verdict::Held(Held::UnknownMemo), _)) => may_be_meant(
                credit,
                &decoded.memos,
                known.as_ref(),
                rules.policy().amount,
            ),
            _ => None,
        };
        let case = words::Case {
            meant: meant.as_ref(),
            transaction,
            decoded,
            credit,
            watched,
            watch_list,
            known: known.as_ref(),
            explanation,
        };
        let reason = match &judged {
            None => words::not_judged(&case),
            Some((verdict, candidates)) => words::verdict(&case, verdict, candidates),
        };
        let verdict = judged.map(|(verdict, _)| verdict);
        if let (Some(known), Some(Verdict::Matched(Matched::Confirm { memo, .. }))) =
            (known.as_mut(), &verdict)
        {
            known.held_by.insert(memo.clone(), transaction.signature);
        }
        explained.push(ExplainedCredit {
            credit: credit.clone(),
            watched: watched.clone(),
            verdict,
            meant: meant.map(|checkout| checkout.memo),
            reason,
        });
    }
    explained
}

fn may_be_meant(
    credit: &Credit,
    memos: &[Memo],
    known: Option<&Known>,
    rule: AmountRule,
) -> Option<Checkout> {
    let asking = known?.asking.iter();
    let asking = asking.filter(|one| one.asks_for(credit, rule));
    let asking: Vec<_> = asking.cloned().collect();
    meant(memos, &asking).cloned()
}

/// Explains a transaction of which nothing can be read.
#[must_use]
pub fn explain_unreadable(why: &str) -> Reason {
    words::unreadable(why)
}
