//! Numbers that were connected on the page. Their secrets come and go sealed.

use rusqlite::{OptionalExtension, Result, Row, params};

use super::Store;
use crate::time::Timestamp;

/// A row; `sealed` is gone once it is disconnected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptConnection {
    pub name: String,
    pub phone_number_id: String,
    pub business_account_id: String,
    pub api_url: String,
    pub api_version: String,
    pub messages_per_second: u32,
    pub sealed: Option<Vec<u8>>,
}

impl Store {
    pub fn kept_connections(&self) -> Result<Vec<KeptConnection>> {
        self.sql.prepare_cached("SELECT * FROM connection ORDER BY name")?.query_map([], read)?.collect()
    }

    pub fn kept_connection(&self, name: &str) -> Result<Option<KeptConnection>> {
        self.sql
            .prepare_cached("SELECT * FROM connection WHERE name = ?1")?
            .query_row([name], read)
            .optional()
    }

    /// New, or with new values in place of the old ones.
    pub fn keep_connection(&self, kept: &KeptConnection, now: Timestamp) -> Result<()> {
        let values = params![
            kept.name,
            kept.phone_number_id,
            kept.business_account_id,
            kept.api_url,
            kept.api_version,
            kept.messages_per_second,
            kept.sealed,
            now.0
        ];
        self.wiping(|| {
            self.sql
                .prepare_cached("INSERT OR REPLACE INTO connection VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
                .execute(values)
        })
        .map(drop)
    }

    /// The secrets go, the rest stays. `false` when there are none, or no such connection.
    pub fn wipe_connection(&self, name: &str, now: Timestamp) -> Result<bool> {
        self.wiping(|| {
            self.sql
                .prepare_cached(
                    "UPDATE connection SET sealed = NULL, changed_at = ?2 WHERE name = ?1 AND sealed IS NOT NULL",
                )?
                .execute(params![name, now.0])
        })
        .map(|changed| changed > 0)
    }

    pub fn forget_connection(&self, name: &str) -> Result<bool> {
        self.wiping(|| self.sql.prepare_cached("DELETE FROM connection WHERE name = ?1")?.execute([name]))
            .map(|changed| changed > 0)
    }

    /// What is deleted is overwritten with zeros on its page; for all else that would cost a write more.
    fn wiping<T>(&self, change: impl FnOnce() -> Result<T>) -> Result<T> {
        self.sql.pragma_update(None, "secure_delete", "ON")?;
        let changed = change();
        self.sql.pragma_update(None, "secure_delete", "OFF")?;
        changed
    }
}

fn read(row: &Row) -> Result<KeptConnection> {
    Ok(KeptConnection {
        name: row.get("name")?,
        phone_number_id: row.get("phone_number_id")?,
        business_account_id: row.get("business_account_id")?,
        api_url: row.get("api_url")?,
        api_version: row.get("api_version")?,
        messages_per_second: row.get("messages_per_second")?,
        sealed: row.get("sealed")?,
    })
}
