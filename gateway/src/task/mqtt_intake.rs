//! Broker notices and devices' events: events to the intake, answers to the dispatch, letters to the fleet.

/// What events led to, on disk.
mod commit;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Mutex, mpsc, oneshot, watch};

use commit::{commit, one_by_one, reload, write};

use crate::alert::effect;
use crate::alert::evaluate::excerpt;
use crate::alert::intake::{Intake, IntakeEffect, IntakeInput, RuleSet};
use crate::command::dispatch;
use crate::command::question::ReplyTo;
use crate::config::Config;
use crate::event::incoming::Event;
use crate::ids::RuleName;
use crate::mqtt::ConnectionEvent;
use crate::store::{Crashes, Store, fingerprint};
use crate::task::broker_state;
use crate::task::context::TaskContext;
use crate::task::device_fleet::{self, DeviceMessage};
use crate::task::device_message;
use crate::task::durable_store::StatementRefused;
use crate::task::home_assistant;
use crate::task::owner_notice;
use crate::task::ports::BrokerPort;
use crate::task::unjudged::Lines;
use crate::task::wakeups::{Work, Written};

/// Notices taken together: as many as the broker sends without an acknowledgement (receive maximum 256).
const BATCH: usize = 256;
/// Notes taken together: a digest of a flood has some hundred receipts.
const NOTES: u32 = 200;
/// A notice that was missed is made up for after this time, and a clock that was set is seen.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// An event on its way to the intake, of a device or by HTTP, and whom to tell that it is on disk.
pub type Submitted = (Event, oneshot::Sender<()>);

/// The channels of the intake.
#[derive(Debug)]
pub struct IntakeInputs<A> {
    /// Of a connection that goes on when another configuration is taken over: what waits in it is the next intake's.
    pub notices: Arc<Mutex<mpsc::Receiver<ConnectionEvent<A>>>>,
    pub handed: mpsc::Receiver<Submitted>,
    pub to_dispatch: mpsc::Sender<dispatch::DispatchInput>,
    /// Devices' messages over the broker, for the fleet.
    pub letters: mpsc::Sender<DeviceMessage>,
    /// Becomes true: what was taken from `notices` is finished, and no more is taken.
    pub end: watch::Receiver<bool>,
}

/// Whom to tell that an event is on disk.
enum Submitter<A> {
    Broker(A),
    /// The fleet, or whoever posted it.
    Handed(oneshot::Sender<()>),
}

pub async fn run<B: BrokerPort>(
    context: Arc<TaskContext>,
    judge: RuleSet,
    link: B,
    mut doors: IntakeInputs<B::Ack>,
) {
    let notices = Arc::clone(&doors.notices);
    let mut notices = notices.lock().await;
    let mut known = context.live.get();
    let Some(mut intake) = begin(&context, judge, &known).await else { return };
    let mut crashes = Crashes::open(&context.config.site.state_directory);
    let mut batch = Vec::with_capacity(BATCH);
    let mut lines = Lines::default();
    let mut woken = false;
    loop {
        let mut events = Vec::new();
        let now = context.machine.now();
        let pause = intake.wake_at().map_or(LOOK_EVERY, |at| now.until(at));
        woken = tokio::select! {
            biased; // as a simulation repeats it; after what people did it is the events' turn, and after events theirs
            () = std::future::ready(()), if !batch.is_empty() => false,
            _ = doors.end.wait_for(|end| *end) => return,
            () = context.wakeups.wait(Work::AlertCommands), if !woken => true,
            Some((event, told)) = doors.handed.recv() => {
                events.push((event, Some(Submitter::Handed(told)), None));
                while batch.len() < BATCH && let Ok(notice) = notices.try_recv() {
                    batch.push(notice); // whoever hands in the next at once leaves the broker its turn
                }
                false
            }
            taken = notices.recv_many(&mut batch, BATCH) => match taken {
                0 => return,
                _ => false,
            },
            () = context.wakeups.wait(Work::AlertCommands) => true,
            () = context.machine.sleep(pause.clamp(Duration::from_millis(5), LOOK_EVERY)) => true,
        };
        let live = context.live.get();
        if !Arc::ptr_eq(&known, &live) {
            intake.meet(live.people.clone());
            known = live;
        }
        lines.catch_up(context.machine.now());
        if woken {
            let Some(input) = noted(&context).await else { return };
            context.home.news();
            for effect in intake.handle(input, context.machine.both()) {
                if perform(&context, &mut intake, &link, (&mut lines, &[]), effect).await.is_none() {
                    return; // the disk failed: nothing more is acknowledged
                }
            }
        } else {
            let turn = turn(&mut batch);
            if turn.iter().any(is_new_session) {
                intake.free_packets();
                if context.store.durably(Store::free_packets).await.is_none() {
                    return;
                }
            }
            if arrived(&context, &link, &mut doors, turn, &mut events).await.is_none() {
                return; // the disk failed: nothing more is acknowledged
            }
            for group in groups(&crashes, events) {
                if take(&context, &mut intake, &link, (&mut crashes, &mut lines), group).await.is_none() {
                    return; // the disk failed: nothing more is acknowledged
                }
            }
        }
    }
}

