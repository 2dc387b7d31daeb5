//! What kind of world a seed has. Each kind of trouble is in some worlds and absent from others, so that no fault hides behind another.

use crate::support::backend::Habits;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::time::Duration;

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a kind of trouble")]
pub(super) struct Traits {
    /// The wallet is shared: `watch.scope` is "own".
    pub(super) is_shared: bool,
    /// `policy.finalized_above` has a limit below every payment: none is confirmed before it is final.
    pub(super) has_limit: bool,
    /// That limit names no watched token, so that it holds for all of them.
    pub(super) is_limit_unmatched: bool,
    /// The node that tells of some payments, while the storm lasts, that they gave what was due. Then two must tell the same.
    pub(super) liar: Option<usize>,
    /// So many slots the second node is behind.
    pub(super) lag: u64,
    /// How the API gives its history.
    pub(super) habits: Habits,
    /// For so long the API says no to everybody.
    pub(super) stubborn_for: Duration,
    /// What the API says of what it did.
    pub(super) honesty: Honesty,
    /// What a node leaves out of some transactions.
    pub(super) omission: Option<Omission>,
    /// The clock is wrong, and put right, by hours.
    pub(super) has_wrong_clock: bool,
    /// A person decides in between.
    pub(super) has_person: bool,
    /// Time passes in steps of this length.
    pub(super) grain: Duration,
}

/// What the API says of a confirm that deserves a credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Honesty {
    Honest,
    /// It credits, and never says so but in its history.
    Silent,
    /// It says of some checkouts that it credited them, and does so when it is asked once more.
    Forgetful,
    /// The same, and never does it.
    Boastful,
}

/// A node that leaves balances out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Omission {
    pub(super) node: usize,
    /// Else while the storm lasts.
    pub(super) is_for_ever: bool,
    pub(super) what: LeftOut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeftOut {
    /// All balances after the transaction.
    After,
    /// All balances.
    All,
    /// Of those after it, the ones of the shop.
    Shop,
}

impl Traits {
    /// An honest world.
    pub(super) fn none() -> Self {
        Self {
            is_shared: false,
            has_limit: false,
            is_limit_unmatched: false,
            liar: None,
            lag: 0,
            habits: Habits::default(),
            stubborn_for: Duration::ZERO,
            honesty: Honesty::Honest,
            omission: None,
            has_wrong_clock: false,
            has_person: false,
            grain: Duration::from_millis(50),
        }
    }

    pub(super) fn of(seed: u64) -> Self {
        let mut dice = StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut one_in = |many: u32| dice.random_range(0..many) == 0;
        let (is_shared, has_limit, has_liar) = (one_in(3), one_in(4), one_in(6));
        let (is_far_behind, is_stubborn, has_person) = (one_in(6), one_in(8), one_in(4));
        let habits = Habits {
            page_max: if one_in(3) {
                dice.random_range(7..12)
            } else {
                50
            },
            is_oldest_first: dice.random(),
            ignores_offset: false,
        };
        // What is listed in one page needs no offset.
        let ignores_offset = habits.page_max == 50 && dice.random_range(0..4) == 0;
        let lag = if is_far_behind {
            dice.random_range(30..60)
        } else {
            dice.random_range(0..8)
        };
        let honesty = match dice.random_range(0..10) {
            0 => Honesty::Silent,
            1 => Honesty::Forgetful,
            2 => Honesty::Boastful,
            _ => Honesty::Honest,
        };
        let omits = !has_liar && dice.random_range(0..4) == 0;
        let omission = omits.then(|| Omission {
            node: dice.random_range(0..2),
            is_for_ever: dice.random(),
            what: [LeftOut::After, LeftOut::All, LeftOut::Shop][dice.random_range(0..3)],
        });
        Self {
            honesty,
            omission,
            is_shared,
            has_limit: has_limit || has_liar,
            liar: has_liar.then(|| dice.random_range(0..2)),
            lag,
            habits: Habits {
                ignores_offset,
                ..habits
            },
            stubborn_for: if is_stubborn {
                Duration::from_secs(dice.random_range(30..1_500))
            } else {
                Duration::ZERO
            },
            has_wrong_clock: dice.random_range(0..6) == 0,
            has_person,
            grain: Duration::from_millis([25, 50, 100][dice.random_range(0..3)]),
            is_limit_unmatched: dice.random_range(0..3) == 0,
        }
    }

    /// Whether some confirmations are given up in vain, so that a person must retry them.
    pub(super) fn needs_person(&self) -> bool {
        self.has_person || self.has_wrong_clock || !self.stubborn_for.is_zero()
    }
}

/// A kind of trouble that no seed had would prove nothing.
#[test]
fn every_kind_of_trouble_is_in_some_worlds_and_absent_from_others() {
    type Kind = (&'static str, fn(&Traits) -> bool);
    let kinds: [Kind; 17] = [
        ("a shared wallet", |one| one.is_shared),
        ("a limit", |one| one.has_limit),
        ("a limit that names no watched token", |one| {
            one.has_limit && one.is_limit_unmatched
        }),
        ("a node that lies", |one| one.liar.is_some()),
        ("a node far behind", |one| one.lag >= 30),
        ("short pages", |one| one.habits.page_max < 12),
        ("the oldest first", |one| one.habits.is_oldest_first),
        ("an offset ignored", |one| one.habits.ignores_offset),
        ("an API that says no", |one| !one.stubborn_for.is_zero()),
        ("a silent API", |one| one.honesty == Honesty::Silent),
        ("a forgetful API", |one| one.honesty == Honesty::Forgetful),
        ("a boastful API", |one| one.honesty == Honesty::Boastful),
        ("balances left out", |one| one.omission.is_some()),
        ("left out for ever", |one| {
            one.omission.is_some_and(|left| left.is_for_ever)
        }),
        ("the shop's left out", |one| {
            one.omission.is_some_and(|left| left.what == LeftOut::Shop)
        }),
        ("a wrong clock", |one| one.has_wrong_clock),
        ("a person", |one| one.has_person),
    ];
    let worlds: Vec<_> = (0..1_000).map(Traits::of).collect();
    for (name, is_there) in kinds {
        let with = worlds.iter().filter(|one| is_there(one)).count();
        assert!((10..990).contains(&with), "{name} is in {with} of 1,000");
    }
}
