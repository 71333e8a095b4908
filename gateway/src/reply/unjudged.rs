//! The notice to the owner about a rule that cannot judge its events.

use crate::alert::evaluate::excerpt;
use crate::time::Timestamp;

/// More at once become one message: a new firmware changes what many rules read.
const ONE_BY_ONE: usize = 3;

/// A reason of a rule of which the owner has not heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnjudgedRow {
    pub rule: String,
    pub kind: String,
    pub count: i64,
    pub is_partial: bool,
    pub last_at: Timestamp,
    pub topic: String,
    pub payload: Vec<u8>,
    pub reason: String,
}

/// The messages that tell it.
#[must_use]
pub fn texts(found: &[UnjudgedRow]) -> Vec<String> {
    let [first, rest @ ..] = found else { return Vec::new() };
    if found.len() <= ONE_BY_ONE {
        return found.iter().map(sentence).collect();
    }
    let others = rest.iter().map(|row| row.rule.as_str());
    let mut others: Vec<&str> = others.filter(|rule| *rule != first.rule).collect();
    others.dedup();
    let more = match others.as_slice() {
        [] => format!("It has {} more reasons", rest.len()),
        rules => format!("So it is with {}", rules.join(", ")),
    };
    vec![format!("{}\n{more}; bellwire doctor has all.", sentence(first))]
}

/// What happened, an example, and what to do.
fn sentence(row: &UnjudgedRow) -> String {
    let UnjudgedRow { rule, count, topic, reason, .. } = row;
    let events = if *count == 1 { "an event".to_owned() } else { format!("{count} events") };
    let example = excerpt(&row.payload);
    let example = if example.is_empty() { "nothing".to_owned() } else { example };
    format!(
        "rule {rule} could not judge {events}: {reason}\nFor example, {topic} sent: {example}\n\
         Correct the rule or the device; this is told once."
    )
}
