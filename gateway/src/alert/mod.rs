//! From an event to what people are told. Nothing here performs I/O, asks the time or throws its own dice.
//!
//! ```text
//! intake ─▶ route ─▶ payload (event::decode, once a format) ─▶ evaluate ─▶ engine ─▶ notification ─▶ effect: what the store writes
//!                                                                           └─ no states: stateless ─┘
//! ```

/// Events in, decisions to the store, then the acknowledgement.
pub mod intake;
/// Finds the rules that a topic concerns.
pub mod route;
/// An event's payload, read once in each format that rules ask for.
pub mod payload;
/// Reasons why nobody is told, and the expression that failed.
pub mod ignored;
/// Requests of automations: one message each.
pub mod request;
/// Evaluation of one event by one rule, whether its alerts have states or not.
pub mod evaluate;
/// One alert: pending, firing, acknowledged, over.
pub mod lifecycle;
/// The key of an alert.
pub mod alert_key;
/// A number over time.
pub mod time_series;
/// Effects of the engine, each with its reason.
pub mod effect;
/// By what the engine keeps a piece of its memory.
pub mod state_key;
/// All alerts that have a life.
pub mod engine;
/// The text of a rule about one event, in every language that it has.
pub mod message_text;
/// Events that rules could not judge, for the people who can mend it.
pub mod unjudged;
/// Timed events through the rules, with virtual time.
pub mod replay;
/// Partial reports decide nothing: properties.
#[cfg(test)]
mod partial;
/// Notifications: how an alert is told, and to whom.
pub mod notification;

#[cfg(test)]
mod tests {
    use crate::alert::intake::RuleSet;
    use crate::config::{Config, LoadOptions, read};
    use crate::event::incoming::{Event, EventSource, Identity};
    use crate::time::Timestamp;

    /// Ten in the morning: nobody has quiet hours.
    pub(super) const MORNING: Timestamp = Timestamp(1_773_136_800_000);

    /// One has quiet hours, one speaks another language, and one is as the first but for the hours.
    const SITE: &str = r#"
[site]
name = "S"
time_zone = "UTC"
[mqtt]
url = "mqtt://127.0.0.1"
[[connection]]
name = "main"
phone_number_id = "1"
access_token_file = "t"
app_secret_file = "s"
verify_token_file = "v"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
quiet_hours = "22:00-06:00"
[[contact]]
id = "giorgi"
phone = "+995 555 65 43 21"
language = "de"
[[contact]]
id = "keti"
phone = "+995 555 11 22 33"
"#;

    /// What is decided by these rules.
    pub(super) fn site(rules: &str) -> (Config, RuleSet) {
        let wishes = LoadOptions { without_secrets: true, ..LoadOptions::default() };
        let config = read("t.toml", &format!("{SITE}{rules}"), &wishes).expect("good rules");
        let judge = config.rule_set().expect("compiles");
        (config, judge)
    }

    pub(super) fn event(topic: &str, payload: impl Into<bytes::Bytes>, identity: Identity) -> Event {
        Event { identity, ..Event::new(EventSource::Mqtt, topic, payload, MORNING) }
    }
}
