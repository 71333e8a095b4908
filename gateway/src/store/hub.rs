//! Webhooks fetched from a hub, and the cursor.

use rusqlite::{OptionalExtension, Result, params};
use serde_json::json;

use super::{Signers, Store};

/// As many message ids as a hub takes in one request.
const IDS_MAX: usize = 1_000;

/// What a hub is asked to forget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubErasure {
    pub id: i64,
    pub hub: ConnectionName,
    /// JSON.
    pub body: String,
}
use crate::ids::{ConnectionName, ContactId};
use crate::time::Timestamp;

impl Store {
    /// The cursor from which to go on.
    pub fn hub_cursor(&self, connection: &ConnectionName) -> Result<Option<String>> {
        self.sql
            .prepare_cached("SELECT cursor FROM hub WHERE connection = ?1")?
            .query_row([&connection.0], |row| row.get(0))
            .optional()
    }

    /// Whom these hubs have to forget: written before the person is erased here, in the same transaction.
    pub fn owe_erasure(&self, hubs: &[ConnectionName], contact: &ContactId) -> Result<()> {
        let (people, messages) = (self.numbers(contact)?, self.message_ids(contact)?);
        // A person without a message is known to the hub, too, if it was told whom the site writes to.
        let all = std::iter::once((people.as_slice(), &messages[..messages.len().min(IDS_MAX)]));
        let rest = messages.get(IDS_MAX..).unwrap_or_default().chunks(IDS_MAX).map(|ids| (&[][..], ids));
        for (people, messages) in
            all.chain(rest).filter(|(people, ids)| !people.is_empty() || !ids.is_empty())
        {
            let body = json!({ "people": people, "messages": messages }).to_string();
            for hub in hubs {
                self.sql
                    .execute("INSERT INTO hub_erasure (hub, body) VALUES (?1, ?2)", params![hub.0, body])?;
            }
        }
        Ok(())
    }

    /// The first that is not told yet.
    pub fn next_erasure(&self, hub: &ConnectionName) -> Result<Option<HubErasure>> {
        self.sql
            .prepare_cached("SELECT id, body FROM hub_erasure WHERE hub = ?1 ORDER BY id LIMIT 1")?
            .query_row([&hub.0], |row| {
                Ok(HubErasure { id: row.get(0)?, hub: hub.clone(), body: row.get(1)? })
            })
            .optional()
    }

    /// The hub has confirmed it.
    pub fn erasure_is_told(&self, id: i64) -> Result<()> {
        self.sql.prepare_cached("DELETE FROM hub_erasure WHERE id = ?1")?.execute([id]).map(drop)
    }

    /// What was owed to hubs that the configuration does not have any more is over; how much that was.
    pub fn drop_erasures_but_of(&self, hubs: &[ConnectionName]) -> Result<usize> {
        let names: Vec<&str> = hubs.iter().map(|hub| hub.0.as_str()).collect();
        self.sql.execute(
            "DELETE FROM hub_erasure WHERE hub NOT IN (SELECT value FROM json_each(?1))",
            [json!(names).to_string()],
        )
    }

    /// The backlog of this site's outbox for a hub: the messages that wait, up to ten thousand, and the seconds for
    /// which the oldest does.
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
    fn an_erasure_is_owed_until_the_hub_confirms_it() {
        let (_folder, store) = Store::in_new_folder();
        let (main, now) = (ConnectionName("main".into()), Timestamp(1_900_000_000_000));
        store
            .sql
            .execute("INSERT INTO known_as VALUES ('+491511', 'nino', '+491512', 1)", [])
            .expect("written");
        let nino = ContactId::from("nino");
        let erase = |store: &Store| {
            store.owe_erasure(std::slice::from_ref(&main), &nino)?;
            store.erase(&nino, &[], now)
        };
        store.transaction(erase).expect("erased");
        let owed = store.next_erasure(&main).expect("read").expect("owed");
        assert_eq!(owed.body, r#"{"messages":[],"people":["491511"]}"#);
        assert_eq!(store.next_erasure(&ConnectionName("other".into())).expect("read"), None);
        assert_eq!(store.drop_erasures_but_of(std::slice::from_ref(&main)).expect("written"), 0);
        store.erasure_is_told(owed.id).expect("written");
        assert_eq!(store.next_erasure(&main).expect("read"), None);
        store.transaction(|store| store.owe_erasure(std::slice::from_ref(&main), &nino)).expect("written");
        assert_eq!(store.next_erasure(&main).expect("read"), None, "nobody is known any more");
    }

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
