//! What a node is asked.

use super::burden::{Burden, Limits};
use super::error::{Error, code};
use super::hosts;
use super::sender::{Sender, Whom};
use super::wire::{self, SignatureEntry, SignatureStatus, Unreadable};
use crate::domain::{Commitment, Signature, Slot, TokenAccount, Transaction};
use crate::http::{self, Exchange};
use serde_json::{Value, json};
use solana_client::{
    nonblocking::rpc_client::RpcClient, rpc_client::RpcClientConfig, rpc_request::RpcRequest,
    rpc_sender::RpcSender,
};
use std::{sync::Arc, time::Duration};
use url::Url;

/// The nodes of one network, behind one set of limits. Cheap to clone.
#[derive(Clone)]
pub struct Rpc {
    sender: Sender,
    all: Arc<RpcClient>,
    /// One for each host.
    witnesses: Arc<[Sender]>,
}

/// What `getTransaction` gave.
#[derive(Debug)]
pub enum Fetched {
    /// The transaction.
    Transaction(Box<Transaction>),
    /// Null: this node does not have it yet. Never "not found".
    NotYet,
    /// It is there and cannot be read; asking again soon is useless.
    Unreadable(String),
}

impl Fetched {
    fn is_not_yet(&self) -> bool {
        matches!(self, Self::NotYet)
    }

    pub(super) fn unknown_version() -> Self {
        Self::Unreadable("a transaction version that this program does not know".into())
    }
}

impl From<Result<Transaction, Unreadable>> for Fetched {
    fn from(read: Result<Transaction, Unreadable>) -> Self {
        match read {
            Ok(transaction) => Self::Transaction(Box::new(transaction)),
            Err(why) => Self::Unreadable(why.to_string()),
        }
    }
}

impl Rpc {
    /// Most signatures in one page of history.
    pub const PAGE: usize = 1000;
    /// How long a rate limit is waited out where nobody looks on.
    const RATE_LIMIT_PATIENCE: Duration = Duration::from_mins(3);
    /// Most signatures in one question for statuses.
    pub const STATUSES_MAX: usize = 256;

    /// A client for these endpoints, the first preferred. Opens no connection yet.
    ///
    /// # Errors
    /// When the TLS configuration of the machine is broken.
    pub fn new(urls: &[Url], limits: Limits) -> Result<Self, reqwest::Error> {
        let network: Arc<dyn Exchange> = Arc::new(http::client(limits.request_timeout).build()?);
        Ok(Self::over(&network, urls, limits))
    }

    /// The same over a network of the caller's, which keeps the deadline of a request.
    #[must_use]
    pub fn over(network: &Arc<dyn Exchange>, urls: &[Url], limits: Limits) -> Self {
        let burden = Burden::new(limits);
        let sender = |urls: &[Url]| Sender::new(network.clone(), urls, burden.clone());
        let all = sender(urls);
        Self {
            all: Arc::new(client(all.clone())),
            sender: all,
            witnesses: hosts(urls)
                .iter()
                .map(|url| sender(std::slice::from_ref(url)))
                .collect(),
        }
    }

    /// The same nodes, asked again for minutes where they say that they are asked too often, more slowly each time.
    #[must_use]
    pub fn patient(&self) -> Self {
        self.with(self.sender.patient(Self::RATE_LIMIT_PATIENCE))
    }

    /// The same nodes; a rate limit is an error like any other, after a few tries.
    #[must_use]
    pub fn impatient(&self) -> Self {
        self.with(self.sender.patient(Duration::ZERO))
    }

    /// Finds out which endpoints answer and keep up; the others are asked last until they do. With a single one there is
    /// nothing to compare.
    pub async fn compare_endpoints(&self) {
        self.sender.compare().await;
    }

    /// How many endpoints there are.
    #[must_use]
    pub fn endpoints(&self) -> usize {
        self.sender.count()
    }

    /// The same endpoints with another one preferred: the one at this place, counted in a circle from the first.
    #[must_use]
    pub fn preferring(&self, index: usize) -> Self {
        self.with(self.sender.begun_at(index))
    }

