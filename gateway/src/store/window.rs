//! The 24 h window, and the catalogue of templates that may be sent outside it.

use rusqlite::{OptionalExtension, Result, params};

use super::Store;
use crate::alert::delivery::Next;
use crate::alert::form::{Facts, Listed, Window, window_end};
use crate::alert::message::Template;
use crate::alert::outbox::Lane;
use crate::alert::state::State;
use crate::ids::ConnectionName;
use crate::time::Timestamp;

impl Store {
    pub(super) fn window(&self, lane: &Lane, now: Timestamp) -> Result<Window> {
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
    pub fn heard(&self, lane: &Lane, at: Timestamp, now: Timestamp) -> Result<usize> {
        self.sql
            .prepare_cached(
                "INSERT INTO window VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET until = max(until, excluded.until)",
            )?
            .execute(params![lane.connection.0, lane.contact.0, window_end(at).0])?;
        if self.window(lane, now)? != Window::Open {
            return Ok(0); // a body that was held up for a day
        }
        let next = Next::to(State::Queued, "the person has written, so it may go out");
        let held = "state = 'held' AND held_for = 'window' AND connection = ?1 AND contact = ?2";
        self.each(held, &[&lane.connection.0, &lane.contact.0], &next, now)
    }

    /// Meta said so, whatever we thought (131047).
    pub(super) fn window_closed(&self, lane: &Lane) -> Result<()> {
        self.sql
            .prepare_cached("INSERT OR REPLACE INTO window VALUES (?1, ?2, 0)")?
            .execute([&lane.connection.0, &lane.contact.0])
            .map(drop)
    }

    /// What the catalogue says of a template.
    pub fn listed(&self, connection: &ConnectionName, template: &Template) -> Result<Listed> {
        let facts = self
            .sql
            .prepare_cached(
                "SELECT status, category, parameters, names, header, quick_replies FROM template
                 WHERE connection = ?1 AND name = ?2 AND language = ?3",
            )?
            .query_row([&connection.0, &template.name, &template.language], |row| {
                Ok(Facts {
                    status: row.get(0)?,
                    category: row.get(1)?,
                    parameters: row.get(2)?,
                    names: serde_json::from_str(&row.get::<_, String>(3)?).unwrap_or_default(),
                    header: row.get(4)?,
                    quick_replies: row.get(5)?,
                })
            })
            .optional()?;
        if let Some(facts) = facts {
            return Ok(Listed::Facts(facts));
        }
        let read = self
            .sql
            .prepare_cached("SELECT 1 FROM catalogue WHERE connection = ?1")?
            .exists([&connection.0])?;
        Ok(if read { Listed::Missing } else { Listed::Unread })
    }

    /// The whole catalogue of a connection, in place of the one before.
    pub fn keep_catalogue(
        &self,
        connection: &ConnectionName,
        templates: &[(String, String, Facts)],
        now: Timestamp,
    ) -> Result<()> {
        self.sql.prepare_cached("DELETE FROM template WHERE connection = ?1")?.execute([&connection.0])?;
        for (name, language, facts) in templates {
            let names = serde_json::to_string(&facts.names).unwrap_or_default();
            self.sql
                .prepare_cached(
                    "INSERT OR REPLACE INTO template VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                )?
                .execute(params![
                    connection.0,
                    name,
                    language,
                    facts.status,
                    facts.category,
                    facts.parameters,
                    names,
                    facts.header,
                    facts.quick_replies,
                    now.0
                ])?;
        }
        self.sql
            .prepare_cached("INSERT OR REPLACE INTO catalogue VALUES (?1, ?2)")?
            .execute(params![connection.0, now.0])?;
        self.try_templates_again(connection, now)
    }

    /// What waits for the window and has templates is judged anew; what still may not leave is held again.
    fn try_templates_again(&self, connection: &ConnectionName, now: Timestamp) -> Result<()> {
        let next = Next::to(State::Queued, "the template catalogue has changed; waiting for its turn");
        let held =
            "state = 'held' AND held_for = 'window' AND connection = ?1 AND content LIKE '%\"templates\":[%'";
        self.each(held, &[&connection.0], &next, now).map(drop)
    }

    /// An error told that a template cannot be used; the next reading of the catalogue may know better.
    pub(super) fn template_refused(
        &self,
        connection: &ConnectionName,
        name: &str,
        language: &str,
        code: i64,
        at: Timestamp,
    ) -> Result<()> {
        self.template_status(connection, name, language, &format!("refused with code {code}"), at)
    }

    /// A template's new status, from a webhook or an error.
    pub fn template_status(
        &self,
        connection: &ConnectionName,
        name: &str,
        language: &str,
        status: &str,
        at: Timestamp,
    ) -> Result<()> {
        self.sql
            .prepare_cached(
                "INSERT INTO template VALUES (?1, ?2, ?3, ?4, '', 0, '[]', NULL, 0, ?5)
                 ON CONFLICT DO UPDATE SET status = excluded.status, changed_at = excluded.changed_at",
            )?
            .execute(params![connection.0, name, language, status, at.0])?;
        if status == "APPROVED" { self.try_templates_again(connection, at) } else { Ok(()) }
    }
}
