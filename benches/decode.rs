//! How long it takes to read and decode a transaction, over the corpus in `tests/fixtures/transactions`, and how many allocations.
//!
//! `read` is the node's JSON to a `Transaction`, `decode` what watched accounts gained in it.

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench may fail")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use paywatch::domain::{Decimals, TokenProgram, Transaction, WatchList, Watched, decode};
use paywatch::solana::Fetched;
use serde_json::Value;
use std::{fs, hint::black_box, path::Path};

const FOLDER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tests/fixtures/transactions"
);
/// Large, plain and crowded ones, shown by themselves.
const SINGLE: [&str; 3] = ["transfer-checked", "batch", "v1-64-accounts"];

struct Case {
    name: String,
    answer: String,
    transaction: Transaction,
    watch_list: WatchList,
}

fn corpus() -> Vec<Case> {
    let mut cases = Vec::new();
    for entry in fs::read_dir(FOLDER).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = file.strip_suffix(".answer.json") else {
            continue;
        };
        let read = |kind: &str| {
            fs::read_to_string(Path::new(FOLDER).join(format!("{name}.{kind}.json"))).unwrap()
        };
        // As it comes over the wire, without line breaks.
        let answer: Value = serde_json::from_str(&read("answer")).unwrap();
        let (answer, expected) = (answer.to_string(), read("expected"));
        let Ok(Fetched::Transaction(transaction)) = Fetched::from_saved(&answer) else {
            continue;
        };
        cases.push(Case {
            name: name.to_owned(),
            transaction: *transaction,
            watch_list: watch_list(&serde_json::from_str(&expected).unwrap()),
            answer,
        });
    }
    cases
}

fn watch_list(expected: &Value) -> WatchList {
    let watched = expected["watched"].as_array().unwrap();
    let text = |value: &Value, key: &str| value[key].as_str().unwrap().to_owned();
    watched
        .iter()
        .map(|one| Watched {
            token_account: text(one, "token_account").parse().unwrap(),
            wallet: text(one, "wallet").parse().unwrap(),
            mint: text(one, "mint").parse().unwrap(),
            token_program: TokenProgram::from_id(&text(one, "token_program").parse().unwrap())
                .unwrap(),
            decimals: Decimals::new(6).unwrap(),
            symbol: String::new(),
        })
        .collect()
}

fn benches(criterion: &mut Criterion) {
    let corpus = corpus();
    let mut group = criterion.benchmark_group("corpus");
    group.throughput(Throughput::Elements(corpus.len() as u64));
    group.bench_function("read", |bencher| {
        bencher.iter(|| {
            for case in &corpus {
                black_box(Fetched::from_saved(black_box(&case.answer)).unwrap());
            }
        });
    });
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            for case in &corpus {
                let _decoded = black_box(decode(black_box(&case.transaction), &case.watch_list));
            }
        });
    });
    group.finish();
    for name in SINGLE {
        let case = corpus.iter().find(|case| case.name == name).unwrap();
        let read = allocation_counter::measure(|| {
            black_box(Fetched::from_saved(black_box(&case.answer)).unwrap());
        });
        let decoded = allocation_counter::measure(|| {
            let _decoded = black_box(decode(black_box(&case.transaction), &case.watch_list));
        });
        println!(
            "{name}: {} bytes of JSON; allocations: {} to read ({} bytes at most), {} to decode ({} bytes at most)",
            case.answer.len(),
            read.count_total,
            read.bytes_max,
            decoded.count_total,
            decoded.bytes_max
        );
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(1));
        group.bench_function("read", |bencher| {
            bencher.iter(|| Fetched::from_saved(black_box(&case.answer)).unwrap());
        });
        group.bench_function("decode", |bencher| {
            bencher.iter(|| decode(black_box(&case.transaction), &case.watch_list));
        });
        group.finish();
    }
}

criterion_group!(decoding, benches);
criterion_main!(decoding);
