//! Opening the store: only when it is surely durable, surely ours alone, and of a version that we know.

use std::cell::Cell;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::hex::{hex, unhex};
use crate::ids::StoreTag;
use crate::outbox::button_token::ButtonSigner;
use crate::random::Rng;
use crate::store::copies::{self, RELEASE};
use crate::store::db::commit_watermark::CommitWatermark;
use crate::store::db::salvage;
use crate::store::db::state_file::state_file;
use crate::store::db::undo::Undo;
use crate::store::receipts::UnderWay;

/// Appended to, never edited: the index is the version that the script leads to, less one.
const MIGRATIONS: [&str; 23] = [
    include_str!("../migrations/schema.sql"),
    include_str!("../migrations/schema_page.sql"),
    include_str!("../migrations/received.sql"),
    include_str!("../migrations/schema_connection.sql"),
    include_str!("../migrations/replies.sql"),
    include_str!("../migrations/guests.sql"),
    include_str!("../migrations/lanes.sql"),
    include_str!("../migrations/signed.sql"),
    include_str!("../migrations/undelivered.sql"),
    include_str!("../migrations/people.sql"),
    include_str!("../migrations/subscriptions.sql"),
    include_str!("../migrations/unjudged.sql"),
    include_str!("../migrations/client_id.sql"),
    include_str!("../migrations/files_first.sql"),
    include_str!("../migrations/ends.sql"),
    include_str!("../migrations/devices.sql"),
    include_str!("../migrations/home_assistant.sql"),
    include_str!("../migrations/home_events.sql"),
    include_str!("../migrations/fewer_pages.sql"),
    include_str!("../migrations/configuration_versions.sql"),
    include_str!("../migrations/copies.sql"),
    include_str!("../migrations/hub.sql"),
    include_str!("../migrations/hub_erasures.sql"),
];

/// The version of a database that this program makes.
pub const VERSION: usize = MIGRATIONS.len();

/// The open database. All writing happens on one connection of one thread.
#[derive(Debug)]
pub struct Store {
    pub(in crate::store) sql: Connection,
    pub(in crate::store) directory: PathBuf,
    pub(in crate::store) tag: StoreTag,
    pub(in crate::store) seal: ButtonSigner,
    pub(in crate::store) mark: CommitWatermark,
    pub(in crate::store) undo: Undo,
    pub(in crate::store) under_way: UnderWay,
    /// SQLite's count of what others wrote, at the last look at the lanes.
    pub(in crate::store) seen_version: Cell<i64>,
    /// Restored, and what waited then was still held when this was opened (`store/copies.rs`).
    pub(in crate::store) is_unreleased: bool,
    /// Findings of the opening for the owner: sentences.
    pub(in crate::store) findings: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "the state directory {0} cannot be used: {1}; create it and give it to the user that runs bellwire"
    )]
    Directory(PathBuf, std::io::Error),
    #[error("the database is of version {0}, newer than this bellwire knows ({known}); install the newer version again", known = MIGRATIONS.len())]
    Newer(usize),
    #[error(
        "the database runs with {0} instead of {1}, which would not survive a power cut; is {2} on a network file system? Put it on a local disk"
    )]
    NotDurable(&'static str, &'static str, PathBuf),
    #[error(
        "the backup before the migration failed, nothing was changed: {0}; free some space and start again"
    )]
    Backup(rusqlite::Error),
    #[error("the database {0} cannot be opened: {1}{next}", next = next_step(.1))]
    Sql(PathBuf, rusqlite::Error),
    #[error("the machine gives no random bytes for the key that seals buttons; start again in a minute")]
    NoRandomness,
    #[error("there is no database in {0} yet: start `bellwire run` once, or give the right --state")]
    Missing(PathBuf),
}

/// What a person can do about it; the rest of SQLite's errors say enough, or nobody knows.
fn next_step(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(
            rusqlite::ErrorCode::ReadOnly
            | rusqlite::ErrorCode::CannotOpen
            | rusqlite::ErrorCode::PermissionDenied,
        ) => {
            "; the folder and what is in it have to belong to the user that runs bellwire (chown -R), on a disk that can be written"
        }
        Some(_) | None => "",
    }
}

