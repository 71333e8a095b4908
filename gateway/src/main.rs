//! Arguments, then the command, then the exit code.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    bellwire::cli::run(bellwire::cli::Arguments::parse())
}
