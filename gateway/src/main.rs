//! Arguments, then the command, then the exit code.

use std::process::ExitCode;

use clap::Parser;

/// A static program has no allocator of the system's, but that of whatever linked it. zig's rounds each size up to a power of
/// two and gives nothing back: 17.1 MB with 10,000 messages queued instead of 15.4, where 16 are the aim.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    match bellwire::cli::Arguments::try_parse() {
        Ok(arguments) => bellwire::cli::run(arguments),
        Err(error) => {
            drop(error.print()); // nowhere left to complain
            // clap's own code is 2; help and the version are no mistakes.
            ExitCode::from(if error.use_stderr() { bellwire::cli::USAGE } else { 0 })
        }
    }
}