/// Numbers and words of people are in it: a folder that we make is for our own user alone, whatever the umask is.
pub(super) fn private_folder(directory: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

fn private_file(path: &Path, empty: bool) -> std::io::Result<()> {
    let file = state_file(path)?;
    if empty { file.set_len(0) } else { Ok(()) }
}

impl Store {
    /// Opens or creates the database, brings it to this version, and checks that a commit will be durable.
    pub fn open(directory: &Path, dice: &mut Rng) -> Result<Self, OpenError> {
        private_folder(directory).map_err(|error| OpenError::Directory(directory.to_owned(), error))?;
        let mut store = match Self::open_sound(directory, dice) {
            Err(OpenError::Sql(path, error)) if salvage::is_damage(&error) => {
                tracing::error!(%error, "the database is damaged; it is set aside, and what can be read is taken over");
                let aside = salvage::set_aside(&path).map_err(|error| OpenError::Directory(path, error))?;
                let mut store = Self::open_sound(directory, dice)?;
                store.salvage(&aside).map_err(|error| OpenError::Sql(aside, error))?;
                store
            }
            other => other?,
        };
        let wrap = |error| OpenError::Sql(directory.to_owned(), error);
        store.take_mark().map_err(wrap)?;
        let unreleased = store.unreleased().map_err(wrap)?;
        store.findings.extend(unreleased.map(|what| format!("{what}; {RELEASE}")));
        Ok(store)
    }

    fn open_sound(directory: &Path, dice: &mut Rng) -> Result<Self, OpenError> {
        let path = directory.join("bellwire.db");
        let wrap = |error| OpenError::Sql(path.clone(), error);
        // SQLite gives what it makes beside it the same mode.
        private_file(&path, false).map_err(|error| OpenError::Directory(directory.to_owned(), error))?;
        let sql = Connection::open(&path).map_err(wrap)?;
        configure(&sql, &path)?;
        if !salvage::is_sound(&sql, directory) {
            let damage = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
            return Err(wrap(rusqlite::Error::SqliteFailure(damage, None)));
        }
        let sql = if migrate(&sql, directory, &path)? {
            // What reading the scripts took, 0.2 MB, is given back: the connection that stays has read the tables alone.
            drop(sql);
            let sql = Connection::open(&path).map_err(wrap)?;
            configure(&sql, &path)?;
            sql
        } else {
            sql
        };
        crate::store::db::reserve::keep(directory);
        sql.execute("INSERT OR IGNORE INTO meta VALUES ('tag', ?1)", [dice.tag()]).map_err(wrap)?;
        let key = dice.secret_key().ok_or(OpenError::NoRandomness)?;
        sql.execute("INSERT OR IGNORE INTO meta VALUES ('key', ?1)", [hex(&key)]).map_err(wrap)?;
        Self::with(sql, directory).map_err(wrap)
    }

    /// One for a test, in a folder that goes with it.
    #[cfg(test)]
    pub fn in_new_folder() -> (tempfile::TempDir, Self) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Self::open(folder.path(), &mut Rng::seeded(1)).expect("opens");
        (folder, store)
    }

    /// For the commands of an operator, beside a daemon that may be running: short transactions only.
    pub fn open_existing(directory: &Path) -> Result<Self, OpenError> {
        let path = directory.join("bellwire.db");
        if !path.exists() {
            return Err(OpenError::Missing(directory.to_owned()));
        }
        let wrap = |error| OpenError::Sql(path.clone(), error);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let sql = Connection::open_with_flags(&path, flags).map_err(wrap)?;
        configure(&sql, &path)?;
        match version(&sql).map_err(wrap)? {
            found if found > MIGRATIONS.len() => Err(OpenError::Newer(found)),
            found if found < MIGRATIONS.len() => Err(OpenError::Missing(directory.to_owned())),
            _ => Self::with(sql, directory).map_err(wrap),
        }
    }

    /// For whoever only looks, perhaps beside a daemon: nothing can be written. `None`: there is none of this version yet.
    pub fn open_to_read(directory: &Path) -> Result<Option<Self>, OpenError> {
        let path = directory.join("bellwire.db");
        if !path.exists() {
            return Ok(None);
        }
        let wrap = |error| OpenError::Sql(path.clone(), error);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let sql = Connection::open_with_flags(&path, flags).map_err(wrap)?;
        sql.busy_timeout(Duration::from_secs(5)).map_err(wrap)?;
        match version(&sql).map_err(wrap)? {
            found if found > MIGRATIONS.len() => Err(OpenError::Newer(found)),
            found if found < MIGRATIONS.len() => Ok(None),
            _ => Self::with(sql, directory).map(Some).map_err(wrap),
        }
    }

    fn with(sql: Connection, directory: &Path) -> rusqlite::Result<Self> {
        sql.set_prepared_statement_cache_capacity(192); // every statement of this module, prepared once: there are 150
        let meta = |key: &str| {
            sql.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get::<_, String>(0))
        };
        let tag = copies::tag(&sql)?;
        let unreleased = "SELECT EXISTS (SELECT 1 FROM copy WHERE released_at IS NULL)";
        let is_unreleased = sql.query_row(unreleased, [], |row| row.get(0))?;
        let seal = ButtonSigner::new(tag.clone(), key(&meta("key")?)?);
        Ok(Self {
            sql,
            directory: directory.to_owned(),
            tag,
            seal,
            mark: CommitWatermark::none(),
            undo: Undo::default(),
            under_way: UnderWay::default(),
            seen_version: Cell::new(0),
            is_unreleased,
            findings: Vec::new(),
        })
    }

    /// Findings of the opening for the owner.
    #[must_use]
    pub fn findings(&self) -> &[String] {
        &self.findings
    }

    #[must_use]
    pub fn tag(&self) -> &StoreTag {
        &self.tag
    }

    /// The tag that makes the default MQTT client id this installation's own. `None`: the database is from a time when
    /// the site's name alone made it, and what the broker keeps under that name shall still come.
    pub fn client_tag(&self) -> rusqlite::Result<Option<StoreTag>> {
        // After a restore the tag is another one, and what the broker keeps for this installation shall still come.
        let sql = "SELECT value FROM meta WHERE key IN ('client_tag', 'tag') AND NOT EXISTS \
                   (SELECT 1 FROM meta WHERE key = 'client_id_by_site') ORDER BY key LIMIT 1";
        self.sql
            .query_row(sql, [], |row| row.get::<_, String>(0))
            .optional()
            .map(|tag| tag.map(StoreTag::new))
    }

    /// The key that seals buttons and makes pseudonyms.
    #[must_use]
    pub fn seal(&self) -> &ButtonSigner {
        &self.seal
    }

    /// Everything in `work` or nothing, durable when it returns.
    pub fn transaction<T>(&self, work: impl FnOnce(&Self) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        self.sql.execute_batch("BEGIN IMMEDIATE")?;
        match work(self).and_then(|value| self.sql.execute_batch("COMMIT").map(|()| value)) {
            Ok(value) => {
                self.held();
                Ok(value)
            }
            Err(error) => {
                // After some errors SQLite has rolled back already; a second ROLLBACK then fails, which is as well.
                let _already_rolled_back = self.sql.execute_batch("ROLLBACK");
                self.undone(0);
                Err(error)
            }
        }
    }
}

