//! What a transaction gave to a watched token account, and the instructions that explain it.

use super::{BaseUnits, Instruction, Mint, Pubkey, TokenAccount, TokenProgram, Wallet};

/// What a watched token account gained in one transaction, net.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credit {
    /// The watched token account.
    pub token_account: TokenAccount,
    /// Its owner.
    pub wallet: Wallet,
    /// What it holds.
    pub mint: Mint,
    /// How much came in; never zero.
    pub received: BaseUnits,
    /// Owner of the source of the transfer that explains it: not the fee payer. `None` where tokens
    /// were minted, or came in a way that names no source.
    pub payer: Option<Wallet>,
}

/// An instruction that moved tokens. It explains a credit; it is never the measure of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Where the tokens came from; `None` for a mint.
    pub source: Option<TokenAccount>,
    /// Where they went.
    pub destination: TokenAccount,
    /// Who allowed it: owner, delegate, multisig or mint authority.
    pub authority: Wallet,
    /// Named by the checked instructions only.
    pub mint: Option<Mint>,
    /// How much left the source; Token-2022 may withhold a fee from it.
    pub amount: BaseUnits,
    /// How deep its instruction was called, see [`Instruction::depth`].
    pub depth: u8,
}

impl Transfer {
    /// All transfers that an instruction makes: none, one, or the many of a batch.
    #[must_use]
    pub fn in_instruction(instruction: &Instruction) -> Vec<Self> {
        let mut transfers = Vec::new();
        each_effect(instruction, &mut |_, effect| {
            if let Effect::Moves(transfer) = effect {
                transfers.push(transfer);
            }
        });
        transfers
    }
}

/// What an instruction of a token program does to the balances of token accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It moves tokens.
    Moves(Transfer),
    /// It closes an account.
    Closes(TokenAccount),
    /// It counts the lamports that lie on an account of the native mint as tokens of it, whoever sent them and whenever.
    Syncs(TokenAccount),
}

/// Calls `take` with the program and each effect of an instruction, in order of execution: none, one, or the many of a batch.
pub(super) fn each_effect(instruction: &Instruction, take: &mut dyn FnMut(TokenProgram, Effect)) {
    if let Some(program) = TokenProgram::from_id(&instruction.program) {
        parse(
            &instruction.accounts,
            &instruction.data,
            instruction.depth,
            Batch::Allowed,
            &mut |effect| take(program, effect),
        );
    }
}

/// How much transfers brought into a token account together, before any fee was withheld.
pub(super) fn brought(into: TokenAccount, transfers: &[Transfer]) -> u128 {
    transfers
        .iter()
        .filter(|transfer| transfer.destination == into)
        .map(|transfer| u128::from(transfer.amount.0))
        .fold(0, u128::saturating_add)
}

/// A batch holds plain instructions, never another batch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Batch {
    Allowed,
    Inside,
}

/// Instruction tags of both token programs: `spl_token::instruction::TokenInstruction`, and the batch of p-token.
mod tag {
    pub(super) const TRANSFER: u8 = 3;
    pub(super) const MINT_TO: u8 = 7;
    pub(super) const CLOSE_ACCOUNT: u8 = 9;
    pub(super) const TRANSFER_CHECKED: u8 = 12;
    pub(super) const MINT_TO_CHECKED: u8 = 14;
    pub(super) const SYNC_NATIVE: u8 = 17;
    pub(super) const TRANSFER_FEE_EXTENSION: u8 = 26;
    pub(super) const TRANSFER_CHECKED_WITH_FEE: u8 = 1;
    pub(super) const BATCH: u8 = 255;
}

fn parse(accounts: &[Pubkey], data: &[u8], depth: u8, batch: Batch, take: &mut dyn FnMut(Effect)) {
    let account = |index: usize| accounts.get(index).copied();
    let transfer = |source: Option<usize>,
                    mint: Option<usize>,
                    destination: usize,
                    authority: usize,
                    amount: &[u8]| {
        let source = match source {
            Some(index) => Some(TokenAccount(account(index)?)),
            None => None,
        };
        Some(Effect::Moves(Transfer {
            source,
            destination: TokenAccount(account(destination)?),
            authority: Wallet(account(authority)?),
            mint: mint.and_then(account).map(Mint),
            amount: BaseUnits(u64::from_le_bytes(*amount.first_chunk()?)),
            depth,
        }))
    };
    let first = || account(0).map(TokenAccount);
    let effect = match data {
        [tag::TRANSFER, rest @ ..] => transfer(Some(0), None, 1, 2, rest),
        [tag::TRANSFER_CHECKED, rest @ ..]
        | [
            tag::TRANSFER_FEE_EXTENSION,
            tag::TRANSFER_CHECKED_WITH_FEE,
            rest @ ..,
        ] => transfer(Some(0), Some(1), 2, 3, rest),
        [tag::MINT_TO | tag::MINT_TO_CHECKED, rest @ ..] => transfer(None, Some(0), 1, 2, rest),
        [tag::CLOSE_ACCOUNT, ..] => first().map(Effect::Closes),
        [tag::SYNC_NATIVE, ..] => first().map(Effect::Syncs),
        [tag::BATCH, rest @ ..] if batch == Batch::Allowed => {
            parse_batch(accounts, rest, depth, take);
            None
        }
        _ => None,
    };
    if let Some(effect) = effect {
        take(effect);
    }
}

/// `[n_accounts u8][data_len u8][data]` repeated; accounts concatenated. Stops at the first item that is cut short.
fn parse_batch(mut accounts: &[Pubkey], mut items: &[u8], depth: u8, take: &mut dyn FnMut(Effect)) {
    while let [account_count, data_len, rest @ ..] = items {
        let (Some((own, others)), Some((data, further))) = (
            accounts.split_at_checked(usize::from(*account_count)),
            rest.split_at_checked(usize::from(*data_len)),
        ) else {
            break;
        };
        parse(own, data, depth, Batch::Inside, take);
        (accounts, items) = (others, further);
    }
}
