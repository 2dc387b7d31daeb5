//! A transaction as decoding needs it: every key resolved, every instruction in order of execution.

use super::{BaseUnits, Memo, Mint, Pubkey, Signature, Slot, TokenAccount, TokenProgram, Wallet};

/// How sure the chain is of a transaction. `processed` is never acted on, so it is not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Commitment {
    /// Voted on by a supermajority: about a second.
    Confirmed,
    /// Can no longer be undone.
    Finalized,
}

impl Commitment {
    /// The chain's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Finalized => "finalized",
        }
    }
}

/// One landed transaction, whatever its version was on the wire.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// Its id.
    pub signature: Signature,
    /// The slot it landed in.
    pub slot: Slot,
    /// Estimated production time of its block, Unix seconds.
    pub block_time: Option<i64>,
    /// Whether it had any effect.
    pub outcome: Outcome,
    /// All keys it names: static, then loaded from lookup tables.
    pub keys: Vec<Pubkey>,
    /// Outer instructions, each followed by the inner ones it made, in order.
    pub instructions: Vec<Instruction>,
    /// Whether the node kept the inner instructions; if not, there may be more than `instructions` shows.
    pub inner_known: bool,
    /// Token balances before and after, of every token account it names.
    pub pre: Vec<TokenBalance>,
    /// See `pre`.
    pub post: Vec<TokenBalance>,
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
    /// How much it holds.
    pub amount: BaseUnits,
}

impl Instruction {
    /// The memo, if this calls one of the three memo programs with text.
    #[must_use]
    pub fn memo(&self) -> Option<Memo> {
        use spl_memo_interface::{v1, v3, v4};
        [v1::id(), v3::id(), v4::id()]
            .contains(&self.program)
            .then(|| Memo::from_bytes(&self.data))?
    }
}
