//! One transaction of the corpus: the instructions it is made of, and by hand beside each what paywatch must see of it.

use localnet::{Instruction, Pubkey};
use serde_json::{Value, json};
use solana_sdk::{bs58, hash::hash};

/// Base units a checkout of the corpus asks for, unless it says otherwise: 19 USDC.
pub(super) const DUE: u64 = 19_000_000;

/// Who plays in every case, and their associated token accounts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cast {
    pub(super) shop: Pubkey,
    pub(super) buyer: Pubkey,
    pub(super) usdc: Pubkey,
    pub(super) usdt: Pubkey,
    pub(super) shop_usdc: Pubkey,
    pub(super) shop_usdt: Pubkey,
    pub(super) buyer_usdc: Pubkey,
    pub(super) buyer_usdt: Pubkey,
}

/// One movement of tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    pub(super) program: Pubkey,
    pub(super) mint: Pubkey,
    pub(super) source: Pubkey,
    pub(super) destination: Pubkey,
    pub(super) authority: Pubkey,
    /// Owner of the source.
    pub(super) payer: Pubkey,
    pub(super) amount: u64,
}

impl Cast {
    /// The buyer pays the shop in USDC.
    pub(super) fn pays(&self, amount: u64) -> Move {
        Move {
            program: spl_token::id(),
            mint: self.usdc,
            source: self.buyer_usdc,
            destination: self.shop_usdc,
            authority: self.buyer,
            payer: self.buyer,
            amount,
        }
    }

    /// The same in USDT.
    pub(super) fn pays_usdt(&self, amount: u64) -> Move {
        Move {
            mint: self.usdt,
            source: self.buyer_usdt,
            destination: self.shop_usdt,
            ..self.pays(amount)
        }
    }
}

impl Move {
    /// `TransferChecked`.
    pub(super) fn checked(&self) -> Instruction {
        spl_token_2022_interface::instruction::transfer_checked(
            &self.program,
            &self.source,
            &self.mint,
            &self.destination,
            &self.authority,
            &[],
            self.amount,
            6,
        )
        .unwrap()
    }

    /// Plain `Transfer`.
    pub(super) fn plain(&self) -> Instruction {
        #[expect(deprecated, reason = "wallets still send it")]
        spl_token_2022_interface::instruction::transfer(
            &self.program,
            &self.source,
            &self.destination,
            &self.authority,
            &[],
            self.amount,
        )
        .unwrap()
    }
}

/// How a memo is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    V1,
    V3,
    V4,
}

impl Said {
    pub(super) fn program(self) -> Pubkey {
        match self {
            Self::V1 => spl_memo_interface::v1::id(),
            Self::V3 => spl_memo_interface::v3::id(),
            Self::V4 => spl_memo_interface::v4::id(),
        }
    }
}

/// A case being written: what is done, and what must be seen.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    /// The memo of the case's checkout.
    pub(super) memo: String,
    pub(super) instructions: Vec<Instruction>,
    /// What stands in the file.
    pub(super) expected: Value,
}

impl Case {
    /// A case whose shop watches these accounts, each (token account, wallet, mint, token program).
    pub(super) fn new(
        name: &'static str,
        about: &str,
        watched: &[(Pubkey, Pubkey, Pubkey, Pubkey)],
    ) -> Self {
        let watched: Vec<_> = watched
            .iter()
            .map(|(account, wallet, mint, program)| {
                json!({ "token_account": account.to_string(), "wallet": wallet.to_string(), "mint": mint.to_string(), "token_program": program.to_string() })
            })
            .collect();
        Self {
            name,
            memo: hex(name),
            instructions: Vec::new(),
            expected: json!({
                "about": about, "made": "", "watched": watched, "checkouts": [], "amount": "exact",
                "version": "legacy", "unreadable": null, "credits": [], "transfers": [], "memos": [],
                "assignment": null, "differences": {},
            }),
        }
    }

    fn push(&mut self, list: &str, value: Value) {
        self.expected[list].as_array_mut().unwrap().push(value);
    }

    /// An instruction that moves nothing and says nothing.
    pub(super) fn step(mut self, instruction: Instruction) -> Self {
        self.instructions.push(instruction);
        self
    }

    /// The case's memo, by the program most wallets use.
    pub(super) fn say(self) -> Self {
        let memo = self.memo.clone();
        self.say_text(&memo)
    }

    pub(super) fn say_text(self, text: &str) -> Self {
        self.say_bytes(Said::V3, text.as_bytes())
    }

    pub(super) fn say_bytes(self, program: Said, bytes: &[u8]) -> Self {
        self.hears(program, bytes, 0).step(memo(program, bytes))
    }

