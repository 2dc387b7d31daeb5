//! The one place where dice are thrown, so that a simulation can throw them again.

use rand::{Rng, SeedableRng, rngs::StdRng};
use std::cell::RefCell;

thread_local! {
    static SEEDED: RefCell<Option<StdRng>> = const { RefCell::new(None) };
}

/// A number from 0 to below 1.
#[must_use]
pub fn fraction() -> f64 {
    SEEDED.with_borrow_mut(|seeded| match seeded {
        Some(dice) => dice.random(),
        None => rand::random(),
    })
}

/// From now on this thread's numbers follow from a seed.
pub fn seed(seed: u64) {
    SEEDED.set(Some(StdRng::seed_from_u64(seed)));
}