/// With what alerts remember, before anything arrives.
async fn begin<A>(context: &TaskContext, judge: RuleSet, known: &Config) -> Option<Intake<A>> {
    let watch = judge.watch();
    let versions: Vec<(RuleName, i64)> =
        context.config.rules.iter().map(|rule| (rule.name.clone(), rule.version())).collect();
    context.store.durably(move |store| store.forget_unjudged_of_others(&versions)).await?;
    let mut intake = Intake::new(judge, watch);
    let kept = context.store.durably(Store::kept).await?;
    intake.meet(known.people.clone()); // those who were invited are somebody, too
    intake.restore(kept, context.machine.both());
    context.wakeups.after(Written::AlertCommand); // what came of it is written down at once
    Some(intake)
}

/// What was under way when a process died is taken alone, so that the next death says which one it was.
fn groups<A>(
    crashes: &Crashes,
    events: Vec<device_message::Message<A>>,
) -> Vec<Vec<device_message::Message<A>>> {
    let mut groups: Vec<Vec<device_message::Message<A>>> = Vec::new();
    let mut may_join = false;
    for message in events {
        let event = fingerprint(&message.0);
        let is_alone = event.is_some_and(|event| crashes.is_suspect(event) || crashes.is_aside(event));
        match groups.last_mut().filter(|_| may_join && !is_alone) {
            Some(group) => group.push(message),
            None => groups.push(vec![message]),
        }
        may_join = !is_alone;
    }
    groups
}

async fn take<B: BrokerPort>(
    context: &TaskContext,
    intake: &mut Intake<Submitter<B::Ack>>,
    link: &B,
    (crashes, lines): (&mut Crashes, &mut Lines),
    messages: Vec<device_message::Message<Submitter<B::Ack>>>,
) -> Option<()> {
    let under_way: Vec<_> = messages.iter().filter_map(|(event, ..)| fingerprint(event)).collect();
    let is_aside = under_way.iter().any(|event| crashes.is_aside(*event));
    let input = |messages: Vec<device_message::Message<Submitter<B::Ack>>>| {
        messages.into_iter().map(|(event, waiting, _)| (event, waiting)).collect()
    };
    let reply_to: Vec<_> = messages.iter().map(|(.., reply_to)| reply_to.clone()).collect();
    let effects = if is_aside {
        for (event, ..) in &messages {
            set_aside(context, event).await;
        }
        intake.handle(IntakeInput::SetAside(input(messages)), context.machine.both())
    } else {
        crashes.begin(&under_way);
        device_message::take(context, &messages).await?;
        let effects = intake.handle(IntakeInput::Arrived(input(messages)), context.machine.both());
        crashes.end(&under_way);
        effects
    };
    for effect in effects {
        perform(context, intake, link, (lines, &reply_to), effect).await?;
    }
    Some(())
}

async fn set_aside(context: &TaskContext, event: &Event) {
    let (topic, begins) = (&event.topic, excerpt(&event.payload));
    let what = format!(
        "an event on the topic {topic} was being read when this program died, twice. It is set aside and acknowledged, and no \
         rule has seen it; look at what it reports yourself. It begins: {begins} – once the device or its rule is put right, \
         restart bellwire (bellwire events lists it as set-aside)"
    );
    owner_notice::report(context, "set-aside", vec![what]).await;
}

fn is_new_session<A>(notice: &ConnectionEvent<A>) -> bool {
    matches!(notice, ConnectionEvent::Connected { session_present: false })
}

/// What is taken together. With a new session of the broker's packet identifiers mean other events, so what came before
/// it is written down before.
fn turn<A>(batch: &mut Vec<ConnectionEvent<A>>) -> Vec<ConnectionEvent<A>> {
    let until = batch.iter().skip(1).position(is_new_session).map_or(batch.len(), |at| at + 1);
    batch.drain(..until).collect()
}

