//! The model broker: QoS 1, the session kept, what is not acknowledged sent again with DUP (MQTT 5, 4.4).

use std::collections::{BTreeSet, VecDeque};

use bellwire::event::incoming::{Event, EventSource, Identity};
use bellwire::ids::CommandId;
use bellwire::random::Rng;
use bellwire::time::Timestamp;
use bytes::Bytes;

use crate::site::{self, Expected};

/// As many as the gateway lets a broker send without an acknowledgement.
const RECEIVE_MAX: usize = 32;

#[derive(Debug, Clone)]
pub struct Publication {
    /// Which event of the world this is: two publications with one serial are one event that was sent twice.
    pub serial: u64,
    pub topic: String,
    pub payload: Vec<u8>,
    pub id: Option<String>,
    pub qos1: bool,
    pub retained: bool,
    pub expected: Expected,
}

/// What the gateway acknowledges with.
#[derive(Debug, Clone)]
pub struct Token {
    pub epoch: u64,
    pub packet: u16,
    pub redelivered: bool,
    pub publication: Publication,
}

#[derive(Debug, Clone)]
struct Sent {
    packet: u16,
    publication: Publication,
    /// To be sent again over the present connection.
    again: bool,
}

#[derive(Debug, Default)]
pub struct Broker {
    pub is_up: bool,
    /// The connection's number while there is one.
    pub connection: Option<u64>,
    epoch: u64,
    has_session: bool,
    queue: VecDeque<Publication>,
    in_flight: Vec<Sent>,
    last_packet: u16,
    /// Brokers differ: mosquitto counts on, others take the lowest free number (both MQTT 5, 2.2.1).
    lowest_packet: bool,
    /// PUBACKs on their way to the gateway.
    pub answers: VecDeque<(CommandId, Result<(), String>)>,
    /// Events that went with a session that the broker lost: nobody promised anything for them.
    pub lost: BTreeSet<u64>,
}

impl Broker {
    pub fn new(dice: &mut Rng) -> Self {
        Self { is_up: true, lowest_packet: dice.below(2) == 0, ..Self::default() }
    }

    /// A device publishes; without a session, and for QoS 0 without a connection, nobody keeps it.
    pub fn publish(&mut self, publication: Publication) -> bool {
        let kept = self.is_up && self.has_session && (publication.qos1 || self.connection.is_some());
        if kept {
            self.queue.push_back(publication);
        }
        kept
    }

    /// The gateway connects; `true` when its session was still there.
    pub fn connect(&mut self, serial: u64) -> bool {
        self.epoch += 1;
        self.connection = Some(self.epoch);
        for sent in &mut self.in_flight {
            sent.again = true;
        }
        let present = self.has_session;
        if !present {
            self.has_session = true;
            self.queue.extend(site::retained(serial)); // retained messages come with a new subscription
        }
        present
    }

    /// The connection is gone; PUBACKs under way are returned: some of them still arrive, late.
    pub fn disconnect(&mut self) -> VecDeque<(CommandId, Result<(), String>)> {
        self.connection = None;
        self.queue.retain(|publication| publication.qos1);
        std::mem::take(&mut self.answers)
    }

    pub fn lose_session(&mut self) {
        let sent = self.in_flight.drain(..).map(|sent| sent.publication);
        let gone = self.queue.drain(..).chain(sent);
        self.lost.extend(gone.map(|publication| publication.serial));
        self.has_session = false;
        self.last_packet = 0;
    }

    /// The next event for the gateway: what is sent again first, in its order.
    pub fn deliver(&mut self, now: Timestamp) -> Option<(Event, Option<Token>)> {
        let epoch = self.connection?;
        if let Some(sent) = self.in_flight.iter_mut().find(|sent| sent.again) {
            sent.again = false;
            let sent = sent.clone();
            return Some(arrive(sent.publication, epoch, sent.packet, true, now));
        }
        if self.in_flight.len() == RECEIVE_MAX {
            return None;
        }
        let publication = self.queue.pop_front()?;
        if !publication.qos1 {
            return Some(arrive(publication, epoch, 0, false, now));
        }
        let packet = self.free_packet();
        self.last_packet = packet;
        self.in_flight.push(Sent { packet, publication: publication.clone(), again: false });
        Some(arrive(publication, epoch, packet, false, now))
    }

    fn free_packet(&self) -> u16 {
        let from = if self.lowest_packet { 1 } else { self.last_packet + 1 };
        let taken = |packet: &u16| self.in_flight.iter().any(|sent| sent.packet == *packet);
        (from..).find(|packet| !taken(packet)).expect("a run has fewer than 65,535 events")
    }

    /// A PUBACK; one that came over an earlier connection never arrives.
    pub fn acknowledge(&mut self, token: &Token) {
        if self.connection == Some(token.epoch) {
            self.in_flight.retain(|sent| sent.packet != token.packet);
        }
    }

    /// Whether `deliver` has an event.
    pub fn has_something(&self) -> bool {
        let again = self.in_flight.iter().any(|sent| sent.again);
        self.connection.is_some() && (again || (!self.queue.is_empty() && self.in_flight.len() < RECEIVE_MAX))
    }

    /// Whether the gateway has acknowledged everything.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.in_flight.is_empty() && self.answers.is_empty()
    }
}

fn arrive(
    publication: Publication,
    epoch: u64,
    packet: u16,
    redelivered: bool,
    now: Timestamp,
) -> (Event, Option<Token>) {
    let identity = match (&publication.id, publication.qos1) {
        (Some(id), _) => Identity::Named(id.clone()),
        (None, true) => Identity::Packet { id: packet, redelivered },
        (None, false) => Identity::None,
    };
    let event = Event {
        source: EventSource::Mqtt,
        topic: publication.topic.clone(),
        payload: Bytes::from(publication.payload.clone()),
        content_type: None,
        identity,
        retained: publication.retained,
        expires_in_s: None,
        received_at: now,
        happened_at: None,
    };
    let token = publication.qos1.then_some(Token { epoch, packet, redelivered, publication });
    (event, token)
}
