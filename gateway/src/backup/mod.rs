//! Backup and restore: everything that makes this gateway this one, in a single sealed file (the format: `docs/backup.md`).
//!
//! ```text
//! contents ─▶ archive ─▶ seal ═▶ FILE ═▶ seal ─▶ archive ─▶ restore
//! ```

/// Which files belong to a gateway.
pub mod contents;
/// Files one after the other in one stream, each with its name and length.
pub mod archive;
/// The stream, sealed with a passphrase: nothing in it can be read, changed, left out or cut off.
pub mod seal;
/// Takes a backup: a snapshot, and all else that belongs to it.
pub mod take;
/// Puts a backup in its place, when all of it has been checked.
pub mod restore;

/// Why a file is not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("this is no backup of bellwire's; give the file that `bellwire backup` has written")]
    NotOne,
    #[error(
        "this backup has form {0}, which this bellwire does not know; install the version that wrote it, or a newer one"
    )]
    NewerForm(u16),
    #[error("the passphrase is another one; type the one that the backup was taken with")]
    WrongPassphrase,
    #[error(
        "the backup is damaged or incomplete ({0}), so nothing was written; copy the file again, or take another one"
    )]
    Damaged(&'static str),
    #[error("the machine gives no random bytes; restart it")]
    NoRandomness,
    #[error(
        "there is not enough memory for the passphrase's key, 64 MiB; stop another program and try again"
    )]
    NoMemory,
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl BackupError {
    /// As a reader or a writer may say it.
    fn into_io(self) -> std::io::Error {
        std::io::Error::other(self)
    }

    /// What was wrapped for a reader, again.
    fn of_io(error: std::io::Error) -> Self {
        error.downcast::<Self>().unwrap_or_else(Self::Io)
    }
}
