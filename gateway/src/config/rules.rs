//! `[[rule]]` and `[[rule.action]]`.

use std::collections::BTreeSet;
use std::time::Duration;

use super::commands::read_terms;
use super::expressions::{MESSAGE, condition, own_names, words};
use super::people::read_people_names;
use super::section::{At, Section, duration};
use crate::config::alert_lifecycle;
use crate::contact::People;
use crate::contact::language::{Language, Translated};
use crate::contact::severity::Severity;
use crate::event::decode::PayloadFormat;
use crate::event::topic::{TopicPattern, TopicTemplate};
use crate::ids::{ConnectionName, RuleName};
use crate::outbox::button_token::ACTION_MAX;
use crate::outbox::message::{Media, Parameter, Template};
use crate::outbox::message_state::OnUnknown;
use crate::rule::attachment::{Attachment, FileSource, Kind, folder_of};
use crate::rule::definition::{ButtonAction, Rule};
use crate::rule::lifecycle_settings::LifecycleSettings;

/// Three are buttons, more are the rows of a list, whose tenth may be "Read on" (Meta, Interactive list messages).
const ACTIONS_MAX: usize = 9;
/// Of rules that name no connection while the configuration has none: the page offers it.
pub const FIRST_CONNECTION: &str = "main";
/// Meta, Interactive reply buttons messages.
const TITLE_MAX: usize = 20;
/// A day: an older alarm is history.
const EXPIRES: Duration = Duration::from_secs(24 * 3_600);

pub fn read(root: &Section, people: &People, connections: &[ConnectionName]) -> Vec<Rule> {
    let mut names = BTreeSet::new();
    let sections = root.sections("rule", "[[rule]]");
    let rules: Vec<(Rule, Vec<(String, usize)>)> = sections
        .into_iter()
        .filter_map(|section| read_rule(section, people, connections, &mut names))
        .collect();
    for (rule, places) in &rules {
        for (action, (title, offset)) in rule.actions.iter().zip(places) {
            if let Some((looped, _)) = rules.iter().find(|(other, _)| action.topic.may_match(&other.topic)) {
                root.report(
                    *offset,
                    format!("`{title}` publishes to a topic that rule `{}` listens to: it would raise its own alert; use another topic", looped.name),
                );
            }
        }
    }
    let mut rules: Vec<Rule> = rules.into_iter().map(|(rule, _)| rule).collect();
    alert_lifecycle::read_inhibitions(root, &mut rules);
    rules
}

fn read_rule(
    section: Section,
    people: &People,
    connections: &[ConnectionName],
    names: &mut BTreeSet<String>,
) -> Option<(Rule, Vec<(String, usize)>)> {
    let name = section.required("name");
    if let Some(name) = name.as_ref().filter(|name| !names.insert(name.value.clone())) {
        section.report(name.offset, format!("there are two rules `{}`; give each its own name", name.value));
    }
    let topic = section.required_parsed("topic", own_names);
    let when = section.text("when").and_then(|text| condition(&section, "when", text, topic.as_ref()));
    let site = people.locale.language;
    let message =
        section.translated("message", site, |text| words(&section, "message", text, topic.as_ref(), &[]));
    let notify = read_people(&section, "notify", people);
    let connection = read_connection(&section, connections);
    let severity = section.enum_value("severity", &["info", "warning", "critical"], Severity::parse);
    let formats = ["auto", "json", "text", "number", "cbor", "postcard", "sparkplug", "none"];
    let payload = section.enum_value("payload", &formats, PayloadFormat::parse);
    let is_sparkplug = payload == Some(PayloadFormat::Sparkplug);
    if let Some(topic) =
        topic.as_ref().filter(|topic| is_sparkplug && !topic.filter().starts_with("spBv1.0/"))
    {
        section.report(
            section.offset(),
            format!("`payload = \"sparkplug\"` reads spBv1.0/GROUP/TYPE/NODE or …/NODE/DEVICE, and no topic such as {}", topic.as_str()),
        );
    }
    let on_unknown = section.enum_value("on_unknown", &["retry", "hold"], OnUnknown::parse);
    let expires = section.parsed("expires", duration);
    let on_retained = section.bool("on_retained");
    let actions = read_actions(&section, topic.as_ref(), site);
    let attach = section
        .section("attach", "attach = { … }")
        .and_then(|attach| read_attachment(attach, topic.as_ref()));
    let context = alert_lifecycle::Context { topic: topic.as_ref(), when: when.as_deref(), people };
    let life = alert_lifecycle::read(&section, &context);
    let picture = picture(&section, attach.as_ref(), life.as_deref());
    let templates = read_templates(&section, picture.as_ref(), topic.as_ref());
    let buttons = actions.len() + life.as_ref().map_or(0, |life| life.offers.len());
    if buttons > ACTIONS_MAX {
        section.report(section.offset(), "WhatsApp shows at most nine actions and buttons together");
    }
    section.finish();
    let (actions, places) = actions.into_iter().unzip();
    let rule = Rule {
        name: RuleName(name?.value),
        topic: topic?,
        when,
        message: message?,
        templates,
        attach,
        notify: notify?,
        connection: connection?,
        severity: severity.unwrap_or(Severity::Warning),
        payload: payload.unwrap_or(PayloadFormat::Auto),
        on_unknown: on_unknown.unwrap_or(OnUnknown::Retry),
        expires: expires.unwrap_or(EXPIRES),
        on_retained: on_retained.unwrap_or(false),
        actions,
        life,
        request: None, // `config/home_assistant.rs` knows which one takes requests
    };
    Some((rule, places))
}

