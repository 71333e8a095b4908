//! What the pages and the API ask for, answered from the store and the configuration.

use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};

use crate::admin::credentials::{self, entry};
use crate::admin::filters::{COMMANDS, QUESTIONS, REQUESTS, listing, with_states};
use crate::admin::{audit_log, dry_run, views};
use crate::alert::intake::Judge;
use crate::event::incoming::{Event, Identity, Source};
use crate::hex::hex;
use crate::http::{Answer, Deed, Desk, Question, Trouble, Who};
use crate::ids::MessageId;
use crate::store::{ActError, Gone, Listing, Posted, Store};
use crate::task::context::Shared;
use crate::task::mqtt_intake::Handed;
use crate::time::{Clock, SystemClock, Timestamp};
use crate::whatsapp::client::Client;

/// MQTT's own limit of a topic.
const TOPIC_MAX_BYTES: usize = 65_535;
/// What the intake reads of a payload.
const PAYLOAD_MAX_BYTES: usize = 64 * 1024;

#[derive(Clone)]
pub struct Counter(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    judge: Judge,
    events: mpsc::Sender<Handed>,
    pub(crate) client: Client,
}

impl Counter {
    pub fn new(shared: Arc<Shared>, judge: Judge, events: mpsc::Sender<Handed>, client: Client) -> Self {
        Self(Arc::new(Inner { shared, judge, events, client }))
    }

    pub(crate) fn answer<T, F: Future<Output = Result<T, Trouble>> + Send + 'static>(
        &self,
        work: impl FnOnce(Arc<Inner>) -> F,
    ) -> Answer<T> {
        Box::pin(work(Arc::clone(&self.0)))
    }
}

impl Inner {
    pub(crate) async fn store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Trouble> {
        self.shared.store.run(work).await.map_err(|gone| {
            tracing::error!(error = %gone, "a question of the page could not be answered");
            Trouble::Unavailable(match gone {
                Gone::Refused(_) => "The database refused it; the log says why.".to_owned(),
                Gone::DiskFull | Gone::Busy | Gone::Failed(_) => gone.to_string(),
            })
        })
    }

    async fn found(
        &self,
        what: String,
        work: impl FnOnce(&Store) -> rusqlite::Result<Option<Value>> + Send + 'static,
    ) -> Result<Value, Trouble> {
        self.store(work)
            .await?
            .ok_or(Trouble::NotFound(format!("There is no {what}; it may be older than 90 days.")))
    }

    async fn overview(&self, now: Timestamp) -> Result<Value, Trouble> {
        let month = now.month();
        let found = self.store(move |store| store.overview(now)).await?;
        let usage = self.store(Store::usage).await?.into_iter().filter(|row| row.month == month);
        let free = self.store(Store::free).await?.into_iter().filter(|row| row.month == month);
        views::overview(&self.shared, found, usage, free)
    }

