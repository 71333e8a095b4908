//! What the pages and the API ask for, answered from the store and the configuration.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use crate::admin::admin_service::{AdminService, Inner};
use crate::admin::credentials::{self, entry};
use crate::admin::filters::{listing, with_states};
use crate::admin::{audit_log, curves, dry_run, views};
use crate::command::approval::RequestState;
use crate::command::command_state::CommandState;
use crate::command::question::QuestionState;
use crate::config::Config;
use crate::event::incoming::{Event, EventSource, Identity};
use crate::hex::hex;
use crate::http::{Actor, AdminAction, AdminApi, AdminQuery, ApiError, ApiFuture};
use crate::ids::MessageId;
use crate::store::{self, ActError, Listing, Posted, Store};
use crate::task::orphans;
use crate::task::wakeups::Written;
use crate::time::Timestamp;

/// MQTT's own limit of a topic.
const TOPIC_MAX_BYTES: usize = 65_535;
/// What the intake reads of a payload.
const PAYLOAD_MAX_BYTES: usize = 64 * 1024;

impl Inner {
    async fn overview(&self, now: Timestamp) -> Result<Value, ApiError> {
        let month = now.month();
        let found = self.store(move |store| store.overview(now)).await?;
        let usage = self.store(Store::usage).await?.into_iter().filter(|row| row.month == month);
        let free = self.store(Store::free).await?.into_iter().filter(|row| row.month == month);
        let restored = self.store(Store::unreleased).await?;
        let mut shown = views::overview(&self.context, found, restored, usage, free)?;
        shown["curves"] = curves::first_page(self, now).await?;
        Ok(shown)
    }

    pub(crate) async fn look(&self, query: AdminQuery) -> Result<Value, ApiError> {
        let now = self.now();
        match query {
            AdminQuery::Overview => self.overview(now).await,
            AdminQuery::Messages(filter) => self.list(listing(&filter)?, Store::list_messages).await,
            AdminQuery::Message(id) => {
                self.found(format!("message {id}"), move |store| store.whole_message(id)).await
            }
            AdminQuery::Alerts(filter) => self.list(listing(&filter)?, Store::list_alerts).await,
            AdminQuery::Alert(id) => curves::alert(self, id, now).await,
            AdminQuery::Commands(filter) => {
                self.list(with_states(filter, CommandState::WORDS)?, Store::list_commands).await
            }
            AdminQuery::Audit(filter) => self.list(listing(&filter)?, changes).await,
            AdminQuery::Trail(filter) => audit_log::shown(self, &filter).await,
            AdminQuery::TrailCheck => audit_log::check(self).await,
            AdminQuery::Requests(filter) => {
                self.list(with_states(filter, RequestState::WORDS)?, Store::list_requests).await
            }
            AdminQuery::Questions(filter) => {
                self.list(with_states(filter, QuestionState::WORDS)?, Store::list_questions).await
            }
            AdminQuery::Waiting => Ok(self.store(Store::count_open).await?.into()),
            AdminQuery::Strangers(filter) => audit_log::strangers(self, &filter).await,
            AdminQuery::Try { topic, payload, content_type } => {
                check_event(&topic, &payload)?;
                let event = Event { content_type, ..Event::new(EventSource::Cli, topic, payload, now) };
                Ok(dry_run::tried(&self.context.config, &self.rules, event))
            }
            AdminQuery::Silences => self.silences().await,
            AdminQuery::Configuration(what) => self.look_at_configuration(what).await,
            AdminQuery::Usage => {
                Ok(views::usage(self.store(Store::usage).await?, self.store(Store::free).await?))
            }
            AdminQuery::Tokens => Ok(self.store(Store::tokens).await?.into()),
            AdminQuery::Sessions => Ok(self.store(move |store| store.sessions(now)).await?.into()),
            AdminQuery::Contacts => {
                self.both(String::new(), move |context, store| views::contacts(context, store, now).map(Some))
                    .await
            }
            AdminQuery::Contact(id) => {
                self.both(format!("contact {id}"), move |context, store| {
                    views::contact(context, store, &id, now)
                })
                .await
            }
            AdminQuery::Rules => {
                self.both(String::new(), |context, store| views::rules(context, store).map(Some)).await
            }
            AdminQuery::Devices => Ok(json!({ "items": self.store(Store::device_list).await? })),
            AdminQuery::Device(id) => curves::device(self, id, now).await,
            AdminQuery::Connections => {
                self.both(String::new(), |context, store| views::connections(context, store).map(Some)).await
            }
            AdminQuery::Connection(name) => {
                self.both(format!("connection {name}"), move |context, store| {
                    views::connection(context, store, &name)
                })
                .await
            }
            AdminQuery::Setup => {
                self.both(String::new(), |context, store| views::setup(context, store).map(Some)).await
            }
        }
    }

