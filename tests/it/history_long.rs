//! Long histories, and APIs that give them slowly, in small pages or with interruptions: each is read once, and delays no payment.

use crate::support::books::{NOW, page};
use crate::support::scripted::Scripted;
use crate::support::server::{Asked, Said};
use crate::support::{changed, eventually};
use paywatch::config::Config;
use paywatch::domain::{BaseUnits, Checkout, CheckoutStatus, Memo, Signature, StatusWord};
use paywatch::merchant::Paging;
use paywatch::pipeline::{Checkouts, Pipeline};
use paywatch::solana::Rpc;
use paywatch::store::Store;
use paywatch::{Backend, BackendError, ConfirmResult, HistoryPage, async_trait, clock};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;

pub(crate) fn checkout(number: usize) -> Checkout {
    Checkout {
        memo: Memo::parse(&format!("{number:032x}")).unwrap(),
        amount: Some(BaseUnits(5)),
        mint: None,
        recipient: None,
        status: CheckoutStatus::Pending,
        created_at: None,
    }
}

/// What a history does before it answers for an offset: wait, or fail.
type Mood = Box<dyn Fn(usize) -> Result<Duration, BackendError> + Send + Sync>;

/// A history in this process, newest first, in pages of fifty.
#[derive(Clone)]
pub(crate) struct Books {
    pub(crate) checkouts: Arc<Mutex<Vec<Checkout>>>,
    /// Offsets that were answered for.
    pub(crate) answered: Arc<Mutex<Vec<usize>>>,
    mood: Arc<Mutex<Mood>>,
}

impl Books {
    const PAGE: usize = 50;

    pub(crate) fn of(count: usize) -> Self {
        Self {
            checkouts: Arc::new(Mutex::new((0..count).rev().map(checkout).collect())),
            answered: Arc::default(),
            mood: Arc::new(Mutex::new(Box::new(|_| Ok(Duration::ZERO)))),
        }
    }

    pub(crate) fn is(
        &self,
        mood: impl Fn(usize) -> Result<Duration, BackendError> + Send + Sync + 'static,
    ) {
        *self.mood.lock().unwrap() = Box::new(mood);
    }

    pub(crate) async fn pipeline(&self) -> (Arc<Pipeline>, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("x.db").display());
        let settings = [
            ("MERCHANT__BASE_URL", "http://backend.invalid"),
            ("SOLANA__RPC_URLS", "http://127.0.0.1:1"),
            ("STORE__URL", &url),
        ];
        let config = Config::load(None, changed(&[], &settings)).unwrap();
        let store = Store::open(&url).await.unwrap();
        let rpc = Rpc::new(&config.solana.rpc_urls, config.solana.limits).unwrap();
        (
            Pipeline::over(config, store, &rpc, Arc::new(self.clone())),
            folder,
        )
    }
}

#[async_trait]
impl Backend for Books {
    async fn confirm(&self, _memo: &Memo, _signature: Signature) -> ConfirmResult {
        ConfirmResult::accepted()
    }

    async fn history(&self, offset: usize) -> Result<HistoryPage, BackendError> {
        let wait = (self.mood.lock().unwrap())(offset)?;
        if wait < Duration::from_secs(1) {
            tokio::time::sleep(wait).await;
        } else {
            passes(wait).await;
        }
        self.answered.lock().unwrap().push(offset);
        let checkouts = self.checkouts.lock().unwrap();
        let page = checkouts.iter().skip(offset).take(Self::PAGE);
        Ok(HistoryPage {
            checkouts: page.cloned().collect(),
            ..HistoryPage::default()
        })
    }
}

