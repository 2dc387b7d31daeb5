//! What wallets send.

use super::{AccountMeta, Instruction, Keypair, Pubkey, Signer, TestMint};
use spl_associated_token_account_interface::{
    address::get_associated_token_address_with_program_id,
    instruction::create_associated_token_account_idempotent,
};

/// A payment as a standard wallet makes it; change a field for another wallet's habits.
pub struct Payment<'a> {
    /// Who pays, and signs.
    pub from: &'a Keypair,
    /// The wallet to be paid.
    pub to: Pubkey,
    /// In which token.
    pub mint: &'a TestMint,
    /// Base units.
    pub amount: u64,
    /// Memos before the transfer.
    pub memos_before: Vec<String>,
    /// Memos after it.
    pub memos_after: Vec<String>,
}

impl<'a> Payment<'a> {
    /// With one memo, before the transfer.
    #[must_use]
    pub fn new(from: &'a Keypair, to: Pubkey, mint: &'a TestMint, amount: u64, memo: &str) -> Self {
        Self {
            from,
            to,
            mint,
            amount,
            memos_before: vec![memo.to_owned()],
            memos_after: Vec::new(),
        }
    }

    /// Creates the recipient's token account if it is missing, says the memos and transfers.
    ///
    /// # Errors
    /// Never for a test mint.
    pub fn instructions(&self) -> anyhow::Result<Vec<Instruction>> {
        let mut instructions = vec![create_associated(&self.from.pubkey(), &self.to, self.mint)];
        instructions.extend(self.memos_before.iter().map(|text| memo(text)));
        instructions.push(transfer_checked(
            self.from,
            &associated(&self.to, self.mint),
            self.mint,
            self.amount,
        )?);
        instructions.extend(self.memos_after.iter().map(|text| memo(text)));
        Ok(instructions)
    }
}

/// A wallet's associated token account.
#[must_use]
pub fn associated(wallet: &Pubkey, mint: &TestMint) -> Pubkey {
    get_associated_token_address_with_program_id(wallet, &mint.address, &mint.token_program)
}

/// Creates a wallet's associated token account if it is missing.
#[must_use]
pub fn create_associated(payer: &Pubkey, wallet: &Pubkey, mint: &TestMint) -> Instruction {
    create_associated_token_account_idempotent(payer, wallet, &mint.address, &mint.token_program)
}

/// A memo of the program most wallets use (v3).
#[must_use]
pub fn memo(text: &str) -> Instruction {
    Instruction {
        program_id: spl_memo_interface::v3::id(),
        accounts: Vec::<AccountMeta>::new(),
        data: text.as_bytes().to_vec(),
    }
}

/// `TransferChecked` from a wallet's associated token account.
///
/// # Errors
/// Never for a test mint.
pub fn transfer_checked(
    from: &Keypair,
    to: &Pubkey,
    mint: &TestMint,
    amount: u64,
) -> anyhow::Result<Instruction> {
    let source = associated(&from.pubkey(), mint);
    Ok(spl_token_2022_interface::instruction::transfer_checked(
        &mint.token_program,
        &source,
        &mint.address,
        to,
        &from.pubkey(),
        &[],
        amount,
        mint.decimals,
    )?)
}

/// Plain `Transfer`, which names no mint, from a wallet's associated token account.
///
/// # Errors
/// Never for a test mint.
pub fn transfer(
    from: &Keypair,
    to: &Pubkey,
    mint: &TestMint,
    amount: u64,
) -> anyhow::Result<Instruction> {
    let source = associated(&from.pubkey(), mint);
    #[expect(deprecated, reason = "wallets still send it")]
    Ok(spl_token_2022_interface::instruction::transfer(
        &mint.token_program,
        &source,
        to,
        &from.pubkey(),
        &[],
        amount,
    )?)
}

/// Several instructions of the classic token program as one: tag 255, then for each the number of its accounts, the
/// length of its data, and the data.
#[must_use]
pub fn batch(items: &[Instruction]) -> Instruction {
    let mut data = vec![255];
    for item in items {
        let byte = |length: usize| u8::try_from(length).unwrap_or(u8::MAX);
        data.extend([byte(item.accounts.len()), byte(item.data.len())]);
        data.extend(&item.data);
    }
    let accounts = items
        .iter()
        .flat_map(|item| item.accounts.clone())
        .collect();
    Instruction {
        program_id: spl_token::id(),
        accounts,
        data,
    }
}
