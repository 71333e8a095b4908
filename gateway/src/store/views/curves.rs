//! The past numbers of alerts, as the engine wrote them.

use rusqlite::{OptionalExtension, Result, Row};

use crate::alert::engine::StateKey;
use crate::alert::lifecycle::AlertKey;
use crate::chart::curve::Curve;
use crate::store::Store;

impl Store {
    pub fn curve(&self, alert: &AlertKey) -> Result<Option<Curve>> {
        let (kind, key) = StateKey::Curve(alert.clone()).row();
        let found = self
            .sql
            .prepare_cached("SELECT key, state FROM alert_memory WHERE kind = ?1 AND key = ?2")?
            .query_row([kind, &key], read)
            .optional()?;
        Ok(found.flatten().map(|(_, curve)| curve))
    }

    /// The first by rule and key.
    pub fn curves(&self, most: u32) -> Result<Vec<(AlertKey, Curve)>> {
        self.sql
            .prepare_cached("SELECT key, state FROM alert_memory WHERE kind = 'curve' ORDER BY key LIMIT ?1")?
            .query_map([most], read)?
            .filter_map(Result::transpose)
            .collect()
    }

    /// Of numbers that this device reports.
    pub fn curves_of_device(&self, device: &str, most: u32) -> Result<Vec<(AlertKey, Curve)>> {
        self.sql
            .prepare_cached(
                "SELECT key, state FROM alert_memory WHERE kind = 'curve' AND state ->> '$.device' = ?1 ORDER BY key LIMIT ?2",
            )?
            .query_map(rusqlite::params![device, most], read)?
            .filter_map(Result::transpose)
            .collect()
    }
}

/// One that is damaged is none: the engine says so at its next start.
fn read(row: &Row) -> Result<Option<(AlertKey, Curve)>> {
    let (key, state): (String, String) = (row.get(0)?, row.get(1)?);
    let Some(StateKey::Curve(alert)) = StateKey::of_row("curve", &key) else { return Ok(None) };
    Ok(serde_json::from_str(&state).ok().map(|curve| (alert, curve)))
}
