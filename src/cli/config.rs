//! `paywatch config show`: what is set, and where it came from.

use super::{Cli, Failure, print};
use crate::config::{Setting, settings};

/// Arguments of `paywatch config`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print every key with its effective value and where that came from; secrets stay hidden
    Show {
        /// Print a list of objects as JSON
        #[arg(long)]
        json: bool,
    },
}

/// Shows the values although they may not be valid; what is wrong with them is said after that.
pub(super) fn run(cli: &Cli, args: &Args) -> Result<u8, Failure> {
    let Command::Show { json } = args.command;
    let settings =
        settings(cli.config.as_deref(), std::env::vars()).map_err(Failure::Configuration)?;
    if json {
        print::json(&settings)?;
    } else {
        print::line(&as_toml(&settings))?;
    }
    cli.load()?;
    Ok(0)
}

/// Would be a configuration file, were it not for what is hidden.
fn as_toml(settings: &[Setting]) -> String {
    let (mut text, mut section) = (String::new(), "");
    let lines = settings
        .iter()
        .map(|one| format!("{} = {}", one.key, one.value));
    let lines: Vec<_> = lines.collect();
    let widths = lines.iter().map(|line| line.chars().count());
    let width = widths.max().unwrap_or(0);
    for (one, line) in settings.iter().zip(&lines) {
        if one.section != section {
            let gap = if section.is_empty() { "" } else { "\n\n" };
            text += &format!("{gap}[{}]", one.section);
            section = &one.section;
        }
        text += &format!("\n{line:width$}  # {}", one.origin.as_str());
    }
    text
}
