//! `paywatch payments`: what a person sees and decides, beside a running daemon.

use crate::support::{Child, Mode, PRICE, Proxy, World, eventually, exit_of, said};
use localnet::{Keypair, Signature, Signer};
use serde_json::Value;
use std::{process::Output, time::Duration};

impl World {
    fn payments(&self, args: &[&str]) -> Output {
        exit_of(&self.environment(), &[&["payments"], args].concat())
    }

    #[track_caller]
    fn payments_json(&self, args: &[&str]) -> Value {
        let output = self.payments(&[args, &["--json"]].concat());
        assert!(output.status.success(), "{}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    #[track_caller]
    fn decides(&self, args: &[&str]) {
        let output = self.payments(&[args, &["--by", "ada"]].concat());
        assert!(output.status.success(), "{}", said(&output));
    }

    /// Pays for one of two checkouts, with the memos of both: a person must decide.
    async fn pays_with_two_memos(&self) -> (String, Signature) {
        let (first, second) = (
            self.checkout(&self.usdc).await,
            self.checkout(&self.usdc).await,
        );
        let mut payment = self.payment(PRICE, &first.memo);
        payment.memos_after.push(second.memo);
        let signature = self.net.pay(&payment).await.unwrap();
        self.wait_verdict(signature, "several_checkouts").await;
        (first.memo, signature)
    }

    async fn is_confirmed(&self, memo: &str) -> bool {
        self.session(memo).await["status"] == 1
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_payment_is_confirmed_by_hand_and_its_timeline_tells_all() {
    let world = World::new().await;
    let _daemon = world.watch(&[]).await;
    let (memo, signature) = world.pays_with_two_memos().await;
    let text = signature.to_string();
    world.decides(&[
        "confirm",
        &text,
        "--checkout",
        &memo,
        "--reason",
        "the buyer says so",
    ]);
    eventually("it is confirmed", async || world.is_confirmed(&memo).await).await;
    world.wait_acknowledged(signature).await;
    let mut events = Vec::new();
    eventually("it is finalized", async || {
        let shown = world.payments_json(&["show", &text]);
        events = shown[0]["timeline"].as_array().unwrap().clone();
        shown[0]["chain_state"] == "finalized"
    })
    .await;
    let words: Vec<_> = events
        .iter()
        .map(|event| event["event"].as_str().unwrap())
        .collect();
    for word in ["seen", "judged", "confirm", "attempted", "finalized"] {
        assert!(words.contains(&word), "{word} in {words:?}");
    }
    let decided = events
        .iter()
        .find(|event| event["event"] == "confirm")
        .unwrap();
    assert_eq!(decided["actor"], "ada");
    assert_eq!(decided["reason"], "the buyer says so");
    assert_eq!(decided["checkout"], memo);
    let output = world.payments(&["show", &memo]);
    assert!(
        said(&output).contains("confirm for checkout"),
        "{}",
        said(&output)
    );
    world.assert_no_double_confirm().await;
}

/// What a person decided is on the disk when the command returns: the daemon may die at that very moment.
#[tokio::test(flavor = "multi_thread")]
async fn a_decision_survives_the_daemons_death() {
    let world = World::new().await;
    let daemon = world.watch(&[]).await;
    let (memo, confirmed) = world.pays_with_two_memos().await;
    let (other, dismissed) = world.pays_with_two_memos().await;
    world.decides(&[
        "confirm",
        &confirmed.to_string(),
        "--checkout",
        &memo,
        "--reason",
        "x",
    ]);
    world.decides(&["dismiss", &dismissed.to_string(), "--reason", "refunded"]);
    daemon.kill();
    let _daemon = world.watch(&[]).await;
    eventually("it is confirmed", async || world.is_confirmed(&memo).await).await;
    assert_eq!(
        world.recorded(dismissed).await[0].state.as_str(),
        "dismissed"
    );
    assert!(!world.is_confirmed(&other).await);
    world.assert_no_double_confirm().await;
}

/// Killed at any moment, a decision is made whole or not at all: never a dismissal without its reason, nor the other way round.
#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_is_killed_is_made_whole_or_not_at_all() {
    const TRIES: u32 = 24;
    let world = World::new().await;
    let _daemon = world.watch(&[]).await;
    let mut signatures = Vec::new();
    for _ in 0..TRIES {
        let mut payment = world.payment(PRICE, &format!("nobody-{}", Keypair::new().pubkey()));
        payment.memos_after.push("x".into());
        signatures.push(world.net.pay(&payment).await.unwrap());
    }
    for signature in &signatures {
        world.wait_verdict(*signature, "unknown_memo").await;
    }
    let (mut delay, mut whole, mut none) = (Duration::from_millis(1), 0, 0);
    for signature in &signatures {
        let text = signature.to_string();
        let args = [
            "payments", "dismiss", &text, "--reason", "why", "--by", "ada",
        ];
        let mut command = Child::command(&world.folder, &world.environment(), &args);
        tokio::time::sleep(delay).await;
        command.end();
        let shown = world.payments_json(&["show", &text]);
        let decisions = shown[0]["timeline"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|event| event["event"] == "dismiss")
            .count();
        // The next one is killed closer to the moment, however fast the machine is now.
        match (shown[0]["state"].as_str().unwrap(), decisions) {
            ("dismissed", 1) => (whole, delay) = (whole + 1, delay.mul_f64(0.8)),
            ("held", 0) => (none, delay) = (none + 1, delay.mul_f64(1.5)),
            half => panic!("{half:?}"),
        }
    }
    assert!(
        whole > 0 && none > 0,
        "{whole} whole, {none} not at all: the delays miss the moment"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_given_up_confirmation_is_retried_by_hand() {
    let world = World::new().await;
    let proxy = Proxy::before(&world.api).await;
    let api = world.api_through(&proxy);
    let _daemon = world
        .watch(&[
            ("MERCHANT__BASE_URL", &api),
            ("MERCHANT__GIVE_UP_AFTER", "1s"),
        ])
        .await;
    let checkout = world.checkout(&world.usdc).await;
    eventually("the daemon knows the checkout", async || {
        said(&world.payments(&["show", &checkout.memo])).contains("is pending, and no payment")
    })
    .await;
    proxy.set(Mode::Status500);
    let signature = world.pay(PRICE, &checkout.memo).await;
    let text = signature.to_string();
    eventually("it is given up", async || {
        world.payments_json(&["list", "--state", "parked"])[0]["signature"] == text
    })
    .await;
    proxy.set(Mode::Pass);
    world.decides(&["retry", &text]);
    world.wait_confirmed(&checkout, signature).await;
    world.assert_no_double_confirm().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_are_listed_as_a_table_as_json_and_as_harmless_csv() {
    let world = World::new().await;
    let _daemon = world.watch(&[]).await;
    let hostile = "=HYPERLINK(\"http://x\",\"y\"),\n\u{1b}[2J";
    let odd = world.pay(7, hostile).await.to_string();
    let (checkout, paid) = world.buy().await;
    world.wait_acknowledged(paid).await;
    world
        .wait_verdict(odd.parse().unwrap(), "unknown_memo")
        .await;

    let table = said(&world.payments(&["list"]));
    for part in [
        "SEEN",
        "acknowledged",
        "unknown_memo",
        "19 USDC",
        "0.000007 USDC",
        &checkout.memo,
        &odd,
    ] {
        assert!(table.contains(part), "{part} in\n{table}");
    }
    assert!(!table.contains('\u{1b}'), "{table}");
    assert_eq!(table.lines().count(), 3, "a line each:\n{table}");

    let json = world.payments_json(&["list", "--verdict", "unknown_memo"]);
    assert_eq!(json.as_array().unwrap().len(), 1);
    assert_eq!(json[0]["memos"][0], hostile, "for machines it is exact");
    let buyer = json[0]["payer"].as_str().unwrap().to_owned();
    let mint = json[0]["mint"].as_str().unwrap().to_owned();
    for (args, count) in [
        (&["--memo", checkout.memo.as_str()][..], 1),
        (&["--payer", &buyer], 2),
        (&["--mint", &mint], 2),
        (&["--since", "1h"], 2),
        (&["--until", "1h"], 0),
        (&["--state", "acknowledged"], 1),
        (&["--limit", "1"], 1),
    ] {
        let listed = world.payments_json(&[&["list"], args].concat());
        assert_eq!(listed.as_array().unwrap().len(), count, "{args:?}");
    }

    let output = world.payments(&["list", "--csv"]);
    let mut reader = csv::Reader::from_reader(output.stdout.as_slice());
    let memos = reader
        .headers()
        .unwrap()
        .iter()
        .position(|name| name == "memos")
        .unwrap();
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(
        &rows[1][memos],
        "'=HYPERLINK(\"http://x\",\"y\"),\\u{a}\\u{1b}[2J"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_decided_is_said_plainly() {
    let world = World::new().await;
    let unknown = "5".repeat(87);
    let output = world.payments(&["list"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("no payment was ever recorded"),
        "{}",
        said(&output)
    );
    let daemon = world.watch(&[]).await;
    for (args, code, part) in [
        (
            &["show", "nobody"][..],
            1,
            "neither a payment nor a checkout",
        ),
        (&["show", &unknown], 1, "paywatch explain"),
        (
            &["dismiss", &unknown, "--reason", "x", "--by", "ada"],
            1,
            "no payment of this transaction is recorded",
        ),
        (
            &["dismiss", &unknown, "--reason", " ", "--by", "ada"],
            64,
            "say why",
        ),
        (&["dismiss", &unknown, "--reason", "x"], 1, "--by NAME"),
        (&["dismiss", &unknown], 64, "--reason"),
        (&["confirm", &unknown, "--reason", "x"], 64, "--checkout"),
        (&["list", "--verdict", "odd"], 64, "already_paid"),
        (&["list", "--since", "soon"], 64, "expected a duration"),
    ] {
        let output = world.payments(args);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{args:?}: {}",
            said(&output)
        );
        assert!(said(&output).contains(part), "{args:?}: {}", said(&output));
    }
    let list = said(&world.payments(&["list"]));
    assert!(list.contains("no payments"), "{list}");
    drop(daemon);
}
