//! Which watched token accounts are swept each time and listened to, and which are swept in turn.
//!
//! Anybody can create token accounts for a wallet, a thousand of them for the price of two SOL. All of them count wherever a
//! transaction is read; but only a bounded number of them costs requests with every sweep, and a subscription on every socket.

use crate::domain::{Timestamp, TokenAccount, WatchList, Watched};
use crate::store::Receipts;
use std::{cmp::Reverse, collections::BTreeSet};

/// Most subscriptions on one socket: providers allow about a hundred.
const LISTENED_MAX: usize = 100;
/// Accounts beyond the bound that each sweep takes in turn.
const IN_TURN: usize = 4;

/// How much an account matters; the first rank is the highest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// Wallets pay into it by themselves.
    Associated,
    /// It last received a matched payment then.
    Matched(Reverse<Timestamp>),
    /// One payment brought so much that is held: whole tokens, in parts of 10^-24. Time does not count, or a stranger would buy a
    /// place with next to nothing each minute.
    Received(Reverse<u128>),
    /// It never received anything.
    Strange,
}

impl Rank {
    pub(super) fn of(watched: &Watched, receipts: Receipts, is_associated: bool) -> Self {
        match receipts {
            _ if is_associated => Self::Associated,
            Receipts {
                matched_at: Some(at),
                ..
            } => Self::Matched(Reverse(at)),
            Receipts { held: 0, .. } => Self::Strange,
            Receipts { held, .. } => {
                let finer = 24_u32.saturating_sub(watched.decimals.places().into());
                let parts = 10_u128.saturating_pow(finer);
                Self::Received(Reverse(u128::from(held).saturating_mul(parts)))
            }
        }
    }

    /// Whether it is worth another connection to hear of the account at once.
    fn is_worth_listening_anew(self) -> bool {
        matches!(self, Self::Associated | Self::Matched(_))
    }
}

/// The watched token accounts by how often they are swept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    /// Swept each time.
    active: BTreeSet<TokenAccount>,
    /// Subscribed to: active ones, and such as were active when sockets last chose anew.
    listened: BTreeSet<TokenAccount>,
    /// Swept in turn.
    in_turn: Vec<TokenAccount>,
    /// Listed no more by any node.
    leaving: BTreeSet<TokenAccount>,
}

impl Turns {
    /// All associated accounts, and others by rank up to the bound, are swept each time. Subscriptions `to_keep` stay if they can.
    pub(super) fn ranked(
        accounts: impl IntoIterator<Item = (Rank, TokenAccount)>,
        accounts_max: usize,
        to_keep: &BTreeSet<TokenAccount>,
    ) -> Self {
        let mut ranked: Vec<_> = accounts.into_iter().collect();
        ranked.sort_unstable();
        let is_associated = |(rank, _): &&(Rank, TokenAccount)| *rank == Rank::Associated;
        let associated = ranked.iter().filter(is_associated).count();
        let bound = associated.max(accounts_max).min(ranked.len());
        let listened = listened(&ranked, bound.min(LISTENED_MAX), to_keep);
        let addresses: Vec<_> = ranked.into_iter().map(|(_, address)| address).collect();
        let (active, in_turn) = addresses.split_at(bound);
        Self {
            active: active.iter().copied().collect(),
            listened,
            in_turn: in_turn.to_vec(),
            leaving: BTreeSet::new(),
        }
    }

    /// The same with some accounts about to leave.
    pub(super) fn without(self, is_leaving: impl Fn(&TokenAccount) -> bool) -> Self {
        let all = self.active.iter().chain(&self.in_turn);
        Self {
            leaving: all.copied().filter(is_leaving).collect(),
            ..self
        }
    }

    /// Whether the sweeps as a whole depend on this account: it is swept each time, and is not about to leave.
    #[must_use]
    pub fn is_needed(&self, account: TokenAccount) -> bool {
        self.is_active(account) && !self.leaving.contains(&account)
    }

