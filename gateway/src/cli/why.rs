//! The whole story of an alert, a message or an event, in sentences: which rule, what was true, what held it back, what was sent to
//! whom, what came back.

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::events::words;
use super::{Failure, Place, alerts, events, outbox, say, say_json};
use crate::contact::severity::Severity;
use crate::ids::{AlertId, EventId, MessageId};
use crate::store::{self, AlertStory, Store, ToldOnce};
use crate::time::Timestamp;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    place: Place,
    /// An alert's number
    #[arg(required_unless_present_any = ["message", "event"])]
    id: Option<i64>,
    /// A message's number instead
    #[arg(long, value_name = "ID", conflicts_with_all = ["id", "event"])]
    message: Option<i64>,
    /// An event's number instead, as `bellwire events` shows it
    #[arg(long, value_name = "ID", conflicts_with = "id")]
    event: Option<i64>,
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    if let Some(id) = arguments.message {
        return outbox::show(&arguments.place, MessageId(id), arguments.json);
    }
    let (config, store) = arguments.place.open()?;
    let zone = &config.site.time_zone;
    let told = match arguments.event {
        Some(id) => event(&store, EventId(id), zone)?,
        None => alert(&store, AlertId(arguments.id.unwrap_or_default()), zone)?,
    };
    if arguments.json {
        say_json(&told.json);
    } else {
        say(&told.text);
    }
    Ok(())
}

/// One story, for both kinds of reader.
struct Told {
    text: String,
    json: Value,
}

fn read(error: store::Error) -> Failure {
    Failure::Io(error.into())
}

fn alert(store: &Store, id: AlertId, zone: &TimeZone) -> Result<Told, Failure> {
    let story = store.alert_story(id).map_err(read)?.ok_or_else(|| {
        Failure::Usage(format!(
            "there is no alert {id}; `bellwire alerts list` and `bellwire events` show numbers"
        ))
    })?;
    Ok(match &story.once {
        Some(once) => Told { text: once_as_text(&story, once, zone), json: once_as_json(&story, once) },
        None => Told { text: as_text(&story, zone), json: as_json(&story) },
    })
}

fn event(store: &Store, id: EventId, zone: &TimeZone) -> Result<Told, Failure> {
    let story = store.event_story(id).map_err(read)?;
    let (row, alerts) = story.ok_or_else(|| {
        Failure::Usage(format!("there is no event {id}; `bellwire events` shows which are kept"))
    })?;
    let at = Timestamp(row.received_at).for_tables(zone);
    let mut lines =
        vec![format!("event {}: {} on {} at {at}", row.id, words(&row.topic, &row.payload), row.topic)];
    lines.extend(row.reason.clone());
    if alerts.is_empty() {
        lines.push(format!("it raised no alert: {}", row.outcome));
    }
    let mut stories = Vec::new();
    for id in alerts {
        let told = alert(store, id, zone)?;
        lines.push(told.text);
        stories.push(told.json);
    }
    let mut json = events::event_json(&row);
    json["alerts"] = stories.into();
    Ok(Told { text: lines.join("\n"), json })
}

fn once_as_text(story: &AlertStory, once: &ToldOnce, zone: &TimeZone) -> String {
    let row = &story.row;
    let levels: Vec<String> = once.bindings.iter().map(|(name, value)| format!(" {name}={value}")).collect();
    let mut lines = vec![format!(
        "alert {}: {}{}, {}, told once at {}; each event of this rule is an alert",
        row.id,
        row.alert.rule,
        levels.concat(),
        Severity::of_rank(row.severity).as_str(),
        Timestamp(row.raised_at).for_tables(zone)
    )];
    lines.extend(saw(story, zone));
    lines.extend(once.flaw.iter().chain(&row.reason).cloned());
    lines.extend(story.messages.iter().map(message_line));
    if story.messages.is_empty() && row.reason.is_none() {
        lines.push("nobody is to be told: the rule's team has nobody".into());
    }
    lines.join("\n")
}

fn once_as_json(story: &AlertStory, once: &ToldOnce) -> Value {
    let row = &story.row;
    json!({ "id": row.id, "rule": row.alert.rule, "labels": once.bindings,
            "severity": Severity::of_rank(row.severity).as_str(), "at": Timestamp(row.raised_at).rfc3339(),
            "flaw": once.flaw, "held": row.reason, "messages": messages_json(&story.messages) })
}

/// The event that raised it.
fn saw(story: &AlertStory, zone: &TimeZone) -> Option<String> {
    let (topic, payload, when) = story.event.as_ref()?;
    let (rule, at) = (&story.row.alert.rule, Timestamp(*when).for_tables(zone));
    Some(format!("rule {rule} saw {} on {topic} at {at}", words(topic, payload)))
}

fn message_line((id, contact, state, reason): &(i64, String, String, String)) -> String {
    format!("message {id} to {contact}: {state}, {reason}")
}

fn messages_json(messages: &[(i64, String, String, String)]) -> Value {
    let one = |(id, contact, state, reason): &(i64, String, String, String)| json!({ "id": id, "contact": contact, "state": state, "reason": reason });
    messages.iter().map(one).collect()
}

fn as_text(story: &AlertStory, zone: &TimeZone) -> String {
    let at = |millis: i64| Timestamp(millis).for_tables(zone);
    let row = &story.row;
    let mut lines = vec![format!(
        "alert {}: {}, {}, {} since {}",
        row.id,
        row.alert,
        Severity::of_rank(row.severity).as_str(),
        row.state,
        at(row.changed_at)
    )];
    lines.extend(row.reason.clone());
    lines.extend(row.text.lines().map(|line| format!("  | {line}")));
    let clock = || format!("rule {} saw no event then: its time had come", row.alert.rule);
    lines.push(saw(story, zone).unwrap_or_else(clock));
    lines.extend(story.records.iter().map(|(when, what)| format!("{}  {what}", at(*when))));
    lines.extend(story.messages.iter().map(message_line));
    lines.join("\n")
}

fn as_json(story: &AlertStory) -> Value {
    let mut json = alerts::row_json(&story.row);
    json["event"] = story.event.as_ref().map_or(Value::Null, |(topic, payload, at)| {
        json!({ "topic": topic, "payload": words(topic, payload), "at": Timestamp(*at).rfc3339() })
    });
    json["records"] = story
        .records
        .iter()
        .map(|(at, what)| json!({ "at": Timestamp(*at).rfc3339(), "what": what }))
        .collect();
    json["messages"] = messages_json(&story.messages);
    json
}
