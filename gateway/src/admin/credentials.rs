//! What opens the page and the API: kept in the store, each change with its audit entry.

use crate::admin::admin_service::AdminService;
use crate::http::{Actor, ApiFuture, ApiToken, Credentials, SESSION, Scope};
use crate::store::{self, AdminChange, Store, TokenRow};
use crate::time::Timestamp;

impl Credentials for AdminService {
    fn password(&self) -> ApiFuture<Option<String>> {
        self.answer(|inner| async move { inner.store(Store::password).await })
    }

    fn set_password(&self, hash: String, who: Actor) -> ApiFuture<()> {
        self.recorded(entry(&who, "set password", "the page", "done"), move |store, _| {
            store.set_password(&hash)
        })
    }

    fn open_session(&self, hash: String, agent: String, who: Actor) -> ApiFuture<()> {
        self.recorded(entry(&who, "log in", "the page", "done"), move |store, now| {
            store.open_session(&hash, (&agent, &who.address), now, now + SESSION)
        })
    }

    fn use_link(&self, hash: String) -> ApiFuture<bool> {
        self.answer(|inner| async move { inner.store(move |store| store.use_login_link(&hash)).await })
    }

    fn has_session(&self, hash: String) -> ApiFuture<bool> {
        self.answer(|inner| async move {
            let now = inner.now();
            inner.store(move |store| store.has_session(&hash, now)).await
        })
    }

    fn close_session(&self, hash: String, who: Actor) -> ApiFuture<()> {
        self.recorded(entry(&who, "log out", "the page", "done"), move |store, _| store.close_session(&hash))
    }

    fn token(&self, hash: String) -> ApiFuture<Option<ApiToken>> {
        self.answer(|inner| async move {
            let now = inner.now();
            let found = inner.store(move |store| store.find_token(&hash, now)).await?;
            Ok(found.map(|row| {
                let scopes = row.scopes.iter().filter_map(|scope| Scope::parse(scope)).collect();
                ApiToken { name: row.name, scopes, topic: row.topic, expires_at: row.expires_at }
            }))
        })
    }

    fn add_token(&self, token: ApiToken, hash: String, who: Actor) -> ApiFuture<i64> {
        self.answer(|inner| async move {
            let now = inner.now();
            inner.store(move |store| add_token(store, token, &hash, &who, now)).await
        })
    }

    fn refused(&self, who: Actor) {
        tracing::warn!(address = who.address, "somebody gave a wrong password for the page");
        drop(tokio::spawn(
            self.recorded(entry(&who, "log in", "the page", "the password was wrong"), |_, _| Ok(())),
        ));
    }
}

impl AdminService {
    /// The change and its audit entry, both or neither.
    fn recorded<T: Send + 'static>(
        &self,
        entry: AdminChange,
        change: impl FnOnce(&Store, Timestamp) -> store::Result<T> + Send + 'static,
    ) -> ApiFuture<T> {
        self.answer(|inner| async move {
            let now = inner.now();
            inner
                .store(move |store| {
                    let changed = change(store, now)?;
                    store.record_change(&entry, now).map(|()| changed)
                })
                .await
        })
    }
}

/// A token and its audit entry, from the page or by the command.
pub fn add_token(
    store: &Store,
    token: ApiToken,
    hash: &str,
    who: &Actor,
    now: Timestamp,
) -> store::Result<i64> {
    let ApiToken { name, scopes, topic, expires_at } = token;
    let scopes: Vec<String> = scopes.into_iter().map(|scope| scope.as_str().to_owned()).collect();
    let on = topic.as_ref().map(|topic| format!(" on {topic}")).unwrap_or_default();
    let until = expires_at.map_or_else(|| "without end".to_owned(), |end| format!("until {}", end.rfc3339()));
    let subject = format!("{name}: {}{on}, {until}", scopes.join(", "));
    let id = store.add_token(&TokenRow { name, scopes, topic, expires_at }, hash, now)?;
    store.record_change(&entry(who, "make token", subject, "done"), now)?;
    Ok(id)
}

/// Whether there was one to revoke.
pub fn revoke_token(store: &Store, id: i64, who: &Actor, now: Timestamp) -> store::Result<bool> {
    let revoked = store.revoke_token(id, now)?;
    let outcome = if revoked { "done" } else { "there is none" };
    store.record_change(&entry(who, "revoke token", id, outcome), now)?;
    Ok(revoked)
}

/// Whether there was one to end.
pub fn end_session(store: &Store, id: &str, who: &Actor, now: Timestamp) -> store::Result<bool> {
    let ended = store.end_session(id)?;
    let outcome = if ended { "done" } else { "there is none" };
    store.record_change(&entry(who, "end session", id, outcome), now)?;
    Ok(ended)
}

/// How many there were.
pub fn end_sessions(store: &Store, who: &Actor, now: Timestamp) -> store::Result<usize> {
    let ended = store.end_sessions()?;
    store.record_change(&entry(who, "end session", format!("all of {ended}"), "done"), now)?;
    Ok(ended)
}

pub(crate) fn entry(who: &Actor, action: &'static str, subject: impl ToString, outcome: &str) -> AdminChange {
    let (who, address) = (who.name.clone(), who.address.clone());
    AdminChange { who, address, action, subject: subject.to_string(), outcome: outcome.to_owned() }
}
