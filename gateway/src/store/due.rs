//! What may leave now: the head of each lane, and which lanes are so full that a digest is due (`digests.rs`).
//!
//! Each question names its index. SQLite would take the one over `state` for some, and walk through all that waits.

use std::cmp::Reverse;

use rusqlite::{OptionalExtension, Result, Row, params, params_from_iter};

use super::Store;
use super::outbox::on_unknown;
use crate::contact::severity::Severity;
use crate::contact::{People, Recipient};
use crate::ids::{AlertId, ConnectionName, ContactId, MessageId};
use crate::outbox::digest;
use crate::outbox::message::Content;
use crate::outbox::message_state::State;
use crate::outbox::retry_policy::Next;
use crate::outbox::row::{Conversation, DueMessage, LoadRequest, Work};
use crate::outbox::window::{CatalogueEntry, Window};
use crate::store::db::checksum;
use crate::time::Timestamp;

/// The next lane, in two questions: SQLite answers `(connection, contact) > (?1, ?2)` by walking through all that waits in
/// the lane where it begins.
const NEXT_CONTACT: &str = "SELECT connection, contact FROM message INDEXED BY message_lane
     WHERE state = 'queued' AND digest IS NULL AND connection = ?1 AND contact > ?2 ORDER BY contact LIMIT 1";
const NEXT_CONNECTION: &str = "SELECT connection, contact FROM message INDEXED BY message_lane
     WHERE state = 'queued' AND digest IS NULL AND connection > ?1 ORDER BY connection, contact LIMIT 1";

/// The head of a lane.
const HEAD: &str = "SELECT id, severity, alert FROM message INDEXED BY message_lane
     WHERE state = 'queued' AND digest IS NULL AND connection = ?1 AND contact = ?2 AND mergeable = ?3
         AND not_before <= ?4
     ORDER BY severity DESC, id LIMIT 1";
/// The same while files are on their way: nothing that has files, and nothing that was said later of the same alert.
const HEAD_WITHOUT_FILES: &str = "SELECT id, severity, alert FROM message INDEXED BY message_lane
     WHERE state = 'queued' AND digest IS NULL AND connection = ?1 AND contact = ?2 AND mergeable = ?3
         AND not_before <= ?4 AND files = 0 AND NOT EXISTS (
             SELECT 1 FROM message earlier INDEXED BY message_alert
             WHERE earlier.alert = message.alert AND earlier.connection = ?1 AND earlier.contact = ?2
                 AND earlier.id < message.id AND earlier.state = 'queued' AND earlier.digest IS NULL
                 AND earlier.files = 1)
     ORDER BY severity DESC, id LIMIT 1";

/// What leaves a lane first.
struct LaneHead {
    id: MessageId,
    alert: Option<AlertId>,
    severity: Severity,
}

impl LaneHead {
    /// The most severe first, then the oldest.
    fn order(&self) -> (Reverse<Severity>, MessageId) {
        (Reverse(self.severity), self.id)
    }
}

fn read_head(row: &Row) -> Result<LaneHead> {
    let (id, severity) = (MessageId(row.get(0)?), Severity::of_rank(row.get(1)?));
    Ok(LaneHead { id, severity, alert: row.get::<_, Option<i64>>(2)?.map(AlertId) })
}