/// Lets time pass that nobody waits for.
async fn passes(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

pub(crate) fn unavailable() -> BackendError {
    BackendError::Unavailable("not now".into())
}

pub(crate) async fn known(pipeline: &Pipeline) -> u64 {
    pipeline.store.count_checkouts().await.unwrap().0
}

pub(crate) async fn status_of(pipeline: &Pipeline, number: usize) -> Option<CheckoutStatus> {
    let named = pipeline
        .store
        .checkouts_named(&[checkout(number).memo])
        .await
        .unwrap();
    named.first().map(|one| one.status)
}

/// Every sixth page fails: the reading goes on where it was.
#[tokio::test]
async fn a_reading_that_breaks_off_goes_on_where_it_was() {
    let books = Books::of(5_001);
    let count = AtomicUsize::new(0);
    books.is(move |_| {
        let fails = count.fetch_add(1, Ordering::SeqCst) % 6 == 5;
        if fails {
            Err(unavailable())
        } else {
            Ok(Duration::ZERO)
        }
    });
    let (pipeline, _folder) = books.pipeline().await;
    let mut checkouts = Checkouts::new(pipeline.clone());
    let mut steps = 0;
    while checkouts.step().await.is_err() || checkouts.is_reading() {
        steps += 1;
        assert!(steps < 200, "it never ends");
    }
    assert_eq!(known(&pipeline).await, 5_001);
    assert!(pipeline.status.has_polled());
    let answered = books.answered.lock().unwrap();
    let deep = answered.iter().filter(|offset| **offset > 0).count();
    // Pages overlap by five entries, and by five more after each failure.
    assert!((111..=145).contains(&deep), "{deep} pages");
    let twice = answered
        .iter()
        .filter(|offset| **offset > 0)
        .collect::<std::collections::HashSet<_>>();
    assert_eq!(twice.len(), deep, "no page is read twice");
}

/// A backfill reads everything once: it waits for an API that fails in the middle, and not for one that is not there.
#[tokio::test]
async fn a_backfill_reads_on_after_failures_in_the_middle() {
    let books = Books::of(500);
    let failures = AtomicUsize::new(0);
    books.is(move |offset| {
        let fails = offset > 200 && failures.fetch_add(1, Ordering::SeqCst) < 2;
        if fails {
            Err(unavailable())
        } else {
            Ok(Duration::ZERO)
        }
    });
    let (pipeline, _folder) = books.pipeline().await;
    Checkouts::new(pipeline.clone()).read_all().await.unwrap();
    assert_eq!(known(&pipeline).await, 500);

    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    books.is(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Err(unavailable())
    });
    let failed = Checkouts::new(pipeline).read_all().await;
    assert!(failed.is_err());
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

/// A page that never comes must not delay the payments for the checkouts of the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_never_comes_delays_no_payment_for_a_checkout_of_another() {
    let scripted = Scripted::with(1).await;
    let _running = scripted.chain.run();
    (0..120).for_each(|_| {
        scripted.checkout();
    });
    scripted.api_says(|asked: &Asked| {
        let (_, offset) = asked.url.query_pairs().find(|(key, _)| key == "offset")?;
        (offset.parse::<usize>().unwrap() >= 40).then_some(Said::Status(500, None))
    });
    let daemon = scripted.watch(&[]).await;
    eventually("the first page is known", async || {
        daemon.store.count_checkouts().await.unwrap().0 >= 50
    })
    .await;
    // Held first, since its checkout is not known yet.
    let bought = scripted.buy();
    scripted.confirmed("it is judged again", &bought).await;
    let (known, _) = daemon.store.count_checkouts().await.unwrap();
    assert!(known < 100, "the second page never came");
}

/// Sessions that are removed while a reading pauses shift the others towards the front.
#[tokio::test]
async fn sessions_that_are_removed_while_a_reading_pauses_hide_no_others() {
    let books = Books::of(400);
    let is_away = Arc::new(AtomicUsize::new(1));
    let away = is_away.clone();
    books.is(move |offset| {
        if offset > 150 && away.load(Ordering::SeqCst) == 1 {
            Err(unavailable())
        } else {
            Ok(Duration::ZERO)
        }
    });
    let (pipeline, _folder) = books.pipeline().await;
    let mut checkouts = Checkouts::new(pipeline.clone());
    checkouts.step().await.unwrap();
    assert!(checkouts.is_reading());
    let removed = 2 * Paging::OVERLAP - 1;
    books.checkouts.lock().unwrap().drain(..removed);
    is_away.store(0, Ordering::SeqCst);
    checkouts.step().await.unwrap();
    assert!(!checkouts.is_reading());
    assert_eq!(
        known(&pipeline).await,
        400,
        "those that are gone were known already"
    );
}

/// What changes in the middle is seen by the next reading of everything, ten minutes later, and not before.
#[tokio::test]
async fn everything_is_read_again_after_ten_minutes() {
    let (books, middle) = (Books::of(1_000), 500);
    let (pipeline, _folder) = books.pipeline().await;
    let mut checkouts = Checkouts::new(pipeline.clone());
    checkouts.step().await.unwrap();
    let confirmed = CheckoutStatus::Confirmed(None);
    for one in books.checkouts.lock().unwrap().iter_mut() {
        if one.memo == checkout(middle).memo {
            one.status = confirmed;
        }
    }
    passes(Duration::from_mins(9)).await;
    // Whatever the calendar says: a clock that is put back delays no reading.
    clock::simulate(NOW);
    assert_eq!(checkouts.step().await.unwrap(), 0);
    assert_eq!(
        status_of(&pipeline, middle).await,
        Some(CheckoutStatus::Pending)
    );
    passes(Duration::from_mins(2)).await;
    assert_eq!(checkouts.step().await.unwrap(), 1);
    assert_eq!(status_of(&pipeline, middle).await, Some(confirmed));
    // And only once: until it is due again, the ends are enough.
    let before = books.answered.lock().unwrap().len();
    checkouts.step().await.unwrap();
    assert!(books.answered.lock().unwrap().len() - before <= 4);
}

