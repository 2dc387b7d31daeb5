//! The history of an API whose order, page size and envelope nobody published: every checkout is found.

use axum::{Json, Router, extract::Query, routing::get};
use paywatch::{
    config::Config,
    pipeline::{Checkouts, Pipeline},
    store::Store,
};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinSet};

type Sessions = Arc<Mutex<Vec<Value>>>;

/// An API that serves these sessions in its own way, and a pipeline that reads them.
struct Reader {
    sessions: Sessions,
    requests: Arc<Mutex<usize>>,
    pipeline: Arc<Pipeline>,
    _server: JoinSet<()>,
    _folder: TempDir,
}

fn session(number: usize) -> Value {
    json!({ "memo": format!("{number:08x}"), "amount": 5, "status": 0 })
}

impl Reader {
    /// `serve` makes an answer of all sessions, limit and offset.
    async fn new(
        count: usize,
        serve: impl Fn(&[Value], usize, usize) -> Value + Clone + Send + Sync + 'static,
    ) -> Self {
        let sessions: Sessions = Arc::new(Mutex::new((0..count).map(session).collect()));
        let requests = Arc::new(Mutex::new(0));
        let (served, counted) = (sessions.clone(), requests.clone());
        let answer = move |Query(page): Query<HashMap<String, usize>>| async move {
            *counted.lock().unwrap() += 1;
            Json(serve(
                &served.lock().unwrap(),
                page["limit"],
                page["offset"],
            ))
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = JoinSet::new();
        server.spawn(async move {
            axum::serve(listener, Router::new().route("/history", get(answer)))
                .await
                .unwrap();
        });
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("x.db").display());
        let environment = [
            (
                "PAYWATCH__MERCHANT__BASE_URL".to_owned(),
                format!("http://{address}"),
            ),
            (
                "PAYWATCH__SOLANA__RPC_URLS".to_owned(),
                "http://127.0.0.1:1".to_owned(),
            ),
        ];
        let store = Store::open(&url).await.unwrap();
        let pipeline = Pipeline::new(Config::load(None, environment).unwrap(), store).unwrap();
        Self {
            sessions,
            requests,
            pipeline,
            _server: server,
            _folder: folder,
        }
    }

    async fn known(&self) -> u64 {
        self.pipeline.store.count_checkouts().await.unwrap().0
    }
}

fn page(sessions: &[Value], limit: usize, offset: usize) -> Value {
    sessions.iter().skip(offset).take(limit).cloned().collect()
}

#[tokio::test]
async fn a_server_that_caps_the_page_is_read_to_its_end() {
    let reader = Reader::new(
        97,
        |all, limit, offset| json!({ "total": 97, "data": page(all, limit.min(7), offset) }),
    )
    .await;
    assert_eq!(
        Checkouts::new(reader.pipeline.clone())
            .step()
            .await
            .unwrap(),
        97
    );
    assert_eq!(reader.known().await, 97);
}

#[tokio::test]
async fn a_server_that_ignores_the_offset_is_not_asked_for_ever() {
    let reader = Reader::new(20, |all, limit, _| page(all, limit, 0)).await;
    assert_eq!(
        Checkouts::new(reader.pipeline.clone())
            .step()
            .await
            .unwrap(),
        20
    );
    assert_eq!(*reader.requests.lock().unwrap(), 3);
}

#[tokio::test]
async fn new_sessions_are_found_at_either_end_with_few_requests() {
    let reader = Reader::new(450, page).await;
    let mut checkouts = Checkouts::new(reader.pipeline.clone());
    checkouts.step().await.unwrap();
    assert_eq!(reader.known().await, 450);
    for at_the_front in [true, false] {
        let before = *reader.requests.lock().unwrap();
        {
            let mut sessions = reader.sessions.lock().unwrap();
            for new in 0..150 {
                let number = 1000 + 1000 * usize::from(at_the_front) + new;
                let place = if at_the_front { 0 } else { sessions.len() };
                sessions.insert(place, session(number));
            }
        }
        assert_eq!(checkouts.step().await.unwrap(), 150);
        assert_eq!(checkouts.step().await.unwrap(), 0);
        let requests = *reader.requests.lock().unwrap() - before;
        assert!(requests <= 12, "{requests} requests");
    }
    assert_eq!(reader.known().await, 750);
}

#[tokio::test]
async fn entries_that_cannot_be_read_do_not_hide_the_others() {
    let reader = Reader::new(0, page).await;
    let broken = (0..300).map(|number| json!({ "memo": null, "number": number }));
    reader
        .sessions
        .lock()
        .unwrap()
        .extend(broken.chain([session(7)]));
    assert_eq!(
        Checkouts::new(reader.pipeline.clone())
            .step()
            .await
            .unwrap(),
        1
    );
    assert_eq!(reader.known().await, 1);
}