fn key(digits: &str) -> rusqlite::Result<[u8; 32]> {
    unhex(digits).and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
        let what = "the key in the table `meta` is damaged; delete that row and start again: buttons that are out will not act";
        rusqlite::Error::InvalidParameterName(what.into())
    })
}

/// WAL and a sync for each commit (docs/reliability.md E8), read back because a setting that silently does not hold is worse than none.
fn configure(sql: &Connection, path: &Path) -> Result<(), OpenError> {
    let wrap = |error| OpenError::Sql(path.to_owned(), error);
    sql.busy_timeout(Duration::from_secs(5)).map_err(wrap)?; // an operator's command may be writing
    // A statement is planned once. Without this, those that a partial index may serve are planned again with each new value.
    sql.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(wrap)?;
    sql.execute_batch(
        "PRAGMA page_size = 512;              -- of a new database: salvage::PAGE_BYTES. An alert's commits touch 17 pages, and
                                             -- the card writes 4 KiB at least: with 1,024 bytes, and a log of 256, 40 KB
                                             -- an alert, with these 24 KB
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA wal_autocheckpoint = 2048;    -- 1 MiB: the same pages are folded in once for a hundred alerts. Short enough
                                             -- for a full disk (E10); what bit rot drops of it is told (E12)
         PRAGMA journal_size_limit = 1310720; -- above what these pages and a commit take, so that the file keeps its length
         PRAGMA foreign_keys = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA mmap_size = 0;
         PRAGMA cache_size = -1024;           -- 1 MiB: the working set is the head of each lane
         PRAGMA secure_delete = OFF;",
    )
    .map_err(wrap)?;
    let journal: String = sql.query_row("PRAGMA journal_mode", [], |row| row.get(0)).map_err(wrap)?;
    let synchronous: i64 = sql.query_row("PRAGMA synchronous", [], |row| row.get(0)).map_err(wrap)?;
    if journal != "wal" {
        return Err(OpenError::NotDurable("another journal", "journal_mode=WAL", path.to_owned()));
    }
    if synchronous != 2 {
        return Err(OpenError::NotDurable("a weaker setting", "synchronous=FULL", path.to_owned()));
    }
    Ok(())
}

