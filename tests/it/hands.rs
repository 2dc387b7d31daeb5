//! How confirmations are sent: so many at once, held back while the key is refused, and never past their lease. In virtual time.

use crate::support::books::{Books, NOW, ingested, paid};
use crate::support::changed;
use paywatch::config::Config;
use paywatch::domain::{Commitment, Memo, Rejected, Signature, Timestamp};
use paywatch::pipeline::{Confirm, Pipeline, Unready};
use paywatch::solana::Rpc;
use paywatch::store::{Filter, PaymentState};
use paywatch::{Answer, Backend, BackendError, ConfirmResult, HistoryPage, async_trait, clock};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
use std::time::Duration;
use tokio::time::Instant;

/// A call that reached the API.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Put {
    memo: String,
    after: Duration,
}

type Says = Box<dyn Fn(&str) -> Answer + Send>;

struct Api {
    began: Instant,
    says: Mutex<Says>,
    takes: Mutex<Duration>,
    puts: Mutex<Vec<Put>>,
    accepts_key: AtomicBool,
    questions: AtomicUsize,
    pages: AtomicUsize,
    under_way: AtomicUsize,
    most: AtomicUsize,
}

impl Api {
    fn new(says: impl Fn(&str) -> Answer + Send + 'static) -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            says: Mutex::new(Box::new(says)),
            takes: Mutex::new(Duration::from_millis(700)),
            puts: Mutex::default(),
            accepts_key: AtomicBool::new(false),
            questions: AtomicUsize::default(),
            pages: AtomicUsize::default(),
            under_way: AtomicUsize::default(),
            most: AtomicUsize::default(),
        })
    }

    fn now_says(&self, says: impl Fn(&str) -> Answer + Send + 'static) {
        *self.says.lock().unwrap() = Box::new(says);
        self.most.store(0, Ordering::Relaxed);
    }

    fn puts(&self) -> Vec<Put> {
        self.puts.lock().unwrap().clone()
    }

    fn of(&self, memo: &str) -> Vec<Duration> {
        let puts = self.puts().into_iter();
        puts.filter(|put| put.memo == memo)
            .map(|put| put.after)
            .collect()
    }

    fn count(counter: &AtomicUsize) -> usize {
        counter.load(Ordering::Relaxed)
    }
}

/// The API that the pipeline asks.
struct Shared(Arc<Api>);

#[async_trait]
impl Backend for Shared {
    async fn confirm(&self, memo: &Memo, _: Signature) -> ConfirmResult {
        let api = &self.0;
        let put = Put {
            memo: memo.as_str().into(),
            after: api.began.elapsed(),
        };
        api.puts.lock().unwrap().push(put);
        let now = api.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        api.most.fetch_max(now, Ordering::Relaxed);
        let takes = *api.takes.lock().unwrap();
        tokio::time::sleep(takes).await;
        api.under_way.fetch_sub(1, Ordering::Relaxed);
        let answer = (api.says.lock().unwrap())(memo.as_str());
        ConfirmResult {
            answer,
            status: Some(418),
            reason: "said".into(),
        }
    }

    async fn history(&self, _: usize) -> Result<HistoryPage, BackendError> {
        self.0.pages.fetch_add(1, Ordering::Relaxed);
        Ok(HistoryPage::default())
    }

    async fn accepts_key(&self) -> Result<bool, BackendError> {
        self.0.questions.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(700)).await;
        Ok(self.0.accepts_key.load(Ordering::Relaxed))
    }
}

/// Books with these payments queued, and the loop that sends them.
struct Desk {
    books: Books,
    pipeline: Arc<Pipeline>,
    confirm: Confirm,
}

impl Desk {
    async fn with(api: &Arc<Api>, memos: &[&str], max_in_flight: &str) -> Self {
        let books = Books::with(memos).await;
        for (byte, text) in (1..).zip(memos) {
            let one = ingested(byte, 5, Commitment::Finalized, paid(text));
            books.record(one).await.unwrap();
        }
        let settings = [
            ("MERCHANT__BASE_URL", "http://api/"),
            ("MERCHANT__MAX_IN_FLIGHT", max_in_flight),
            ("MERCHANT__REQUEST_TIMEOUT", "10s"),
            ("SOLANA__RPC_URLS", "http://node/"),
            ("OPS__LISTEN", ""),
        ];
        let config = Config::load(None, changed(&[], &settings)).unwrap();
        let rpc = Rpc::new(&config.solana.rpc_urls, config.solana.limits).unwrap();
        let merchant = Arc::new(Shared(api.clone()));
        let pipeline = Pipeline::over(config, books.store.clone(), &rpc, merchant);
        Self {
            books,
            confirm: Confirm::new(pipeline.clone()),
            pipeline,
        }
    }

