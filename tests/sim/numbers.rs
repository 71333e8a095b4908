//! What must hold of several numbers, and of whom each message is for: it leaves over the number of its rule, or over the one
//! that it answers, to its person and nobody else; and what one number is told is true of that number alone.

use std::collections::BTreeMap;

use bellwire::ids::MessageId;
use bellwire::outbox::message_state::State;
use rusqlite::OptionalExtension;
use serde_json::Value;

use crate::Violation;
use crate::check::{Check, fails};
use crate::meta::Meta;
use crate::rows::Row;
use crate::site::{contact_of, number_of};

impl Check {
    /// A request leaves.
    pub fn leaves_over(&self, id: MessageId, over: &str, body: &[u8]) -> Result<(), Violation> {
        let Some(row) = self.rows.get(&id.0) else { return Ok(()) };
        let wrong = |what: &str| Err(format!("numbers: message {id} leaves {what}: {row:?}"));
        if row.connection != over {
            return wrong(&format!("over {over}"));
        }
        let body: Value = serde_json::from_slice(body).expect("the request is JSON");
        // Who was taken out and writes is answered as a stranger.
        let is_stranger = self.may_change && row.contact == "nobody";
        if contact_of(body["to"].as_str().unwrap_or_default()) != row.contact && !is_stranger {
            return wrong(&format!("to {}", body["to"]));
        }
        let of_rule = "SELECT a.rule FROM message m JOIN alert a ON a.id = m.alert WHERE m.id = ?1";
        let answers = "SELECT coalesce(content ->> '$.quotes', content ->> '$.part.reaction.to', '') FROM message WHERE id = ?1";
        let word = |query: &str| -> Option<String> {
            let mut found = self.sql.prepare_cached(query).expect("a look");
            found.query_row([id.0], |row| row.get(0)).optional().expect("a look")
        };
        let wanted = match row.alert {
            Some(_) => word(of_rule).map(|rule| number_of(&rule)),
            None => word(answers).and_then(|wamid| self.written.get(&wamid).copied()),
        };
        match wanted {
            Some(wanted) if wanted != over && !self.may_change => {
                wrong(&format!("over {over}, and belongs to {wanted}"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// After a commit.
    pub(crate) fn look_at_numbers(&self, rows: &BTreeMap<i64, Row>, meta: &Meta) -> Result<(), Violation> {
        for (id, row) in rows {
            if rows.get(&row.carrier).is_none_or(|carrier| carrier.lane() != row.lane()) {
                return Err(format!("numbers: message {id} is carried by {}: {row:?}", row.carrier));
            }
            let Some(old) = self.rows.get(id).filter(|old| old.held_for != row.held_for) else { continue };
            let window = |row: &Row| row.state == State::Held && row.held_for == "window";
            // Who was taken out and writes is a stranger, of whom Meta's model knows by another name.
            if self.may_change && row.contact == "nobody" {
                continue;
            }
            if window(row) && !meta.closed.contains(&row.lane()) {
                return Err(format!("numbers: message {id} is held, and nobody closed that window: {row:?}"));
            }
            let leaves = matches!(row.state, State::Queued | State::Sending);
            let operated = self.operated.contains(id) || self.operated.contains(&row.carrier);
            let is_over_another = old.connection != row.connection;
            if window(old)
                && leaves
                && !is_over_another
                && !operated
                && !fails(meta, row.carrier)
                && !meta.spoke.contains(&row.lane())
            {
                return Err(format!(
                    "numbers: message {id} leaves, and nobody wrote to that number: {row:?}"
                ));
            }
        }
        Ok(())
    }
}