    /// Whether an account is swept each time.
    #[must_use]
    pub fn is_active(&self, account: TokenAccount) -> bool {
        self.active.contains(&account)
    }

    /// Whether an account has a subscription on every socket.
    #[must_use]
    pub fn is_listened(&self, account: TokenAccount) -> bool {
        self.listened.contains(&account)
    }

    /// The accounts that every socket subscribes to.
    #[must_use]
    pub fn listened(&self) -> &BTreeSet<TokenAccount> {
        &self.listened
    }

    /// How many accounts are swept in turn.
    #[must_use]
    pub fn in_turn(&self) -> usize {
        self.in_turn.len()
    }

    /// The accounts among these that a sweep takes: all active ones, and a few of the others, in the next turn others.
    pub(super) fn due<'a>(&self, accounts: &'a WatchList, turn: u64) -> Vec<&'a Watched> {
        let active = self.active.iter();
        let from = match u64::try_from(self.in_turn.len().div_ceil(IN_TURN)) {
            Ok(turns @ 1..) => usize::try_from(turn % turns).unwrap_or(0) * IN_TURN,
            _ => 0,
        };
        let others = self.in_turn.iter().skip(from).take(IN_TURN);
        let due = active.chain(others);
        due.filter_map(|account| accounts.get(account)).collect()
    }
}