    /// Lets the loop run for so long, in steps of time.
    async fn runs(&mut self, time: Duration, step: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.works().await;
            tokio::time::advance(step).await;
        }
        self.works().await;
    }

    /// Lets the loop do what can be done at this instant. The database answers in real time.
    async fn works(&mut self) {
        let mut calm = 0;
        while calm < 4 {
            let real = tokio::task::spawn_blocking(|| {
                std::thread::sleep(Duration::from_micros(700));
            });
            tokio::select! {
                biased;
                done = self.confirm.step() => {
                    done.unwrap();
                }
                _ = real => calm += 1,
            }
            if !self.books.store.is_idle() {
                calm = 0;
            }
        }
    }

    async fn seconds(&mut self, seconds: u64) {
        let step = Duration::from_millis(250);
        self.runs(Duration::from_secs(seconds), step).await;
    }

    async fn in_state(&self, state: PaymentState) -> usize {
        let filter = Filter {
            state: Some(state),
            ..Filter::newest(100)
        };
        self.books.store.payments(&filter).await.unwrap().len()
    }

    fn says_key_refused(&self) -> bool {
        let every = Duration::from_secs(15);
        self.pipeline.status.unready(every, clock::now()) == Some(Unready::KeyRefused)
    }
}

/// Time stands still but for what a test lets pass.
fn in_virtual_time(story: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        // A blocking task keeps the clock from going on by itself while the database works.
        let (release, blocked) = std::sync::mpsc::channel::<()>();
        let _inhibits = tokio::task::spawn_blocking(move || blocked.recv());
        clock::simulate(NOW);
        story.await;
        drop(release);
    });
    runtime.shutdown_background();
}

const MANY: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

#[test]
fn a_refused_key_stops_all_hands_at_the_price_of_one_question_and_then_all_go_on() {
    in_virtual_time(async {
        let api = Api::new(|_| Answer::KeyRefused);
        let mut desk = Desk::with(&api, &MANY, "4").await;
        desk.seconds(5).await;
        assert_eq!(api.puts().len(), 4, "{:?}", api.puts());
        assert_eq!(Api::count(&api.questions), 1, "they share the question");
        assert!(desk.says_key_refused());
        // What was taken and not sent is due at once, for whoever may send it.
        let due = desk.books.store.next_due_at().await.unwrap().unwrap();
        assert!(due <= clock::now(), "{due:?}");
        desk.seconds(50).await;
        assert_eq!(api.puts().len(), 4, "nothing is sent meanwhile");

        // Still refused: one at a time finds that out.
        desk.seconds(20).await;
        assert_eq!((api.puts().len(), Api::count(&api.questions)), (5, 2));

        api.now_says(|_| Answer::Accepted);
        desk.seconds(70).await;
        assert_eq!(Api::count(&api.most), 4, "all hands again");
        assert_eq!(desk.in_state(PaymentState::Acknowledged).await, MANY.len());
        assert!(!desk.says_key_refused());
    });
}

/// An answer that says nothing of the key changes nothing: a server that fails is not one that accepts it.
#[test]
fn only_an_answer_that_shows_the_key_accepted_sets_all_hands_free() {
    in_virtual_time(async {
        let api = Api::new(|_| Answer::KeyRefused);
        let mut desk = Desk::with(&api, &MANY, "4").await;
        desk.seconds(5).await;
        api.now_says(|_| Answer::Later(None));
        desk.seconds(70).await;
        assert_eq!(Api::count(&api.most), 1);
        assert!(desk.says_key_refused());
    });
}

/// One confirmation that is answered 403 for ever is that one's own trouble.
#[test]
fn a_confirmation_that_alone_is_refused_with_the_key_delays_no_other() {
    in_virtual_time(async {
        let api = Api::new(|memo| match memo {
            "a" => Answer::KeyRefused,
            _ => Answer::Accepted,
        });
        api.accepts_key.store(true, Ordering::Relaxed);
        let mut desk = Desk::with(&api, &MANY, "4").await;
        desk.seconds(6).await;
        assert_eq!(desk.in_state(PaymentState::Acknowledged).await, 11);
        desk.seconds(55).await;
        let tries = api.of("a").len();
        assert!((3..=5).contains(&tries), "on the schedule: {tries}");
        assert_eq!(Api::count(&api.questions), tries, "a question for each");
        assert_eq!(api.puts().len(), 11 + tries, "the others once each");
        assert!(!desk.says_key_refused());
        assert_eq!(desk.in_state(PaymentState::Queued).await, 1);
    });
}