    async fn list(
        &self,
        listing: Listing,
        read: fn(&Store, &Listing) -> store::Result<Value>,
    ) -> Result<Value, ApiError> {
        self.store(move |store| read(store, &listing)).await
    }

    async fn do_it(&self, action: AdminAction, actor: Actor) -> Result<Value, ApiError> {
        match action {
            AdminAction::Retry(id) => self.decide(id, actor, "retry", orphans::retry).await,
            AdminAction::Hold(id) => {
                self.decide(id, actor, "hold", |store, _, id, now| store.hold(id, now)).await
            }
            AdminAction::Cancel(id) => {
                self.decide(id, actor, "cancel", |store, _, id, now| store.cancel(id, now)).await
            }
            AdminAction::Release => self.release(actor).await,
            AdminAction::Alert(id, action) => self.decide_alert(id, action, &actor).await,
            AdminAction::Silence { rule, lasts, comment } => {
                self.silence(rule, &lasts, comment, &actor).await
            }
            AdminAction::EndSilence(id) => self.end_silence(id, &actor).await,
            AdminAction::Configure(draft) => self.save_configuration(*draft, actor).await,
            AdminAction::Write { contact, text } => self.write_to(contact, &text, actor).await,
            AdminAction::Connect(given) => self.connect(*given, &actor).await,
            AdminAction::Disconnect(name) => self.disconnect(name, &actor).await,
            AdminAction::Forget(name) => self.forget(name, &actor).await,
            AdminAction::Check(name) => self.check(&name).await,
            AdminAction::RevokeToken(id) => {
                let now = self.now();
                match self.store(move |store| credentials::revoke_token(store, id, &actor, now)).await? {
                    true => Ok(json!({ "id": id })),
                    false => Err(ApiError::NotFound("There is no such token any more.".into())),
                }
            }
            AdminAction::EndSession(id) => {
                let (now, named) = (self.now(), id.clone());
                match self.store(move |store| credentials::end_session(store, &named, &actor, now)).await? {
                    true => Ok(json!({ "id": id })),
                    false => Err(ApiError::NotFound("There is no such session any more.".into())),
                }
            }
            AdminAction::Event { topic, payload, content_type, key } => {
                self.take(topic, payload, content_type, key).await
            }
        }
    }

    pub(crate) async fn write_down(
        &self,
        actor: &Actor,
        action: &'static str,
        subject: &str,
        outcome: &str,
    ) -> Result<(), ApiError> {
        let (note, now) = (entry(actor, action, subject, outcome), self.now());
        self.store(move |store| store.record_change(&note, now)).await
    }

    async fn decide(
        &self,
        id: i64,
        actor: Actor,
        action: &'static str,
        change: fn(&Store, &Config, MessageId, Timestamp) -> Result<(), ActError>,
    ) -> Result<Value, ApiError> {
        let (live, now) = (self.context.live.get(), self.now());
        let decided = self.store(move |store| {
            let outcome = match change(store, &live, MessageId(id), now) {
                Err(ActError::Sql(error)) => return Err(error),
                Err(refusal @ ActError::NoSuchMessage(_)) => Err(ApiError::NotFound(refusal.to_string())),
                Err(
                    refusal @ (ActError::NotPossible(..)
                    | ActError::PartOfDigest(..)
                    | ActError::PersonGone(..)),
                ) => Err(ApiError::NotPossible(refusal.to_string())),
                Ok(()) => Ok(()),
            };
            let words = outcome.as_ref().map_or_else(ApiError::to_string, |()| "done".to_owned());
            store.record_change(&entry(&actor, action, format!("message {id}"), &words), now)?;
            Ok(outcome)
        });
        decided.await??;
        self.context.wakeups.after(Written::Message);
        self.look(AdminQuery::Message(id)).await
    }

