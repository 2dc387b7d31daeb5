//! The example configuration is the documentation: every key with its default, and nothing else.

use paywatch::config::{self, Config};
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
    let settings = config::settings(None, []).unwrap();
    for one in &settings {
        // The key itself never stands in a file that others may read.
        if (one.section.as_str(), one.key.as_str()) != ("merchant", "api_key") {
            let section = example[&one.section].as_table().unwrap();
            assert!(
                section.contains_key(&one.key),
                "{}.{} is missing in config/example.toml",
                one.section,
                one.key
            );
        }
    }
    assert!(settings.len() > 20, "the keys were found");
}

#[test]
fn the_local_network_s_files_are_valid() {
    Config::load(Some(Path::new("config/localnet.toml")), []).unwrap();
    paywatch::sandbox::Settings::load(Path::new("config/sandbox.toml")).unwrap();
}
