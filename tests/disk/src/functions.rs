//! SQLite's own functions for files, of which six are replaced: the file system behind them stays the real one.
//!
//! A file's table of functions is exchanged for a copy in which ours stand; ours call the original, and write down what it
//! did. The original's own data in the file is never touched, so nothing here depends on how it looks.

use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use rusqlite::ffi::{self, sqlite3_file, sqlite3_io_methods, sqlite3_vfs};

use crate::{Change, State, disks};

/// SQLite's own.
struct Base(*mut sqlite3_vfs);

// SAFETY: it is registered for the life of the process, SQLite itself uses it from every thread, and we only read it.
unsafe impl Send for Base {}
// SAFETY: as above.
unsafe impl Sync for Base {}

static BASE: OnceLock<Base> = OnceLock::new();

/// A file of a watched folder, and the functions that it came with.
#[derive(Clone)]
struct Opened {
    path: PathBuf,
    original: &'static sqlite3_io_methods,
}

#[derive(Default)]
struct Tables {
    /// By the file's address, which is its own until it is closed.
    opened: BTreeMap<usize, Opened>,
    /// Our copies, by the original's address.
    copies: BTreeMap<usize, &'static sqlite3_io_methods>,
}

static TABLES: Mutex<Option<Tables>> = Mutex::new(None);

fn tables() -> MutexGuard<'static, Option<Tables>> {
    TABLES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ours, before SQLite's own; once a process.
pub fn install() {
    BASE.get_or_init(|| {
        // SAFETY: a null name asks for the default; SQLite initialises itself for it.
        let base = unsafe { ffi::sqlite3_vfs_find(std::ptr::null()) };
        assert!(!base.is_null(), "SQLite has a default VFS");
        // SAFETY: a registered VFS is a whole structure, and it is copied before anybody could change it.
        let mut ours = unsafe { *base };
        ours.zName = c"bellwire-disk".as_ptr();
        ours.pNext = std::ptr::null_mut();
        ours.xOpen = Some(open);
        ours.xDelete = Some(delete);
        let ours = Box::leak(Box::new(ours));
        // SAFETY: it is leaked, so it outlives every use; its functions keep to SQLite's contract.
        let outcome = unsafe { ffi::sqlite3_vfs_register(ours, 1) };
        assert_eq!(outcome, ffi::SQLITE_OK, "SQLite takes it");
        Base(base)
    });
}

/// What is noted of a file's disk, if that is still watched.
fn note<T>(path: &Path, what: impl FnOnce(&mut State) -> T) -> Option<T> {
    path.parent().and_then(|folder| disks().get_mut(folder).map(what))
}

fn opened(file: *mut sqlite3_file) -> Option<Opened> {
    tables().as_ref().and_then(|tables| tables.opened.get(&file.addr()).cloned())
}

fn path_of(name: *const c_char) -> PathBuf {
    // SAFETY: SQLite's names are strings that end with zero, and stay during the call.
    let name = unsafe { CStr::from_ptr(name) };
    PathBuf::from(OsStr::from_bytes(name.to_bytes()))
}