impl Store {
    /// The heads of open lanes, the most severe first, and when to look again. Reads alone: [`Store::load`]
    /// writes what is to be written before one of them leaves.
    pub fn work(&self, now: Timestamp, wanted: &LoadRequest, people: &People) -> Result<Work> {
        let (mut heads, mut work) = (Vec::new(), Work::default());
        let mut next = self.first_lane("")?;
        while let Some(lane) = next {
            if wanted.closed_connections.contains(&lane.connection) {
                next = self.first_lane(&lane.connection.0)?;
                continue;
            }
            next = self.next_lane(&lane)?;
            if wanted.closed_lanes.contains(&lane) {
                continue;
            }
            let (pressed, resting) = (wanted.near_pair_limit.contains(&lane), wanted.resting.contains(&lane));
            let merges = digest::merges(self.waiting(&lane, now)?, pressed, now);
            if merges && !resting {
                work.crowded.push(lane.clone());
            }
            // What a digest would carry waits for the end of the rest, when the sender wakes; an answer does not.
            let kinds: &[bool] = if merges && resting { &[false] } else { &[false, true] };
            let head = match wanted.uploads.get(&lane) {
                None if !wanted.uploads_full => self.head(&lane, kinds, false, now)?,
                uploading => {
                    let others = self.head(&lane, kinds, true, now)?;
                    let ready =
                        uploading.copied().flatten().map(|id| self.uploaded_head(id, now)).transpose()?;
                    others.into_iter().chain(ready.flatten()).min_by_key(LaneHead::order)
                }
            };
            heads.extend(
                head.filter(|head| !(pressed && resting && digest::may_rest(head.alert, head.severity))),
            );
        }
        heads.sort_by_key(LaneHead::order);
        for head in heads.into_iter().take(wanted.limit) {
            match self.whole(head.id)? {
                // The others are not even read.
                Some(due) => work.due.push(self.leaving(due, people, now, &mut work.readdressed)?),
                None => work.damaged.push(head.id),
            }
        }
        let next_at = self
            .sql
            .prepare_cached(
                "SELECT min(not_before) FROM message INDEXED BY message_wait
                 WHERE (state = 'unknown' OR (state = 'queued' AND not_before > 0)) AND digest IS NULL AND not_before > ?1",
            )?
            .query_row([now.0], |row| row.get::<_, Option<i64>>(0))?;
        // Behind one that is put aside another may be fit to leave.
        work.next_at = if work.damaged.is_empty() { next_at.map(Timestamp) } else { Some(now) };
        for id in wanted.uploads.values().copied().flatten() {
            if !self.waits(id)? {
                work.lapsed.push(id);
            }
        }
        Ok(work)
    }

    /// What is held because its number is restricted, since then: over which lane, with which code, when.
    pub fn restricted(&self, since: Timestamp) -> Result<Vec<(Conversation, i64, Timestamp)>> {
        let mut rows = self.sql.prepare_cached(
            "SELECT connection, contact, code, max(changed_at) FROM message
             WHERE state = 'held' AND held_for = 'quality' AND code IS NOT NULL AND changed_at > ?1
             GROUP BY connection",
        )?;
        let read = |row: &Row| {
            let lane =
                Conversation { connection: ConnectionName(row.get(0)?), contact: ContactId(row.get(1)?) };
            Ok((lane, row.get(2)?, Timestamp(row.get(3)?)))
        };
        rows.query_map([since.0], read)?.collect()
    }

    /// Lanes one by one through their index: the cost grows with the people who are waited for, not with the queue.
    pub(super) fn next_lane(&self, after: &Conversation) -> Result<Option<Conversation>> {
        let (connection, contact) = (&*after.connection.0, &*after.contact.0);
        match self.lane(NEXT_CONTACT, &[connection, contact])? {
            None => self.first_lane(connection),
            found => Ok(found),
        }
    }

    /// Of the connections after this one.
    pub(super) fn first_lane(&self, connection: &str) -> Result<Option<Conversation>> {
        self.lane(NEXT_CONNECTION, &[connection])
    }

    fn lane(&self, question: &str, values: &[&str]) -> Result<Option<Conversation>> {
        self.sql
            .prepare_cached(question)?
            .query_row(params_from_iter(values), |row| {
                Ok(Conversation { connection: ConnectionName(row.get(0)?), contact: ContactId(row.get(1)?) })
            })
            .optional()
    }

    /// What leaves a lane first, of what a digest may carry and what it may not: each stands in its own order. While files
    /// are on their way, without those that have files and what is said later of the same alert.
    fn head(
        &self,
        lane: &Conversation,
        mergeable: &[bool],
        uploading: bool,
        now: Timestamp,
    ) -> Result<Option<LaneHead>> {
        let question = if uploading { HEAD_WITHOUT_FILES } else { HEAD };
        let mut first: Option<LaneHead> = None;
        for mergeable in mergeable {
            let values = params![lane.connection.0, lane.contact.0, mergeable, now.0];
            let found = self.sql.prepare_cached(question)?.query_row(values, read_head).optional()?;
            first = first.into_iter().chain(found).min_by_key(LaneHead::order);
        }
        Ok(first)
    }

    /// A message whose files are at Meta, if it may leave now.
    fn uploaded_head(&self, id: MessageId, now: Timestamp) -> Result<Option<LaneHead>> {
        self.sql
            .prepare_cached(
                "SELECT id, severity, alert FROM message
                 WHERE id = ?1 AND state = 'queued' AND digest IS NULL AND not_before <= ?2",
            )?
            .query_row(params![id.0, now.0], read_head)
            .optional()
    }

