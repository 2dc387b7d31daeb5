//! wip
pub mod clock;
pub mod domain;
pub mod solana;
pub mod store;
