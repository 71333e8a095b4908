//! `[[ask]]`: a machine asks people, and gets exactly one decision.

use std::time::Duration;

use serde_json::json;

use crate::contact::language::Translated;
use crate::event::topic::{TopicPattern, TopicTemplate};
use crate::ids::ConnectionName;
use crate::time::Timestamp;
use crate::words::word_enum;

/// How long a decision waits for a broker that is away. A machine that has given up knows by the correlation data which
/// question it was, and by `decided_at` how old it is.
pub const DECISION_KEEPS: Duration = Duration::from_secs(3_600);

/// What the configuration says about a kind of question.
#[derive(Debug, Clone)]
pub struct Question {
    pub name: String,
    pub topic: TopicPattern,
    /// Jinja templates.
    pub text: Translated,
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
    /// Where a request may have its answer sent; empty: below the first level of `topic`.
    pub response_topics: Vec<TopicPattern>,
    pub connection: ConnectionName,
}

word_enum! {
    /// Where a question stands.
    QuestionState {
        Open = "open",
        Decided = "decided",
    }
}

/// A question as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenQuestion {
    pub id: i64,
    pub name: String,
    /// By which a repetition is found.
    pub key: Option<String>,
    pub text: String,
    pub choices: Vec<String>,
    pub voters: Vec<String>,
    pub needed: u32,
    pub response_topic: String,
    pub correlation: Option<Vec<u8>>,
    pub default_choice: String,
    pub connection: ConnectionName,
    pub expires_at: Timestamp,
    /// What was decided, once it was.
    pub decision: Option<String>,
}

/// Where a machine wants its answer (MQTT 5, 3.3.2.3.5 and 3.3.2.3.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyTo {
    pub topic: String,
    pub correlation: Option<Vec<u8>>,
}

impl Question {
    /// Why a request may not have its answer there. We publish with our own rights, which whoever asks need not have: the
    /// answer must not become a command, or speak for us. `commands` are the topics that we command on, `ours` beginnings of
    /// topics that are ours.
    pub fn refuses<'a>(
        &self,
        topic: &str,
        mut commands: impl Iterator<Item = &'a TopicTemplate>,
        ours: &[String],
    ) -> Option<&'static str> {
        let Ok(exact) = TopicPattern::parse(topic) else { return Some("it is no topic") };
        if topic.contains(['+', '#', '{', '}']) {
            return Some("it has a wildcard or a bracket");
        }
        if topic.starts_with('$') {
            return Some("topics that begin with $ are the broker's");
        }
        if ours.iter().any(|ours| topic.starts_with(ours.as_str())) {
            return Some("it is one of the gateway's own");
        }
        if commands.any(|command| command.may_match(&exact)) {
            return Some("commands go there");
        }
        let first = |topic: &str| topic.split('/').next().unwrap_or_default().to_owned();
        let is_allowed = match &self.response_topics[..] {
            [] => first(&self.topic.filter()) == first(topic),
            patterns => patterns.iter().any(|pattern| pattern.matches(topic).is_some()),
        };
        (!is_allowed).then_some("the question's `response_topics` do not allow it")
    }
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
    fn an_answer_goes_only_where_its_question_lets_it() {
        let pattern = |text: &str| TopicPattern::parse(text).expect("a pattern");
        let mut question = Question {
            name: "refund".into(),
            topic: pattern("pos/{till}/refund"),
            text: Translated::default(),
            choices: Vec::new(),
            who: Vec::new(),
            answers: 1,
            within: DECISION_KEEPS,
            default: String::new(),
            response_topic: None,
            response_topics: Vec::new(),
            connection: ConnectionName("main".into()),
        };
        let command =
            TopicTemplate::parse("pos/{till}/drawer", &pattern("pos/{till}/refund")).expect("a topic");
        let ours = ["bellwire/".to_owned(), "homeassistant/".to_owned()];
        let refused =
            |question: &Question, topic: &str| question.refuses(topic, [&command].into_iter(), &ours);
        for (topic, why) in [
            ("pos/1/decision", None),
            ("pos/2/decision", None),
            ("site/bar/lock/set", Some("do not allow")),
            ("pos/1/drawer", Some("commands")),
            ("$SYS/broker", Some("broker's")),
            ("bellwire/device/x/command/open", Some("own")),
            ("homeassistant/light/x/config", Some("own")),
            ("pos/+/decision", Some("wildcard")),
            ("pos/#", Some("wildcard")),
            ("", Some("no topic")),
        ] {
            let found = refused(&question, topic);
            assert_eq!(found.is_some(), why.is_some(), "{topic}: {found:?}");
            assert!(found.is_none_or(|found| found.contains(why.unwrap_or_default())), "{topic}: {found:?}");
        }
        question.response_topics = vec![pattern("answers/+")];
        assert_eq!(refused(&question, "answers/1"), None);
        assert!(refused(&question, "pos/1/decision").is_some());
    }

    #[test]
    fn a_decision_says_whether_anybody_made_it() {
        assert_eq!(
            decision("refund", "Deny", None, Timestamp(0)),
            r#"{"by":null,"decided_at":"1970-01-01T00:00:00Z","decision":"Deny","question":"refund","reason":"time is up"}"#
        );
        assert!(decision("refund", "Approve", Some("p-1"), Timestamp(0)).contains(r#""by":"p-1""#));
    }
}
