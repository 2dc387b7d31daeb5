//! wip
pub mod clock;
pub mod config;
pub mod domain;
pub mod merchant;
pub mod solana;
pub mod store;