/// What a message of the rule carries besides its words.
fn picture(
    section: &Section,
    attach: Option<&Attachment>,
    life: Option<&LifecycleSettings>,
) -> Option<Attachment> {
    let has_chart = life.is_some_and(|life| life.chart.is_some());
    if life.is_some() && attach.is_some() {
        let what = match has_chart {
            true => {
                "`chart` is the picture of its alerts, and a message carries one: take `attach` away, or `chart`"
            }
            false => {
                "`attach` goes with single events alone: take it away, or the keys that give alerts a life"
            }
        };
        section.report(section.offset(), what);
    }
    attach.cloned().or_else(|| has_chart.then(Attachment::chart))
}

/// Contacts and teams.
pub fn read_people(section: &Section, key: &'static str, people: &People) -> Option<Vec<String>> {
    let notify = section.strings(key);
    if notify.is_none() && section.has(key) {
        return None; // it is no list, which has been said
    }
    let notify = notify.unwrap_or_default();
    if notify.is_empty() {
        section.report(section.offset(), format!("it concerns nobody; list contacts or teams in `{key}`"));
        return None;
    }
    Some(read_people_names(section, notify, people))
}

pub fn read_connection(section: &Section, connections: &[ConnectionName]) -> Option<ConnectionName> {
    match (section.text("connection"), connections) {
        (Some(name), []) => Some(ConnectionName(name.value)), // to be connected on the page, under this name
        (Some(name), known) => {
            let found = known.iter().find(|known| known.0 == name.value).cloned();
            if found.is_none() {
                section.report(name.offset, format!("there is no connection `{}`", name.value));
            }
            found
        }
        (None, [only]) => Some(only.clone()),
        (None, []) => Some(ConnectionName(FIRST_CONNECTION.to_owned())),
        (None, [..]) => {
            section.report(section.offset(), "there are several connections; name one in `connection`");
            None
        }
    }
}

/// `attach = { kind = "image", from = "payload" }`, or `url = "{{ payload.snapshot }}"`.
fn read_attachment(section: Section, topic: Option<&TopicPattern>) -> Option<Attachment> {
    let kinds = ["image", "video", "audio", "document"];
    let kind = section.enum_value("kind", &kinds, Kind::parse);
    if kind.is_none() {
        section.report(section.offset(), format!("`attach` needs a `kind`: {}", kinds.join(", ")));
    }
    let payload = section.enum_value("from", &["payload"], |_| Some(FileSource::Payload));
    let address = section.text("url").and_then(|text| words(&section, "url", text, topic, &[]));
    let path = section.text("file").and_then(|text| words(&section, "file", text, topic, &[]));
    if path.as_deref().is_some_and(|path| folder_of(path).is_none()) {
        let what = "`file` needs a folder before its first blank, such as \"/srv/motion/{{ payload.name }}\": events must not name others";
        section.report(section.offset(), what);
    }
    let filename = section.text("filename").map(|text| text.value);
    let hosts = section.strings("hosts").unwrap_or_default().into_iter();
    let hosts = hosts.map(|host| host.value.to_ascii_lowercase()).collect();
    let from = match (payload, address, path) {
        (Some(payload), None, None) => Some(payload),
        (None, Some(address), None) => Some(FileSource::Address(address)),
        (None, None, Some(path)) => Some(FileSource::Path(path)),
        (_, _, _) => {
            section.report(
                section.offset(),
                "`attach` takes one of from = \"payload\", url = \"…\" and file = \"…\"",
            );
            None
        }
    };
    section.finish();
    Some(Attachment { kind: kind?, from: from?, filename, hosts })
}

