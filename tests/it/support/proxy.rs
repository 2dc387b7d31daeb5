//! A TCP proxy that can fail in the ways networks and servers do, between the daemon and anything it talks to.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// What the proxy does to connections, old and new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mode {
    /// Passes bytes both ways.
    Pass,
    /// Closes connections at once, and those that stand.
    Cut,
    /// Keeps connections open and passes nothing.
    Stall,
    /// Passes the request, waits for the answer, and closes instead of passing it on.
    SwallowAnswers,
    /// Answers HTTP status 500 itself.
    Status500,
    /// Answers HTTP status 429 with `Retry-After: 1` itself.
    Status429,
}

const MODES: [Mode; 6] = [
    Mode::Pass,
    Mode::Cut,
    Mode::Stall,
    Mode::SwallowAnswers,
    Mode::Status500,
    Mode::Status429,
];
/// How often a stalled or standing connection looks at the mode.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    mode: AtomicU8,
    connections: AtomicUsize,
    target: String,
}

impl Shared {
    fn mode(&self) -> Mode {
        MODES[usize::from(self.mode.load(Ordering::SeqCst))]
    }
}

impl Proxy {
    /// In front of the host and port of a URL.
    pub(crate) async fn before(url: &str) -> Self {
        let url = url::Url::parse(url).unwrap();
        let target = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            mode: AtomicU8::new(Mode::Pass as u8),
            connections: AtomicUsize::new(0),
            target,
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, shared.clone()));
        Self {
            address,
            shared,
            _tasks: tasks,
        }
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.shared.mode.store(mode as u8, Ordering::SeqCst);
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        shared.connections.fetch_add(1, Ordering::SeqCst);
        connections.spawn(serve(client, shared.clone()));
    }
}

async fn serve(mut client: TcpStream, shared: Arc<Shared>) {
    let mut server: Option<TcpStream> = None;
    let (mut up, mut down) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let mode = shared.mode();
        if mode == Mode::Cut {
            return;
        }
        if mode == Mode::Stall {
            tokio::time::sleep(LOOK_EVERY).await;
            continue;
        }
        if server.is_none() {
            server = TcpStream::connect(&shared.target).await.ok();
        }
        let Some(server) = server.as_mut() else {
            return;
        };
        let goes_on = tokio::select! {
            read = client.read(&mut up) => match read {
                Ok(count) if count > 0 => on_request(shared.mode(), &up[..count], &mut client, server).await,
                _ => false,
            },
            read = server.read(&mut down) => match read {
                Ok(count) if count > 0 => {
                    // The mode may have changed while this waited.
                    while shared.mode() == Mode::Stall {
                        tokio::time::sleep(LOOK_EVERY).await;
                    }
                    matches!(shared.mode(), Mode::Pass) && client.write_all(&down[..count]).await.is_ok()
                }
                _ => false,
            },
            () = tokio::time::sleep(LOOK_EVERY) => true,
        };
        if !goes_on {
            return;
        }
    }
}

/// Returns whether the connection goes on.
async fn on_request(
    mode: Mode,
    bytes: &[u8],
    client: &mut TcpStream,
    server: &mut TcpStream,
) -> bool {
    let canned = |status: &str| {
        format!(
            "HTTP/1.1 {status}\r\nretry-after: 1\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}"
        )
    };
    let refusal = match mode {
        Mode::Pass | Mode::SwallowAnswers => return server.write_all(bytes).await.is_ok(),
        Mode::Cut => return false,
        Mode::Stall => return true,
        Mode::Status500 => canned("500 Internal Server Error"),
        Mode::Status429 => canned("429 Too Many Requests"),
    };
    // Whether the other side still listens does not matter: the connection ends.
    let _sent = client.write_all(refusal.as_bytes()).await;
    false
}
