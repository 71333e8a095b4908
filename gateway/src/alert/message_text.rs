//! The text of a rule about one event, in every language that it has.

use std::collections::BTreeMap;
use std::time::Duration;

use minijinja::value::Value;
use serde::{Deserialize, Serialize};

use crate::alert::ignored::{EvaluationFailure, RulePart};
use crate::contact::language::{Language, Locale};
use crate::outbox::message::{Media, Template};
use crate::rule::attachment::StoredFile;
use crate::rule::definition::Rule;
use crate::rule::template::{text, without_event};
use crate::time::Timestamp;

/// What is kept of a message, in characters: it is read in pieces of 4,096, and nobody reads more than a few of them.
const KEPT_MAX: usize = 32 * 1024;
/// A device kept the event for longer than any line takes.
const LATE: Duration = Duration::from_secs(60);

/// Kept with the alert: who is told tomorrow is told in their own language, too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageText {
    /// In the site's language, and for everybody who has no other.
    #[serde(default)]
    pub text: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub others: BTreeMap<Language, String>,
    /// When it happened, where the device could not tell at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub happened_at: Option<Timestamp>,
}

/// The text about one event, and what goes with it.
#[derive(Debug)]
pub struct Said {
    pub wording: MessageText,
    pub templates: Vec<Template>,
    pub file: Option<AttachedFile>,
}

/// A file, and its bytes if it came with the event.
#[derive(Debug)]
pub struct AttachedFile {
    pub media: Media,
    pub kept: Option<StoredFile>,
}

