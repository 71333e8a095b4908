//! The erasure of a person: a record stays that something was sent, without to whom.

use rusqlite::{Result, params};
use serde_json::{Value, json};

use super::Store;
use crate::hex::hex;
use crate::ids::ContactId;
use crate::store::db::checksum;
use crate::time::Timestamp;

/// Stands where words and numbers were.
const ERASED: &str = "erased";
/// Where sentences name people. Content of messages and the memory of alerts have checksums, and a way of their own.
const SENTENCES: [(&str, &str); 13] = [
    ("alert", "text"),
    ("alert", "reason"),
    ("alert_record", "why"),
    ("alert_record", "what"),
    ("alert_note", "note"),
    ("change", "subject"),
    ("change", "outcome"),
    ("command", "reason"),
    ("message", "reason"),
    ("post", "body"),
    ("question", "voters"),
    ("request", "agreed"),
    ("request", "deed"),
];

impl Store {
    /// Everything that is kept of a person, as JSON: for whoever asks what is known of them.
    pub fn export(&self, contact: &ContactId) -> Result<Value> {
        let list = |sql: &str| -> Result<Vec<Value>> {
            let mut select = self.sql.prepare(sql)?;
            let names: Vec<String> = select.column_names().map(str::to_owned).collect();
            let rows = select.query_map([&contact.0], |row| {
                let mut object = serde_json::Map::new();
                for (index, name) in names.iter().enumerate() {
                    object.insert(name.clone(), readable(name, row.get_ref(index)?));
                }
                Ok(Value::Object(object))
            })?;
            rows.collect()
        };
        Ok(json!({
            "contact": contact.0,
            "person": list("SELECT user_id, stopped, no_marketing FROM person WHERE contact = ?1")?,
            "known_as": list("SELECT alias, address, at FROM known_as WHERE contact = ?1 ORDER BY alias")?,
            "consent": list("SELECT at, given, source FROM consent WHERE contact = ?1 ORDER BY id")?,
            "messages": list(
                "SELECT id, connection, address, content, created_at, state, changed_at, reason FROM message
                 WHERE contact = ?1 ORDER BY id",
            )?,
            "replies": list("SELECT wamid, at, kind, text, outcome, reason FROM reply WHERE contact = ?1 ORDER BY at")?,
            "files": list("SELECT id, kind, mime, name, at, state, bytes FROM file WHERE contact = ?1 ORDER BY id")?,
            "invitation": list(
                "SELECT name, address, roles, teams, places, invited_by, invited_at, state FROM guest WHERE contact = ?1",
            )?,
            "commands": list(
                "SELECT id, action, topic, payload, requested_at, state, changed_at, reason FROM command
                 WHERE contact = ?1 ORDER BY id",
            )?,
        }))
    }

    /// Takes a person out of every row: name, number, ids and words. `names` are what they are called. What was sent
    /// and done stays counted under a pseudonym, which is returned.
    pub fn erase(&self, contact: &ContactId, names: &[String], now: Timestamp) -> Result<ContactId> {
        let numbers = self.numbers(contact)?;
        let count: i64 =
            self.sql
                .query_row("SELECT count(*) FROM consent WHERE source = 'erasure'", [], |row| row.get(0))?;
        let pseudonym = ContactId(format!("erased-{}", count + 1));
        self.consent(contact, false, "erasure", now, now)?;
        self.forget_ids(contact)?;
        let content = json!({ "text": ERASED }).to_string();
        let sum = checksum::of(&[ERASED.as_bytes(), content.as_bytes()]);
        self.sql.execute(
            "UPDATE message SET address = ?2, content = ?3, checksum = ?4 WHERE contact = ?1",
            params![contact.0, ERASED, content, sum],
        )?;
        self.sql.execute(
            "UPDATE message SET state = 'cancelled', held_for = NULL, reason = 'the person was erased'
             WHERE contact = ?1 AND state IN ('queued', 'unknown', 'held')",
            [&contact.0],
        )?;
        self.sql
            .execute("UPDATE reply SET text = ?2, reason = NULL WHERE contact = ?1", [&contact.0, ERASED])?;
        self.sql.execute(
            "UPDATE person SET user_id = NULL, user_id_of = NULL WHERE contact = ?1",
            [&contact.0],
        )?;
        self.sql.execute("DELETE FROM known_as WHERE contact = ?1", [&contact.0])?;
        self.sql.execute("DELETE FROM guest WHERE contact = ?1", [&contact.0])?;
        self.sql
            .execute("DELETE FROM home_event WHERE json_extract(what, '$.contact') = ?1", [&contact.0])?;
        self.forget_versions_of(&contact.0)?;
        self.erase_files(contact)?;
        for table in self.tables_about_people()? {
            let sql = format!("UPDATE \"{table}\" SET contact = ?2 WHERE contact = ?1");
            self.sql.execute(&sql, [&contact.0, &pseudonym.0])?;
        }
        for number in &numbers {
            self.blot(number)?;
        }
        self.unname(&contact.0, &pseudonym)?;
        for name in names {
            self.blot(name)?;
            self.unname(name, &pseudonym)?;
            self.unname_messages(name, &pseudonym)?;
        }
        Ok(pseudonym)
    }

