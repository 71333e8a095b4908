//! Who takes care of an alert, and what goes on.

use std::time::Duration;

use rusqlite::{OptionalExtension, Result, params};

use super::Store;
use crate::alert::topic::Bindings;
use crate::ids::{AlertId, ContactId};
use crate::time::Timestamp;

/// What is older is history, in an answer to "status".
const RECENT: Duration = Duration::from_secs(24 * 3_600);
/// Lines that fit on the screen of a phone.
const LINES: i64 = 10;

/// One line of an answer to "status".
#[derive(Debug, Clone)]
pub struct RecentAlert {
    pub rule: String,
    pub bindings: Bindings,
    pub at: Timestamp,
    /// Who takes care of it.
    pub by: Option<ContactId>,
}

impl Store {
    /// Somebody takes care of it. The first one counts; who that is comes back.
    pub fn acknowledge(&self, alert: AlertId, contact: &ContactId, now: Timestamp) -> Result<ContactId> {
        self.sql
            .prepare_cached("INSERT OR IGNORE INTO acknowledgement VALUES (?1, ?2, ?3)")?
            .execute(params![alert.0, contact.0, now.0])?;
        self.sql
            .prepare_cached("SELECT contact FROM acknowledgement WHERE alert = ?1")?
            .query_row([alert.0], |row| row.get(0).map(ContactId))
    }

    /// The newest alert of each kind and place in the last day: its rule, where, when, and who takes care of it.
    pub fn recent_alerts(&self, now: Timestamp) -> Result<Vec<RecentAlert>> {
        self.sql
            .prepare_cached(
                "SELECT a.rule, a.bindings, max(a.raised_at), k.contact FROM alert a
                 LEFT JOIN acknowledgement k ON k.alert = a.id
                 WHERE a.raised_at > ?1 GROUP BY a.rule, a.bindings ORDER BY a.severity DESC, a.raised_at DESC LIMIT ?2",
            )?
            .query_map(params![(now - RECENT).0, LINES], |row| {
                let contact: Option<String> = row.get(3)?;
                Ok(RecentAlert {
                    rule: row.get(0)?,
                    bindings: serde_json::from_str(&row.get::<_, String>(1)?).unwrap_or_default(),
                    at: Timestamp(row.get(2)?),
                    by: contact.map(ContactId),
                })
            })?
            .collect()
    }

    /// When the message last left us: buttons under it act for a day from then on.
    pub(super) fn left_at(&self, message: i64) -> Result<Option<Timestamp>> {
        self.sql
            .prepare_cached("SELECT max(started_at) FROM attempt WHERE message = ?1")?
            .query_row([message], |row| row.get::<_, Option<i64>>(0))
            .optional()
            .map(|at| at.flatten().map(Timestamp))
    }
}
