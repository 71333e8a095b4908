//! WhatsApp numbers: those of the configuration, and those that were connected on the page, which come and go while the
//! daemon runs.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Value, json};

use crate::admin::admin_service::{Inner, as_json};
use crate::admin::credentials::entry;
#[cfg(test)]
use crate::admin::numbers::ShownConnection;
use crate::config::{Connection, Secret, SecretBox, api_url, api_version, digits, versions};
use crate::doctor::{Finding, Severity, examine_account};
use crate::http::{Actor, AdminQuery, ApiError, NewConnection};
use crate::ids::ConnectionName;
use crate::setup::meta;
use crate::store::{self, KeptConnection, Store};
use crate::task::context::TaskContext;
use crate::task::live_config::connections;
use crate::task::orphans;
use crate::task::wakeups::Written;
use crate::time::Timestamp;
use crate::whatsapp::graph::GraphApi;

/// One name each, as in the configuration.
const NAME_MAX: usize = 40;
/// A site has one or two; each is asked about its templates.
const CONNECTIONS_MAX: usize = 16;
/// Messages a second unless Meta has raised it, and the most that the sender was tried with.
const RATE: u32 = 80;
const RATE_MAX: u32 = 1_000;

/// A number that was connected, or changed.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Connected {
    #[cfg_attr(test, schemars(with = "ShownConnection"))]
    pub connection: Value,
    pub checks: Vec<Finding>,
}

/// What Meta says of a number.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Checked {
    pub name: String,
    pub checked_at: Timestamp,
    pub checks: Vec<Finding>,
}

/// A number that was disconnected or forgotten.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub struct Gone {
    pub name: String,
}

/// After a change: the store's rows are read again, and everybody who waits for a number looks.
async fn reload(context: &TaskContext) -> Result<(), crate::store::StoreError> {
    let config = Arc::clone(&context.config);
    let read = move |store: &Store| connections(&config.connections, store, &config.site.state_directory);
    context.live.set_connections(context.store.run(read).await?);
    context.wakeups.after(Written::Connections);
    Ok(())
}

impl Inner {
    /// Checks the credentials with Meta, subscribes to the account's webhooks, and only then keeps them: new, or in place
    /// of what was there. What is left out stays as it was.
    pub(crate) async fn connect(&self, given: NewConnection, actor: &Actor) -> Result<Value, ApiError> {
        let wanted = self.complete(given).await?;
        let mut checks = examine_account(&wanted, &self.client).await;
        let subscribed = |finding: &Finding| finding.check == "subscription";
        if !checks.iter().any(|finding| finding.severity == Severity::Error && !subscribed(finding)) {
            checks.retain(|finding| !subscribed(finding));
            checks.extend(self.finish(&wanted).await);
        }
        for next in checks.iter_mut().filter_map(|finding| finding.next.as_mut()) {
            *next = next.replace("; write it into the file, it is used at once", "; enter it here");
        }
        if checks.iter().any(|finding| finding.severity == Severity::Error) {
            let name = &wanted.name.0;
            tracing::warn!(connection = name, "a number was not connected: a check failed");
            self.write_down(actor, "connect", name, "a check failed").await?;
            let words = "Nothing was kept: each failed check says what to do.";
            return Err(ApiError::Checked(words.into(), as_json(checks)));
        }
        self.keep(&wanted, actor).await?;
        let connection = self.look(AdminQuery::Connection(wanted.name.0.clone())).await?;
        Ok(as_json(Connected { connection, checks }))
    }

    /// The app secret, and the subscription, which is made rather than demanded.
    async fn finish(&self, wanted: &Connection) -> Vec<Finding> {
        let known = |secret: &Secret| match secret {
            Secret::Known(text) => text.clone(),
            Secret::File(_) | Secret::Lost(_) => SecretString::from(""),
        };
        let api = GraphApi {
            url: wanted.api_url.clone(),
            version: wanted.api_version.clone(),
            access_token: known(&wanted.access_token),
        };
        let checked = async {
            let app = meta::app_of(&self.client, &api).await?;
            meta::check_app_secret(&self.client, &api, app.as_deref(), &known(&wanted.app_secret)).await
        };
        let secret = judged("secret", checked.await, "the app secret is right", SECRET_PLACE);
        if secret.severity == Severity::Error {
            return vec![secret];
        }
        let business = wanted.business_account_id.as_deref().unwrap_or_default();
        let done = meta::subscribe(&self.client, &api, business).await;
        let how = "the token needs whatsapp_business_management for this account; then connect again";
        vec![secret, judged("subscription", done, "the app is subscribed to the account's webhooks", how)]
    }

