//! How things stand: each number, what waits, what Meta says, what it costs.

use serde_json::json;

use super::{Failure, Place, say, say_json};
use crate::outbox::budget::FREE_OF_CHARGE;
use crate::store;
use crate::time::{Clock, SystemClock, Timestamp};

/// Notices that are shown.
const NOTICES: u32 = 10;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    place: Place,
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (config, store) = arguments.place.open()?;
    let io = |error: store::Error| Failure::Io(error.into());
    let (counts, facts) = (store.counts().map_err(io)?, store.facts(SystemClock.now()).map_err(io)?);
    let (notices, usage) = (store.notices(NOTICES).map_err(io)?, store.usage().map_err(io)?);
    let free = store.free().map_err(io)?;
    if arguments.json {
        let facts = facts.iter().map(
            |(connection, name, value)| json!({ "connection": connection, "name": name, "value": value }),
        );
        let notices = notices.iter().map(|one| json!({ "at": Timestamp(one.at).rfc3339(), "connection": one.connection, "severity": one.severity, "text": one.text }));
        let usage = usage.iter().map(|one| json!({ "month": one.month, "connection": one.connection, "category": one.category, "kind": one.kind, "count": one.count }));
        say_json(&json!({
            "messages": counts.iter().map(|(state, count)| (state.clone(), json!(count))).collect::<serde_json::Map<_, _>>(),
            "facts": facts.collect::<Vec<_>>(), "notices": notices.collect::<Vec<_>>(), "usage": usage.collect::<Vec<_>>(),
            "free": free.iter().map(|one| json!({ "month": one.month, "connection": one.connection, "left": one.left, "of": FREE_OF_CHARGE, "charged": one.charged })).collect::<Vec<_>>(),
        }));
        return Ok(());
    }
    for connection in &config.connections {
        say(&format!(
            "number {} ({}), at most {} messages a second",
            connection.name, connection.phone_number_id, connection.messages_per_second
        ));
        for (_, name, value) in facts.iter().filter(|(known, ..)| *known == connection.name.0) {
            say(&format!("  {name}: {value}"));
        }
    }
    say("messages");
    for (state, count) in &counts {
        say(&format!("  {state:<10} {count}"));
    }
    for one in &usage {
        say(&format!(
            "{} over {}: {} {} ({})",
            one.month,
            one.connection,
            one.count,
            one.category,
            one.kind.replace('_', " ")
        ));
    }
    for one in &free {
        let charged =
            if one.charged == 0 { String::new() } else { format!(", and {} were charged", one.charged) };
        say(&format!(
            "{} over {}: {} of {FREE_OF_CHARGE} free messages are left{charged}",
            one.month, one.connection, one.left
        ));
    }
    for one in &notices {
        say(&format!(
            "{}  {}: {}",
            Timestamp(one.at).for_tables(&config.site.time_zone),
            one.connection,
            one.text
        ));
    }
    Ok(())
}
