//! The bytes of files that people sent, one file each beside the database. No thread of the store waits for them.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use crate::store::db::state_file::state_file;

/// `files/` in the state directory; for its owner alone.
#[derive(Debug, Clone)]
pub struct MediaFiles(PathBuf);

impl MediaFiles {
    #[must_use]
    pub fn new(state_directory: PathBuf) -> Self {
        Self(state_directory.join("files"))
    }

    #[must_use]
    pub fn path(&self, id: i64) -> PathBuf {
        self.0.join(id.to_string())
    }

    /// Whole and on disk when it returns, or not there: the row is written afterwards.
    pub fn put(&self, id: i64, bytes: &[u8]) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        let new = self.0.join(format!("{id}.new"));
        let mut file = state_file(&new)?;
        file.set_len(0)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, self.path(id))?;
        File::open(&self.0)?.sync_all()
    }

    /// One that is not there is as good as removed.
    pub fn remove(&self, id: i64) -> io::Result<()> {
        match fs::remove_file(self.path(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes everything but these: what a power cut left between the row and the file.
    pub fn sweep(&self, kept: &[i64]) -> io::Result<usize> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            entries => entries?,
        };
        let mut removed = 0;
        for entry in entries {
            let entry = entry?;
            let id = entry.file_name().to_str().and_then(|name| name.parse::<i64>().ok());
            if !id.is_some_and(|id| kept.contains(&id)) {
                fs::remove_file(entry.path())?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreferenced_media_files_are_deleted() {
        let folder = tempfile::tempdir().expect("a folder");
        let shelf = MediaFiles::new(folder.path().to_owned());
        assert_eq!(shelf.sweep(&[]).expect("swept"), 0);
        for id in 1..=3 {
            shelf.put(id, b"bytes").expect("put");
        }
        fs::write(shelf.0.join("4.new"), b"half").expect("written");
        assert_eq!(shelf.sweep(&[1, 3]).expect("swept"), 2);
        assert_eq!(fs::read(shelf.path(3)).expect("there"), b"bytes");
        shelf.remove(3).expect("removed");
        shelf.remove(3).expect("removed already");
        assert!(!shelf.path(3).exists());
    }
}