/// A reading that takes longer than the interval is not begun again as soon as it ends.
#[tokio::test]
async fn a_slow_reading_is_followed_by_a_longer_pause() {
    let books = Books::of(200);
    let (pipeline, _folder) = books.pipeline().await;
    let mut checkouts = Checkouts::new(pipeline.clone());
    books.is(|offset| Ok(Duration::from_mins(if offset == 0 { 0 } else { 4 })));
    checkouts.step().await.unwrap();
    while checkouts.is_reading() {
        checkouts.step().await.unwrap();
    }
    assert_eq!(known(&pipeline).await, 200);
    books.is(|_| Ok(Duration::ZERO));
    let pages = async |checkouts: &mut Checkouts| {
        let before = books.answered.lock().unwrap().len();
        checkouts.step().await.unwrap();
        books.answered.lock().unwrap().len() - before
    };
    // It took some twenty minutes.
    passes(Duration::from_mins(20)).await;
    assert!(pages(&mut checkouts).await <= 3);
    passes(Duration::from_mins(90)).await;
    assert!(pages(&mut checkouts).await >= 5);
}

/// An amount, token or recipient that a later answer leaves out is still what is due; a status keeps its word.
#[tokio::test]
async fn what_is_left_out_later_stays_and_another_status_comes_and_goes() {
    let books = Books::of(0);
    let (pipeline, _folder) = books.pipeline().await;
    let whole = Checkout {
        mint: "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v".parse().ok(),
        recipient: "HYrGnz31G1NkucuR466acwk3rfEJe7KaXEs3KwjBxpf5".parse().ok(),
        created_at: Some(1_760_000_000),
        ..checkout(1)
    };
    let less = Checkout {
        amount: None,
        mint: None,
        recipient: None,
        created_at: None,
        ..whole.clone()
    };
    let store = &pipeline.store;
    let read = async || {
        store
            .checkouts_named(std::slice::from_ref(&whole.memo))
            .await
            .unwrap()
    };
    assert_eq!(
        store
            .upsert_checkouts(std::slice::from_ref(&whole), page(), NOW)
            .await
            .unwrap()
            .0,
        1
    );
    assert_eq!(
        store
            .upsert_checkouts(std::slice::from_ref(&less), page(), NOW)
            .await
            .unwrap()
            .0,
        0
    );
    assert_eq!(read().await, std::slice::from_ref(&whole));
    // And the other way round: a checkout that was handed over learns when it was made.
    let late = Checkout {
        memo: checkout(2).memo,
        ..whole.clone()
    };
    let early = Checkout {
        created_at: None,
        ..late.clone()
    };
    for (told, changed) in [(&early, 1), (&late, 1), (&early, 0)] {
        let told = std::slice::from_ref(told);
        assert_eq!(
            store.upsert_checkouts(told, page(), NOW).await.unwrap().0,
            changed
        );
    }
    let named = store.checkouts_named(std::slice::from_ref(&late.memo));
    assert_eq!(named.await.unwrap(), std::slice::from_ref(&late));
    let of = |status, from: &Checkout| Checkout {
        status,
        ..from.clone()
    };
    let other = |word| CheckoutStatus::Other(StatusWord::new(word));
    let confirmed = CheckoutStatus::Confirmed(None);
    for (told, changed, then) in [
        (other("2"), 1, other("2")),
        (other("2"), 0, other("2")),
        (other("expired"), 1, other("expired")),
        (CheckoutStatus::Pending, 1, CheckoutStatus::Pending),
        (other("3"), 1, other("3")),
        (confirmed, 1, confirmed),
        (other("4"), 0, confirmed),
        (CheckoutStatus::Pending, 0, confirmed),
    ] {
        let told = of(told, &less);
        let taken = store.upsert_checkouts(&[told], page(), NOW).await;
        assert_eq!(taken.unwrap().0, changed, "{then:?}");
        assert_eq!(read().await, [of(then, &whole)]);
    }
    assert_eq!(store.count_checkouts().await.unwrap(), (2, 1));
}