impl MessageText {
    #[must_use]
    pub fn of(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// The rule's messages on this event. A translation that fails falls back to the site's language; nothing does for that.
    pub fn fill(rule: &Rule, context: &Value, flaws: &mut Vec<EvaluationFailure>) -> Option<Self> {
        let mut said = |message: &str| {
            text(message, context)
                .map(|text| cut(readable(&text), KEPT_MAX))
                .map_err(|error| flaws.push(EvaluationFailure::new(RulePart::Message, error)))
                .ok()
        };
        let mut wording = Self::of(said(&rule.message.own)?);
        for (language, message) in &rule.message.others {
            wording.others.extend(said(message).map(|text| (*language, text)));
        }
        Some(wording)
    }

    /// The rule's messages without any event: what they would have from one is `…`.
    #[must_use]
    pub fn unheard(rule: &Rule, context: &Value) -> Self {
        let said = |message: &str| without_event(message, context).filter(|text| !text.trim().is_empty());
        let plain = || format!("⚠ {}: {}", rule.name, rule.topic.as_str());
        let mut wording = Self::of(said(&rule.message.own).unwrap_or_else(plain));
        for (language, message) in &rule.message.others {
            wording.others.extend(said(message).map(|text| (*language, text)));
        }
        wording
    }

    /// An alert begins when we hear of it; what a device could not tell earlier says when it was.
    #[must_use]
    pub fn heard(mut self, happened_at: Timestamp, now: Timestamp) -> Self {
        let is_late = happened_at.is_sane() && happened_at.until(now) >= LATE;
        self.happened_at = is_late.then_some(happened_at);
        self
    }

    #[must_use]
    pub fn in_language(&self, language: Language) -> &str {
        self.others.get(&language).unwrap_or(&self.text)
    }

    /// The whole of it, as this person reads it.
    #[must_use]
    pub fn said(&self, locale: &Locale) -> String {
        let text = self.in_language(locale.language);
        match self.happened_at {
            Some(at) => format!("{text}\n{}", locale.say(|s| s.happened, &[("at", &locale.time(at))])),
            None => text.to_owned(),
        }
    }
}

/// No more than so many characters of a text.
pub(super) fn cut(mut text: String, letters: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(letters) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Without what a terminal would obey and a phone shows as boxes: colours (ECMA-48 5.4: ESC [ … a final byte from @ to ~)
/// and other control characters. Log lines of devices have them.
#[must_use]
pub fn readable(text: &str) -> String {
    let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(|c: char| c.is_control() && !matches!(c, '\n' | '\t')) {
        shown.push_str(&rest[..at]);
        let control = rest[at..].chars().next().map_or(1, char::len_utf8);
        let after = &rest[at + control..];
        let sequence = after.strip_prefix('[').filter(|_| rest[at..].starts_with('\u{1b}'));
        let end =
            sequence.and_then(|of| of.find(|c: char| ('@'..='~').contains(&c)).map(|end| &of[end + 1..]));
        rest = end.unwrap_or(after);
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_control_characters_are_not_shown_to_people() {
        for (text, shown) in [
            ("warm\n\tat -12.5 °C", "warm\n\tat -12.5 °C"),
            ("\u{1b}[1;31m[E][dallas:061]: broken\u{1b}[0m", "[E][dallas:061]: broken"),
            ("a\u{7}b\r\nc\u{0}\u{9f}", "ab\nc"),
            ("\u{1b}[", "["),
            ("\u{1b}]0;title\u{7}x", "]0;titlex"),
        ] {
            assert_eq!(readable(text), shown, "{text:?}");
        }
    }

    #[test]
    fn a_late_event_says_when_it_happened() {
        let now = Timestamp(1_795_242_180_000); // 2026-11-21T06:23:00Z
        let heard =
            |seconds: i64| MessageText::of("it is warm").heard(Timestamp(now.0 - seconds * 1_000), now);
        let german =
            Locale { language: Language::German, zone: crate::time::zone("Europe/Berlin").expect("a zone") };
        assert_eq!(heard(59).said(&Locale::default()), "it is warm");
        assert_eq!(heard(3_600).said(&Locale::default()), "it is warm\nIt happened at 21 Nov, 05:23");
        assert_eq!(heard(3_600).said(&german), "it is warm\nGeschehen: 21. Nov., 06:23");
        assert_eq!(
            MessageText::of("x").heard(Timestamp(5), now).said(&german),
            "x",
            "a clock that was never set"
        );
    }

    #[test]
    fn a_message_without_an_event_leaves_its_blanks_open() {
        let said = |message: &str| {
            let keys = format!(
                "topic = \"pump/heartbeat\"\nnotify = [\"nino\"]\nexpect = {{ every = \"5s\" }}\nmessage = \"{message}\""
            );
            let rules = crate::alert::tests::site(&format!("[[rule]]\nname = \"pump\"\n{keys}")).0.rules;
            let context =
                Value::from(minijinja::value::Serde(serde_json::json!({ "topic": "pump/heartbeat" })));
            MessageText::unheard(&rules[0], &context).text
        };
        assert_eq!(said("The pump is silent"), "The pump is silent");
        assert_eq!(said("{{ payload.name }} at {{ topic }} is silent"), "… at pump/heartbeat is silent");
        assert_eq!(said("{{ payload.celsius | round(1) }}"), "⚠ pump: pump/heartbeat");
        assert_eq!(said("{% if payload.name %}{{ payload.name }}{% endif %}"), "⚠ pump: pump/heartbeat");
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(cut("ბარი".to_owned(), 4), "ბარი");
        assert_eq!(cut("ბარია".to_owned(), 4), "ბარი…");
        let rules =
            "[[rule]]\nname = \"r\"\ntopic = \"t\"\nmessage = \"{{ payload }}\"\nnotify = [\"giorgi\"]";
        let judge = crate::alert::tests::site(rules).1;
        let event =
            crate::alert::tests::event("t", "x".repeat(65_000), crate::event::incoming::Identity::None);
        let decision = judge.decide(event, &mut judge.watch(), crate::alert::tests::MORNING);
        let said = crate::alert::effect::told_once(&decision.effects).remove(0).1.remove(0).0;
        let text = said.text.lines().next().unwrap_or_default(); // without its time
        assert_eq!(text.chars().count(), KEPT_MAX + 1);
    }

    #[test]
    fn people_without_a_language_read_the_sites() {
        let others = BTreeMap::from([(Language::German, "es ist warm".to_owned())]);
        let wording = MessageText { others, ..MessageText::of("it is warm") };
        assert_eq!(wording.in_language(Language::German), "es ist warm");
        assert_eq!(wording.in_language(Language::English), "it is warm");
        let kept = serde_json::to_string(&wording).expect("JSON");
        assert_eq!(kept, r#"{"text":"it is warm","others":{"de":"es ist warm"}}"#);
        assert_eq!(serde_json::from_str::<MessageText>(&kept).expect("read back"), wording);
        assert_eq!(
            serde_json::from_str::<MessageText>(r#"{"text":"x"}"#).expect("as before"),
            MessageText::of("x")
        );
    }
}