    /// What was given, with the rest from the connection of that name.
    async fn complete(&self, given: NewConnection) -> Result<Connection, ApiError> {
        let wrong = |field: &str, how: &str| ApiError::Malformed(format!("{field}: {how}."));
        let name = given.name.trim().to_owned();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(plain) {
            return Err(wrong("name", "letters, digits, - and _, up to 40"));
        }
        if self.context.config.connections.iter().any(|known| known.name.0 == name) {
            return Err(ApiError::NotPossible(format!(
                "{name} stands in the configuration file: change it there, or take another name."
            )));
        }
        let live = self.context.live.get();
        let all = &live.connections;
        let before = all.iter().find(|known| known.name.0 == name);
        if before.is_none() && all.len() >= CONNECTIONS_MAX {
            return Err(ApiError::NotPossible("There are 16 numbers already; delete one.".into()));
        }
        let text = |field: &'static str, given: &Option<String>, old: Option<&String>| match given {
            Some(given) if !given.trim().is_empty() => Ok(given.trim().to_owned()),
            _ => old.cloned().ok_or_else(|| wrong(field, "it is missing")),
        };
        let number = text("phone_number_id", &given.phone_number_id, before.map(|old| &old.phone_number_id))?;
        let account = before.and_then(|old| old.business_account_id.as_ref());
        let account = text("business_account_id", &given.business_account_id, account)?;
        let (url, version) = ("https://graph.facebook.com".to_owned(), versions::DEFAULT.to_owned());
        let url = text("api_url", &given.api_url, before.map(|old| &old.api_url).or(Some(&url)))?;
        let url = api_url(&url).map_err(|how| wrong("api_url", how))?;
        // Whoever may name another address must not be able to have the secrets sent there.
        let moves = before.is_some_and(|old| old.api_url != url);
        let secret =
            |field: &'static str, given: &Option<SecretString>, old: Option<&Secret>| match (given, old) {
                (Some(given), _) if !given.expose_secret().trim().is_empty() => {
                    Ok(Secret::Known(given.expose_secret().trim().into()))
                }
                (_, Some(_)) if moves => {
                    Err(wrong(field, "enter it again: with another api_url each secret is given anew"))
                }
                (_, Some(old)) => Ok(old.clone()),
                (_, None) => Err(wrong(field, "it is missing")),
            };
        let version =
            text("api_version", &given.api_version, before.map(|old| &old.api_version).or(Some(&version)))?;
        let rate = given.messages_per_second.or(before.map(|old| old.messages_per_second)).unwrap_or(RATE);
        if !(1..=RATE_MAX).contains(&rate) {
            return Err(wrong("messages_per_second", "from 1 to 1000"));
        }
        Ok(Connection {
            phone_number_id: digits(&number).map_err(|how| wrong("phone_number_id", how))?,
            business_account_id: Some(digits(&account).map_err(|how| wrong("business_account_id", how))?),
            access_token: secret("access_token", &given.access_token, before.map(|old| &old.access_token))?,
            app_secret: secret("app_secret", &given.app_secret, before.map(|old| &old.app_secret))?,
            verify_token: secret("verify_token", &given.verify_token, before.map(|old| &old.verify_token))?,
            api_url: url,
            via_hub: false,
            api_version: api_version(&version).map_err(|how| wrong("api_version", how))?,
            messages_per_second: rate,
            mark_read: before.is_none_or(|old| old.mark_read),
            budget: before.and_then(|old| old.budget),
            name: ConnectionName(name),
        })
    }

    async fn keep(&self, wanted: &Connection, actor: &Actor) -> Result<(), ApiError> {
        let text = |secret: &Secret| match secret {
            Secret::Known(text) => text.expose_secret().to_owned(),
            Secret::File(_) | Secret::Lost(_) => String::new(),
        };
        let secrets = json!({ "access_token": text(&wanted.access_token), "app_secret": text(&wanted.app_secret),
                              "verify_token": text(&wanted.verify_token) });
        let name = wanted.name.0.clone();
        let seal = SecretBox::of(&self.context.config.site.state_directory);
        let sealed = seal.and_then(|seal| seal.seal(&name, secrets.to_string().as_bytes()));
        let sealed = sealed.map_err(|error| ApiError::Unavailable(error.to_string()))?;
        let kept = KeptConnection {
            phone_number_id: wanted.phone_number_id.clone(),
            business_account_id: wanted.business_account_id.clone().unwrap_or_default(),
            api_url: wanted.api_url.clone(),
            api_version: wanted.api_version.clone(),
            messages_per_second: wanted.messages_per_second,
            sealed: Some(sealed),
            name,
        };
        let note = entry(actor, "connect", &kept.name, "done");
        let now = self.now();
        self.store(move |store| {
            store.keep_connection(&kept, now)?;
            store.record_change(&note, now)
        })
        .await?;
        self.reload().await
    }

    /// The token goes, messages wait, the history stays.
    pub(crate) async fn disconnect(&self, name: String, actor: &Actor) -> Result<Value, ApiError> {
        let now = self.now();
        self.change(name, actor, "disconnect", move |store, name| store.wipe_connection(name, now)).await
    }

    /// What waits for the number leaves over another one, and what waits for a Yes over it ends: at once, not only at the
    /// next start.
    pub(crate) async fn forget(&self, name: String, actor: &Actor) -> Result<Value, ApiError> {
        let (mut rest, now) = ((*self.context.live.get()).clone(), self.now());
        rest.connections.retain(|known| known.name.0 != name);
        let forget = move |store: &Store, name: &str| {
            let is_there = store.forget_connection(name)?;
            if is_there {
                orphans::end_of_number(store, &rest, &ConnectionName(name.to_owned()), now)?;
            }
            Ok(is_there)
        };
        self.change(name, actor, "delete", forget).await
    }

    async fn change(
        &self,
        name: String,
        actor: &Actor,
        action: &'static str,
        change: impl FnOnce(&Store, &str) -> store::Result<bool> + Send + 'static,
    ) -> Result<Value, ApiError> {
        if self.context.config.connections.iter().any(|known| known.name.0 == name) {
            return Err(ApiError::NotPossible(format!(
                "{name} stands in the configuration file; remove its [[connection]] there and restart."
            )));
        }
        let note = entry(actor, action, &name, "done");
        let (asked, now) = (name.clone(), self.now());
        let changed = self.store(move |store| {
            let changed = change(store, &asked)?;
            if changed {
                store.record_change(&note, now)?;
            }
            Ok(changed)
        });
        if !changed.await? {
            return Err(ApiError::NotFound(format!(
                "There is no connection {name} that could be {action}ed."
            )));
        }
        self.reload().await?;
        Ok(as_json(Gone { name }))
    }

    /// Asks Meta now: token, scopes, number, quality, tier, subscription.
    pub(crate) async fn check(&self, name: &str) -> Result<Value, ApiError> {
        let live = self.context.live.get();
        let Some(connection) = live.connections.iter().find(|known| known.name.0 == name) else {
            return Err(ApiError::NotFound(format!("There is no connection {name}.")));
        };
        let checks = examine_account(connection, &self.client).await;
        Ok(as_json(Checked { name: name.to_owned(), checked_at: self.now(), checks }))
    }

    async fn reload(&self) -> Result<(), ApiError> {
        reload(&self.context).await.map_err(|gone| ApiError::Unavailable(gone.to_string()))
    }
}

const SECRET_PLACE: &str = "developers.facebook.com > your app > App settings > Basic > App secret > Show";

fn judged(check: &'static str, outcome: anyhow::Result<()>, good: &str, next: &str) -> Finding {
    let (severity, what, next) = match outcome {
        Ok(()) => (Severity::Good, good.to_owned(), None),
        Err(error) => (Severity::Error, format!("{error:#}"), Some(next.to_owned())),
    };
    Finding { severity, check, connection: None, what, next }
}
