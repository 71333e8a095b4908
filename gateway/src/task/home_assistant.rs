//! Home Assistant: shows it the gateway as a device, and takes what it asks. The form of it all is
//! `command/home_assistant.rs`; what its button and its texts lead to are rules (`config/home_assistant.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::alert::engine::AlertCommand;
use crate::alert::intake::Decision;
use crate::alert::request;
use crate::command::action::{CommandOrigin, NewCommand, ResolvedAction};
use crate::command::home_assistant::{ControlRequest, EntityStates, NAME, Presence};
use crate::command::question::ReplyTo;
use crate::config::secret;
use crate::contact::severity::Severity;
use crate::event::incoming::Event;
use crate::ids::ContactId;
use crate::mqtt::BrokerHandle;
use crate::outbox::retry_policy::Class;
use crate::store::{self, AdminChange, IntakeReport, Store};
use crate::task::context::TaskContext;
use crate::task::wakeups::Written;
use crate::time::Timestamp;
use crate::whatsapp::errors::{ApiMessage, refusal};

/// Between two publications, whoever flips the switch how often.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two publications of what nobody waits for.
const NEWS_EVERY: Duration = Duration::from_secs(5);
/// A connection that lasts so long has carried what was said over it.
const SURELY_SAID: Duration = Duration::from_secs(15);
/// Whoever asked has given up by then.
const ANSWER_EXPIRES_MS: u64 = 60_000;
/// Told at once, in one look at the store.
const EVENTS: u32 = 50;
/// A request that was refused is an error for so long, or until another is taken.
const REFUSED_SHOWN: Duration = Duration::from_secs(3_600);
/// What is asked again and again within this time is one line of the audit.
const SAME_WITHIN: Duration = Duration::from_secs(60);

/// Writes down what it asks, before that is acknowledged; whether that was all there is to the message. `None`: the disk failed.
pub async fn take(context: &TaskContext, event: &Event) -> Option<bool> {
    let Some(home) = &context.config.home_assistant else { return Some(false) };
    let Some(order) = home.appearance.read(&event.topic, &event.payload) else { return Some(false) };
    if order == ControlRequest::Introduce {
        context.home.greet();
        // Somebody may have a rule for it, too.
        return Some(!context.config.rules.iter().any(|rule| rule.topic.matches(&event.topic).is_some()));
    }
    let is_asked_by_a_rule = matches!(order, ControlRequest::Test | ControlRequest::Tell);
    if event.retained {
        // It would be asked again after each connection (promise P6); a rule counts it as retained by itself.
        tracing::warn!(topic = event.topic, "a retained message asks for nothing; publish it without retain");
        return Some(!is_asked_by_a_rule);
    }
    let now = context.machine.now();
    let (action, subject, note) = match order {
        ControlRequest::Mute(on) => {
            let until = on.then_some(now + home.mute_for);
            let note =
                AlertCommand::Mute { by: NAME.to_owned(), until, break_through: home.break_through.rank() };
            (if on { "mute" } else { "unmute" }, "all alerts", Some(note))
        }
        ControlRequest::Test => ("send test", "a message", None),
        ControlRequest::Tell => ("tell", "a message", None),
        ControlRequest::Nonsense => {
            tracing::warn!(topic = event.topic, "the payload is neither ON nor OFF: nothing is done");
            return Some(true);
        }
        ControlRequest::Introduce => return Some(true),
    };
    let change = AdminChange {
        who: NAME.to_owned(),
        address: "mqtt".to_owned(),
        action,
        subject: subject.to_owned(),
        outcome: "done".to_owned(),
    };
    let write = move |store: &Store| {
        note.as_ref().map_or(Ok(()), |note| store.note(note, now))?;
        store.record_change_once(&change, SAME_WITHIN, now)
    };
    context.store.durably(write).await?;
    context.wakeups.after(Written::AlertCommand);
    Some(!is_asked_by_a_rule)
}

/// The answers to the senders of requests, with the commit that takes them.
pub fn answers(
    context: &TaskContext,
    decisions: &[Decision],
    reply_to: &[Option<Box<ReplyTo>>],
) -> Vec<(CommandOrigin, NewCommand)> {
    let Some(home) = context.config.home_assistant.as_ref().map(|home| &home.appearance) else {
        return Vec::new();
    };
    let answer = |(decision, to): (&Decision, &Option<Box<ReplyTo>>)| {
        let to = to.as_ref().filter(|_| decision.event.topic == home.request_topic())?;
        if !home.may_answer(&to.topic) {
            let what = "the outcome is not sent: the response topic is not below home-assistant/answer/";
            tracing::warn!(response_topic = to.topic, "{what}");
            return None;
        }
        let payload = request::outcome(&decision.ignored, &decision.effects).to_string();
        let action = ResolvedAction {
            alert: None,
            name: ":request".into(),
            title: "the outcome of a request".into(),
            topic: to.topic.clone(),
            payload,
            retain: false,
            roles: BTreeSet::new(),
            expires_ms: ANSWER_EXPIRES_MS,
            answer: None,
        };
        let origin = CommandOrigin { correlation: to.correlation.clone(), ..CommandOrigin::default() };
        Some((origin, action.command(ContactId("home-assistant".into()), context.machine.now())))
    };
    decisions.iter().zip(reply_to).filter_map(answer).collect()
}

