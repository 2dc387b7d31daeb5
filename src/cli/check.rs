//! `paywatch check`: the configuration is valid, or was refused before this was called.

pub(super) fn run() -> u8 {
    println!("configuration is valid");
    0
}
