//! Conditions and messages: that they compile, and name what an event has.

use std::collections::BTreeSet;

use super::section::{At, Section, nearest};
use crate::event::topic::TopicPattern;
use crate::rule::error::TemplateError;
use crate::rule::template::{check_condition, check_message, names_in_condition, names_in_message};

/// What every event has, beside the named levels of its topic; numbers over time only where an alert has a life.
const NAMES: [&str; 6] = ["payload", "topic", "site", "value", "previous", "window"];
/// What a template's parameters name beside them: the message.
pub const MESSAGE: &str = "text";
/// A label of every alert in `group_by`.
const RULE: &str = "rule";
/// Words and functions of Jinja, which no expression takes for a level.
const JINJA: [&str; 22] = [
    "and", "or", "not", "in", "is", "if", "elif", "else", "for", "set", "loop", "self", "super", "caller",
    "true", "false", "none", "True", "False", "None", "range", "dict",
];

/// A topic whose levels are called as nothing else is that conditions and messages may name.
pub fn own_names(text: &str) -> Result<TopicPattern, String> {
    let topic = TopicPattern::parse(text).map_err(|error| error.to_string())?;
    let is_taken =
        |name: &&str| NAMES.contains(name) || JINJA.contains(name) || [MESSAGE, RULE].contains(name);
    let taken = topic.names().find(is_taken).map(str::to_owned);
    taken.map_or(Ok(topic), |name| {
        Err(format!(
            "a level cannot be called `{name}`, which means something else in conditions and messages; name it {name}_name, for example"
        ))
    })
}

/// As it is written elsewhere, as Jinja has it, and what was changed; the longer first.
const WORDS: [(&str, &str, &str); 14] = [
    ("{{", " ", "an expression stands without {{ }}"),
    ("}}", " ", "an expression stands without {{ }}"),
    ("&&", " and ", "`and` stands for &&"),
    ("||", " or ", "`or` stands for ||"),
    ("===", "==", "one compares with =="),
    ("!==", "!=", "one compares with !="),
    ("==", "==", ""),
    ("!=", "!=", ""),
    ("<=", "<=", ""),
    (">=", ">=", ""),
    ("=>", ">=", "greater or equal is >="),
    ("<>", "!=", "one compares with !="),
    ("!", "not ", "`not` stands for !"),
    ("=", "==", "one compares with =="),
];

/// The expression in Jinja's words, and what was changed: people know other languages.
fn rewritten(expression: &str) -> (String, BTreeSet<&'static str>) {
    let (mut text, mut changed, mut quote) = (String::new(), BTreeSet::new(), None);
    let mut rest = expression;
    while let Some(letter) = rest.chars().next() {
        match quote {
            None if matches!(letter, '\'' | '"') => quote = Some(letter),
            Some(end) if end == letter => quote = None,
            Some(_) | None => {}
        }
        let word = WORDS.iter().find(|(from, _, _)| rest.starts_with(from));
        let word =
            word.filter(|(from, _, _)| quote.is_none() && (*from != "=" || !ends_with_argument(&text)));
        let Some((from, to, why)) = word else {
            text.push(letter);
            rest = &rest[letter.len_utf8()..];
            continue;
        };
        changed.extend(Some(*why).filter(|why| !why.is_empty()));
        if to.starts_with(' ') {
            text.truncate(text.trim_end().len());
        }
        text += to;
        rest = &rest[from.len()..];
        if to.ends_with(' ') {
            rest = rest.trim_start();
        }
    }
    (text.trim().to_owned(), changed)
}

/// Whether what follows is the value of an argument by its name: `round(precision`.
fn ends_with_argument(text: &str) -> bool {
    let of_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    let before = text.trim_end().trim_end_matches(of_name);
    let is_name = before.len() < text.trim_end().len();
    let call = before.trim_end().strip_suffix('(').map(str::trim_end);
    is_name && (before.trim_end().ends_with(',') || call.is_some_and(|call| call.ends_with(of_name)))
}

/// A sentence for an expression that is right once it is written in Jinja's words.
fn hint(expression: &str) -> Option<String> {
    let (corrected, changed) = rewritten(expression);
    let why: Vec<&str> = changed.into_iter().collect();
    let is_right = !why.is_empty() && check_condition(&corrected).is_ok();
    is_right.then(|| format!("{}: write {corrected}", why.join(", ")))
}

/// An expression: a condition, or what gives a value.
pub fn expression(section: &Section, key: &str, text: At<String>) -> Option<String> {
    compiled(section, key, text, check_condition, hint)
}

/// A text with expressions in `{{ }}`.
pub fn message(section: &Section, key: &str, text: At<String>) -> Option<String> {
    compiled(section, key, text, check_message, |_| None)
}

fn compiled(
    section: &Section,
    key: &str,
    text: At<String>,
    check: impl Fn(&str) -> Result<(), TemplateError>,
    hint: impl Fn(&str) -> Option<String>,
) -> Option<String> {
    match check(&text.value) {
        Ok(()) => Some(text.value),
        Err(error) => {
            let line = if error.line > 1 { format!(" (line {} of it)", error.line) } else { String::new() };
            let hint = hint(&text.value).map(|hint| format!("; {hint}")).unwrap_or_default();
            section.report(text.offset, format!("`{key}` does not compile{line}: {error}{hint}"));
            None
        }
    }
}

/// A message, whose names are those of the rule's events.
pub fn words(
    section: &Section,
    key: &str,
    text: At<String>,
    topic: Option<&TopicPattern>,
    also: &[&str],
) -> Option<String> {
    let (offset, text) = (text.offset, message(section, key, text)?);
    all_known(section, key, &At { value: names_in_message(&text), offset }, topic, also).then_some(text)
}

/// A condition, whose names are those of the rule's events.
pub fn condition(
    section: &Section,
    key: &str,
    text: At<String>,
    topic: Option<&TopicPattern>,
) -> Option<String> {
    let (offset, text) = (text.offset, expression(section, key, text)?);
    all_known(section, key, &At { value: names_in_condition(&text), offset }, topic, &[]).then_some(text)
}

/// With a misspelt name a condition never holds, and a message goes out as a plain one: better told before the alarm.
fn all_known(
    section: &Section,
    key: &str,
    used: &At<BTreeSet<String>>,
    topic: Option<&TopicPattern>,
    also: &[&str],
) -> bool {
    let Some(topic) = topic else { return true }; // its mistake is reported, and hides which names there are
    let known: Vec<&str> = topic.names().chain(NAMES).chain(also.iter().copied()).collect();
    let unknown = used.value.iter().filter(|name| !known.contains(&name.as_str()));
    let report = |name: &String| {
        let advice = match nearest(name, known.iter().copied()) {
            Some(known) => format!("did you mean `{known}`?"),
            None => format!("there are {}; a field of the payload is payload.{name}", known.join(", ")),
        };
        section.report(
            used.offset,
            format!("`{key}` names `{name}`, which no event of this topic has; {advice}"),
        );
    };
    unknown.map(report).count() == 0
}
