//! Digests in the store: what one would carry is read here, `outbox/digest.rs` decides, and what it decided is
//! written here.

use rusqlite::{Result, params};

use super::Store;
use super::outbox::{NewMessage, on_unknown};
use crate::contact::severity::Severity;
use crate::contact::{People, Recipient};
use crate::ids::{AlertId, MessageId};
use crate::outbox::digest::{Digest, FLOOD, Gathering, MEMBERS_MAX, Member, WaitingMessages};
use crate::outbox::message::Content;
use crate::outbox::render;
use crate::outbox::row::Conversation;
use crate::store::db::checksum;
use crate::time::Timestamp;

/// What waits in a lane and has not been tried: a message that may have gone out keeps its own story.
const MERGEABLE: &str =
    "state = 'queued' AND digest IS NULL AND connection = ?1 AND contact = ?2 AND not_before <= ?3
     AND mergeable = 1 AND attempts = 0";

impl Store {
    /// Puts what waits in each of these lanes into one message; call it inside a transaction.
    pub fn merge(&self, lanes: &[Conversation], people: &People, now: Timestamp) -> Result<()> {
        for lane in lanes {
            let (gathered, damaged) = self.gathered(lane, now)?;
            damaged.into_iter().try_for_each(|id| self.hold_as_damaged(id, now))?;
            if let Some(digest) = gathered.digest(people.locale(&lane.contact), now) {
                self.insert_digest(lane, &digest, now)?;
            }
        }
        Ok(())
    }

    /// The number of messages that wait in a lane for a digest, counted up to where it makes a difference.
    pub(super) fn waiting(&self, lane: &Conversation, now: Timestamp) -> Result<WaitingMessages> {
        self.sql
            .prepare_cached(&format!(
                "SELECT count(*), min(created_at) FROM (SELECT created_at FROM message INDEXED BY message_lane WHERE {MERGEABLE} ORDER BY severity DESC, id LIMIT {FLOOD})"
            ))?
            .query_row(params![lane.connection.0, lane.contact.0, now.0], |row| {
                let oldest = Timestamp(row.get::<_, Option<i64>>(1)?.unwrap_or_default());
                Ok(WaitingMessages { count: row.get(0)?, oldest })
            })
    }

    /// What a digest of the lane would carry, and the rows among it that are damaged.
    fn gathered(&self, lane: &Conversation, now: Timestamp) -> Result<(Gathering, Vec<MessageId>)> {
        let (mut gathering, mut damaged) = (Gathering::default(), Vec::new());
        let mut select = self.sql.prepare_cached(&format!(
            "SELECT id, address, content, checksum, alert, severity, on_unknown, expires_at,
                    (SELECT rule FROM alert a WHERE a.id = message.alert)
             FROM message INDEXED BY message_lane WHERE {MERGEABLE} ORDER BY severity DESC, id LIMIT {MEMBERS_MAX}"
        ))?;
        let mut rows = select.query(params![lane.connection.0, lane.contact.0, now.0])?;
        while let Some(row) = rows.next()? {
            let (address, content): (String, String) = (row.get(1)?, row.get(2)?);
            let member = Member {
                id: MessageId(row.get(0)?),
                severity: Severity::of_rank(row.get(5)?),
                rule: row.get(8)?,
                on_unknown: on_unknown(row, 6)?,
                expires_at: Timestamp(row.get(7)?),
            };
            if row.get::<_, Vec<u8>>(3)? != checksum::of(&[address.as_bytes(), content.as_bytes()]) {
                damaged.push(member.id);
                continue;
            }
            let alert = row.get::<_, Option<i64>>(4)?.map(AlertId);
            let words = gathering.has_words_left().then(|| {
                let content: Content = serde_json::from_str(&content).unwrap_or_default();
                let content = render::outgoing(&content, &self.seal, alert, &lane.contact, now);
                (Recipient::parse(&address), content)
            });
            gathering.add(member, words);
        }
        Ok((gathering, damaged))
    }

    /// Each member keeps its row, and moves with the digest.
    fn insert_digest(&self, lane: &Conversation, digest: &Digest, now: Timestamp) -> Result<()> {
        let id = self.insert_message(&NewMessage {
            connection: &lane.connection,
            contact: &lane.contact,
            to: &digest.to,
            alert: None,
            severity: digest.severity,
            content: &digest.content,
            on_unknown: digest.on_unknown,
            exempt: true, // its members were asked
            created_at: now,
            expires_at: digest.expires_at,
        })?;
        let reason = format!("part of the digest {id}, since many waited for the same person");
        let mut update =
            self.sql.prepare_cached("UPDATE message SET digest = ?2, reason = ?3 WHERE id = ?1")?;
        digest.members.iter().try_for_each(|member| update.execute(params![member.0, id.0, reason]).map(drop))
    }
}