fn version(sql: &Connection) -> rusqlite::Result<usize> {
    sql.query_row("PRAGMA user_version", [], |row| row.get(0)).map(|version: u32| version as usize)
}

/// Each step in a transaction of its own, after a backup when there is something to lose. Whether there was a step to take.
fn migrate(sql: &Connection, directory: &Path, path: &Path) -> Result<bool, OpenError> {
    let wrap = |error| OpenError::Sql(path.to_owned(), error);
    let found = version(sql).map_err(wrap)?;
    if found > MIGRATIONS.len() {
        return Err(OpenError::Newer(found));
    }
    if found > 0 && found < MIGRATIONS.len() {
        let backup = directory.join(format!("bellwire.db.before-version-{}", MIGRATIONS.len()));
        if !backup.exists() {
            // One that a power cut left half done is begun again: it has its name when it is whole.
            let part = backup.with_extension("part");
            let refuse = |error| OpenError::Directory(directory.to_owned(), error);
            private_file(&part, true).map_err(refuse)?;
            sql.execute("VACUUM INTO ?1", [part.to_string_lossy()]).map_err(OpenError::Backup)?;
            std::fs::rename(&part, &backup).map_err(refuse)?;
        }
    }
    for (index, script) in MIGRATIONS.iter().enumerate().skip(found) {
        sql.execute_batch(&format!("BEGIN IMMEDIATE; {script} PRAGMA user_version = {}; COMMIT;", index + 1))
            .map_err(wrap)?;
    }
    if found < MIGRATIONS.len() {
        // The tables go where no damage to the log can reach them; the row says how it went, and later is as good.
        sql.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(wrap)?;
    }
    Ok(found < MIGRATIONS.len())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::outbox::message::{Content, Media, Part};
    use crate::store::{Lock, LockError};

    #[test]
    fn a_second_daemon_is_refused_and_the_first_goes_on() {
        let directory = tempfile::tempdir().expect("a directory");
        let first = Lock::take(directory.path()).expect("free");
        assert!(matches!(Lock::take(directory.path()), Err(LockError::Taken(_))));
        drop(first);
        Lock::take(directory.path()).expect("free again");
    }

    #[test]
    fn a_database_of_a_newer_version_is_left_alone() {
        let (directory, store) = Store::in_new_folder();
        store.sql.execute_batch("PRAGMA user_version = 99").expect("set");
        drop(store);
        assert!(matches!(Store::open(directory.path(), &mut Rng::seeded(1)), Err(OpenError::Newer(99))));
    }

    /// Each version that ever was: as its scripts left it, with a webhook that waits.
    #[test]
    fn f11_every_earlier_database_version_is_migrated_after_a_backup() {
        for version in 1..MIGRATIONS.len() {
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path().join("bellwire.db");
            let sql = Connection::open(&path).expect("opens");
            sql.execute_batch(&MIGRATIONS[..version].concat()).expect("made");
            let waits =
                "INSERT INTO inbox (received_at, body, state, checksum) VALUES (1, x'00', 'new', x'00')";
            sql.execute_batch(&format!("{waits}; PRAGMA user_version = {version}")).expect("filled");
            drop(sql);
            let store = Store::open(directory.path(), &mut Rng::seeded(1)).expect("opens");
            assert_eq!(super::version(&store.sql).expect("a version"), MIGRATIONS.len());
            let kept: i64 =
                store.sql.query_row("SELECT count(*) FROM inbox", [], |row| row.get(0)).expect("counted");
            assert_eq!(kept, 1);
            let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
            let backup = directory.path().join(format!("bellwire.db.before-version-{}", MIGRATIONS.len()));
            assert_eq!(mode(&backup), 0o600);
            let backup = Connection::open(backup).expect("a backup");
            assert_eq!(
                super::version(&backup).expect("a version"),
                version,
                "the backup is of the old version"
            );
        }
    }

    #[test]
    fn what_it_writes_is_for_its_own_user_alone() {
        let parent = tempfile::tempdir().expect("a directory");
        let directory = parent.path().join("state");
        let store = Store::open(&directory, &mut Rng::seeded(1)).expect("opens");
        store.keep_webhook(b"a word of somebody", crate::time::Timestamp(1)).expect("kept");
        let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&directory), 0o700);
        for name in ["bellwire.db", "bellwire.db-wal"] {
            assert_eq!(mode(&directory.join(name)), 0o600, "{name}");
        }
    }

    #[test]
    fn a_link_in_the_state_directory_leads_nowhere() {
        let directory = tempfile::tempdir().expect("a directory");
        let victim = directory.path().join("victim");
        std::fs::write(&victim, "do not touch").expect("written");
        let state = directory.path().join("state");
        std::fs::create_dir(&state).expect("made");
        let plant = |name: &str| std::os::unix::fs::symlink(&victim, state.join(name)).expect("planted");
        plant("bellwire.lock");
        let error = Lock::take(&state).expect_err("a link").to_string();
        assert!(error.contains("it is a link"), "{error}");
        for name in ["mark", "reserve", "under-way", "suspect"] {
            plant(name);
        }
        drop(Store::open(&state, &mut Rng::seeded(1)).expect("opens without them"));
        crate::store::Crashes::open(&state).begin(&[1]);
        salvage::suspect(&state);
        assert_eq!(std::fs::read_to_string(&victim).expect("there"), "do not touch");
        let database = directory.path().join("other");
        std::fs::create_dir(&database).expect("made");
        std::os::unix::fs::symlink(&victim, database.join("bellwire.db")).expect("planted");
        assert!(matches!(Store::open(&database, &mut Rng::seeded(1)), Err(OpenError::Directory(..))));
        assert_eq!(std::fs::read_to_string(&victim).expect("there"), "do not touch");
    }

    #[test]
    fn only_new_stores_add_their_tag_to_the_client_id() {
        let directory = tempfile::tempdir().expect("a folder");
        let store = Store::open(directory.path(), &mut Rng::seeded(1)).expect("opens");
        assert_eq!(store.client_tag().expect("read").as_ref(), Some(store.tag()));
        drop(store);
        let old = tempfile::tempdir().expect("a folder");
        let sql = Connection::open(old.path().join("bellwire.db")).expect("made");
        let before =
            MIGRATIONS.iter().position(|script| script.contains("client_id_by_site")).expect("there");
        for script in MIGRATIONS.iter().take(before) {
            sql.execute_batch(script).expect("a script");
        }
        sql.execute("INSERT INTO meta VALUES ('tag', '0badcafe')", []).expect("written");
        sql.execute_batch(&format!("PRAGMA user_version = {before}")).expect("set");
        drop(sql);
        let store = Store::open(old.path(), &mut Rng::seeded(2)).expect("opens");
        assert_eq!((store.tag().own.as_str(), store.client_tag().expect("read")), ("0badcafe", None));
    }

    #[test]
    fn a_migration_marks_waiting_messages_with_files() {
        let sql = Connection::open_in_memory().expect("made");
        let at = MIGRATIONS.iter().position(|script| script.contains("ADD COLUMN files")).expect("there");
        MIGRATIONS.iter().take(at).for_each(|script| sql.execute_batch(script).expect("a script"));
        let picture = |media| Content { part: Some(Part::Image(media)), ..Content::text("x") };
        let all = [
            (Content::text("no \"fetch\":{ at all"), false),
            (picture(Media::Id("1".into())), false),
            (picture(Media::Link("https://example.org/a.jpg".into())), false),
            (picture(Media::Kept { sha256: "00".into(), is_drawn: false }), true),
            (picture(Media::Fetch { url: "http://192.0.2.1/a.jpg".into() }), true),
            (picture(Media::File { path: "/srv/a.jpg".into(), within: None }), true),
        ];
        for (content, _) in &all {
            let content = serde_json::to_string(content).expect("written");
            sql.execute(
                "INSERT INTO message (connection, contact, address, severity, content, on_unknown, created_at, expires_at,
                     state, changed_at, reason, checksum, mergeable)
                 VALUES ('main', 'nino', '+15550100123', 1, ?1, 'retry', 0, 0, 'queued', 0, '', x'00', 0)",
                [content],
            )
            .expect("written");
        }
        sql.execute_batch(MIGRATIONS[at]).expect("a script");
        for ((content, files), id) in all.iter().zip(1..) {
            let found = sql.query_row("SELECT files FROM message WHERE id = ?1", [id], |row| row.get(0));
            assert_eq!((found, content.needs_upload()), (Ok(*files), *files), "{content:?}");
        }
    }

    #[test]
    fn a_store_keeps_its_tag() {
        let (directory, store) = Store::in_new_folder();
        let first = store.tag().clone();
        drop(store);
        let second = Store::open(directory.path(), &mut Rng::seeded(2)).expect("opens").tag().clone();
        assert_eq!(first, second);
    }
}
