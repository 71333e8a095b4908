//! The outbox's sender: does what its turns led to, and tells it of answers and of the time.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::sync::{mpsc, watch};

use crate::config::Secret;
use crate::contact::severity::Severity;
use crate::ids::{ConnectionName, MessageId};
use crate::outbox::message_state::State;
use crate::outbox::retry_policy::{ApiAnswer, HeldFor};
use crate::outbox::row::{Conversation, DueMessage, MessageUpdate, SendResult};
use crate::outbox::scheduler::{SchedulerEffect, SchedulerInput};
use crate::outbox::window::Choice;
use crate::reply::inbound::AccountNotice;
use crate::store::{self, Store};
use crate::task::context::TaskContext;
use crate::task::copies;
use crate::task::outbox_transaction::{SendStep, StepStart};
use crate::task::owner_notice::{NoticeOutcome, NoticeRoute, write};
use crate::task::ports::CloudApi;
use crate::task::wakeups::{Work, Written};
use crate::time::Timestamp;
use crate::whatsapp::client::Endpoint;
use crate::whatsapp::endpoint::endpoint;
use crate::whatsapp::prepare::{Signature, prepare};

/// How often the outbox is looked at without being told: an operator's command writes beside us. Each such timer wakes the
/// process twice, since tokio's wheel of timers turns in steps of 64: a third of the budget of two a second.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// Looks into the database after its log was seen to change. The second is for a write within the same tick of the file
/// system's clock, 10 ms at most, as the first look.
const LOOKS: u32 = 2;

struct Task<C> {
    context: Arc<TaskContext>,
    client: C,
    wake_at: Option<Timestamp>,
    looked_at: Timestamp,
    /// When the token's file was written, of connections that wait for a person.
    tokens: BTreeMap<ConnectionName, Option<u64>>,
}

pub async fn run(
    context: Arc<TaskContext>,
    client: impl CloudApi,
    mut to_do: mpsc::Receiver<SendStep>,
    mut stop: watch::Receiver<bool>,
) {
    let looked_at = context.machine.now();
    let mut task = Task { context, client, wake_at: None, looked_at, tokens: BTreeMap::new() };
    let (mut version, mut touched, mut looks) = (0, None, 0);
    task.turn(StepStart::With(SchedulerInput::Wake));
    loop {
        if *stop.borrow() {
            task.context.scheduler.stop();
            if task.context.scheduler.is_idle() {
                return;
            }
        }
        let context = Arc::clone(&task.context);
        let pause = task.pause();
        tokio::select! {
            biased; // as a simulation repeats it; none of the first three waits for anything, so that none waits for another
            _ = stop.changed() => {}
            () = context.wakeups.wait(Work::Messages) => task.turn(StepStart::With(SchedulerInput::Wake)),
            Some(turn) = to_do.recv() => {
                turn.done.into_iter().for_each(|effect| task.perform(effect));
                if !turn.rest.is_empty() {
                    task.turn(StepStart::Rest(turn.rest));
                }
            }
            () = context.machine.sleep(pause) => {
                if let Some(connection) = task.put_right() {
                    task.turn(StepStart::With(SchedulerInput::CredentialsChanged(connection)));
                    continue;
                }
                let due = task.is_due();
                let now_touched = context.store.last_write();
                if now_touched != touched {
                    (touched, looks) = (now_touched, LOOKS);
                }
                if looks == 0 && !due {
                    continue; // nobody has written: not even the store's thread wakes
                }
                looks = looks.saturating_sub(1);
                let seen = context.store.durably(Store::data_version).await.unwrap_or(version);
                if seen != version || due {
                    version = seen;
                    task.wake_at = task.wake_at.filter(|_| !due);
                    copies::look(&context).await;
                    context.wakeups.after(Written::ByAnotherProcess);
                    task.turn(StepStart::With(SchedulerInput::Wake));
                }
            }
        }
    }
}

/// The scheduler takes a step, and this task does what that leads to.
async fn take_step(context: &TaskContext, begin: StepStart) {
    let (scheduler, live) = (Arc::clone(&context.scheduler), context.live.get());
    let machine = Arc::clone(&context.machine);
    let take = move |store: &Store| scheduler.take(store, begin.clone(), &live, machine.now());
    if let Some(step) = context.store.durably(take).await {
        context.scheduler.done(step).await;
    }
}