    pub(crate) async fn look(&self, question: Question) -> Result<Value, Trouble> {
        let now = SystemClock.now();
        match question {
            Question::Overview => self.overview(now).await,
            Question::Messages(filter) => self.list(listing(&filter)?, Store::list_messages).await,
            Question::Message(id) => {
                self.found(format!("message {id}"), move |store| store.whole_message(id)).await
            }
            Question::Alerts(filter) => self.list(listing(&filter)?, Store::list_alerts).await,
            Question::Alert(id) => {
                self.found(format!("alert {id}"), move |store| store.whole_alert(id)).await
            }
            Question::Commands(filter) => {
                self.list(with_states(filter, COMMANDS)?, Store::list_commands).await
            }
            Question::Audit(filter) => self.list(listing(&filter)?, changes).await,
            Question::Trail(filter) => audit_log::shown(self, &filter).await,
            Question::TrailCheck => audit_log::check(self).await,
            Question::Requests(filter) => {
                self.list(with_states(filter, REQUESTS)?, Store::list_requests).await
            }
            Question::Questions(filter) => {
                self.list(with_states(filter, QUESTIONS)?, Store::list_questions).await
            }
            Question::Waiting => Ok(self.store(Store::count_open).await?.into()),
            Question::Strangers(filter) => audit_log::strangers(self, &filter).await,
            Question::Try { topic, payload, content_type } => {
                check_event(&topic, &payload)?;
                let event = event(Source::Cli, topic, payload, content_type, Identity::None);
                Ok(dry_run::tried(&self.shared.config, &self.judge, event))
            }
            Question::Usage => {
                Ok(views::usage(self.store(Store::usage).await?, self.store(Store::free).await?))
            }
            Question::Tokens => Ok(self.store(Store::tokens).await?.into()),
            Question::Sessions => Ok(self.store(move |store| store.sessions(now)).await?.into()),
            Question::Contacts => {
                self.both(String::new(), move |shared, store| views::contacts(shared, store, now).map(Some))
                    .await
            }
            Question::Contact(id) => {
                self.both(format!("contact {id}"), move |shared, store| {
                    views::contact(shared, store, &id, now)
                })
                .await
            }
            Question::Rules => {
                self.both(String::new(), |shared, store| views::rules(shared, store).map(Some)).await
            }
            Question::Devices => Ok(json!({ "items": self.store(Store::device_list).await? })),
            Question::Device(id) => {
                self.found(format!("device {id}"), move |store| store.whole_device(&id)).await
            }
            Question::Connections => {
                self.both(String::new(), |shared, store| views::connections(shared, store).map(Some)).await
            }
            Question::Connection(name) => {
                self.both(format!("connection {name}"), move |shared, store| {
                    views::connection(shared, store, &name)
                })
                .await
            }
            Question::Setup => {
                self.both(String::new(), |shared, store| views::setup(shared, store).map(Some)).await
            }
        }
    }

    async fn list(
        &self,
        listing: Listing,
        read: fn(&Store, &Listing) -> rusqlite::Result<Value>,
    ) -> Result<Value, Trouble> {
        self.store(move |store| read(store, &listing)).await
    }

    /// What is partly in the configuration and partly in the store; `what` is missing when there is none.
    pub(crate) async fn both(
        &self,
        what: String,
        read: impl FnOnce(&Shared, &Store) -> rusqlite::Result<Option<Value>> + Send + 'static,
    ) -> Result<Value, Trouble> {
        let shared = Arc::clone(&self.shared);
        self.found(what, move |store| read(&shared, store)).await
    }

    async fn do_it(&self, deed: Deed, who: Who) -> Result<Value, Trouble> {
        match deed {
            Deed::Retry(id) => self.decide(id, who, "retry", Store::retry).await,
            Deed::Hold(id) => self.decide(id, who, "hold", Store::hold).await,
            Deed::Cancel(id) => self.decide(id, who, "cancel", Store::cancel).await,
            Deed::Alert(id, deed) => self.decide_alert(id, deed, &who).await,
            Deed::Connect(given) => self.connect(*given, &who).await,
            Deed::Disconnect(name) => self.disconnect(name, &who).await,
            Deed::Forget(name) => self.forget(name, &who).await,
            Deed::Check(name) => self.check(&name).await,
            Deed::RevokeToken(id) => {
                let now = SystemClock.now();
                match self.store(move |store| credentials::revoke_token(store, id, &who, now)).await? {
                    true => Ok(json!({ "id": id })),
                    false => Err(Trouble::NotFound("There is no such token any more.".into())),
                }
            }
            Deed::EndSession(id) => {
                let (now, named) = (SystemClock.now(), id.clone());
                match self.store(move |store| credentials::end_session(store, &named, &who, now)).await? {
                    true => Ok(json!({ "id": id })),
                    false => Err(Trouble::NotFound("There is no such session any more.".into())),
                }
            }
            Deed::Event { topic, payload, content_type, key } => {
                self.take(topic, payload, content_type, key).await
            }
        }
    }

    pub(crate) async fn write_down(
        &self,
        who: &Who,
        deed: &'static str,
        subject: &str,
        outcome: &str,
    ) -> Result<(), Trouble> {
        let note = entry(who, deed, subject, outcome);
        self.store(move |store| store.record_change(&note, SystemClock.now())).await
    }

