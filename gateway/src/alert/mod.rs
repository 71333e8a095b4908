//! From an event to a message's end. Nothing here performs I/O, asks the time or throws its own dice.
//!
//! ```text
//! event ─▶ decode ─▶ route ─▶ policy ─▶ render ═▶ outbox ═▶ sender ─▶ delivery
//!          └───────── intake: commit, then acknowledge ─┘    └─ commit, then send ─┘
//! ```

/// What one evaluation may make and look at.
mod bound;
/// What a number may cost, and how many people it may reach.
pub mod budget;
/// What CloudEvents are called.
pub mod cloudevents;
/// Two values side by side, or why they cannot be.
mod comparison;
/// Yes, no, or cannot be judged.
pub mod condition;
/// Bytes to a value: JSON, text, number, CBOR, postcard; Sparkplug needs memory, and is read before.
pub mod decode;
/// What an answer, a status or a restart means for a message.
pub mod delivery;
/// What waits for one person, in one message.
pub mod digest;
/// What follows when nobody acts.
pub mod escalation;
/// What an expression gives on one event.
mod evaluation;
/// What came in.
pub mod event;
/// A Jinja expression, read once.
mod expression;
/// Jinja's filters, each with what it may cost.
mod filters;
/// Freely written or as a template.
pub mod form;
/// Several alerts in one message.
pub mod grouping;
/// What the watch wants done, and why.
pub mod history;
/// What tells one alert from another.
pub mod ident;
/// Events in, decisions to the store, then the acknowledgement.
pub mod intake;
/// JSON, and what is wrong with what only begins like it.
pub mod json;
/// What the configuration says about the life of an alert.
pub mod life;
/// One alert: pending, firing, acknowledged, over.
pub mod lifecycle;
/// Pictures and files that an alert carries.
pub mod media;
/// What a message says.
pub mod message;
/// An alert of a rule without a life, as it goes to the store.
pub mod new_alert;
/// A number over time.
pub mod numbers;
/// What an event says about its alert.
pub mod observe;
/// The rows between store and sender.
pub mod outbox;
/// How fast messages may leave.
pub mod pace;
/// Partial reports decide nothing: properties.
#[cfg(test)]
mod partial;
/// What one rule makes of one event.
pub mod policy;
/// A message's template as it runs.
mod program;
/// What quiet hours held back.
pub mod quiet;
/// What Meta refuses, and how it is told.
pub mod refusal;
/// The words, the time, the buttons.
pub mod render;
/// Timed events through the rules, with virtual time.
pub mod replay;
/// Which rules a topic concerns.
pub mod route;
/// What the configuration says about events.
pub mod rule;
/// Which message leaves now.
pub mod sender;
/// What people do not want to hear for a while.
pub mod silence;
/// Sparkplug: metrics by the names that births gave them.
pub mod sparkplug;
/// Where a message stands, and which receipts may move it.
pub mod state;
/// Jinja, strict and bounded.
pub mod template;
/// What a button carries, sealed.
pub mod token;
/// Patterns with named levels, and topics to publish to.
pub mod topic;
/// What rules could not make of events, for the people who can mend it.
pub mod unjudged;
/// Files that are at Meta before their messages leave, and what goes before them meanwhile.
pub mod uploads;
/// All alerts that have a life.
pub mod watch;
/// What a rule says about one event, in every language that it has.
pub mod wording;
/// What messages about an alert say.
pub mod words;

#[cfg(test)]
mod tests {
    use crate::alert::event::{Event, Identity, Source};
    use crate::alert::intake::Judge;
    use crate::config::{Config, Wishes, read};
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
    pub(super) fn site(rules: &str) -> (Config, Judge) {
        let wishes = Wishes { without_secrets: true, ..Wishes::default() };
        let config = read("t.toml", &format!("{SITE}{rules}"), &wishes).expect("good rules");
        let (rules, people) = (config.rules.clone(), config.people.clone());
        let judge = Judge::new(rules, people, config.site.name.clone(), config.site.time_zone.clone());
        (config, judge.expect("compiles"))
    }

    pub(super) fn event(topic: &str, payload: impl Into<bytes::Bytes>, identity: Identity) -> Event {
        Event {
            source: Source::Mqtt,
            topic: topic.into(),
            payload: payload.into(),
            content_type: None,
            identity,
            retained: false,
            expires_in_s: None,
            received_at: MORNING,
            happened_at: None,
        }
    }
}
