//! An explanation for people.

use crate::domain::{
    AccountChange, BaseUnits, Candidate, CheckoutStatus, ExplainedCredit, Held, Matched, Memo,
    Mint, Outcome, Reason, SaidMemo, TokenAccount, TokenProgram, Transfer, Verdict, Wallet,
};
use crate::pipeline::{Explained, Read};
use crate::report;
use crate::store::PaymentSummary;

/// Most bytes of a memo that are shown as they are.
const BYTES_SHOWN: usize = 64;

pub(super) fn of(explained: &Explained) -> String {
    match explained {
        Explained::Not { signature, reason } => {
            let head = signature.map(|signature| format!("transaction {signature}\n"));
            head.unwrap_or_default() + &told(reason, "  ")
        }
        Explained::Read(read) => read.text(),
    }
}

fn told(reason: &Reason, indent: &str) -> String {
    let mut text = format!("{indent}why      {}\n", reason.why);
    if !reason.advice.is_empty() {
        text += &format!("{indent}to do    {}\n", reason.advice);
    }
    text
}

impl Read {
    fn text(&self) -> String {
        let (explanation, background) = (&self.explanation, &self.background);
        let mut text = self.head();
        for credit in &explanation.credits {
            text += &self.credit(credit);
        }
        if let Some(reason) = &explanation.nothing {
            text += &format!("\nno payment\n{}", told(reason, "  "));
        }
        let checkouts = explanation.checkouts.iter();
        text += &section("checkouts named", checkouts.map(|one| self.checkout(one)));
        let (memos, is_judged) = (explanation.memos.iter(), background.known.is_some());
        text += &section("memos", memos.map(|one| memo(one, is_judged)));
        let transfers = explanation.transfers.iter();
        let transfers = transfers.map(|(one, payer)| self.transfer(one, *payer));
        text += &section("transfers", transfers);
        text += &section("token accounts", explanation.accounts.iter().map(account));
        text += &section("on record", background.recorded.iter().map(recorded));
        let notes = background.notes.iter();
        text += &section("notes", notes.map(|note| format!("  {note}\n")));
        text
    }

    fn head(&self) -> String {
        let transaction = &self.transaction;
        let time = transaction
            .block_time
            .map_or_else(|| "time not told".into(), report::seconds);
        let commitment = self
            .commitment
            .map_or("commitment not told", |one| one.as_str());
        let outcome = match transaction.outcome {
            Outcome::Succeeded => "succeeded",
            Outcome::Failed => "FAILED",
        };
        format!(
            "transaction {}\n  version {}, slot {}, {time}, {commitment}, {outcome}\n",
            transaction.signature,
            transaction.version.as_str(),
            transaction.slot
        )
    }

    fn credit(&self, one: &ExplainedCredit) -> String {
        let (credit, watched) = (&one.credit, &one.watched);
        let change = self
            .explanation
            .accounts
            .iter()
            .find(|change| change.token_account == credit.token_account);
        let (before, after) = change.map_or((None, None), |change| (change.before, change.after));
        let payer = credit
            .payer
            .map_or_else(|| "not told by the chain".into(), |payer| payer.to_string());
        let verdict = match &one.verdict {
            None => "not judged".to_owned(),
            Some(Verdict::Held(reason)) => format!("held: {reason}"),
            Some(Verdict::Matched(Matched::Confirm { memo, .. } | Matched::Settled { memo })) => {
                format!("matched: checkout {memo}")
            }
        };
        let mut text = format!(
            "\ncredit of {}\n  verdict  {verdict}\n{}",
            self.human(credit.received, credit.mint),
            told(&one.reason, "  "),
        );
        for (name, value) in [
            ("payer", payer),
            ("account", credit.token_account.to_string()),
            ("owner", credit.wallet.to_string()),
            (
                "mint",
                format!("{} ({})", credit.mint, program(Some(watched.token_program))),
            ),
            (
                "balance",
                format!(
                    "{} before, {} after (base units)",
                    amount(before),
                    amount(after)
                ),
            ),
        ] {
            text += &format!("  {name:<8} {value}\n");
        }
        if let Some(Verdict::Held(reason)) = one.verdict {
            text += &self.by_hand(reason, one.meant.as_ref());
        }
        text
    }

    /// What a person can decide, as commands.
    fn by_hand(&self, reason: Held, meant: Option<&Memo>) -> String {
        let signature = self.transaction.signature;
        let dismiss = format!("paywatch payments dismiss {signature} --reason TEXT");
        if reason == Held::AlreadyPaid {
            return format!("  by hand  {dismiss}\n");
        }
        let checkout = match self.explanation.checkouts.as_slice() {
            [only] if is_plain(&only.checkout.memo) => only.checkout.memo.as_str(),
            _ => meant
                .filter(|memo| is_plain(memo))
                .map_or("MEMO", Memo::as_str),
        };
        format!(
            "  by hand  paywatch payments confirm {signature} --checkout {checkout} --reason TEXT\n           {dismiss}\n"
        )
    }

