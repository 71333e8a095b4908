//! Files that people sent: which are wanted, kept, gone. Their bytes are on the shelf.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::{OptionalExtension, Result, Row, params};

use super::{MediaFiles, Store};
use crate::ids::{ConnectionName, ContactId};
use crate::reply::inbound::NewFile;
use crate::time::Timestamp;
use crate::words::word_enum;

/// Files that may wait to be fetched; who sends more at once gets the rest refused. A person's album has 30 pictures.
const WANTED_MAX: i64 = 200;
/// Meta keeps what people send for so long (docs/cloud-api.md 2).
const AT_META: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Fetches that Meta refused, or whose bytes were not what was announced.
const TRIES_MAX: u32 = 5;

word_enum! {
    /// Where a file stands.
    FileState {
        /// To be fetched from Meta.
        Wanted = "wanted",
        /// On this machine.
        Kept = "kept",
        /// It could not be fetched.
        Failed = "failed",
        /// It was kept, and is not any more.
        Gone = "gone",
    }
}

/// One file, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRow {
    pub id: i64,
    pub media_id: String,
    pub connection: ConnectionName,
    pub contact: ContactId,
    pub kind: String,
    pub mime: String,
    pub name: Option<String>,
    pub sha256: Option<String>,
    pub at: Timestamp,
    pub state: FileState,
    pub tries: u32,
    pub bytes: u32,
    pub reason: String,
}

/// The outcome of one fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    Kept { bytes: u32 },
    Later { at: Timestamp, counts: bool, reason: String },
    Failed(String),
}

const COLUMNS: &str =
    "id, media_id, connection, contact, kind, mime, name, sha256, at, state, tries, bytes, reason";

impl Store {
    /// Wants the file of a message that a contact wrote; a stranger's is not fetched.
    pub fn want_file(&self, file: &NewFile, connection: &ConnectionName) -> Result<bool> {
        let waiting: i64 =
            self.sql.query_row("SELECT count(*) FROM file WHERE state = 'wanted'", [], |row| row.get(0))?;
        let (state, reason) = if waiting < WANTED_MAX {
            (FileState::Wanted, "waiting to be fetched")
        } else {
            (FileState::Failed, "too many files came at once")
        };
        let new = self
            .sql
            .prepare_cached(
                "INSERT OR IGNORE INTO file (media_id, reply, connection, contact, kind, mime, name, sha256, at, state, reason)
                 SELECT ?1, wamid, ?3, contact, ?4, ?5, ?6, ?7, ?8, ?9, ?10 FROM reply WHERE wamid = ?2 AND contact IS NOT NULL",
            )?
            .execute(params![
                file.media_id,
                file.wamid.0,
                connection.0,
                file.kind,
                file.mime,
                file.name,
                file.sha256,
                file.at.0,
                state.as_str(),
                reason
            ])?;
        Ok(new > 0)
    }

