//! Messages for replies: answers of devices, and questions of machines. Each goes on to the rules all the same, and is
//! acknowledged with the others, in its order.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::command::question::ReplyTo;
use crate::config::Config;
use crate::event::incoming::Event;
use crate::ids::CommandId;
use crate::store::{self, Store};
use crate::task::context::TaskContext;
use crate::task::durable_store::StatementRefused;
use crate::task::wakeups::Written;
use crate::task::{deadlines, owner_notice, question_flow};
use crate::time::Timestamp;

/// An event, whom to tell that it is on disk, and where its sender wants an answer.
pub type Message<T> = (Event, Option<T>, Option<Box<ReplyTo>>);

/// Written down before any of it is acknowledged; `None`: the disk failed.
pub async fn take<T>(context: &TaskContext, messages: &[Message<T>]) -> Option<()> {
    let concerns =
        |event: &Event| context.answer_topics.iter().any(|known| known.matches(&event.topic).is_some());
    let ours = messages.iter().filter(|(event, ..)| concerns(event));
    let ours: Vec<_> = ours.map(|(event, _, reply_to)| (event.clone(), reply_to.clone())).collect();
    if ours.is_empty() {
        return Some(());
    }
    let config = context.live.get();
    let at_broker = context.at_broker.all();
    let ours = Arc::new(ours);
    let take = |which: std::ops::Range<usize>| {
        let (ours, config, at_broker) = (Arc::clone(&ours), Arc::clone(&config), at_broker.clone());
        let machine = Arc::clone(&context.machine);
        move |store: &Store| {
            let now = machine.now();
            ours[which.clone()].iter().try_for_each(|(event, reply_to)| {
                record_device_message(store, &config, (event, reply_to.as_deref()), &at_broker, now)
            })
        }
    };
    if context.store.durably_unless_refused(take(0..ours.len())).await?.is_err() {
        // One of them is to blame; it goes on to the rules like the others.
        for (at, (event, _)) in ours.iter().enumerate() {
            if let Err(StatementRefused(why)) = context.store.durably_unless_refused(take(at..at + 1)).await?
            {
                let topic = &event.topic;
                let text = format!(
                    "what came on the topic {topic} could not be taken as an answer or a question: {why}"
                );
                owner_notice::report(context, "events", vec![text]).await;
            }
        }
    }
    context.wakeups.after(Written::DeviceMessage);
    Some(())
}

/// `at_broker`: commands that are published, though it is not on disk yet.
pub fn record_device_message(
    store: &Store,
    config: &Config,
    (event, reply_to): (&Event, Option<&ReplyTo>),
    at_broker: &BTreeSet<CommandId>,
    now: Timestamp,
) -> store::Result<()> {
    if event.retained {
        return Ok(()); // it was said some time ago: no answer to what is asked now, and no question (promise P6)
    }
    for question in &config.questions {
        if let Some(bindings) = question.topic.matches(&event.topic) {
            question_flow::ask(store, config, question, &bindings, (event, reply_to), now)?;
        }
    }
    deadlines::heard(store, config, event, at_broker, now)
}
