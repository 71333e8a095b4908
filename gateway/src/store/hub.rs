//! What a hub gave us, and how far that is.

use rusqlite::{OptionalExtension, Result, params};

use super::{Signers, Store};
use crate::ids::ConnectionName;
use crate::time::Timestamp;

impl Store {
    /// Where to go on.
    pub fn hub_cursor(&self, connection: &ConnectionName) -> Result<Option<String>> {
        self.sql
            .prepare_cached("SELECT cursor FROM hub WHERE connection = ?1")?
            .query_row([&connection.0], |row| row.get(0))
            .optional()
    }

    /// What a hub is told of this site's outbox: how many messages wait, up to ten thousand, and for how many seconds the oldest.
    pub fn backlog(&self, now: Timestamp) -> Result<(u64, u64)> {
        let oldest = self.oldest_waiting()?.map_or(0, |since| Timestamp(since).until(now).as_secs());
        Ok((self.waiting_up_to_many()?, oldest))
    }

    /// Bodies, and where they end: the hub takes a cursor that it is asked with for "all up to it is on disk".
    pub fn keep_fetched(
        &self,
        connection: &ConnectionName,
        bodies: &[(String, Signers)],
        cursor: &str,
        now: Timestamp,
    ) -> Result<()> {
        for (body, signers) in bodies {
            self.keep_signed(body.as_bytes(), signers, now)?;
        }
        self.sql
            .prepare_cached("INSERT OR REPLACE INTO hub VALUES (?1, ?2)")?
            .execute(params![connection.0, cursor])
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::InboxId;

    #[test]
    fn what_was_fetched_and_where_it_ends_are_one() {
        let (_folder, store) = Store::in_new_folder();
        let (main, now) = (ConnectionName("main".into()), Timestamp(1_900_000_000_000));
        assert_eq!(store.hub_cursor(&main).expect("read"), None);
        let bodies = [("{}".to_owned(), None), ("[]".to_owned(), None)];
        let failed: Result<()> = store.transaction(|store| {
            store.keep_fetched(&main, &bodies, "1f-9", now)?;
            Err(crate::store::Error::InvalidQuery)
        });
        assert!(failed.is_err());
        assert_eq!(store.hub_cursor(&main).expect("read"), None, "neither");
        assert!(!store.has_webhooks().expect("read"));
        store.transaction(|store| store.keep_fetched(&main, &bodies, "1f-9", now)).expect("written");
        store.transaction(|store| store.keep_fetched(&main, &[], "1f-12", now)).expect("written");
        assert_eq!(store.hub_cursor(&main).expect("read").as_deref(), Some("1f-12"));
        let first = store.next_webhook(InboxId(0)).expect("read").expect("there");
        assert_eq!(first.body, b"{}");
    }
}