    fn checkout(&self, one: &Candidate) -> String {
        let checkout = &one.checkout;
        let due = match (checkout.amount, checkout.mint) {
            (Some(due), Some(mint)) => self.human(due, mint),
            (Some(due), None) => format!("{due} base units"),
            (None, _) => "an amount the API does not tell".into(),
        };
        let to = checkout
            .recipient
            .map(|wallet| format!(" to {wallet}"))
            .unwrap_or_default();
        let status = match checkout.status {
            CheckoutStatus::Pending => "pending".to_owned(),
            CheckoutStatus::Confirmed(None) => "confirmed".to_owned(),
            CheckoutStatus::Confirmed(Some(by)) => format!("confirmed by {by}"),
            CheckoutStatus::Other(word) => format!("neither pending nor confirmed: \"{word}\""),
        };
        let held = self
            .background
            .known
            .as_ref()
            .and_then(|known| known.held_by.get(&checkout.memo));
        let held = held.map(|by| format!(", paid by {by}")).unwrap_or_default();
        format!("  {}: {due}{to}, {status}{held}\n", checkout.memo)
    }

    fn transfer(&self, one: &Transfer, payer: Option<Wallet>) -> String {
        let mint = one
            .mint
            .or_else(|| self.mint_of(one.destination))
            .or_else(|| self.mint_of(one.source?));
        let amount = match mint {
            Some(mint) => self.human(one.amount, mint),
            None => format!("{} base units", one.amount),
        };
        let from = one
            .source
            .map_or_else(|| "minted".into(), |source| format!("from {source}"));
        let payer = payer
            .map(|payer| format!("\n      paid by {payer}"))
            .unwrap_or_default();
        format!(
            "  {amount}, depth {}\n      {from}\n      to {}{payer}\n      by authority of {}\n",
            one.depth, one.destination, one.authority
        )
    }

    fn mint_of(&self, token_account: TokenAccount) -> Option<Mint> {
        self.explanation
            .accounts
            .iter()
            .find(|one| one.token_account == token_account)
            .map(|one| one.mint)
    }

    fn human(&self, amount: BaseUnits, mint: Mint) -> String {
        let watched = self
            .background
            .watch_list
            .iter()
            .find(|watched| watched.mint == mint);
        let decimals = self
            .explanation
            .accounts
            .iter()
            .find(|one| one.mint == mint)
            .and_then(|one| one.decimals);
        match (watched, decimals) {
            (Some(watched), _) => format!(
                "{} {}",
                amount.human(watched.decimals),
                crate::domain::visible(&watched.symbol)
            ),
            (None, Some(decimals)) => format!("{} of {mint}", amount.human(decimals)),
            (None, None) => format!("{amount} base units of {mint}"),
        }
    }
}

/// Lines under a title; nothing without lines.
fn section(title: &str, lines: impl Iterator<Item = String>) -> String {
    let lines: String = lines.collect();
    if lines.is_empty() {
        lines
    } else {
        format!("\n{title}\n{lines}")
    }
}

fn recorded(one: &PaymentSummary) -> String {
    format!(
        "  {} at {}: {}, {}, {}\n",
        one.signature,
        one.token_account,
        one.verdict,
        one.state.as_str(),
        one.chain_state
    )
}

fn account(one: &AccountChange) -> String {
    let watched = if one.is_watched {
        "watched"
    } else {
        "not watched"
    };
    let owner = one
        .owner
        .map_or_else(|| "not told".into(), |owner| owner.to_string());
    let why = one
        .no_credit
        .as_ref()
        .map(|why| format!("\n      no credit: it {why}"))
        .unwrap_or_default();
    format!(
        "  {} ({watched})\n      {} before, {} after (base units)\n      owner {owner}\n      mint {} ({}){why}\n",
        one.token_account,
        amount(one.before),
        amount(one.after),
        one.mint,
        program(one.token_program)
    )
}

/// Which checkout it names is only said where checkouts are known.
fn memo(one: &SaidMemo, is_judged: bool) -> String {
    let text = one
        .memo
        .as_ref()
        .map_or_else(|| "no text".into(), |memo| format!("“{memo}”"));
    let names: Vec<_> = one.names.iter().map(ToString::to_string).collect();
    let names = match (is_judged, names.is_empty()) {
        (false, _) => String::new(),
        (true, true) => ", names no known checkout".into(),
        (true, false) => format!(", names checkout {}", names.join(", ")),
    };
    let shown = &one.bytes[..one.bytes.len().min(BYTES_SHOWN)];
    let more = if shown.len() < one.bytes.len() {
        "…"
    } else {
        ""
    };
    format!(
        "  {text}{names}\n      memo program {}, depth {}, {} bytes: {}{more}\n",
        one.program.as_str(),
        one.depth,
        one.bytes.len(),
        hex(shown)
    )
}

/// Whether a memo can stand in a shell command as it is.
fn is_plain(memo: &Memo) -> bool {
    memo.as_str()
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Bytes as hexadecimal text.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn amount(amount: Option<BaseUnits>) -> String {
    amount.map_or_else(|| "not there".into(), |amount| amount.to_string())
}

pub(super) fn program(program: Option<TokenProgram>) -> &'static str {
    match program {
        Some(TokenProgram::Token) => "Token",
        Some(TokenProgram::Token2022) => "Token-2022",
        None => "program not told",
    }
}
