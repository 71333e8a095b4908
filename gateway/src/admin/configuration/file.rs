//! The configuration's file: it is replaced in one step, by a file that was written and synced beside it, and never when it is
//! another one than the draft began with.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{Error, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;

use crate::config::edit::fingerprint;

/// Why the file is as it was: a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SaveError {
    #[error("The file was changed meanwhile by somebody else; look at both, and save again.")]
    Changed,
    #[error("{0}")]
    NotWritten(String),
}

pub fn text(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| {
        format!("{} cannot be read ({error}); let the user that runs bellwire read it.", path.display())
    })
}

/// Owner and mode stay where the system lets us: who may write into the folder need not be who owned the file.
pub fn replace(path: &Path, base: &str, text: &str) -> Result<(), SaveError> {
    let path = path.canonicalize().map_err(|error| not_written(path, &error))?; // a link stays one
    let beside = path.with_extension("toml.saving");
    let outcome = write(&path, &beside, base, text);
    if !matches!(outcome, Ok(true)) {
        drop(std::fs::remove_file(&beside));
    }
    match outcome {
        Ok(true) => Ok(()),
        Ok(false) => Err(SaveError::Changed),
        Err(error) => Err(not_written(&path, &error)),
    }
}

/// `false`: the file is not the one that the draft began with.
fn write(path: &Path, beside: &Path, base: &str, text: &str) -> std::io::Result<bool> {
    let is_base = || std::fs::read_to_string(path).map(|text| fingerprint(&text) == base);
    if !is_base()? {
        return Ok(false);
    }
    let old = path.metadata()?;
    if old.mode() & 0o222 == 0 {
        return Err(ErrorKind::ReadOnlyFilesystem.into()); // nobody shall write it, though a new one could take its place
    }
    drop(std::fs::remove_file(beside)); // of a save that the power ended
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)?;
    file.write_all(text.as_bytes())?;
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid())
        && chown(beside, Some(old.uid()), Some(old.gid())).is_err()
    {
        drop(chown(beside, None, Some(old.gid()))); // only root gives files away
    }
    file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
    file.sync_all()?;
    if !is_base()? {
        return Ok(false); // the disk may have taken seconds
    }
    std::fs::rename(beside, path)?;
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()?;
    Ok(true)
}

fn not_written(path: &Path, error: &Error) -> SaveError {
    let folder = path.parent().unwrap_or(Path::new("/")).display();
    let is = |kind| error.kind() == kind;
    let next = match () {
        () if is(ErrorKind::PermissionDenied) => format!(
            "let the user that runs bellwire write into the folder: chgrp bellwire {folder} && chmod g+w {folder}, and, under systemd, \
             ReadWritePaths={folder}"
        ),
        () if is(ErrorKind::ReadOnlyFilesystem) => format!(
            "it or its folder is read-only, perhaps on purpose; then change it where it comes from, and write edit = false under \
             [http]. Else: chmod u+w {}, and, under systemd, ReadWritePaths={folder}",
            path.display()
        ),
        () if is(ErrorKind::ResourceBusy) => {
            "it is mounted by itself, so that no other file can take its place: mount its folder instead"
                .to_owned()
        }
        () if is(ErrorKind::StorageFull) => "the disk is full: free some space and save again".to_owned(),
        () => "look at the disk, and save again".to_owned(),
    };
    SaveError::NotWritten(format!("{} was not written ({error}); {next}.", path.display()))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn new_file(words: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("bellwire.toml");
        std::fs::write(&path, words).expect("written");
        (folder, path)
    }

    #[test]
    fn a_save_takes_the_files_place_with_its_mode() {
        let (folder, file) = new_file("old");
        std::fs::set_permissions(&file, Permissions::from_mode(0o640)).expect("set");
        std::fs::write(folder.path().join("bellwire.toml.saving"), "of a save that the power ended")
            .expect("written");
        replace(&file, &fingerprint("old"), "new").expect("saved");
        assert_eq!(text(&file).as_deref(), Ok("new"));
        assert_eq!(file.metadata().expect("there").mode() & 0o7777, 0o640);
        assert_eq!(std::fs::read_dir(folder.path()).expect("read").count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_that_changed_meanwhile_is_not_overwritten() {
        let (folder, file) = new_file("of somebody else");
        assert_eq!(replace(&file, &fingerprint("old"), "new"), Err(SaveError::Changed));
        assert_eq!(text(&file).as_deref(), Ok("of somebody else"));
        assert_eq!(std::fs::read_dir(folder.path()).expect("read").count(), 1);
    }

    #[test]
    fn a_link_stays_a_link() {
        let (folder, file) = new_file("old");
        let link = folder.path().join("link.toml");
        std::os::unix::fs::symlink(&file, &link).expect("linked");
        replace(&link, &fingerprint("old"), "new").expect("saved");
        assert!(link.is_symlink());
        assert_eq!(text(&file).as_deref(), Ok("new"));
    }

    #[test]
    fn a_read_only_file_stays_unchanged_with_a_next_step() {
        let (_folder, file) = new_file("old");
        std::fs::set_permissions(&file, Permissions::from_mode(0o444)).expect("set");
        let refused = replace(&file, &fingerprint("old"), "new").expect_err("read-only").to_string();
        assert!(
            refused.contains("edit = false") && refused.contains("bellwire.toml was not written"),
            "{refused}"
        );
        let gone = Path::new("/nowhere/bellwire.toml");
        assert!(text(gone).is_err_and(|why| why.contains("cannot be read")));
        assert!(matches!(replace(gone, "", "new"), Err(SaveError::NotWritten(_))));
        assert_eq!(text(&file).as_deref(), Ok("old"));
    }
}
