//! `[[command]]`, and what actions and commands have in common: who may, who must agree, how the device answers.

use std::collections::BTreeSet;
use std::time::Duration;

use super::expressions::expression;
use super::section::{At, Section, duration};
use crate::command::action::{ActionPolicy, Expected, TextCommand};
use crate::command::phrase::{Phrase, Values, fold};
use crate::event::topic::{TopicPattern, TopicTemplate};
use crate::outbox::button_token::ACTION_MAX;
use crate::rule::definition::Rule;

/// Two minutes: a command that comes later surprises whoever stands at the machine.
pub const EXPIRES: Duration = Duration::from_secs(120);
/// A device that has not answered by then probably will not, and somebody waits in the cold.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// More people than a shift has.
const APPROVALS_MAX: u32 = 5;

pub fn read(root: &Section, rules: &[Rule]) -> Vec<TextCommand> {
    let (mut names, mut phrases) = (BTreeSet::new(), BTreeSet::new());
    let sections = root.sections("command", "[[command]]");
    let commands: Vec<(TextCommand, usize)> = sections
        .into_iter()
        .filter_map(|section| {
            let offset = section.offset();
            read_command(section, &mut names, &mut phrases).map(|command| (command, offset))
        })
        .collect();
    for (command, offset) in &commands {
        if let Some(looped) = rules.iter().find(|rule| command.topic.may_match(&rule.topic)) {
            let name = &looped.name;
            root.report(*offset, format!("`{}` publishes to a topic that rule `{name}` listens to: it would raise an alert; use another topic", command.name));
        }
    }
    commands.into_iter().map(|(command, _)| command).collect()
}

fn read_command(
    section: Section,
    names: &mut BTreeSet<String>,
    taken: &mut BTreeSet<String>,
) -> Option<TextCommand> {
    let words = section.one_or_more_texts("words");
    if words.is_empty() {
        section.report(
            section.offset(),
            "the command has no `words`; write what people type, such as \"open {door}\"",
        );
    }
    let phrases: Vec<(Phrase, usize)> = words.iter().filter_map(|words| phrase(&section, words)).collect();
    for (phrase, offset) in &phrases {
        if fold(phrase.as_str()).is_some_and(|folded| !taken.insert(folded)) {
            section.report(*offset, format!("“{}” is a command already; use other words", phrase.as_str()));
        }
    }
    let places = places(&section, &phrases);
    let topic = section.required("topic").zip(places.as_ref()).and_then(|(text, places)| {
        let parsed = TopicTemplate::parse(&text.value, places);
        parsed.map_err(|error| section.report(text.offset, format!("`topic`: {error}"))).ok()
    });
    let first = phrases.first().map(|(phrase, _)| phrase.as_str().to_owned()).unwrap_or_default();
    let name = section.text("name").map_or(first, |name| name.value);
    if name.len() > ACTION_MAX || !names.insert(name.clone()) {
        section.report(section.offset(), format!("`{name}` is the name of another command, or longer than {ACTION_MAX} bytes; give it a `name` of its own"));
    }
    let payload = section.payload().map(|text| text.value).unwrap_or_default();
    let retain = section.bool("retain").unwrap_or(false);
    let values = read_values(&section, places.as_ref());
    let terms = read_terms(&section, places.as_ref());
    section.finish();
    let phrases: Vec<Phrase> = phrases.into_iter().map(|(phrase, _)| phrase).collect();
    Some(TextCommand { name, phrases, values, topic: topic?, payload, retain, terms })
}

fn phrase(section: &Section, words: &At<String>) -> Option<(Phrase, usize)> {
    match Phrase::parse(&words.value) {
        Ok(phrase) => Some((phrase, words.offset)),
        Err(error) => {
            section.report(words.offset, format!("`words`: {error}"));
            None
        }
    }
}

/// The places of all phrases as a pattern, for topics to be checked against. Synonyms have the same places.
fn places(section: &Section, phrases: &[(Phrase, usize)]) -> Option<TopicPattern> {
    let of = |phrase: &Phrase| phrase.places().map(str::to_owned).collect::<BTreeSet<_>>();
    let (first, _) = phrases.first()?;
    for (phrase, offset) in phrases.iter().filter(|(phrase, _)| of(phrase) != of(first)) {
        let what = format!(
            "“{}” has not the places of “{}”; each synonym needs the same",
            phrase.as_str(),
            first.as_str()
        );
        section.report(*offset, what);
    }
    let levels: Vec<String> = of(first).into_iter().map(|name| format!("{{{name}}}")).collect();
    TopicPattern::parse(&format!("x/{}", levels.join("/"))).ok()
}

/// `values = { door = ["front", "back"] }`.
fn read_values(section: &Section, places: Option<&TopicPattern>) -> Values {
    let mut values = Values::new();
    for (place, listed) in section.lists("values", "values = { … }") {
        if places.is_some_and(|places| !places.names().any(|known| known == place)) {
            section.report(
                section.offset(),
                format!("`values` has `{place}`, which is no place in `words`; take it away"),
            );
        }
        for value in &listed {
            if value.value.contains(['/', '+', '#', '\0']) {
                section
                    .report(value.offset, "a value becomes a level of a topic: it cannot contain / + or #");
            }
        }
        values.insert(place, listed.into_iter().map(|value| value.value).collect());
    }
    values
}

/// What actions and commands have in common.
pub fn read_terms(section: &Section, pattern: Option<&TopicPattern>) -> ActionPolicy {
    let roles = section.strings("roles").unwrap_or_default().into_iter().map(|role| role.value).collect();
    ActionPolicy {
        roles,
        expires: section.parsed("expires", duration).unwrap_or(EXPIRES),
        confirm: section.bool("confirm").unwrap_or(false),
        approvals: section.integer("approvals", 1..=APPROVALS_MAX).unwrap_or(1),
        answer: section.section("answer", "answer = { … }").map(|answer| read_answer(answer, pattern)),
    }
}

/// `answer = { within = "30s" }` to the response topic, or `{ topic = "…", when = "…" }` of a state.
fn read_answer(section: Section, pattern: Option<&TopicPattern>) -> Expected {
    let topic = section.text("topic").zip(pattern).and_then(|(text, pattern)| {
        let parsed = TopicTemplate::parse(&text.value, pattern);
        parsed.map_err(|error| section.report(text.offset, format!("`topic`: {error}"))).ok()
    });
    let condition = |key| section.text(key).and_then(|text| expression(&section, key, text));
    let (when, refused_when) = (condition("when"), condition("refused_when"));
    let within = section.parsed("within", duration).unwrap_or(ANSWERS_WITHIN);
    if topic.is_some() && when.is_none() {
        section.report(
            section.offset(),
            "`topic` needs `when`: which state of the device means that it is done",
        );
    }
    section.finish();
    Expected { topic, when, refused_when, within }
}
