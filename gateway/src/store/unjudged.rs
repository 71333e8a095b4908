//! Events that rules could not judge: counted by rule and reason, with the first such event as an example.

use rusqlite::{Result, params};

use super::Store;
use crate::alert::unjudged::Unjudged;
use crate::event::incoming::Event;
use crate::ids::RuleName;
use crate::reply::unjudged::UnjudgedRow;
use crate::store::views::json::{Rows, row};
use crate::time::Timestamp;

/// Reasons of one rule. They come from what the rule says and not from what events say, so that there are few; a rule with
/// more is looked at anyway.
const REASONS_MAX: i64 = 20;
/// How much of the example is kept: what a message shows of it.
const PAYLOAD_KEPT_BYTES: usize = 400;
/// The first page names this many; the page of rules has all.
const SHOWN: i64 = 5;
/// Rows that are told together.
const TOGETHER: i64 = 50;

row! {
    UnjudgedLately {
        rule: String,
        count: i64,
        reason: String,
    }
}

row! {
    /// What a rule could not judge, with the first such event.
    Example {
        /// The reason without the event's values.
        kind: String,
        count: i64,
        /// Only fields were missing, on topics that send whole reports too.
        is_partial: bool = "is_partial" "?",
        first_at: Timestamp,
        last_at: Timestamp,
        topic: String,
        /// Its beginning.
        payload: String = "CAST(payload AS TEXT)",
        reason: String,
    }
}

const ROW: &str = "SELECT rule, kind, count, is_partial, last_at, topic, payload, reason FROM unjudged";

impl Store {
    /// Counts it.
    pub(super) fn keep_unjudged(&self, one: &Unjudged, event: &Event) -> Result<()> {
        let (rule, at) = (&one.rule.0, event.received_at.0);
        let known = self
            .sql
            .prepare_cached(
                "UPDATE unjudged SET count = count + 1, last_at = ?3, is_partial = is_partial AND ?4
                 WHERE rule = ?1 AND kind = ?2",
            )?
            .execute(params![rule, one.kind, at, one.is_partial])?;
        if known > 0 || self.number("SELECT count(*) FROM unjudged WHERE rule = ?1", &[rule])? >= REASONS_MAX
        {
            return Ok(());
        }
        let kept = &event.payload[..event.payload.len().min(PAYLOAD_KEPT_BYTES)];
        self.sql
            .prepare_cached("INSERT INTO unjudged VALUES (?1, ?2, ?3, ?4, 1, ?5, ?5, ?6, ?7, ?8, NULL)")?
            .execute(params![rule, one.kind, one.version, one.is_partial, at, event.topic, kept, one.reason])
            .map(drop)
    }

    /// Rules that are gone or changed: what was found out about the old ones is history.
    pub fn forget_unjudged_of_others(&self, rules: &[(RuleName, i64)]) -> Result<()> {
        let known: Vec<(String, i64)> = self
            .sql
            .prepare_cached("SELECT DISTINCT rule, version FROM unjudged")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_>>()?;
        let is_current =
            |rule: &str, version| rules.iter().any(|(name, now)| name.0 == rule && *now == version);
        for (rule, version) in known.iter().filter(|(rule, version)| !is_current(rule, *version)) {
            self.sql
                .prepare_cached("DELETE FROM unjudged WHERE rule = ?1 AND version = ?2")?
                .execute(params![rule, version])?;
        }
        Ok(())
    }

    /// Whether the owner should hear of something soon.
    pub fn has_unjudged(&self) -> Result<bool> {
        self.sql.prepare_cached("SELECT 1 FROM unjudged WHERE told_at IS NULL AND NOT is_partial")?.exists([])
    }

    /// Of what nobody was told yet, first seen before that time. Partial reports are nobody's news.
    pub fn untold_unjudged(&self, before: Timestamp) -> Result<Vec<UnjudgedRow>> {
        self.sql
            .prepare_cached(&format!(
                "{ROW} WHERE told_at IS NULL AND NOT is_partial AND first_at <= ?1 ORDER BY first_at, rule, kind LIMIT ?2"
            ))?
            .query_map(params![before.0, TOGETHER], from_row)?
            .collect()
    }

    pub fn unjudged_is_told(&self, row: &UnjudgedRow, now: Timestamp) -> Result<()> {
        self.sql
            .prepare_cached("UPDATE unjudged SET told_at = ?3 WHERE rule = ?1 AND kind = ?2")?
            .execute(params![row.rule, row.kind, now.0])
            .map(drop)
    }

    /// All of it, the latest first.
    pub fn all_unjudged(&self) -> Result<Vec<UnjudgedRow>> {
        self.sql
            .prepare_cached(&format!("{ROW} ORDER BY last_at DESC, rule, kind"))?
            .query_map([], from_row)?
            .collect()
    }

    /// For the first page: since then, partial reports aside.
    pub(super) fn unjudged_lately(&self, since: Timestamp) -> Result<Rows<UnjudgedLately>> {
        let from = format!(
            "FROM unjudged WHERE last_at > ?1 AND NOT is_partial ORDER BY last_at DESC, rule, kind LIMIT {SHOWN}"
        );
        self.all(&from, &[&since.0])
    }

    /// For the page of rules.
    pub(super) fn unjudged_of(&self, rule: &str) -> Result<Rows<Example>> {
        self.all("FROM unjudged WHERE rule = ?1 ORDER BY last_at DESC, kind", &[&rule])
    }
}

fn from_row(row: &rusqlite::Row) -> Result<UnjudgedRow> {
    Ok(UnjudgedRow {
        rule: row.get(0)?,
        kind: row.get(1)?,
        count: row.get(2)?,
        is_partial: row.get(3)?,
        last_at: Timestamp(row.get(4)?),
        topic: row.get(5)?,
        payload: row.get(6)?,
        reason: row.get(7)?,
    })
}
