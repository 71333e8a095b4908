//! placeholder
use super::Failure;
#[derive(Debug, clap::Args)]
pub struct Arguments {}
pub fn run(_arguments: &Arguments) -> Result<(), Failure> {
    Ok(())
}
