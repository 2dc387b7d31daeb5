//! What happens in the world: payments, checkouts, hints, outages.

use super::model::Model;
use crate::support::backend::{DUE, Put};
use crate::support::ledger::{Entry, Fate};
use paywatch::clock;
use paywatch::domain::{Memo, Signature, TokenAccount};
use paywatch::solana::Hint;
use rand::Rng;
use std::time::Duration;
use tokio::time::Instant;

impl Model {
    /// Something happens on the chain: a payment for some session, right or wrong, or junk.
    pub(super) fn pay(&mut self) -> Hint {
        let memo = match self.script.random_range(0..12) {
            0 => None,
            1 => Some("nobody-knows".to_owned()),
            _ if self.backend.sessions.is_empty() => None,
            _ => {
                let one = self.script.random_range(0..self.backend.sessions.len());
                Some(self.backend.sessions[one].memo.clone())
            }
        };
        let amount = match self.script.random_range(0..8) {
            0 => DUE - 1,
            1 => DUE + 1,
            _ => DUE,
        };
        let fate = match self.script.random_range(0..12) {
            0 => Fate::Dies,
            1 => Fate::LandsAgain(self.script.random_range(0..10)),
            2 => Fate::LandsFor(
                self.script.random_range(0..10),
                [0, DUE - 1, DUE][self.script.random_range(0..3)],
            ),
            _ => Fate::Stays,
        };
        // What it gives beside stays the same on every fork.
        let beside = match fate {
            Fate::LandsFor(..) => 0,
            _ if self.happens(10) => [1, DUE - 1, DUE][self.script.random_range(0..3)],
            _ => 0,
        };
        let entry = Entry {
            signature: Signature::default(),
            id: String::new(),
            slot: self.slot(),
            fate,
            failed: self.happens(10),
            amount,
            memo,
            // Another node knows it before this one lists it; less than a minute with the longest halt.
            revealed_at: if self.happens(10) {
                self.slot() + self.pick(75)
            } else {
                0
            },
            aside: self.ledger.entries.len() % 5 == 4,
            beside,
            is_poison: self.happens(8),
        };
        let token_account = TokenAccount(entry.account());
        let memos = entry.memo.as_deref().and_then(Memo::parse);
        let signature = self.ledger.land(entry);
        Hint {
            signature,
            token_account,
            memos: memos.into_iter().collect(),
        }
    }

    /// Many payments of strangers, one after the other, for nothing that is known.
    pub(super) fn junk(&mut self) {
        for _ in 0..self.script.random_range(5..25) {
            let entry = Entry {
                aside: true,
                failed: self.happens(50),
                memo: None,
                ..Entry::paid(self.slot(), 1, "")
            };
            self.ledger.land(entry);
        }
    }

    /// Tells the daemon of a payment as a socket does: soon or late, once or twice, with its memos or without; or not at all.
    pub(super) fn tell(&mut self, hint: Hint) {
        if self.happens(20) {
            return;
        }
        let memos = if self.happens(20) {
            Vec::new()
        } else {
            hint.memos
        };
        let hint = Hint { memos, ..hint };
        let now = self.slot();
        let times = if self.happens(15) { 2 } else { 1 };
        for _ in 0..times {
            let late = if self.happens(30) { self.pick(40) } else { 0 };
            self.late_hints.push((now + late, hint.clone()));
        }
    }

    /// What the socket tells now. What it would have told while it was lost is never told.
    pub(super) fn hints_now(&mut self) -> Vec<Hint> {
        let now = self.slot();
        let due: Vec<_> = self
            .late_hints
            .extract_if(.., |(slot, _)| *slot <= now)
            .map(|(_, hint)| hint)
            .collect();
        if Instant::now() < self.socket_away {
            Vec::new()
        } else {
            due
        }
    }

    /// Whether a person decided about a payment of this transaction.
    pub(super) fn was_decided(&self, signature: &str) -> bool {
        self.decided.keys().any(|(other, _)| other == signature)
    }

    /// Whether a person named this checkout for a payment of this transaction.
    pub(super) fn was_confirmed_by_hand(&self, put: &Put) -> bool {
        let signature = put.signature.to_string();
        self.by_hand
            .iter()
            .any(|(other, memo)| *other == signature && memo.as_str() == put.memo)
    }

    /// How often the API was told of a transaction.
    pub(super) fn told_of(&self, signature: &str) -> usize {
        let puts = self.backend.puts.iter();
        puts.filter(|put| put.signature.to_string() == signature)
            .count()
    }

    /// A new session, known to the API at once.
    pub(super) fn checkout(&mut self) {
        let memo = format!("{:032x}", self.script.random::<u128>());
        self.backend.checkout(memo);
    }

    /// Somebody sets the clock: up to three hours forwards, or back.
    pub(super) fn set_clock(&mut self) {
        const MOST: i64 = 3 * 60 * 60 * 1_000;
        clock::step(self.script.random_range(-MOST..MOST));
    }

    /// The chain stands still for a while.
    pub(super) fn halt(&mut self) {
        let now = self.began.elapsed();
        let is_over = |(from, length): &(Duration, Duration)| *from + *length < now;
        if self.halts.iter().all(is_over) {
            let length = Duration::from_millis(self.script.random_range(2_000..25_000));
            self.halts.push((now, length));
        }
    }

    /// Somebody goes away for a while.
    pub(super) fn outage(&mut self) {
        let until = Instant::now() + Duration::from_millis(self.script.random_range(500..30_000));
        match self.script.random_range(0..4) {
            0 => self.api_away = until,
            3 => self.socket_away = until,
            node => self.node_away[node - 1] = until,
        }
    }
}
