//! The audit of who asked for what, and its outcome: append-only, and each row's hash covers the row before it.

use rusqlite::{OptionalExtension, Result, Row, params};
use sha2::{Digest, Sha256};

use super::Store;
use crate::hex::hex;
use crate::ids::{CommandId, ContactId, Wamid};
use crate::time::Timestamp;

/// An entry to be written.
#[derive(Debug, Clone, Copy)]
pub struct AuditEntry<'a> {
    /// `asked`, `refused`, `confirmed`, `published`, `answered`, …
    pub what: &'a str,
    /// `None`: the clock, the broker or a device.
    pub who: Option<&'a ContactId>,
    pub message: Option<&'a Wamid>,
    pub command: Option<CommandId>,
    /// A sentence, without anybody's name or number.
    pub detail: &'a str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    pub id: i64,
    pub at: i64,
    pub what: String,
    /// A pseudonym; empty for the clock, the broker and devices.
    pub who: String,
    pub message: String,
    pub command: Option<i64>,
    pub detail: String,
    pub hash: Vec<u8>,
}

/// The place where the chain does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainBreak {
    #[error("row {0} was changed, or a row before it was inserted or removed: its hash does not follow")]
    Broken(i64),
    #[error("row {0} is missing")]
    Missing(i64),
    #[error("rows at the end were removed or added: the last hash is not the one that was kept")]
    Head,
}

/// The chain begins with this in place of a row before.
const BEFORE_ALL: [u8; 32] = [0; 32];
const COLUMNS: &str = "id, at, what, who, message, command, detail, hash";

impl Store {
    /// Writes one row, inside whatever transaction decides about it.
    pub fn record(&self, entry: &AuditEntry, now: Timestamp) -> Result<()> {
        let last: Option<(i64, Vec<u8>)> = self
            .sql
            .prepare_cached("SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1")?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let (id, before) = last.unwrap_or((0, BEFORE_ALL.to_vec()));
        let mut row = AuditRow {
            id: id + 1,
            at: now.0,
            what: entry.what.to_owned(),
            who: entry.who.map(|who| self.seal.pseudonym(who)).unwrap_or_default(),
            message: entry.message.map(digest).unwrap_or_default(),
            command: entry.command.map(|command| command.0),
            detail: entry.detail.to_owned(),
            hash: Vec::new(),
        };
        row.hash = row.chained(&before);
        self.sql.prepare_cached("INSERT INTO audit VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?.execute(
            params![row.id, row.at, row.what, row.who, row.message, row.command, row.detail, row.hash],
        )?;
        let head = hex(&row.hash);
        self.sql
            .prepare_cached("INSERT OR REPLACE INTO meta VALUES ('audit_head', ?1)")?
            .execute([head])
            .map(drop)
    }

    /// Newest last. `limit` counts from the end.
    pub fn audit(&self, limit: u32) -> Result<Vec<AuditRow>> {
        let mut rows: Vec<AuditRow> = self
            .sql
            .prepare_cached(&format!("SELECT {COLUMNS} FROM audit ORDER BY id DESC LIMIT ?1"))?
            .query_map([limit], read)?
            .collect::<Result<_>>()?;
        rows.reverse();
        Ok(rows)
    }

    /// Those before row `before`, newest first.
    pub fn audit_before(&self, before: i64, limit: u32) -> Result<Vec<AuditRow>> {
        self.sql
            .prepare_cached(&format!("SELECT {COLUMNS} FROM audit WHERE id < ?1 ORDER BY id DESC LIMIT ?2"))?
            .query_map(params![before, limit], read)?
            .collect()
    }

    /// Goes through the whole chain, a row at a time; how many rows there are, or the first flaw.
    pub fn verify_audit(&self) -> Result<std::result::Result<i64, ChainBreak>> {
        Ok(self.verify_on(ChainPosition::default(), u32::MAX)?.map(|reached| reached.id))
    }

