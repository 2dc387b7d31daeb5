//! The one place where dice are thrown, so that a simulation can throw them again.

use crate::clock;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::cell::Cell;

thread_local! {
    static SEED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// A number from 0 to below 1.
#[must_use]
pub fn fraction() -> f64 {
    match SEED.get() {
        // Whoever asks in the same moment gets the same, in whatever order they come.
        Some(seed) => {
            let moment = clock::now().0.unsigned_abs();
            StdRng::seed_from_u64(seed.rotate_left(32) ^ moment).random()
        }
        None => rand::random(),
    }
}

/// From now on this thread's numbers follow from a seed and the time.
pub fn seed(seed: u64) {
    SEED.set(Some(seed));
}
