//! Pages that change while somebody looks at them: the same address, asked for as a stream of events, sends the live part again
//! whenever it differs.
//!
//! All viewers of a page share one rendering, and a page is rendered again only when the database, the watch list or, for a page that
//! tells times, the second has changed.

use super::super::Shared;
use crate::pipeline::{Pipeline, Watching};
use crate::store::{self, Store};
use axum::{
    http::{HeaderMap, StatusCode, header::ACCEPT},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{StreamExt, stream};
use maud::Markup;
use std::{
    collections::HashMap,
    convert::Infallible,
    future::Future,
    sync::{Arc, PoisonError, Weak},
    time::Duration,
};
use tokio::{
    sync::{Mutex, Semaphore},
    time::{Instant, sleep},
};

/// How often each viewer looks whether something changed, and how often a page that tells times is rendered.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const CLOCK_EVERY: Duration = Duration::from_secs(1);
/// For each so many pages that are looked at, a page that changes all the time is rendered one look less often.
const PAGES_PER_LOOK: usize = 64;
/// How many may look on at a time.
pub(in crate::ops) const STREAMS_MAX: usize = 16;

/// Whether a stream of events is asked for.
pub(super) fn wanted(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/event-stream"))
}

/// What a page shows besides the database and the watch list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shows {
    /// Nothing.
    Records,
    /// How long ago something was.
    Times,
}

/// Every page that somebody looks at now.
pub(in crate::ops) struct Feeds {
    pipeline: Arc<Pipeline>,
    pages: std::sync::Mutex<HashMap<String, Weak<Feed>>>,
    version: Mutex<Option<(Instant, i64)>>,
}

/// One page, as it was rendered last.
struct Feed {
    shows: Shows,
    last: Mutex<Option<Rendering>>,
}

struct Rendering {
    at: Instant,
    version: i64,
    watching: Arc<Watching>,
    html: Arc<str>,
}

impl Feeds {
    pub(in crate::ops) fn new(pipeline: Arc<Pipeline>) -> Arc<Self> {
        Arc::new(Self {
            pipeline,
            pages: std::sync::Mutex::default(),
            version: Mutex::default(),
        })
    }

    /// The feed of a page that has this name, shared with those who look at it already.
    fn of(&self, page: &str, shows: Shows) -> Arc<Feed> {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(feed) = pages.get(page).and_then(Weak::upgrade) {
            return feed;
        }
        pages.retain(|_, feed| feed.strong_count() > 0);
        let last = Mutex::default();
        let feed = Arc::new(Feed { shows, last });
        pages.insert(page.to_owned(), Arc::downgrade(&feed));
        feed
    }

    /// How long a rendering stays, whatever changes.
    fn stays(&self) -> Duration {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let looks = 1 + pages.len() / PAGES_PER_LOOK;
        LOOK_EVERY.saturating_mul(u32::try_from(looks).unwrap_or(u32::MAX))
    }

    /// The version of the database, asked for once for all who look at the same time.
    async fn version(&self, store: &Store) -> store::Result<i64> {
        let mut version = self.version.lock().await;
        if let Some((at, version)) = *version
            && at.elapsed() < LOOK_EVERY / 2
        {
            return Ok(version);
        }
        let (at, now) = (Instant::now(), store.version().await?);
        *version = Some((at, now));
        Ok(now)
    }

    /// The page as it is now, rendered anew only if it may differ.
    async fn now<M>(&self, feed: &Feed, live: impl Fn() -> M) -> store::Result<Arc<str>>
    where
        M: Future<Output = store::Result<Markup>> + Send,
    {
        let mut last = feed.last.lock().await;
        if let Some(last) = &*last
            && last.at.elapsed() < self.stays()
        {
            return Ok(last.html.clone());
        }
        // Asked before rendering: what is written meanwhile is rendered next time.
        let (at, watching) = (Instant::now(), self.pipeline.watching());
        let version = self.version(&self.pipeline.store).await?;
        if let Some(last) = &*last
            && last.version == version
            && Arc::ptr_eq(&last.watching, &watching)
            && (feed.shows == Shows::Records || last.at.elapsed() < CLOCK_EVERY)
        {
            return Ok(last.html.clone());
        }
        let html = live().await?.into_string();
        tracing::trace!("page rendered");
        let same = last.as_ref().filter(|last| *last.html == *html);
        let html = same.map_or_else(|| html.into(), |last| last.html.clone());
        *last = Some(Rendering {
            at,
            version,
            watching,
            html: html.clone(),
        });
        Ok(html)
    }
}

