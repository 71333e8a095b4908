//! The messages that wait in the lanes that have changed, for the order in which messages leave (`outbox/lanes.rs`);
//! and the messages that do.
//!
//! Each question names its index. SQLite would take the one over `state` for some, and walk through all that waits.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{OptionalExtension, Result, Row, params, params_from_iter};

use super::Store;
use super::outbox::on_unknown;
use crate::contact::severity::Severity;
use crate::contact::{People, Recipient};
use crate::ids::{AlertId, ConnectionName, ContactId, MessageId};
use crate::outbox::digest::WaitingMessages;
use crate::outbox::lanes::{LaneContent, LaneHead, LaneReport, LaneRequest};
use crate::outbox::message::Content;
use crate::outbox::message_state::State;
use crate::outbox::retry_policy::Next;
use crate::outbox::row::{Conversation, DueMessage, Work};
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

/// The lanes that have changed: kept by SQLite itself for this connection, whatever statement it was, in memory.
pub(super) const WATCH: &str = "CREATE TEMP TABLE IF NOT EXISTS changed_lane (connection TEXT, contact TEXT, PRIMARY KEY (connection, contact)) WITHOUT ROWID;
     CREATE TEMP TRIGGER IF NOT EXISTS lane_gains AFTER INSERT ON main.message
     WHEN NEW.state = 'queued' AND NEW.digest IS NULL BEGIN
         INSERT OR IGNORE INTO changed_lane VALUES (NEW.connection, NEW.contact);
     END;
     CREATE TEMP TRIGGER IF NOT EXISTS lane_loses AFTER DELETE ON main.message
     WHEN OLD.state = 'queued' AND OLD.digest IS NULL BEGIN
         INSERT OR IGNORE INTO changed_lane VALUES (OLD.connection, OLD.contact);
     END;
     CREATE TEMP TRIGGER IF NOT EXISTS lane_changes AFTER UPDATE ON main.message
     WHEN (OLD.state = 'queued' AND OLD.digest IS NULL) OR (NEW.state = 'queued' AND NEW.digest IS NULL) BEGIN
         INSERT OR IGNORE INTO changed_lane VALUES (OLD.connection, OLD.contact);
         INSERT OR IGNORE INTO changed_lane VALUES (NEW.connection, NEW.contact);
     END;
     DELETE FROM changed_lane";
/// Those in which a message waited for a time that has come.
const COME: &str = "SELECT connection, contact FROM message INDEXED BY message_wait
     WHERE (state = 'unknown' OR (state = 'queued' AND not_before > 0)) AND digest IS NULL
         AND not_before > ?1 AND not_before <= ?2 LIMIT ?3";
/// After a long outage a million messages may have waited for the same time: beyond so many it is cheaper to look at each lane.
const COME_MAX: i64 = 1_000;

fn read_head(row: &Row) -> Result<LaneHead> {
    let alert = row.get::<_, Option<i64>>(2)?.map(AlertId);
    Ok(LaneHead::new(MessageId(row.get(0)?), Severity::of_rank(row.get(1)?), alert))
}

fn read_lane(row: &Row) -> Result<Conversation> {
    Ok(Conversation { connection: ConnectionName(row.get(0)?), contact: ContactId(row.get(1)?) })
}

impl Store {
    /// The content of the lanes that have changed since the last call. Reads alone, but for what was seen.
    pub fn look(&self, now: Timestamp, wanted: &LaneRequest) -> Result<LaneReport> {
        let version = self.data_version()?;
        let others_wrote = self.seen_version.replace(version) != version;
        let mut lanes = wanted.reread.clone();
        let mut all = wanted.all || others_wrote;
        if !all && wanted.next_at.is_some_and(|at| at <= now) {
            let come = self.lanes_of(COME, params![wanted.since.0, now.0, COME_MAX + 1])?;
            all = i64::try_from(come.len()).is_ok_and(|come| come > COME_MAX);
            lanes.extend(come);
        }
        if all {
            self.sql.execute_batch(WATCH)?;
            lanes = self.all_lanes()?;
        } else {
            let changed = self.lanes_of("SELECT connection, contact FROM changed_lane", [])?;
            if !changed.is_empty() {
                self.sql.prepare_cached("DELETE FROM changed_lane")?.execute([])?;
            }
            lanes.extend(changed);
        }
        let content = |lane: Conversation| {
            let content = self.lane_content(&lane, wanted, now)?;
            Ok((lane, content))
        };
        let next_at = self
            .sql
            .prepare_cached(
                "SELECT min(not_before) FROM message INDEXED BY message_wait
                 WHERE (state = 'unknown' OR (state = 'queued' AND not_before > 0)) AND digest IS NULL AND not_before > ?1",
            )?
            .query_row([now.0], |row| row.get::<_, Option<i64>>(0))?;
        let mut lapsed = Vec::new();
        for id in wanted.uploads.values().copied().flatten() {
            if !self.waits(id)? {
                lapsed.push(id);
            }
        }
        let lanes = lanes.into_iter().map(content).collect::<Result<_>>()?;
        Ok(LaneReport { all, lanes, next_at: next_at.map(Timestamp), lapsed })
    }