    async fn release(&self, actor: Actor) -> Result<Value, ApiError> {
        let now = self.now();
        let released = self.store(move |store| {
            let released = store.release(now)?;
            let outcome = format!("{released} messages may leave");
            store
                .record_change(&entry(&actor, "release", "what is held since the restore", &outcome), now)?;
            Ok(released)
        });
        let released = released.await?;
        self.context.wakeups.after(Written::Message);
        Ok(json!({ "released": released }))
    }

    /// The same way in as an event of the broker; a key that came before is ours already.
    async fn take(
        &self,
        topic: String,
        payload: String,
        content_type: Option<String>,
        key: String,
    ) -> Result<Value, ApiError> {
        check_event(&topic, &payload)?;
        if is_ours(&topic, &self.context.config.mqtt.client_id) {
            let how = "Topics below bellwire/ that are the gateway's own or of its device protocol take no event from here.";
            return Err(ApiError::Malformed(how.into()));
        }
        let sum = hex(&Sha256::digest(format!("{topic}\0{payload}")));
        let (asked, digest) = (key.clone(), sum.clone());
        match self.store(move |store| store.posted(&asked, &digest)).await? {
            Posted::New => {}
            Posted::Before => return Ok(json!({ "accepted": true, "repeated": true })),
            Posted::Different => {
                let how =
                    "This Idempotency-Key came before with another event; take a new one for a new event.";
                return Err(ApiError::NotPossible(how.into()));
            }
        }
        let identity = Identity::Named(key.clone());
        let now = self.now();
        let event = Event { content_type, identity, ..Event::new(EventSource::Http, topic, payload, now) };
        let (waiting, kept) = oneshot::channel();
        let gone = || {
            ApiError::Unavailable(
                "The gateway is stopping or its disk has failed; send it again later.".into(),
            )
        };
        self.events.send((event, waiting)).await.map_err(|_| gone())?;
        kept.await.map_err(|_| gone())?;
        // A crash before this line is harmless: repeated, the event is recognised by its name, or means nothing again.
        self.store(move |store| store.keep_posted(&key, &sum, now)).await?;
        Ok(json!({ "accepted": true, "repeated": false }))
    }
}

impl AdminApi for AdminService {
    fn ask(&self, query: AdminQuery) -> ApiFuture<Value> {
        self.answer(|inner| async move { inner.look(query).await })
    }

    fn act(&self, action: AdminAction, actor: Actor) -> ApiFuture<Value> {
        self.answer(|inner| async move { inner.do_it(action, actor).await })
    }

    fn revision(&self) -> ApiFuture<i64> {
        self.answer(|inner| async move {
            let obstacles = inner.context.readiness.obstacles().len();
            let written = inner.store(|store| Ok(store.writes()? + store.data_version()?)).await?;
            Ok(written + i64::try_from(obstacles).unwrap_or_default())
        })
    }
}

/// Where Home Assistant mutes and writes to people, and devices speak for themselves: over the broker, whose access list says who.
fn is_ours(topic: &str, client_id: &str) -> bool {
    let rest = topic.strip_prefix("bellwire/").unwrap_or_default();
    let first = rest.split('/').next().unwrap_or_default();
    rest.contains('/') && (first == client_id || first == "device")
}

pub(crate) fn check_event(topic: &str, payload: &str) -> Result<(), ApiError> {
    let wrong = match () {
        () if topic.is_empty() => "The event has no topic; give the one that a device would publish to.",
        () if topic.len() > TOPIC_MAX_BYTES => "The topic is longer than MQTT allows.",
        () if topic.contains(['+', '#', '\0']) => {
            "A topic of an event has no wildcards; write one that a device would publish to."
        }
        () if topic.starts_with('$') => "Topics that begin with $ are the broker's and the gateway's own.",
        () if payload.len() > PAYLOAD_MAX_BYTES => "The payload is longer than 64 KiB.",
        () => return Ok(()),
    };
    Err(ApiError::Malformed(wrong.into()))
}

fn changes(store: &Store, listing: &Listing) -> store::Result<Value> {
    let rows = store.changes(listing.before.as_ref().map(|cursor| cursor.id), listing.limit)?;
    let full = rows.len() == listing.limit as usize;
    let next = rows.last().filter(|_| full).map(|row| row["id"].to_string());
    Ok(json!({ "items": rows, "next": next }))
}
