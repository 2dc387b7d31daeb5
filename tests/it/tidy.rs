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
    let is_test = |file: &Path| {
        let mut parts = file.components();
        file.ends_with("tests.rs") || parts.any(|part| part.as_os_str() == "tests")
    };
    for file in files.into_iter().filter(|file| !is_test(file)) {
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
        // Tests are cases in a row: long files of them are read in parts.
        if file.starts_with("src") {
            lengths.push(lines);
        }
    }
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    assert!(median <= 150, "the median file has {median} lines");
    assert!(fs::read_to_string("src/main.rs").unwrap().lines().count() <= 60);
}

/// What stands between backticks, and where links lead.
fn named_in(document: &str) -> Vec<String> {
    let text = fs::read_to_string(document).unwrap();
    let quoted = text.split('`').skip(1).step_by(2);
    let linked = text.split("](").skip(1).filter_map(|rest| {
        let link = rest.split([')', '#']).next()?;
        (!link.is_empty() && !link.contains(':')).then_some(link)
    });
    quoted.chain(linked).map(str::to_owned).collect()
}

/// The code of a subject of these tests: a file, or a folder's files; `None` if it is not one.
fn subject(name: &str) -> Option<String> {
    let (file, folder) = (
        format!("tests/it/{name}.rs"),
        PathBuf::from("tests/it").join(name),
    );
    if folder.is_dir() {
        let all = files(&folder).into_iter();
        return Some(all.map(|file| fs::read_to_string(file).unwrap()).collect());
    }
    fs::read_to_string(file).ok()
}

#[test]
fn the_files_that_documents_name_are_there() {
    let source = files(Path::new("src"));
    let is_there = |name: &str| {
        let from = ["", "src/", "docs/", "deploy/"];
        from.iter()
            .any(|folder| Path::new(&format!("{folder}{name}")).exists())
            || source.iter().any(|file| file.ends_with(name))
    };
    let roots = [
        "src", "tests", "docs", "deploy", "config", "benches", "examples", "fuzz",
    ];
    let mut checked = 0;
    let guides = [
        "tour",
        "going-live",
        "backend",
        "wallets",
        "held",
        "notices",
    ];
    let guides = guides.map(|name| format!("docs/{name}.md"));
    let documents = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "deploy/runbook.md",
    ];
    for document in documents
        .into_iter()
        .chain(guides.iter().map(String::as_str))
    {
        for name in named_in(document) {
            let is_code = Path::new(&name).extension().is_some_and(|end| end == "rs");
            let in_root = name
                .split_once('/')
                .is_some_and(|(root, _)| roots.contains(&root));
            if (is_code || in_root) && !name.contains([' ', '*', '<']) {
                assert!(
                    is_there(&name),
                    "{document} names {name}, which is not there"
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 60, "{checked}");
}

#[test]
fn each_promise_names_tests_that_are_there() {
    let text = fs::read_to_string("ARCHITECTURE.md").unwrap();
    let promises = text.split("About money.").nth(1).unwrap();
    let promises = promises.split("\n## ").next().unwrap();
    let rows = promises
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1);
    let mut named = 0;
    for row in rows {
        let held_by = row.rsplit(" | ").next().unwrap();
        let mut tests = 0;
        for name in held_by.split('`').skip(1).step_by(2) {
            let (about, test) = name.split_once("::").unwrap_or((name, "*"));
            let Some(code) = subject(about) else { continue };
            let begins = test.trim_end_matches(['…', '*']);
            assert!(
                code.contains(&format!("fn {begins}")),
                "ARCHITECTURE.md names {name}, which is not there"
            );
            tests += 1;
        }
        assert!(tests > 0, "no test holds this: {row}");
        named += tests;
    }
    assert!(named > 40, "{named}");
}
