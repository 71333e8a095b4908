//! Meta's notices about accounts and numbers, and their costs.

use std::time::Duration;

use rusqlite::{OptionalExtension, Result, params};

use super::Store;
use crate::ids::{ConnectionName, Wamid};
use crate::outbox::budget::{COUNTED_SINCE, free_left};
use crate::reply::inbound::{AccountNotice, Pricing, TemplateNews};
use crate::time::Timestamp;

/// What is so and is told again, is told to people again after this time.
const SAID_AGAIN: Duration = Duration::from_secs(24 * 3_600);
/// Before what holds no longer: since when, so that what is older and comes later does not hold either.
const LIFTED: &str = "lifted ";
/// Notices that are kept for a connection; older ones are in the inbox as long as it lasts.
const NOTICES_MAX: i64 = 1_000;

/// The notice as it was known before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreviousNotice {
    Not,
    /// The same words.
    Before,
    /// Something newer, so that it is not so any more.
    Newer,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeRow {
    pub at: i64,
    pub connection: String,
    pub severity: i64,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Usage"))]
pub struct UsageRow {
    pub connection: String,
    pub month: String,
    pub category: String,
    pub kind: String,
    pub count: i64,
}

/// Free-form messages of a number and month, as Meta's statuses say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreeRow {
    pub connection: String,
    pub month: String,
    /// Of the thousand that cost nothing.
    pub left: u32,
    /// Beyond them, or of others.
    pub charged: u32,
}

/// A restriction ends with its time; Meta sends nothing then.
pub(super) fn holds(value: &str, now: Timestamp) -> bool {
    let until = value.rsplit_once(" until ").and_then(|(_, at)| Timestamp::exact(at));
    until.is_none_or(|until| until > now)
}

