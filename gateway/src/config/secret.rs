//! Secrets. Those of the configuration are files, read when they are needed: a new one works at once, and none stays in
//! memory. Those that were entered on the page were unsealed when the daemon started.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

/// Where a secret is.
#[derive(Debug, Clone)]
pub enum Secret {
    File(PathBuf),
    Known(SecretString),
    /// It was entered on the page, and cannot be used now: why.
    Lost(String),
}

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error(
        "the file {0} cannot be read ({1}); write the secret into it, readable by the user that runs bellwire"
    )]
    Unreadable(PathBuf, std::io::Error),
    #[error("the file {0} can be read by everybody on this machine; chmod 600 {0}")]
    Open(PathBuf),
    #[error("the file {0} is empty; write the secret into it")]
    Empty(PathBuf),
    #[error("the file {0} has several lines; write the secret alone into it, on one line")]
    SeveralLines(PathBuf),
    #[error("{0}")]
    Lost(String),
}

pub fn secret(place: &Secret) -> Result<SecretString, SecretError> {
    match place {
        Secret::File(path) => secret_file(path),
        Secret::Known(secret) => Ok(secret.clone()),
        Secret::Lost(why) => Err(SecretError::Lost(why.clone())),
    }
}

/// The content without the line's end.
pub fn secret_file(path: &Path) -> Result<SecretString, SecretError> {
    let unreadable = |error| SecretError::Unreadable(path.to_owned(), error);
    let mode = path.metadata().map_err(unreadable)?.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(SecretError::Open(path.to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let text = text.trim();
    if text.is_empty() {
        return Err(SecretError::Empty(path.to_owned()));
    }
    // No header could carry it; a private key (RFC 7468) has lines.
    if text.contains('\n') && !text.starts_with("-----BEGIN ") {
        return Err(SecretError::SeveralLines(path.to_owned()));
    }
    Ok(SecretString::from(text))
}
