//! The alerts that go on, and who takes care of them.

use std::time::Duration;

use rusqlite::{OptionalExtension, Result, Row, params};

use crate::ids::{AlertId, ContactId};
use crate::reply::status_text::OngoingLine;
use crate::store::Store;
use crate::time::Timestamp;

/// What is older is history, in an answer to "status".
const RECENT: Duration = Duration::from_secs(24 * 3_600);
/// Lines that fit on the screen of a phone.
const LINES: i64 = 10;

impl Store {
    /// Somebody takes care of it. The first one counts.
    pub fn acknowledge(&self, alert: AlertId, contact: &ContactId, now: Timestamp) -> Result<()> {
        self.sql
            .prepare_cached("INSERT OR IGNORE INTO acknowledgement VALUES (?1, ?2, ?3)")?
            .execute(params![alert.0, contact.0, now.0])
            .map(drop)
    }

    pub fn acknowledged_by(&self, alert: AlertId) -> Result<Option<ContactId>> {
        self.sql
            .prepare_cached("SELECT contact FROM acknowledgement WHERE alert = ?1")?
            .query_row([alert.0], |row| row.get(0).map(ContactId))
            .optional()
    }

    /// The alerts that go on now, then the newest of each kind and place that was told in the last day.
    pub fn going_on(&self, now: Timestamp) -> Result<Vec<OngoingLine>> {
        let read = |row: &Row| {
            Ok(OngoingLine {
                rule: row.get(0)?,
                bindings: serde_json::from_str(&row.get::<_, String>(1)?).unwrap_or_default(),
                at: Timestamp(row.get(2)?),
                care: row.get(3)?,
                is_open: row.get(4)?,
            })
        };
        let mut going: Vec<OngoingLine> = self
            .sql
            .prepare_cached(
                "SELECT rule, bindings, raised_at, iif(state = 'acknowledged', reason, NULL), 1 FROM alert
                 WHERE key IS NOT NULL AND state != 'resolved' ORDER BY severity DESC, raised_at DESC LIMIT ?1",
            )?
            .query_map([LINES], read)?
            .collect::<Result<_>>()?;
        let told: Vec<OngoingLine> = self
            .sql
            .prepare_cached(
                "SELECT a.rule, a.bindings, max(a.raised_at), k.contact, 0 FROM alert a
                 LEFT JOIN acknowledgement k ON k.alert = a.id WHERE a.key IS NULL AND a.state IS NULL AND a.raised_at > ?1
                 GROUP BY a.rule, a.bindings ORDER BY a.severity DESC, a.raised_at DESC LIMIT ?2",
            )?
            .query_map(params![(now - RECENT).0, LINES], read)?
            .collect::<Result<_>>()?;
        going.extend(told);
        Ok(going)
    }

    /// When the message last left us: buttons under it act for a day from then on.
    pub(in crate::store) fn left_at(&self, message: i64) -> Result<Option<Timestamp>> {
        self.sql
            .prepare_cached("SELECT max(started_at) FROM attempt WHERE message = ?1")?
            .query_row([message], |row| row.get::<_, Option<i64>>(0))
            .optional()
            .map(|at| at.flatten().map(Timestamp))
    }
}
