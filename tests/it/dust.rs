//! Dust (`policy.dust_below`): payments too small to matter that match nothing are recorded and counted, and need nobody.

use crate::support::books::{
    Books, NOW, account, checkout, credited, ingested, memo, page, rules, signature, watched,
};
use crate::support::ledger::Entry;
use crate::support::scripted::Scripted;
use paywatch::domain::{BaseUnits, Checkout, Commitment, Limit, Policy, TokenName};
use paywatch::pipeline::{Backfill, LogLines};
use paywatch::store::{Decision, Filter, PaymentState, Reading, Which};
use std::{collections::HashSet, sync::Arc};
use tokio_util::sync::CancellationToken;

/// What is below 0.05 USDC is dust.
const LIMIT: u64 = 50_000;

fn policy(dust_below: &str) -> Policy {
    let limit = Limit {
        token: TokenName::parse("usdc"),
        amount: dust_below.into(),
    };
    Policy {
        dust_below: vec![limit],
        ..Policy::default()
    }
}

async fn books() -> Books {
    let mut books = Books::open().await;
    books.rules = rules(policy("0.05"));
    books
}

async fn record(books: &Books, byte: u8, text: &str, amount: u64) {
    let one = ingested(byte, 5, Commitment::Confirmed, credited(text, amount));
    books.record(one).await;
}

async fn states(books: &Books) -> Vec<PaymentState> {
    let payments = books.store.payments(&Filter::newest(10)).await.unwrap();
    payments.iter().rev().map(|one| one.state).collect()
}

#[tokio::test]
async fn dust_is_listed_and_counted_and_nobody_is_told() {
    let books = books().await;
    // The first look: what is recorded from now on is told.
    books.store.unnoticed(|_| true, NOW, NOW).await.unwrap();
    record(&books, 1, "spam", LIMIT - 1).await;
    record(&books, 2, "no spam", LIMIT).await;
    let unreadable = Reading::Unreadable("no balances".into());
    books
        .record(ingested(3, 5, Commitment::Confirmed, unreadable))
        .await;
    let expected = [PaymentState::Dust, PaymentState::Held, PaymentState::Held];
    assert_eq!(states(&books).await, expected);
    let held = books.store.held().await.unwrap();
    let held: Vec<_> = held
        .iter()
        .map(|one| (one.verdict.as_str(), one.payments))
        .collect();
    assert_eq!(held, [("unknown_memo", 1), ("unreadable", 1)]);
    assert_eq!(books.store.count_dust().await.unwrap(), 1);
    let tally = books.store.tally(0..=9).await.unwrap();
    assert!(
        tally
            .iter()
            .any(|one| (one.verdict.as_str(), one.payments) == ("dust", 1))
    );
    let told = books.store.unnoticed(|_| true, NOW, NOW).await.unwrap();
    let told: Vec<_> = told
        .facts
        .iter()
        .map(|fact| &fact.payment.signature)
        .collect();
    assert_eq!(told, [&signature(2).to_string(), &signature(3).to_string()]);
    let filter = Filter {
        state: Some(PaymentState::Dust),
        ..Filter::newest(10)
    };
    let listed = books.store.payments(&filter).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].signature, signature(1).to_string());
    assert_eq!(books.store.audit().await.unwrap(), []);
}

/// A checkout of that amount becomes known, or a person decides.
#[tokio::test]
async fn dust_that_pays_a_checkout_is_no_dust() {
    let books = books().await;
    record(&books, 1, "cheap", 7).await;
    record(&books, 2, "a typo", 7).await;
    let cheap = |text| Checkout {
        amount: Some(BaseUnits(7)),
        ..checkout(text)
    };
    let both = [cheap("cheap"), cheap("other")];
    books
        .store
        .upsert_checkouts(&both, page(), NOW)
        .await
        .unwrap();
    let judged = books.store.rejudge(&books.rules, NOW).await.unwrap();
    assert_eq!(judged.len(), 1);
    let (which, by) = (
        Which {
            signature: signature(2),
            token_account: None,
        },
        Decision {
            actor: "ada".into(),
            reason: "a typo".into(),
        },
    );
    let other = memo("other");
    let confirmed = books.store.confirm_by_hand(which, &other, &by, NOW);
    confirmed.await.unwrap();
    assert_eq!(states(&books).await, [PaymentState::Queued; 2]);
    assert_eq!(books.store.count_dust().await.unwrap(), 0);
    assert_eq!(books.store.audit().await.unwrap(), []);
}

