//! Memos that carry invisible characters, and memos that name a checkout by mistake: seen, named to people, never confirmed alone.

use crate::support::backend::DUE;
use crate::support::books::{Books, credited, ingested, signature};
use crate::support::ledger::Entry;
use crate::support::scripted::{Daemon, Scripted};
use crate::support::server::{Said, Server};
use crate::support::{World, eventually};
use paywatch::domain::{
    AmountRule, BaseUnits, Checkout, CheckoutStatus, Commitment, Decimals, Explanation, Held,
    Known, Matched, Memo, Payees, Policy, Rules, Signature, TokenAccount, TokenProgram,
    Transaction, Verdict, WatchList, Watched, explain,
};
use paywatch::notify::Notify;
use paywatch::report::stage_words;
use paywatch::solana::Fetched;
use paywatch::store::{Filter, Stage};
use reqwest::header;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

const MEMO: &str = "122c597083bd438b7f6d72af75d02594";
const HYPHENS: &str = "122c5970-83bd-438b-7f6d-72af75d02594";

/// An answer that was seen in the field. Each would pay the checkout but for its memo or its recipient.
fn field(name: &str) -> Transaction {
    let file = format!("tests/fixtures/field/{name}.answer.json");
    let text = std::fs::read_to_string(&file).unwrap();
    match Fetched::from_saved(&text) {
        Ok(Fetched::Transaction(transaction)) => *transaction,
        other => panic!("{file}: {other:?}"),
    }
}

/// As paywatch explains it that watches the shop's account and knows its one checkout.
fn explained(transaction: &Transaction) -> Explanation {
    let wallet = "DUnzHip8r7Mek12GQt3X4krW83xi9nbHXnD7guhDyd2U"
        .parse()
        .unwrap();
    let mint = "3fvwqrjuHmqhi8J7y6QksSPXAm8wKgUbh2ydtXQkCA9r"
        .parse()
        .unwrap();
    let token_account: TokenAccount = "AwhT1SqgbKs22bcpMUzpguM2bSdx3dVe8bSSJT1YZvmV"
        .parse()
        .unwrap();
    let watch_list: WatchList = [Watched {
        token_account,
        wallet,
        mint,
        token_program: TokenProgram::Token,
        decimals: Decimals::new(6).unwrap(),
        symbol: "USDC".into(),
    }]
    .into_iter()
    .collect();
    let checkout = Checkout {
        memo: Memo::parse(MEMO).unwrap(),
        amount: Some(BaseUnits(19_000_000)),
        mint: Some(mint),
        recipient: Some(wallet),
        status: CheckoutStatus::Pending,
        created_at: None,
    };
    let known = Known {
        checkouts: vec![checkout.clone()],
        asking: vec![checkout],
        ..Known::default()
    };
    let token_account = watch_list.iter().next().unwrap().token_account;
    let payees = Payees {
        wallets: BTreeSet::from([wallet]),
        token_accounts: BTreeSet::from([token_account]),
    };
    let rules = Rules::new(Policy::default(), watch_list.clone());
    explain(transaction, &watch_list, &payees, Some(&known), &rules)
}

#[test]
fn a_memo_with_invisible_characters_at_its_ends_is_matched() {
    for name in [
        "tx-memo-byte-order-mark-in-front",
        "tx-memo-zero-width-space-in-front",
    ] {
        let explanation = explained(&field(name));
        let verdict = explanation.credits[0].verdict.as_ref();
        let Some(Verdict::Matched(Matched::Confirm { memo, .. })) = verdict else {
            panic!("{name}: {verdict:?}");
        };
        assert_eq!(memo.as_str(), MEMO, "{name}");
    }
}

#[test]
fn a_memo_that_contains_a_checkouts_is_held_and_names_it() {
    for name in ["tx-memo-solana-pay-link", "tx-memo-uuid-hyphens"] {
        let explanation = explained(&field(name));
        let credit = &explanation.credits[0];
        assert_eq!(
            credit.verdict,
            Some(Verdict::Held(Held::UnknownMemo)),
            "{name}"
        );
        assert_eq!(credit.meant, Memo::parse(MEMO), "{name}");
        let why = &credit.reason.why;
        assert!(
            why.contains(&format!("Did they mean checkout {MEMO}?")),
            "{why}"
        );
    }
}

#[test]
fn tokens_sent_to_a_token_account_as_if_it_were_a_wallet_are_explained() {
    let explanation = explained(&field("tx-into-account-of-a-token-account"));
    assert!(explanation.credits.is_empty());
    let reason = explanation.nothing.unwrap();
    let part = "its owner is our token account AwhT1SqgbKs22bcpMUzpguM2bSdx3dVe8bSSJT1YZvmV";
    assert!(reason.why.contains(part), "{}", reason.why);
    assert!(reason.advice.contains("RecoverNested"), "{}", reason.advice);
}

