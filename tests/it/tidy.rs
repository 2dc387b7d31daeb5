//! The house rules that no lint knows: who may use whom, and how long a file may be.

use std::{
    fs,
    path::{Path, PathBuf},
};

const LINES_MAX: usize = 400;

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The lines of a folder or file below `src` that are code, with where they stand.
fn code(below: &str) -> Vec<(String, String)> {
    let root = Path::new("src").join(below);
    let files = if root.is_dir() {
        files(&root)
    } else {
        vec![root.with_extension("rs")]
    };
    assert!(!files.is_empty());
    let mut lines = Vec::new();
    for file in files.into_iter().filter(|file| !file.ends_with("tests.rs")) {
        let text = fs::read_to_string(&file).unwrap();
        let product = text.split("#[cfg(test)]").next().unwrap();
        for (number, line) in product.lines().enumerate() {
            if !line.trim_start().starts_with("//") {
                lines.push((
                    format!("{}:{}", file.display(), number + 1),
                    line.to_owned(),
                ));
            }
        }
    }
    lines
}

/// Nothing below this part of the house says any of these words.
fn never(below: &str, words: &[&str]) {
    for (place, line) in code(below) {
        for word in words {
            assert!(
                !line.contains(word),
                "{place}: {word:?} has no place here: {line}"
            );
        }
    }
}

/// These words stand nowhere but below these parts of the house.
fn only(rooms: &[&str], words: &[&str]) {
    for (place, line) in code("") {
        let allowed = rooms
            .iter()
            .any(|room| place.starts_with(&format!("src/{room}")));
        for word in words {
            assert!(
                allowed || !line.contains(word),
                "{place}: {word:?} belongs to {rooms:?} alone: {line}"
            );
        }
    }
}

#[test]
fn the_domain_is_pure() {
    never(
        "domain",
        &[
            "async ",
            ".await",
            "tokio",
            "tracing",
            "metrics::",
            "serde",
            "sqlx",
            "reqwest",
            "rand::",
            "SystemTime",
            "Instant",
            "std::fs",
            "std::env",
            "println!",
            "f32",
            "f64",
            " as u",
            " as i",
            "crate::solana",
            "crate::store",
            "crate::merchant",
            "crate::pipeline",
            "crate::config",
            "crate::clock",
        ],
    );
}

#[test]
fn adapters_never_use_each_other_nor_what_is_above_them() {
    let above = [
        "crate::pipeline",
        "crate::config",
        "crate::supervisor",
        "crate::cli",
        "crate::ops",
        "crate::sandbox",
    ];
    never(
        "solana",
        &[&above[..], &["crate::store", "crate::merchant"]].concat(),
    );
    never(
        "merchant",
        &[&above[..], &["crate::store", "crate::solana"]].concat(),
    );
    never(
        "store",
        &[&above[..], &["crate::merchant", "crate::solana"]].concat(),
    );
    never(
        "pipeline",
        &[
            "crate::supervisor",
            "crate::cli",
            "crate::ops",
            "crate::sandbox",
        ],
    );
    never(
        "buyer",
        &[&above[..], &["crate::solana", "crate::report"]].concat(),
    );
    never(
        "sandbox",
        &[
            "crate::pipeline",
            "crate::store",
            "crate::solana",
            "crate::merchant",
            "domain::decode",
        ],
    );
}

#[test]
fn each_kind_of_knowledge_has_one_room() {
    // The sandbox is another program in the same box: it has books and eyes of its own.
    only(
        &["store", "sandbox"],
        &["sqlx::query", "INSERT INTO", "SELECT "],
    );
    only(
        &["solana/wire.rs", "sandbox/chain.rs"],
        &[
            "TokenBalances",
            "innerInstructions",
            "inner_instructions",
            "confirmationStatus",
            "uiTokenAmount",
        ],
    );
    only(
        &["merchant", "sandbox"],
        &["transaction_hash", "supported_tokens\"", "crypto/confirm"],
    );
    only(&["supervisor.rs"], &["tokio::spawn", "JoinSet", ".spawn("]);
    only(&["clock.rs"], &["SystemTime::now"]);
    only(&["chance.rs", "sandbox"], &["rand::"]);
}

#[test]
fn product_code_neither_unwraps_nor_is_unsafe() {
    never(
        "",
        &[
            ".unwrap()",
            ".expect(",
            "unsafe ",
            "todo!(",
            "unimplemented!(",
            "dbg!(",
        ],
    );
}

#[test]
fn files_stay_readable() {
    let mut lengths = Vec::new();
    for file in files(Path::new("src"))
        .into_iter()
        .chain(files(Path::new("tests")))
    {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(
            lines <= LINES_MAX,
            "{} has {lines} lines; {LINES_MAX} is the most",
            file.display()
        );
        lengths.push(lines);
    }
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    assert!(median <= 150, "the median file has {median} lines");
    assert!(fs::read_to_string("src/main.rs").unwrap().lines().count() <= 60);
}
