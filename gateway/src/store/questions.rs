//! Questions of machines, the votes of people, and what comes next by the clock.

use rusqlite::{OptionalExtension, Result, Row, params};

use super::Store;
use super::outbox::NewMessage;
use crate::command::question::OpenQuestion;
use crate::contact::Contact;
use crate::contact::severity::Severity;
use crate::ids::{ConnectionName, ContactId, MessageId};
use crate::outbox::message::Content;
use crate::outbox::message_state::OnUnknown;
use crate::time::Timestamp;

const COLUMNS: &str =
    "id, name, key, text, choices, voters, needed, response_topic, correlation, default_choice,
     connection, expires_at, decision FROM question";

impl Store {
    /// Whether this is a question that we have: still open, or surely the same and not asked before `since`. A machine may
    /// use its correlation data again for the next question.
    pub fn knows_question(&self, key: &str, surely: bool, since: Timestamp) -> Result<bool> {
        let open: Option<(bool, i64)> = self
            .sql
            .prepare_cached("SELECT state = 'open', asked_at FROM question WHERE key = ?1")?
            .query_row([key], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        match open {
            None => Ok(false),
            // What was asked before the clock was set (no RTC on a Pi) may have been asked at any time.
            Some((open, at)) if open || surely && (at > since.0 || !Timestamp(at).is_sane()) => Ok(true),
            Some(_) => {
                self.sql.prepare_cached("UPDATE question SET key = NULL WHERE key = ?1")?.execute([key])?;
                Ok(false)
            }
        }
    }

    /// The number that the next one gets: it goes into its buttons.
    pub fn next_question(&self) -> Result<i64> {
        self.sql
            .prepare_cached("SELECT coalesce(max(id), 0) + 1 FROM question")?
            .query_row([], |row| row.get(0))
    }

    pub fn insert_question(&self, question: &OpenQuestion, now: Timestamp) -> Result<()> {
        self.sql
            .prepare_cached(
                "INSERT INTO question (id, name, key, text, choices, voters, needed, response_topic, correlation,
                                       default_choice, connection, asked_at, expires_at, state)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, 'open')",
            )?
            .execute(params![
                question.id,
                question.name,
                question.key,
                question.text,
                serde_json::to_string(&question.choices).unwrap_or_default(),
                serde_json::to_string(&question.voters).unwrap_or_default(),
                question.needed,
                question.response_topic,
                question.correlation,
                question.default_choice,
                question.connection.0,
                now.0,
                question.expires_at.0
            ])
            .map(drop)
    }

    pub fn question(&self, id: i64) -> Result<Option<OpenQuestion>> {
        self.sql.prepare_cached(&format!("SELECT {COLUMNS} WHERE id = ?1"))?.query_row([id], read).optional()
    }

    /// The name of the machine's question that a message puts.
    pub fn question_of(&self, id: MessageId) -> Result<Option<String>> {
        self.sql
            .prepare_cached(
                "SELECT q.name FROM asked a JOIN question q ON q.id = a.number WHERE a.message = ?1 AND a.kind = 'question'",
            )?
            .query_row([id.0], |row| row.get(0))
            .optional()
    }

    /// Those that wait for people.
    pub(super) fn open_questions(&self) -> Result<Vec<OpenQuestion>> {
        self.sql
            .prepare(&format!("SELECT {COLUMNS} WHERE state = 'open' ORDER BY id"))?
            .query_map([], read)?
            .collect()
    }

    /// Those whose time is over.
    pub fn overdue_questions(&self, now: Timestamp) -> Result<Vec<OpenQuestion>> {
        self.sql
            .prepare_cached(&format!("SELECT {COLUMNS} WHERE state = 'open' AND expires_at <= ?1 LIMIT 100"))?
            .query_map([now.0], read)?
            .collect()
    }

    /// The choices of people.
    pub fn votes(&self, question: i64) -> Result<Vec<(ContactId, String)>> {
        self.sql
            .prepare_cached("SELECT contact, choice FROM vote WHERE question = ?1")?
            .query_map([question], |row| Ok((ContactId(row.get(0)?), row.get(1)?)))?
            .collect()
    }

    /// The first choice of a person counts.
    pub fn vote(&self, question: i64, contact: &ContactId, choice: &str, now: Timestamp) -> Result<()> {
        self.sql
            .prepare_cached("INSERT OR IGNORE INTO vote VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![question, contact.0, choice, now.0])
            .map(drop)
    }

    pub fn close_question(&self, id: i64, decision: &str) -> Result<()> {
        self.sql
            .prepare_cached(
                "UPDATE question SET state = 'decided', decision = ?2 WHERE id = ?1 AND state = 'open'",
            )?
            .execute(params![id, decision])
            .map(drop)
    }

    /// A question to one person: urgent, and of no use after its time.
    pub fn compose_question(
        &self,
        question: &OpenQuestion,
        contact: &Contact,
        content: &Content,
        now: Timestamp,
    ) -> Result<MessageId> {
        self.insert_message(&NewMessage {
            connection: &question.connection,
            contact: &contact.id,
            to: &contact.to,
            alert: None,
            severity: Severity::Critical,
            content,
            on_unknown: OnUnknown::Retry,
            exempt: !contact.may_stop,
            created_at: now,
            expires_at: question.expires_at,
        })
    }

    /// When the clock next decides something about requests, questions or devices.
    pub fn next_deadline(&self) -> Result<Option<Timestamp>> {
        self.sql
            .prepare_cached(
                "SELECT min(at) FROM (SELECT min(expires_at) AS at FROM request WHERE state = 'open'
                 UNION ALL SELECT min(expires_at) FROM question WHERE state = 'open'
                 UNION ALL SELECT min(answer_by) FROM command WHERE state = 'published' AND answer IS NOT NULL)",
            )?
            .query_row([], |row| row.get::<_, Option<i64>>(0))
            .map(|at| at.map(Timestamp))
    }
}

fn read(row: &Row) -> Result<OpenQuestion> {
    let list = |text: String| serde_json::from_str(&text).unwrap_or_default();
    Ok(OpenQuestion {
        id: row.get(0)?,
        name: row.get(1)?,
        key: row.get(2)?,
        text: row.get(3)?,
        choices: list(row.get(4)?),
        voters: list(row.get(5)?),
        needed: row.get(6)?,
        response_topic: row.get(7)?,
        correlation: row.get(8)?,
        default_choice: row.get(9)?,
        connection: ConnectionName(row.get(10)?),
        expires_at: Timestamp(row.get(11)?),
        decision: row.get(12)?,
    })
}
