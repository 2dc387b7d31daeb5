//! Any text as a configuration file: it is accepted or refused with words, and what is accepted can be printed without its keys.
#![no_main]

use libfuzzer_sys::fuzz_target;
use paywatch::config::Config;
use std::{fs, path::PathBuf, sync::LazyLock};

static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let name = format!("paywatch-fuzz-{}.toml", std::process::id());
    std::env::temp_dir().join(name)
});

fuzz_target!(|data: &[u8]| {
    fs::write(&*FILE, data).unwrap();
    let line = String::from_utf8_lossy(data.get(..64).unwrap_or(data)).into_owned();
    let environment = [
        ("PAYWATCH__SOLANA__WS_URLS".to_owned(), line.clone()),
        (
            "PAYWATCH__MERCHANT__API_KEY".to_owned(),
            "hunter2".to_owned(),
        ),
    ];
    match Config::load(Some(&FILE), environment) {
        Ok(config) => {
            assert!(!format!("{config:?}").contains("hunter2") || line.contains("hunter2"))
        }
        Err(error) => assert!(!format!("{error:#}").is_empty()),
    }
});
