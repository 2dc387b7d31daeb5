//! Who is connected, and who of them waits for a request.

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The place of one connection.
pub(super) struct Seat {
    pub(super) number: u64,
    /// Since when no request is there in full; `None` while one is worked on.
    waits_since: Mutex<Option<Instant>>,
    wanted_back: CancellationToken,
}

impl Seat {
    pub(super) fn works(&self) {
        self.set(None);
    }

    /// From now until the guard is dropped an answer is sent.
    pub(super) fn answers(self: &Arc<Self>) -> Guard {
        self.works();
        Guard(self.clone())
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.waits_since().is_some()
    }

    pub(super) async fn is_wanted_back(&self) {
        self.wanted_back.cancelled().await;
    }

    fn waits_since(&self) -> Option<Instant> {
        *self
            .waits_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, since: Option<Instant>) {
        *self
            .waits_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = since;
    }
}

/// An answer under way.
pub(super) struct Guard(Arc<Seat>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.set(Some(Instant::now()));
    }
}

/// All places that are taken.
#[derive(Default)]
pub(super) struct Seats {
    taken: BTreeMap<u64, Arc<Seat>>,
    next: u64,
}

impl Seats {
    pub(super) fn count(&self) -> usize {
        self.taken.len()
    }

    pub(super) fn take(&mut self) -> Arc<Seat> {
        let seat = Arc::new(Seat {
            number: self.next,
            waits_since: Mutex::new(Some(Instant::now())),
            wanted_back: CancellationToken::new(),
        });
        self.taken.insert(self.next, seat.clone());
        self.next = self.next.wrapping_add(1);
        seat
    }

    pub(super) fn leave(&mut self, number: u64) {
        self.taken.remove(&number);
    }

    /// Takes the place of the connection that has waited longest; `false` if each works on a request.
    pub(super) fn make_room(&mut self) -> bool {
        let waiting = self.taken.values();
        let waiting = waiting.filter_map(|seat| Some((seat.waits_since()?, seat.number)));
        let Some((_, number)) = waiting.min() else {
            return false;
        };
        if let Some(seat) = self.taken.remove(&number) {
            seat.wanted_back.cancel();
        }
        true
    }
}

/// The body of an answer, which ends the answering when it is sent or given up.
pub(super) struct Answering {
    body: Body,
    _until_dropped: Guard,
}

impl Answering {
    pub(super) fn new(body: Body, guard: Guard) -> Self {
        Self {
            body,
            _until_dropped: guard,
        }
    }
}

impl HttpBody for Answering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn who_has_waited_longest_gives_way_and_nobody_who_works() {
        let mut seats = Seats::default();
        let mut all = Vec::new();
        for _ in 0..3 {
            all.push(seats.take());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let answering = all[0].answers();
        all[2].works();
        assert!(seats.make_room());
        assert!(all[1].wanted_back.is_cancelled(), "the only one that waits");
        assert_eq!(seats.count(), 2);
        assert!(!seats.make_room(), "both work");
        drop(answering);
        assert!(seats.make_room());
        assert!(
            all[0].wanted_back.is_cancelled(),
            "answered, so it waits again"
        );
        assert!(!all[2].wanted_back.is_cancelled());
        seats.leave(all[2].number);
        assert_eq!(seats.count(), 0);
    }
}
