//! Alerts that have reached nobody: the question is opened by whoever writes down the end of a message, and settled here.

use rusqlite::{Result, params};

use super::Store;
use crate::alert::lifecycle::AlertKey;
use crate::ids::{AlertId, ConnectionName, ContactId, RuleName};
use crate::outbox::message::Content;
use crate::reply::undelivered::Undelivered;
use crate::store::views::json::{Rows, row};
use crate::time::Timestamp;

/// Questions that are settled together: as many messages as one look at the clock may end.
const TOGETHER: i64 = 500;
/// The first page names this many.
const SHOWN: i64 = 5;
const ARRIVED: &str = "state IN ('delivered', 'read', 'played')";
const PENDING: &str = "state IN ('queued', 'sending', 'unknown', 'accepted', 'sent')";

row! {
    /// An alert that nobody got.
    Untold {
        id: i64 = "a.id",
        rule: String = "a.rule",
        text: String = "coalesce(a.text, (SELECT json_extract(m.content, '$.text') FROM message m
            WHERE m.alert = a.id ORDER BY m.id LIMIT 1), '')",
    }
}

impl Store {
    /// Settles what is known by now. Where a message is still under way (accepted is not arrived) the question stays open
    /// until `patience` ends: a later failure, or silence, answers it.
    pub fn undelivered(&self, patience: Timestamp) -> Result<Vec<Undelivered>> {
        let of = |state: &str| format!("EXISTS (SELECT 1 FROM message m WHERE m.alert = a.id AND m.{state})");
        self.sql
            .prepare_cached(&format!(
                "UPDATE alert AS a SET undelivered_since = NULL WHERE undelivered_since IS NOT NULL AND {}",
                of(ARRIVED)
            ))?
            .execute([])?;
        let mut open = self.sql.prepare_cached(&format!(
            "SELECT id, rule, key, episode, undelivered_told IS NOT NULL FROM alert a
             WHERE undelivered_since IS NOT NULL AND (undelivered_since <= ?1 OR NOT {}) ORDER BY id LIMIT ?2",
            of(PENDING)
        ))?;
        let found = open.query_map(params![patience.0, TOGETHER], |row| {
            let (rule, key): (String, Option<String>) = (row.get(1)?, row.get(2)?);
            let ident = key.map(|key| AlertKey { rule: RuleName(rule.clone()), key });
            let episode: Option<u32> = row.get(3)?;
            Ok(Undelivered {
                id: AlertId(row.get(0)?),
                rule,
                episode: ident.zip(episode),
                connection: ConnectionName(String::new()),
                text: String::new(),
                templates: Vec::new(),
                people: Vec::new(),
                told: row.get(4)?,
            })
        })?;
        let mut found: Vec<Undelivered> = found.collect::<Result<_>>()?;
        for one in &mut found {
            self.describe(one)?;
        }
        found.retain(|one| !one.people.is_empty()); // erased meanwhile
        Ok(found)
    }

    fn describe(&self, one: &mut Undelivered) -> Result<()> {
        let mut rows = self.sql.prepare_cached(
            "SELECT connection, contact, content, reason FROM message WHERE alert = ?1 ORDER BY id LIMIT 20",
        )?;
        let mut rows = rows.query([one.id.0])?;
        while let Some(row) = rows.next()? {
            let content: Content = serde_json::from_str(&row.get::<_, String>(2)?).unwrap_or_default();
            if one.people.is_empty() {
                (one.connection, one.text) = (ConnectionName(row.get(0)?), content.text);
                one.templates = content.templates;
            }
            one.people.push((ContactId(row.get(1)?), row.get(3)?));
        }
        Ok(())
    }

    /// The question is answered: nobody got it, and whoever has to know is told in the same transaction.
    pub fn settle_undelivered(&self, alert: AlertId, now: Timestamp) -> Result<()> {
        self.sql
            .prepare_cached(
                "UPDATE alert SET undelivered_since = NULL, undelivered_told = coalesce(undelivered_told, ?2) WHERE id = ?1",
            )?
            .execute(params![alert.0, now.0])
            .map(drop)
    }

    /// Whether a question is open, so that somebody should look.
    pub fn has_undelivered(&self) -> Result<bool> {
        self.sql.prepare_cached("SELECT 1 FROM alert WHERE undelivered_since IS NOT NULL")?.exists([])
    }

    /// Notices of that kind since then.
    pub fn notices_since(&self, field: &str, since: Timestamp) -> Result<u32> {
        self.sql
            .prepare_cached("SELECT count(*) FROM notice WHERE field = ?1 AND at > ?2")?
            .query_row(params![field, since.0], |row| row.get(0))
    }

    /// For the first page: told since then, still nobody got it, and nobody takes care.
    pub(super) fn undelivered_lately(&self, since: Timestamp) -> Result<Rows<Untold>> {
        self.all(
            &format!(
                "FROM alert a WHERE a.undelivered_told > ?1 AND coalesce(a.state, 'told') NOT IN ('acknowledged', 'resolved')
                 AND NOT EXISTS (SELECT 1 FROM acknowledgement k WHERE k.alert = a.id)
                 AND NOT EXISTS (SELECT 1 FROM message m WHERE m.alert = a.id AND m.{ARRIVED})
                 ORDER BY a.id DESC LIMIT {SHOWN}"
            ),
            &[&since.0],
        )
    }
}
