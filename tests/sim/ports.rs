//! What the gateway's loops say to the world: it waits here until the world takes it, and a crash forgets it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{HeaderName, Method};
use bellwire::machine::Machine;

use bellwire::ids::{CommandId, MessageId};
use bellwire::mqtt::Publish;
use bellwire::outbox::message::Media;
use bellwire::outbox::retry_policy::ApiAnswer;
use bellwire::outbox::row::DueMessage;
use bellwire::outbox::uploads::Uploaded;
use bellwire::random::Rng;
use bellwire::task::context::TaskContext;
use bellwire::task::ports::{BrokerPort, CloudApi};
use bellwire::whatsapp::client::{Endpoint, Exchanged};
use bellwire::whatsapp::hub::{self, HubLine};
use bellwire::whatsapp::prepare::PreparedRequest;
use bytes::Bytes;
use serde_json::Value;
use tokio::sync::oneshot;

use crate::broker::Token;
use crate::machine::{OfMachine, SimMachine};
use crate::sabotage::Sabotage;
use crate::site::{NEW_PHONE, NUMBERS, phone_number_id};

/// What a step does to the world.
#[derive(Debug)]
pub enum Out {
    Acknowledge(Token),
    Publish(Published),
    /// The dispatch has been told of the broker's answer.
    Told(CommandId),
    /// A request, over which number.
    Post(MessageId, &'static str, Vec<u8>),
    /// A request to a hub.
    Exchange(Exchange),
    /// What a hub, asked as often as it took, made of the message with this key.
    Settled(String, ApiAnswer),
    /// The webhook's answer: 200 or 503.
    Kept(u64, bool),
    /// The database has changed.
    Changed,
}

/// A command as the broker gets it.
#[derive(Debug)]
pub struct Published {
    pub id: CommandId,
    pub topic: String,
    pub payload: String,
    /// Whether the device is to answer.
    pub answers: bool,
}

/// What the gateway asks a hub.
#[derive(Debug)]
pub struct Exchange {
    pub id: u64,
    /// Of a message; without one it asks for webhooks.
    pub key: Option<String>,
    pub number: &'static str,
    pub path: String,
    pub headers: Vec<(HeaderName, String)>,
    pub body: Bytes,
}

struct Waiting {
    outs: VecDeque<Out>,
    posts: VecDeque<Out>,
    answers: BTreeMap<MessageId, oneshot::Sender<ApiAnswer>>,
    exchanges: BTreeMap<u64, oneshot::Sender<Exchanged>>,
    last_exchange: u64,
    /// Keys of what a hub is asked to send.
    sending: BTreeSet<String>,
    is_connected: bool,
    dice: Rng,
}

#[derive(Clone)]
pub struct Outside {
    waiting: Arc<Mutex<Waiting>>,
    machine: OfMachine,
    /// No two gateways number their exchanges alike.
    process: u64,
    sabotage: Option<Sabotage>,
}

impl Outside {
    pub fn new(dice: Rng, machine: &Arc<SimMachine>, process: u64, sabotage: Option<Sabotage>) -> Self {
        let waiting = Waiting {
            outs: VecDeque::new(),
            posts: VecDeque::new(),
            answers: BTreeMap::new(),
            exchanges: BTreeMap::new(),
            last_exchange: 0,
            sending: BTreeSet::new(),
            is_connected: false,
            dice,
        };
        let machine = OfMachine(Arc::clone(machine));
        Self { waiting: Arc::new(Mutex::new(waiting)), machine, process, sabotage }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn push(&self, out: Out) {
        self.waiting().outs.push_back(out);
    }

    pub fn pop(&self) -> Option<Out> {
        self.waiting().outs.pop_front()
    }

    pub fn pop_post(&self) -> Option<Out> {
        self.waiting().posts.pop_front()
    }

    /// In the middle of code that waits for nothing.
    pub fn has_outs(&self) -> bool {
        !self.waiting().outs.is_empty()
    }

    pub fn has_posts(&self) -> bool {
        !self.waiting().posts.is_empty()
    }

    pub fn is_connected(&self, is_connected: bool) {
        self.waiting().is_connected = is_connected;
    }

    pub fn answered(&self, id: MessageId, answer: ApiAnswer) {
        if let Some(waits) = self.waiting().answers.remove(&id) {
            drop(waits.send(answer)); // it may have been given up
        }
    }
}

impl Outside {
    /// The answer of a hub, or why there is none.
    pub fn exchanged(&self, id: u64, answer: Exchanged) {
        if let Some(waits) = self.waiting().exchanges.remove(&id) {
            drop(waits.send(answer)); // it may have been given up
        }
    }

