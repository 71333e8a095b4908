//! Home Assistant: shows it the gateway as a device, and takes what it asks. The form of it all is
//! `command/home_assistant.rs`; what its button and its texts lead to are rules (`config/home_assistant.rs`).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use crate::alert::engine::AlertCommand;
use crate::command::home_assistant::{ControlRequest, EntityStates, NAME};
use crate::config::secret;
use crate::event::incoming::Event;
use crate::mqtt::BrokerHandle;
use crate::outbox::retry_policy::Class;
use crate::store::{self, AdminChange, Store};
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
    let (deed, subject, note) = match order {
        ControlRequest::Mute(on) => {
            let until = on.then_some(now + home.mute_for);
            let note =
                AlertCommand::Mute { by: NAME.to_owned(), until, break_through: home.break_through.rank() };
            (if on { "mute" } else { "unmute" }, "all alerts", Some(note))
        }
        ControlRequest::Test => ("send test", "a message", None),
        ControlRequest::Tell => ("tell", "a message", None),
        ControlRequest::Nonsense => {
            tracing::warn!(topic = event.topic, "neither ON nor OFF: nothing is done");
            return Some(true);
        }
        ControlRequest::Introduce => return Some(true),
    };
    let change = AdminChange {
        who: NAME.to_owned(),
        address: "mqtt".to_owned(),
        deed,
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
    let wanted: Vec<String> =
        home.iter().flat_map(|home| [home.discovery_topic(), home.state_topic()]).collect();
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
        }
        let greeting = context.home.greetings.load(Ordering::Relaxed);
        if !link.is_connected() {
            continue;
        }
        if !stale.is_empty() {
            match removed {
                // The connection that it was said over has lasted: the broker has it.
                Some((over, at)) if over == greeting && Instant::elapsed(&at) >= SURELY_SAID => {
                    let wanted = wanted.clone();
                    context.store.durably(move |store| store.set_left_at_broker(&wanted)).await?;
                    tracing::info!(topics = ?stale, "taken back from the broker");
                    stale.clear();
                }
                Some((over, _)) if over == greeting => {}
                Some(_) | None => {
                    let said = stale.iter().all(|topic| link.keep(topic, Bytes::new()));
                    removed = said.then(|| (greeting, Instant::now()));
                }
            }
        }
        if home.is_some() && show(context, link, &mut shown, greeting).await? {
            sleep(PAUSE).await;
            tokio::select! {
                () = context.home.told.notified() => context.home.look(), // seen above
                () = sleep(NEWS_EVERY - PAUSE) => {}
            }
        }
    }
    Some(())
}

/// Whether anything was said. `None`: the disk failed.
async fn show(
    context: &Arc<TaskContext>,
    link: &BrokerHandle,
    shown: &mut Shown,
    greeting: u64,
) -> Option<bool> {
    let home = &context.config.home_assistant.as_ref()?.appearance;
    let is_new = shown.greeting != greeting;
    if is_new {
        let device = home.discovery(env!("CARGO_PKG_VERSION")).to_string();
        if !link.keep(&home.discovery_topic(), Bytes::from(device)) {
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

async fn look(context: &Arc<TaskContext>) -> Option<EntityStates> {
    let known = Arc::clone(context);
    let now = context.machine.now();
    context.store.durably(move |store| read(&known, store, now)).await
}

fn read(context: &TaskContext, store: &Store, now: Timestamp) -> store::Result<EntityStates> {
    let oldest = store.oldest_waiting()?.map_or(0, |at| Timestamp(at).until(now).as_secs());
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
        None => store.last_failure()?,
    };
    Ok(EntityStates {
        queue: store.waiting_up_to_many()?,
        oldest_s: oldest,
        last_error,
        tokens_good: good,
        is_muted: store.silences()?.iter().any(|one| one.is_mute_of(NAME) && one.until > now),
    })
}
