//! wip
pub mod clock;
pub mod config;
pub mod domain;
pub mod merchant;
pub mod pipeline;
pub mod solana;
pub mod store;
