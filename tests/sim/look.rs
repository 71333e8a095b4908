//! What the database says, for reports and for the end of a run.

use std::collections::BTreeSet;

use bellwire::outbox::message_state::State;
use rusqlite::OptionalExtension;

use crate::broker::Publication;
use crate::check::Check;
use crate::site::Expected;

impl Check {
    /// What has ever been reached, for a look at how much a run covers.
    pub fn reached(&self) -> BTreeSet<String> {
        let mut reached: BTreeSet<String> =
            self.states.iter().map(|state| format!("message {state}")).collect();
        for (what, column) in [
            ("command", "state FROM command"),
            ("event", "outcome FROM tally"),
            ("reply", "outcome FROM reply"),
            ("alert", "state FROM alert WHERE state IS NOT NULL"),
            ("decision", "why FROM alert_record"),
            ("request", "state FROM request"),
            ("question", "decision FROM question WHERE state = 'decided'"),
        ] {
            let mut found = self.sql.prepare(&format!("SELECT DISTINCT {column}")).expect("a look");
            let words = found.query_map([], |row| row.get::<_, String>(0)).expect("a look");
            reached.extend(words.map(|word| format!("{what} {}", word.expect("a word"))));
        }
        reached
    }

    /// What has no end yet, for people.
    pub fn waiting(&mut self) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for (id, row) in &self.rows {
            let open = matches!(row.state, State::Queued | State::Sending | State::Unknown);
            if open {
                found.push(format!("message {id} is {}", row.state.as_str()));
            }
        }
        for (id, command) in self.commands() {
            if command.state == "queued" || (command.state == "published" && command.answer_by.is_some()) {
                found.push(format!("command {id} is {}", command.state));
            }
        }
        match self.count("SELECT count(*) FROM alert_note", []) {
            0 => {}
            count => found.push(format!("{count} notes for the alerts")),
        }
        let open = "SELECT (SELECT count(*) FROM request WHERE state = 'open') + (SELECT count(*) FROM question WHERE state = 'open')";
        match self.count(open, []) {
            0 => {}
            count => found.push(format!("{count} questions are open")),
        }
        match self.count("SELECT count(*) FROM inbox WHERE state = 'new'", []) {
            0 => {}
            count => found.push(format!("{count} webhooks are new")),
        }
        found
    }

    pub fn has_acknowledged(&self, publication: &Publication) -> bool {
        let serials = match publication.expected {
            Expected::Counted(word) => self.counted.get(word),
            Expected::Watched { .. } => return self.watched.has_acknowledged(publication.serial),
            Expected::Alert { .. }
            | Expected::Unreadable
            | Expected::Asked { .. }
            | Expected::Answer { .. }
            | Expected::State => {
                self.acknowledged.get(&(publication.topic.clone(), publication.payload.clone()))
            }
        };
        serials.is_some_and(|serials| serials.contains(&publication.serial))
    }

    /// Who has been refused five times, or has asked for ten things, may be stopped for a while.
    pub fn may_be_stopped(&self, contact: &str) -> bool {
        let of = |outcomes: &str| {
            let sql = format!("SELECT count(*) FROM reply WHERE contact = ?1 AND outcome IN ({outcomes})");
            self.count(&sql, [contact])
        };
        of("'refused'") >= 5
            || of("'command', 'confirm', 'vote', 'acknowledge', 'alert', 'say', 'refused'") >= 10
    }

    /// How many commands it became.
    pub fn obeyed(&self, wamid: &str) -> i64 {
        self.count("SELECT count(*) FROM command WHERE reply = ?1", [wamid])
    }

    pub fn outcome_of(&self, wamid: &str) -> Option<String> {
        let found =
            self.sql.query_row("SELECT outcome FROM reply WHERE wamid = ?1", [wamid], |row| row.get(0));
        found.optional().expect("a look")
    }
}
