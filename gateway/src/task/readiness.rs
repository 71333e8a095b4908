//! Obstacles to accepting events or to sending: `/readyz`, `bellwire status`, the page and systemd read it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::ids::ConnectionName;
use crate::task::recent_faults::Passing;
use crate::time::Timestamp;

#[derive(Debug)]
pub struct Readiness {
    now: Mutex<Obstacles>,
}

#[derive(Debug, Default)]
struct Obstacles {
    broker: Option<String>,
    /// Filters that the broker does not let us read, and its reason.
    refused: BTreeMap<String, String>,
    /// Whether what is published comes to us.
    deliveries: Passing,
    /// Another client with our client id.
    client_id: Passing,
    disk_full: bool,
    /// That another configuration than the file's is run, which keeps nothing from being accepted.
    stands_in: Option<String>,
    paused: BTreeMap<ConnectionName, (Timestamp, String)>,
}

impl Obstacles {
    fn refused_in_words(&self) -> impl Iterator<Item = String> {
        self.refused.iter().map(|(filter, reason)| {
            format!("the broker refused the subscription to {filter}: {reason}; its access list has to let this user read it")
        })
    }
}

impl Readiness {
    /// As at the start: without a broker.
    pub fn new(stands_in: Option<String>) -> Self {
        let broker = Some("the broker is not connected yet".to_owned());
        Self { now: Mutex::new(Obstacles { broker, stands_in, ..Obstacles::default() }) }
    }

    pub fn broker_is(&self, obstacle: Option<String>) {
        self.change(|now| now.broker = obstacle);
    }

    /// The file has changed, and is not what we run on: why.
    pub fn stands_in(&self, why: String) {
        self.change(|now| now.stands_in = Some(why));
    }

    pub fn disk_is_full(&self, full: bool) {
        self.change(|now| now.disk_full = full);
    }

    /// Whether our own test message came back through the broker, or why that matters. `true` if that is news.
    pub fn deliveries_are(&self, obstacle: Option<String>) -> bool {
        self.change(|now| now.deliveries.is_now(obstacle, Instant::now()))
    }

    /// Another client came with our client id.
    pub fn was_taken_over(&self, reason: String) {
        self.change(|now| now.client_id.came_again(reason, Instant::now()));
    }

    /// Takes the filters that the broker does not let us read; it is connected all the same.
    pub fn subscriptions_are(&self, refused: BTreeMap<String, String>) {
        self.change(|now| now.refused = refused);
    }

    pub fn paused(&self, connection: ConnectionName, until: Timestamp, reason: String) {
        self.change(|now| drop(now.paused.insert(connection, (until, reason))));
    }

    pub fn resumed(&self, connection: &ConnectionName) {
        self.change(|now| drop(now.paused.remove(connection)));
    }

    /// The obstacle between us and the broker.
    pub fn broker(&self) -> Option<String> {
        self.change(|now| now.broker.clone())
    }

    /// The reason why what is published may not come to us.
    pub fn deliveries(&self) -> Option<String> {
        self.change(|now| now.deliveries.shown(Instant::now()))
    }

    /// A sentence about another client with our client id.
    pub fn client_id(&self) -> Option<String> {
        self.change(|now| now.client_id.shown(Instant::now()))
    }

    /// The topics that the broker does not let us read, a sentence each.
    pub fn refused(&self) -> Vec<String> {
        self.change(|now| now.refused_in_words().collect())
    }

    /// The reason why nothing is sent over a connection.
    pub fn pause(&self, connection: &ConnectionName, at: Timestamp) -> Option<String> {
        self.change(|now| {
            let paused = now.paused.get(connection).filter(|(until, _)| *until > at);
            paused.map(|(_, reason)| reason.clone())
        })
    }

    /// The connections over which nothing is sent at the moment, as sentences.
    pub fn pauses(&self, at: Timestamp) -> Vec<String> {
        self.change(|now| {
            let under_way = now.paused.iter().filter(|(_, (until, _))| *until > at);
            under_way
                .map(|(name, (until, reason))| format!("{name} pauses until {until}: {reason}"))
                .collect()
        })
    }

    /// Everything that keeps us from accepting, as sentences. A connection that is paused is not among them: events are
    /// accepted all the same, and wait.
    pub fn obstacles(&self) -> Vec<String> {
        self.change(|now| {
            let full =
                now.disk_full.then(|| "the disk is full: nothing is accepted until there is room".to_owned());
            let passing = [&now.client_id, &now.deliveries];
            let passing = passing.into_iter().filter_map(|passing| passing.shown(Instant::now()));
            let broker = now.broker.clone().into_iter().chain(passing);
            broker.chain(now.refused_in_words()).chain(full).collect()
        })
    }

    /// The same, and what does not keep us from accepting: that the file is not what we run on.
    pub fn troubles(&self) -> Vec<String> {
        self.obstacles().into_iter().chain(self.change(|now| now.stands_in.clone())).collect()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Obstacles) -> T) -> T {
        change(&mut self.now.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
