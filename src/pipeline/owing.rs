//! The accounts whose older history is owed, and when it is asked for again.

use super::history::Floor;
use super::reach::{Depth, Shortfall, Told};
use super::sweep::Swept;
use crate::clock;
use crate::domain::TokenAccount;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// An empty page of a node whose history goes back far enough is believed after it was repeated for this time; and the listing of one
/// endpoint where another one does not answer.
const BELIEVED_AFTER: Duration = Duration::from_hours(1);
/// Sweep intervals until older history is asked for again. Each pause is twice as long as the one before.
const RETRY_SWEEPS: u32 = 4;
/// Longest pause until older history is asked for again.
const RETRY_MAX: Duration = Duration::from_mins(10);

/// The debts, in memory. After a restart all older history that is owed is asked for at once.
#[derive(Debug, Default)]
pub(super) struct Owing(Mutex<HashMap<TokenAccount, Debt>>);

#[derive(Debug)]
struct Debt {
    /// Unix seconds.
    wanted: i64,
    next: Instant,
    pause: Duration,
    /// Since when every answer was that there is nothing more.
    claimed_since: Option<Instant>,
    /// Since when an endpoint has listed all of it, and another one has not answered.
    listed_since: Option<Instant>,
    short: Option<Shortfall>,
    /// Whether the last answers left it open how much there is.
    is_unclear: bool,
}

impl Owing {
    /// Whether it is time to ask for an account's history down to `wanted`. The next time is later.
    pub(super) fn is_due(&self, account: TokenAccount, wanted: i64, sweep_every: Duration) -> bool {
        let now = Instant::now();
        let new = || Debt {
            wanted,
            next: now,
            pause: sweep_every.saturating_mul(RETRY_SWEEPS) / 2,
            claimed_since: None,
            listed_since: None,
            short: None,
            is_unclear: false,
        };
        let mut debts = self.debts();
        let debt = debts.entry(account).or_insert_with(new);
        if debt.wanted != wanted {
            *debt = new();
        }
        if now < debt.next {
            return false;
        }
        debt.pause = debt.pause.saturating_mul(2).min(RETRY_MAX);
        debt.next = now + debt.pause;
        true
    }

    /// Whether nothing more is owed after what the endpoints told.
    pub(super) fn is_settled_by(&self, account: TokenAccount, told: &Told) -> bool {
        let (now, depth) = (Instant::now(), told.depth);
        let mut debts = self.debts();
        let Some(debt) = debts.get_mut(&account) else {
            return false;
        };
        let was_short = debt.short.is_some();
        debt.short = match depth {
            Depth::Short(shortfall) => Some(shortfall),
            _ => None,
        };
        debt.is_unclear = matches!(depth, Depth::Unclear | Depth::Contradicted);
        if depth != Depth::Claimed || told.extent.oldest.is_some() {
            debt.claimed_since = None;
        }
        let wanted = debt.wanted;
        let is_settled = match depth {
            Depth::Reached if told.unanswered == 0 => true,
            Depth::Reached => now - *debt.listed_since.get_or_insert(now) >= BELIEVED_AFTER,
            Depth::Claimed => now - *debt.claimed_since.get_or_insert(now) >= BELIEVED_AFTER,
            Depth::Contradicted | Depth::Unclear => false,
            Depth::Short(shortfall) => {
                if !was_short {
                    tracing::warn!(
                        %account,
                        wanted_since = clock::written(wanted),
                        begins_at = shortfall.begins_at.map(clock::written),
                        begins_in_slot = shortfall.begins_in,
                        "the nodes keep less history than is wanted: earlier payments are not found; add an endpoint with older history to solana.rpc_urls"
                    );
                }
                false
            }
        };
        tell(&debts);
        is_settled
    }

    pub(super) fn settle(&self, account: TokenAccount) {
        let mut debts = self.debts();
        if debts.remove(&account).is_some() {
            tell(&debts);
        }
    }

    /// What the nodes lack of an account's history, as they last said, or did not say.
    pub(super) fn shortfall(&self, account: TokenAccount) -> Swept {
        let debts = self.debts();
        let short = debts.get(&account).and_then(|debt| {
            let unclear = || Shortfall::unclear(Floor::Time(debt.wanted));
            debt.short.or_else(|| debt.is_unclear.then(unclear))
        });
        Swept {
            short,
            ..Swept::default()
        }
    }