/// A buyer waits for it, however small it is: 0.04 for a checkout of 0.03, say.
#[tokio::test]
async fn what_names_a_checkout_is_no_dust() {
    let mut books = books().await;
    books.store.unnoticed(|_| true, NOW, NOW).await.unwrap();
    let cheap = Checkout {
        amount: Some(BaseUnits(30_000)),
        ..checkout("cheap")
    };
    let both = [cheap, checkout("a")];
    let upserted = books.store.upsert_checkouts(&both, page(), NOW).await;
    upserted.unwrap();
    record(&books, 1, "cheap", 40_000).await;
    record(&books, 2, "a", 1).await;
    record(&books, 3, "cheap", 30_000).await;
    record(&books, 4, "cheap", 30_000).await;
    for limit in ["0.05", "0.049"] {
        books.rules = rules(policy(limit));
        books.store.weigh_again(&books.rules).await.unwrap();
        let (queued, held) = (PaymentState::Queued, PaymentState::Held);
        assert_eq!(states(&books).await, [held, held, queued, held], "{limit}");
    }
    let held = books.store.held().await.unwrap();
    let words: HashSet<_> = held.iter().map(|one| one.verdict.as_str()).collect();
    let expected = HashSet::from(["overpaid", "underpaid", "already_paid"]);
    assert_eq!(words, expected);
    let told = books.store.unnoticed(|_| true, NOW, NOW).await.unwrap();
    assert_eq!(told.facts.len(), 3, "somebody is told of each");
    let (_, stage) = books.store.stage(&memo("a")).await.unwrap().unwrap();
    assert_eq!(stage.as_str(), "needs help");
}

#[tokio::test]
async fn another_limit_counts_for_what_is_held_already() {
    let mut books = Books::open().await;
    for (byte, amount) in [(1, 9), (2, LIMIT - 1), (3, LIMIT), (4, 100_000)] {
        record(&books, byte, "spam", amount).await;
    }
    for (limit, dust) in [
        ("0.05", 2),
        ("0.05", 2),
        ("0.050001", 3),
        ("0", 0),
        ("1", 4),
    ] {
        books.rules = rules(policy(limit));
        books.store.weigh_again(&books.rules).await.unwrap();
        assert_eq!(books.store.count_dust().await.unwrap(), dust, "{limit}");
    }
    books.rules = rules(Policy::default());
    assert_eq!(books.store.weigh_again(&books.rules).await.unwrap(), 4);
    assert_eq!(books.store.count_dust().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_that_finds_dust_alone_needs_nobody() {
    let scripted = Scripted::with(1).await;
    let spam = Entry::paid(scripted.chain.slot(), LIMIT - 1, "spam");
    scripted.chain.ledger().land(spam);
    scripted.chain.advance(40);
    for (limit, word) in [("0.05", "dust"), ("0.04", "unknown_memo")] {
        let changes = [("POLICY__DUST_BELOW__USDC", limit)];
        let mut backfill = Backfill::new(scripted.pipeline(&changes).await);
        backfill.since = Some("10years".parse().unwrap());
        let (progress, stop) = (Arc::new(LogLines::default()), CancellationToken::new());
        let report = backfill.run(progress, &stop).await.unwrap();
        let verdicts: Vec<_> = report.verdicts.iter().map(|one| &one.verdict).collect();
        assert_eq!(verdicts, [word], "{limit}");
        assert_eq!(report.needs_a_person(), word != "dust");
    }
}

/// Accounts beyond `watch.max_accounts` are ranked by what they received: 31 payments of one base unit must not push one out.
#[tokio::test]
async fn neither_dust_nor_what_is_dismissed_raises_an_account() {
    let books = books().await;
    let watched = [watched(account())].into_iter().collect();
    books.store.remember_watched(&watched, NOW).await.unwrap();
    let held = async || books.store.receipts().await.unwrap()[&account()].held;
    record(&books, 1, "spam", LIMIT - 1).await;
    assert_eq!(held().await, 0, "dust");
    record(&books, 2, "no spam", LIMIT).await;
    record(&books, 3, "more", 9 * LIMIT).await;
    record(&books, 4, "less", LIMIT + 1).await;
    assert_eq!(held().await, 9 * LIMIT, "the largest, as a number");
    let which = Which {
        signature: signature(3),
        token_account: None,
    };
    let by = Decision {
        actor: "ada".into(),
        reason: "a gift".into(),
    };
    books.store.dismiss(which, &by, NOW).await.unwrap();
    assert_eq!(held().await, LIMIT + 1, "dismissed");
}
