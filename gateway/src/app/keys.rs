//! What opens the page and the API: kept in the store, each change with its audit entry.

use super::desk::Counter;
use crate::http::{Answer, Keys, SESSION, Scope, Who};
use crate::store::{Change, Store};
use crate::time::{Clock, SystemClock};

impl Keys for Counter {
    fn password(&self) -> Answer<Option<String>> {
        self.answer(|inner| async move { inner.store(Store::password).await })
    }

    fn set_password(&self, hash: String, who: Who) -> Answer<()> {
        self.recorded(entry(&who, "set password", "the page", "done"), move |store| store.set_password(&hash))
    }

    fn open_session(&self, hash: String, agent: String, who: Who) -> Answer<()> {
        let now = SystemClock.now();
        self.recorded(entry(&who, "log in", "the page", "done"), move |store| {
            store.open_session(&hash, &agent, now, now + SESSION)
        })
    }

    fn has_session(&self, hash: String) -> Answer<bool> {
        self.answer(|inner| async move {
            inner.store(move |store| store.has_session(&hash, SystemClock.now())).await
        })
    }

    fn close_session(&self, hash: String, who: Who) -> Answer<()> {
        self.recorded(entry(&who, "log out", "the page", "done"), move |store| store.close_session(&hash))
    }

    fn token(&self, hash: String) -> Answer<Option<(String, Vec<Scope>)>> {
        self.answer(|inner| async move {
            let found = inner.store(move |store| store.find_token(&hash, SystemClock.now())).await?;
            Ok(found.map(|(name, scopes)| {
                (name, scopes.iter().filter_map(|scope| Scope::parse(scope)).collect())
            }))
        })
    }

    fn add_token(&self, name: String, scopes: Vec<Scope>, hash: String, who: Who) -> Answer<i64> {
        let scopes: Vec<&'static str> = scopes.into_iter().map(Scope::as_str).collect();
        let subject = format!("{name}: {}", scopes.join(", "));
        self.recorded(entry(&who, "make token", subject, "done"), move |store| {
            store.add_token(&name, &scopes, &hash, SystemClock.now())
        })
    }

    fn refused(&self, who: Who) {
        tracing::warn!(address = who.address, "somebody gave a wrong password for the page");
        drop(tokio::spawn(
            self.recorded(entry(&who, "log in", "the page", "the password was wrong"), |_| Ok(())),
        ));
    }
}

impl Counter {
    /// The change and its audit entry, both or neither.
    fn recorded<T: Send + 'static>(
        &self,
        entry: Change,
        change: impl FnOnce(&Store) -> rusqlite::Result<T> + Send + 'static,
    ) -> Answer<T> {
        self.answer(|inner| async move {
            inner
                .store(move |store| {
                    let changed = change(store)?;
                    store.record_change(&entry, SystemClock.now()).map(|()| changed)
                })
                .await
        })
    }
}

pub(super) fn entry(who: &Who, deed: &'static str, subject: impl ToString, outcome: &str) -> Change {
    let (who, address) = (who.name.clone(), who.address.clone());
    Change { who, address, deed, subject: subject.to_string(), outcome: outcome.to_owned() }
}
