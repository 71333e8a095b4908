//! The 24 h window of a person: open, closed, or not known. Its length is `window_end` in `outbox/window.rs`.

use rusqlite::{OptionalExtension, Result, params};

use super::Store;
use crate::outbox::message_state::State;
use crate::outbox::retry_policy::Next;
use crate::outbox::row::Conversation;
use crate::outbox::window::{Window, window_end};
use crate::time::Timestamp;

impl Store {
    pub(super) fn window(&self, lane: &Conversation, now: Timestamp) -> Result<Window> {
        let until: Option<i64> = self
            .sql
            .prepare_cached("SELECT until FROM window WHERE connection = ?1 AND contact = ?2")?
            .query_row([&lane.connection.0, &lane.contact.0], |row| row.get(0))
            .optional()?;
        Ok(match until {
            Some(0) => Window::Closed,
            Some(until) if until > now.0 => Window::Open,
            Some(_) | None => Window::Unknown,
        })
    }

    /// The person wrote to this number: the window opens, and what was held for it is due. Returns how much that is.
    pub fn heard(&self, lane: &Conversation, at: Timestamp, now: Timestamp) -> Result<usize> {
        self.sql
            .prepare_cached(
                "INSERT INTO window (connection, contact, until) SELECT ?1, ?2, ?3
                 WHERE NOT EXISTS (SELECT 1 FROM person WHERE contact = ?2 AND moved_at IS NOT NULL)
                 ON CONFLICT DO UPDATE SET until = max(until, excluded.until) WHERE closed_at < ?4",
            )?
            .execute(params![lane.connection.0, lane.contact.0, window_end(at).0, at.0])?;
        if self.window(lane, now)? != Window::Open {
            return Ok(0); // a body that was held up for a day
        }
        let next = Next::to(State::Queued, "the person has written, so it may go out");
        let held = "state = 'held' AND held_for = 'window' AND connection = ?1 AND contact = ?2";
        self.advance_all(held, &[&lane.connection.0, &lane.contact.0], &next, now)
    }

    /// Whether something is held for the person's word, and [`Store::heard`] would let it out.
    pub(super) fn waits_for_word(&self, lane: &Conversation, at: Timestamp, now: Timestamp) -> Result<bool> {
        self.sql
            .prepare_cached(
                "SELECT 1 FROM message m WHERE digest IS NULL AND state = 'held' AND held_for = 'window'
                     AND connection = ?1 AND contact = ?2 AND ?5 < max(
                         coalesce((SELECT until FROM window w WHERE w.connection = ?1 AND w.contact = ?2), 0),
                         iif(EXISTS (SELECT 1 FROM person p WHERE p.contact = ?2 AND moved_at IS NOT NULL) OR EXISTS (
                             SELECT 1 FROM window w WHERE w.connection = ?1 AND w.contact = ?2 AND closed_at >= ?4), 0, ?3))",
            )?
            .exists(params![lane.connection.0, lane.contact.0, window_end(at).0, at.0, now.0])
    }

    /// Meta said so, whatever we thought (131047). A status says when it was so: what the person wrote since has opened the
    /// window again. An answer is of now.
    pub(super) fn window_closed(&self, lane: &Conversation, said_at: Option<Timestamp>) -> Result<()> {
        let closed_at = said_at.map_or(0, |at| at.0);
        let unless_opened_since = said_at.map_or(i64::MAX, |at| window_end(at).0);
        self.sql
            .prepare_cached(
                "INSERT INTO window VALUES (?1, ?2, 0, ?3)
                 ON CONFLICT DO UPDATE SET until = iif(until < ?4, 0, until), closed_at = max(closed_at, ?3)",
            )?
            .execute(params![lane.connection.0, lane.contact.0, closed_at, unless_opened_since])
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::tests::{MILLISECOND, NOW, held, lane, state};

    #[test]
    fn a_window_is_open_until_its_end_then_unknown() {
        let (_folder, store) = Store::in_new_folder();
        let (nino, end) = (lane("nino"), window_end(NOW));
        let at = |now| store.window(&nino, now).expect("read");
        assert_eq!(at(NOW), Window::Unknown, "never heard");
        store.heard(&nino, NOW, NOW).expect("written");
        store.heard(&nino, NOW - MILLISECOND, NOW).expect("written"); // came late, and closes nothing early
        assert_eq!([NOW, end - MILLISECOND, end].map(at), [Window::Open, Window::Open, Window::Unknown]);
        assert_eq!(store.window(&lane("dato"), NOW).expect("read"), Window::Unknown, "of another person");
        store.window_closed(&nino, None).expect("written");
        assert_eq!([NOW, end].map(at), [Window::Closed; 2]);
        store.heard(&nino, NOW, NOW).expect("written");
        assert_eq!(at(NOW), Window::Open);
    }

    #[test]
    fn what_was_held_for_a_person_leaves_when_they_write() {
        let (_folder, store) = Store::in_new_folder();
        let held = ["nino", "nino", "dato"].map(|contact| held(&store, &lane(contact), Vec::new()));
        let states = || held.map(|id| state(&store, id));
        let heard = |at| store.heard(&lane("nino"), at, NOW).expect("written");
        assert_eq!(heard(NOW - Duration::from_secs(24 * 3_600)), 0, "a body that was held up for a day");
        assert_eq!(states(), ["held"; 3]);
        assert_eq!(heard(NOW), 2);
        assert_eq!(states(), ["queued", "queued", "held"]);
        assert_eq!(heard(NOW), 0);
    }
}