    async fn decide(
        &self,
        id: i64,
        who: Who,
        deed: &'static str,
        change: fn(&Store, MessageId, Timestamp) -> Result<(), ActError>,
    ) -> Result<Value, Trouble> {
        let decided = self.store(move |store| {
            let now = SystemClock.now();
            let outcome = match change(store, MessageId(id), now) {
                Err(ActError::Sql(error)) => return Err(error),
                Err(refusal @ ActError::NoSuchMessage(_)) => Err(Trouble::NotFound(refusal.to_string())),
                Err(refusal @ (ActError::NotPossible(..) | ActError::PartOfDigest(..))) => {
                    Err(Trouble::NotPossible(refusal.to_string()))
                }
                Ok(()) => Ok(()),
            };
            let words = outcome.as_ref().map_or_else(Trouble::to_string, |()| "done".to_owned());
            store.record_change(&entry(&who, deed, format!("message {id}"), &words), now)?;
            Ok(outcome)
        });
        decided.await??;
        self.shared.outbox.notify_one();
        self.look(Question::Message(id)).await
    }

    /// The same way in as an event of the broker; a key that came before is ours already.
    async fn take(
        &self,
        topic: String,
        payload: String,
        content_type: Option<String>,
        key: String,
    ) -> Result<Value, Trouble> {
        check_event(&topic, &payload)?;
        if is_ours(&topic, &self.shared.config.mqtt.client_id) {
            let how = "Topics below bellwire/ that are the gateway's own or of its device protocol take no event from here.";
            return Err(Trouble::Malformed(how.into()));
        }
        let sum = hex(&Sha256::digest(format!("{topic}\0{payload}")));
        let (asked, digest) = (key.clone(), sum.clone());
        match self.store(move |store| store.posted(&asked, &digest)).await? {
            Posted::New => {}
            Posted::Before => return Ok(json!({ "accepted": true, "repeated": true })),
            Posted::Different => {
                let how =
                    "This Idempotency-Key came before with another event; take a new one for a new event.";
                return Err(Trouble::NotPossible(how.into()));
            }
        }
        let event = event(Source::Http, topic, payload, content_type, Identity::Named(key.clone()));
        let (waiting, kept) = oneshot::channel();
        let gone = || {
            Trouble::Unavailable(
                "The gateway is stopping or its disk has failed; send it again later.".into(),
            )
        };
        self.events.send((event, waiting)).await.map_err(|_| gone())?;
        kept.await.map_err(|_| gone())?;
        // A crash before this line is harmless: repeated, the event is recognised by its name, or means nothing again.
        self.store(move |store| store.keep_posted(&key, &sum, SystemClock.now())).await?;
        Ok(json!({ "accepted": true, "repeated": false }))
    }
}

impl Desk for Counter {
    fn ask(&self, question: Question) -> Answer<Value> {
        self.answer(|inner| async move { inner.look(question).await })
    }

    fn act(&self, deed: Deed, who: Who) -> Answer<Value> {
        self.answer(|inner| async move { inner.do_it(deed, who).await })
    }

    fn revision(&self) -> Answer<i64> {
        self.answer(|inner| async move {
            let obstacles = inner.shared.obstacles().len();
            let written = inner.store(|store| Ok(store.writes()? + store.data_version()?)).await?;
            Ok(written + i64::try_from(obstacles).unwrap_or_default())
        })
    }
}

fn event(
    source: Source,
    topic: String,
    payload: String,
    content_type: Option<String>,
    identity: Identity,
) -> Event {
    let received_at = SystemClock.now();
    let payload = payload.into_bytes().into();
    Event {
        source,
        topic,
        payload,
        content_type,
        identity,
        retained: false,
        expires_in_s: None,
        received_at,
        happened_at: None,
    }
}

/// Where Home Assistant mutes and writes to people, and devices speak for themselves: over the broker, whose access list says who.
fn is_ours(topic: &str, client_id: &str) -> bool {
    let rest = topic.strip_prefix("bellwire/").unwrap_or_default();
    let first = rest.split('/').next().unwrap_or_default();
    rest.contains('/') && (first == client_id || first == "device")
}

fn check_event(topic: &str, payload: &str) -> Result<(), Trouble> {
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
    Err(Trouble::Malformed(wrong.into()))
}

fn changes(store: &Store, listing: &Listing) -> rusqlite::Result<Value> {
    let rows = store.changes(listing.before.as_ref().map(|cursor| cursor.id), listing.limit)?;
    let full = rows.len() == listing.limit as usize;
    let next = rows.last().filter(|_| full).map(|row| row["id"].to_string());
    Ok(json!({ "items": rows, "next": next }))
}
