//! What may leave now: the head of each lane, and the digest of a lane where many wait.
//!
//! Each question names its index. SQLite would take the one over `state` for some, and walk through all that waits.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, Result, Row, params, params_from_iter};

use super::Store;
use super::outbox::{NewMessage, on_unknown};
use crate::contact::language::Locale;
use crate::contact::severity::Severity;
use crate::contact::{People, Recipient};
use crate::ids::{AlertId, ConnectionName, ContactId, MessageId};
use crate::outbox::digest::{self, FLOOD, Item, MEMBERS_MAX, WORDED, WaitingMessages};
use crate::outbox::message::Content;
use crate::outbox::message_state::{OnUnknown, State};
use crate::outbox::render;
use crate::outbox::retry_policy::Next;
use crate::outbox::row::{Conversation, DueMessage, LoadRequest, Work};
use crate::outbox::window::{CatalogueEntry, Window};
use crate::store::db::checksum;
use crate::time::Timestamp;

/// What waits in a lane and has not been tried: a message that may have gone out keeps its own story.
const MERGEABLE: &str =
    "state = 'queued' AND digest IS NULL AND connection = ?1 AND contact = ?2 AND not_before <= ?3
     AND mergeable = 1 AND attempts = 0";

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
    /// The heads of open lanes, the most severe first, and when to look again.
    pub fn work(&self, now: Timestamp, wanted: &LoadRequest, people: &People) -> Result<Work> {
        let mut heads = Vec::new();
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
                self.merge(&lane, people.locale(&lane.contact), now)?;
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
        let (mut due, mut is_damaged) = (Vec::new(), false);
        for head in heads.into_iter().take(wanted.limit) {
            match self.leaving(head, people, now)? {
                Some(whole) => due.push(whole), // the others are not even read
                None => is_damaged = true,
            }
        }
        let next_at = self
            .sql
            .prepare_cached(
                "SELECT min(not_before) FROM message INDEXED BY message_wait
                 WHERE (state = 'unknown' OR (state = 'queued' AND not_before > 0)) AND digest IS NULL AND not_before > ?1",
            )?
            .query_row([now.0], |row| row.get::<_, Option<i64>>(0))?;
        // Behind one that was put aside another may be fit to leave.
        let next_at = if is_damaged { Some(now) } else { next_at.map(Timestamp) };
        let uploaded = wanted.uploads.values().copied().flatten();
        let lapsed = uploaded.map(|id| Ok((id, self.waits(id)?))).collect::<Result<Vec<_>>>()?;
        let lapsed = lapsed.into_iter().filter_map(|(id, waits)| (!waits).then_some(id)).collect();
        Ok(Work { due, next_at, lapsed })
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

    /// The whole message with what is known of its window and templates, unless its row is damaged.
    fn leaving(&self, head: LaneHead, people: &People, now: Timestamp) -> Result<Option<DueMessage>> {
        let Some(mut due) = self.whole(head.id)? else {
            return self.hold_as_damaged(head.id, now).map(|()| None);
        };
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
        Ok(Some(due))
    }

    /// The person has another number since it was written: the old one may be somebody else's.
    fn readdress(&self, id: MessageId, to: &Recipient) -> Result<()> {
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

    fn hold_as_damaged(&self, id: MessageId, now: Timestamp) -> Result<()> {
        let reason = "the row is damaged on disk (its checksum does not match), so it is not sent; look at it with \
                      `bellwire outbox show`, and check the card";
        tracing::error!(message_id = id.0, "a message is damaged on disk and was put aside");
        self.advance(id, &Next::to(State::Held, reason), now)
    }

    /// Those of a digest that is to be made. In it their words would have a right checksum again.
    fn hold_damaged(&self, members: &str, lane: &Conversation, now: Timestamp) -> Result<()> {
        let damaged: Vec<MessageId> = self
            .sql
            .prepare_cached(&format!(
                "SELECT id, address, content, checksum FROM message WHERE id IN ({members})"
            ))?
            .query_map(params![lane.connection.0, lane.contact.0, now.0], |row| {
                let (address, content): (String, String) = (row.get(1)?, row.get(2)?);
                let sum = checksum::of(&[address.as_bytes(), content.as_bytes()]);
                Ok((MessageId(row.get(0)?), row.get::<_, Vec<u8>>(3)? == sum))
            })?
            .filter_map(|read| read.map(|(id, intact)| (!intact).then_some(id)).transpose())
            .collect::<Result<_>>()?;
        damaged.into_iter().try_for_each(|id| self.hold_as_damaged(id, now))
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

    /// How many wait in a lane for a digest, counted up to where it makes a difference.
    fn waiting(&self, lane: &Conversation, now: Timestamp) -> Result<WaitingMessages> {
        self.sql
            .prepare_cached(&format!(
                "SELECT count(*), min(created_at) FROM (SELECT created_at FROM message INDEXED BY message_lane WHERE {MERGEABLE} ORDER BY severity DESC, id LIMIT {FLOOD})"
            ))?
            .query_row(params![lane.connection.0, lane.contact.0, now.0], |row| {
                let oldest = row.get::<_, Option<i64>>(1)?.map_or(now, Timestamp);
                Ok(WaitingMessages { count: row.get(0)?, oldest })
            })
    }

    /// Puts what waits in a lane into one message. Each member keeps its row, and moves with the digest.
    fn merge(&self, lane: &Conversation, locale: &Locale, now: Timestamp) -> Result<()> {
        let members = format!(
            "SELECT id FROM message INDEXED BY message_lane WHERE {MERGEABLE} ORDER BY severity DESC, id LIMIT {MEMBERS_MAX}"
        );
        self.hold_damaged(&members, lane, now)?;
        let (mut items, mut address) = (Vec::new(), None);
        {
            let mut select = self.sql.prepare_cached(&format!(
                "SELECT severity, content, alert, address FROM message WHERE id IN ({members})
                 ORDER BY severity DESC, id LIMIT {WORDED}"
            ))?;
            let mut rows = select.query(params![lane.connection.0, lane.contact.0, now.0])?;
            while let Some(row) = rows.next()? {
                let content: Content = serde_json::from_str(&row.get::<_, String>(1)?).unwrap_or_default();
                let alert = row.get::<_, Option<i64>>(2)?.map(AlertId);
                let content = render::outgoing(&content, &self.seal, alert, &lane.contact, now);
                items.push(Item { severity: Severity::of_rank(row.get(0)?), content });
                address = Recipient::parse(&row.get::<_, String>(3)?).or(address);
            }
        }
        let (Some(to), Some(first)) = (address, items.first()) else { return Ok(()) };
        let others: BTreeMap<String, u32> = self
            .sql
            .prepare_cached(&format!(
                "SELECT a.rule, count(*) FROM (SELECT alert FROM message WHERE id IN ({members})
                 ORDER BY severity DESC, id LIMIT -1 OFFSET {WORDED}) m JOIN alert a ON a.id = m.alert GROUP BY a.rule"
            ))?
            .query_map(params![lane.connection.0, lane.contact.0, now.0], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_>>()?;
        // What has no words counts as much: no member may come twice that must not, nor be too old before its own time.
        let (hold, expires_at) = self
            .sql
            .prepare_cached(&format!(
                "SELECT max(on_unknown <> 'retry'), max(expires_at) FROM message WHERE id IN ({members})"
            ))?
            .query_row(params![lane.connection.0, lane.contact.0, now.0], |row| {
                Ok((row.get(0)?, Timestamp(row.get(1)?)))
            })?;
        let id = self.insert_message(&NewMessage {
            connection: &lane.connection,
            contact: &lane.contact,
            to: &to,
            alert: None,
            severity: first.severity,
            content: &digest::compose(&items, &others, locale),
            on_unknown: if hold { OnUnknown::Hold } else { OnUnknown::Retry },
            exempt: true, // its members were asked
            created_at: now,
            expires_at: expires_at.max(now),
        })?;
        let reason = format!("part of the digest {id}, since many waited for the same person");
        self.sql
            .prepare_cached(&format!("UPDATE message SET digest = ?4, reason = ?5 WHERE id IN ({members})"))?
            .execute(params![lane.connection.0, lane.contact.0, now.0, id.0, reason])
            .map(drop)
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
