//! Puts a backup in its place. It is read twice: once to check all of it, against damage and against what is here already; then
//! to write it. The database gets its name last, so that what was interrupted is begun again.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::backup::archive::{ArchiveReader, Entry, Kind, Manifest};
use crate::backup::seal::Opener;
use crate::backup::take::{SMALL_FILE_BYTES_MAX, folder_of, has_room};
use crate::backup::{BackupError, contents};
use crate::config::{LoadOptions, read};
use crate::random::Rng;
use crate::store::{Store, VERSION};
use crate::time::Timestamp;

/// Where the database is brought up to this program's version before it has its name.
const STAGING: &str = "restore.part";
const DATABASE: &str = "bellwire.db";
/// Beside what it takes: a migration, the log.
const AROUND: u64 = 16 * 1024 * 1024;

/// A backup that has been read to its end, and is whole.
pub struct Checked {
    file: PathBuf,
    pub manifest: Manifest,
    pub entries: Vec<Entry>,
    /// The configuration and the secrets, which are small.
    small: BTreeMap<PathBuf, Vec<u8>>,
}

/// What was done.
#[derive(Debug)]
pub struct Restored {
    pub written: Vec<PathBuf>,
    /// Messages that the other machine may have sent.
    pub held: usize,
}

impl Checked {
    /// Reads all of it.
    pub fn read(file: &Path, passphrase: &str) -> Result<Self> {
        let (mut archive, manifest) = open(file, passphrase)?;
        let (mut entries, mut small) = (Vec::new(), BTreeMap::new());
        while let Some(entry) = archive.next_file()? {
            if !is_small(entry.kind) && entry.name.file_name() != Some(entry.name.as_os_str()) {
                return Err(BackupError::Damaged("a file in it is not beside the database").into());
            }
            if is_small(entry.kind) {
                if entry.bytes > SMALL_FILE_BYTES_MAX {
                    return Err(BackupError::Damaged("a secret in it is larger than any").into());
                }
                let mut bytes = Vec::new();
                archive.contents().read_to_end(&mut bytes).map_err(BackupError::of_io)?;
                small.insert(entry.name.clone(), bytes);
            }
            entries.push(entry);
        }
        if !entries.iter().any(|entry| entry.kind == Kind::Database) {
            return Err(BackupError::Damaged("there is no database in it").into());
        }
        Ok(Self { file: file.to_owned(), manifest, entries, small })
    }

    /// Whether it may be written here: nothing has been, whatever this answers.
    pub fn check_place(&self, place: &Place, now: Timestamp) -> Result<()> {
        let Manifest { version, database_version, taken_at, .. } = &self.manifest;
        if *database_version > VERSION {
            bail!(
                "bellwire {version} took this backup, with a database of version {database_version}; this bellwire knows \
                 {VERSION}: install {version} or a newer one here, then restore"
            );
        }
        if now.0 < *taken_at {
            bail!(
                "the backup was taken at {}, and the clock here says {now}: set the clock (timedatectl set-ntp true), then restore",
                Timestamp(*taken_at)
            );
        }
        let database = place.state.join(DATABASE);
        if database.exists() && !is_unused(&place.state) {
            bail!(
                "{} has a database already, with what it has accepted; nothing was written. Restore on another machine, or give \
                 another folder with --state, or move this one away",
                place.state.display()
            );
        }
        let differ: Vec<String> = self
            .small_files(place)
            .iter()
            .filter(|(to, bytes)| std::fs::read(to).is_ok_and(|found| found != *bytes))
            .map(|(to, _)| to.display().to_string())
            .collect();
        if !differ.is_empty() && !place.may_replace {
            bail!(
                "these files are here already, and say something else: {}; nothing was written. Move them away, or give \
                 --force, which keeps each as NAME.before-restore",
                differ.join(", ")
            );
        }
        let bytes: u64 = self.entries.iter().map(|entry| entry.bytes).sum();
        make_folder(&place.state)?;
        has_room(&place.state, bytes + AROUND)
    }

    /// Where the configuration and the secrets go: these to where the configuration, read at its new place, looks for them. One
    /// that this version does not take leaves them where they were.
    fn small_files(&self, place: &Place) -> Vec<(PathBuf, &[u8])> {
        let bytes = |name: &PathBuf| self.small.get(name).map(Vec::as_slice).unwrap_or_default();
        let text = bytes(&self.manifest.configuration);
        let wishes = LoadOptions {
            state_directory: Some(place.state.clone()),
            without_secrets: true,
            ..LoadOptions::default()
        };
        let name = place.configuration.to_string_lossy();
        let config = std::str::from_utf8(text).ok().and_then(|text| read(&name, text, &wishes).ok());
        let of_kind = |kind: Kind| self.entries.iter().filter(move |entry| entry.kind == kind);
        let stored: Vec<PathBuf> = of_kind(Kind::Secret).map(|entry| entry.name.clone()).collect();
        let here = config.map(|config| contents::files(&config, &place.configuration).0).unwrap_or_default();
        let here = here.into_iter().filter(|(kind, _)| *kind == Kind::Secret).map(|(_, path)| path);
        let here = Some(here.collect::<Vec<_>>()).filter(|here| here.len() == stored.len());
        let secrets = here.unwrap_or_else(|| stored.clone()).into_iter().zip(stored.iter().map(bytes));
        std::iter::once((place.configuration.clone(), text)).chain(secrets).collect()
    }

