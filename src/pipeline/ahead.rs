//! While a long history is listed, page after page, what was listed is fetched already: the node is never idle. The walk that follows
//! takes it from here, in its own order.

use super::Pipeline;
use super::ingest::{LISTED_PAUSES, Sighting};
use super::promising::FIRST_MAX;
use super::skips::Skips;
use crate::clock;
use crate::config::Scope;
use crate::domain::{Commitment, Signature, Slot, TokenAccount};
use crate::solana::SignatureEntry;
use crate::store::Ingested;
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

/// Transactions fetched ahead at most by all sweeps together, for each request that may be under way. They are kept until the walk
/// takes them.
const ROOM: usize = 32;

/// Fetches what will be walked over.
pub(super) struct Ahead {
    pipeline: Arc<Pipeline>,
    scope: Scope,
    account: TokenAccount,
    /// How many more may be fetched.
    room: usize,
    waiting: VecDeque<SignatureEntry>,
    under_way: FuturesUnordered<BoxFuture<'static, Option<Ingested>>>,
    fetched: HashMap<(Signature, Slot), Ingested>,
    /// What seems to pay, of the pages so far, the newest first.
    pub(super) promising: Vec<SignatureEntry>,
}

impl Ahead {
    pub(super) fn new(pipeline: Arc<Pipeline>, scope: Scope, account: TokenAccount) -> Self {
        let room = pipeline.shares.of(ROOM);
        Self {
            room,
            scope,
            pipeline,
            account,
            waiting: VecDeque::new(),
            under_way: FuturesUnordered::new(),
            fetched: HashMap::new(),
            promising: Vec::new(),
        }
    }

    /// The same, fetching nothing: not all that is listed will be walked over.
    pub(super) fn nothing(pipeline: Arc<Pipeline>, scope: Scope, account: TokenAccount) -> Self {
        Self {
            room: 0,
            ..Self::new(pipeline, scope, account)
        }
    }

    pub(super) fn pipeline(&self) -> Arc<Pipeline> {
        self.pipeline.clone()
    }

    /// A transaction that was fetched ahead.
    pub(super) fn take(&mut self, entry: &SignatureEntry) -> Option<Ingested> {
        self.fetched.remove(&(entry.signature, entry.slot))
    }

    /// Waits for what was begun.
    pub(super) async fn finish(&mut self) {
        self.waiting.clear();
        while let Some(ingested) = self.under_way.next().await {
            self.keep(ingested);
        }
    }

    fn begin(&mut self) {
        let at_once = self.pipeline.shares.of(1);
        while self.under_way.len() < at_once
            && let Some(entry) = self.waiting.pop_front()
        {
            let sighting =
                Sighting::listed(&entry, self.account, Commitment::Finalized, clock::now());
            let pipeline = self.pipeline.clone();
            // Whatever goes wrong: the walk asks again, and says so.
            let look = async move {
                pipeline
                    .look_at(sighting, &LISTED_PAUSES)
                    .await
                    .ok()
                    .flatten()
            };
            self.under_way.push(Box::pin(look));
        }
    }

    fn keep(&mut self, ingested: Option<Ingested>) {
        if let Some(ingested) = ingested {
            let place = (ingested.signature, ingested.slot);
            self.fetched.insert(place, ingested);
        }
    }

    /// Fetches while a page is waited for.
    pub(super) async fn meanwhile<T>(&mut self, page: impl Future<Output = T>) -> T {
        let mut page = std::pin::pin!(page);
        loop {
            self.begin();
            tokio::select! {
                biased;
                page = &mut page => return page,
                Some(ingested) = self.under_way.next() => self.keep(ingested),
            }
        }
    }

    /// A page came, newest first, and it is not the last.
    pub(super) async fn listed(&mut self, entries: &[SignatureEntry]) {
        // Without an answer nothing is fetched ahead.
        let skips = Skips::of(&self.pipeline, self.scope, self.account, entries).await;
        let Ok(skips) = skips else { return };
        if let Ok(promising) = self.pipeline.promising(entries.iter().rev(), &skips).await {
            self.promising.extend(promising);
            self.promising.truncate(FIRST_MAX);
        }
        let is_final = |entry: &&SignatureEntry| entry.commitment == Some(Commitment::Finalized);
        let new = entries
            .iter()
            .filter(is_final)
            .filter(|entry| skips.reading(entry).is_none());
        let before = self.waiting.len();
        self.waiting.extend(new.take(self.room).cloned());
        self.room -= self.waiting.len() - before;
    }
}