impl Store {
    /// Keeps a notice, and what is known from then on: of several the newest counts by Meta's time, whichever comes first.
    pub fn keep_notice(
        &self,
        connection: &ConnectionName,
        notice: &AccountNotice,
        now: Timestamp,
    ) -> Result<PreviousNotice> {
        let at = notice.at.unwrap_or(now);
        let was_said = self.was_said(connection, notice, at)?;
        let is_late = !self.learn_from(connection, notice, at)?;
        if was_said {
            return Ok(PreviousNotice::Before);
        }
        self.sql
            .prepare_cached(
                "INSERT INTO notice (at, connection, field, severity, text) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![at.0, connection.0, notice.field, notice.severity.rank(), notice.text])?;
        self.sql
            .prepare_cached("DELETE FROM notice WHERE id <= (SELECT max(id) FROM notice) - ?1")?
            .execute([NOTICES_MAX])?;
        Ok(if is_late { PreviousNotice::Newer } else { PreviousNotice::Not })
    }

    /// The same webhook came before; or the newest words under this heading are the same, and of the last day where Meta says
    /// when it was so: a second change of the PIN is news.
    fn was_said(&self, connection: &ConnectionName, notice: &AccountNotice, at: Timestamp) -> Result<bool> {
        let same = "SELECT 1 FROM notice WHERE connection = ?1 AND field = ?2 AND text = ?3 AND at = ?4";
        let is_the_same = notice.at.is_some()
            && self.sql.prepare_cached(same)?.exists(params![
                connection.0,
                notice.field,
                notice.text,
                at.0
            ])?;
        let newest = match notice.at {
            Some(_) => {
                "SELECT text, at FROM notice WHERE connection = ?1 AND field = ?2 ORDER BY at DESC, id DESC LIMIT 1"
            }
            None => {
                "SELECT text, at FROM notice WHERE connection = ?1 AND field = ?2 ORDER BY id DESC LIMIT 1"
            }
        };
        let last: Option<(String, i64)> = self
            .sql
            .prepare_cached(newest)?
            .query_row([&connection.0, &notice.field], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let again = |(text, said_at): (String, i64)| {
            text == notice.text && (notice.at.is_none() || Timestamp(said_at).until(at) < SAID_AGAIN)
        };
        Ok(is_the_same || last.is_some_and(again))
    }

    /// `false`: all that it says was overtaken by something newer.
    fn learn_from(&self, connection: &ConnectionName, notice: &AccountNotice, at: Timestamp) -> Result<bool> {
        let mut counts = notice.facts.is_empty();
        for (name, value) in &notice.facts {
            counts |= match value.as_str() {
                "" => self.lift_fact(connection, name, at)?,
                value => self.learn_fact(connection, name, value, at)?,
            };
        }
        match &notice.template {
            Some((name, language, TemplateNews::Status(status))) => {
                self.template_status(connection, name, language, status, at)
            }
            Some((_, _, TemplateNews::Changed)) | None => Ok(counts),
        }
    }

    /// Newest first.
    pub fn notices(&self, limit: u32) -> Result<Vec<NoticeRow>> {
        self.sql
            .prepare_cached("SELECT at, connection, severity, text FROM notice ORDER BY id DESC LIMIT ?1")?
            .query_map([limit], |row| {
                Ok(NoticeRow {
                    at: row.get(0)?,
                    connection: row.get(1)?,
                    severity: row.get(2)?,
                    text: row.get(3)?,
                })
            })?
            .collect()
    }

    /// Connection, name, value: what holds now.
    pub fn facts(&self, now: Timestamp) -> Result<Vec<(String, String, String)>> {
        let found: Result<Vec<(String, String, String)>> = self
            .sql
            .prepare_cached(
                "SELECT connection, name, value FROM fact WHERE value <> '' ORDER BY connection, name",
            )?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect();
        Ok(found?.into_iter().filter(|(_, _, value)| holds(value, now)).collect())
    }

    /// A fact about a connection.
    pub fn fact(&self, connection: &ConnectionName, name: &str) -> Result<Option<String>> {
        self.sql
            .prepare_cached("SELECT value FROM fact WHERE connection = ?1 AND name = ?2")?
            .query_row([&connection.0, name], |row| row.get(0))
            .optional()
    }

    /// Keeps Meta's answer to a question: it is so now.
    pub fn keep_fact(
        &self,
        connection: &ConnectionName,
        name: &str,
        value: &str,
        now: Timestamp,
    ) -> Result<()> {
        self.sql
            .prepare_cached("INSERT OR REPLACE INTO fact VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![connection.0, name, value, now.0])
            .map(drop)
    }

    /// What a webhook says, unless something newer is known. Of two in the same second the order of their words decides, so
    /// that it is always the same; and what is imposed goes before its end.
    fn learn_fact(
        &self,
        connection: &ConnectionName,
        name: &str,
        value: &str,
        at: Timestamp,
    ) -> Result<bool> {
        self.sql
            .prepare_cached(
                "INSERT INTO fact SELECT ?1, ?2, ?3, ?4 WHERE NOT EXISTS (
                     SELECT 1 FROM fact WHERE connection = ?1 AND at > ?4 AND (name = ?5 || ?2 OR ?5 || ?2 LIKE name || ' %'))
                 ON CONFLICT DO UPDATE SET value = excluded.value, at = excluded.at
                 WHERE excluded.at > at OR (excluded.at = at AND excluded.value > value)",
            )?
            .execute(params![connection.0, name, value, at.0, LIFTED])
            .map(|changed| changed > 0)
    }

    /// Something happened that shows that a fact does not hold any more.
    pub fn comes_here(&self, connection: &ConnectionName, name: &str, at: Timestamp) -> Result<()> {
        match self.fact(connection, name)? {
            Some(_) => self.lift_fact(connection, name, at).map(drop),
            None => Ok(()),
        }
    }

    /// What is known under that name, and under longer ones that begin with it, holds no longer.
    fn lift_fact(&self, connection: &ConnectionName, name: &str, at: Timestamp) -> Result<bool> {
        self.sql
            .prepare_cached(
                "DELETE FROM fact WHERE connection = ?1 AND (name = ?2 OR name LIKE ?2 || ' %') AND at < ?3",
            )?
            .execute(params![connection.0, name, at.0])?;
        self.sql
            .prepare_cached(
                "INSERT INTO fact VALUES (?1, ?2, '', ?3)
                 ON CONFLICT DO UPDATE SET at = excluded.at WHERE excluded.at > at",
            )?
            .execute(params![connection.0, format!("{LIFTED}{name}"), at.0])
            .map(|changed| changed > 0)
    }

    /// Whether something was said under this heading.
    pub fn has_notice(&self, connection: &ConnectionName, field: &str) -> Result<bool> {
        self.sql
            .prepare_cached("SELECT 1 FROM notice WHERE connection = ?1 AND field = ?2")?
            .exists([&connection.0, field])
    }

    /// Counts a message once, whichever of its statuses tells the price first.
    pub(super) fn count(&self, wamid: &Wamid, pricing: &Pricing, at: Timestamp) -> Result<()> {
        let new = self
            .sql
            .prepare_cached("UPDATE sent SET counted = 1 WHERE wamid = ?1 AND counted = 0")?
            .execute([&wamid.0])?;
        if new == 0 {
            return Ok(());
        }
        self.sql
            .prepare_cached(
                "INSERT INTO usage SELECT m.connection, ?2, ?3, ?4, 1 FROM sent s JOIN message m ON m.id = s.message
                 WHERE s.wamid = ?1 ON CONFLICT DO UPDATE SET count = count + 1",
            )?
            .execute(params![wamid.0, at.month(), pricing.category, pricing.kind])
            .map(drop)
    }

    /// Newest month first.
    pub fn free(&self) -> Result<Vec<FreeRow>> {
        self.sql
            .prepare_cached(
                "SELECT connection, month, sum(iif(kind = 'free_customer_service', count, 0)), sum(iif(kind = 'regular', count, 0))
                 FROM usage WHERE category = 'service' AND month >= ?1 GROUP BY connection, month ORDER BY month DESC, connection",
            )?
            .query_map([COUNTED_SINCE], |row| {
                let charged = row.get(3)?;
                let left = free_left(row.get(2)?, charged);
                Ok(FreeRow { connection: row.get(0)?, month: row.get(1)?, left, charged })
            })?
            .collect()
    }

    /// Newest month first.
    pub fn usage(&self) -> Result<Vec<UsageRow>> {
        self.sql
            .prepare_cached("SELECT connection, month, category, kind, count FROM usage ORDER BY month DESC, connection, category, kind")?
            .query_map([], |row| {
                Ok(UsageRow {
                    connection: row.get(0)?,
                    month: row.get(1)?,
                    category: row.get(2)?,
                    kind: row.get(3)?,
                    count: row.get(4)?,
                })
            })?
            .collect()
    }
}