/// The same functions, with ours among them.
fn copy_of(original: &'static sqlite3_io_methods) -> &'static sqlite3_io_methods {
    let mut tables = tables();
    let copies = &mut tables.get_or_insert_default().copies;
    copies.entry(std::ptr::from_ref(original).addr()).or_insert_with(|| {
        Box::leak(Box::new(sqlite3_io_methods {
            xClose: Some(close),
            xWrite: Some(write),
            xTruncate: Some(truncate),
            xSync: Some(sync),
            ..*original
        }))
    })
}

unsafe extern "C" fn open(
    _ours: *mut sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    let Some(Base(base)) = BASE.get() else { return ffi::SQLITE_CANTOPEN };
    // SAFETY: it is registered for the life of the process.
    let Some(original) = (unsafe { (**base).xOpen }) else { return ffi::SQLITE_CANTOPEN };
    let path = (!name.is_null()).then(|| path_of(name));
    let is_new = path.as_ref().is_some_and(|path| !path.exists());
    // SAFETY: the arguments are SQLite's, and the VFS is the one that the function belongs to.
    let outcome = unsafe { original(*base, name, file, flags, out) };
    let Some(path) = path.filter(|_| outcome == ffi::SQLITE_OK) else { return outcome };
    if note(&path, |state| state.opened(&path, is_new)).is_some() {
        // SAFETY: an opened file points to its table, a constant of SQLite's.
        let found = unsafe { (*file).pMethods.as_ref() };
        if let Some(original) = found {
            let ours = copy_of(original);
            tables().get_or_insert_default().opened.insert(file.addr(), Opened { path, original });
            // SAFETY: the field is ours to set in xOpen; the copy is leaked, so it outlives the file.
            unsafe { (*file).pMethods = ours };
        }
    }
    outcome
}

unsafe extern "C" fn delete(_ours: *mut sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    let Some(Base(base)) = BASE.get() else { return ffi::SQLITE_IOERR_DELETE };
    // SAFETY: it is registered for the life of the process.
    let Some(original) = (unsafe { (**base).xDelete }) else { return ffi::SQLITE_IOERR_DELETE };
    // SAFETY: the arguments are SQLite's, and the VFS is the one that the function belongs to.
    let outcome = unsafe { original(*base, name, sync) };
    if outcome == ffi::SQLITE_OK {
        let path = path_of(name);
        note(&path, |state| state.delete(&path));
    }
    outcome
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    let opened = tables().as_mut().and_then(|tables| tables.opened.remove(&file.addr()));
    let Some(original) = opened.and_then(|opened| opened.original.xClose) else { return ffi::SQLITE_IOERR };
    // SAFETY: SQLite's own function, with the file that it opened.
    unsafe { original(file) }
}

unsafe extern "C" fn write(file: *mut sqlite3_file, from: *const c_void, count: c_int, at: i64) -> c_int {
    let Some(Opened { path, original }) = opened(file) else { return ffi::SQLITE_IOERR_WRITE };
    if note(&path, State::has_room) == Some(false) {
        return ffi::SQLITE_FULL;
    }
    let (Some(original), Ok(length), Ok(place)) =
        (original.xWrite, usize::try_from(count), usize::try_from(at))
    else {
        return ffi::SQLITE_IOERR_WRITE;
    };
    // SAFETY: SQLite's own function, with its own arguments.
    let outcome = unsafe { original(file, from, count, at) };
    if outcome == ffi::SQLITE_OK {
        // SAFETY: SQLite hands in so many bytes to be read, and they stay until we return.
        let bytes = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), length) };
        note(&path, |state| state.change(&path, Change::Write { at: place, bytes: bytes.to_vec() }));
    }
    outcome
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: i64) -> c_int {
    let Some(Opened { path, original }) = opened(file) else { return ffi::SQLITE_IOERR_TRUNCATE };
    let (Some(original), Ok(length)) = (original.xTruncate, usize::try_from(size)) else {
        return ffi::SQLITE_IOERR_TRUNCATE;
    };
    // SAFETY: SQLite's own function, with its own arguments.
    let outcome = unsafe { original(file, size) };
    if outcome == ffi::SQLITE_OK {
        note(&path, |state| state.change(&path, Change::Truncate(length)));
    }
    outcome
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    let Some(Opened { path, original }) = opened(file) else { return ffi::SQLITE_IOERR_FSYNC };
    let Some(original) = original.xSync else { return ffi::SQLITE_IOERR_FSYNC };
    // SAFETY: SQLite's own function, with its own arguments.
    let outcome = unsafe { original(file, flags) };
    if outcome == ffi::SQLITE_OK {
        note(&path, |state| state.sync(&path));
    }
    outcome
}