    /// Goes on from there through at most so many rows; at the end the kept hash is compared as well.
    pub fn verify_on(
        &self,
        from: ChainPosition,
        limit: u32,
    ) -> Result<std::result::Result<ChainPosition, ChainBreak>> {
        let sql = format!("SELECT {COLUMNS} FROM audit WHERE id > ?1 ORDER BY id LIMIT ?2");
        let mut statement = self.sql.prepare_cached(&sql)?;
        let (mut reached, mut count) = (from, 0);
        for row in statement.query_map(params![reached.id, limit], read)? {
            let row = match row {
                // A byte that makes no letter any more: read by SQLite, and not by us.
                Err(rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::Utf8Error(..)) => {
                    return Ok(Err(ChainBreak::Broken(reached.id + 1)));
                }
                row => row?,
            };
            count += 1;
            if row.id != reached.id + 1 {
                return Ok(Err(ChainBreak::Missing(reached.id + 1)));
            }
            if row.hash != row.chained(&reached.hash) {
                return Ok(Err(ChainBreak::Broken(row.id)));
            }
            reached = ChainPosition { id: row.id, hash: row.hash, at_end: false };
        }
        reached.at_end = count < limit;
        if !reached.at_end {
            return Ok(Ok(reached));
        }
        let head: Option<String> = self
            .sql
            .query_row("SELECT value FROM meta WHERE key = 'audit_head'", [], |row| row.get(0))
            .optional()?;
        let kept = head.unwrap_or_default();
        let holds = if reached.id == 0 { kept.is_empty() } else { kept == hex(&reached.hash) };
        Ok(if holds { Ok(reached) } else { Err(ChainBreak::Head) })
    }

    /// The position from which a check of the newest `rows` begins: what is older is believed.
    pub fn audit_tail(&self, rows: u32) -> Result<ChainPosition> {
        let found = self
            .sql
            .prepare_cached(
                "SELECT id, hash FROM audit WHERE id <= (SELECT max(id) FROM audit) - ?1 ORDER BY id DESC LIMIT 1",
            )?
            .query_row([rows], |row| Ok(ChainPosition { id: row.get(0)?, hash: row.get(1)?, at_end: false }))
            .optional()?;
        Ok(found.unwrap_or_default())
    }
}

/// The position of a check of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainPosition {
    /// The last row that was looked at.
    pub id: i64,
    hash: Vec<u8>,
    /// Nothing comes behind it.
    pub at_end: bool,
}

impl Default for ChainPosition {
    /// Before the first row.
    fn default() -> Self {
        Self { id: 0, hash: BEFORE_ALL.to_vec(), at_end: false }
    }
}

impl AuditRow {
    fn chained(&self, before: &[u8]) -> Vec<u8> {
        let mut hash = Sha256::new();
        hash.update(before);
        hash.update(self.id.to_le_bytes());
        hash.update(self.at.to_le_bytes());
        hash.update(self.command.unwrap_or(-1).to_le_bytes());
        for part in [&self.what, &self.who, &self.message, &self.detail] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.finalize().to_vec()
    }
}

/// Meta's ids hold the person's number in base64, which must not stay here for ever.
fn digest(wamid: &Wamid) -> String {
    hex(&Sha256::digest(&wamid.0)[..8])
}

