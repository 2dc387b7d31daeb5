//! Pages that change while one looks at them: the same address, asked for as a stream of events, sends the live part again
//! whenever it looks different.

use super::super::Shared;
use crate::store;
use axum::{
    http::{HeaderMap, StatusCode, header::ACCEPT},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{StreamExt, stream};
use maud::Markup;
use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// How often it is looked whether something changed.
const EVERY: Duration = Duration::from_secs(1);
/// How many may look on at a time.
pub(in crate::ops) const STREAMS_MAX: usize = 16;

/// Whether a stream of events is asked for.
pub(super) fn wanted(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/event-stream"))
}

/// Sends the live part, while there is a place, until the reader leaves, the database fails (browsers ask again by themselves) or the daemon stops.
pub(super) fn stream<F, M>(shared: &Shared, places: &Arc<Semaphore>, live: F) -> Response
where
    F: Fn() -> M + Send + Sync + 'static,
    M: Future<Output = store::Result<Markup>> + Send,
{
    let Ok(place) = places.clone().try_acquire_owned() else {
        let text = "too many look on; reload to see what is new\n";
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    let start = (live, String::new(), place);
    let events = stream::unfold(start, |(live, mut last, place)| async move {
        loop {
            let now = live().await.ok()?.into_string();
            if now != last {
                last.clone_from(&now);
                let event = Ok::<_, Infallible>(Event::default().data(now));
                tokio::time::sleep(EVERY).await;
                return Some((event, (live, last, place)));
            }
            tokio::time::sleep(EVERY).await;
        }
    });
    let events = events.take_until(shared.shutdown.clone().cancelled_owned());
    Sse::new(events)
        .keep_alive(KeepAlive::default())
        .into_response()
}
