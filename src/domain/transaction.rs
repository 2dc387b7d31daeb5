//! A transaction as decoding needs it: every key resolved, every instruction in order of execution.

use super::{
    BaseUnits, Decimals, Memo, MemoProgram, Mint, Pubkey, Signature, Slot, TokenAccount,
    TokenProgram, Transfer, Wallet,
};

/// One landed transaction, whatever its version was on the wire.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// Its id.
    pub signature: Signature,
    /// The slot it landed in.
    pub slot: Slot,
    /// Estimated production time of its block, Unix seconds.
    pub block_time: Option<i64>,
    /// The form it had on the wire.
    pub version: Version,
    /// Whether it had any effect.
    pub outcome: Outcome,
    /// All keys it names: static, then loaded from lookup tables.
    pub keys: Vec<Pubkey>,
    /// The keys that it may write to. Only these accounts can have gained anything.
    pub writable: Vec<Pubkey>,
    /// Outer instructions, each followed by the inner ones it made, in order.
    pub instructions: Vec<Instruction>,
    /// Whether the node kept the inner instructions; if not, there may be more than `instructions` shows.
    pub inner_known: bool,
    /// Token balances before and after, of every token account it names.
    pub pre: Vec<TokenBalance>,
    /// See `pre`.
    pub post: Vec<TokenBalance>,
    /// Lamports of each of `keys`; `None` if the node did not tell them for all keys.
    pub lamports: Option<Vec<Lamports>>,
}

/// The lamports of an account around a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lamports {
    /// Before the transaction, 0 if the account did not exist.
    pub before: u64,
    /// After it, 0 if the account was closed.
    pub after: u64,
}

/// The form a transaction has on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// From before versions.
    Legacy,
    /// Keys may stand in lookup tables.
    V0,
    /// All keys inline, up to 4096 bytes.
    V1,
}

impl Version {
    /// As the node names it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::V0 => "0",
            Self::V1 => "1",
        }
    }
}

/// Whether a landed transaction had any effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// `meta.err` was null.
    Succeeded,
    /// It paid its fee and changed nothing, although its balances are recorded.
    Failed,
}

/// One executed instruction.
#[derive(Clone, Debug)]
pub struct Instruction {
    /// The program called.
    pub program: Pubkey,
    /// The accounts given to it, in order.
    pub accounts: Vec<Pubkey>,
    /// Its data.
    pub data: Vec<u8>,
    /// How deep it was called: 0 = by the transaction itself, 1 = by a program that the transaction called, and so on.
    pub depth: u8,
}

/// A token account's balance on one side of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenBalance {
    /// The token account.
    pub token_account: TokenAccount,
    /// What it holds.
    pub mint: Mint,
    /// Who owns it; old nodes leave it out.
    pub owner: Option<Wallet>,
    /// Program that owns the account; old nodes leave it out.
    pub token_program: Option<TokenProgram>,
    /// Decimal places of the mint; only shown.
    pub decimals: Option<Decimals>,
    /// How much it holds.
    pub amount: BaseUnits,
}

impl Transaction {
    /// Every transfer among its instructions, in order of execution. Of a failed transaction: what it tried.
    #[must_use]
    pub fn transfers(&self) -> Vec<Transfer> {
        self.instructions
            .iter()
            .flat_map(Transfer::in_instruction)
            .collect()
    }

    /// The lamports of one account, if the node told them.
    #[must_use]
    pub fn lamports_of(&self, key: Pubkey) -> Option<Lamports> {
        let index = self.keys.iter().position(|one| *one == key)?;
        self.lamports.as_ref()?.get(index).copied()
    }

    /// Every memo with text, in order of execution.
    #[must_use]
    pub fn memos(&self) -> Vec<Memo> {
        let said = |instruction: &Instruction| {
            MemoProgram::from_id(&instruction.program)
                .and_then(|_| Memo::from_bytes(&instruction.data))
        };
        self.instructions.iter().filter_map(said).collect()
    }

    /// Who paid a transfer: the owner of its source, never the fee payer. `None` where tokens were minted.
    ///
    /// A source that was made and closed on the way has no balance that names its owner: there it is the authority.
    #[must_use]
    pub fn payer_of(&self, transfer: &Transfer) -> Option<Wallet> {
        let source = transfer.source?;
        let balance = find(&self.pre, source).or_else(|| find(&self.post, source));
        Some(
            balance
                .and_then(|balance| balance.owner)
                .unwrap_or(transfer.authority),
        )
    }
}

/// The balance of one token account.
pub(super) fn find(
    balances: &[TokenBalance],
    token_account: TokenAccount,
) -> Option<&TokenBalance> {
    balances
        .iter()
        .find(|balance| balance.token_account == token_account)
}