/// The decisions with the answers to their senders.
pub fn accept(
    store: &Store,
    decisions: &[Decision],
    answers: &[(CommandOrigin, NewCommand)],
    now: Timestamp,
) -> store::Result<IntakeReport> {
    let mut accepted = store.accept(decisions)?;
    for (origin, answer) in answers {
        store.insert_command(origin, answer, now)?;
        accepted.commands += 1;
    }
    Ok(accepted)
}

/// What was shown last.
#[derive(Debug, Default)]
struct Shown {
    greeting: u64,
    state: Option<String>,
    /// When the store was last written to, as far as we have looked.
    touched: Option<(std::time::SystemTime, u64)>,
    waits: bool,
}

/// Shows it, and takes away what a former configuration has left. Ends at once where there is neither.
pub async fn run(context: Arc<TaskContext>, link: BrokerHandle) {
    if show_and_remove(&context, &link).await.is_some() {
        std::future::pending::<()>().await; // it is not configured, and what it was shown before is removed
    }
}

async fn show_and_remove(context: &Arc<TaskContext>, link: &BrokerHandle) -> Option<()> {
    let home = context.config.home_assistant.as_ref().map(|home| &home.appearance);
    let known = match home.cloned() {
        None => {
            context.store.durably(Store::leave_home).await?;
            Presence { id: String::new(), parts: BTreeMap::new() }
        }
        Some(home) => {
            let meet =
                move |store: &Store| store.meet_home(&home.id(), &home.platforms(), &home.request_topic());
            context.store.durably(meet).await?
        }
    };
    let wanted: Vec<String> = home
        .iter()
        .flat_map(|home| {
            let people = home.people.iter().map(|(id, _)| home.person_topic(id));
            [home.discovery_topic(&known.id), home.state_topic()].into_iter().chain(people)
        })
        .collect();
    let left = context.store.durably(Store::left_at_broker).await?;
    let mut stale: Vec<String> = left.iter().filter(|topic| !wanted.contains(topic)).cloned().collect();
    if wanted.iter().any(|topic| !left.contains(topic)) {
        let all = [&wanted[..], &stale[..]].concat();
        context.store.durably(move |store| store.set_left_at_broker(&all)).await?;
    }
    let (mut shown, mut removed) = (Shown::default(), None);
    while home.is_some() || !stale.is_empty() {
        tokio::select! {
            () = context.home.told.notified() => {}
            () = context.home.news.notified() => {}
            () = sleep(SURELY_SAID), if !stale.is_empty() => {}
        }
        let greeting = context.home.greetings.load(Ordering::Relaxed);
        if !link.is_connected() {
            continue;
        }
        if !stale.is_empty() {
            remove(context, link, &wanted, (&mut stale, &mut removed), greeting).await?;
        }
        if home.is_some() {
            tell_events(context, link).await?;
        }
        if home.is_some() && show(context, link, &known, &mut shown, greeting).await? {
            sleep(PAUSE).await;
            tokio::select! {
                () = context.home.told.notified() => context.home.look(), // seen above
                () = sleep(NEWS_EVERY - PAUSE) => {}
            }
        }
    }
    Some(())
}

/// What was removed so far: over which connection, when, and whether it was all.
type Removed = Option<(u64, Instant, bool)>;

/// Takes back what a former configuration left at the broker: the device first, and what its entities read only when Home Assistant
/// reads it no more, since an empty state is a warning in its log.
async fn remove(
    context: &Arc<TaskContext>,
    link: &BrokerHandle,
    wanted: &[String],
    (stale, removed): (&mut Vec<String>, &mut Removed),
    greeting: u64,
) -> Option<()> {
    let lasted = removed.filter(|(over, ..)| *over == greeting);
    match lasted {
        Some((_, at, _)) if Instant::elapsed(&at) < SURELY_SAID => {}
        // The connection that it was said over has lasted: the broker has it.
        Some((.., true)) => {
            let wanted = wanted.to_vec();
            context.store.durably(move |store| store.set_left_at_broker(&wanted)).await?;
            tracing::info!(topics = ?stale, "retained messages that are not ours any more were removed from the broker");
            stale.clear();
        }
        Some(_) | None => {
            let is_all = lasted.is_some();
            let mut now = stale.iter().filter(|topic| is_all || topic.ends_with("/config"));
            let said = now.all(|topic| link.keep(topic, Bytes::new()));
            *removed = said.then(|| (greeting, Instant::now(), is_all));
        }
    }
    Some(())
}

