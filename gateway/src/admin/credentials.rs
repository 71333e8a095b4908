//! What opens the page and the API: kept in the store, each change with its audit entry.

use crate::admin::backend::Counter;
use crate::http::{Answer, Keys, SESSION, Scope, Token, Who};
use crate::store::{Change, Store, TokenRow};
use crate::time::{Clock, SystemClock, Timestamp};

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
            store.open_session(&hash, (&agent, &who.address), now, now + SESSION)
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

    fn token(&self, hash: String) -> Answer<Option<Token>> {
        self.answer(|inner| async move {
            let found = inner.store(move |store| store.find_token(&hash, SystemClock.now())).await?;
            Ok(found.map(|row| {
                let scopes = row.scopes.iter().filter_map(|scope| Scope::parse(scope)).collect();
                Token { name: row.name, scopes, topic: row.topic, expires_at: row.expires_at }
            }))
        })
    }

    fn add_token(&self, token: Token, hash: String, who: Who) -> Answer<i64> {
        self.answer(|inner| async move {
            inner.store(move |store| add_token(store, token, &hash, &who, SystemClock.now())).await
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

/// A token and its audit entry, from the page or by the command.
pub fn add_token(
    store: &Store,
    token: Token,
    hash: &str,
    who: &Who,
    now: Timestamp,
) -> rusqlite::Result<i64> {
    let Token { name, scopes, topic, expires_at } = token;
    let scopes: Vec<String> = scopes.into_iter().map(|scope| scope.as_str().to_owned()).collect();
    let on = topic.as_ref().map(|topic| format!(" on {topic}")).unwrap_or_default();
    let until = expires_at.map_or_else(|| "without end".to_owned(), |end| format!("until {}", end.rfc3339()));
    let subject = format!("{name}: {}{on}, {until}", scopes.join(", "));
    let id = store.add_token(&TokenRow { name, scopes, topic, expires_at }, hash, now)?;
    store.record_change(&entry(who, "make token", subject, "done"), now)?;
    Ok(id)
}

/// Whether there was one to revoke.
pub fn revoke_token(store: &Store, id: i64, who: &Who, now: Timestamp) -> rusqlite::Result<bool> {
    let revoked = store.revoke_token(id, now)?;
    let outcome = if revoked { "done" } else { "there is none" };
    store.record_change(&entry(who, "revoke token", id, outcome), now)?;
    Ok(revoked)
}

/// Whether there was one to end.
pub fn end_session(store: &Store, id: &str, who: &Who, now: Timestamp) -> rusqlite::Result<bool> {
    let ended = store.end_session(id)?;
    let outcome = if ended { "done" } else { "there is none" };
    store.record_change(&entry(who, "end session", id, outcome), now)?;
    Ok(ended)
}

/// How many there were.
pub fn end_sessions(store: &Store, who: &Who, now: Timestamp) -> rusqlite::Result<usize> {
    let ended = store.end_sessions()?;
    store.record_change(&entry(who, "end session", format!("all of {ended}"), "done"), now)?;
    Ok(ended)
}

pub(crate) fn entry(who: &Who, deed: &'static str, subject: impl ToString, outcome: &str) -> Change {
    let (who, address) = (who.name.clone(), who.address.clone());
    Change { who, address, deed, subject: subject.to_string(), outcome: outcome.to_owned() }
}