/// Waits until a checkout is known.
async fn is_known(daemon: &Daemon, memo: &str) {
    let memo = Memo::parse(memo).unwrap();
    eventually("the checkout is known", async || {
        daemon.store.stage(&memo).await.unwrap().is_some()
    })
    .await;
}

/// Lands a payment with this memo, and waits until it is held for it.
async fn held(scripted: &Scripted, daemon: &Daemon, amount: u64, memo: &str) -> Signature {
    let entry = Entry::paid(scripted.chain.slot(), amount, memo);
    let signature = scripted.chain.ledger().land(entry);
    daemon.judges(signature, "unknown_memo").await;
    signature
}

async fn meant(daemon: &Daemon, signature: Signature) -> Option<String> {
    let payment = daemon.payment(signature).await.unwrap();
    let meant = daemon.store.meant_by(&payment).await.unwrap();
    meant.map(|checkout| checkout.memo.as_str().to_owned())
}

async fn stage(daemon: &Daemon, memo: &str) -> Stage {
    let memo = Memo::parse(memo).unwrap();
    daemon.store.stage(&memo).await.unwrap().unwrap().1
}

#[tokio::test(flavor = "multi_thread")]
async fn the_one_checkout_of_that_amount_is_named_and_its_buyer_is_not_asked_to_pay_again() {
    let scripted = Scripted::with(1).await;
    let _running = scripted.chain.run();
    scripted.backend().checkout(MEMO.into());
    scripted.backend().checkout("f".repeat(32));
    let daemon = scripted.watch(&[]).await;
    is_known(&daemon, MEMO).await;
    is_known(&daemon, &"f".repeat(32)).await;
    let other_amount = held(&scripted, &daemon, DUE - 1, HYPHENS).await;
    assert_eq!(meant(&daemon, other_amount).await, None, "another amount");
    assert_eq!(stage(&daemon, MEMO).await, Stage::Waiting);
    let signature = held(&scripted, &daemon, DUE, HYPHENS).await;
    assert_eq!(meant(&daemon, signature).await.as_deref(), Some(MEMO));
    let needs_help = Stage::NeedsHelp {
        signature: signature.to_string(),
        reason: Some(Held::UnknownMemo),
    };
    let told = stage(&daemon, MEMO).await;
    assert_eq!(told, needs_help);
    for part in ["with another memo", "do not pay again"] {
        assert!(stage_words(&told).contains(part), "{}", stage_words(&told));
    }
    assert_eq!(stage(&daemon, &"f".repeat(32)).await, Stage::Waiting);
    // A buyer who pays again all the same, and rightly, is confirmed; from then on the checkout is nobody else's.
    let entry = Entry::paid(scripted.chain.slot(), DUE, MEMO);
    let paid = (MEMO.to_owned(), scripted.chain.ledger().land(entry));
    scripted.confirmed("the right memo", &paid).await;
    assert_eq!(meant(&daemon, signature).await, None);
    assert_eq!(scripted.told_of(signature), 0, "never confirmed by itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_checkouts_that_resemble_it_none_is_named() {
    let scripted = Scripted::with(1).await;
    let _running = scripted.chain.run();
    for memo in ["order-1001", "order-1002"] {
        scripted.backend().checkout(memo.into());
    }
    let daemon = scripted.watch(&[]).await;
    is_known(&daemon, "order-1001").await;
    is_known(&daemon, "order-1002").await;
    let signature = held(&scripted, &daemon, DUE, "order-1003").await;
    assert_eq!(meant(&daemon, signature).await, None);
    for memo in ["order-1001", "order-1002"] {
        assert_eq!(stage(&daemon, memo).await, Stage::Waiting, "{memo}");
    }
}

/// An invisible character in the middle is no part of the checkout's memo: held, shown, and the checkout named.
#[tokio::test(flavor = "multi_thread")]
async fn an_invisible_character_inside_is_shown_to_people() {
    let scripted = Scripted::with(1).await;
    let _running = scripted.chain.run();
    scripted.backend().checkout(MEMO.into());
    let daemon = scripted.watch(&[]).await;
    is_known(&daemon, MEMO).await;
    let memo = MEMO.replacen("83bd", "83\u{200b}bd", 1);
    let signature = held(&scripted, &daemon, DUE, &memo).await;
    let payment = daemon.payment(signature).await.unwrap();
    let shown = payment.memos[0].to_string();
    assert_eq!(shown, MEMO.replacen("83bd", "83\\u{200b}bd", 1));
    assert_eq!(meant(&daemon, signature).await.as_deref(), Some(MEMO));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_notice_names_it() {
    let scripted = Scripted::with(1).await;
    let _running = scripted.chain.run();
    scripted.backend().checkout(MEMO.into());
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let hearing = heard.clone();
    let listener = Server::start(move |asked| {
        let body = String::from_utf8_lossy(&asked.body).into_owned();
        hearing.lock().unwrap().push(body);
        Said::Status(200, None)
    })
    .await;
    let changes = [
        ("NOTIFY__URL", listener.url.as_str()),
        ("NOTIFY__FORMAT", "slack"),
        ("NOTIFY__HELD_AFTER", "1s"),
    ];
    let pipeline = scripted.pipeline(&changes).await;
    let daemon = scripted.run(&pipeline).await;
    is_known(&daemon, MEMO).await;
    let settings = pipeline.config.notify.clone().unwrap();
    let mut notify = Notify::new(pipeline, settings).unwrap();
    // It tells what happens from its first look on.
    notify.step().await.unwrap();
    held(&scripted, &daemon, DUE, HYPHENS).await;
    let question = format!("Did they mean checkout {MEMO}?");
    let is_asked = || {
        let heard = heard.lock().unwrap();
        heard.iter().any(|text| text.contains(&question))
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_asked() {
        assert!(Instant::now() < deadline, "{:?}", heard.lock().unwrap());
        tokio::time::sleep(Duration::from_millis(200)).await;
        notify.step().await.unwrap();
    }
}

/// On pages, in `explain`, and in the form that a person decides with.
#[tokio::test(flavor = "multi_thread")]
async fn pages_name_it_and_the_form_offers_it() {
    let world = World::new().await;
    let file = world.folder.path().join("token");
    std::fs::write(&file, "open sesame\n").unwrap();
    let settings = [
        ("OPS__TOKEN_FILE", file.to_str().unwrap()),
        ("OPS__PAY_PAGES", "true"),
    ];
    let daemon = world.watch(&settings).await;
    let root = daemon.ops().await;
    let checkout = world.checkout(&world.usdc).await;
    let memo = format!("for {} please", checkout.memo.to_uppercase());
    let signature = world.pay(checkout.amount, &memo).await;
    world.wait_verdict(signature, "unknown_memo").await;
    eventually("its checkout is known", async || {
        let buyers = world.http.get(format!("{root}/pay/{}", checkout.memo));
        let text = buyers.send().await.unwrap().text().await.unwrap();
        text.contains("Please do not pay again") && !text.contains("Open in a wallet")
    })
    .await;
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let http = http.build().unwrap();
    let sign_in = http.post(format!("{root}/sign-in"));
    let sign_in = sign_in
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header("sec-fetch-site", "same-origin")
        .body("name=Ann&token=open+sesame&next=%2Fpayments");
    let answer = sign_in.send().await.unwrap();
    let cookie = answer.headers()[header::SET_COOKIE]
        .to_str()
        .unwrap()
        .to_owned();
    let get = async |path: String| {
        let request = http
            .get(format!("{root}{path}"))
            .header(header::COOKIE, &cookie);
        request.send().await.unwrap().text().await.unwrap()
    };
    let page = get(format!("/payments/{signature}")).await;
    assert!(page.contains("<dt>Did they mean</dt>"), "{page}");
    assert!(
        page.contains(&format!("Did they mean checkout {}?", checkout.memo)),
        "{page}"
    );
    let account = &world.recorded(signature).await[0].token_account;
    let form = get(format!("/payments/{signature}/{account}/confirm")).await;
    assert!(
        form.contains(&format!("value=\"{}\"", checkout.memo)),
        "{form}"
    );
    assert!(form.contains("Did they mean this one?"), "{form}");
}

/// Under `policy.amount = "at_least"` more than is due is enough, by the store and in the explanation.
#[tokio::test]
async fn a_checkout_that_asks_for_less_is_named_where_more_is_enough() {
    for (rule, named) in [(AmountRule::Exact, 1), (AmountRule::AtLeast, 2)] {
        let books = Books::with(&[MEMO]).await;
        let store = books.store.clone().taking(rule);
        let memo = format!("Order {MEMO}");
        for (byte, amount) in [(1, DUE - 1), (2, DUE), (3, 100 * DUE)] {
            let one = ingested(byte, 5, Commitment::Confirmed, credited(&memo, amount));
            books.record(one).await;
        }
        let mut found = 0;
        for payment in store.payments(&Filter::newest(10)).await.unwrap() {
            let meant = store.meant_by(&payment).await.unwrap();
            found += usize::from(meant.is_some_and(|one| one.memo.as_str() == MEMO));
        }
        assert_eq!(found, named, "{rule:?}");
        let stage = store.stage(&Memo::parse(MEMO).unwrap()).await;
        let (_, stage) = stage.unwrap().unwrap();
        let newest = if rule == AmountRule::Exact { 2 } else { 3 };
        assert_eq!(
            stage.signature(),
            Some(signature(newest).to_string().as_str())
        );
    }
}
