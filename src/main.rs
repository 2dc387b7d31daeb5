//! Arguments → command → exit code. Everything else is in the library.

use clap::Parser;
use paywatch::cli::Cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => cli.run(),
        Err(error) => {
            let code = if error.use_stderr() {
                paywatch::cli::USAGE
            } else {
                0
            };
            // Nobody is there to be told that standard output is closed.
            let _closed = error.print();
            ExitCode::from(code)
        }
    }
}