/// Sends the live part of a page of this name, while there is a place, until the reader leaves, the database fails (browsers ask again
/// by themselves) or the daemon stops.
pub(super) fn stream<F, M>(
    shared: &Shared,
    places: &Arc<Semaphore>,
    (page, shows): (&str, Shows),
    live: F,
) -> Response
where
    F: Fn() -> M + Send + Sync + 'static,
    M: Future<Output = store::Result<Markup>> + Send + 'static,
{
    let Ok(place) = places.clone().try_acquire_owned() else {
        let text = "too many look on; reload to see what is new\n";
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    let feeds = shared.feeds.clone();
    let feed = feeds.of(page, shows);
    let told = renderings(feeds, feed, live);
    let events = told.map(move |html| {
        let _until_dropped = &place;
        Ok::<_, Infallible>(Event::default().data(&*html))
    });
    let events = events.take_until(shared.shutdown.clone().cancelled_owned());
    Sse::new(events)
        .keep_alive(KeepAlive::default())
        .into_response()
}

/// The page as it is now, at once, and then each time it differs.
fn renderings<F, M>(
    feeds: Arc<Feeds>,
    feed: Arc<Feed>,
    live: F,
) -> impl futures_util::Stream<Item = Arc<str>>
where
    F: Fn() -> M + Send + Sync + 'static,
    M: Future<Output = store::Result<Markup>> + Send,
{
    let start = (feeds, feed, live, None::<Arc<str>>);
    stream::unfold(start, |(feeds, feed, live, mut last)| async move {
        loop {
            if last.is_some() {
                sleep(LOOK_EVERY).await;
            }
            let now = feeds.now(&feed, &live).await.ok()?;
            if last.as_ref().is_none_or(|last| !Arc::ptr_eq(last, &now)) {
                last = Some(now.clone());
                return Some((now, (feeds, feed, live, last)));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use futures_util::future::join_all;
    use maud::html;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::time::timeout;

    const VIEWERS: usize = 240;

    async fn pipeline(url: &str) -> Arc<Pipeline> {
        let text = "[merchant]\nbase_url = \"http://127.0.0.1:1\"\n[solana]\nrpc_urls = [\"http://127.0.0.1:1\"]\n";
        let config = Config::from_toml(text).unwrap();
        Pipeline::new(config, Store::open(url).await.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn all_viewers_share_one_rendering_and_hear_of_the_next_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("pages.db").display());
        let feeds = Feeds::new(pipeline(&url).await);
        let rendered = Arc::new(AtomicUsize::new(0));
        let viewer = || {
            let (feed, rendered) = (feeds.of("/page", Shows::Records), rendered.clone());
            let live = move || {
                let rendered = rendered.clone();
                async move {
                    let count = rendered.fetch_add(1, Ordering::SeqCst);
                    Ok(html! { (count) })
                }
            };
            Box::pin(renderings(feeds.clone(), feed, live))
        };
        let mut viewers: Vec<_> = (0..VIEWERS).map(|_| viewer()).collect();
        let told = join_all(viewers.iter_mut().map(StreamExt::next)).await;
        assert!(told.iter().all(|one| one.as_deref() == Some("0")));
        let looks = LOOK_EVERY * 3;
        let again = join_all(viewers.iter_mut().map(|one| timeout(looks, one.next()))).await;
        assert!(again.iter().all(Result::is_err), "nothing has changed");
        assert_eq!(rendered.load(Ordering::SeqCst), 1);
        // Somebody else writes.
        let other = Store::open(&url).await.unwrap();
        other.probe_disk().await.unwrap();
        let changed_at = Instant::now();
        let told = join_all(viewers.iter_mut().map(StreamExt::next)).await;
        assert!(told.iter().all(|one| one.as_deref() == Some("1")));
        let took = changed_at.elapsed();
        assert_eq!(rendered.load(Ordering::SeqCst), 2);
        assert!(took < CLOCK_EVERY, "told after {took:?}");
    }

    #[tokio::test]
    async fn a_page_that_tells_times_is_rendered_each_second_and_pages_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("pages.db").display());
        let feeds = Feeds::new(pipeline(&url).await);
        let feed = feeds.of("/", Shows::Times);
        let count = AtomicUsize::new(0);
        let live = move || {
            let count = count.fetch_add(1, Ordering::SeqCst);
            async move { Ok(html! { (count) }) }
        };
        let mut viewer = Box::pin(renderings(feeds.clone(), feed, live));
        for expected in ["0", "1", "2"] {
            assert_eq!(viewer.next().await.as_deref(), Some(expected));
        }
        drop(viewer);
        let _another = feeds.of("/another", Shows::Records);
        let pages = feeds.pages.lock().unwrap();
        assert_eq!(pages.keys().collect::<Vec<_>>(), ["/another"]);
    }
}