/// The accounts that have a place: first those that are worth another connection, then those that have a subscription.
fn listened(
    ranked: &[(Rank, TokenAccount)],
    places: usize,
    to_keep: &BTreeSet<TokenAccount>,
) -> BTreeSet<TokenAccount> {
    let best = || ranked.iter().take(places);
    let urgent = best().filter(|(rank, _)| rank.is_worth_listening_anew());
    let kept = ranked
        .iter()
        .filter(|(_, account)| to_keep.contains(account));
    let mut listened = BTreeSet::new();
    for (_, account) in urgent.chain(kept).chain(best()) {
        if listened.len() == places {
            break;
        }
        listened.insert(*account);
    }
    listened
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Decimals, Mint, TokenProgram, Wallet};

    /// No subscription is to stay.
    const NONE: BTreeSet<TokenAccount> = BTreeSet::new();

    fn account(number: u16) -> TokenAccount {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        TokenAccount(bytes.into())
    }

    fn watch_list(accounts: u16) -> WatchList {
        let watched = |number| Watched {
            token_account: account(number),
            wallet: Wallet([1; 32].into()),
            mint: Mint([2; 32].into()),
            token_program: TokenProgram::Token,
            decimals: Decimals::new(6).unwrap(),
            symbol: "USDC".into(),
        };
        (0..accounts).map(watched).collect()
    }

    fn at(milliseconds: i64) -> Reverse<Timestamp> {
        Reverse(Timestamp(milliseconds))
    }

    #[test]
    fn associated_accounts_come_first_then_what_received_last_and_money_of_checkouts_before_dust() {
        let ranked = [
            (Rank::Strange, account(1)),
            (Rank::Received(Reverse(900)), account(2)),
            (Rank::Matched(at(5)), account(3)),
            (Rank::Matched(at(6)), account(4)),
            (Rank::Associated, account(9)),
        ];
        let active = |accounts_max| {
            let turns = Turns::ranked(ranked, accounts_max, &NONE);
            assert_eq!(turns.listened(), &turns.active);
            assert_eq!(turns.in_turn(), ranked.len() - turns.active.len());
            let active = (0..10).filter(|number| turns.is_active(account(*number)));
            active.collect::<Vec<_>>()
        };
        assert_eq!(active(0), [9], "the associated one always");
        assert_eq!(active(1), [9]);
        assert_eq!(active(2), [4, 9]);
        assert_eq!(active(3), [3, 4, 9]);
        assert_eq!(active(4), [2, 3, 4, 9]);
        assert_eq!(active(7), [1, 2, 3, 4, 9]);
    }

    #[test]
    fn each_sweep_takes_the_active_accounts_and_a_few_of_the_others_until_all_had_their_turn() {
        let watched = watch_list(1_001);
        let ranked = (0..1_001).map(|number| match number {
            500 => (Rank::Associated, account(500)),
            number => (Rank::Strange, account(number)),
        });
        let turns = Turns::ranked(ranked, 32, &NONE);
        assert_eq!(turns.in_turn(), 969);
        let mut seen = BTreeSet::new();
        for turn in 0..969_u64.div_ceil(4) {
            let due = turns.due(&watched, turn);
            assert!(due.len() <= 36, "{}", due.len());
            let accounts = due.iter().map(|one| one.token_account);
            let accounts: BTreeSet<_> = accounts.collect();
            assert!(accounts.contains(&account(500)));
            seen.extend(accounts);
        }
        assert_eq!(seen.len(), 1_001);
        let again = turns.due(&watched, 969_u64.div_ceil(4));
        assert_eq!(again, turns.due(&watched, 0));
        let all = (0..1_001).map(|number| (Rank::Strange, account(number)));
        assert_eq!(
            Turns::ranked(all, 1_001, &NONE).due(&watched, 7).len(),
            1_001
        );
    }

    #[test]
    fn of_held_money_the_largest_payment_counts_in_whole_tokens() {
        let watched = |places| Watched {
            decimals: Decimals::new(places).unwrap(),
            ..watch_list(1).iter().next().unwrap().clone()
        };
        let rank = |places, held, matched_at| {
            let receipts = Receipts { matched_at, held };
            Rank::of(&watched(places), receipts, false)
        };
        let falling = [
            rank(6, 0, Some(Timestamp(2))),
            rank(6, u64::MAX, Some(Timestamp(1))),
            rank(6, 5_000_000, None),
            rank(9, 4_999_999_999, None),
            rank(6, 1, None),
            rank(6, 0, None),
        ];
        assert!(falling.is_sorted() && falling[4] < Rank::Strange);
        assert!(Rank::of(&watched(6), Receipts::default(), true) < falling[0]);
    }

    #[test]
    fn a_subscription_stays_until_its_place_is_worth_another_connection() {
        let received = |amount| Rank::Received(Reverse(amount));
        let listened = |others: &[(Rank, u16)], to_keep: &[u16]| {
            let all = [(Rank::Associated, 9)].iter().chain(others);
            let all: Vec<_> = all
                .map(|(rank, number)| (*rank, account(*number)))
                .collect();
            let to_keep = to_keep.iter().copied().map(account).collect();
            let turns = Turns::ranked(all, 3, &to_keep);
            let numbers = (0..20).filter(|number| turns.is_listened(account(*number)));
            numbers.collect::<Vec<_>>()
        };
        let strangers = [(Rank::Strange, 1), (Rank::Strange, 2), (received(7), 3)];
        assert_eq!(listened(&strangers, &[]), [1, 3, 9]);
        assert_eq!(listened(&strangers, &[1, 2, 9]), [1, 2, 9], "they stay");
        assert_eq!(listened(&strangers, &[2, 5, 9]), [2, 3, 9], "5 is gone");
        let matched = [&strangers[..2], &[(Rank::Matched(at(5)), 3)]].concat();
        assert_eq!(listened(&matched, &[1, 2, 9]), [1, 3, 9]);
    }

    #[test]
    fn a_socket_subscribes_to_a_hundred_accounts_at_most() {
        let ranked = (0..300).map(|number| (Rank::Associated, account(number)));
        let turns = Turns::ranked(ranked, 32, &NONE);
        assert_eq!((turns.in_turn(), turns.listened().len()), (0, 100));
        assert!(turns.is_listened(account(99)) && !turns.is_listened(account(100)));
    }
}
