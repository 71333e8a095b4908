//! The whole story of an alert or a message, in sentences: which rule, what was true, what held it back, what was sent to
//! whom, what came back.

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{Failure, Place, alerts, outbox, say, say_json};
use crate::alert::policy::excerpt;
use crate::alert::rule::Severity;
use crate::ids::{AlertId, MessageId};
use crate::store::AlertStory;
use crate::time::Timestamp;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    place: Place,
    /// An alert's number
    #[arg(required_unless_present = "message")]
    id: Option<i64>,
    /// A message's number instead
    #[arg(long, value_name = "ID", conflicts_with = "id")]
    message: Option<i64>,
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    if let Some(id) = arguments.message {
        return outbox::show(&arguments.place, MessageId(id), arguments.json);
    }
    let id = arguments.id.unwrap_or_default();
    let (config, store) = arguments.place.open()?;
    let story = store.alert_story(AlertId(id)).map_err(|error| Failure::Io(error.into()))?;
    let Some(story) = story else { return Err(alerts::no_such_alert(id)) };
    if arguments.json {
        say_json(&as_json(&story));
    } else {
        say(&as_text(&story, &config.site.time_zone));
    }
    Ok(())
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
    lines.push(match &story.event {
        Some((topic, payload, when)) => {
            format!("rule {} saw {} on {topic} at {}", row.alert.rule, excerpt(payload), at(*when))
        }
        None => format!("rule {} saw no event then: its time had come", row.alert.rule),
    });
    lines.extend(story.records.iter().map(|(when, what)| format!("{}  {what}", at(*when))));
    lines.extend(
        story
            .messages
            .iter()
            .map(|(id, contact, state, reason)| format!("message {id} to {contact}: {state}, {reason}")),
    );
    lines.join("\n")
}

fn as_json(story: &AlertStory) -> Value {
    let mut json = alerts::row_json(&story.row);
    json["event"] = story.event.as_ref().map_or(Value::Null, |(topic, payload, at)| {
        json!({ "topic": topic, "payload": excerpt(payload), "at": Timestamp(*at).rfc3339() })
    });
    json["records"] = story
        .records
        .iter()
        .map(|(at, what)| json!({ "at": Timestamp(*at).rfc3339(), "what": what }))
        .collect();
    json["messages"] = story
        .messages
        .iter()
        .map(|(id, contact, state, reason)| json!({ "id": id, "contact": contact, "state": state, "reason": reason }))
        .collect();
    json
}