/// Nobody reads the history because of a rejection. One more try comes as its patience ends; where no reading tells anything, the
/// next rejection is the last.
#[test]
fn a_rejection_costs_no_page_and_ends_parked_also_where_the_history_says_nothing() {
    in_virtual_time(async {
        let api = Api::new(|_| Answer::Rejected);
        let mut desk = Desk::with(&api, &["a"], "4").await;
        desk.seconds(30).await;
        assert_eq!(api.of("a").len(), 4, "{:?}", api.puts());
        let step = Duration::from_secs(2);
        desk.runs(Duration::from_mins(10), step).await;
        let tries = api.of("a");
        let patience = Rejected::PATIENCE;
        let last = *tries.last().unwrap();
        let soon = patience + Duration::from_secs(10);
        assert!(last >= patience && last <= soon, "{tries:?}");
        assert_eq!(tries.len(), 7, "{tries:?}");
        assert_eq!(desk.in_state(PaymentState::Queued).await, 1);
        desk.runs(Duration::from_mins(75), Duration::from_secs(10))
            .await;
        assert_eq!(desk.in_state(PaymentState::Parked).await, 1);
        assert_eq!(api.of("a").len(), 8);
        assert_eq!(Api::count(&api.pages), 0, "no page was read");
    });
}

#[test]
fn an_attempt_is_given_up_before_its_lease_ends() {
    in_virtual_time(async {
        let api = Api::new(|_| Answer::Accepted);
        *api.takes.lock().unwrap() = Duration::from_hours(1);
        let mut desk = Desk::with(&api, &["a"], "1").await;
        desk.seconds(21).await;
        *api.takes.lock().unwrap() = Duration::ZERO;
        desk.seconds(5).await;
        assert_eq!(api.of("a").len(), 2, "{:?}", api.puts());
    });
}

/// It waited for a hand until too little of its lease was left: another process may take it any moment.
#[test]
fn what_waited_too_long_for_a_hand_is_sent_after_its_lease_and_not_before() {
    in_virtual_time(async {
        let api = Api::new(|_| Answer::Accepted);
        *api.takes.lock().unwrap() = Duration::from_secs(18);
        let mut desk = Desk::with(&api, &["a", "b"], "1").await;
        desk.seconds(60).await;
        let (first, second) = (api.of("a"), api.of("b"));
        assert_eq!((first.len(), second.len()), (1, 1), "{:?}", api.puts());
        let lease = Duration::from_secs(35);
        assert!(second[0] >= lease, "{:?}", api.puts());
        assert!(second[0] <= lease + Duration::from_secs(3));
        assert_eq!(desk.in_state(PaymentState::Acknowledged).await, 2);
    });
}

#[test]
fn a_drain_finishes_what_is_under_way_and_gives_back_the_rest() {
    in_virtual_time(async {
        let api = Api::new(|_| Answer::Accepted);
        *api.takes.lock().unwrap() = Duration::from_secs(3);
        let mut desk = Desk::with(&api, &["a", "b"], "1").await;
        desk.seconds(1).await;
        let leased = desk.books.store.next_due_at().await.unwrap().unwrap();
        assert!(leased > clock::now(), "both are taken");
        {
            let drain = desk.confirm.drain();
            tokio::pin!(drain);
            loop {
                let real = tokio::task::spawn_blocking(|| {
                    std::thread::sleep(Duration::from_millis(2));
                });
                tokio::select! {
                    biased;
                    drained = &mut drain => break drained.unwrap(),
                    _ = real => tokio::time::advance(Duration::from_millis(250)).await,
                }
            }
        }
        assert_eq!(api.puts().len(), 1, "the second one was not begun");
        assert_eq!(desk.in_state(PaymentState::Acknowledged).await, 1);
        let due = desk.books.store.next_due_at().await.unwrap().unwrap();
        assert!(due <= clock::now(), "due at once, not after its lease");
    });
}

/// The clock was two hours ahead while retries were put off, and is put right.
#[test]
fn a_clock_that_is_put_back_leaves_nothing_waiting() {
    in_virtual_time(async {
        let ahead = Timestamp(NOW.0 + 7_200_000);
        let api = Api::new(|_| Answer::Later(None));
        let mut desk = Desk::with(&api, &["a", "b"], "4").await;
        clock::simulate(ahead);
        desk.seconds(4).await;
        assert_eq!((api.of("a").len(), api.of("b").len()), (2, 2));
        clock::simulate(NOW);
        api.now_says(|_| Answer::Accepted);
        desk.seconds(5).await;
        assert_eq!(desk.in_state(PaymentState::Acknowledged).await, 2);
        let one = ingested(3, 6, Commitment::Finalized, paid("c"));
        let checkout = crate::support::books::checkout("c");
        let page = crate::support::books::page();
        let store = &desk.books.store;
        store
            .upsert_checkouts(&[checkout], page, NOW)
            .await
            .unwrap();
        desk.books.record(one).await.unwrap();
        desk.seconds(3).await;
        assert_eq!(api.of("c").len(), 1, "new payments do not wait either");
    });
}

#[test]
fn pauses_that_the_api_asks_for_are_no_attempts() {
    in_virtual_time(async {
        let api = Api::new(|_| Answer::NotSent(Duration::from_secs(20)));
        let mut desk = Desk::with(&api, &["a"], "4").await;
        desk.seconds(199).await;
        api.now_says(|_| Answer::Accepted);
        desk.seconds(12).await;
        assert_eq!(desk.in_state(PaymentState::Acknowledged).await, 1);
    });
}
