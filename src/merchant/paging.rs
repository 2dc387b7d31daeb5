//! The pages of a history: where the next one begins, what is new in one, when they end, and whether that end is credible.

use super::{HistoryPage, More};
use crate::domain::Checkout;
use std::{
    collections::HashSet,
    fmt,
    hash::{BuildHasher, Hash, RandomState},
};

/// Most pages of one reading.
const PAGES_MAX: usize = 100_000;
/// Most pages in a row that bring nothing new.
const IDLE_MAX: usize = 100;
/// So many identical pages at different offsets show that the server ignores the offset.
const IDENTICAL_MAX: usize = 2;

/// Follows the pages of a history from an offset to its end. Can go on later where it broke off.
#[derive(Debug)]
pub struct Paging {
    from: usize,
    offset: usize,
    hasher: RandomState,
    /// Every entry of the pages so far.
    seen: HashSet<u64>,
    pages: usize,
    /// Entries of the fullest page.
    fullest: usize,
    /// Identifies the entries of the last page, whatever their order.
    last: Option<u64>,
    /// Pages in a row that brought nothing new, and pages that were identical to the one before.
    idle: usize,
    identical: usize,
    /// Up to this offset entries were read.
    end: usize,
    /// What the last page that had entries says of the ones after it.
    more: More,
    /// Whether it stepped back since the last page that came.
    is_back: bool,
    is_done: bool,
}

/// Why the end of a history is not credible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The same page comes at every offset: what lies beyond it is out of reach.
    OffsetIgnored {
        /// Entries of that page.
        entries: usize,
    },
    /// The pages end, and the last of them says that there is more.
    Withheld {
        /// Entries that were read.
        read: usize,
        /// What the page says.
        told: More,
    },
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OffsetIgnored { entries } => write!(
                f,
                "the payments API ignores `offset` in GET /history: every page holds the same {entries} entries"
            ),
            Self::Withheld {
                read,
                told: More::Total(total),
            } => write!(
                f,
                "GET /history says that it has {total} entries, and its pages end after {read}"
            ),
            Self::Withheld { read, .. } => write!(
                f,
                "GET /history says that there are more entries, and its pages end after {read}"
            ),
        }
    }
}

impl Paging {
    /// Entries that pages overlap by: sessions made or removed meanwhile shift the others.
    pub const OVERLAP: usize = 5;

    /// Begins at an offset.
    #[must_use]
    pub fn from(offset: usize) -> Self {
        Self {
            from: offset,
            offset,
            hasher: RandomState::new(),
            seen: HashSet::new(),
            pages: 0,
            fullest: 0,
            last: None,
            idle: 0,
            identical: 0,
            end: offset,
            more: More::Untold,
            is_back: false,
            is_done: false,
        }
    }

    /// Where the next page begins.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Whether the last page was the end.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// Up to this offset entries were read.
    #[must_use]
    pub fn end(&self) -> usize {
        self.end
    }

    /// How many entries the last page says there are, if it does.
    #[must_use]
    pub fn total(&self) -> Option<usize> {
        match self.more {
            More::Total(total) => Some(total),
            More::Untold | More::Follows => None,
        }
    }

    /// Steps back a little, once for each page that came, before it goes on after a pause: entries may have been removed meanwhile.
    pub fn step_back(&mut self) {
        if std::mem::replace(&mut self.is_back, true) {
            return;
        }
        self.offset = self.offset.saturating_sub(Self::OVERLAP).max(self.from);
        self.last = None;
    }