/// `template = { … }`, or several as `[[rule.template]]`. Parameters are a list, or a table where the template names them.
fn read_templates(
    rule: &Section,
    attach: Option<&Attachment>,
    topic: Option<&TopicPattern>,
) -> Vec<Template> {
    let mut templates = Vec::new();
    for section in rule.one_or_more("template", "[[rule.template]]") {
        let name = section.required_parsed("name", |text| {
            let is_name =
                text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
            is_name.then(|| text.to_owned()).ok_or(
                "a template's name has lower-case letters, digits and _ alone, as WhatsApp Manager shows it",
            )
        });
        let language = section.required_parsed("language", |text| {
            let is_language = text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
            is_language
                .then(|| text.to_owned())
                .ok_or("write the language as WhatsApp Manager does: en, en_US, ka")
        });
        let parameters = section.named_texts("parameters").into_iter().filter_map(|(name, text)| {
            let text = words(&section, "parameters", text, topic, &[MESSAGE])?;
            Some(Parameter { name, text })
        });
        let parameters = parameters.collect();
        // Which file it is comes with each event.
        let wants_file = section.bool("header_file").unwrap_or(false);
        let header = attach.filter(|_| wants_file).and_then(|attach| attach.header(Media::Id(String::new())));
        if wants_file && header.is_none() {
            section.report(
                section.offset(),
                "`header_file` needs a `chart` in the rule, or an `attach` of an image, video or document",
            );
        }
        section.finish();
        if let (Some(name), Some(language)) = (name, language) {
            templates.push(Template { name, language, parameters, header, ..Template::default() });
        }
    }
    templates
}

fn read_actions(
    rule: &Section,
    pattern: Option<&TopicPattern>,
    site: Language,
) -> Vec<(ButtonAction, (String, usize))> {
    let sections = rule.sections("action", "[[rule.action]]");
    if sections.len() > ACTIONS_MAX {
        rule.report(
            sections[ACTIONS_MAX].offset(),
            "WhatsApp shows at most nine actions; take this one away",
        );
    }
    let (mut ids, mut titles) = (BTreeSet::new(), BTreeSet::new());
    let mut actions = Vec::new();
    for section in sections {
        let id = section.required_parsed("id", |text| match text.bytes().all(is_id) {
            true if text.len() <= ACTION_MAX => Ok(text.to_owned()),
            true => Err("it is longer than 64 characters; a button has no room for it"),
            false => Err("use letters, digits, - and _ alone"),
        });
        let title = section.translated("title", site, |text| read_title(&section, &text));
        let topic = section.required("topic").zip(pattern).and_then(|(text, pattern)| {
            super::devices::check_action(&section, &text);
            let parsed = TopicTemplate::parse(&text.value, pattern);
            parsed.map_err(|error| section.report(text.offset, format!("`topic`: {error}"))).ok()
        });
        let payload = section.payload().map(|text| text.value);
        let retain = section.bool("retain").unwrap_or(false);
        let words = section.one_or_more_texts("words").into_iter().map(|words| words.value).collect();
        let terms = read_terms(&section, pattern);
        let twice = |value: &String, seen: &mut BTreeSet<String>, key: &str| {
            if !seen.insert(value.to_lowercase()) {
                section
                    .report(section.offset(), format!("two actions of this rule have the {key} `{value}`"));
            }
        };
        id.iter().for_each(|id| twice(id, &mut ids, "id"));
        // In two languages a title may be the same word.
        let each: BTreeSet<&String> = title.iter().flat_map(Translated::all).collect();
        each.into_iter().for_each(|title| twice(title, &mut titles, "title"));
        let offset = section.offset();
        section.finish();
        if let (Some(id), Some(title), Some(topic)) = (id, title, topic) {
            let place = (title.own.clone(), offset);
            let payload = payload.unwrap_or_default();
            actions.push((ButtonAction { id, title, topic, payload, retain, words, terms }, place));
        }
    }
    actions
}

fn read_title(section: &Section, text: &At<String>) -> Option<String> {
    match text.value.encode_utf16().count() {
        0..=TITLE_MAX => Some(text.value.trim().to_owned()),
        length => {
            let what = format!("`title`: it has {length} characters; a WhatsApp button shows {TITLE_MAX}");
            section.report(text.offset, what);
            None
        }
    }
}

fn is_id(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}
