//! The database itself: opening, the one thread that writes, and what a failing disk or card does to it.

/// Opening: pragmas that are read back, migrations with a backup before.
pub(in crate::store) mod open;
/// One daemon a state directory.
pub(in crate::store) mod lock;
/// The thread that owns the connection and commits in groups.
pub(in crate::store) mod thread;
/// Rollback of memory when a transaction is rolled back.
pub(in crate::store) mod undo;
/// The first eight bytes of SHA-256 over a row's content.
pub(in crate::store) mod checksum;
/// Files beside the database.
pub(in crate::store) mod state_file;
/// The ids of the newest commit, in a file of their own.
pub(in crate::store) mod commit_watermark;
/// The reserve on disk that a full disk is cleaned with.
pub(in crate::store) mod reserve;
/// A damaged database is set aside, and what can be read is taken over.
pub(in crate::store) mod salvage;
/// Old rows go, a few at a time.
pub(in crate::store) mod retention;
