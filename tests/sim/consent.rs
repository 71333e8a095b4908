//! What must hold once a person has asked for no more messages: no alert leaves to them, whatever became of it before, until
//! they ask for messages again or an operator says so.

use std::collections::{BTreeMap, BTreeSet};

use bellwire::outbox::message_state::State;
use rusqlite::{Connection, params_from_iter};

use crate::Violation;
use crate::rows::Row;
use crate::site::person;

#[derive(Debug, Default)]
pub struct Consent {
    stopped: BTreeSet<String>,
    /// The newest STOP or START of the last look.
    heard: i64,
    /// What an operator has sent again.
    pub retried: BTreeSet<i64>,
}

impl Consent {
    /// After a commit, with what was there before it. It may hold both a START and what left after it.
    pub fn look(
        &mut self,
        sql: &Connection,
        before: &BTreeMap<i64, Row>,
        rows: &BTreeMap<i64, Row>,
    ) -> Result<(), Violation> {
        let contacts = |select: &str, after: &[i64]| -> BTreeSet<String> {
            let mut found = sql.prepare_cached(select).expect("a look");
            let found = found.query_map(params_from_iter(after), |row| row.get(0)).expect("a look");
            found
                .map(|contact: rusqlite::Result<String>| person(&contact.expect("a row")).to_owned())
                .collect()
        };
        let started = contacts("SELECT contact FROM consent WHERE given = 1 AND id > ?1", &[self.heard]);
        let leaves = |row: &Row| row.state == State::Sending;
        for (id, row) in rows {
            let is_new = leaves(row) && !before.get(id).is_some_and(leaves);
            let is_unasked =
                row.alert.is_some() && self.stopped.contains(row.contact) && !started.contains(row.contact);
            if is_new && is_unasked && !self.retried.contains(id) && !self.retried.contains(&row.carrier) {
                return Err(format!(
                    "consent: message {id} leaves to {}, who has asked for no more: {row:?}, before: {:?}",
                    row.contact,
                    before.get(id)
                ));
            }
        }
        self.stopped = contacts("SELECT contact FROM person WHERE stopped = 1", &[]);
        // After a power cut it may be less than before.
        let newest = sql.query_row("SELECT coalesce(max(id), 0) FROM consent", [], |row| row.get(0));
        self.heard = newest.expect("a look");
        Ok(())
    }
}
