//! One loop for each number lets messages leave when it is their turn, and one tells the other hubs what waits here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bellwire::contact::severity::Severity;
use bellwire::time::SystemClock;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, oneshot};

use super::{Beat, Pace};
use crate::engine::{Signals, json};
use crate::settings::Number;

/// The request itself may take 30 s at Meta, and the site gives up on an answer after 30: so no longer than this here.
const TURN: Duration = Duration::from_secs(5);
/// How often hubs tell each other what waits.
const BEAT: Duration = Duration::from_millis(250);
/// A site that was refused comes again after this.
const COME_AGAIN: Duration = Duration::from_secs(1);

/// Nothing was sent; come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    pub why: &'static str,
    pub retry_after: Duration,
    pub scope: Scope,
}

/// What else waits with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All of the site that is as severe, or less.
    Severity,
    /// What the site has for this person.
    Person,
    /// Nothing.
    Message,
}

#[derive(Clone, Default)]
pub struct Paces(Arc<BTreeMap<String, Arc<Line>>>);

/// What wants to leave over one number.
struct Line {
    state: Mutex<State>,
    changed: Notify,
    /// Something waits where nothing did: the others hear at once, or two floods that begin together would both take all.
    begins: Notify,
}

struct State {
    pace: Pace,
    next_ticket: u64,
    waiting: BTreeMap<u64, oneshot::Sender<()>>,
}

#[derive(Serialize, Deserialize)]
struct Told {
    hub: String,
    #[serde(flatten)]
    beat: Beat,
}

impl Paces {
    /// Their loops run as long as the process does.
    pub fn start(numbers: &[Number], hub: &str, signals: &Signals) -> Self {
        let line = |number: &Number| {
            let state = State {
                pace: Pace::new(number.messages_per_second),
                next_ticket: 0,
                waiting: BTreeMap::new(),
            };
            let line =
                Arc::new(Line { state: Mutex::new(state), changed: Notify::new(), begins: Notify::new() });
            tokio::spawn(Arc::clone(&line).let_leave());
            let subject = format!("pace.{}", number.phone_number_id);
            tokio::spawn(Arc::clone(&line).beat(subject, hub.to_owned(), signals.clone()));
            (number.phone_number_id.clone(), line)
        };
        Self(Arc::new(numbers.iter().map(line).collect()))
    }

    /// Waits until it is the message's turn.
    pub async fn turn(&self, number: &str, site: &str, severity: Severity) -> Result<(), Refused> {
        let why = "too much wants to leave over this number";
        let refused = Refused { why, retry_after: COME_AGAIN, scope: Scope::Severity };
        let Some(line) = self.0.get(number) else { return Err(refused) };
        let (ticket, leaves) = line.ask(site, severity).ok_or(refused)?;
        match tokio::time::timeout(TURN, leaves).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => {
                let mut state = line.lock();
                state.waiting.remove(&ticket);
                state.pace.forget(ticket);
                Err(refused)
            }
        }
    }

    /// How many messages of that severity wait at this hub, over all numbers.
    #[must_use]
    pub fn waiting(&self, severity: Severity) -> usize {
        self.0.values().map(|line| line.lock().pace.waiting(severity)).sum()
    }

    /// How many hubs hear each other.
    #[must_use]
    pub fn hubs(&self) -> usize {
        self.0.values().map(|line| line.lock().pace.hubs(now())).max().unwrap_or(1)
    }

    pub fn too_fast(&self, number: &str) {
        if let Some(line) = self.0.get(number) {
            line.lock().pace.too_fast(now());
        }
    }
}

fn now() -> Duration {
    SystemClock.both().steady
}

impl Line {
    /// A panic ends the process, so that nothing is ever poisoned.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, site: &str, severity: Severity) -> Option<(u64, oneshot::Receiver<()>)> {
        let mut state = self.lock();
        state.next_ticket += 1;
        let ticket = state.next_ticket;
        if state.waiting.is_empty() {
            self.begins.notify_one();
        }
        state.pace.ask(site, severity, ticket, now()).ok()?;
        let (leave, leaves) = oneshot::channel();
        state.waiting.insert(ticket, leave);
        self.changed.notify_one();
        Some((ticket, leaves))
    }

    async fn let_leave(self: Arc<Self>) {
        loop {
            let next = {
                let mut state = self.lock();
                for ticket in state.pace.leave(now()) {
                    state.waiting.remove(&ticket).map(|leave| leave.send(()));
                }
                state.pace.next(now())
            };
            let again = async {
                match next {
                    Some(wait) => tokio::time::sleep(wait.max(Duration::from_millis(1))).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = again => {}
            }
        }
    }

    async fn beat(self: Arc<Self>, subject: String, hub: String, signals: Signals) {
        let mut heard = loop {
            match signals.hear(&subject).await {
                Ok(heard) => break heard,
                Err(error) => tracing::warn!(%error, "the other hubs cannot be heard; trying again"),
            }
            tokio::time::sleep(BEAT).await;
        };
        let mut ticks = tokio::time::interval(BEAT);
        loop {
            let message = tokio::select! {
                _ = ticks.tick() => None,
                () = self.begins.notified() => None,
                message = heard.next() => match message {
                    Some(message) => Some(message),
                    None => return,
                },
            };
            let Some(message) = message else {
                let told = Told { hub: hub.clone(), beat: self.lock().pace.beat(now()) };
                signals.say(&subject, json(&told)).await;
                continue;
            };
            match serde_json::from_slice::<Told>(&message.payload) {
                Ok(told) if told.hub != hub => self.lock().pace.hear(&told.hub, told.beat, now()),
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(%error, "a message of another hub cannot be read; is it of another version?")
                }
            }
        }
    }
}
