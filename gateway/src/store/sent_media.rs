//! Files that came with events, and what of them Meta has already.

use std::time::Duration;

use bytes::Bytes;
use rusqlite::{OptionalExtension, Result, params};

use super::Store;
use crate::ids::{ConnectionName, MessageId};
use crate::rule::attachment::StoredFile;
use crate::time::Timestamp;

/// An upload lives for 30 days at Meta (docs/cloud-api.md 2); a day is left for a message that waits.
const UPLOAD_LIVES: Duration = Duration::from_secs(29 * 24 * 3_600);

impl Store {
    pub(super) fn keep_media(&self, kept: &StoredFile, at: Timestamp) -> Result<()> {
        self.sql
            .prepare_cached("INSERT OR IGNORE INTO media VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![kept.sha256, kept.mime, &kept.bytes[..], at.0])
            .map(drop)
    }

    /// A file, by its SHA-256.
    pub fn media(&self, sha256: &str) -> Result<Option<StoredFile>> {
        self.sql
            .prepare_cached("SELECT mime, bytes FROM media WHERE sha256 = ?1")?
            .query_row([sha256], |row| {
                let bytes = Bytes::from(row.get::<_, Vec<u8>>(1)?);
                Ok(StoredFile { sha256: sha256.to_owned(), mime: row.get(0)?, bytes })
            })
            .optional()
    }

    /// Meta's id of a file that was uploaded before and still lives.
    pub fn uploaded(
        &self,
        connection: &ConnectionName,
        sha256: &str,
        now: Timestamp,
    ) -> Result<Option<String>> {
        self.sql
            .prepare_cached("SELECT media_id FROM upload WHERE connection = ?1 AND sha256 = ?2 AND at > ?3")?
            .query_row(params![connection.0, sha256, (now - UPLOAD_LIVES).0], |row| row.get(0))
            .optional()
    }

    pub fn remember_upload(
        &self,
        connection: &ConnectionName,
        sha256: &str,
        media_id: &str,
        now: Timestamp,
    ) -> Result<()> {
        self.sql
            .prepare_cached("INSERT OR REPLACE INTO upload VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![connection.0, sha256, media_id, now.0])
            .map(drop)
    }

    /// Meta refused the files of this message: it goes out without them, and they are uploaded anew for others.
    pub(super) fn media_refused(&self, connection: &ConnectionName, id: MessageId) -> Result<()> {
        self.sql.prepare_cached("UPDATE message SET bare = 1 WHERE id = ?1")?.execute([id.0])?;
        self.sql
            .prepare_cached(
                "DELETE FROM upload WHERE connection = ?1
                 AND instr((SELECT content FROM message WHERE id = ?2), sha256) > 0",
            )?
            .execute(params![connection.0, id.0])
            .map(drop)
    }
}
