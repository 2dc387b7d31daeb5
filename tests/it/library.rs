//! The watcher inside another program, which credits by itself.

use crate::support::{World, eventually};
use paywatch::domain::{BaseUnits, Checkout, CheckoutStatus, Memo, Signature};
use paywatch::{Backend, ConfirmResult, Stage, TakenIn, Watcher, async_trait};
use std::sync::{Arc, Mutex};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Books of a shop that is slow to take the first claim.
#[derive(Clone, Default)]
struct Shop(Arc<Mutex<Vec<(String, String)>>>);

impl Shop {
    fn claims(&self) -> Vec<(String, String)> {
        self.0.lock().unwrap().clone()
    }
}

#[async_trait]
impl Backend for Shop {
    async fn confirm(&self, memo: &Memo, signature: Signature) -> ConfirmResult {
        let mut claims = self.0.lock().unwrap();
        claims.push((memo.as_str().into(), signature.to_string()));
        if claims.len() == 1 {
            ConfirmResult::later("the books are locked")
        } else {
            ConfirmResult::accepted()
        }
    }
}

async fn watcher(world: &World, shop: &Shop) -> Watcher {
    let mint = world.usdc.address.to_string().parse().unwrap();
    let wallet = world.recipient().to_string().parse().unwrap();
    let builder = Watcher::builder()
        .rpc_url(&world.net.rpc_url)
        .ws_url(&world.net.ws_url)
        .token("USDC", mint, wallet)
        .database(world.database())
        .settings("[solana]\nmax_rps = 0\nsweep_every = \"2s\"")
        .backend(shop.clone());
    builder.build().await.unwrap()
}

fn checkout(world: &World, memo: &str) -> Checkout {
    Checkout {
        memo: Memo::parse(memo).unwrap(),
        amount: Some(BaseUnits(19_000_000)),
        mint: world.usdc.address.to_string().parse().ok(),
        recipient: world.recipient().to_string().parse().ok(),
        status: CheckoutStatus::Pending,
        created_at: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_is_told_of_each_payment_until_it_takes_it_and_never_of_a_second_one() {
    let (world, shop) = (World::new().await, Shop::default());
    let checkout = checkout(&world, "checkout-1");
    let mut paid = Vec::new();
    for life in 0..2 {
        let watcher = watcher(&world, &shop).await;
        let stop = CancellationToken::new();
        let run = watcher.clone().run(stop.clone().cancelled_owned());
        let mut running = JoinSet::new();
        running.spawn(run);
        let expected = if life == 0 {
            TakenIn::New
        } else {
            TakenIn::Known
        };
        assert_eq!(watcher.expect(&checkout).await.unwrap(), expected);
        let signature = world.pay(19_000_000, "checkout-1").await;
        paid.push(signature.to_string());
        if life == 0 {
            eventually("it is credited", async || {
                let stage = watcher.stage(&checkout.memo).await.unwrap().unwrap().1;
                stage.as_str() == "confirmed"
            })
            .await;
        } else {
            // The same checkout is paid again: that payment is held.
            world.wait_verdict(signature, "already_paid").await;
            let stage = watcher.stage(&checkout.memo).await.unwrap().unwrap().1;
            assert!(matches!(stage, Stage::Confirmed { .. }), "{stage:?}");
        }
        stop.cancel();
        running.join_next().await.unwrap().unwrap().unwrap();
    }
    let claim = ("checkout-1".to_owned(), paid[0].clone());
    assert_eq!(shop.claims(), [claim.clone(), claim]);
}

#[tokio::test]
async fn what_cannot_be_watched_is_refused_before_anything_is_opened() {
    let refusal = async |builder: paywatch::Builder| {
        let error = builder.build().await.err().expect("refused");
        format!("{error:#}")
    };
    let text = refusal(Watcher::builder().backend(Shop::default())).await;
    assert!(text.contains("solana.rpc_urls"), "{text}");
    let builder = Watcher::builder().rpc_url("http://127.0.0.1:1");
    let text = refusal(builder).await;
    assert!(text.contains("merchant.base_url"), "{text}");
    let builder = Watcher::builder()
        .rpc_url("http://127.0.0.1:1")
        .backend(Shop::default())
        .settings("[policy]\namount = \"roughly\"");
    let text = refusal(builder).await;
    assert!(
        text.contains("policy.amount") && text.contains("at_least"),
        "{text}"
    );
}