impl<C: CloudApi> Task<C> {
    fn turn(&self, begin: StepStart) {
        let context = Arc::clone(&self.context);
        self.context.machine.spawn(Box::pin(async move { take_step(&context, begin).await }));
    }

    /// A connection whose token was refused, and has another one now.
    fn put_right(&mut self) -> Option<ConnectionName> {
        let context = &self.context;
        let (name, _) = self.tokens.iter().find(|(name, seen)| mark_of(context, name) != **seen)?;
        let name = name.clone();
        self.tokens.remove(&name);
        Some(name)
    }

    /// Something waits for this time, or for one that the clock was set back from: nobody else would notice, and it would wait
    /// for as long again.
    fn is_due(&mut self) -> bool {
        let now = self.context.machine.now();
        let before = std::mem::replace(&mut self.looked_at, now);
        now < before || self.wake_at.is_some_and(|at| at <= now)
    }

    fn pause(&self) -> Duration {
        self.wake_at
            .map_or(LOOK_EVERY, |at| self.context.machine.now().until(at))
            .clamp(Duration::from_millis(5), LOOK_EVERY)
    }

    fn perform(&mut self, effect: SchedulerEffect) {
        match effect {
            SchedulerEffect::Look(_) | SchedulerEffect::Merge(_) | SchedulerEffect::Load(_) => {} // done in the turn
            SchedulerEffect::Commit(change) => self.tell_of(&change),
            SchedulerEffect::Upload(due) => self.upload(*due),
            SchedulerEffect::Post(under_way) => self.post(under_way),
            SchedulerEffect::WakeAt(at) => {
                self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)))
            }
            SchedulerEffect::Paused { connection, until, reason, notice } => {
                tracing::warn!(connection = %connection, until = %until, reason, "sending pauses");
                self.context.readiness.paused(connection.clone(), until, reason);
                let mark = mark_of(&self.context, &connection);
                if notice.is_some() || mark.is_none() {
                    self.tokens.insert(connection.clone(), mark); // at once when it is another
                }
                if let Some(text) = notice {
                    self.notify(connection, Severity::Critical, text);
                }
            }
            SchedulerEffect::Resumed { connection } => {
                self.context.readiness.resumed(&connection);
                self.tokens.remove(&connection);
                self.notify(connection, Severity::Info, "sending works again".to_owned());
            }
        }
    }

    /// Told once: the same words again, from the next try, are no news. Nothing leaves over this number, so another carries
    /// it, or none.
    fn notify(&self, connection: ConnectionName, severity: Severity, text: String) {
        let context = Arc::clone(&self.context);
        self.context.machine.spawn(Box::pin(async move {
            let find = move |_: &Store| Ok(Some((connection.clone(), "sending".to_owned(), text.clone())));
            say(&context, severity, NoticeRoute::AnotherOnly, find).await;
        }));
    }

    /// What waits until a person writes may wait for long.
    fn tell_of_held(&self, id: MessageId, reason: String) {
        let context = Arc::clone(&self.context);
        self.context.machine.spawn(Box::pin(async move {
            let find = move |store: &Store| {
                Ok(store.whole(id)?.map(|due| {
                    let Conversation { connection, contact } = due.lane;
                    let text =
                        format!("what should go to {contact} is held until {contact} writes: {reason}");
                    (connection, format!("held {contact}"), text)
                }))
            };
            say(&context, Severity::Warning, NoticeRoute::AnotherFirst, find).await;
        }));
    }

    /// It is on disk.
    fn tell_of(&self, change: &MessageUpdate) {
        self.context.home.news();
        match change {
            MessageUpdate::Sending { .. } => {}
            MessageUpdate::Held { id, reason, .. } => {
                self.context.wakeups.after(Written::MessageStopped);
                tracing::warn!(message_id = id.0, reason, "a message is held");
                self.tell_of_held(*id, reason.clone());
            }
            MessageUpdate::SetBack { by } => tracing::warn!(seconds = by.as_secs(), "the clock was set back"),
            MessageUpdate::Settled(settled) => {
                let SendResult { id, next, .. } = &**settled;
                self.context.metrics.settled(next.state);
                if matches!(next.state, State::Failed | State::Held) {
                    self.context.wakeups.after(Written::MessageStopped);
                }
                if next.held_for == Some(HeldFor::Window) {
                    let reason = "more than 24 h have passed since the person last wrote, and the rule has no template";
                    self.tell_of_held(*id, reason.to_owned());
                }
                let (state, reason) = (next.state.as_str(), &next.reason);
                tracing::info!(message_id = id.0, state, reason, "a message has a result");
            }
        }
    }

    fn upload(&self, due: DueMessage) {
        let (context, client) = (Arc::clone(&self.context), self.client.clone());
        self.context.machine.spawn(Box::pin(async move {
            let id = due.id;
            let uploaded = match reachable(&context, &due) {
                Ok(endpoint) => client.upload(Arc::clone(&context), endpoint, due).await,
                Err(error) => Err(error), // its message meets the same, and waits
            };
            take_step(&context, StepStart::With(SchedulerInput::Uploaded(id, uploaded))).await;
        }));
    }

    fn post(&self, under_way: Arc<(DueMessage, Choice)>) {
        let (context, client) = (Arc::clone(&self.context), self.client.clone());
        self.context.machine.spawn(Box::pin(async move {
            let (due, choice) = &*under_way;
            let answer = send(&context, &client, due, choice).await;
            take_step(&context, StepStart::With(SchedulerInput::Answered(due.id, answer))).await;
        }));
    }
}

