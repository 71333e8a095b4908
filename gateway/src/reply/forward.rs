//! `[[onward]]`: what people write for displays and ticket printers.

use std::collections::BTreeSet;

use minijinja::value::{Serde, Value};
use serde_json::json;

use crate::command::action::{ActionPolicy, ResolvedAction};
use crate::command::phrase::same;
use crate::event::topic::{Bindings, TopicTemplate};
use crate::ids::{AlertId, RuleName};
use crate::rule::template;
use crate::time::Timestamp;

/// A ticket, not a book; a WhatsApp text may have 4,096 characters.
const TEXT_MAX: usize = 1_024;
/// What people are shown of it again.
const TITLE_MAX: usize = 40;

#[derive(Debug, Clone)]
pub struct ForwardRule {
    pub name: String,
    /// Directed text begins with this word.
    pub word: Option<String>,
    /// Or it answers an alert of this rule, and is nothing else.
    pub rule: Option<RuleName>,
    /// Or it is of one of these kinds: location, flow, image, video, audio, document.
    pub takes: BTreeSet<String>,
    pub topic: TopicTemplate,
    /// A Jinja template; without one a JSON object.
    pub payload: Option<String>,
    pub terms: ActionPolicy,
}

/// A message that is sent on.
#[derive(Debug, Clone, Copy)]
pub struct ForwardedMessage<'a> {
    pub text: &'a str,
    pub from: &'a str,
    pub at: Timestamp,
    /// The content besides words: its kind, and what is known of it.
    pub given: Option<(&'a str, &'a serde_json::Value)>,
}

impl ForwardRule {
    /// The text behind the word, if it begins with the word.
    #[must_use]
    pub fn directed<'a>(&self, text: &'a str) -> Option<&'a str> {
        let (first, rest) = text.trim().split_once(char::is_whitespace)?;
        let word = self.word.as_ref()?;
        same(word, first.trim_end_matches(':')).then(|| rest.trim()).filter(|rest| !rest.is_empty())
    }

    /// As a command like any other: with roles, an end and an entry in the audit.
    #[must_use]
    pub fn action(
        &self,
        ticket: ForwardedMessage,
        bindings: &Bindings,
        alert: Option<AlertId>,
    ) -> Option<ResolvedAction> {
        let text = printable(ticket.text);
        let mut facts = json!({ "text": text, "from": ticket.from, "at": ticket.at.rfc3339() });
        if let Some((kind, given)) = ticket.given {
            facts[kind] = given.clone();
            facts["kind"] = kind.into();
        }
        let filled = self.payload.as_ref().and_then(|payload| {
            let context = Value::from(Serde(&facts));
            let filled = template::text(payload, &context).ok()?;
            // Answers of a flow are free text, too. What an installer wrote into the template stays.
            Some(if ticket.given.is_some() { printable(&filled) } else { filled })
        });
        let payload = filled.unwrap_or_else(|| facts.to_string());
        let text = if text.is_empty() { ticket.given.map_or("", |(kind, _)| kind) } else { &text };
        let start: String = text.chars().take(TITLE_MAX).collect();
        let title = format!("{}: {start}", self.name);
        ResolvedAction::new(
            (&self.name, &title),
            (&self.topic, &payload, false),
            &self.terms,
            bindings,
            alert,
        )
    }
}

/// Without control characters but line feeds: a printer obeys the others.
fn printable(text: &str) -> String {
    text.chars().filter(|c| *c == '\n' || !c.is_control()).take(TEXT_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::topic::TopicPattern;
    use std::time::Duration;

    fn printer(payload: Option<&str>) -> ForwardRule {
        let pattern = TopicPattern::parse("x").expect("a pattern");
        ForwardRule {
            name: "printer".into(),
            word: Some("print".into()),
            rule: None,
            takes: BTreeSet::new(),
            topic: TopicTemplate::parse("site/printer", &pattern).expect("a topic"),
            payload: payload.map(str::to_owned),
            terms: ActionPolicy {
                roles: BTreeSet::new(),
                expires: Duration::from_secs(60),
                confirm: false,
                approvals: 1,
                answer: None,
            },
        }
    }

    #[test]
    fn only_what_begins_with_the_word_goes_on() {
        let directed = |text| printer(None).directed(text).map(str::to_owned);
        assert_eq!(directed("Print: two\nlines").as_deref(), Some("two\nlines"));
        assert_eq!(directed("PRINT hello").as_deref(), Some("hello"));
        for text in ["print", "print:  ", "please print hello", "printer hello", "pr\u{200b}int hello"] {
            assert_eq!(directed(text), None, "{text}");
        }
    }

    #[test]
    fn a_printer_gets_no_control_characters() {
        let ticket =
            ForwardedMessage { text: "a\u{1b}@\nb\u{0}", from: "nino", at: Timestamp(0), given: None };
        let payload =
            |onward: ForwardRule| onward.action(ticket, &Bindings::new(), None).expect("a topic").payload;
        assert_eq!(payload(printer(Some("{{ from }}: {{ text }}"))), "nino: a@\nb");
        assert_eq!(payload(printer(None)), r#"{"at":"1970-01-01T00:00:00Z","from":"nino","text":"a@\nb"}"#);
        let long = "x".repeat(5_000);
        let ticket = ForwardedMessage { text: &long, ..ticket };
        let action = printer(Some("{{ text }}")).action(ticket, &Bindings::new(), None).expect("a topic");
        assert_eq!((action.payload.len(), action.title.len()), (TEXT_MAX, TITLE_MAX + "printer: ".len()));
    }
}
