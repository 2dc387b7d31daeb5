//! What the fuzz targets share: a network that answers every question with the same bytes, and virtual time, so that pauses between
//! tries cost nothing.

use async_trait::async_trait;
use paywatch::http::{Exchange, Fault, Reply, Request};
use reqwest::StatusCode;
use std::{future::Future, sync::Arc};

/// Answers whatever is asked with this body.
#[derive(Debug)]
pub struct Parrot(pub Vec<u8>);

#[async_trait]
impl Exchange for Parrot {
    async fn exchange(&self, _request: Request) -> Result<Reply, Fault> {
        Ok(Reply {
            status: StatusCode::OK,
            retry_after: None,
            redirect: None,
            body: self.0.clone(),
        })
    }
}

/// A network that answers with this body.
#[must_use]
pub fn network(body: &[u8]) -> Arc<dyn Exchange> {
    Arc::new(Parrot(body.to_vec()))
}

/// Runs in virtual time, on a runtime that is made once.
pub fn run<T>(story: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
    }
    RUNTIME.with(|runtime| runtime.block_on(story))
}
