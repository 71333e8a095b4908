//! Files beside the database.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// A file of ours in the state directory, to be read and written. A link is refused: it would lead the daemon's hand, which may
/// be root's, to any file of the machine.
pub(in crate::store) fn state_file(path: &Path) -> std::io::Result<File> {
    let nofollow = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(nofollow);
    options.open(path).map_err(|error| match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => {
            std::io::Error::other("it is a link, and links are not followed here; remove it")
        }
        Ok(_) | Err(_) => error,
    })
}
