//! Refusals by Meta, and their words.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// An error of the Cloud API (docs/cloud-api.md 4.1: decide on `code`, show `details`, log `fbtrace_id`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub code: i64,
    pub class: Class,
    /// `error_data.details`, or the message where it is missing.
    pub details: String,
    pub fbtrace_id: Option<String>,
    pub http_status: Option<u16>,
    /// The advice of Meta's table to the operator; empty where a hub refused it, whose details say it.
    pub advice: String,
    /// `Retry-After`, or `estimated_time_to_regain_access`.
    pub retry_after: Option<Duration>,
}

/// The classes of `error_codes.json`, as far as they differ in what we do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Class {
    /// Token expired, revoked, missing.
    Auth,
    /// The token may not do this.
    Permission,
    /// Restricted, locked, unpaid.
    Account,
    /// The number is not registered.
    Registration,
    /// A wrong id in our configuration.
    Config,
    /// This request is wrong.
    Request,
    /// This recipient cannot be reached.
    Recipient,
    /// More than 24 h since the person last wrote (131047).
    Window,
    /// Meta limits messages to this person for a day (131049).
    Limit,
    /// The number's quality is restricted (131048, 131064).
    Quality,
    /// One sender to one recipient too fast (131056): that recipient alone waits.
    PairThrottle,
    /// Too fast for the number or the app: the connection waits.
    Throttle,
    /// A hub takes no more of this severity now (`whatsapp/hub.rs`): what is as severe or less waits.
    HubThrottle,
    /// Meta's side, and the message may have gone out (1, 2, 131000, 131016).
    ServerAmbiguous,
    /// Meta's side, for a minute or so, and nothing went out (131057, 2494100, 133004).
    Maintenance,
    Media,
    Template,
    /// A code that nobody has written down: permanent after two more tries.
    Unknown,
}

/// For what a person has to put right: what is wrong and what to do, in words that stay the same from try to try.
#[must_use]
pub fn for_a_person(refusal: &Refusal) -> Option<String> {
    let Refusal { code, advice, .. } = refusal;
    let details = without_stop(&refusal.details);
    let what = match advice.is_empty() {
        true => format!("The hub refused it: {details}"),
        false => format!("Meta says: code {code}, {details}. What to do: {advice}"),
    };
    match refusal.class {
        Class::Auth
        | Class::Permission
        | Class::Account
        | Class::Registration
        | Class::Config
        | Class::Quality => Some(format!("sending has stopped, and what waits is kept. {what}")),
        Class::Request
        | Class::Recipient
        | Class::Window
        | Class::Limit
        | Class::PairThrottle
        | Class::HubThrottle
        | Class::Throttle
        | Class::ServerAmbiguous
        | Class::Maintenance
        | Class::Media
        | Class::Template
        | Class::Unknown => None,
    }
}

/// One sentence with what Meta said, what to do, and the id that Meta's support asks for.
#[must_use]
pub fn sentence(refusal: &Refusal) -> String {
    let Refusal { code, advice, fbtrace_id, .. } = refusal;
    let details = without_stop(&refusal.details);
    if advice.is_empty() {
        return match refusal.code {
            429 => format!("the hub does not take it now: {details}; it goes out as soon as it does"),
            _ => format!("the hub refused it: {details}"),
        };
    }
    format!(
        "Meta refused it with code {code}: {details}. What to do: {advice}{}",
        trace(fbtrace_id.as_deref())
    )
}

/// Meta ends some of its sentences and not others; ours goes on.
fn without_stop(details: &str) -> &str {
    details.trim_end().trim_end_matches('.')
}

pub(crate) fn trace(fbtrace_id: Option<&str>) -> String {
    fbtrace_id.map(|id| format!(" (fbtrace_id {id})")).unwrap_or_default()
}
