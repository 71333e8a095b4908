//! What goes wrong next. Faults are a list: the first that concerns a request is used.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// As `POST /_simulator/faults` takes it. Everything is optional; `count` absent means until cleared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fault {
    /// How many more requests it concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// Which requests it concerns: `messages` unless given; else a door of the API, as `docs/simulator.md` lists them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// Only messages to this number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// HTTP status instead of 200; alone it answers with an empty body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// A Graph API error with this code, in Meta's form; status 400 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i64>,
    /// A page of HTML instead of JSON.
    pub html: bool,
    /// Seconds in a `Retry-After` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    /// Headers of the answer, for example `X-Business-Use-Case-Usage`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Milliseconds before the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// The message is taken, and the answer never comes.
    pub hang_after_accept: bool,
    /// The message is taken, and the connection is dropped.
    pub reset_after_accept: bool,
    /// The connection is dropped, and the message is not taken.
    pub reset_before_accept: bool,
    /// What happens to the status webhooks of the messages that it concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statuses: Option<Statuses>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Statuses {
    /// None is sent.
    pub drop: bool,
    /// Each is sent this often.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate: Option<u8>,
    /// None after this one: `delivered` is a person without read receipts, `sent` one whose phone is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// Read first, then delivered, then sent.
    pub reorder: bool,
    /// Signed with a wrong secret.
    pub forge: bool,
    /// `failed` with this code instead of delivered and read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_code: Option<i64>,
}

/// The faults that are set.
#[derive(Debug, Default)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// The fault for a message to this number, used up by one.
    pub fn take(&mut self, to: &str) -> Option<Fault> {
        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
        self.use_up(|fault| {
            fault.on.as_deref().is_none_or(|on| on == "messages")
                && fault.to.as_deref().is_none_or(|number| digits(number) == digits(to))
        })
    }

    /// The fault for another request, used up by one.
    pub fn take_on(&mut self, door: &str) -> Option<Fault> {
        self.use_up(|fault| fault.on.as_deref() == Some(door))
    }

    fn use_up(&mut self, concerns: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let at = self.0.iter().position(concerns)?;
        let taken = self.0[at].clone();
        match &mut self.0[at].count {
            Some(0 | 1) => drop(self.0.remove(at)),
            Some(count) => *count -= 1,
            None => {}
        }
        Some(taken)
    }
}
