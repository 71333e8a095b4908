//! `[[ask]]`: a machine asks people, and gets exactly one decision.

use std::time::Duration;

use serde_json::json;

use crate::alert::topic::{TopicPattern, TopicTemplate};
use crate::contact::voice::Texts;
use crate::ids::ConnectionName;
use crate::time::Timestamp;

/// How long a decision waits for a broker that is away. A machine that has given up knows by the correlation data which
/// question it was, and by `decided_at` how old it is.
pub const DECISION_KEEPS: Duration = Duration::from_secs(3_600);

/// What the configuration says about a kind of question.
#[derive(Debug, Clone)]
pub struct Question {
    pub name: String,
    pub topic: TopicPattern,
    /// Jinja templates.
    pub text: Texts,
    pub choices: Vec<String>,
    /// Contacts and teams.
    pub who: Vec<String>,
    /// How many of them must choose the same.
    pub answers: u32,
    pub within: Duration,
    /// What is decided when the time is over.
    pub default: String,
    /// For machines whose request names none.
    pub response_topic: Option<TopicTemplate>,
    pub connection: ConnectionName,
}

/// Where a machine wants its answer (MQTT 5, 3.3.2.3.5 and 3.3.2.3.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyTo {
    pub topic: String,
    pub correlation: Option<Vec<u8>>,
}

/// What is published. `by` is a pseudonym, absent when the clock decided.
#[must_use]
pub fn decision(name: &str, choice: &str, by: Option<&str>, at: Timestamp) -> String {
    let reason = if by.is_some() { "answered" } else { "time is up" };
    json!({ "question": name, "decision": choice, "by": by, "reason": reason, "decided_at": at.rfc3339() })
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_says_whether_anybody_made_it() {
        assert_eq!(
            decision("refund", "Deny", None, Timestamp(0)),
            r#"{"by":null,"decided_at":"1970-01-01T00:00:00Z","decision":"Deny","question":"refund","reason":"time is up"}"#
        );
        assert!(decision("refund", "Approve", Some("p-1"), Timestamp(0)).contains(r#""by":"p-1""#));
    }
}
