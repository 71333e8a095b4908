//! What the pages and the API ask for, answered from the store and the configuration.

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use crate::admin::admin_service::{AdminService, Inner, as_json};
use crate::admin::credentials::{self, entry};
use crate::admin::filters::{listing, with_states};
use crate::admin::views::{All, FirstPage};
use crate::admin::{audit_log, curves, dry_run, numbers, views};
use crate::command::approval::RequestState;
use crate::command::command_state::CommandState;
use crate::command::question::QuestionState;
use crate::event::incoming::{Event, EventSource, Identity};
use crate::hex::hex;
use crate::http::{Actor, AdminAction, AdminApi, AdminQuery, ApiError, ApiFuture, MessageAction};
use crate::ids::MessageId;
use crate::store::{self, ActError, Change, Listing, Page, Posted, Store};
use crate::task::context::TaskContext;
use crate::task::orphans;
use crate::task::wakeups::Written;
use crate::time::Timestamp;

/// MQTT's own limit of a topic.
const TOPIC_MAX_BYTES: usize = 65_535;
/// What the intake reads of a payload.
const PAYLOAD_MAX_BYTES: usize = 64 * 1024;

/// What was held since a backup was restored.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub struct Released {
    /// So many messages may leave now.
    pub released: usize,
}

/// The token or the session.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub struct Ended<T> {
    pub id: T,
}

/// The event is on disk.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Accepted {
    #[cfg_attr(test, schemars(extend("const" = true)))]
    pub accepted: bool,
    /// It came before under this key.
    pub repeated: bool,
}

impl Inner {
    pub(crate) async fn look(&self, query: AdminQuery) -> Result<Value, ApiError> {
        let now = self.now();
        match query {
            AdminQuery::Overview => self.shown(move |context, store| overview(context, store, now)).await,
            AdminQuery::Messages(filter) => self.list(listing(&filter)?, Store::list_messages).await,
            AdminQuery::Message(id) => {
                self.both(format!("message {id}"), move |_, store| store.whole_message(id)).await
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
            AdminQuery::Waiting => self.shown(|_, store| store.count_open()).await,
            AdminQuery::Strangers(filter) => {
                let limit = listing(&filter)?.limit;
                self.shown(move |_, store| store.list_strangers(limit)).await
            }
            AdminQuery::Try { topic, payload, content_type } => {
                check_event(&topic, &payload)?;
                let event = Event { content_type, ..Event::new(EventSource::Cli, topic, payload, now) };
                Ok(as_json(dry_run::tried(&self.context.config, &self.rules, event)))
            }
            AdminQuery::Silences => self.silences().await,
            AdminQuery::Configuration(what) => self.look_at_configuration(what).await,
            AdminQuery::Usage => self.shown(views::all_usage).await,
            AdminQuery::Tokens => self.shown(|_, store| store.tokens().map(All::of)).await,
            AdminQuery::Sessions => self.shown(move |_, store| store.sessions(now).map(All::of)).await,
            AdminQuery::Contacts => {
                self.shown(move |context, store| views::contacts(context, store, now)).await
            }
            AdminQuery::Contact(id) => {
                self.both(format!("contact {id}"), move |context, store| {
                    Ok(views::contact(context, store, &id, now)?.map(as_json))
                })
                .await
            }
            AdminQuery::Rules => self.shown(views::rules).await,
            AdminQuery::Devices => self.shown(|_, store| store.device_list().map(All::of)).await,
            AdminQuery::Device(id) => curves::device(self, id, now).await,
            AdminQuery::Connections => self.shown(numbers::connections).await,
            AdminQuery::Connection(name) => {
                self.both(format!("connection {name}"), move |context, store| {
                    Ok(numbers::connection(context, store, &name)?.map(as_json))
                })
                .await
            }
            AdminQuery::Setup => self.shown(numbers::setup).await,
        }
    }

    fn list<T: 'static>(
        &self,
        listing: Listing,
        read: fn(&Store, &Listing) -> store::Result<Page<T>>,
    ) -> impl Future<Output = Result<Value, ApiError>> + Send {
        self.shown(move |_, store| read(store, &listing))
    }

    async fn do_it(&self, action: AdminAction, actor: Actor) -> Result<Value, ApiError> {
        match action {
            AdminAction::Decide(id, action) => self.decide(id, action, actor).await,
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
                    true => Ok(as_json(Ended { id })),
                    false => Err(ApiError::NotFound("There is no such token any more.".into())),
                }
            }
            AdminAction::EndSession(id) => {
                let (now, named) = (self.now(), id.clone());
                match self.store(move |store| credentials::end_session(store, &named, &actor, now)).await? {
                    true => Ok(as_json(Ended { id })),
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

    async fn decide(&self, id: i64, action: MessageAction, actor: Actor) -> Result<Value, ApiError> {
        let (live, now) = (self.context.live.get(), self.now());
        let decided = self.store(move |store| {
            let message = MessageId(id);
            let outcome = match action {
                MessageAction::Retry => orphans::retry(store, &live, message, now),
                MessageAction::Hold => store.hold(message, now),
                MessageAction::Cancel => store.cancel(message, now),
            };
            let outcome = match outcome {
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
            store.record_change(&entry(&actor, action.as_str(), format!("message {id}"), &words), now)?;
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
        Ok(as_json(Released { released }))
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
            Posted::Before => return Ok(as_json(Accepted { accepted: true, repeated: true })),
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
        Ok(as_json(Accepted { accepted: true, repeated: false }))
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

fn overview(context: &TaskContext, store: &Store, now: Timestamp) -> store::Result<FirstPage> {
    let month = now.month();
    let usage = store.usage()?.into_iter().filter(|row| row.month == month);
    let free = store.free()?.into_iter().filter(|row| row.month == month);
    let (usage, curves) = (views::usage(usage, free), curves::first_page(context, store, now)?);
    Ok(views::overview(context, store.overview(now)?, store.unreleased()?, usage, curves))
}

fn changes(store: &Store, listing: &Listing) -> store::Result<Page<Change>> {
    let rows = store.changes(listing.before.as_ref().map(|cursor| cursor.id), listing.limit)?;
    let full = rows.0.len() == listing.limit as usize;
    let next = rows.0.last().filter(|_| full).map(|row| row["id"].to_string());
    Ok(Page { items: rows, next })
}
