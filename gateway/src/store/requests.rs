//! Requests that wait for a Yes.

use std::collections::BTreeSet;

use rusqlite::{OptionalExtension, Result, Row, params};

use super::Store;
use crate::command::approval::{Pending, Request, RequestState};
use crate::ids::{AlertId, ConnectionName, ContactId, MessageId, Wamid};
use crate::outbox::button_token::ButtonSubject;
use crate::reply::interpret::{ReplySubject, SentMessage};
use crate::time::Timestamp;

const COLUMNS: &str =
    "id, reply, contact, connection, deed, confirm, approvals, agreed, expires_at, state FROM request";

impl Store {
    /// The number that the next one gets: it goes into its buttons.
    pub fn next_request(&self) -> Result<i64> {
        self.sql
            .prepare_cached("SELECT coalesce(max(id), 0) + 1 FROM request")?
            .query_row([], |row| row.get(0))
    }

    pub fn open_request(&self, request: &Request, now: Timestamp) -> Result<()> {
        let pending = &request.pending;
        self.sql
            .prepare_cached(
                "INSERT INTO request (id, reply, contact, connection, deed, confirm, approvals, agreed, asked_at, expires_at, state)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'open')",
            )?
            .execute(params![
                request.id,
                request.reply.0,
                pending.asker.0,
                request.connection.0,
                serde_json::to_string(&request.action).unwrap_or_default(),
                pending.confirm,
                pending.approvals,
                names(&pending.agreed),
                now.0,
                pending.expires_at.0
            ])
            .map(drop)
    }

    pub fn request(&self, id: i64) -> Result<Option<Request>> {
        self.sql
            .prepare_cached(&format!("SELECT {COLUMNS} WHERE id = ?1"))?
            .query_row([id], read)
            .optional()
            .map(Option::flatten)
    }

    pub fn change_request(&self, request: &Request, state: RequestState) -> Result<()> {
        self.sql
            .prepare_cached("UPDATE request SET agreed = ?2, expires_at = ?3, state = ?4 WHERE id = ?1")?
            .execute(params![
                request.id,
                names(&request.pending.agreed),
                request.pending.expires_at.0,
                state.as_str()
            ])
            .map(drop)
    }

    /// All in this state.
    pub(super) fn requests_in(&self, state: RequestState) -> Result<Vec<Request>> {
        let mut select = self.sql.prepare(&format!("SELECT {COLUMNS} WHERE state = ?1 ORDER BY id"))?;
        let rows = select.query_map([state.as_str()], read)?;
        rows.filter_map(Result::transpose).collect()
    }

    /// Those whose time is over.
    pub fn overdue_requests(&self, now: Timestamp) -> Result<Vec<Request>> {
        let rows: Vec<Option<Request>> = self
            .sql
            .prepare_cached(&format!("SELECT {COLUMNS} WHERE state = 'open' AND expires_at <= ?1 LIMIT 100"))?
            .query_map([now.0], read)?
            .collect::<Result<_>>()?;
        Ok(rows.into_iter().flatten().collect())
    }

    /// The message asks about this, so words under it are understood.
    pub fn keep_asked(&self, message: MessageId, subject: ButtonSubject) -> Result<()> {
        let (kind, number) = match subject {
            ButtonSubject::Request(number) => ("request", number),
            ButtonSubject::Question(number) => ("question", number),
            ButtonSubject::Alert(_) => return Ok(()), // the message's own row knows
        };
        self.sql
            .prepare_cached("INSERT OR REPLACE INTO asked VALUES (?1, ?2, ?3)")?
            .execute(params![message.0, kind, number])
            .map(drop)
    }

    pub(super) fn read_sent(&self, wamid: &Wamid) -> Result<Option<SentMessage>> {
        let Some(id) = self.message_of(wamid)? else { return Ok(None) };
        let (contact, alert, created_at): (String, Option<i64>, i64) = self
            .sql
            .prepare_cached("SELECT contact, alert, created_at FROM message WHERE id = ?1")?
            .query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let known = alert.map(|alert| self.read_alert(AlertId(alert))).transpose()?.flatten();
        let about = match known {
            Some(known) => ReplySubject::Alert(known),
            None => self.about(id)?,
        };
        let at = self.left_at(id.0)?.unwrap_or(Timestamp(created_at));
        Ok(Some(SentMessage { to: ContactId(contact), at, about }))
    }

    fn about(&self, message: MessageId) -> Result<ReplySubject> {
        let asked: Option<(String, i64)> = self
            .sql
            .prepare_cached("SELECT kind, number FROM asked WHERE message = ?1")?
            .query_row([message.0], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        Ok(match asked {
            Some((kind, number)) if kind == "question" => {
                ReplySubject::Asked(ButtonSubject::Question(number), self.choices(number)?)
            }
            Some((_, number)) => ReplySubject::Asked(ButtonSubject::Request(number), Vec::new()),
            None => ReplySubject::Other,
        })
    }

    fn choices(&self, question: i64) -> Result<Vec<String>> {
        let choices: Option<String> = self
            .sql
            .prepare_cached("SELECT choices FROM question WHERE id = ?1")?
            .query_row([question], |row| row.get(0))
            .optional()?;
        Ok(choices.and_then(|choices| serde_json::from_str(&choices).ok()).unwrap_or_default())
    }
}

fn names(people: &BTreeSet<ContactId>) -> String {
    let names: Vec<&str> = people.iter().map(|contact| contact.0.as_str()).collect();
    serde_json::to_string(&names).unwrap_or_default()
}

/// `None`: the row's JSON is none, so it can never be done.
fn read(row: &Row) -> Result<Option<Request>> {
    let Ok(action) = serde_json::from_str(&row.get::<_, String>(4)?) else { return Ok(None) };
    let agreed: Vec<String> = serde_json::from_str(&row.get::<_, String>(7)?).unwrap_or_default();
    Ok(Some(Request {
        id: row.get(0)?,
        reply: Wamid(row.get(1)?),
        connection: ConnectionName(row.get(3)?),
        action,
        pending: Pending {
            asker: ContactId(row.get(2)?),
            confirm: row.get(5)?,
            approvals: row.get(6)?,
            agreed: agreed.into_iter().map(ContactId).collect(),
            is_open: RequestState::parse(&row.get::<_, String>(9)?) == Some(RequestState::Open),
            expires_at: Timestamp(row.get(8)?),
        },
    }))
}
