//! An HTTP server written down to the bytes, so that it can fail in every way a server can.

use serde_json::Value;
use std::{collections::HashMap, net::Ipv4Addr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use url::Url;

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) url: Url,
    /// Names in lower case.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// What the server says to it.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    Json(Value),
    /// The answer, so much later.
    Later(Duration, Value),
    /// A status with an empty body, and when to come back, seconds.
    Status(u16, Option<u64>),
    /// A status, header lines (each with its line end) and any body.
    Whole(u16, &'static str, String),
    /// Status 200 and any text.
    Text(String),
    /// As many bytes of white space and then the answer.
    Padded(usize, Value),
    /// Half of the answer, and the connection is closed.
    Half(Value),
    /// The answer, byte by byte, slower than anybody waits for.
    Drip(Value),
    /// The connection is closed at once.
    Reset,
    /// The connection stays open and nothing comes.
    Silence,
}

/// Answers until it is dropped.
pub(crate) struct Server {
    pub(crate) url: Url,
    _task: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start(answer: impl Fn(&Asked) -> Said + Send + Sync + 'static) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST, answer).await
    }

    /// At another address of this machine: a host of its own.
    pub(crate) async fn start_at(
        address: Ipv4Addr,
        answer: impl Fn(&Asked) -> Said + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let answer: Arc<Answer> = Arc::new(answer);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let answer = answer.clone();
                // Whoever hangs up in the middle ends this connection, and no other.
                connections.spawn(async move { serve(stream, &*answer).await.ok() });
            }
        });
        Self {
            url: Url::parse(&url).unwrap(),
            _task: task,
        }
    }
}

type Answer = dyn Fn(&Asked) -> Said + Send + Sync;

async fn serve(mut stream: TcpStream, answer: &Answer) -> std::io::Result<()> {
    let mut read = Vec::new();
    loop {
        let Some(asked) = next_question(&mut stream, &mut read).await? else {
            return Ok(());
        };
        match answer(&asked) {
            Said::Json(body) => send(&mut stream, 200, "", body.to_string().as_bytes()).await?,
            Said::Later(delay, body) => {
                tokio::time::sleep(delay).await;
                send(&mut stream, 200, "", body.to_string().as_bytes()).await?;
            }
            Said::Text(body) => send(&mut stream, 200, "", body.as_bytes()).await?,
            Said::Whole(status, headers, body) => {
                send(&mut stream, status, headers, body.as_bytes()).await?;
            }
            Said::Status(status, after) => {
                let after = after.map(|seconds| format!("retry-after: {seconds}\r\n"));
                send(&mut stream, status, &after.unwrap_or_default(), b"").await?;
            }
            Said::Padded(bytes, body) => {
                let body = " ".repeat(bytes) + &body.to_string();
                send(&mut stream, 200, "", body.as_bytes()).await?;
            }
            Said::Half(body) => {
                let body = body.to_string();
                stream
                    .write_all(head(200, "", body.len()).as_bytes())
                    .await?;
                return stream.write_all(&body.as_bytes()[..body.len() / 2]).await;
            }
            Said::Drip(body) => {
                let body = body.to_string();
                stream
                    .write_all(head(200, "", body.len()).as_bytes())
                    .await?;
                for byte in body.bytes() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    stream.write_all(&[byte]).await?;
                }
            }
            Said::Reset => return Ok(()),
            Said::Silence => std::future::pending().await,
        }
    }
}

/// Reads one request; `None` when the other side is done.
async fn next_question(
    stream: &mut TcpStream,
    read: &mut Vec<u8>,
) -> std::io::Result<Option<Asked>> {
    const END: &[u8] = b"\r\n\r\n";
    loop {
        if let Some(at) = read.windows(END.len()).position(|bytes| bytes == END) {
            let head = String::from_utf8(read[..at].to_vec()).unwrap();
            let mut lines = head.lines();
            let mut first = lines.next().unwrap().split(' ');
            let (method, path) = (first.next().unwrap(), first.next().unwrap());
            let headers: HashMap<_, _> = lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                .collect();
            let length = headers.get("content-length");
            let length = length.map_or(0, |value| value.parse().unwrap());
            let whole = at + END.len() + length;
            if read.len() >= whole {
                let asked = Asked {
                    method: method.into(),
                    url: Url::parse("http://it/").unwrap().join(path).unwrap(),
                    headers,
                    body: read[whole - length..whole].to_vec(),
                };
                read.drain(..whole);
                return Ok(Some(asked));
            }
        }
        if stream.read_buf(read).await? == 0 {
            return Ok(None);
        }
    }
}

fn head(status: u16, more: &str, length: usize) -> String {
    format!(
        "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\n{more}content-length: {length}\r\n\r\n"
    )
}

async fn send(stream: &mut TcpStream, status: u16, more: &str, body: &[u8]) -> std::io::Result<()> {
    stream
        .write_all(head(status, more, body.len()).as_bytes())
        .await?;
    stream.write_all(body).await
}
