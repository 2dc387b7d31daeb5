//! Divides the requests that sweeps may have under way among the token accounts that are swept at this moment.

use crate::domain::TokenAccount;
use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Which token accounts are swept at this moment. No account is swept twice at once.
#[derive(Debug)]
pub(super) struct Shares {
    /// Requests that all sweeps together may have under way.
    places: usize,
    /// Permits for pages of history. They are half of the places, so that pages of many accounts leave room for the transactions of
    /// hints.
    pages: Semaphore,
    accounts: Mutex<Accounts>,
}

#[derive(Debug, Default)]
struct Accounts {
    under_way: HashSet<TokenAccount>,
    /// Swept before, in whatever way that ended.
    swept: HashSet<TokenAccount>,
}

/// The right to sweep an account. It ends when it is dropped, so also when a sweep is cut off.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    shares: &'a Shares,
    account: TokenAccount,
}

impl Shares {
    /// For so many requests at once.
    pub(super) fn new(places: usize) -> Self {
        let places = places.max(1);
        Self {
            places,
            pages: Semaphore::new((places / 2).max(1)),
            accounts: Mutex::default(),
        }
    }

    /// Begins to sweep an account, unless it is swept already.
    pub(super) fn begin(&self, account: TokenAccount) -> Option<Turn<'_>> {
        let is_free = self.accounts().under_way.insert(account);
        // A turn that is made and dropped would end the other one.
        is_free.then(|| Turn {
            shares: self,
            account,
        })
    }

    /// Whether an account was swept before and is not swept now.
    pub(super) fn is_idle(&self, account: TokenAccount) -> bool {
        let accounts = self.accounts();
        accounts.swept.contains(&account) && !accounts.under_way.contains(&account)
    }

    /// The part of each account of so many things for each request that may be under way; at least one.
    pub(super) fn of(&self, for_each_place: usize) -> usize {
        let active = self.accounts().under_way.len().max(1);
        (self.places * for_each_place / active).max(1)
    }

    /// Waits until a page of history may be asked for. The semaphore never closes.
    pub(super) async fn page(&self) -> Option<SemaphorePermit<'_>> {
        self.pages.acquire().await.ok()
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut accounts = self.shares.accounts();
        accounts.under_way.remove(&self.account);
        accounts.swept.insert(self.account);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Pubkey;

    #[test]
    fn accounts_that_are_swept_at_once_share_the_requests() {
        let account = |byte| TokenAccount(Pubkey::new_from_array([byte; 32]));
        let shares = Shares::new(8);
        assert_eq!(shares.of(4), 32);
        let first = shares.begin(account(1)).unwrap();
        for _ in 0..2 {
            assert!(shares.begin(account(1)).is_none(), "it is swept already");
        }
        assert_eq!(shares.of(1), 8, "alone it has all of them");
        let others: Vec<_> = (2..=20).map(|byte| shares.begin(account(byte))).collect();
        assert_eq!(
            (shares.of(1), shares.of(4)),
            (1, 1),
            "each has at least one"
        );
        assert!(!shares.is_idle(account(1)) && !shares.is_idle(account(99)));
        drop(others);
        assert_eq!(shares.of(1), 8);
        drop(first);
        assert!(shares.is_idle(account(1)), "it was swept and is not now");
    }
}