    /// The files that they sent go from the disk, too. One that is being fetched finds its row gone and is not kept.
    fn erase_files(&self, contact: &ContactId) -> Result<()> {
        let shelf = self.shelf();
        let ids: Vec<i64> = self
            .sql
            .prepare("SELECT id FROM file WHERE contact = ?1")?
            .query_map([&contact.0], |row| row.get(0))?
            .collect::<Result<_>>()?;
        for id in ids {
            if let Err(error) = shelf.remove(id) {
                tracing::error!(file = id, %error, "a file of an erased person could not be removed; remove it by hand");
            }
        }
        self.sql
            .execute(
                "UPDATE file SET state = 'gone', media_id = ?2 || '-' || id, reply = ?2, name = NULL, sha256 = NULL,
                     bytes = 0, reason = 'the person was erased' WHERE contact = ?1",
                [&contact.0, ERASED],
            )
            .map(drop)
    }

    /// How the person's numbers and user ids are written: here with a `+`, in Meta's bodies without.
    pub(super) fn numbers(&self, contact: &ContactId) -> Result<Vec<String>> {
        let known: Vec<String> = self
            .sql
            .prepare(
                "SELECT address FROM message WHERE contact = ?1
                 UNION SELECT address FROM guest WHERE contact = ?1
                 UNION SELECT user_id FROM person WHERE contact = ?1 AND user_id IS NOT NULL
                 UNION SELECT alias FROM known_as WHERE contact = ?1",
            )?
            .query_map([&contact.0], |row| row.get(0))?
            .collect::<Result<_>>()?;
        Ok(known.iter().map(|address| address.trim_start_matches('+').to_owned()).collect())
    }

    /// Tables with a column `contact`: one that is added later is found too.
    fn tables_about_people(&self) -> Result<Vec<String>> {
        self.sql
            .prepare(
                "SELECT m.name FROM sqlite_schema m, pragma_table_info(m.name) c
                 WHERE m.type = 'table' AND c.name = 'contact'",
            )?
            .query_map([], |row| row.get(0))?
            .collect()
    }

    /// Meta's message ids carry the person's number in base64; a digest of them keeps rows that belong together together.
    fn forget_ids(&self, contact: &ContactId) -> Result<()> {
        self.sql.execute_batch("PRAGMA defer_foreign_keys = ON")?; // until this transaction ends
        for id in self.message_ids(contact)? {
            let anonymous = format!("{ERASED}-{}", hex(&checksum::of(&[id.as_bytes()])));
            for (table, column) in
                [("reply", "wamid"), ("command", "reply"), ("sent", "wamid"), ("receipt", "wamid")]
            {
                let sql = format!("UPDATE {table} SET {column} = ?2 WHERE {column} = ?1");
                self.sql.execute(&sql, [&id, &anonymous])?;
            }
        }
        Ok(())
    }

    /// Meta's ids of what they wrote and what was written to them.
    pub(super) fn message_ids(&self, contact: &ContactId) -> Result<Vec<String>> {
        self.sql
            .prepare(
                "SELECT wamid FROM reply WHERE contact = ?1
                 UNION SELECT s.wamid FROM sent s JOIN message m ON m.id = s.message WHERE m.contact = ?1
                 UNION SELECT r.wamid FROM receipt r JOIN message m ON m.id = r.message WHERE m.contact = ?1",
            )?
            .query_map([&contact.0], |row| row.get(0))?
            .collect()
    }

