//! `[[ask]]`: questions of machines.

use std::collections::BTreeSet;
use std::time::Duration;

use super::expressions::{own_names, words};
use super::rules::{read_connection, read_people};
use super::section::{At, Section, duration};
use crate::command::question::Question;
use crate::contact::People;
use crate::event::topic::{TopicPattern, TopicTemplate};
use crate::ids::ConnectionName;

/// A customer stands at the till.
const WITHIN: Duration = Duration::from_secs(120);
/// Meta, Interactive reply buttons messages: three buttons of 20 characters.
const CHOICES: std::ops::RangeInclusive<usize> = 2..=3;
const TITLE_MAX: usize = 20;
const ANSWERS_MAX: u32 = 5;

pub fn read(root: &Section, people: &People, connections: &[ConnectionName]) -> Vec<Question> {
    let mut names = BTreeSet::new();
    let sections = root.sections("ask", "[[ask]]");
    sections.into_iter().filter_map(|section| read_one(section, people, connections, &mut names)).collect()
}

fn read_one(
    section: Section,
    people: &People,
    connections: &[ConnectionName],
    names: &mut BTreeSet<String>,
) -> Option<Question> {
    let name = section.required("name");
    if let Some(name) = name.as_ref().filter(|name| !names.insert(name.value.clone())) {
        section
            .report(name.offset, format!("there are two questions `{}`; give each its own name", name.value));
    }
    let topic = section.required_parsed("topic", own_names);
    let site = people.locale.language;
    let text = section.translated("text", site, |text| words(&section, "text", text, topic.as_ref(), &[]));
    let choices = read_choices(&section);
    let who = read_people(&section, "who", people);
    let answers = section.integer("answers", 1..=ANSWERS_MAX).unwrap_or(1);
    let within = section.parsed("within", duration).unwrap_or(WITHIN);
    let default = section.required("default");
    if let Some(default) = default.as_ref().filter(|default| !choices.contains(&default.value)) {
        section.report(
            default.offset,
            format!("`{}` is none of `choices`; the default must be one", default.value),
        );
    }
    let response_topic = section.text("response_topic").zip(topic.as_ref()).and_then(|(text, pattern)| {
        let parsed = TopicTemplate::parse(&text.value, pattern);
        parsed.map_err(|error| section.report(text.offset, format!("`response_topic`: {error}"))).ok()
    });
    let pattern = |text: At<String>| {
        let wrong = |error| section.report(text.offset, format!("`response_topics`: {error}"));
        TopicPattern::parse(&text.value).map_err(wrong).ok()
    };
    let response_topics = section.strings("response_topics").unwrap_or_default().into_iter();
    let response_topics = response_topics.filter_map(pattern).collect();
    let connection = read_connection(&section, connections);
    section.finish();
    Some(Question {
        name: name?.value,
        topic: topic?,
        text: text?,
        choices,
        who: who?,
        answers,
        within,
        default: default?.value,
        response_topic,
        response_topics,
        connection: connection?,
    })
}

fn read_choices(section: &Section) -> Vec<String> {
    let choices = section.strings("choices").unwrap_or_default();
    if !CHOICES.contains(&choices.len()) {
        section.report(section.offset(), "`choices` needs two or three: WhatsApp shows up to three buttons");
    }
    for choice in choices.iter().filter(|choice| choice.value.encode_utf16().count() > TITLE_MAX) {
        section.report(choice.offset, format!("a WhatsApp button shows {TITLE_MAX} characters; shorten it"));
    }
    choices.into_iter().map(|choice| choice.value).collect()
}
