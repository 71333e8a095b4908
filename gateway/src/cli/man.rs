//! The manual pages, from the same definition as the arguments.

use std::path::PathBuf;

use anyhow::Context;
use clap::CommandFactory;

use super::Failure;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Write the pages of all commands into this directory, as packages need them
    #[arg(long)]
    directory: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let command = super::Arguments::command();
    let written = match &arguments.directory {
        None => clap_mangen::Man::new(command).render(&mut std::io::stdout()).map_err(anyhow::Error::from),
        Some(directory) => clap_mangen::generate_to(command, directory)
            .with_context(|| format!("the pages cannot be written into {}; create it", directory.display())),
    };
    written.map_err(Failure::Io)
}