/// Whether anything was said. `None`: the disk failed.
async fn show(
    context: &Arc<TaskContext>,
    link: &BrokerHandle,
    known: &Presence,
    shown: &mut Shown,
    greeting: u64,
) -> Option<bool> {
    let home = &context.config.home_assistant.as_ref()?.appearance;
    let is_new = shown.greeting != greeting;
    if is_new {
        let device = home.discovery(env!("CARGO_PKG_VERSION"), known).to_string();
        if !link.keep(&home.discovery_topic(&known.id), Bytes::from(device)) {
            return Some(false); // no room: the next look tries again
        }
        (shown.greeting, shown.state) = (greeting, None);
    }
    let touched = context.store.last_write();
    if !is_new && !shown.waits && touched == shown.touched {
        return Some(false);
    }
    let state = look(context).await?;
    (shown.touched, shown.waits) = (touched, state.queue > 0 || state.is_muted);
    let payload = state.payload();
    if shown.state.as_ref() == Some(&payload) || !link.keep(&home.state_topic(), Bytes::from(payload.clone()))
    {
        return Some(is_new);
    }
    shown.state = Some(payload);
    Some(true)
}

/// What came since: to its event entity, and of a message also to the notify entity of whom it is for.
async fn tell_events(context: &Arc<TaskContext>, link: &BrokerHandle) -> Option<()> {
    let Some(home) = context.config.home_assistant.as_ref().map(|home| &home.appearance) else {
        return Some(());
    };
    loop {
        let known = Arc::clone(context);
        let events = context.store.durably(move |store| events(&known, store)).await?;
        let mut told = None;
        for (id, kind, what) in &events {
            let payload = Bytes::from(what.to_string());
            let to = what["contact"].as_str().filter(|_| kind == "message");
            if let Some(to) = to.filter(|to| home.people.iter().any(|(id, _)| id == to)) {
                link.keep(&home.person_topic(to), payload.clone());
            }
            if !link.say(&home.event_topic(kind), payload) {
                break; // no room: the next look goes on
            }
            told = Some(*id);
        }
        let Some(until) = told else { return Some(()) };
        context.store.durably(move |store| store.forget_home_events(until)).await?;
    }
}

/// The next few, with the names of people and alerts.
fn events(context: &TaskContext, store: &Store) -> store::Result<Vec<(i64, String, Value)>> {
    let mut events = store.home_events(EVENTS)?;
    let live = context.live.get();
    for (_, _, what) in &mut events {
        let contact =
            what["contact"].as_str().and_then(|id| live.people.contacts.get(&ContactId(id.to_owned())));
        if let Some(contact) = contact {
            (what["name"], what["roles"]) = (contact.name.clone().into(), json!(contact.roles));
        }
        let alert = what["alert"].as_i64().map(|alert| store.alert_in_words(alert)).transpose()?.flatten();
        if let Some((rule, severity, tag)) = alert {
            let severity = Severity::of_rank(severity).as_str();
            (what["rule"], what["severity"], what["tag"]) = (rule.into(), severity.into(), tag.into());
        }
    }
    Ok(events)
}

fn request_topic(context: &TaskContext) -> String {
    let home = context.config.home_assistant.as_ref();
    home.map(|home| home.appearance.request_topic()).unwrap_or_default()
}

async fn look(context: &Arc<TaskContext>) -> Option<EntityStates> {
    let known = Arc::clone(context);
    let now = context.machine.now();
    context.store.durably(move |store| read(&known, store, now)).await
}

fn read(context: &TaskContext, store: &Store, now: Timestamp) -> store::Result<EntityStates> {
    let window = store.waiting_for_window()?;
    let mut good = None;
    for connection in &context.live.get().connections {
        // A file that is gone is as bad as a token that is refused.
        if secret(&connection.access_token).is_err() {
            good = Some(false);
        }
        let Some((_, code)) = store.last_answer(&connection.name.0)? else { continue };
        let class = code.map(|code| refusal(ApiMessage { code, ..ApiMessage::default() }).class);
        good = Some(good.unwrap_or(true) && class != Some(Class::Auth));
    }
    let stopped =
        context.live.get().connections.iter().find_map(|one| context.readiness.pause(&one.name, now));
    let last_error = match stopped {
        Some(why) => Some(why),
        None if window > 0 => Some(format!(
            "{window} held: more than 24 hours ago they wrote last, so WhatsApp takes no free text for them; a template would"
        )),
        None => {
            store.refused_request(&request_topic(context), now - REFUSED_SHOWN)?.or(store.last_failure()?)
        }
    };
    Ok(EntityStates {
        queue: store.waiting_up_to_many()?,
        oldest: store.oldest_waiting()?.map(Timestamp),
        window,
        last_error,
        tokens_good: good,
        is_muted: store.silences()?.iter().any(|one| one.is_mute_of(NAME) && one.until > now),
    })
}
