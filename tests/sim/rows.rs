//! Messages as they stand in the database.

use std::collections::BTreeMap;

use bellwire::outbox::message_state::State;
use rusqlite::Connection;

use crate::site::person;

/// A message's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub connection: &'static str,
    pub contact: &'static str,
    pub alert: Option<i64>,
    pub severity: i64,
    pub state: State,
    pub reason: String,
    pub attempts: i64,
    pub is_marked: bool,
    /// It must not come twice: after a lost answer a person decides.
    pub is_once: bool,
    pub created_at: i64,
    pub expires_at: i64,
    pub not_before: i64,
    /// When it came into this state.
    pub changed_at: i64,
    /// What a held one waits for, in the gateway's word; empty for nothing.
    pub held_for: &'static str,
    /// It waits since its number is restricted.
    pub is_restricted: bool,
    /// The message that carries this one, or itself: what happens to that one happens to this one.
    pub carrier: i64,
}

impl Row {
    /// Messages to one person over one number leave one at a time.
    pub fn lane(&self) -> (&'static str, &'static str) {
        (self.connection, self.contact)
    }
}

/// Words of these columns. Another one is a stranger, who is told once that nobody reads this.
const WORDS: [&str; 11] =
    ["", "main", "other", "nino", "giorgi", "lali", "window", "consent", "budget", "quality", "operator"];

fn word(row: &rusqlite::Row, column: usize) -> rusqlite::Result<&'static str> {
    let text = person(row.get_ref(column)?.as_str_or_null()?.unwrap_or_default());
    Ok(WORDS.into_iter().find(|word| *word == text).unwrap_or("nobody"))
}

pub fn read(sql: &Connection) -> BTreeMap<i64, Row> {
    let columns = "id, alert, contact, state, reason, attempts, possible_duplicate, created_at, expires_at,
                   held_for, coalesce(digest, id), coalesce(held_for = 'quality' AND code IS NOT NULL, 0),
                   connection, severity, not_before, on_unknown = 'hold', changed_at";
    let mut found = sql.prepare_cached(&format!("SELECT {columns} FROM message")).expect("a look");
    let row = |row: &rusqlite::Row| {
        let state = row.get_ref(3)?.as_str()?;
        let read = Row {
            alert: row.get(1)?,
            contact: word(row, 2)?,
            state: State::parse(state).expect("a state"),
            reason: row.get(4)?,
            attempts: row.get(5)?,
            is_marked: row.get(6)?,
            created_at: row.get(7)?,
            expires_at: row.get(8)?,
            held_for: word(row, 9)?,
            carrier: row.get(10)?,
            is_restricted: row.get(11)?,
            connection: word(row, 12)?,
            severity: row.get(13)?,
            not_before: row.get(14)?,
            is_once: row.get(15)?,
            changed_at: row.get(16)?,
        };
        Ok((row.get(0)?, read))
    };
    found.query_map([], row).expect("a look").map(|row| row.expect("a row")).collect()
}
