//! The outbox's sender: performs what `alert::sender` asks for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::media;
use super::shared::Shared;
use crate::alert::delivery::Answer;
use crate::alert::form::Choice;
use crate::alert::outbox::{Change, Due, Settled};
use crate::alert::render::{as_quick_replies, outgoing};
use crate::alert::sender::{Effect, IN_FLIGHT_MAX, Input, Sender};
use crate::chance::Dice;
use crate::config::{Connection, secret};
use crate::time::{Clock, SystemClock, Timestamp};
use crate::whatsapp::client::{Client, Endpoint};
use crate::whatsapp::request::{self, Form};

/// How often the outbox is looked at without being told: an operator's command writes beside us.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks into the database after its log was seen to change. The second is for a write within the same tick of the file
/// system's clock, 10 ms at most, as the first look.
const LOOKS: u32 = 2;
/// Each message under way causes at most three inputs.
const INPUTS_MAX: usize = IN_FLIGHT_MAX * 4;

struct Task {
    shared: Arc<Shared>,
    client: Client,
    inputs: mpsc::Sender<Input>,
    wake_at: Option<Timestamp>,
}

pub async fn run(shared: Arc<Shared>, client: Client, mut stop: watch::Receiver<bool>) {
    let (inputs, mut arriving) = mpsc::channel(INPUTS_MAX);
    let mut task = Task { shared, client, inputs, wake_at: None };
    let (mut sender, mut dice) = (Sender::new(task.shared.rates()), Dice::from_machine());
    let (mut version, mut touched, mut looks) = (0, None, 0);
    let mut next = Some(Input::Wake);
    loop {
        if let Some(input) = next.take() {
            for effect in sender.handle(input, SystemClock.now(), &mut dice) {
                task.perform(effect, *stop.borrow());
            }
        }
        if *stop.borrow() && sender.is_idle() {
            return;
        }
        let shared = Arc::clone(&task.shared);
        let pause = task.pause();
        tokio::select! {
            input = arriving.recv() => next = input,
            () = shared.outbox.notified() => next = Some(Input::Wake),
            () = tokio::time::sleep(pause) => {
                let due = task.wake_at.is_some_and(|at| at <= SystemClock.now());
                let now_touched = shared.store.touched();
                if now_touched != touched {
                    (touched, looks) = (now_touched, LOOKS);
                }
                if looks == 0 && !due {
                    continue; // nobody has written: not even the store's thread wakes
                }
                looks = looks.saturating_sub(1);
                let seen = shared.durably(crate::store::Store::data_version).await.unwrap_or(version);
                if seen != version || due {
                    version = seen;
                    task.wake_at = task.wake_at.filter(|_| !due);
                    shared.commands.notify_one();
                    shared.alerts.notify_one();
                    next = Some(Input::Wake);
                }
            }
            _ = stop.changed() => {}
        }
    }
}

impl Task {
    fn pause(&self) -> Duration {
        self.wake_at
            .map_or(LOOK_EVERY, |at| SystemClock.now().until(at))
            .clamp(Duration::from_millis(5), LOOK_EVERY)
    }

    fn perform(&mut self, effect: Effect, stopping: bool) {
        match effect {
            Effect::Load(_) if stopping => {} // nothing new leaves
            Effect::Load(wanted) => {
                self.store(move |store| {
                    let now = SystemClock.now();
                    store.tend(now)?;
                    store.work(now, &wanted).map(Input::Loaded)
                });
            }
            Effect::Commit(change) => self.commit(change),
            Effect::Post(due, choice) => self.post(*due, choice),
            Effect::WakeAt(at) => self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at))),
            Effect::Paused { connection, until, reason } => {
                tracing::warn!(connection = %connection, until = %until, reason, "sending pauses");
                self.shared.paused(connection, until, reason);
            }
        }
    }

    fn commit(&self, change: Change) {
        let done = match &change {
            Change::Sending { id, .. } => Input::SendingCommitted(*id),
            Change::Held { id, reason, .. } => {
                tracing::warn!(message = id.0, reason, "a message is held");
                Input::HeldCommitted
            }
            Change::Settled(settled) => {
                let Settled { id, next, .. } = &**settled;
                self.shared.metrics.settled(next.state);
                let (state, reason) = (next.state.as_str(), &next.reason);
                tracing::info!(message = id.0, state, reason, "a message has an answer");
                Input::SettledCommitted(*id)
            }
        };
        self.store(move |store| {
            Ok(match (store.change(&change, SystemClock.now())?, &change) {
                (false, Change::Sending { id, .. }) => Input::Withdrawn(*id),
                (_, _) => done.clone(),
            })
        });
    }

    fn store(&self, work: impl Fn(&crate::store::Store) -> rusqlite::Result<Input> + Send + Sync + 'static) {
        let (shared, inputs) = (Arc::clone(&self.shared), self.inputs.clone());
        tokio::spawn(async move {
            if let Some(input) = shared.durably(work).await {
                drop(inputs.send(input).await); // the sender ends only when the daemon does
            }
        });
    }

    fn post(&self, due: Due, choice: Choice) {
        let (shared, client, inputs) = (Arc::clone(&self.shared), self.client.clone(), self.inputs.clone());
        tokio::spawn(async move {
            let answer = send(&shared, &client, &due, &choice).await;
            drop(inputs.send(Input::Answered(due.id, answer)).await);
        });
    }
}

async fn send(shared: &Arc<Shared>, client: &Client, due: &Due, choice: &Choice) -> Answer {
    let name = &due.lane.connection;
    let Some(connection) = shared.config.connections.iter().find(|connection| connection.name == *name)
    else {
        return Answer::Offline(format!(
            "the connection `{name}` is not in the configuration any more; put it back"
        ));
    };
    let endpoint = match endpoint(connection) {
        Ok(endpoint) => endpoint,
        Err(error) => return Answer::Offline(error),
    };
    let content = outgoing(&due.content, &shared.tag, due.alert);
    let content = media::ready(shared, client, &endpoint, name, content).await;
    let (more, template);
    let form = match choice {
        Choice::Template { index, quick_replies } if *index < content.templates.len() => {
            template = as_quick_replies(&content, *index, *quick_replies);
            Form::Template { template: &template, words: &content.text }
        }
        Choice::Free | Choice::Template { .. } | Choice::Hold(_) => {
            more = shared.tag.more(due.id);
            Form::Free { content: &content, more: &more }
        }
    };
    client.send(&endpoint, request::body(form, &due.to, &shared.tag.callback(due.id))).await
}

/// Where and as whom to ask. The token is read anew for each request: a new one in the file works at once, and none
/// stays in memory.
pub fn endpoint(connection: &Connection) -> Result<Endpoint, String> {
    Ok(Endpoint {
        api_url: connection.api_url.clone(),
        api_version: connection.api_version.clone(),
        phone_number_id: connection.phone_number_id.clone(),
        access_token: secret(&connection.access_token_file).map_err(|error| error.to_string())?,
    })
}
