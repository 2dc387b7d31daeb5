//! Mints whose authority we hold, and accounts of them.

use super::{Instruction, Keypair, Localnet, Pubkey, Signature, Signer, associated, memo, payment};
use anyhow::Context;
use solana_sdk::program_pack::Pack;
use spl_token_2022_interface::{extension::ExtensionType, state::Mint as MintState};

/// A mint whose authority we hold.
pub struct TestMint {
    /// Its address.
    pub address: Pubkey,
    /// Classic or Token-2022.
    pub token_program: Pubkey,
    /// Its decimal places.
    pub decimals: u8,
    /// Who may mint.
    pub authority: Keypair,
}

impl TestMint {
    /// A mint of the classic program that somebody else made: good for paying, not for funding.
    #[must_use]
    pub fn existing(address: Pubkey, decimals: u8) -> Self {
        Self {
            address,
            token_program: spl_token::id(),
            decimals,
            authority: Keypair::new(),
        }
    }
}

impl Localnet {
    /// A new token account of a wallet, not its associated one.
    ///
    /// # Errors
    /// When the network does not take it.
    pub async fn token_account(
        &self,
        payer: &Keypair,
        owner: &Pubkey,
        mint: &TestMint,
    ) -> anyhow::Result<Pubkey> {
        let (account, size) = (Keypair::new(), spl_token::state::Account::LEN);
        let rent = self
            .client
            .get_minimum_balance_for_rent_exemption(size)
            .await?;
        let create = solana_system_interface::instruction::create_account(
            &payer.pubkey(),
            &account.pubkey(),
            rent,
            size as u64,
            &mint.token_program,
        );
        let initialize = spl_token_2022_interface::instruction::initialize_account3(
            &mint.token_program,
            &account.pubkey(),
            &mint.address,
            owner,
        )?;
        self.send(payer, &[&account], &[create, initialize])
            .await
            .context("create a token account")?;
        Ok(account.pubkey())
    }

    /// A new mint of the classic program with 6 decimals.
    ///
    /// # Errors
    /// When the network does not take it.
    pub async fn mint(&self) -> anyhow::Result<TestMint> {
        self.mint_of(spl_token::id()).await
    }

    /// A new mint of one of the two token programs, with 6 decimals and no extension.
    ///
    /// # Errors
    /// When the network does not take it.
    pub async fn mint_of(&self, token_program: Pubkey) -> anyhow::Result<TestMint> {
        let authority = self.wallet().await?;
        self.mint_at(token_program, authority, &Keypair::new())
            .await
    }

    /// The same at an address of the caller's choice; `authority` pays, and may mint.
    ///
    /// # Errors
    /// When the network does not take it.
    pub async fn mint_at(
        &self,
        token_program: Pubkey,
        authority: Keypair,
        address: &Keypair,
    ) -> anyhow::Result<TestMint> {
        let size = spl_token::state::Mint::LEN;
        self.create_mint(token_program, authority, address, size, &[])
            .await
    }

    /// A new Token-2022 mint with extensions; `before` are their own instructions, which come before the mint's.
    ///
    /// # Errors
    /// When the network does not take it.
    pub async fn mint_with(
        &self,
        authority: Keypair,
        address: &Keypair,
        extensions: &[ExtensionType],
        before: &[Instruction],
    ) -> anyhow::Result<TestMint> {
        let size = ExtensionType::try_calculate_account_len::<MintState>(extensions)?;
        let token_program = spl_token_2022_interface::id();
        self.create_mint(token_program, authority, address, size, before)
            .await
    }

    async fn create_mint(
        &self,
        token_program: Pubkey,
        authority: Keypair,
        address: &Keypair,
        size: usize,
        before: &[Instruction],
    ) -> anyhow::Result<TestMint> {
        const DECIMALS: u8 = 6;
        let rent = self
            .client
            .get_minimum_balance_for_rent_exemption(size)
            .await?;
        let mut instructions = vec![solana_system_interface::instruction::create_account(
            &authority.pubkey(),
            &address.pubkey(),
            rent,
            size as u64,
            &token_program,
        )];
        instructions.extend_from_slice(before);
        instructions.push(spl_token_2022_interface::instruction::initialize_mint2(
            &token_program,
            &address.pubkey(),
            &authority.pubkey(),
            None,
            DECIMALS,
        )?);
        self.send(&authority, &[address], &instructions)
            .await
            .context("create a mint")?;
        Ok(TestMint {
            address: address.pubkey(),
            token_program,
            decimals: DECIMALS,
            authority,
        })
    }

    /// Gives a wallet tokens, in its associated token account.
    ///
    /// # Errors
    /// When the network does not take it.
    pub async fn fund(&self, wallet: &Pubkey, mint: &TestMint, amount: u64) -> anyhow::Result<()> {
        let account = associated(wallet, mint);
        let give = spl_token_2022_interface::instruction::mint_to(
            &mint.token_program,
            &mint.address,
            &account,
            &mint.authority.pubkey(),
            &[],
            amount,
        )?;
        let create = payment::create_associated(&mint.authority.pubkey(), wallet, mint);
        self.send(&mint.authority, &[], &[create, give])
            .await
            .context("fund a wallet")?;
        Ok(())
    }

    /// Gives tokens straight from the mint, with a memo: what a bridge does.
    ///
    /// # Errors
    /// When the network does not take it.
    pub async fn mint_into(
        &self,
        account: &Pubkey,
        mint: &TestMint,
        amount: u64,
        text: &str,
    ) -> anyhow::Result<Signature> {
        let give = spl_token_2022_interface::instruction::mint_to(
            &mint.token_program,
            &mint.address,
            account,
            &mint.authority.pubkey(),
            &[],
            amount,
        )?;
        self.send(&mint.authority, &[], &[memo(text), give]).await
    }
}