    /// Raw bodies and notices that name them. A body that was not read yet stays: a tap may be in it.
    fn blot(&self, trace: &str) -> Result<()> {
        let body = ERASED.as_bytes();
        self.sql.execute(
            "UPDATE inbox SET body = ?2, checksum = ?3, note = 'erased' WHERE state != 'new' AND instr(body, ?1) > 0",
            params![trace.as_bytes(), body, checksum::of(&[body])],
        )?;
        self.sql.execute("DELETE FROM notice WHERE instr(text, ?1) > 0", [trace])?;
        self.sql.execute(
            "UPDATE reply SET text = ?2, reason = NULL WHERE instr(text, ?1) > 0",
            [trace, ERASED],
        )?;
        Ok(())
    }

    /// In sentences of ours, and in what the watch over the alerts remembers.
    fn unname(&self, word: &str, pseudonym: &ContactId) -> Result<()> {
        for (table, column) in SENTENCES {
            let rows: Vec<(i64, String)> = self
                .sql
                .prepare(&format!("SELECT id, {column} FROM \"{table}\" WHERE instr({column}, ?1) > 0"))?
                .query_map([word], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_>>()?;
            for (id, text) in rows {
                let text = replace_word(&text, word, &pseudonym.0);
                self.sql.execute(
                    &format!("UPDATE \"{table}\" SET {column} = ?2 WHERE id = ?1"),
                    params![id, text],
                )?;
            }
        }
        let memory: Vec<(String, String, String)> = self
            .sql
            .prepare(
                "SELECT kind, key, state FROM alert_memory WHERE instr(key, ?1) > 0 OR instr(state, ?1) > 0",
            )?
            .query_map([word], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_>>()?;
        for (kind, key, state) in memory {
            let (new, state) =
                (replace_word(&key, word, &pseudonym.0), replace_word(&state, word, &pseudonym.0));
            let sum = checksum::of(&[new.as_bytes(), state.as_bytes()]);
            self.sql.execute("DELETE FROM alert_memory WHERE kind = ?1 AND key = ?2", [&kind, &key])?;
            self.sql.execute(
                "INSERT OR REPLACE INTO alert_memory VALUES (?1, ?2, ?3, ?4)",
                params![kind, new, state, sum],
            )?;
        }
        Ok(())
    }

    /// What others were told of them: "Nino stopped the defrost".
    fn unname_messages(&self, name: &str, pseudonym: &ContactId) -> Result<()> {
        let rows: Vec<(i64, String, String)> = self
            .sql
            .prepare("SELECT id, address, content FROM message WHERE instr(content, ?1) > 0")?
            .query_map([name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_>>()?;
        for (id, address, content) in rows {
            let content = replace_word(&content, name, &pseudonym.0);
            let sum = checksum::of(&[address.as_bytes(), content.as_bytes()]);
            self.sql.execute(
                "UPDATE message SET content = ?2, checksum = ?3 WHERE id = ?1",
                params![id, content, sum],
            )?;
        }
        Ok(())
    }

    /// Writes the file anew, so that no page keeps what its rows have forgotten. Not inside a transaction; the daemon
    /// waits meanwhile. `false`: somebody is reading, and the old pages are still in the write-ahead log.
    pub fn compact(&self) -> Result<bool> {
        self.sql.execute_batch("VACUUM")?;
        self.sql.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0).map(|busy: i64| busy == 0))
    }
}

/// Only where it stands alone: Ann is not in "annual".
fn replace_word(text: &str, word: &str, by: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let (before, after) = (&rest[..at], &rest[at + word.len()..]);
        let alone = !before.chars().next_back().is_some_and(char::is_alphanumeric)
            && !after.chars().next().is_some_and(char::is_alphanumeric);
        out.push_str(before);
        out.push_str(if alone { by } else { word });
        rest = after;
    }
    out + rest
}

fn readable(name: &str, value: rusqlite::types::ValueRef<'_>) -> Value {
    use rusqlite::types::ValueRef;
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(millis) if name == "at" || name.ends_with("_at") => {
            json!(Timestamp(millis).rfc3339())
        }
        ValueRef::Integer(number) => json!(number),
        ValueRef::Real(number) => json!(number),
        ValueRef::Text(text) => {
            let text = String::from_utf8_lossy(text);
            if name == "content" { serde_json::from_str(&text).unwrap_or(json!(text)) } else { json!(text) }
        }
        ValueRef::Blob(bytes) => json!(format!("{} bytes", bytes.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_goes_only_where_it_stands_alone() {
        assert_eq!(
            replace_word("Ann saw the Annex; Ann.", "Ann", "erased-1"),
            "erased-1 saw the Annex; erased-1."
        );
        assert_eq!(replace_word("nothing", "Ann", "erased-1"), "nothing");
    }
}
