//! The passphrase of a backup: typed, or from a file, and never on the command line, which every user of the machine can read.

use std::io::IsTerminal;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

use super::Failure;
use crate::config::secret_file;
use crate::setup::ask_hidden;

/// Whoever has the file may guess for as long as they like: four words, or twelve letters that are none.
const CHARACTERS_MIN: usize = 12;

/// The passphrase of a new backup: typed twice.
pub fn new(file: Option<&Path>) -> Result<SecretString, Failure> {
    let passphrase = read(
        file,
        &format!("a passphrase for it, {CHARACTERS_MIN} characters or more, such as four words: "),
    )?;
    let count = passphrase.expose_secret().chars().count();
    if count < CHARACTERS_MIN {
        return Err(Failure::Usage(format!(
            "the passphrase has {count} characters; take {CHARACTERS_MIN} or more, such as four words: the file holds tokens, and \
             whoever gets it may guess for years"
        )));
    }
    if file.is_none() {
        let again = ask_hidden("the passphrase again: ").map_err(Failure::Io)?;
        if again.expose_secret() != passphrase.expose_secret() {
            return Err(Failure::Usage("the two are not the same; start again".into()));
        }
    }
    Ok(passphrase)
}

/// The passphrase of a backup that is there.
pub fn known(file: Option<&Path>) -> Result<SecretString, Failure> {
    read(file, "the backup's passphrase: ")
}

fn read(file: Option<&Path>, prompt: &str) -> Result<SecretString, Failure> {
    match file {
        Some(file) => secret_file(file).map_err(|error| Failure::Io(error.into())),
        None if std::io::stdin().is_terminal() => ask_hidden(prompt).map_err(Failure::Io),
        None => Err(Failure::Usage(
            "there is no terminal to type the passphrase at; give --passphrase-file FILE".into(),
        )),
    }
}
