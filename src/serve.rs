//! Serves HTTP/1.1 within bounds: on connections, on the time in which a request arrives and an answer is taken, and on the shutdown.
//!
//! It never spawns: all connections are futures of the one that [`serve`] returns. A handler that panics ends its connection and no
//! other.

mod descriptors;
mod patient;
mod seats;

pub use descriptors::{descriptors, raise_descriptors};

use axum::{
    Router,
    body::{Body, HttpBody},
    extract::ConnectInfo,
    response::Response,
};
use futures_util::{FutureExt, StreamExt, stream, stream::FuturesUnordered};
use hyper::{Request, body::Incoming, server::conn::http1, service::Service, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use patient::Patient;
use seats::{Answering, Seat, Seats};
use std::{io, net::SocketAddr, panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// How long no connection is accepted after the machine refused one.
const PAUSE: Duration = Duration::from_millis(100);
/// Largest head of a request, bytes.
const HEAD_MAX: usize = 64 << 10;
/// The answer to a client for whom there is no place.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// What a server bears.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections that are open at once. Beyond them the connection that has waited longest for a request is closed.
    pub connections: usize,
    /// Time for the head of a request, from the accepted connection or from the end of the last answer; so an idle connection ends
    /// after it, too.
    pub head: Duration,
    /// Time for the body of a request, from the end of its head.
    pub body: Duration,
    /// Time for the client to take anything of an answer.
    pub stall: Duration,
    /// Time for the client to take all of an answer; of a longer export or a stream of events, all of a part of it.
    pub whole: Duration,
    /// Time for the answers under way, once the server is told to stop.
    pub grace: Duration,
}

impl Bounds {
    /// Half of the file descriptors that the process may open stay free for everything else.
    #[must_use]
    pub fn within(descriptors: u64) -> Self {
        let most = usize::try_from(descriptors / 2).unwrap_or(usize::MAX);
        let bounds = Self::default();
        Self {
            connections: bounds.connections.min(most).max(1),
            ..bounds
        }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 512,
            head: Duration::from_secs(10),
            body: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            whole: Duration::from_mins(2),
            grace: Duration::from_secs(1),
        }
    }
}

/// Serves until `shutdown`. Then connections without a request end at once, and the others within `bounds.grace`.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    shutdown: CancellationToken,
) {
    let (mut seats, mut open, mut resume_at) = (Seats::default(), FuturesUnordered::new(), None);
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(ended) = open.next() => seats.leave(ended),
            accepted = accept(&listener, resume_at) => match accepted {
                Ok((stream, peer)) => {
                    if seats.count() >= bounds.connections && !seats.make_room() {
                        // The client may be gone, or take nothing: it was told as well as it can be.
                        let _told = stream.try_write(FULL);
                        continue;
                    }
                    resume_at = None;
                    let seat = seats.take();
                    let work = connection(stream, peer, router.clone(), bounds, seat.clone(), shutdown.clone());
                    open.push(AssertUnwindSafe(work).catch_unwind().map(move |ended| {
                        if ended.is_err() {
                            tracing::error!("a request handler panicked; its connection is closed");
                        }
                        seat.number
                    }));
                }
                Err(error) if is_of_the_client(&error) => {}
                Err(error) => {
                    if resume_at.is_none() {
                        tracing::warn!(%error, connections = seats.count(), "no connection can be accepted; raise the limit of open files (LimitNOFILE)");
                    }
                    seats.make_room();
                    resume_at = Some(Instant::now() + PAUSE);
                }
            },
        }
    }
    drop(listener);
    while open.next().await.is_some() {}
}

/// The next connection. A flood of requests on the open ones does not keep it waiting.
async fn accept(
    listener: &TcpListener,
    resume_at: Option<Instant>,
) -> io::Result<(TcpStream, SocketAddr)> {
    if let Some(at) = resume_at {
        sleep_until(at).await;
    }
    tokio::task::unconstrained(listener.accept()).await
}

/// Whether the client gave up before it was accepted.
fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    bounds: Bounds,
    seat: Arc<Seat>,
    shutdown: CancellationToken,
) {
    let (router, asking) = (TowerToHyperService::new(router), seat.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let seat = asking.clone();
        let mut request = request.map(|body| arriving(body, bounds.body, seat.clone()));
        request.extensions_mut().insert(ConnectInfo(peer));
        let answer = router.call(request);
        async move {
            let response: Response = answer.await?;
            let answering = seat.answers();
            Ok::<_, std::convert::Infallible>(response.map(|body| Answering::new(body, answering)))
        }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head)
        .max_buf_size(HEAD_MAX);
    let io = TokioIo::new(Patient::new(stream, bounds.stall, bounds.whole));
    let mut serving = pin!(builder.serve_connection(io, service));
    tokio::select! {
        biased;
        () = seat.is_wanted_back() => return,
        ended = serving.as_mut() => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended early");
            }
            return;
        }
        () = shutdown.cancelled() => {}
    }
    if !seat.is_waiting() {
        serving.as_mut().graceful_shutdown();
        // Cut off after that: the client was to hear no more from a server that stops.
        let _ended = timeout(bounds.grace, serving).await;
    }
}

/// A request's body, as long as it comes in time; once it is there, the request is worked on.
fn arriving(body: Incoming, patience: Duration, seat: Arc<Seat>) -> Body {
    if body.is_end_stream() {
        seat.works();
        return Body::empty();
    }
    let deadline = Instant::now() + patience;
    let parts = Body::new(body).into_data_stream();
    Body::from_stream(stream::try_unfold(
        (parts, seat),
        move |(mut parts, seat)| async move {
            match timeout_at(deadline, parts.next()).await {
                Ok(Some(Ok(part))) => Ok(Some((part, (parts, seat)))),
                Ok(Some(Err(error))) => Err(io::Error::other(error)),
                Ok(None) => {
                    seat.works();
                    Ok(None)
                }
                Err(_) => Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the body did not arrive in time",
                )),
            }
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_descriptors_stay_free_and_one_client_is_always_served() {
        let connections = |descriptors| Bounds::within(descriptors).connections;
        let cases = [0, 1, 256, 1_023, 1_024, 65_536, u64::MAX].map(connections);
        assert_eq!(cases, [1, 1, 128, 511, 512, 512, 512]);
    }
}
