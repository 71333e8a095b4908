//! One daemon a state directory, and which process it is.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::open::private_folder;
use super::state_file::state_file;
use crate::started_by::StartedBy;

/// Held while a daemon runs on this state directory; the kernel lets go when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "holding the file open is holding the lock")] File);

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("another bellwire already runs on {0}; stop it first: {stop}", stop = StartedBy::here().stop())]
    Taken(PathBuf),
    #[error(
        "the lock file {0} cannot be made ({1}); the folder has to belong to the user that runs bellwire"
    )]
    File(PathBuf, std::io::Error),
}

impl Lock {
    /// One daemon a state directory: two would send everything twice (docs/reliability.md F10).
    pub fn take(directory: &Path) -> Result<Self, LockError> {
        let path = directory.join("bellwire.lock");
        let refuse = |error| LockError::File(path.clone(), error);
        private_folder(directory).map_err(refuse)?;
        let file = state_file(&path).map_err(refuse)?;
        match file.try_lock() {
            Ok(()) => {
                let number = std::process::id().to_string();
                let written = file.set_len(0).and_then(|()| (&file).write_all(number.as_bytes()));
                written.map_err(refuse).map(|()| Self(file))
            }
            Err(TryLockError::WouldBlock) => Err(LockError::Taken(directory.to_owned())),
            Err(TryLockError::Error(error)) => Err(refuse(error)),
        }
    }

    /// The process that runs on this state directory, if one does and this user may know.
    #[must_use]
    pub fn holder(directory: &Path) -> Option<i32> {
        let number = std::fs::read_to_string(directory.join("bellwire.lock")).ok()?;
        number.trim().parse().ok().filter(|_| Self::is_taken(directory) == Some(true))
    }

    /// Whether a daemon runs on this state directory. `None`: this user may not know.
    #[must_use]
    pub fn is_taken(directory: &Path) -> Option<bool> {
        let file = match File::open(directory.join("bellwire.lock")) {
            Ok(file) => file,
            Err(error) => return (error.kind() == std::io::ErrorKind::NotFound).then_some(false),
        };
        match file.try_lock_shared() {
            Ok(()) => Some(false),
            Err(TryLockError::WouldBlock) => Some(true),
            Err(TryLockError::Error(_)) => None,
        }
    }
}