fn read(row: &Row) -> Result<AuditRow> {
    Ok(AuditRow {
        id: row.get(0)?,
        at: row.get(1)?,
        what: row.get(2)?,
        who: row.get(3)?,
        message: row.get(4)?,
        command: row.get(5)?,
        detail: row.get(6)?,
        hash: row.get(7)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(rows: i64) -> (tempfile::TempDir, Store) {
        let (directory, store) = Store::in_new_folder();
        let (nino, wamid) = (ContactId::from("nino"), Wamid::from("wamid.HBgMOTk1NTU1MTIzNDU2"));
        for number in 0..rows {
            let detail = format!("open door {number}");
            let entry = AuditEntry {
                what: "asked",
                who: Some(&nino),
                message: Some(&wamid),
                command: Some(CommandId(number)),
                detail: &detail,
            };
            store.record(&entry, Timestamp(1_000 + number)).expect("written");
        }
        (directory, store)
    }

    #[test]
    fn an_untouched_chain_holds() {
        for rows in [0, 1, 9] {
            assert_eq!(store(rows).1.verify_audit().expect("read"), Ok(rows));
        }
    }

    #[test]
    fn stepwise_and_tail_verification_agree() {
        let (_directory, store) = store(5);
        let begun = store.verify_on(ChainPosition::default(), 2).expect("read").expect("holds");
        assert_eq!((begun.id, begun.at_end), (2, false));
        let ended = store.verify_on(begun, 9).expect("read").expect("holds");
        assert_eq!((ended.id, ended.at_end), (5, true));
        let tail = store.audit_tail(2).expect("read");
        assert_eq!(tail.id, 3);
        assert_eq!(store.audit_tail(9).expect("read"), ChainPosition::default());
        let spoil = "DROP TRIGGER audit_is_not_changed; UPDATE audit SET detail = 'x' WHERE id = 4";
        store.sql.execute_batch(spoil).expect("spoilt");
        assert_eq!(store.verify_on(tail, 9).expect("read"), Err(ChainBreak::Broken(4)));
    }

    #[test]
    fn the_database_itself_refuses_changes() {
        let (_directory, store) = store(2);
        assert!(store.sql.execute("UPDATE audit SET detail = '' WHERE id = 1", []).is_err());
        assert!(store.sql.execute("DELETE FROM audit WHERE id = 1", []).is_err());
    }

    #[test]
    fn one_changed_removed_or_inserted_row_is_found() {
        const LAX: &str = "DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_deleted;";
        let spoilt = |change: &str| {
            let (_directory, store) = store(5);
            store.sql.execute_batch(&format!("{LAX} {change}")).expect(change);
            store.verify_audit().expect("read").expect_err(change)
        };
        for change in [
            "at = at + 1",
            "what = 'Asked'",
            "who = 'p-000000000000'",
            "message = ''",
            "command = command + 1",
            "command = NULL",
            "detail = 'open door 7'",
            "detail = detail || ' '",
            "hash = zeroblob(32)",
        ] {
            for row in 1..=5 {
                assert_eq!(
                    spoilt(&format!("UPDATE audit SET {change} WHERE id = {row}")),
                    ChainBreak::Broken(row)
                );
            }
        }
        for row in 1..5 {
            assert_eq!(spoilt(&format!("DELETE FROM audit WHERE id = {row}")), ChainBreak::Missing(row));
        }
        assert_eq!(spoilt("DELETE FROM audit WHERE id = 5"), ChainBreak::Head);
        assert_eq!(spoilt("DELETE FROM audit"), ChainBreak::Head);
        let copy = "INSERT INTO audit SELECT 6, at, what, who, message, command, detail, hash FROM audit WHERE id = 5";
        assert_eq!(spoilt(copy), ChainBreak::Broken(6));
        let between = "UPDATE audit SET id = id + 1 WHERE id = 5; INSERT INTO audit SELECT 5, at, what, who, message, \
                       command, detail, hash FROM audit WHERE id = 4";
        assert_eq!(spoilt(between), ChainBreak::Broken(5));
        assert_eq!(spoilt("DELETE FROM meta WHERE key = 'audit_head'"), ChainBreak::Head);
    }

    /// Makes one change, verifies, and takes the change back.
    fn is_found(store: &Store, what: &str, change: impl FnOnce(&Store) -> Result<usize>) {
        store.sql.execute_batch("SAVEPOINT spoilt").expect("begun");
        assert_eq!(change(store).expect(what), 1, "{what}");
        let verdict = store.verify_audit().expect(what);
        assert!(verdict.is_err(), "{what} was not found");
        store.sql.execute_batch("ROLLBACK TO spoilt; RELEASE spoilt").expect("taken back");
    }

    /// Each byte of the text with a bit turned, taken out, and with one more before it; and one more at the end.
    fn spoilt_texts(text: &[u8]) -> Vec<Vec<u8>> {
        let turned = (0..text.len()).flat_map(|at| {
            [0x01, 0x80]
                .map(|bit| text.iter().enumerate().map(|(i, b)| if i == at { b ^ bit } else { *b }).collect())
        });
        let without = (0..text.len()).map(|at| [&text[..at], &text[at + 1..]].concat());
        let with = (0..=text.len())
            .flat_map(|at| [0, b'a', 0xff].map(|new| [&text[..at], &[new], &text[at..]].concat()));
        turned.chain(without).chain(with).collect()
    }

    #[test]
    fn every_altered_byte_of_an_audit_field_is_found() {
        const ROWS: i64 = 3;
        let (_directory, store) = store(ROWS);
        store.sql.execute_batch("DROP TRIGGER audit_is_not_changed").expect("lax");
        let bytes_of = |column: &str, row: i64| -> Vec<u8> {
            let sql = format!("SELECT CAST({column} AS BLOB) FROM audit WHERE id = ?1");
            store.sql.query_row(&sql, [row], |row| row.get(0)).expect("bytes")
        };
        let mut tried = 0;
        for row in 1..=ROWS {
            for column in ["what", "who", "message", "detail", "hash"] {
                let kind = if column == "hash" { "BLOB" } else { "TEXT" };
                for spoilt in spoilt_texts(&bytes_of(column, row)) {
                    let what = format!("{column} of row {row} as {spoilt:?}");
                    let sql = format!("UPDATE audit SET {column} = CAST(?1 AS {kind}) WHERE id = ?2");
                    is_found(&store, &what, |store| store.sql.execute(&sql, params![spoilt, row]));
                    tried += 1;
                }
            }
            for (column, bit) in
                ["at", "command"].into_iter().flat_map(|name| (0..63).map(move |bit| (name, bit)))
            {
                let sql =
                    format!("UPDATE audit SET {column} = ({column} | ?1) - ({column} & ?1) WHERE id = ?2");
                let what = format!("bit {bit} of {column} of row {row}");
                is_found(&store, &what, |store| store.sql.execute(&sql, params![1_i64 << bit, row]));
            }
            // The end of one field as the beginning of the next.
            let moved =
                "UPDATE audit SET what = what || substr(who, 1, 1), who = substr(who, 2) WHERE id = ?1";
            is_found(&store, "a byte that moved", |store| store.sql.execute(moved, [row]));
            let number = "UPDATE audit SET id = id + 7 WHERE id = ?1";
            is_found(&store, "another number", |store| store.sql.execute(number, [row]));
        }
        assert!(tried > 1_000, "{tried}");
        let head = "SELECT value FROM meta WHERE key = 'audit_head'";
        let head: String = store.sql.query_row(head, [], |row| row.get(0)).expect("the head");
        for spoilt in
            spoilt_texts(head.as_bytes()).into_iter().filter_map(|bytes| String::from_utf8(bytes).ok())
        {
            let sql = "UPDATE meta SET value = ?1 WHERE key = 'audit_head'";
            is_found(&store, &spoilt, |store| store.sql.execute(sql, [&spoilt]));
        }
        assert_eq!(store.verify_audit().expect("read"), Ok(ROWS), "each change was taken back");
    }

    /// Turns every bit of the page that holds the chain, where the file lies: whoever can write there needs no SQL. What
    /// still verifies says the same as before.
    #[test]
    fn a_flipped_bit_in_the_file_is_found_or_harmless() {
        let (directory, store) = store(3);
        let number = |sql: &str| -> i64 { store.sql.query_row(sql, [], |row| row.get(0)).expect(sql) };
        let root = number("SELECT rootpage FROM sqlite_master WHERE name = 'audit'");
        let page = number("PRAGMA page_size");
        store.sql.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("in the file");
        let (before, path) = (store.audit(u32::MAX).expect("rows"), directory.path().join("bellwire.db"));
        drop(store);
        let sound = std::fs::read(&path).expect("the file");
        let start = usize::try_from((root - 1) * page).expect("small");
        let end = start + usize::try_from(page).expect("small");
        let (mut found, mut harmless) = (0, 0);
        let used = (start..end).filter(|at| *at < start + 16 || sound[*at] != 0);
        for (at, bit) in used.flat_map(|at| [0x01, 0x10].map(|bit| (at, bit))) {
            let mut spoilt = sound.clone();
            spoilt[at] ^= bit;
            let copy = tempfile::tempdir().expect("a directory");
            std::fs::write(copy.path().join("bellwire.db"), spoilt).expect("written");
            let verdict = Store::open_existing(copy.path()).ok().and_then(|store| {
                store.verify_audit().ok()?.ok().map(|_| store.audit(u32::MAX).expect("rows"))
            });
            match verdict {
                None => found += 1,
                Some(rows) => {
                    assert_eq!(rows, before, "bit {bit:#x} of byte {at}");
                    harmless += 1;
                }
            }
        }
        assert!(found > 500 && harmless < found / 10, "{found} found, {harmless} harmless");
    }

    #[test]
    fn audit_rows_contain_pseudonyms_only() {
        let (_directory, store) = store(1);
        let row = store.audit(1).expect("read").remove(0);
        assert!(row.who.starts_with("p-") && row.message.len() == 16, "{row:?}");
    }
}
