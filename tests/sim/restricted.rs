//! What must hold while a number is restricted (131048): a try would make it worse, so nothing leaves over it for hours, also
//! after a start.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwire::alert::state::State;
use bellwire::time::Timestamp;
use rusqlite::Connection;

use crate::Violation;
use crate::check::Row;

/// The gateway waits six hours; a status may be an hour on its way.
const SURELY: Duration = Duration::from_secs(4 * 3_600);

#[derive(Debug, Default)]
pub struct Restricted {
    until: Option<Timestamp>,
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
        if self.until.is_some_and(|until| now < until)
            && let Some((id, _)) = rows.iter().find(|(id, row)| leaves(row) && !was(id, leaves))
        {
            return Err(format!("restricted: message {id} leaves over a number that is restricted"));
        }
        let held = |row: &Row| row.is_restricted && row.state == State::Held;
        if rows.iter().any(|(id, row)| held(row) && !was(id, held)) {
            self.until = Some(now + SURELY);
        }
        Ok(())
    }

    /// The gateway starts: it knows what is on disk, by its clock of now.
    pub fn start(&mut self, sql: &Connection, now: Timestamp) {
        let at = "SELECT max(changed_at) FROM message WHERE state = 'held' AND held_for = 'quality' AND code IS NOT NULL";
        let at: Option<i64> = sql.query_row(at, [], |row| row.get(0)).expect("a look");
        self.until = at.map(|at| Timestamp(at) + SURELY).filter(|until| now.is_sane() && now < *until);
    }

    /// A clock that is set moves the end, and without a gateway nothing leaves.
    pub fn forget(&mut self) {
        self.until = None;
    }
}