    /// Takes the page at [`Self::offset`] in, and moves on. Returns the checkouts that no page before had.
    ///
    /// A page is the end if it is empty, or brings nothing new and is not full. A full page without news may be one that sessions
    /// made meanwhile have shifted: the ones after it are looked at, too.
    pub fn take(&mut self, page: HistoryPage) -> Vec<Checkout> {
        let entries = page.entries();
        self.pages = self.pages.saturating_add(1);
        self.is_back = false;
        if entries == 0 {
            self.is_done = true;
            return Vec::new();
        }
        self.more = page.more;
        let (mut fingerprint, mut is_news) = (0_u64, false);
        for text in page.unreadable.iter().chain(&page.ignored) {
            is_news |= self.see(text, &mut fingerprint);
        }
        let mut fresh = page.checkouts;
        fresh.retain(|checkout| self.see(&checkout.memo, &mut fingerprint));
        let is_full = entries >= self.fullest;
        let is_same = self.last.replace(fingerprint) == Some(fingerprint);
        self.fullest = self.fullest.max(entries);
        if is_news || !fresh.is_empty() {
            self.end = self.end.max(self.offset.saturating_add(entries));
            (self.idle, self.identical) = (0, 0);
            let overlap = Self::OVERLAP.min(entries / 2);
            self.offset = self.offset.saturating_add(entries - overlap);
        } else {
            self.idle += 1;
            self.identical += usize::from(is_same && is_full);
            self.offset = self.offset.saturating_add(entries);
            self.is_done = !is_full || self.identical >= IDENTICAL_MAX || self.idle >= IDLE_MAX;
        }
        self.is_done |= self.pages >= PAGES_MAX;
        fresh
    }

    /// Whether the end of the pages is not to be trusted, and why.
    #[must_use]
    pub fn doubt(&self) -> Option<Doubt> {
        if self.identical >= IDENTICAL_MAX {
            let entries = self.fullest;
            return Some(Doubt::OffsetIgnored { entries });
        }
        let is_withheld = match self.more {
            More::Untold => false,
            More::Follows => true,
            More::Total(total) => total > self.end,
        };
        (self.is_done && is_withheld).then_some(Doubt::Withheld {
            read: self.end,
            told: self.more,
        })
    }

    /// Notes an entry; returns whether it is new.
    fn see(&mut self, entry: &impl Hash, fingerprint: &mut u64) -> bool {
        let hash = self.hasher.hash_one(entry);
        *fingerprint = fingerprint.wrapping_add(hash);
        self.seen.insert(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CheckoutStatus, Memo};

    fn checkout(name: &str) -> Checkout {
        Checkout {
            memo: Memo::parse(name).unwrap(),
            amount: None,
            mint: None,
            recipient: None,
            status: CheckoutStatus::Pending,
            created_at: None,
        }
    }

    fn page(names: &[String]) -> HistoryPage {
        HistoryPage {
            checkouts: names.iter().map(|name| checkout(name)).collect(),
            ..HistoryPage::default()
        }
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|index| format!("s{index}")).collect()
    }

    fn slice(all: &[String], offset: usize, limit: usize) -> &[String] {
        let from = offset.min(all.len());
        &all[from..(from + limit).min(all.len())]
    }

    /// Reads to the end; returns how many checkouts came, and how many pages that took.
    fn read(paging: &mut Paging, server: impl Fn(usize) -> HistoryPage) -> (usize, usize) {
        let (mut read, mut pages) = (0, 0);
        while !paging.is_done() {
            read += paging.take(server(paging.offset())).len();
            pages += 1;
        }
        (read, pages)
    }

    #[test]
    fn each_entry_of_an_honest_history_is_read_once_whatever_its_length() {
        for (count, limit) in [
            (0, 50),
            (1, 50),
            (2, 50),
            (5, 50),
            (6, 50),
            (49, 50),
            (50, 50),
            (51, 50),
            (55, 50),
            (100, 50),
            (5_001, 50),
            (7, 1),
            (7, 2),
            (9, 3),
            (23, 5),
            (30, 10),
        ] {
            let (all, mut paging) = (names(count), Paging::from(0));
            let (read, pages) = read(&mut paging, |offset| page(slice(&all, offset, limit)));
            assert_eq!((read, paging.end()), (count, count), "{count} by {limit}");
            assert_eq!(paging.doubt(), None, "{count} by {limit}");
            assert!(
                pages <= 2 + count.div_ceil(limit.saturating_sub(5).max(1)),
                "{count} by {limit}: {pages} pages"
            );
        }
    }

