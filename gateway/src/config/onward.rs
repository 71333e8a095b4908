//! `[[onward]]`: what people write for displays and printers.

use super::commands::read_terms;
use super::expressions::message;
use super::section::Section;
use crate::event::topic::{TopicPattern, TopicTemplate};
use crate::outbox::button_token::ACTION_MAX;
use crate::reply::forward::ForwardRule;
use crate::rule::definition::Rule;

/// As Meta calls them, and the answers of a flow.
const KINDS: [&str; 6] = ["location", "flow", "image", "video", "audio", "document"];

pub fn read(root: &Section, rules: &[Rule]) -> Vec<ForwardRule> {
    root.sections("onward", "[[onward]]").into_iter().filter_map(|section| read_one(section, rules)).collect()
}

fn read_one(section: Section, rules: &[Rule]) -> Option<ForwardRule> {
    let name = section.required("name").filter(|name| name.value.len() <= ACTION_MAX);
    let word = section.text("word");
    if let Some(word) = word.as_ref().filter(|word| word.value.split_whitespace().count() != 1) {
        section.report(word.offset, "`word` is one word, such as \"print\"");
    }
    let about = section.text("rule");
    let rule = about.as_ref().and_then(|about| rules.iter().find(|rule| rule.name.0 == about.value));
    if let Some(about) = about.as_ref().filter(|_| rule.is_none()) {
        section.report(about.offset, format!("there is no rule `{}`", about.value));
    }
    let takes = section.strings("takes").unwrap_or_default();
    for kind in takes.iter().filter(|kind| !KINDS.contains(&kind.value.as_str())) {
        let known = KINDS.join(", ");
        section.report(kind.offset, format!("`{}` is no kind of message; there are {known}", kind.value));
    }
    if !takes.is_empty() && (word.is_some() || about.is_some()) {
        section.report(
            section.offset(),
            "`takes` is for what is no words: give `word` or `rule` an [[onward]] of its own",
        );
    }
    if word.is_none() && about.is_none() && takes.is_empty() {
        section.report(
            section.offset(),
            "it takes nothing: give it a `word` to begin with, the `rule` whose alerts are answered, or what it `takes`",
        );
    }
    let none = TopicPattern::parse("x").ok();
    let pattern = rule.map(|rule| rule.topic.clone()).filter(|_| word.is_none()).or(none);
    let topic = section.required("topic").zip(pattern.as_ref()).and_then(|(text, pattern)| {
        let parsed = TopicTemplate::parse(&text.value, pattern);
        parsed.map_err(|error| section.report(text.offset, format!("`topic`: {error}"))).ok()
    });
    let hears = |topic: &TopicTemplate| rules.iter().find(|rule| topic.may_match(&rule.topic));
    if let Some(looped) = topic.as_ref().and_then(hears) {
        let name = &looped.name;
        section.report(
            section.offset(),
            format!("it publishes to a topic that rule `{name}` listens to: use another topic"),
        );
    }
    let payload = section.text("payload").and_then(|text| message(&section, "payload", text));
    let terms = read_terms(&section, pattern.as_ref());
    section.finish();
    Some(ForwardRule {
        name: name?.value,
        word: word.map(|word| word.value),
        rule: rule.map(|rule| rule.name.clone()),
        takes: takes.into_iter().map(|kind| kind.value).collect(),
        topic: topic?,
        payload,
        terms,
    })
}