    /// The oldest file that may be fetched now. What Meta no longer has is given up.
    pub fn next_file(&self, now: Timestamp) -> Result<Option<FileRow>> {
        if now.is_sane() {
            self.sql
                .prepare_cached(
                    "UPDATE file SET state = 'failed', reason = 'Meta keeps files for 7 days, and it could not be fetched in time: ' || reason
                     WHERE state = 'wanted' AND at < ?1",
                )?
                .execute([(now - AT_META).0])?;
        }
        self.sql
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM file WHERE state = 'wanted' AND not_before <= ?1 ORDER BY id LIMIT 1"
            ))?
            .query_row([now.0], read)
            .optional()
    }

    /// `false`: it is not wanted any more, since its sender was erased meanwhile.
    pub fn fetched(&self, id: i64, fetched: &Fetched) -> Result<bool> {
        let changed = match fetched {
            Fetched::Kept { bytes } => self
                .sql
                .prepare_cached(
                    "UPDATE file SET state = 'kept', bytes = ?2, reason = 'kept' WHERE id = ?1 AND state = 'wanted'",
                )?
                .execute(params![id, bytes]),
            Fetched::Later { at, counts, reason } => self
                .sql
                .prepare_cached(
                    "UPDATE file SET tries = tries + ?2, not_before = ?3, reason = ?4,
                         state = CASE WHEN tries + ?2 >= ?5 THEN 'failed' ELSE state END
                     WHERE id = ?1 AND state = 'wanted'",
                )?
                .execute(params![id, i64::from(*counts), at.0, reason, TRIES_MAX]),
            Fetched::Failed(reason) => self
                .sql
                .prepare_cached("UPDATE file SET state = 'failed', reason = ?2 WHERE id = ?1 AND state = 'wanted'")?
                .execute(params![id, reason]),
        }?;
        Ok(changed > 0)
    }

    /// Those that are older than `before`, and the oldest of what is too much, are gone from now on. The caller takes them
    /// off the shelf.
    pub fn crowd_out(&self, before: Timestamp, bytes_max: u64) -> Result<Vec<i64>> {
        let reason = "it was old, or there was no room for it (`[files]` in the configuration)";
        let kept: Vec<(i64, Timestamp, u32)> = self
            .sql
            .prepare_cached("SELECT id, at, bytes FROM file WHERE state = 'kept' ORDER BY at DESC, id DESC")?
            .query_map([], |row| Ok((row.get(0)?, Timestamp(row.get(1)?), row.get(2)?)))?
            .collect::<Result<_>>()?;
        let mut total: u64 = 0;
        let mut out = Vec::new();
        for (id, at, bytes) in kept {
            total = total.saturating_add(u64::from(bytes));
            if at < before || total > bytes_max {
                self.forget_file(id, reason)?;
                out.push(id);
            }
        }
        Ok(out)
    }

    /// `false`: it was not kept.
    pub fn forget_file(&self, id: i64, reason: &str) -> Result<bool> {
        let changed = self
            .sql
            .prepare_cached(
                "UPDATE file SET state = 'gone', bytes = 0, reason = ?2 WHERE id = ?1 AND state = 'kept'",
            )?
            .execute(params![id, reason])?;
        Ok(changed > 0)
    }

    /// Newest first.
    pub fn files(&self, limit: u32) -> Result<Vec<FileRow>> {
        self.sql
            .prepare_cached(&format!("SELECT {COLUMNS} FROM file ORDER BY id DESC LIMIT ?1"))?
            .query_map([limit], read)?
            .collect()
    }

    pub fn file(&self, id: i64) -> Result<Option<FileRow>> {
        self.sql
            .prepare_cached(&format!("SELECT {COLUMNS} FROM file WHERE id = ?1"))?
            .query_row([id], read)
            .optional()
    }

    /// The files that have to be on the shelf.
    pub fn kept_files(&self) -> Result<Vec<i64>> {
        self.sql
            .prepare_cached("SELECT id FROM file WHERE state = 'kept'")?
            .query_map([], |row| row.get(0))?
            .collect()
    }

    #[must_use]
    pub fn shelf(&self) -> MediaFiles {
        MediaFiles::new(PathBuf::clone(&self.directory))
    }
}

fn read(row: &Row) -> Result<FileRow> {
    Ok(FileRow {
        id: row.get(0)?,
        media_id: row.get(1)?,
        connection: ConnectionName(row.get(2)?),
        contact: ContactId(row.get(3)?),
        kind: row.get(4)?,
        mime: row.get(5)?,
        name: row.get(6)?,
        sha256: row.get(7)?,
        at: Timestamp(row.get(8)?),
        state: FileState::parse(&row.get::<_, String>(9)?).unwrap_or(FileState::Failed), // one of a later version
        tries: row.get(10)?,
        bytes: row.get(11)?,
        reason: row.get(12)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_state_reads_back_as_written() {
        for (state, word) in [
            (FileState::Wanted, "wanted"),
            (FileState::Kept, "kept"),
            (FileState::Failed, "failed"),
            (FileState::Gone, "gone"),
        ] {
            assert_eq!((state.as_str(), FileState::parse(word)), (word, Some(state)));
        }
        assert_eq!(FileState::parse("lost"), None);
    }
}
