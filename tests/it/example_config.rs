//! The example configuration is the documentation: every key with its default, and nothing else.

use paywatch::config::Config;
use std::path::Path;

/// The two keys that have no usable default.
fn must_be_set() -> Vec<(String, String)> {
    vec![
        (
            "PAYWATCH__MERCHANT__BASE_URL".into(),
            "https://api.example.com".into(),
        ),
        (
            "PAYWATCH__SOLANA__RPC_URLS".into(),
            "https://rpc.example.com".into(),
        ),
    ]
}

#[test]
fn it_equals_the_defaults() {
    let example = Config::load(Some(Path::new("config/example.toml")), must_be_set()).unwrap();
    let defaults = Config::load(None, must_be_set()).unwrap();
    assert_eq!(format!("{example:?}"), format!("{defaults:?}"));
}

#[test]
fn it_names_every_key() {
    let text = std::fs::read_to_string("config/example.toml").unwrap();
    let example: toml::Table = text.parse().unwrap();
    let sections = std::fs::read_to_string("src/config/raw.rs").unwrap();
    let mut section = String::new();
    let mut keys = 0;
    // The macro's own arms come first, the reading of files last: sections stand between.
    let sections = sections
        .split_once("section! {")
        .unwrap()
        .1
        .split_once("impl Raw")
        .unwrap()
        .0
        .to_owned();
    for line in sections.lines().map(str::trim) {
        if let Some(name) = line
            .strip_prefix("/// `[")
            .and_then(|rest| rest.strip_suffix("]`"))
        {
            section = name.to_owned();
        }
        // `key: Type = default,`
        if let Some((key, rest)) = line.split_once(": ")
            && rest.contains(" = ")
            && rest.ends_with(',')
            && !section.is_empty()
        {
            // The key itself never stands in a file that others may read.
            if (section.as_str(), key) != ("merchant", "api_key") {
                assert!(
                    example[&section].as_table().unwrap().contains_key(key),
                    "{section}.{key} is missing in config/example.toml"
                );
            }
            keys += 1;
        }
    }
    assert!(keys > 20, "the keys were found: {keys}");
}

#[test]
fn the_local_network_s_files_are_valid() {
    Config::load(Some(Path::new("config/localnet.toml")), []).unwrap();
    paywatch::sandbox::Settings::load(Path::new("config/sandbox.toml")).unwrap();
}
