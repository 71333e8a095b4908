//! A database that cannot be read (docs/reliability.md F5): it is set aside for a person, a new one starts with every row that
//! can still be read, and alerts flow again. Each row that leaves the store still has its checksum to pass.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OpenFlags, Result, params_from_iter};

use crate::store::Store;
use crate::store::db::state_file::state_file;

/// Says that a running daemon met damage: the next start looks at every page.
const SUSPECT: &str = "suspect";
/// Places in one table where reading failed and was tried further on: a card that fails everywhere ends the attempt.
const HOLES_MAX: u32 = 1_000;
const HEADER_BYTES: usize = 100;
/// As `open` asks for, and as earlier versions did: a database keeps the size that it was made with.
const PAGE_BYTES: u16 = 512;
const EARLIER_PAGE_BYTES: u16 = 1_024;
/// What a new database lends to a damaged one, and the damaged one's pages. A whole first page names the tables' places, which
/// are the same only in databases that the same scripts made.
const LOANS: [(usize, u16); 4] = [
    (0, PAGE_BYTES),
    (HEADER_BYTES, PAGE_BYTES),
    (HEADER_BYTES, EARLIER_PAGE_BYTES),
    (PAGE_BYTES as usize, PAGE_BYTES),
];

/// Whether an error means that the file is not what we wrote.
pub fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Left behind by a daemon that ends because of damage.
pub fn suspect(directory: &Path) {
    if let Err(error) = state_file(&directory.join(SUSPECT)) {
        tracing::error!(%error, "the damage was not recorded: the next start does not look for it");
    }
}

/// Looks at every page if the last daemon met damage. `false`: set the database aside.
pub fn is_sound(sql: &Connection, directory: &Path) -> bool {
    let flag = directory.join(SUSPECT);
    if !flag.exists() {
        return true;
    }
    let verdict: Result<String> = sql.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0));
    drop(std::fs::remove_file(flag)); // once is enough
    verdict.is_ok_and(|verdict| verdict == "ok")
}

/// Moves the database and its log to the first free `bellwire.db.corrupt-N`.
pub fn set_aside(path: &Path) -> std::io::Result<PathBuf> {
    let beside = |suffix: &str| PathBuf::from(format!("{}{suffix}", path.display()));
    let free = (1..).map(|number| beside(&format!(".corrupt-{number}"))).find(|aside| !aside.exists());
    let aside = free.unwrap_or_else(|| beside(".corrupt"));
    std::fs::rename(path, &aside)?;
    let log = beside("-wal");
    if log.exists() {
        std::fs::rename(log, format!("{}-wal", aside.display()))?;
    }
    let index = beside("-shm"); // made anew at each opening
    if index.exists() {
        std::fs::remove_file(index)?;
    }
    Ok(aside)
}

impl Store {
    /// Takes over what can be read from the file that was set aside, and notes down how it went.
    pub(in crate::store) fn salvage(&mut self, aside: &Path) -> Result<()> {
        let copied = self.copy_from(aside);
        let waiting: i64 = self.sql.query_row(
            "SELECT count(*) FROM message WHERE state IN ('queued', 'sending', 'unknown', 'held')",
            [],
            |row| row.get(0),
        )?;
        let how = match copied {
            Ok((rows, 0)) => format!("all {rows} rows that it lists were read"),
            Ok((rows, holes)) => format!("{rows} rows were read, at {holes} places nothing could be"),
            Err(error) => format!("nothing in it could be read ({error})"),
        };
        self.findings.push(format!(
            "the database was damaged and has been set aside as {}; {how}; {waiting} messages wait again. \
             The memory card may be failing: replace it",
            aside.display()
        ));
        Ok(())
    }

    /// Rows, and places that could not be read.
    fn copy_from(&self, aside: &Path) -> std::result::Result<(usize, u32), Box<dyn std::error::Error>> {
        self.sql.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?; // the new file's first page is lent out below
        let copy = self.directory.join("salvage.db");
        let damaged = openable(aside, &self.directory.join("bellwire.db"), &copy)?;
        self.sql.execute_batch("PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE")?;
        let mut sum = (0, 0);
        for (table, by_id) in tables(&self.sql)? {
            let (rows, holes) = copy_table(&damaged, &self.sql, &table, by_id)?;
            sum = (sum.0 + rows, sum.1 + holes);
        }
        mend_references(&self.sql)?;
        self.sql.execute_batch("COMMIT; PRAGMA foreign_keys = ON")?;
        drop(damaged);
        for suffix in ["", "-wal", "-shm"] {
            drop(std::fs::remove_file(format!("{}{suffix}", copy.display()))); // it may not be there
        }
        Ok(sum)
    }
}