    /// Keys of what a hub is asked to send.
    pub fn sending(&self) -> BTreeSet<String> {
        self.waiting().sending.clone()
    }
}

impl HubLine for Outside {
    async fn exchange(
        &self,
        _: Method,
        endpoint: &Endpoint,
        path: &str,
        headers: Vec<(HeaderName, String)>,
        body: Bytes,
    ) -> Exchanged {
        let (waits, answered) = oneshot::channel();
        {
            let mut waiting = self.waiting();
            waiting.last_exchange += 1;
            let id = self.process.wrapping_add(waiting.last_exchange);
            let key = headers.iter().find(|(name, _)| name.as_str() == "bellwire-key");
            let key = key.map(|(_, key)| key.clone());
            let number =
                NUMBERS.into_iter().find(|number| endpoint.phone_number_id == phone_number_id(number));
            let number = number.unwrap_or(NUMBERS[0]);
            let exchange = Exchange { id, key, number, path: path.to_owned(), headers, body };
            waiting.posts.push_back(Out::Exchange(exchange));
            waiting.exchanges.insert(id, waits);
        }
        answered.await.unwrap_or_else(|_| Err(ApiAnswer::Offline("nobody answers".into())))
    }

    fn time(&self) -> Duration {
        self.machine.both().steady
    }

    async fn pause(&self, how_long: Duration) {
        self.machine.sleep(how_long).await;
    }
}

impl BrokerPort for Outside {
    type Ack = Token;

    fn ack(&self, token: Token) {
        self.push(Out::Acknowledge(token));
    }

    fn is_connected(&self) -> bool {
        self.waiting().is_connected
    }

    fn publish(&self, publish: Publish) -> bool {
        let mut waiting = self.waiting();
        if !waiting.is_connected || waiting.dice.below(12) == 0 {
            return false;
        }
        let mut topic = publish.topic;
        if self.sabotage == Some(Sabotage::WrongDevice) {
            topic = topic.replace("/bar/", "/hall/");
        }
        waiting.outs.push_back(Out::Publish(Published {
            id: CommandId(i64::try_from(publish.id).expect("an id")),
            topic,
            payload: String::from_utf8_lossy(&publish.payload).into_owned(),
            answers: publish.response_topic.is_some(),
        }));
        true
    }

    fn say_at_most_once(&self, _: &str, _: Bytes) -> bool {
        self.waiting().is_connected // nobody here listens to it
    }
}

impl CloudApi for Outside {
    async fn post(&self, endpoint: Endpoint, request: PreparedRequest) -> ApiAnswer {
        if endpoint.via_hub {
            let key = request.key.clone();
            self.waiting().sending.insert(key.clone());
            let answer = hub::send(self, &endpoint, request).await;
            self.waiting().sending.remove(&key);
            self.push(Out::Settled(key, answer.clone()));
            return answer;
        }
        let (waits, answered) = oneshot::channel();
        let is_first = endpoint.phone_number_id == phone_number_id(NUMBERS[0])
            || self.sabotage == Some(Sabotage::OneNumber);
        let mut body = request.body;
        if matches!(self.sabotage, Some(Sabotage::DropCallback | Sabotage::OldPhone)) {
            body = falsified(&body, self.sabotage);
        }
        let post = Out::Post(request.message, NUMBERS[usize::from(!is_first)], body);
        self.waiting().posts.push_back(post);
        self.waiting().answers.insert(request.message, waits);
        answered.await.unwrap_or_else(|_| ApiAnswer::Offline("nobody answers".into()))
    }

    async fn upload(&self, _: Arc<TaskContext>, _: Endpoint, due: DueMessage) -> Uploaded {
        let id = |_: &mut Media| Media::Id(format!("{}", due.id));
        Ok(due.content.clone().media().into_iter().map(id).collect())
    }
}

fn falsified(body: &[u8], sabotage: Option<Sabotage>) -> Vec<u8> {
    let mut body: Value = serde_json::from_slice(body).expect("JSON");
    if sabotage == Some(Sabotage::DropCallback) {
        body["biz_opaque_callback_data"] = "".into();
    } else if body["to"].as_str().is_some_and(|to| to.ends_with(NEW_PHONE.1)) {
        body["to"] = "+15550100002".into();
    }
    body.to_string().into_bytes()
}
