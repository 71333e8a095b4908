//! A machine asks: people are asked to choose (`command/asking.rs`).

use crate::command::asking::{self, Asked};
use crate::command::question::{Question, ReplyTo};
use crate::config::Config;
use crate::event::incoming::{Event, REMEMBERED};
use crate::event::topic::{Bindings, TopicTemplate};
use crate::rule::lifecycle_settings::Target;
use crate::store::{self, Store};
use crate::time::Timestamp;

/// Writes the question down and asks people. A repetition is left alone.
pub fn ask(
    store: &Store,
    config: &Config,
    question: &Question,
    bindings: &Bindings,
    (event, reply_to): (&Event, Option<&ReplyTo>),
    now: Timestamp,
) -> store::Result<()> {
    let Some(response_topic) = place(config, question, bindings, (event, reply_to)) else {
        tracing::warn!(
            question = question.name,
            topic = event.topic,
            "a question without a response topic cannot be answered; send one (MQTT 5), or give `response_topic`"
        );
        return Ok(());
    };
    let (key, surely) = asking::key(question, event, reply_to);
    let since = event.received_at - REMEMBERED;
    if store.knows_question(&key, surely, since)? {
        return Ok(());
    }
    let correlation = reply_to.and_then(|to| to.correlation.clone());
    let asked = Asked { id: store.next_question()?, key, response_topic, correlation };
    let site = config.context(store.seal(), now);
    store.apply(&asking::ask(question, bindings, event, asked, &site), now).map(drop)
}

/// Where the answer goes: where the request asks for it, if it may; else where the question says.
fn place(
    config: &Config,
    question: &Question,
    bindings: &Bindings,
    (event, reply_to): (&Event, Option<&ReplyTo>),
) -> Option<String> {
    let refused = |to: &&ReplyTo| {
        let why = question.refuses(&to.topic, commands(config), &ours(config));
        if let Some(why) = why {
            let (question, topic, response_topic) = (&question.name, &event.topic, &to.topic);
            let what = "the answer does not go where the question asks for it";
            tracing::warn!(question, topic, response_topic, why, "{what}");
        }
        why.is_some()
    };
    let asked = reply_to.filter(|to| !refused(to)).map(|to| to.topic.clone());
    asked.or_else(|| question.response_topic.as_ref().and_then(|topic| topic.fill(bindings)))
}

/// Every topic that something of ours commands on.
fn commands(config: &Config) -> impl Iterator<Item = &TopicTemplate> {
    let actions = config.rules.iter().flat_map(|rule| rule.actions.iter().map(|action| &action.topic));
    let steps = config.rules.iter().filter_map(|rule| rule.life.as_deref()).flat_map(|life| &life.escalate);
    let steps = steps.filter_map(|step| match &step.target {
        Target::Topic { topic, .. } => Some(topic),
        Target::People(_) | Target::Post { .. } => None,
    });
    let spoken = config.commands.iter().map(|spoken| &spoken.topic);
    actions.chain(steps).chain(spoken).chain(config.onward.iter().map(|onward| &onward.topic))
}

/// How topics begin that are the gateway's, devices' or Home Assistant's.
fn ours(config: &Config) -> Vec<String> {
    let discovery =
        config.home_assistant.as_ref().map_or("homeassistant", |home| home.appearance.prefix.as_str());
    vec!["bellwire/".to_owned(), "homeassistant/".to_owned(), format!("{discovery}/")]
}
