//! A world without a real chain: scripted nodes and a scripted API behind real sockets, and the daemon's loops before them.

use super::backend::{Backend, DUE};
use super::ledger::Entry;
use super::node::{Chain, Node};
use super::server::{Asked, Said, Server};
use super::{changed, eventually, tables};
use paywatch::config::Config;
use paywatch::domain::{Signature, TokenAccount};
use paywatch::pipeline::Pipeline;
use paywatch::store::{Cursor, Filter, PaymentSummary, Store};
use paywatch::supervisor::Loops;
use sqlx::Connection;
use std::{
    collections::HashSet,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// What the API says instead of its honest answer.
type Script = Box<dyn Fn(&Asked) -> Option<Said> + Send + Sync>;

pub(crate) struct Scripted {
    pub(crate) chain: Arc<Chain>,
    pub(crate) nodes: Vec<Node>,
    backend: Arc<Mutex<Backend>>,
    script: Arc<Mutex<Script>>,
    api: Server,
    folder: TempDir,
}

/// The loops of a daemon; dropping it kills them.
pub(crate) struct Daemon {
    pub(crate) store: Store,
    _loops: Loops,
}

impl Scripted {
    /// So many honest nodes, each of a host of its own, look at one chain.
    pub(crate) async fn with(nodes: usize) -> Self {
        let chain = Chain::new();
        let mut all = Vec::new();
        for index in 0..nodes {
            all.push(Node::start(&chain, ["127.0.0.1", "localhost"][index % 2]).await);
        }
        Self::over(chain, all).await
    }

    pub(crate) async fn over(chain: Arc<Chain>, nodes: Vec<Node>) -> Self {
        let backend: Arc<Mutex<Backend>> = Arc::default();
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Box::new(|_| None)));
        let (asked, told, seen) = (backend.clone(), script.clone(), chain.clone());
        let api = Server::start(move |question| {
            if let Some(said) = (told.lock().unwrap())(question) {
                return said;
            }
            let (ledger, mut backend) = (seen.ledger(), asked.lock().unwrap());
            let (method, url) = (&question.method, &question.url);
            match backend.answer(method, url, &ledger, seen.slot()) {
                (200, body) => Said::Json(body),
                (status, _) => Said::Status(status, None),
            }
        })
        .await;
        Self {
            chain,
            nodes,
            backend,
            script,
            api,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn backend(&self) -> MutexGuard<'_, Backend> {
        self.backend.lock().unwrap()
    }

    /// The same for a script, which answers before the honest backend does.
    pub(crate) fn sessions(&self) -> Arc<Mutex<Backend>> {
        self.backend.clone()
    }

    /// From now on.
    pub(crate) fn api_says(&self, script: impl Fn(&Asked) -> Option<Said> + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
    }

    /// Starts a daemon with every node and every socket, quick and without limits unless told otherwise.
    pub(crate) async fn watch(&self, changes: &[(&str, &str)]) -> Daemon {
        self.run(&self.pipeline(changes).await).await
    }

    /// Starts the loops over a pipeline.
    pub(crate) async fn run(&self, pipeline: &Arc<Pipeline>) -> Daemon {
        let (loops, _hints) = Loops::spawn(pipeline, CancellationToken::new());
        Daemon {
            store: self.store().await,
            _loops: loops,
        }
    }

    /// What a daemon works with, before anything moves.
    pub(crate) async fn pipeline(&self, changes: &[(&str, &str)]) -> Arc<Pipeline> {
        let config = Config::load(None, self.environment(changes)).unwrap();
        Pipeline::new(config, self.store().await).unwrap()
    }

    /// The settings for this world, quick and without limits unless told otherwise.
    pub(crate) fn environment(&self, changes: &[(&str, &str)]) -> Vec<(String, String)> {
        let list = |url: fn(&Node) -> &url::Url| {
            let urls: Vec<_> = self.nodes.iter().map(|node| url(node).as_str()).collect();
            urls.join(",")
        };
        let (rpc_urls, ws_urls) = (list(|node| &node.url), list(|node| &node.ws_url));
        let database = self.database();
        let settings = [
            ("MERCHANT__BASE_URL", self.api.url.as_str()),
            ("MERCHANT__POLL_EVERY", "1s"),
            ("SOLANA__RPC_URLS", &rpc_urls),
            ("SOLANA__WS_URLS", &ws_urls),
            ("SOLANA__SWEEP_EVERY", "300ms"),
            ("SOLANA__REQUEST_TIMEOUT", "1s"),
            ("SOLANA__MAX_RPS", "0"),
            // The ledger's blocks are of another year.
            ("WATCH__LOOK_BACK", "10years"),
            ("STORE__URL", &database),
            ("OPS__LISTEN", ""),
        ];
        changed(&changed(&[], &settings), changes)
    }

    /// Makes all places that sweeps remember two minutes older, as if that time had passed.
    pub(crate) async fn lets_cursors_age(&self) {
        let mut tables = tables(&self.folder.path().join("paywatch.db")).await;
        for table in ["cursors", "opinions"] {
            let age = format!("UPDATE {table} SET at = at - 120000");
            sqlx::query(&age).execute(&mut tables).await.unwrap();
        }
        tables.close().await.unwrap();
    }

    /// The tables, through a connection of the test's own.
    pub(crate) async fn store(&self) -> Store {
        Store::open(&self.database()).await.unwrap()
    }

    fn database(&self) -> String {
        format!("sqlite:{}", self.file().display())
    }

    /// The file of the database.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("paywatch.db")
    }

    /// A new checkout.
    pub(crate) fn checkout(&self) -> String {
        let mut backend = self.backend();
        let memo = format!("{:032x}", backend.sessions.len());
        backend.checkout(memo.clone());
        memo
    }

    /// A new checkout, paid in this slot.
    pub(crate) fn buy(&self) -> (String, Signature) {
        let memo = self.checkout();
        let entry = Entry::paid(self.chain.slot(), DUE, &memo);
        let signature = self.chain.ledger().land(entry);
        (memo, signature)
    }

    /// Waits until the API has taken a payment for a checkout.
    pub(crate) async fn confirmed(&self, what: &str, (memo, signature): &(String, Signature)) {
        eventually(what, async || {
            let backend = self.backend();
            let session = backend.sessions.iter().find(|one| one.memo == *memo);
            session.unwrap().confirmed_by == Some(*signature)
        })
        .await;
    }

    /// Where the shop's sweeps are.
    pub(crate) async fn cursor(&self, store: &Store) -> Option<Cursor> {
        let account = TokenAccount(self.chain.ledger().shop.account);
        store.cursors(account).await.unwrap().first().copied()
    }

    /// Waits until the cursor has passed an entry of the ledger.
    pub(crate) async fn swept_past(&self, daemon: &Daemon, entry: usize) {
        let slot = self.chain.ledger().entries[entry].slot;
        eventually("the cursor has passed it", async || {
            self.cursor(&daemon.store)
                .await
                .is_some_and(|cursor| cursor.slot >= slot)
        })
        .await;
    }

    /// How often the API was told of a payment.
    pub(crate) fn told_of(&self, signature: Signature) -> usize {
        let backend = self.backend();
        let puts = backend.puts.iter();
        puts.filter(|put| put.signature == signature).count()
    }

    /// Whatever was sent, no checkout was claimed by two transactions, and no transaction for two checkouts.
    pub(crate) fn assert_no_double_confirm(&self) {
        let backend = self.backend();
        let pairs: HashSet<_> = backend
            .puts
            .iter()
            .map(|put| (&put.memo, put.signature))
            .collect();
        let memos: HashSet<_> = pairs.iter().map(|(memo, _)| memo).collect();
        let signatures: HashSet<_> = pairs.iter().map(|(_, signature)| signature).collect();
        assert_eq!((memos.len(), signatures.len()), (pairs.len(), pairs.len()));
    }
}

impl Daemon {
    /// The one payment of a transaction, once it is recorded.
    pub(crate) async fn payment(&self, signature: Signature) -> Option<PaymentSummary> {
        let payments = self.store.payments(&Filter::newest(10_000)).await.unwrap();
        let mut of_it = payments
            .into_iter()
            .filter(|one| one.signature == signature.to_string());
        of_it.next()
    }

    /// Waits until a transaction is recorded with a verdict.
    pub(crate) async fn judges(&self, signature: Signature, verdict: &str) {
        eventually(verdict, async || {
            let payment = self.payment(signature).await;
            payment.is_some_and(|payment| payment.verdict == verdict)
        })
        .await;
    }
}