    /// Writes it. `passphrase` opened it before.
    pub fn write(&self, place: &Place, passphrase: &str, now: Timestamp, dice: &mut Rng) -> Result<Restored> {
        let staging = Staging(place.state.join(STAGING));
        drop(std::fs::remove_dir_all(&staging.0)); // of one that was interrupted
        DirBuilder::new().mode(0o700).create(&staging.0)?;
        self.unpack(&staging.0, passphrase)?;
        let store = Store::open(&staging.0, dice)?; // brought up to this program's version
        let held = store.begin_copy(Timestamp(self.manifest.taken_at), self.manifest.is_move, now, dice)?;
        drop(store);
        let owner = place.state.metadata()?;
        let mut written = Vec::new();
        let files = self.entries.iter().filter(|entry| entry.kind == Kind::Received);
        let shelf = place.state.join("files");
        for entry in files {
            make_folder(&shelf)?;
            chown(&shelf, Some(owner.uid()), Some(owner.gid()))?;
            settle(&staging.0.join(&entry.name), &shelf.join(&entry.name), &owner)?;
        }
        for entry in self.entries.iter().filter(|entry| entry.kind == Kind::State) {
            let to = place.state.join(&entry.name);
            settle(&staging.0.join(&entry.name), &to, &owner)?;
            written.push(to);
        }
        for (to, bytes) in self.small_files(place) {
            put(&to, bytes)?;
            written.push(to);
        }
        for beside in ["bellwire.db-wal", "bellwire.db-shm", "mark"] {
            drop(std::fs::remove_file(place.state.join(beside))); // of a database that nothing was ever in
        }
        let database = place.state.join(DATABASE);
        settle(&staging.0.join(DATABASE), &database, &owner)?;
        let lock = place.state.join("bellwire.lock"); // held by us, and later by the daemon's user
        chown(&lock, Some(owner.uid()), Some(owner.gid()))
            .context("the lock cannot be given to the daemon's user")?;
        written.push(database);
        sync_folder(&place.state)?;
        Ok(Restored { written, held })
    }

    /// The database and what lies beside it, as they are in the backup.
    fn unpack(&self, folder: &Path, passphrase: &str) -> Result<()> {
        let (mut archive, _) = open(&self.file, passphrase)?;
        while let Some(entry) = archive.next_file()? {
            let name = match entry.kind {
                Kind::Database => PathBuf::from(DATABASE),
                Kind::State | Kind::Received => entry.name,
                Kind::Configuration | Kind::Secret => continue,
            };
            let path = folder.join(&name);
            let mut write = || -> std::io::Result<()> {
                let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
                std::io::copy(&mut archive.contents(), &mut file)?;
                file.sync_all()
            };
            write()
                .map_err(BackupError::of_io)
                .with_context(|| format!("{} was not written", path.display()))?;
        }
        Ok(())
    }
}

/// Where it goes.
#[derive(Debug)]
pub struct Place {
    pub configuration: PathBuf,
    pub state: PathBuf,
    pub may_replace: bool,
}

type Archive = ArchiveReader<Opener<BufReader<File>>>;

fn open(file: &Path, passphrase: &str) -> Result<(Archive, Manifest)> {
    let opened = File::open(file).with_context(|| format!("{} cannot be read", file.display()))?;
    Ok(ArchiveReader::new(Opener::new(BufReader::new(opened), passphrase)?)?)
}

fn is_small(kind: Kind) -> bool {
    match kind {
        Kind::Configuration | Kind::Secret => true,
        Kind::Database | Kind::State | Kind::Received => false,
    }
}

/// One of another version, or that cannot be read, is somebody's.
fn is_unused(state: &Path) -> bool {
    Store::open_to_read(state).ok().flatten().is_some_and(|store| store.is_unused().unwrap_or(false))
}

fn make_folder(folder: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("{} cannot be made; run this with sudo", folder.display()))
}

/// Into its place, for the state directory's owner.
fn settle(from: &Path, to: &Path, owner: &std::fs::Metadata) -> Result<()> {
    let moved = chown(from, Some(owner.uid()), Some(owner.gid())).and_then(|()| std::fs::rename(from, to));
    moved.with_context(|| format!("{} cannot be written; run this with sudo", to.display()))
}

/// A file outside the state directory, as the package has it: the daemon reads it by its group, the folder's, and does not write
/// it. What was there and differs is kept beside it.
fn put(to: &Path, bytes: &[u8]) -> Result<()> {
    let folder = folder_of(to);
    let write = || -> std::io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
        match std::fs::read(to) {
            Ok(found) if found == bytes => return Ok(()),
            Ok(_) => {
                let mut kept = to.as_os_str().to_owned();
                kept.push(".before-restore");
                std::fs::rename(to, kept)?;
            }
            Err(_) => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
        file.write_all(bytes)?;
        chown(to, None, Some(folder.metadata()?.gid()))?;
        file.set_permissions(Permissions::from_mode(0o640))?;
        file.sync_all()?;
        sync_folder(folder)
    };
    write().with_context(|| format!("{} cannot be written; run this with sudo", to.display()))
}

fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

/// A folder that goes when this does.
struct Staging(PathBuf);

impl Drop for Staging {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0)); // the next restore would remove it as well
    }
}