    /// A memo is seen; the instruction that says it is added elsewhere.
    pub(super) fn hears(mut self, program: Said, bytes: &[u8], depth: u8) -> Self {
        let said = json!({ "program": format!("{program:?}").to_lowercase(), "depth": depth, "bytes": bs58::encode(bytes).into_string() });
        self.push("memos", said);
        self
    }

    /// `TransferChecked`, seen as it is.
    pub(super) fn send(self, one: Move) -> Self {
        self.moves(one, Some(one.mint), 0).step(one.checked())
    }

    /// A transfer is seen, with the mint if its instruction names one.
    pub(super) fn moves(self, one: Move, mint: Option<Pubkey>, depth: u8) -> Self {
        let ends = (Some(one.source), one.destination);
        self.flow(
            ends,
            one.authority,
            mint,
            one.amount,
            Some(one.payer),
            depth,
        )
    }

    pub(super) fn flow(
        mut self,
        (source, destination): (Option<Pubkey>, Pubkey),
        authority: Pubkey,
        mint: Option<Pubkey>,
        amount: u64,
        payer: Option<Pubkey>,
        depth: u8,
    ) -> Self {
        let text = |key: Option<Pubkey>| key.map(|key| key.to_string());
        self.push("transfers", json!({
            "source": text(source), "destination": destination.to_string(), "authority": authority.to_string(),
            "mint": text(mint), "amount": amount.to_string(), "payer": text(payer), "depth": depth,
        }));
        self
    }

    /// An open checkout under the case's memo.
    pub(super) fn checkout(self, amount: u64, mint: Pubkey, recipient: Pubkey) -> Self {
        let memo = self.memo.clone();
        self.open(&memo, amount, mint, recipient)
    }

    pub(super) fn open(mut self, memo: &str, amount: u64, mint: Pubkey, recipient: Pubkey) -> Self {
        self.push("checkouts", json!({
            "memo": memo, "amount": amount.to_string(), "mint": mint.to_string(), "recipient": recipient.to_string(),
            "confirmed_by": null,
        }));
        self
    }

    /// The case's checkout is confirmed already: by this signature, or by the case's own transaction.
    pub(super) fn confirmed_by(mut self, signature: &str) -> Self {
        self.expected["checkouts"][0]["confirmed_by"] = signature.into();
        self
    }

    /// A credit is seen that pays for the case's checkout.
    pub(super) fn matched(self, account: Pubkey, received: u64, payer: Option<Pubkey>) -> Self {
        let memo = self.memo.clone();
        self.credit(account, received, payer, "matched", Some(&memo))
    }

    /// A credit is seen that is held for this reason.
    pub(super) fn held(
        self,
        account: Pubkey,
        received: u64,
        payer: Option<Pubkey>,
        reason: &str,
    ) -> Self {
        self.credit(account, received, payer, reason, None)
    }

    pub(super) fn credit(
        mut self,
        account: Pubkey,
        received: u64,
        payer: Option<Pubkey>,
        verdict: &str,
        checkout: Option<&str>,
    ) -> Self {
        self.push("credits", json!({
            "token_account": account.to_string(), "received": received.to_string(),
            "payer": payer.map(|payer| payer.to_string()), "verdict": verdict, "checkout": checkout,
        }));
        self
    }

    /// Any other line of the file.
    pub(super) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.expected[key] = value.into();
        self
    }

    /// Where the network's own view (`balance` or `parsed`) differs from ours, and why.
    pub(super) fn differs(mut self, view: &str, why: &str) -> Self {
        self.expected["differences"][view] = why.into();
        self
    }

    /// Credits stand in the order of their addresses.
    pub(super) fn sorted(mut self) -> Self {
        let key = |credit: &Value| -> Pubkey {
            credit["token_account"].as_str().unwrap().parse().unwrap()
        };
        self.expected["credits"]
            .as_array_mut()
            .unwrap()
            .sort_by_key(key);
        self
    }

    /// It fails on chain, or cannot be read: nothing that was written down is seen after all.
    pub(super) fn sees_nothing(mut self) -> Self {
        for list in ["credits", "transfers", "memos"] {
            self.expected[list] = json!([]);
        }
        self
    }
}

/// Text of 32 hexadecimal digits that belongs to a name, as the API's memos look.
pub(super) fn hex(name: &str) -> String {
    to_hex(&hash(name.as_bytes()).to_bytes()[..16])
}

pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        text += &format!("{byte:02x}");
        text
    })
}

pub(super) fn memo(program: Said, bytes: &[u8]) -> Instruction {
    Instruction {
        program_id: program.program(),
        accounts: Vec::new(),
        data: bytes.to_vec(),
    }
}
