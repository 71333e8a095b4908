//! What came in and was kept or counted.

use firmware_bridge::Kind;
use serde_json::{Value, json};

use super::{Failure, Place, say, say_json};
use crate::alert::evaluate::excerpt;
use crate::device::topic;
use crate::event::decode::PayloadFormat;
use crate::event::decode::decode;
use crate::store::{self, EventRow, TallyRow};
use crate::time::Timestamp;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    place: Place,
    #[arg(long, default_value_t = 50)]
    limit: u32,
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (config, store) = arguments.place.open()?;
    let read = |error: store::Error| Failure::Io(error.into());
    let (events, tallies) = (store.events(arguments.limit).map_err(read)?, store.tallies().map_err(read)?);
    if arguments.json {
        let events: Vec<Value> = events.iter().map(event_json).collect();
        let tallies: Vec<Value> = tallies.iter().map(tally_json).collect();
        say_json(&json!({ "events": events, "counted": tallies }));
        return Ok(());
    }
    for event in &events {
        let at = Timestamp(event.received_at).for_tables(&config.site.time_zone);
        say(&format!(
            "{:>6}  {at}  {:<16}  {}  {}",
            event.id,
            event.outcome,
            event.topic,
            words(&event.topic, &event.payload)
        ));
        if let Some(reason) = &event.reason {
            say(&format!("        {reason}"));
        }
    }
    for tally in &tallies {
        let rule = if tally.rule.is_empty() { "any rule" } else { &tally.rule };
        let reason = tally.last_reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        say(&format!("{} × {} for {rule}, last on {}{reason}", tally.count, tally.outcome, tally.last_topic));
    }
    Ok(())
}

/// A payload for people: a device's event in its fields, anything else as it begins.
pub(super) fn words(topic: &str, payload: &[u8]) -> String {
    let is_device = topic::read(topic).is_some_and(|(_, kind)| kind == Kind::Event);
    let fields = is_device.then(|| decode(PayloadFormat::Postcard, None, payload).ok()).flatten();
    fields.map_or_else(|| excerpt(payload), |fields| excerpt(fields.to_string().as_bytes()))
}

pub(super) fn event_json(event: &EventRow) -> Value {
    json!({ "id": event.id, "received_at": Timestamp(event.received_at).rfc3339(), "topic": event.topic,
            "payload": words(&event.topic, &event.payload), "payload_bytes": event.payload_bytes, "outcome": event.outcome, "reason": event.reason })
}

fn tally_json(tally: &TallyRow) -> Value {
    json!({ "rule": tally.rule, "outcome": tally.outcome, "count": tally.count,
            "last_at": Timestamp(tally.last_at).rfc3339(), "last_topic": tally.last_topic, "last_reason": tally.last_reason })
}
