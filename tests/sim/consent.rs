//! What must hold once a person has asked for no more messages: no alert leaves to them, whatever became of it before, until
//! they ask for messages again or an operator says so.

use std::collections::{BTreeMap, BTreeSet};

use bellwire::alert::state::State;
use rusqlite::Connection;

use crate::Violation;
use crate::check::Row;

#[derive(Debug, Default)]
pub struct Consent {
    stopped: BTreeSet<String>,
    /// What an operator has sent again.
    pub retried: BTreeSet<i64>,
}

impl Consent {
    /// After a commit, with what was there before it.
    pub fn look(
        &mut self,
        sql: &Connection,
        before: &BTreeMap<i64, Row>,
        rows: &BTreeMap<i64, Row>,
    ) -> Result<(), Violation> {
        let leaves = |row: &Row| row.state == State::Sending;
        for (id, row) in rows {
            let is_new = leaves(row) && !before.get(id).is_some_and(leaves);
            let is_unasked = row.alert.is_some() && self.stopped.contains(&row.contact);
            if is_new && is_unasked && !self.retried.contains(id) && !self.retried.contains(&row.carrier) {
                return Err(format!(
                    "consent: message {id} leaves to {}, who has asked for no more: {row:?}, before: {:?}",
                    row.contact,
                    before.get(id)
                ));
            }
        }
        let mut stopped = sql.prepare_cached("SELECT contact FROM person WHERE stopped = 1").expect("a look");
        let stopped = stopped.query_map([], |row| row.get(0)).expect("a look");
        self.stopped = stopped.map(|contact| contact.expect("a row")).collect();
        Ok(())
    }
}
