//! The sandbox misbehaves when told to, describes itself truly, and keeps books that add up.

use crate::support::World;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::process::Command;
use std::time::{Duration, Instant};

async fn ask(world: &World, method: Method, path: &str, body: &Value) -> (StatusCode, Value) {
    let root = world.api.split("/api").next().unwrap();
    let request = world
        .http
        .request(method, format!("{root}/_sandbox/{path}"));
    let answer = request.json(body).send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    (status, serde_json::from_str(&text).unwrap_or_default())
}

async fn put(world: &World, faults: Value) {
    let (status, answer) = ask(world, Method::PUT, "faults", &faults).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_happens_as_often_as_asked_for() {
    let world = World::new().await;
    let tokens = async || {
        let began = Instant::now();
        let request = world.http.get(format!("{}/supported_tokens", world.api));
        let request = request.timeout(Duration::from_secs(1));
        (request.send().await, began.elapsed())
    };
    put(&world, json!([
        { "endpoint": "supported_tokens", "times": 1, "fault": { "kind": "status", "status": 429, "retry_after_seconds": 7 } },
        { "endpoint": "history", "fault": { "kind": "status", "status": 500 } },
    ])).await;
    let refused = tokens().await.0.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["retry-after"], "7");
    assert_eq!(tokens().await.0.unwrap().status(), StatusCode::OK);
    let (_, left) = ask(&world, Method::GET, "faults", &Value::Null).await;
    assert_eq!(left.as_array().unwrap().len(), 1, "{left}");
    put(
        &world,
        json!([{ "times": 1, "fault": { "kind": "latency", "milliseconds": 300 } }]),
    )
    .await;
    assert!(tokens().await.1 >= Duration::from_millis(300));
    put(&world, json!([{ "times": 1, "fault": { "kind": "hang" } }])).await;
    assert!(tokens().await.0.unwrap_err().is_timeout());
    put(
        &world,
        json!([{ "fault": { "kind": "close_after_applying" } }]),
    )
    .await;
    let cut = match tokens().await.0 {
        Ok(answer) => answer.bytes().await.is_err(),
        Err(_) => true,
    };
    assert!(cut);
    let (status, _) = ask(&world, Method::DELETE, "faults", &Value::Null).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(tokens().await.0.unwrap().status(), StatusCode::OK);
    for (wrong, expected) in [
        (
            json!([{ "fault": { "kind": "fire" } }]),
            StatusCode::BAD_REQUEST,
        ),
        (
            json!([{ "fault": { "kind": "hang", "seconds": 1 } }]),
            StatusCode::BAD_REQUEST,
        ),
        (
            json!([{ "fault": { "kind": "status", "status": 200 } }]),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            json!([{ "fault": { "kind": "latency", "milliseconds": 600_001 } }]),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            json!([{ "endpoint": "history", "fault": { "kind": "lag", "seconds": 1 } }]),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
    ] {
        let (status, answer) = ask(&world, Method::PUT, "faults", &wrong).await;
        assert_eq!(status, expected, "{wrong}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_a_payment_is_credited_once_and_the_books_add_up() {
    let world = World::new().await;
    let _daemon = world.watch(&[]).await;
    let faults = [
        json!({ "kind": "status", "status": 500 }),
        json!({ "kind": "status", "status": 429, "retry_after_seconds": 1 }),
        json!({ "kind": "hang" }),
        json!({ "kind": "close_after_applying" }),
        json!({ "kind": "lag", "seconds": 2 }),
    ];
    for fault in &faults {
        let mut rule = json!({ "endpoint": "confirm", "fault": fault });
        if fault["kind"] != "lag" {
            rule["times"] = 1.into();
        }
        put(&world, json!([rule])).await;
        let (checkout, signature) = world.buy().await;
        world.wait_confirmed(&checkout, signature).await;
        world.wait_acknowledged(signature).await;
        ask(&world, Method::DELETE, "faults", &Value::Null).await;
    }
    world.assert_no_double_confirm().await;
    let (_, ledger) = ask(
        &world,
        Method::GET,
        "organizations/239/ledger",
        &Value::Null,
    )
    .await;
    let ledger = ledger.as_array().unwrap();
    assert_eq!(ledger.len(), faults.len());
    let sum: u64 = ledger
        .iter()
        .map(|entry| entry["credits"].as_u64().unwrap())
        .sum();
    let (_, all) = ask(&world, Method::GET, "organizations", &Value::Null).await;
    assert_eq!(all, json!([{ "id": 239, "name": null, "credits": sum }]));
}

#[tokio::test(flavor = "multi_thread")]
async fn its_document_is_valid_openapi() {
    let world = World::new().await;
    let validator =
        std::env::var("OPENAPI_VALIDATOR").expect("OPENAPI_VALIDATOR (`make test` sets it)");
    let document = format!("{}/openapi.json", world.api.split("/api").next().unwrap());
    let document = world.http.get(document).send().await.unwrap();
    let file = world.folder.path().join("openapi.json");
    std::fs::write(&file, document.bytes().await.unwrap()).unwrap();
    let valid = |file: &std::path::Path| {
        let output = Command::new(&validator).arg(file).output().unwrap();
        (output.status.success(), crate::support::said(&output))
    };
    let (is_valid, said) = tokio::task::block_in_place(|| valid(&file));
    assert!(is_valid, "{said}");
    // The validator sees what was missing once.
    let text = std::fs::read_to_string(&file).unwrap();
    let without = text.replace("\"description\":\"What can be bought\",", "");
    assert_ne!(text, without);
    std::fs::write(&file, without).unwrap();
    let (is_valid, said) = tokio::task::block_in_place(|| valid(&file));
    assert!(!is_valid && said.contains("description"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_as_its_document_says_whatever_is_asked() {
    let mut world = World::new().await;
    world.restart_sandbox(&[], "secret").await;
    let schemathesis = std::env::var("SCHEMATHESIS").expect("SCHEMATHESIS (`make test` sets it)");
    let document = format!("{}/openapi.json", world.api.split("/api").next().unwrap());
    let run = |which: [&str; 2]| {
        Command::new(&schemathesis)
            .current_dir(world.folder.path())
            .args([
                "run",
                &document,
                "--checks",
                "all",
                "--seed",
                "1",
                "--no-color",
            ])
            // Which tokens and plans are taken, no document can say.
            .args([
                "--exclude-checks",
                "positive_data_acceptance",
                "--max-examples",
                "40",
            ])
            .args(["--header", "Authorization: Bearer secret"])
            .args(which)
            .output()
            .unwrap()
    };
    // Faults at random would happen to the rest.
    for which in [
        ["--exclude-path", "/_sandbox/faults"],
        ["--include-path", "/_sandbox/faults"],
    ] {
        let output = tokio::task::block_in_place(|| run(which));
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        assert!(said.contains("passed"), "{said}");
    }
}
