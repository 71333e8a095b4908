//! A disk under SQLite that can lose its power, fill up and lie. Every write goes through to the real file; beside it stands
//! what has been synced, and what was written since. When the power goes, the files become what a card could be left
//! with: all that was synced, and of the rest nothing, everything, a beginning, or any sectors.
//!
//! [`Disk::watch`] puts it under the databases of one folder; all others are untouched.

/// The functions that SQLite calls: the only unsafe code.
mod functions;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a card writes whole or not at all.
const SECTOR: usize = 512;

/// The disks that are watched, by folder.
static DISKS: Mutex<BTreeMap<PathBuf, State>> = Mutex::new(BTreeMap::new());

fn disks() -> MutexGuard<'static, BTreeMap<PathBuf, State>> {
    DISKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Something that is not synced yet.
#[derive(Debug, Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Truncate(usize),
}

/// One file: what is surely on the card, and what may be.
#[derive(Debug, Clone)]
struct Image {
    /// `None`: not even its name.
    synced: Option<Vec<u8>>,
    pending: Vec<Change>,
    /// Its name is gone, until the next sync perhaps not for good: file systems write their folders down with it.
    is_deleted: bool,
}

impl Image {
    const fn of(synced: Option<Vec<u8>>) -> Self {
        Self { synced, pending: Vec::new(), is_deleted: false }
    }
}

type Images = BTreeMap<PathBuf, Image>;

#[derive(Debug, Default)]
struct State {
    images: Images,
    /// So many more calls, then the power goes.
    cut_after: Option<u64>,
    /// What was there when it went; what SQLite does after that never happened.
    cut: Option<Images>,
    /// So many more writes, then there is no room.
    room: Option<u64>,
    /// As with `synchronous = NORMAL`: the log is synced when it is folded into the database, and not at a commit.
    is_weak: bool,
    /// A sync is said to be done, and is not.
    lies: bool,
}

fn is_log(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"-wal")
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write { at, bytes } => {
            content.resize(content.len().max(at + bytes.len()), 0);
            content[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        Change::Truncate(length) => content.resize(*length, 0),
    }
}

impl State {
    /// A call is about to happen: is it the one that the power does not live to see?
    fn count(&mut self) {
        match self.cut_after {
            Some(0) if self.cut.is_none() => self.cut = Some(self.images.clone()),
            Some(left) => self.cut_after = Some(left.saturating_sub(1)),
            None => {}
        }
    }

    /// `false`: there is no room for it.
    fn has_room(&mut self) -> bool {
        match &mut self.room {
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
            None => true,
        }
    }

    fn change(&mut self, path: &Path, change: Change) {
        if self.is_weak && !is_log(path) {
            let logs: Vec<PathBuf> = self.images.keys().filter(|path| is_log(path)).cloned().collect();
            logs.iter().for_each(|log| self.settle(log));
        }
        self.count();
        if let Some(image) = self.images.get_mut(path) {
            image.pending.push(change);
        }
    }

    fn sync(&mut self, path: &Path) {
        self.count();
        let is_in_vain = self.lies || (self.is_weak && is_log(path));
        if !is_in_vain {
            self.settle(path);
        }
    }

    fn settle(&mut self, path: &Path) {
        if let Some(image) = self.images.get_mut(path) {
            let content = image.synced.get_or_insert_default();
            image.pending.drain(..).for_each(|change| apply(content, &change));
            self.images.retain(|_, image| !image.is_deleted);
        }
    }

    fn delete(&mut self, path: &Path) {
        self.count();
        if let Some(image) = self.images.get_mut(path) {
            image.is_deleted = true;
        }
    }

    fn opened(&mut self, path: &Path, is_new: bool) {
        if self.images.get(path).is_none_or(|image| image.is_deleted) {
            let synced = if is_new { None } else { std::fs::read(path).ok() };
            self.images.insert(path.to_owned(), Image::of(synced));
        }
    }
}

