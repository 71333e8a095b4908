//! Tokens that were entered on the page, sealed for the disk (XChaCha20-Poly1305). The key has a file of its own, so that
//! a copy of the database alone opens nothing.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

use crate::random::random_bytes;

/// As a systemd credential it is bound to the machine (systemd/examples/credentials.conf).
const CREDENTIAL: &str = "connections-key";
const FILE: &str = "connections.key";
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

#[derive(Debug, thiserror::Error)]
pub enum SecretBoxError {
    #[error("the key {0} cannot be read ({1}); put it back, or connect the number again on the page")]
    Unreadable(PathBuf, std::io::Error),
    #[error(
        "the key {0} cannot be written ({1}); the state directory must belong to the user that runs bellwire"
    )]
    Unwritable(PathBuf, std::io::Error),
    #[error(
        "the key {0} is not 32 bytes long; put the right one back, or delete it and connect the number again"
    )]
    Length(PathBuf),
    #[error("the machine gives no random bytes; restart it")]
    NoRandomness,
    #[error("the token was sealed with another key, or is damaged; connect the number again on the page")]
    Refused,
}

/// What seals and opens.
pub struct SecretBox(XChaCha20Poly1305);

impl SecretBox {
    /// The key of the state directory, made if there is none.
    pub fn of(state: &Path) -> Result<Self, SecretBoxError> {
        let (path, may_make) = place(state);
        let key = match std::fs::read(&path) {
            Ok(key) => key,
            Err(error) if may_make && error.kind() == std::io::ErrorKind::NotFound => make(&path)?,
            Err(error) => return Err(SecretBoxError::Unreadable(path, error)),
        };
        let cipher = XChaCha20Poly1305::new_from_slice(&key);
        cipher.map(Self).map_err(|_| SecretBoxError::Length(path))
    }

    /// `about` is bound to it: what was sealed for one connection does not open as another's.
    pub fn seal(&self, about: &str, secret: &[u8]) -> Result<Vec<u8>, SecretBoxError> {
        let nonce: [u8; NONCE_BYTES] = random_bytes().ok_or(SecretBoxError::NoRandomness)?;
        let payload = Payload { msg: secret, aad: about.as_bytes() };
        let sealed = self.0.encrypt(&XNonce::from(nonce), payload).map_err(|_| SecretBoxError::Refused)?;
        Ok([&nonce[..], &sealed].concat())
    }

    pub fn open(&self, about: &str, sealed: &[u8]) -> Result<Vec<u8>, SecretBoxError> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(SecretBoxError::Refused)?;
        let payload = Payload { msg: rest, aad: about.as_bytes() };
        self.0.decrypt(&XNonce::from(*nonce), payload).map_err(|_| SecretBoxError::Refused)
    }
}

/// Where the key is, and whether it is ours to make.
fn place(state: &Path) -> (PathBuf, bool) {
    let credentials =
        std::env::var_os("CREDENTIALS_DIRECTORY").map(|folder| PathBuf::from(folder).join(CREDENTIAL));
    match credentials.filter(|path| path.exists()) {
        Some(path) => (path, false),
        None => (state.join(FILE), true),
    }
}

fn make(path: &Path) -> Result<Vec<u8>, SecretBoxError> {
    let key: [u8; KEY_BYTES] = random_bytes().ok_or(SecretBoxError::NoRandomness)?;
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(&key)?;
        file.sync_all()?;
        // The name must be on disk before anything that only this key opens.
        std::fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(|error| SecretBoxError::Unwritable(path.to_owned(), error))?;
    Ok(key.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_secret_opens_with_its_key_and_connection_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let seal = SecretBox::of(folder.path()).expect("a key");
        let sealed = seal.seal("main", b"EAAtoken").expect("sealed");
        assert!(!sealed.windows(8).any(|part| part == b"EAAtoken"));
        assert_ne!(sealed, seal.seal("main", b"EAAtoken").expect("sealed"), "a nonce of its own each time");
        let again = SecretBox::of(folder.path()).expect("the key again");
        assert_eq!(again.open("main", &sealed).expect("opened"), b"EAAtoken");
        assert!(again.open("other", &sealed).is_err());
        let mut bent = sealed.clone();
        bent[30] ^= 1;
        assert!(again.open("main", &bent).is_err());
        assert!(again.open("main", b"short").is_err());
        std::fs::remove_file(folder.path().join(FILE)).expect("removed");
        assert!(SecretBox::of(folder.path()).expect("a new key").open("main", &sealed).is_err());
    }

    #[test]
    fn the_key_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        drop(SecretBox::of(folder.path()).expect("a key"));
        let mode = folder.path().join(FILE).metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