    /// In which lanes something else waits than was seen, though nothing says that they have changed: in none, ever. For the
    /// simulation, which asks after each commit.
    pub fn missed_changes(
        &self,
        asked: &LaneRequest,
        seen: &BTreeMap<Conversation, LaneContent>,
    ) -> Result<Vec<Conversation>> {
        if self.data_version()? != self.seen_version.get() {
            return Ok(Vec::new()); // all will be read
        }
        let mut known = self.lanes_of("SELECT connection, contact FROM changed_lane", [])?;
        known.extend(asked.reread.iter().cloned());
        let mut missed = Vec::new();
        for lane in self.all_lanes()?.into_iter().chain(seen.keys().cloned()) {
            let content = seen.get(&lane).copied().unwrap_or_default();
            if !known.contains(&lane) && self.lane_content(&lane, asked, asked.since)? != content {
                missed.push(lane);
            }
        }
        Ok(missed)
    }

    /// These messages as they would leave now, but for those that are damaged, which are put aside.
    pub fn load(&self, now: Timestamp, wanted: &[MessageId], people: &People) -> Result<Work> {
        let mut work = Work::default();
        for id in wanted {
            match self.whole(*id)? {
                Some(due) => work.due.push(self.leaving(due, people, now)?),
                None => {
                    self.hold_as_damaged(*id, now)?;
                    work.damaged = true;
                }
            }
        }
        Ok(work)
    }

    /// What waits in a lane, and what of it would leave first.
    fn lane_content(&self, lane: &Conversation, wanted: &LaneRequest, now: Timestamp) -> Result<LaneContent> {
        let upload = wanted.uploads.get(lane);
        let question = if upload.is_some() || wanted.uploads_full { HEAD_WITHOUT_FILES } else { HEAD };
        let head = |mergeable: bool| {
            let values = params![lane.connection.0, lane.contact.0, mergeable, now.0];
            self.sql.prepare_cached(question)?.query_row(values, read_head).optional()
        };
        let uploaded = upload.copied().flatten().map(|id| self.uploaded_head(id, now)).transpose()?;
        let (single, mergeable) = (head(false)?, head(true)?);
        // Where all that waits has files that are on their way, nothing may leave, alone or together with others.
        let is_empty = single.or(mergeable).or(uploaded.flatten()).is_none();
        let none_waits = is_empty || mergeable.is_none() && question == HEAD;
        let waiting = if none_waits { WaitingMessages::default() } else { self.waiting(lane, now)? };
        Ok(LaneContent { single, mergeable, uploaded: uploaded.flatten(), waiting })
    }

    /// Lanes one by one through their index: the cost grows with the people who are waited for, not with the queue.
    pub(super) fn all_lanes(&self) -> Result<BTreeSet<Conversation>> {
        let mut lanes = BTreeSet::new();
        let mut next = self.lane(NEXT_CONNECTION, &[""])?;
        while let Some(lane) = next {
            next = match self.lane(NEXT_CONTACT, &[&lane.connection.0, &lane.contact.0])? {
                None => self.lane(NEXT_CONNECTION, &[&lane.connection.0])?,
                found => found,
            };
            lanes.insert(lane);
        }
        Ok(lanes)
    }

    fn lane(&self, question: &str, values: &[&str]) -> Result<Option<Conversation>> {
        self.sql.prepare_cached(question)?.query_row(params_from_iter(values), read_lane).optional()
    }

    fn lanes_of(&self, question: &str, values: impl rusqlite::Params) -> Result<Vec<Conversation>> {
        self.sql.prepare_cached(question)?.query_map(values, read_lane)?.collect()
    }

    /// The messages held since then because their number is restricted: over which lane, with which code, when.
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
    fn leaving(&self, mut due: DueMessage, people: &People, now: Timestamp) -> Result<DueMessage> {
        if let Some(person) = people.contacts.get(&due.lane.contact).filter(|person| person.to != due.to) {
            self.readdress(due.id, &person.to)?;
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
