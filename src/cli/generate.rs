//! `paywatch completions` and `paywatch man`: what shells and `man` want to know of this command line, made from it.

use super::{Cli, Failure};
use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;
use std::{io::Write, path::PathBuf};

/// Arguments of `paywatch completions`.
#[derive(Debug, clap::Args)]
pub(super) struct Completions {
    /// For which shell
    shell: Shell,
}

/// Arguments of `paywatch man`.
#[derive(Debug, clap::Args)]
pub(super) struct Man {
    /// The folder to write them to; must exist
    folder: PathBuf,
}

pub(super) fn completions(args: &Completions) -> Result<u8, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "paywatch", &mut text);
    let mut out = std::io::stdout();
    out.write_all(&text).context("write to standard output")?;
    Ok(0)
}

pub(super) fn man(args: &Man) -> Result<u8, Failure> {
    clap_mangen::generate_to(Cli::command(), &args.folder)
        .with_context(|| format!("write man pages to {}", args.folder.display()))?;
    Ok(0)
}