/// A copy that SQLite opens: as it is, or with the header of a new database, or with all of its first page.
fn openable(
    aside: &Path,
    new: &Path,
    copy: &Path,
) -> std::result::Result<Connection, Box<dyn std::error::Error>> {
    let mut last: Box<dyn std::error::Error> = "it is empty".into();
    for (lent, page_bytes) in LOANS {
        std::fs::copy(aside, copy)?;
        let log = format!("{}-wal", aside.display());
        if Path::new(&log).exists() {
            std::fs::copy(log, format!("{}-wal", copy.display()))?;
        }
        lend(new, copy, lent, page_bytes)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(copy, flags).and_then(|sql| {
            sql.query_row("SELECT count(*) FROM message", [], |row| row.get::<_, i64>(0)).map(|_| sql)
        });
        match opened {
            Ok(sql) => return Ok(sql),
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

/// The first bytes of `new` over those of `copy`, with the copy's own sizes (file format 1.3.2 and 1.3.7: a wrong one is an
/// error).
fn lend(new: &Path, copy: &Path, bytes: usize, page_bytes: u16) -> std::io::Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    let mut first = vec![0; bytes];
    File::open(new)?.read_exact(&mut first)?;
    let file = File::options().write(true).open(copy)?;
    let pages = u32::try_from(file.metadata()?.len() / u64::from(page_bytes)).unwrap_or(u32::MAX);
    first[16..18].copy_from_slice(&page_bytes.to_be_bytes());
    first[28..32].copy_from_slice(&pages.to_be_bytes());
    first[32..40].fill(0); // no list of free pages: nothing is written to the copy
    file.write_all_at(&first, 0)?;
    (&file).flush()
}

/// Each table, and whether its rows have ids to go on from behind a hole.
fn tables(sql: &Connection) -> Result<Vec<(String, bool)>> {
    sql.prepare(
        "SELECT name, wr = 0 FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite_%'",
    )?
    .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
    .collect()
}

fn copy_table(from: &Connection, to: &Connection, table: &str, by_id: bool) -> Result<(usize, u32)> {
    let width = to.prepare(&format!("SELECT * FROM \"{table}\""))?.column_count();
    let places = vec!["?"; width].join(", ");
    let mut insert = to.prepare(&format!("INSERT OR REPLACE INTO \"{table}\" VALUES ({places})"))?;
    let order = if by_id { "WHERE rowid >= ?1 ORDER BY rowid" } else { "WHERE ?1 = ?1" };
    let select = format!("SELECT {}, * FROM \"{table}\" {order}", if by_id { "rowid" } else { "0" });
    let (mut copied, mut holes, mut start, mut step) = (0, 0, 0_i64, 1_i64);
    loop {
        let mut reached = start;
        let mut pass = || -> Result<()> {
            let mut select = from.prepare(&select)?;
            let mut rows = select.query([start])?;
            while let Some(row) = rows.next()? {
                let values: Vec<Value> = (1..=width).map(|at| row.get(at)).collect::<Result<_>>()?;
                reached = row.get::<_, i64>(0)?.saturating_add(1);
                // A row whose columns are not what they should be is left out.
                copied += insert.execute(params_from_iter(values)).unwrap_or(0);
            }
            Ok(())
        };
        if pass().is_ok() {
            return Ok((copied, holes));
        }
        holes += 1;
        if !by_id || holes >= HOLES_MAX || step > i64::MAX / 4 {
            return Ok((copied, holes));
        }
        // Behind the page that cannot be read: its last row's id is not known, so the steps grow.
        step = if reached > start { 1 } else { step * 2 };
        start = reached.saturating_add(step);
    }
}

/// Rows whose counterpart is gone: a message can do without its alert, other rows say nothing alone.
fn mend_references(sql: &Connection) -> Result<()> {
    sql.execute_batch(
        "UPDATE message SET alert = NULL WHERE alert NOT IN (SELECT id FROM alert);
         UPDATE message SET digest = NULL WHERE digest NOT IN (SELECT id FROM message);",
    )?;
    let broken: Vec<(String, Option<i64>, String)> = sql
        .prepare("SELECT \"table\", rowid, parent FROM pragma_foreign_key_check")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_>>()?;
    for (table, rowid, parent) in broken {
        let Some(rowid) = rowid else {
            tracing::warn!(table, parent, "rows whose parent row is missing could not be deleted");
            continue;
        };
        sql.execute(&format!("DELETE FROM \"{table}\" WHERE rowid = ?1"), [rowid])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Rng;
    use crate::time::Timestamp;

    const ROWS: i64 = 400;

    /// A database of 400 webhooks, each on pages of its own, folded in and closed.
    fn filled() -> tempfile::TempDir {
        fill(tempfile::tempdir().expect("a directory"))
    }

    fn fill(directory: tempfile::TempDir) -> tempfile::TempDir {
        let store = Store::open(directory.path(), &mut Rng::seeded(1)).expect("opens");
        store
            .transaction(|store| {
                (0..ROWS).try_for_each(|_| store.keep_webhook(&[b'x'; 3_000], Timestamp(1)).map(drop))
            })
            .expect("filled");
        store.mark();
        drop(store);
        directory
    }

    /// Overwrites bytes, opens, and tells how many webhooks came through, and what was found.
    fn after_damage(at: usize, bytes: usize) -> (i64, Vec<String>) {
        damage(filled(), at, bytes)
    }

    fn damage(directory: tempfile::TempDir, at: usize, bytes: usize) -> (i64, Vec<String>) {
        let path = directory.path().join("bellwire.db");
        let file = File::options().write(true).open(&path).expect("the file");
        file.write_all_at(&vec![0xff; bytes], at as u64).expect("damaged");
        suspect(directory.path());
        let store = Store::open(directory.path(), &mut Rng::seeded(1)).expect("opens again");
        assert!(directory.path().join("bellwire.db.corrupt-1").exists(), "the old file is kept for a person");
        let left = store.sql.query_row("SELECT count(*) FROM inbox", [], |row| row.get(0)).expect("counted");
        (left, store.findings.clone())
    }

    #[test]
    fn a_lost_header_costs_no_row() {
        let (left, found) = after_damage(0, HEADER_BYTES);
        assert_eq!(left, ROWS, "{found:?}");
    }

    #[test]
    fn a_lost_header_in_an_older_file_loses_no_row() {
        let directory = tempfile::tempdir().expect("a directory");
        let sql = Connection::open(directory.path().join("bellwire.db")).expect("made");
        let made = format!(
            "PRAGMA page_size = {EARLIER_PAGE_BYTES}; PRAGMA journal_mode = WAL; PRAGMA user_version = 0"
        );
        sql.execute_batch(&made).expect("made");
        drop(sql);
        let directory = fill(directory);
        let (left, found) = damage(directory, 0, HEADER_BYTES);
        assert_eq!(left, ROWS, "{found:?}");
    }

    #[test]
    fn a_lost_first_page_costs_no_row() {
        let (left, found) = after_damage(0, PAGE_BYTES.into());
        assert_eq!(left, ROWS, "{found:?}");
    }

    #[test]
    fn pages_lost_in_the_middle_cost_what_was_on_them() {
        let (left, found) = after_damage(600 * 1024, 5 * usize::from(PAGE_BYTES));
        // A page of beginnings has ten rows' at most; the other four have a piece of one row each, or of ten beginnings again.
        assert!((ROWS - 20..ROWS).contains(&left), "{left}: {found:?}");
        assert!(found[0].contains("has been set aside as"), "{found:?}");
    }

    #[test]
    fn a_file_of_noise_starts_anew_and_says_so() {
        let (left, found) = after_damage(0, 8 * 1024 * 1024);
        assert_eq!(left, 0);
        assert!(found[0].contains("nothing in it could be read"), "{found:?}");
        assert!(found[1].contains("400 webhooks"), "the mark tells how many are gone: {found:?}");
    }

    #[test]
    fn what_is_sound_is_left_alone_after_a_suspicion() {
        let directory = filled();
        suspect(directory.path());
        let store = Store::open(directory.path(), &mut Rng::seeded(1)).expect("opens");
        assert!(store.findings.is_empty() && !directory.path().join(SUSPECT).exists());
    }

    /// docs/reliability.md E12: one flipped bit in the log drops every commit after it, and SQLite says nothing.
    #[test]
    fn commits_that_a_flipped_bit_drops_are_counted() {
        let copy = twenty_webhooks();
        let log = copy.path().join("bellwire.db-wal");
        let mut bytes = std::fs::read(&log).expect("the log");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&log, bytes).expect("written");
        let left = tells_how_many_are_gone(copy.path());
        assert!(left > 0, "what was before the bit is there");
    }

    /// Somebody tidied up after a power cut: what was only in the log is gone, and told.
    #[test]
    fn f05_a_deleted_log_is_reported_with_a_count() {
        let copy = twenty_webhooks();
        std::fs::remove_file(copy.path().join("bellwire.db-wal")).expect("deleted");
        assert_eq!(tells_how_many_are_gone(copy.path()), 0);
    }

    /// A state folder as a power cut leaves it, with twenty webhooks in the log alone.
    fn twenty_webhooks() -> tempfile::TempDir {
        let (directory, mut store) = Store::in_new_folder();
        let copy = tempfile::tempdir().expect("a directory");
        store.sql.execute_batch("PRAGMA wal_autocheckpoint = 0").expect("set");
        store.take_mark().expect("taken");
        for _ in 0..20 {
            store.transaction(|store| store.keep_webhook(b"webhook", Timestamp(1))).expect("received");
            store.mark();
        }
        for file in std::fs::read_dir(directory.path()).expect("files").map(|file| file.expect("a file")) {
            std::fs::copy(file.path(), copy.path().join(file.file_name())).expect("copied");
        }
        copy
    }

    /// Opens it, though SQLite has no complaint; how many of the twenty are left.
    fn tells_how_many_are_gone(directory: &Path) -> i64 {
        let store = Store::open(directory, &mut Rng::seeded(1)).expect("opens");
        let left: i64 =
            store.sql.query_row("SELECT count(*) FROM inbox", [], |row| row.get(0)).expect("counted");
        assert!(left < 20);
        assert!(
            store.findings[0].contains(&format!("{} webhooks", 20 - left)),
            "{left}: {:?}",
            store.findings
        );
        left
    }
}
