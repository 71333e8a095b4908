//! Takes a backup: a snapshot of the database, then all files into one sealed file, which has its name when it is whole.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::backup::archive::{ArchiveWriter, Entry, Kind, Manifest};
use crate::backup::contents;
use crate::backup::seal::Sealer;
use crate::config::Config;
use crate::store::{MediaFiles, Store, VERSION, free_megabytes, is_sound};
use crate::time::Timestamp;

/// What a running daemon needs meanwhile: its log grows while a snapshot is read, and it warns below 200 MB only.
const LEFT_FOR_THE_DAEMON: u64 = 16 * 1024 * 1024;
/// Headers and the ends of chunks, of a backup whose files are a few.
const AROUND: u64 = 1024 * 1024;
/// Secrets and configurations are a few KiB; what is larger was named by mistake.
pub const SMALL_FILE_BYTES_MAX: u64 = 1024 * 1024;
const SNAPSHOT: &str = "backup.part";

/// Where a backup goes.
#[derive(Debug)]
pub enum Target {
    File(PathBuf),
    Stdout,
}

/// What was taken.
#[derive(Debug)]
pub struct Taken {
    pub bytes: u64,
    pub secrets: usize,
    pub received: usize,
    pub left_out: Vec<String>,
}

/// One backup, before it is taken: everything that may be refused has been.
pub struct Plan<'a> {
    config: &'a Config,
    files: Vec<(Kind, PathBuf)>,
    manifest: Manifest,
}

impl<'a> Plan<'a> {
    pub fn new(config: &'a Config, configuration: &Path, is_move: bool, now: Timestamp) -> Result<Self> {
        let configuration = std::path::absolute(configuration)?;
        let (files, left_out) = contents::files(config, &configuration);
        for (_, path) in &files {
            let metadata = File::open(path).and_then(|file| file.metadata());
            let metadata = metadata.with_context(|| {
                format!(
                    "{} cannot be read; run this as root, or as the daemon's user (sudo -u bellwire)",
                    path.display()
                )
            })?;
            if !metadata.is_file() || metadata.len() > SMALL_FILE_BYTES_MAX {
                bail!(
                    "{} is no secret file, or is larger than 1 MiB; correct the configuration",
                    path.display()
                );
            }
        }
        let manifest = Manifest {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            database_version: VERSION,
            taken_at: now.0,
            site: config.site.name.clone(),
            is_move,
            configuration,
            state_directory: std::path::absolute(&config.site.state_directory)?,
            left_out,
        };
        Ok(Self { config, files, manifest })
    }

    /// Room for the snapshot beside the database, and for the backup.
    pub fn check_room(&self, store: &Store, target: &Target) -> Result<()> {
        let database = store.bytes()?;
        let length = |path: &PathBuf| path.metadata().map_or(0, |file| file.len());
        let received = self.received(store)?;
        let others: u64 = self.files.iter().map(|(_, path)| path).chain(&received).map(length).sum();
        let state = self.config.site.state_directory.clone();
        let (mut beside, backup) = (database + LEFT_FOR_THE_DAEMON, database + others + AROUND);
        if let Target::File(file) = target {
            let folder = folder_of(file);
            if folder
                .metadata()
                .with_context(|| format!("the folder {} is not there", folder.display()))?
                .dev()
                == state.metadata()?.dev()
            {
                beside += backup;
            } else {
                has_room(folder, backup)?;
            }
        }
        has_room(&state, beside)
    }

    fn received(&self, store: &Store) -> Result<Vec<PathBuf>> {
        let shelf = MediaFiles::new(self.config.site.state_directory.clone());
        Ok(store.kept_files()?.into_iter().map(|id| shelf.path(id)).collect())
    }