async fn arrived<B: BrokerPort>(
    context: &TaskContext,
    link: &B,
    doors: &mut IntakeInputs<B::Ack>,
    turn: Vec<ConnectionEvent<B::Ack>>,
    events: &mut Vec<device_message::Message<Submitter<B::Ack>>>,
) -> Option<()> {
    while events.len() < BATCH
        && let Ok((event, told)) = doors.handed.try_recv()
    {
        events.push((event, Some(Submitter::Handed(told)), None));
    }
    for notice in turn {
        match notice {
            ConnectionEvent::Message { event, ack, .. } if home_assistant::take(context, &event).await? => {
                ack.into_iter().for_each(|ack| link.ack(ack));
            }
            ConnectionEvent::Message { event, ack, reply_to } => match DeviceMessage::read(&event) {
                None => events.push((event, ack.map(Submitter::Broker), reply_to)),
                Some(letter) => {
                    if !event.retained {
                        device_fleet::post(context, &doors.letters, letter);
                    }
                    // The broker may forget it: the device keeps it until our own acknowledgement.
                    ack.into_iter().for_each(|ack| link.ack(ack));
                }
            },
            about @ (ConnectionEvent::Connected { .. }
            | ConnectionEvent::Disconnected { .. }
            | ConnectionEvent::Published { .. }
            | ConnectionEvent::Subscribed(_)
            | ConnectionEvent::NewerCopy(_)
            | ConnectionEvent::Loopback(_)) => broker_state::tell(context, about, &doors.to_dispatch).await,
        }
    }
    events.iter().for_each(|(event, ..)| context.metrics.event(event.source));
    Some(())
}

/// What receipts, taps and operators wrote down; without any it is just later.
async fn noted<A>(context: &TaskContext) -> Option<IntakeInput<A>> {
    let notes = context.store.durably(|store| store.notes(NOTES)).await?;
    if notes.len() == NOTES as usize {
        context.wakeups.after(Written::AlertCommand); // there may be more
    }
    Some(if notes.is_empty() { IntakeInput::Woke } else { IntakeInput::Noted(notes) })
}

async fn perform<B: BrokerPort>(
    context: &TaskContext,
    intake: &mut Intake<Submitter<B::Ack>>,
    link: &B,
    (lines, reply_to): (&mut Lines, &[Option<Box<ReplyTo>>]),
    effect: IntakeEffect<Submitter<B::Ack>>,
) -> Option<()> {
    match effect {
        IntakeEffect::Commit(batch, decisions) => {
            for ask in decisions.iter().filter_map(|decision| decision.rebirth.as_ref()) {
                // Without a connection nothing is lost: the node's next message asks again, a minute later.
                link.say_at_most_once(&ask.topic, Bytes::from(ask.payload.clone()));
            }
            let answers = home_assistant::answers(context, &decisions, reply_to);
            let decisions = Arc::new(decisions);
            if commit(context, &decisions, answers, lines).await?.is_err() {
                one_by_one(context, intake, &decisions).await?;
            }
            for effect in intake.handle(IntakeInput::Committed(batch), context.machine.both()) {
                if let IntakeEffect::Acknowledge(token) = effect {
                    acknowledge(link, token);
                }
            }
        }
        IntakeEffect::Watched { effects, taken } => {
            let is_silence = effects.iter().any(effect::Effect::is_about_silence);
            let notes = taken.clone();
            if let Err(StatementRefused(why)) =
                write(context, move |store| store.watched(&effects, &taken)).await?
            {
                // Notes that were read first again would be refused again.
                context.store.durably(move |store| store.watched(&[], &notes).map(drop)).await?;
                reload(context, intake).await?;
                let text = format!("what the time or people did to alerts could not be written down: {why}");
                owner_notice::report(context, "alerts", vec![text]).await;
            }
            if is_silence {
                context.home.look();
            }
        }
        IntakeEffect::Acknowledge(token) => acknowledge(link, token),
    }
    Some(())
}

fn acknowledge<B: BrokerPort>(link: &B, waiting: Submitter<B::Ack>) {
    match waiting {
        Submitter::Broker(token) => link.ack(token),
        Submitter::Handed(told) => drop(told.send(())), // whoever handed it in may have gone; the event is ours all the same
    }
}
