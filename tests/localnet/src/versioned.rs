//! The same payment in the three versions a transaction can have.

use super::{Instruction, Keypair, Localnet, Pubkey, Signature, Signer};
use anyhow::{Context, bail};
use solana_address_lookup_table_interface::instruction::{
    create_lookup_table, extend_lookup_table,
};
use solana_message::{AddressLookupTableAccount, VersionedMessage, legacy, v0, v1};
use solana_sdk::hash::Hash;
use solana_transaction::versioned::VersionedTransaction;
use std::time::Duration;

/// A transaction's version.
#[derive(Clone, Debug)]
pub enum Version {
    /// Before versions.
    Legacy,
    /// With these keys in a lookup table; without any, without a table.
    V0(Vec<Pubkey>),
    /// Inline keys only, 4096 bytes.
    V1,
}

/// A transaction that was never sent.
#[derive(Clone, Debug)]
pub struct Assembled {
    /// As it goes over the wire.
    pub bytes: Vec<u8>,
    /// All of its keys, in their order.
    pub keys: Vec<Pubkey>,
    /// Those at the end that come from a lookup table; all writable.
    pub loaded: Vec<Pubkey>,
}

impl Version {
    /// A transaction of this version with any signature. Keys in a lookup table must be writable.
    ///
    /// # Errors
    /// When the instructions do not fit.
    pub fn assemble(
        &self,
        payer: &Pubkey,
        instructions: &[Instruction],
        signature: Signature,
    ) -> anyhow::Result<Assembled> {
        let tables = match self {
            Self::V0(keys) => vec![AddressLookupTableAccount {
                key: Pubkey::new_from_array([7; 32]),
                addresses: keys.clone(),
            }],
            _ => Vec::new(),
        };
        let message = compile(self, payer, instructions, &tables, Hash::default())?;
        let looked_up = message.address_table_lookups().unwrap_or_default();
        let loaded: Vec<_> = looked_up
            .iter()
            .flat_map(|lookup| &lookup.writable_indexes)
            .filter_map(|index| tables[0].addresses.get(usize::from(*index)).copied())
            .collect();
        let mut keys = message.static_account_keys().to_vec();
        keys.extend(&loaded);
        let transaction = VersionedTransaction {
            signatures: vec![signature],
            message,
        };
        let bytes = wincode::serialize(&transaction).context("serialize a transaction")?;
        Ok(Assembled {
            bytes,
            keys,
            loaded,
        })
    }
}

impl Localnet {
    /// Signs (`payer` first) and sends in a version, and waits until it landed, failed or not.
    ///
    /// # Errors
    /// When the network refuses it outright.
    pub async fn land_as(
        &self,
        version: Version,
        payer: &Keypair,
        others: &[&Keypair],
        instructions: &[Instruction],
    ) -> anyhow::Result<Signature> {
        let blockhash = self
            .client()
            .get_latest_blockhash()
            .await
            .context("ask for a blockhash")?;
        self.land_with(version, payer, others, instructions, blockhash)
            .await
    }

    /// The same with this blockhash, which may be that of a durable nonce.
    ///
    /// # Errors
    /// When the network refuses it outright.
    pub async fn land_with(
        &self,
        version: Version,
        payer: &Keypair,
        others: &[&Keypair],
        instructions: &[Instruction],
        blockhash: Hash,
    ) -> anyhow::Result<Signature> {
        let tables = match &version {
            Version::V0(keys) if !keys.is_empty() => vec![
                self.lookup_table(payer, keys)
                    .await
                    .context("make a lookup table")?,
            ],
            _ => Vec::new(),
        };
        let message = compile(&version, &payer.pubkey(), instructions, &tables, blockhash)?;
        let mut signers = vec![payer];
        signers.extend(others);
        self.land(&VersionedTransaction::try_new(message, &signers)?)
            .await
    }

    async fn lookup_table(
        &self,
        authority: &Keypair,
        keys: &[Pubkey],
    ) -> anyhow::Result<AddressLookupTableAccount> {
        let recent = self.client().get_slot().await?.saturating_sub(1);
        let (create, table) = create_lookup_table(authority.pubkey(), authority.pubkey(), recent);
        let extend = extend_lookup_table(
            table,
            authority.pubkey(),
            Some(authority.pubkey()),
            keys.to_vec(),
        );
        self.send(authority, &[], &[create, extend]).await?;
        // A table serves from the slot after the one that extended it.
        let extended_in = self.client().get_slot().await?;
        for _ in 0..400 {
            if self.client().get_slot().await? > extended_in + 1 {
                return Ok(AddressLookupTableAccount {
                    key: table,
                    addresses: keys.to_vec(),
                });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the network stands still");
    }
}

fn compile(
    version: &Version,
    payer: &Pubkey,
    instructions: &[Instruction],
    tables: &[AddressLookupTableAccount],
    blockhash: Hash,
) -> anyhow::Result<VersionedMessage> {
    Ok(match version {
        Version::Legacy => VersionedMessage::Legacy(legacy::Message::new_with_blockhash(
            instructions,
            Some(payer),
            &blockhash,
        )),
        Version::V0(_) => VersionedMessage::V0(v0::Message::try_compile(
            payer,
            instructions,
            tables,
            blockhash,
        )?),
        Version::V1 => {
            // What a v1 transaction does not ask for, it does not get.
            let config = v1::TransactionConfig {
                compute_unit_limit: Some(400_000),
                loaded_accounts_data_size_limit: Some(1 << 20),
                ..v1::TransactionConfig::empty()
            };
            VersionedMessage::V1(v1::Message::try_compile_with_config(
                payer,
                instructions,
                blockhash,
                config,
            )?)
        }
    })
}
