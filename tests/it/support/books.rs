//! Books to record into: a store on a real file, and the simplest payments there are.

use paywatch::domain::{
    BaseUnits, Checkout, CheckoutStatus, Commitment, Credit, Decimals, Decoded, Matched, Memo,
    Mint, Policy, Pubkey, Rules, Signature, Slot, Timestamp, TokenAccount, TokenProgram, Verdict,
    Wallet, Watched,
};
use paywatch::store::{Attempt, Cursor, Ingested, Next, Page, Reading, Store};
use std::time::Duration;
use tempfile::TempDir;

pub(crate) const NOW: Timestamp = Timestamp(1_760_000_000_000);
pub(crate) const DUE: u64 = 19_000_000;

pub(crate) struct Books {
    pub(crate) store: Store,
    pub(crate) rules: Rules,
    folder: TempDir,
}

/// One account is watched, [`account`].
pub(crate) fn rules(policy: Policy) -> Rules {
    Rules::new(policy, [watched(account())].into_iter().collect())
}

pub(crate) fn watched(token_account: TokenAccount) -> Watched {
    Watched {
        token_account,
        wallet: key(Wallet, 3),
        mint: key(Mint, 2),
        token_program: TokenProgram::Token,
        decimals: Decimals::new(6).unwrap(),
        symbol: "USDC".into(),
    }
}

/// Every payment waits for `finalized`.
pub(crate) fn patient() -> Policy {
    Policy {
        confirm_at: Commitment::Finalized,
        ..Policy::default()
    }
}

pub(crate) fn key<T>(wrap: fn(Pubkey) -> T, byte: u8) -> T {
    wrap(Pubkey::new_from_array([byte; 32]))
}

pub(crate) fn account() -> TokenAccount {
    key(TokenAccount, 1)
}

pub(crate) fn signature(byte: u8) -> Signature {
    Signature::from([byte; 64])
}

pub(crate) fn memo(text: &str) -> Memo {
    Memo::parse(text).unwrap()
}

pub(crate) fn checkout(text: &str) -> Checkout {
    Checkout {
        memo: memo(text),
        amount: Some(BaseUnits(DUE)),
        mint: Some(key(Mint, 2)),
        recipient: Some(key(Wallet, 3)),
        status: CheckoutStatus::Pending,
        created_at: None,
    }
}

pub(crate) fn ingested(byte: u8, slot: Slot, reached: Commitment, reading: Reading) -> Ingested {
    Ingested {
        signature: signature(byte),
        slot,
        block_time: None,
        reached,
        mentions: vec![account()],
        seen_at: NOW,
        reading,
    }
}

/// A credit of the due amount with a memo.
pub(crate) fn paid(text: &str) -> Reading {
    credited(text, DUE)
}

pub(crate) fn credited(text: &str, amount: u64) -> Reading {
    let credit = Credit {
        token_account: account(),
        wallet: key(Wallet, 3),
        mint: key(Mint, 2),
        received: BaseUnits(amount),
        payer: None,
    };
    Reading::Decoded(Decoded {
        credits: vec![credit],
        transfers: vec![],
        memos: vec![memo(text)],
    })
}

/// A page of the history that was requested just now.
pub(crate) fn page() -> Page {
    Page {
        asked_at: NOW,
        credit_within: Duration::from_mins(10),
    }
}

pub(crate) fn cursor(slot: Slot, byte: u8, at: Timestamp) -> Cursor {
    Cursor {
        token_account: account(),
        slot,
        signature: signature(byte),
        at,
    }
}

impl Books {
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&format!(
            "sqlite:{}",
            folder.path().join("books.db").display()
        ))
        .await
        .unwrap();
        Self {
            store,
            rules: rules(Policy::default()),
            folder,
        }
    }

    /// The database's file, for a connection of the test's own.
    pub(crate) fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("books.db")
    }

    /// With these checkouts pending, each of the due amount.
    pub(crate) async fn with(memos: &[&str]) -> Self {
        let books = Self::open().await;
        let checkouts: Vec<_> = memos.iter().map(|text| checkout(text)).collect();
        books
            .store
            .upsert_checkouts(&checkouts, page(), NOW)
            .await
            .unwrap();
        books
    }

    pub(crate) async fn record(&self, one: Ingested) -> Option<Verdict> {
        let recorded = self
            .store
            .record(&[one], None, &self.rules, NOW)
            .await
            .unwrap();
        assert!(recorded.len() <= 1);
        recorded.into_iter().next().map(|recorded| recorded.verdict)
    }

    /// Leases what is due and logs an attempt that came to this.
    pub(crate) async fn attempt(&self, at: Timestamp, next: &Next) {
        let lease = Duration::from_mins(1);
        let due = self.store.turn_over(&[], at, lease, 1).await.unwrap();
        let attempt = Attempt {
            at,
            status: Some(500),
            took: Duration::from_millis(3),
            reason: "answered 500".into(),
        };
        let attempts = [(&due[0], &attempt, next)];
        self.store.turn_over(&attempts, at, lease, 0).await.unwrap();
    }

    /// Leases what is due and logs an attempt after which it is due again at once.
    pub(crate) async fn attempt_in_vain(&self) {
        let again = Next::Retry { due_at: NOW };
        self.attempt(NOW, &again).await;
    }

    pub(crate) async fn due(&self) -> Vec<String> {
        let due = self
            .store
            .turn_over(&[], NOW, Duration::from_mins(1), 100)
            .await
            .unwrap();
        due.iter().map(|due| due.memo.as_str().to_owned()).collect()
    }
}

pub(crate) fn confirm(text: &str) -> Verdict {
    Verdict::Matched(Matched::Confirm {
        memo: memo(text),
        wait_for: Commitment::Confirmed,
        note: None,
    })
}
