//! What must hold while a number is restricted (131048): a try would make it worse, so nothing leaves over it for hours, also
//! after a start.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwire::outbox::message_state::State;
use bellwire::time::Timestamp;
use rusqlite::Connection;

use crate::Violation;
use crate::rows::Row;
use crate::site::NUMBERS;

/// The gateway waits six hours; a status may be an hour on its way.
const SURELY: Duration = Duration::from_secs(4 * 3_600);

#[derive(Debug, Default)]
pub struct Restricted {
    until: BTreeMap<&'static str, Timestamp>,
}

impl Restricted {
    /// After a commit, with what was there before it.
    pub fn look(
        &mut self,
        before: &BTreeMap<i64, Row>,
        rows: &BTreeMap<i64, Row>,
        now: Timestamp,
    ) -> Result<(), Violation> {
        let was = |id: &i64, is: fn(&Row) -> bool| before.get(id).is_some_and(is);
        let leaves = |row: &Row| row.state == State::Sending;
        let shut = |row: &Row| self.until.get(row.connection).is_some_and(|until| now < *until);
        if let Some((id, row)) = rows.iter().find(|(id, row)| shut(row) && leaves(row) && !was(id, leaves)) {
            let number = row.connection;
            return Err(format!("restricted: message {id} leaves over {number}, which is restricted"));
        }
        let held = |row: &Row| row.is_restricted && row.state == State::Held;
        let new = rows.iter().filter(|(id, row)| held(row) && !was(id, held));
        self.until.extend(new.map(|(_, row)| (row.connection, now + SURELY)));
        Ok(())
    }

    /// The gateway starts: it knows what is on disk, by its clock of now; what is from later was said now at the latest.
    pub fn start(&mut self, sql: &Connection, now: Timestamp) {
        self.until.clear();
        for number in NUMBERS {
            let at = "SELECT max(changed_at) FROM message
                 WHERE state = 'held' AND held_for = 'quality' AND code IS NOT NULL AND connection = ?1";
            let at: Option<i64> = sql.query_row(at, [number], |row| row.get(0)).expect("a look");
            let until = at.map(|at| Timestamp(at).min(now) + SURELY);
            let until = until.filter(|until| now.is_sane() && now < *until);
            self.until.extend(until.map(|until| (number, until)));
        }
    }

    /// A clock that is set moves the end, and without a gateway nothing leaves.
    pub fn forget(&mut self) {
        self.until.clear();
    }
}
