//! Every way money can arrive: the corpus of transactions in `tests/fixtures/transactions`.
//!
//! Each is a raw answer of a node with what paywatch must see of it as data beside it. `make fixtures` makes them anew.

mod absent;
mod built;
mod by_hand;
mod case;
mod fixture;
mod judged;
mod memos;
mod opinion;
mod ownership;
mod plain;
mod shapes;
mod studio;
mod token_2022;

use fixture::Landed;
use std::collections::BTreeSet;
use studio::Studio;

/// Set by `make fixtures`: what is landed is written into the folder.
const WRITE: &str = "PAYWATCH_WRITE_FIXTURES";

#[tokio::test]
async fn every_transaction_of_the_corpus_is_read_and_judged_as_expected() {
    let all = fixture::all();
    assert!(all.len() >= 80, "{} transactions", all.len());
    for (name, answer, expected) in &all {
        fixture::check(name, answer, expected).await;
    }
}

/// The second opinion: each transaction that a running network can make is made again, and compared with what that network
/// says of balances and transfers.
#[tokio::test(flavor = "multi_thread")]
async fn the_network_agrees_with_what_is_expected() {
    let write = std::env::var_os(WRITE).is_some();
    let seed = if write {
        "corpus".to_owned()
    } else {
        format!("{:x}", rand::random::<u64>())
    };
    let studio = Studio::set(crate::support::localnet(), &seed).await;
    let landed = land_all(&studio).await;
    for one in &landed {
        if write {
            one.write();
        }
        one.check().await;
    }
    let names: BTreeSet<_> = landed.iter().map(|one| one.case.name.to_owned()).collect();
    let files: BTreeSet<_> = fixture::all()
        .into_iter()
        .map(|(name, _, _)| name)
        .collect();
    assert_eq!(names.len(), landed.len(), "a name stands for two cases");
    assert_eq!(names, files, "make fixtures brings the folder up to date");
}

async fn land_all(studio: &Studio) -> Vec<Landed> {
    let mut all = plain::land(studio).await;
    all.extend(shapes::land(studio).await);
    all.extend(memos::land(studio).await);
    all.extend(judged::land(studio).await);
    all.extend(token_2022::land(studio).await);
    all.extend(ownership::land(studio).await);
    all.extend(built::land(studio));
    all
}