    fn debts(&self) -> MutexGuard<'_, HashMap<TokenAccount, Debt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(debts: &HashMap<TokenAccount, Debt>) {
    let short = debts.values().filter(|debt| debt.short.is_some()).count();
    let short = u32::try_from(short).unwrap_or(u32::MAX);
    metrics::gauge!("paywatch_short_histories").set(f64::from(short));
}

#[cfg(test)]
mod tests {
    use super::super::history::End;
    use super::super::reach::Extent;
    use super::*;
    use crate::domain::{Pubkey, Signature};

    const EVERY: Duration = Duration::from_secs(15);
    const NOTHING: Extent = Extent {
        end: End::Empty,
        oldest: None,
    };

    #[tokio::test(start_paused = true)]
    async fn an_empty_page_is_believed_only_after_it_was_repeated_for_long() {
        let (owing, account) = (Owing::default(), TokenAccount(Pubkey::default()));
        let short = Depth::Short(Shortfall {
            begins_at: Some(7),
            begins_in: Some(2_001),
            asked_from: Floor::Time(5),
        });
        let answers = |depth, extent: &Extent| {
            let told = Told {
                depth,
                extent: *extent,
                unanswered: 0,
            };
            owing.is_settled_by(account, &told)
        };
        assert!(!answers(Depth::Reached, &NOTHING), "nothing is owed");
        assert!(owing.is_due(account, 5, EVERY), "at once");
        assert!(answers(Depth::Reached, &NOTHING), "it was listed");
        assert!(!answers(Depth::Claimed, &NOTHING));
        tokio::time::advance(BELIEVED_AFTER / 2).await;
        assert!(!answers(Depth::Contradicted, &NOTHING));
        let unclear = owing.shortfall(account).short.unwrap();
        assert_eq!((unclear.begins_at, unclear.begins_in), (None, None));
        assert!(!answers(Depth::Claimed, &NOTHING), "from the beginning");
        tokio::time::advance(BELIEVED_AFTER / 2).await;
        assert!(!answers(short, &NOTHING));
        assert!(owing.shortfall(account).short.is_some());
        assert!(!answers(Depth::Claimed, &NOTHING), "from the beginning");
        tokio::time::advance(BELIEVED_AFTER / 2).await;
        let more = Extent {
            oldest: Some((1, None, Signature::default())),
            ..NOTHING
        };
        assert!(!answers(Depth::Claimed, &more), "it had more just now");
        assert!(owing.shortfall(account).short.is_none());
        tokio::time::advance(BELIEVED_AFTER).await;
        assert!(answers(Depth::Claimed, &NOTHING));
    }

    #[tokio::test(start_paused = true)]
    async fn what_one_endpoint_lists_is_believed_after_long_if_another_one_does_not_answer() {
        let (owing, account) = (Owing::default(), TokenAccount(Pubkey::default()));
        let answers = |depth| {
            let told = Told {
                depth,
                extent: NOTHING,
                unanswered: 1,
            };
            owing.is_settled_by(account, &told)
        };
        assert!(owing.is_due(account, 5, EVERY));
        for _ in 0..3 {
            assert!(!answers(Depth::Unclear), "however long");
            assert!(owing.shortfall(account).short.is_some());
            tokio::time::advance(BELIEVED_AFTER).await;
        }
        assert!(!answers(Depth::Reached));
        assert!(owing.shortfall(account).short.is_none());
        tokio::time::advance(BELIEVED_AFTER).await;
        assert!(answers(Depth::Reached));
    }

    #[tokio::test(start_paused = true)]
    async fn older_history_is_asked_for_ever_less_often_and_at_once_if_more_is_wanted() {
        let (owing, account) = (Owing::default(), TokenAccount(Pubkey::default()));
        let mut asked = Vec::new();
        for second in 0..4_000_u64 {
            if owing.is_due(account, 5, EVERY) {
                asked.push(second);
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(
            asked,
            [0, 60, 180, 420, 900, 1_500, 2_100, 2_700, 3_300, 3_900]
        );
        assert!(owing.is_due(account, 4, EVERY), "more is wanted");
        assert!(!owing.is_due(account, 4, EVERY));
    }
}
