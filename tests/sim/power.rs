//! What must hold after a power cut: everything that anybody was told of is still there.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;

use crate::Violation;
use crate::check::{Check, Said};
use crate::site::Expected;

/// What the gateway has told somebody outside, with how much of it was on disk then.
#[derive(Debug, Default)]
pub struct Told {
    /// Acknowledged to the broker.
    events: BTreeMap<(Said, Expected), i64>,
    counted: BTreeMap<&'static str, i64>,
    /// Bodies that were answered 200.
    bodies: BTreeMap<Vec<u8>, i64>,
}

impl Told {
    pub fn acknowledged(&mut self, said: Said, expected: Expected, found: i64) {
        match expected {
            Expected::Counted(word) => self.counted.insert(word, found),
            Expected::Alert { .. }
            | Expected::Unreadable
            | Expected::Asked { .. }
            | Expected::Answer { .. }
            | Expected::State
            | Expected::Watched { .. } => self.events.insert((said, expected), found),
        };
    }

    pub fn kept(&mut self, body: &[u8], found: i64) {
        self.bodies.insert(body.to_owned(), found);
    }
}

impl Check {
    pub fn open(directory: &Path) -> Connection {
        let sql = Connection::open(directory.join("bellwire.db")).expect("the database");
        sql.set_prepared_statement_cache_capacity(64); // one for each question that is asked after every commit
        sql
    }

    /// Another number after each commit of somebody else.
    pub fn changes(&self) -> i64 {
        self.sql.query_row("PRAGMA data_version", [], |row| row.get(0)).expect("a number")
    }

    /// Every database must be closed before the files are exchanged.
    pub fn close(&mut self) {
        self.sql = Connection::open_in_memory().expect("a database in memory");
    }

    /// P1, P4: what was acknowledged, and what was answered 200, before the power went.
    pub fn reopen(&mut self, directory: &Path) -> Result<(), Violation> {
        self.sql = Self::open(directory);
        let sound = self.sql.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
        if !sound.as_ref().is_ok_and(|word| word == "ok") {
            return Err(format!("P1: the power went, and the database is damaged: {sound:?}"));
        }
        let tables =
            "SELECT count(*) FROM sqlite_master WHERE name IN ('event', 'question', 'tally', 'inbox')";
        if self.count(tables, []) != 4 {
            return Err("P1: the power went, and the tables are gone".to_owned());
        }
        for ((said, expected), told) in &self.told.events {
            let left = self.whole_events(&said.0, &said.1, *expected);
            if left < *told {
                return Err(format!(
                    "P1: the power went, and of {told} acknowledged events on {} {left} are left",
                    said.0
                ));
            }
        }
        for (word, told) in &self.told.counted {
            let left = self.tallied(word);
            if left < *told {
                return Err(format!("P1: the power went, and of {told} counted as {word} {left} are left"));
            }
        }
        for (body, told) in &self.told.bodies {
            let left = self.bodies(body);
            if left < *told {
                return Err(format!(
                    "P4: the power went, and of {told} webhooks that were kept {left} are left"
                ));
            }
        }
        Ok(())
    }
}