    /// Writes it. A daemon goes on meanwhile.
    pub fn take(&self, store: &Store, passphrase: &str, target: &Target, may_replace: bool) -> Result<Taken> {
        let snapshot = self.snapshot(store)?;
        // After the snapshot: each that this knows was there by then. One without a row goes at the first start.
        let received = self.received(store)?;
        let Target::File(path) = target else {
            return self
                .write(std::io::stdout().lock(), passphrase, (&snapshot.0, &received))
                .map(|(_, taken)| taken);
        };
        let part = Removed(folder_of(path).join(format!(
            ".{}.part",
            path.file_name().context("this is no file's name; give one")?.to_string_lossy()
        )));
        drop(std::fs::remove_file(&part.0)); // of a backup that was interrupted
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part.0);
        let file = file.with_context(|| format!("{} cannot be written", part.0.display()))?;
        let (file, taken) = self
            .write(file, passphrase, (&snapshot.0, &received))
            .with_context(|| format!("{} was not written", path.display()))?;
        file.sync_all()?;
        if !may_replace && path.exists() {
            bail!(
                "{} has come meanwhile, and is left as it is; give another name, or --force",
                path.display()
            );
        }
        std::fs::rename(&part.0, path)?;
        File::open(folder_of(path))?.sync_all()?;
        Ok(taken)
    }

    fn snapshot(&self, store: &Store) -> Result<Removed> {
        let snapshot = Removed(self.config.site.state_directory.join(SNAPSHOT));
        drop(std::fs::remove_file(&snapshot.0));
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&snapshot.0)
            .and_then(|_| store.snapshot(&snapshot.0).map_err(std::io::Error::other))
            .context("the snapshot of the database was not made")?;
        if !is_sound(&snapshot.0)? {
            bail!(
                "the database is damaged, and no backup was made of it: restart bellwire, which sets it aside and takes over \
                 what can be read; then take the backup. The memory card may be failing: replace it"
            );
        }
        Ok(snapshot)
    }

    fn write<W: Write>(
        &self,
        to: W,
        passphrase: &str,
        (snapshot, kept): (&Path, &[PathBuf]),
    ) -> Result<(W, Taken)> {
        let sealer = Sealer::new(BufWriter::new(Counted { to, bytes: 0 }), passphrase)?;
        let mut archive = ArchiveWriter::new(sealer, &self.manifest)?;
        let mut add = |kind: Kind, name: PathBuf, file: File| -> Result<()> {
            let entry = Entry { kind, name, bytes: file.metadata()?.len() };
            Ok(archive.add(&entry, file)?)
        };
        for (kind, path) in &self.files {
            let name = match kind {
                Kind::State => path.file_name().map(PathBuf::from).unwrap_or_default(),
                Kind::Configuration | Kind::Secret | Kind::Database | Kind::Received => {
                    std::path::absolute(path)?
                }
            };
            add(*kind, name, File::open(path)?)?;
        }
        let mut received = 0;
        for path in kept {
            // What grew too old between the list and here is gone, and its row says so.
            let Ok(file) = File::open(path) else { continue };
            add(Kind::Received, path.file_name().map(PathBuf::from).unwrap_or_default(), file)?;
            received += 1;
        }
        add(Kind::Database, "bellwire.db".into(), File::open(snapshot)?)?;
        let counted = archive.finish()?.finish()?.into_inner().map_err(|error| error.into_error())?;
        let taken = Taken {
            bytes: counted.bytes,
            secrets: self.files.iter().filter(|(kind, _)| *kind == Kind::Secret).count(),
            received,
            left_out: self.manifest.left_out.clone(),
        };
        Ok((counted.to, taken))
    }
}

/// The folder that a file is to be in.
pub fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

pub fn has_room(folder: &Path, bytes: u64) -> Result<()> {
    let needed = bytes.div_ceil(1024 * 1024);
    match free_megabytes(folder) {
        Some(free) if free < needed => bail!(
            "{} has {free} MB left, and {needed} MB are needed; nothing was written. Free some space, or use another disk",
            folder.display()
        ),
        Some(_) | None => Ok(()),
    }
}

/// A file that goes when this does.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0)); // it may have its own name by now
    }
}

struct Counted<W> {
    to: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}