    /// Whether it is still to leave, now or later.
    fn waits(&self, id: MessageId) -> Result<bool> {
        self.sql
            .prepare_cached("SELECT 1 FROM message WHERE id = ?1 AND state = 'queued' AND digest IS NULL")?
            .exists([id.0])
    }

    /// With what is known of its window and templates, for the number that the person has now: the one it was written for
    /// may be somebody else's.
    fn leaving(
        &self,
        mut due: DueMessage,
        people: &People,
        now: Timestamp,
        readdressed: &mut Vec<(MessageId, Recipient)>,
    ) -> Result<DueMessage> {
        if let Some(person) = people.contacts.get(&due.lane.contact).filter(|person| person.to != due.to) {
            readdressed.push((due.id, person.to.clone()));
            due.to = person.to.clone();
        }
        due.window = self.window(&due.lane, now)?;
        let no_marketing = self.wants_no_marketing(&due.lane.contact)?;
        for template in &due.content.templates {
            let listed = self.listed(&due.lane.connection, template)?;
            let is_unwanted =
                no_marketing && matches!(&listed, CatalogueEntry::Facts(facts) if facts.is_marketing());
            due.listed.push(if is_unwanted { CatalogueEntry::Unwanted } else { listed });
        }
        Ok(due)
    }

    /// The person has another number since it was written.
    pub(super) fn readdress(&self, id: MessageId, to: &Recipient) -> Result<()> {
        let content: String = self
            .sql
            .prepare_cached("SELECT content FROM message WHERE id = ?1")?
            .query_row([id.0], |row| row.get(0))?;
        let sum = checksum::of(&[to.address().as_bytes(), content.as_bytes()]);
        self.sql
            .prepare_cached("UPDATE message SET address = ?2, checksum = ?3 WHERE id = ?1")?
            .execute(params![id.0, to.address(), sum])
            .map(drop)
    }

    /// In a digest its words would have a right checksum again.
    pub(super) fn hold_as_damaged(&self, id: MessageId, now: Timestamp) -> Result<()> {
        let reason = "the row is damaged on disk (its checksum does not match), so it is not sent; look at it with \
                      `bellwire outbox show`, and check the card";
        tracing::error!(message_id = id.0, "a message is damaged on disk and was put aside");
        self.advance(id, &Next::to(State::Held, reason), now)
    }

    /// One message as it would leave, whatever its state.
    pub fn whole(&self, id: MessageId) -> Result<Option<DueMessage>> {
        self.sql
            .prepare_cached(
                "SELECT id, address, content, alert, severity, attempts, tries, on_unknown, checksum, bare, connection, contact,
                        expires_at
                 FROM message WHERE id = ?1",
            )?
            .query_row([id.0], read_due)
            .optional()
            .map(Option::flatten)
    }
}

/// The message, unless its checksum says that it is not what was written.
fn read_due(row: &Row) -> Result<Option<DueMessage>> {
    let (address, content): (String, String) = (row.get(1)?, row.get(2)?);
    let sum: Vec<u8> = row.get(8)?;
    let intact = sum == checksum::of(&[address.as_bytes(), content.as_bytes()]);
    let parsed =
        intact.then(|| Recipient::parse(&address).zip(serde_json::from_str(&content).ok())).flatten();
    let Some((to, content)) = parsed else { return Ok(None) };
    let content: Content = content;
    let bare = row.get::<_, i64>(9)? == 1;
    let content =
        if bare { content.without_media("WhatsApp refused the file that belongs here") } else { content };
    Ok(Some(DueMessage {
        id: MessageId(row.get(0)?),
        lane: Conversation { connection: ConnectionName(row.get(10)?), contact: ContactId(row.get(11)?) },
        to,
        content,
        alert: row.get::<_, Option<i64>>(3)?.map(AlertId),
        severity: Severity::of_rank(row.get(4)?),
        attempts: row.get(5)?,
        tries: row.get(6)?,
        on_unknown: on_unknown(row, 7)?,
        expires_at: Timestamp(row.get(12)?),
        window: Window::Unknown,
        listed: Vec::new(),
    }))
}

#[cfg(test)]
mod tests;