    /// One endpoint without the others, counted in a circle from the first.
    #[must_use]
    pub fn alone(&self, index: usize) -> Self {
        self.with(self.sender.begun_at(index).alone())
    }

    /// Scheme and host of the preferred endpoint.
    #[must_use]
    pub fn label(&self) -> String {
        self.sender.url()
    }

    /// Tells the preferred endpoint from every other one, also from those of the same host, and shows no key.
    #[must_use]
    pub fn key(&self) -> String {
        self.sender.key()
    }

    /// Whether no endpoint is well: each has failed lately, or lags.
    #[must_use]
    pub fn is_unwell(&self) -> bool {
        self.sender.is_unwell()
    }

    /// Whether each endpoint has failed lately, and is left alone for a while.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        self.sender.is_resting()
    }

    fn with(&self, sender: Sender) -> Self {
        Self {
            all: Arc::new(client(sender.clone())),
            sender,
            witnesses: self.witnesses.clone(),
        }
    }

    /// The error for an answer that cannot be right, whichever node gave it.
    pub(crate) fn malformed(method: &str, expected: &'static str) -> Error {
        Error::Malformed {
            endpoint: "node".into(),
            method: method.into(),
            expected,
        }
    }

    pub(super) async fn ask(&self, request: RpcRequest, params: Value) -> Result<Value, Error> {
        Ok(self.all.send(request, params).await?)
    }

    /// A page of a token account's history at `confirmed`, newest first: what is older than `before` and newer than `until`.
    ///
    /// # Errors
    /// When no node answers; [`Error::is_unknown_anchor`] when the node does not know `before` or `until`.
    pub async fn signatures(
        &self,
        token_account: TokenAccount,
        before: Option<Signature>,
        until: Option<Signature>,
    ) -> Result<Vec<SignatureEntry>, Error> {
        let mut options = json!({ "commitment": "confirmed", "limit": Self::PAGE });
        if let Some(before) = before {
            options["before"] = before.to_string().into();
        }
        if let Some(until) = until {
            options["until"] = until.to_string().into();
        }
        let params = json!([token_account.to_string(), options]);
        let request = RpcRequest::GetSignaturesForAddress;
        self.sender.ask(request, &params, &wire::signatures).await
    }

    /// One transaction.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn transaction(
        &self,
        signature: Signature,
        at: Commitment,
    ) -> Result<Fetched, Error> {
        Self::ask_transaction(&self.sender, signature, at).await
    }

    /// The same, asking one endpoint after the other until one has it.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn transaction_anywhere(
        &self,
        signature: Signature,
        at: Commitment,
    ) -> Result<Fetched, Error> {
        let params = transaction_params(signature, at);
        let (read, has_it) = (told(signature), |told: &Fetched| !told.is_not_yet());
        let asked = self.sender.ask_round(
            RpcRequest::GetTransaction,
            &params,
            &read,
            Whom::Well,
            has_it,
        );
        or_unknown_version(asked.await)
    }

    /// One transaction, asking one endpoint after the other until one gives it so that it can be read. If none does, the answer of
    /// the first.
    ///
    /// # Errors
    /// When no node answers.
    pub(crate) async fn transaction_readable(
        &self,
        signature: Signature,
        at: Commitment,
        whom: Whom,
        is_readable: impl Fn(&Transaction) -> bool,
    ) -> Result<Fetched, Error> {
        let params = transaction_params(signature, at);
        let read = told(signature);
        let is_enough =
            |told: &Fetched| matches!(told, Fetched::Transaction(one) if is_readable(one));
        let asked =
            self.sender
                .ask_round(RpcRequest::GetTransaction, &params, &read, whom, is_enough);
        or_unknown_version(asked.await)
    }

    /// How many different hosts can be asked.
    #[must_use]
    pub fn hosts(&self) -> usize {
        self.witnesses.len()
    }

    /// One transaction, as each host tells it by itself; what a host does not answer is left out.
    pub async fn testimonies(&self, signature: Signature, at: Commitment) -> Vec<Fetched> {
        let asked = self
            .witnesses
            .iter()
            .map(|witness| Self::ask_transaction(witness, signature, at));
        let told = futures_util::future::join_all(asked).await;
        told.into_iter().filter_map(Result::ok).collect()
    }

    /// The same of a transaction that was seen in this slot. A host that has nothing of it, and whose history does not reach back
    /// so far, is left out, too: it may have had it once.
    pub async fn testimonies_back_to(
        &self,
        slot: Slot,
        signature: Signature,
        at: Commitment,
    ) -> Vec<Fetched> {
        let asked = self.witnesses.iter().map(async |witness| {
            let told = Self::ask_transaction(witness, signature, at).await.ok()?;
            let knows = !told.is_not_yet() || Self::ask_oldest_slot(witness).await.ok()? <= slot;
            knows.then_some(told)
        });
        let told = futures_util::future::join_all(asked).await;
        told.into_iter().flatten().collect()
    }

    async fn ask_transaction(
        sender: &Sender,
        signature: Signature,
        at: Commitment,
    ) -> Result<Fetched, Error> {
        let (params, read) = (transaction_params(signature, at), told(signature));
        let asked = sender.ask(RpcRequest::GetTransaction, &params, &read);
        or_unknown_version(asked.await)
    }

    async fn ask_oldest_slot(sender: &Sender) -> Result<Slot, Error> {
        let request = RpcRequest::GetFirstAvailableBlock;
        sender.ask(request, &json!([]), &wire::slot).await
    }

    /// The oldest slot whose block the node still has.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn oldest_slot(&self) -> Result<Slot, Error> {
        Self::ask_oldest_slot(&self.sender).await
    }

    /// What the node knows of up to [`Self::STATUSES_MAX`] signatures, in their order.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn statuses(
        &self,
        signatures: &[Signature],
    ) -> Result<Vec<Option<SignatureStatus>>, Error> {
        let list: Vec<String> = signatures.iter().map(ToString::to_string).collect();
        let params = json!([list, { "searchTransactionHistory": true }]);
        let answer = self.ask(RpcRequest::GetSignatureStatuses, params).await?;
        wire::statuses(&answer)
            .filter(|statuses| statuses.len() == signatures.len())
            .ok_or_else(|| Self::malformed("getSignatureStatuses", "a list of statuses"))
    }

    /// The newest slot at a commitment.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn slot(&self, at: Commitment) -> Result<Slot, Error> {
        let answer = self
            .ask(RpcRequest::GetSlot, json!([{ "commitment": at.as_str() }]))
            .await?;
        answer
            .as_u64()
            .ok_or_else(|| Self::malformed("getSlot", "a slot"))
    }

    /// The newest slot that the node processes. It says what may still come, and nothing about payments.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn newest_slot(&self) -> Result<Slot, Error> {
        let params = json!([{ "commitment": "processed" }]);
        let answer = self.ask(RpcRequest::GetSlot, params).await?;
        answer
            .as_u64()
            .ok_or_else(|| Self::malformed("getSlot", "a slot"))
    }
}

fn client(sender: Sender) -> RpcClient {
    RpcClient::new_sender(sender, RpcClientConfig::default())
}

fn transaction_params(signature: Signature, at: Commitment) -> Value {
    let options = json!({ "encoding": "base64", "commitment": at.as_str(), "maxSupportedTransactionVersion": 1 });
    json!([signature.to_string(), options])
}

fn told(signature: Signature) -> impl Fn(&str) -> Option<Fetched> + Send + Sync {
    move |result| {
        Some(match wire::transaction(signature, result)? {
            Some(read) => read.into(),
            None => Fetched::NotYet,
        })
    }
}

/// A node that does not know a transaction's version knows the transaction.
fn or_unknown_version(asked: Result<Fetched, Error>) -> Result<Fetched, Error> {
    match asked {
        Err(error) if error.code() == Some(code::UNSUPPORTED_TRANSACTION_VERSION) => {
            Ok(Fetched::unknown_version())
        }
        asked => asked,
    }
}

impl Error {
    /// Whether the node does not know the signature that a page of history was to start or end at.
    #[must_use]
    pub fn is_unknown_anchor(&self) -> bool {
        matches!(
            self.code(),
            Some(code::UNKNOWN_ANCHOR | code::INVALID_PARAMS)
        )
    }
}