    #[test]
    fn pages_of_nothing_but_other_sessions_are_no_end() {
        let cards: Vec<_> = names(60)
            .into_iter()
            .map(|name| format!("card {name}"))
            .collect();
        let all = names(10);
        let (count, _) = read(&mut Paging::from(0), |offset| HistoryPage {
            ignored: slice(&cards, offset, 50).to_vec(),
            checkouts: page(slice(
                &all,
                offset.saturating_sub(60),
                (offset + 50).saturating_sub(60).min(50),
            ))
            .checkouts,
            ..HistoryPage::default()
        });
        assert_eq!(count, 10);
    }

    #[test]
    fn a_server_that_ignores_the_offset_is_named() {
        let all = names(10);
        let mut paging = Paging::from(0);
        let (count, pages) = read(&mut paging, |_| page(&all));
        assert_eq!((count, pages), (10, 3));
        assert_eq!(paging.doubt(), Some(Doubt::OffsetIgnored { entries: 10 }));
    }

    /// One session made between two pages makes them the same page.
    #[test]
    fn a_short_history_that_grows_meanwhile_is_not_taken_for_that() {
        let (before, mut paging) = (names(3), Paging::from(0));
        let mut after = vec!["new".to_owned(), "newer".to_owned()];
        after.extend(before.clone());
        paging.take(page(&before));
        let (count, _) = read(&mut paging, |offset| page(slice(&after, offset, 50)));
        assert_eq!((count, paging.doubt()), (0, None));
    }

    #[test]
    fn a_page_that_says_there_is_more_before_the_pages_end_is_named() {
        let all = names(10);
        for (more, expected) in [
            (
                More::Follows,
                Some(Doubt::Withheld {
                    read: 10,
                    told: More::Follows,
                }),
            ),
            (
                More::Total(30),
                Some(Doubt::Withheld {
                    read: 10,
                    told: More::Total(30),
                }),
            ),
            (More::Total(10), None),
            (More::Total(0), None),
            (More::Untold, None),
        ] {
            let mut paging = Paging::from(0);
            read(&mut paging, |offset| HistoryPage {
                more,
                ..page(slice(&all, offset, 10))
            });
            assert_eq!(paging.doubt(), expected, "{more:?}");
        }
    }

    /// More sessions than fit a page were made while the reading paused: the page where it goes on brings nothing new.
    #[test]
    fn a_reading_that_goes_on_after_a_long_pause_still_reaches_the_end() {
        let (before, mut paging) = (names(200), Paging::from(0));
        let mut count = paging.take(page(slice(&before, 0, 50))).len();
        count += paging.take(page(slice(&before, paging.offset(), 50))).len();
        let mut after: Vec<_> = (0..170).map(|index| format!("new{index}")).collect();
        after.extend(before.clone());
        paging.step_back();
        count += read(&mut paging, |offset| page(slice(&after, offset, 50))).0;
        assert!(count >= 200, "{count}");
        for name in &before {
            assert!(
                paging.take(page(std::slice::from_ref(name))).is_empty(),
                "{name} was read"
            );
        }
    }

    #[test]
    fn a_page_that_fails_for_hours_moves_nothing() {
        let (all, mut paging) = (names(8_000), Paging::from(7_000));
        paging.take(page(slice(&all, 7_000, 50)));
        (0..1_200).for_each(|_| paging.step_back());
        assert_eq!(paging.offset(), 7_040, "back once");
    }

    #[test]
    fn entries_that_are_removed_while_it_pauses_hide_no_others() {
        let (before, mut paging) = (names(100), Paging::from(0));
        paging.take(page(slice(&before, 0, 50)));
        let after: Vec<_> = before[5..].to_vec();
        paging.step_back();
        read(&mut paging, |offset| page(slice(&after, offset, 50)));
        for name in &before {
            assert!(
                paging.take(page(std::slice::from_ref(name))).is_empty(),
                "{name} was read"
            );
        }
    }

    #[test]
    fn a_server_that_never_ends_is_given_up() {
        let all = names(400);
        let (_, pages) = read(&mut Paging::from(0), |offset| {
            let begin = offset % 300;
            page(&all[begin..begin + 50])
        });
        assert!(pages <= 20 + IDLE_MAX, "{pages}");
    }
}