/// A notice: about which number, under which heading, in which words.
async fn say(
    context: &Arc<TaskContext>,
    severity: Severity,
    over: NoticeRoute,
    find: impl Fn(&Store) -> store::Result<Option<(ConnectionName, String, String)>> + Send + Sync + 'static,
) {
    let (config, machine) = (context.live.get(), Arc::clone(&context.machine));
    let work = move |store: &Store| {
        let Some((about, field, text)) = find(store)? else { return Ok(None) };
        let notice = AccountNotice::of(field, severity, text);
        let told = write(store, &config, &about, &notice, over, machine.now())?;
        Ok((told != NoticeOutcome::Before).then_some((about, notice.text)))
    };
    if let Some(Some((about, text))) = context.store.durably(work).await {
        context.notices.tell(&about, severity, text);
        context.wakeups.after(Written::Message);
    }
}

/// What tells one token of a connection from the next; `None` while it is not connected.
fn mark_of(context: &TaskContext, connection: &ConnectionName) -> Option<u64> {
    let live = context.live.get();
    let known = live.connections.iter().find(|known| known.name == *connection)?;
    let mut mark = DefaultHasher::new();
    match &known.access_token {
        Secret::File(path) => {
            std::fs::metadata(path).and_then(|file| file.modified()).ok().hash(&mut mark);
        }
        Secret::Known(token) => token.expose_secret().hash(&mut mark),
        Secret::Lost(why) => why.hash(&mut mark),
    }
    Some(mark.finish())
}

/// Where the message's connection is to be asked.
fn reachable(context: &TaskContext, due: &DueMessage) -> Result<Endpoint, String> {
    let name = &due.lane.connection;
    let live = context.live.get();
    let found = live.connections.iter().find(|connection| connection.name == *name);
    let not_connected = || {
        format!(
            "the number `{name}` is not connected; connect it on the page under Setup, or in the configuration"
        )
    };
    endpoint(found.ok_or_else(not_connected)?)
}

async fn send(context: &TaskContext, client: &impl CloudApi, due: &DueMessage, choice: &Choice) -> ApiAnswer {
    let endpoint = match reachable(context, due) {
        Ok(endpoint) => endpoint,
        Err(error) => return ApiAnswer::NotAsked(error),
    };
    let now = context.machine.now();
    if now.is_sane() && now >= due.expires_at {
        // It was suspended meanwhile; the next look at the clock ends it.
        return ApiAnswer::NotAsked("it was too old to be worth sending when this machine went on".into());
    }
    let ours = Signature { tag: &context.tag, signer: &context.signer };
    let request = prepare(due, choice, ours, &context.live.get().people, now);
    let began = context.machine.both().steady;
    let answer = client.post(endpoint, request).await;
    context.metrics.sent_within(context.machine.both().steady.saturating_sub(began));
    answer
}