/// What a power cut leaves of a file; `below(n)` draws a number under `n`.
fn left(image: &Image, below: &mut impl FnMut(u64) -> u64) -> Option<Vec<u8>> {
    let count = image.pending.len();
    // Which of what was pending comes through: of each change none, all, or any of its sectors.
    let (whole, torn) = match below(4) {
        0 => (0, 0),
        1 => (count, 0),
        2 => (usize::try_from(below(count as u64 + 1)).unwrap_or(0), 1),
        _ => (0, count),
    };
    if (image.synced.is_none() && whole == 0 && torn == 0) || (image.is_deleted && below(2) == 0) {
        return None;
    }
    let mut content = image.synced.clone().unwrap_or_default();
    image.pending[..whole].iter().for_each(|change| apply(&mut content, change));
    for change in image.pending[whole..].iter().take(torn) {
        match change {
            Change::Write { at, bytes } => {
                // A sector is one place on the card, wherever in it the write begins.
                let mut from = 0;
                while from < bytes.len() {
                    let until = bytes.len().min(from + SECTOR - (at + from) % SECTOR);
                    if below(2) == 0 {
                        apply(
                            &mut content,
                            &Change::Write { at: at + from, bytes: bytes[from..until].to_vec() },
                        );
                    }
                    from = until;
                }
            }
            Change::Truncate(_) if below(2) == 0 => apply(&mut content, change),
            Change::Truncate(_) => {}
        }
    }
    Some(content)
}

/// The files of a folder after a power cut.
#[derive(Debug)]
pub struct Left(BTreeMap<PathBuf, Option<Vec<u8>>>);

/// A watched folder, until it is dropped.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// From now on every database of this folder that is opened without naming another VFS is on this disk.
    #[must_use]
    pub fn watch(folder: &Path) -> Self {
        functions::install();
        disks().insert(folder.to_owned(), State::default());
        Self { folder: folder.to_owned() }
    }

    fn with<T>(&self, what: impl FnOnce(&mut State) -> T) -> T {
        what(disks().entry(self.folder.clone()).or_default())
    }

    /// The power goes at the `calls`th write, truncation or sync from now, counted from none.
    pub fn cut_after(&self, calls: u64) {
        self.with(|state| (state.cut_after, state.cut) = (Some(calls), None));
    }

    /// The power is gone. Close every database of the folder, then [`Disk::restore`].
    #[must_use]
    pub fn cut(&self, mut below: impl FnMut(u64) -> u64) -> Left {
        let images = self.with(|state| state.cut.take().unwrap_or_else(|| state.images.clone()));
        Left(images.into_iter().map(|(path, image)| (path, left(&image, &mut below))).collect())
    }

    /// The machine has power again, and these files.
    pub fn restore(&self, files: Left) -> io::Result<()> {
        let mut images = BTreeMap::new();
        for (path, content) in files.0 {
            // The index of the log is memory that has a name.
            let mut index = path.as_os_str().to_owned();
            index.push("-shm");
            for gone in [&path, Path::new(&index)] {
                match std::fs::remove_file(gone) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            if let Some(content) = content {
                std::fs::write(&path, &content)?;
                images.insert(path, Image::of(Some(content)));
            }
        }
        self.with(|state| (state.images, state.cut_after, state.cut) = (images, None, None));
        Ok(())
    }

    /// After so many more writes there is no room; `None`: there is.
    pub fn fill(&self, writes: Option<u64>) {
        self.with(|state| state.room = writes);
    }

    /// From now on a sync of SQLite's log waits until the database itself is written, which is all that NORMAL means. A
    /// database that insists on FULL, and reads back that it has it, cannot be given NORMAL in any other way.
    pub fn weaken(&self) {
        self.with(|state| state.is_weak = true);
    }

    /// It says that it has synced, and has not.
    pub fn lie(&self) {
        self.with(|state| state.lies = true);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        disks().remove(&self.folder);
    }
}

#[cfg(test)]
mod tests;
