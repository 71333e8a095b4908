//! The keys of `[[rule]]` that give its alerts a life, and `[[inhibit_rule]]`.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::expressions::condition;
use super::people::read_people_names;
use super::section::{At, Section, duration};
use crate::alert::lifecycle::CHANGES_MAX;
use crate::contact::People;
use crate::contact::quiet_hours::{HOURS_MAX, QuietHours};
use crate::contact::severity::Severity;
use crate::event::topic::{TopicPattern, TopicTemplate};
use crate::ids::RuleName;
use crate::rule::definition::Rule;
use crate::rule::lifecycle_settings::{
    BuiltInButton, Dedupe, Flapping, Grouping, Inhibition, LifecycleSettings, Step, Target, Unless,
    WorstDirection,
};
use crate::rule::threshold::thresholds;

/// Alertmanager's defaults (alertmanager/docs/configuration.md, `<route>`).
const GROUP_WAIT: Duration = Duration::from_secs(30);
const GROUP_INTERVAL: Duration = Duration::from_secs(5 * 60);
const REPEAT_INTERVAL: Duration = Duration::from_secs(4 * 3_600);
/// 60 messages an hour, each of which may cost, are more than anybody looks at.
const REPEAT_LEAST: Duration = Duration::from_secs(60);
/// Six changes in ten minutes are three alarms with their ends: a fourth tells nobody anything new.
const FLAPPING: Flapping = Flapping { changes: 6, within: Duration::from_secs(600) };
/// What a device sends again after a break comes within a minute or so.
const DEDUPE_WINDOW: Duration = Duration::from_secs(600);
/// Of less nobody needs a picture, and of more each of its 96 parts is two hours.
const CHARTS: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(7 * 24 * 3_600);
/// More steps than a site has people.
const STEPS_MAX: usize = 20;
/// A site, an area, a device, its channel and what it measures, and as many again.
const KEY_MAX: usize = 10;

/// The keys of a life, in the order of the documentation. A rule that has one of them has a life.
const KEYS: [&str; 23] = [
    "key",
    "for",
    "keep_firing_for",
    "resolve_when",
    "resolve_after",
    "send_resolved",
    "repeat_interval",
    "group_by",
    "group_wait",
    "group_interval",
    "flap_changes",
    "flap_window",
    "dedupe_key",
    "dedupe_window",
    "quiet_hours",
    "break_through",
    "escalate",
    "expect",
    "value",
    "window",
    "chart",
    "worst",
    "buttons",
];

/// What the rest of the rule has told so far.
pub struct Context<'a> {
    pub topic: Option<&'a TopicPattern>,
    pub when: Option<&'a str>,
    pub people: &'a People,
}

/// `None` for a rule without any of these keys.
pub fn read(section: &Section, context: &Context) -> Option<Arc<LifecycleSettings>> {
    let has_life = KEYS.iter().filter(|key| section.has(key)).count() > 0;
    let time = |key| section.parsed(key, duration);
    let repeat_interval = section.parsed("repeat_interval", |text| match duration(text)? {
        every if every.is_zero() || every >= REPEAT_LEAST => Ok(every),
        _ => Err("it is told again once a minute at most; \"0s\" is never".to_owned()),
    });
    let expression = |key| section.text(key).and_then(|text| condition(section, key, text, context.topic));
    let key = read_key(section, context.topic);
    let (value, resolve_when, expect) =
        (expression("value"), expression("resolve_when"), read_expect(section));
    let watched = value.as_deref().filter(|_| expect.is_none()); // `when` tells a sign of life there
    let thresholds = watched.map(|value| thresholds(value, context.when, resolve_when.as_deref()));
    let life = LifecycleSettings {
        pending_for: time("for").unwrap_or_default(),
        keep_firing_for: time("keep_firing_for").unwrap_or_default(),
        resolve_when,
        resolve_after: time("resolve_after"),
        send_resolved: section.bool("send_resolved").unwrap_or(true),
        repeat_interval: Some(repeat_interval.unwrap_or(REPEAT_INTERVAL)).filter(|every| !every.is_zero()),
        group: read_grouping(section, context.topic, &key),
        key,
        inhibited_by: Vec::new(),
        flapping: Flapping {
            changes: section.integer("flap_changes", 2..=CHANGES_MAX as u32 - 1).unwrap_or(FLAPPING.changes),
            within: time("flap_window").unwrap_or(FLAPPING.within),
        },
        dedupe: read_dedupe(section, expression("dedupe_key")),
        quiet: read_quiet(section),
        escalate: read_steps(section, context),
        expect,
        chart: read_chart(section, value.is_some()),
        value,
        window: time("window"),
        thresholds: thresholds.unwrap_or_default(),
        worst: section
            .enum_value("worst", &["highest", "lowest"], WorstDirection::parse)
            .unwrap_or_else(|| worst_of(context.when)),
        offers: read_offers(section),
    };
    if !has_life {
        return None;
    }
    let ends = life.resolve_when.is_some() || life.resolve_after.is_some() || life.expect.is_some();
    if context.when.is_none() && !ends {
        let what = "the rule's alerts would never end: add `resolve_when`, `resolve_after` or a `when` that stops holding";
        section.report(section.offset(), what);
    }
    Some(Arc::new(life))
}

/// A threshold from below has its worst at the bottom.
fn worst_of(when: Option<&str>) -> WorstDirection {
    match when {
        Some(when) if when.contains('<') && !when.contains('>') => WorstDirection::Lowest,
        Some(_) | None => WorstDirection::Highest,
    }
}

/// Names of levels, or of what is in `also`.
fn levels(
    section: &Section,
    texts: Vec<At<String>>,
    topic: Option<&TopicPattern>,
    also: &[&str],
) -> Vec<String> {
    for text in &texts {
        let known = topic.is_none_or(|topic| topic.names().any(|name| name == text.value));
        if !known && !also.contains(&text.value.as_str()) {
            let names: Vec<&str> =
                topic.iter().flat_map(|topic| topic.names()).chain(also.iter().copied()).collect();
            let names = if names.is_empty() { "it has none".to_owned() } else { names.join(", ") };
            section.report(
                text.offset,
                format!("`{}` is not a named level of the rule's topic: {names}", text.value),
            );
        }
    }
    texts.into_iter().map(|text| text.value).collect()
}

/// Levels by their names, wildcards, and expressions. Without it every wildcard counts: what comes from another device is
/// another alert.
fn read_key(section: &Section, topic: Option<&TopicPattern>) -> Vec<String> {
    let Some(texts) = section.strings("key") else { return topic.map(every_wildcard).unwrap_or_default() };
    if let Some(surplus) = texts.get(KEY_MAX) {
        section.report(
            surplus.offset,
            format!("`key` has more than {KEY_MAX} parts; who would read such an alert's name?"),
        );
    }
    let is_level =
        |name: &str| topic.is_none_or(|topic| every_wildcard(topic).iter().any(|known| known == name));
    let part = |text: At<String>| {
        if is_level(&text.value) {
            return Some(text.value);
        }
        if crate::event::topic::is_level(&text.value) {
            let known = topic.map(every_wildcard).unwrap_or_default().join(", ");
            let known = if known.is_empty() { "it has none".into() } else { known };
            let what = format!(
                "`{}` is not a level of the rule's topic: {known}; a field of the payload is payload.{0}",
                text.value
            );
            section.report(text.offset, what);
            return None;
        }
        condition(section, "key", text, topic)
    };
    texts.into_iter().filter_map(part).collect()
}

fn every_wildcard(topic: &TopicPattern) -> Vec<String> {
    topic.names().map(str::to_owned).chain(topic.wildcards()).collect()
}

fn read_grouping(section: &Section, topic: Option<&TopicPattern>, key: &[String]) -> Option<Grouping> {
    let by = section.strings("group_by");
    let (wait, interval) =
        (section.parsed("group_wait", duration), section.parsed("group_interval", duration));
    if by.is_none() && (wait.is_some() || interval.is_some()) {
        section.report(
            section.offset(),
            "`group_wait` and `group_interval` need `group_by`; `group_by = []` groups all",
        );
    }
    let is_level = |part: &str| topic.is_some_and(|topic| topic.names().any(|name| name == part));
    let parts = key.iter().map(String::as_str).filter(|part| !is_level(part));
    let also: Vec<&str> = parts.chain(["rule"]).collect();
    Some(Grouping {
        by: levels(section, by?, topic, &also),
        wait: wait.unwrap_or(GROUP_WAIT),
        interval: interval.unwrap_or(GROUP_INTERVAL),
    })
}

fn read_dedupe(section: &Section, key: Option<String>) -> Option<Dedupe> {
    let window = section.parsed("dedupe_window", duration);
    if key.is_none() && window.is_some() && !section.has("dedupe_key") {
        section.report(section.offset(), "`dedupe_window` needs `dedupe_key`, such as \"payload.sequence\"");
    }
    Some(Dedupe { key: key?, window: window.unwrap_or(DEDUPE_WINDOW) })
}

/// `quiet_hours` and `break_through`, of a contact or of a rule.
pub fn read_quiet(section: &Section) -> Option<QuietHours> {
    let through = section.enum_value("break_through", &["info", "warning", "critical"], Severity::parse);
    let hours = section.one_or_more_texts("quiet_hours");
    let texts = hours.iter().map(|text| text.value.as_str());
    let quiet = QuietHours::parse(texts, through.unwrap_or(Severity::Critical));
    if let Some(first) = hours.first().filter(|_| quiet.is_none()) {
        let what = format!(
            "`quiet_hours`: write it as \"22:00-07:00\", or up to {HOURS_MAX} of them as [\"22:00-07:00\", \"13:00-15:00\"]; they must leave some of the day"
        );
        section.report(first.offset, what);
    }
    if through.is_some() && !section.has("quiet_hours") {
        section.report(section.offset(), "`break_through` needs `quiet_hours`, such as \"22:00-07:00\"");
    }
    quiet
}

fn read_expect(section: &Section) -> Option<Duration> {
    let expect = section.section("expect", "expect")?;
    let every = expect.required_parsed("every", duration);
    expect.finish();
    every
}

fn read_chart(section: &Section, has_value: bool) -> Option<Duration> {
    let chart = section.parsed("chart", |text| match duration(text)? {
        span if CHARTS.contains(&span) => Ok(span),
        _ => Err("a picture shows from 1m up to 7d, such as \"6h\"".to_owned()),
    });
    if section.has("chart") && !has_value && !section.has("value") {
        let what = "`chart` draws the number that `value` gives: say which it is, such as value = \"payload.celsius\"";
        section.report(section.offset(), what);
    }
    chart
}

fn read_steps(section: &Section, context: &Context) -> Vec<Step> {
    let sections = section.sections("escalate", "[[rule.escalate]]");
    if let Some(surplus) = sections.get(STEPS_MAX) {
        section
            .report(surplus.offset(), format!("more than {STEPS_MAX} steps; whom should that still reach?"));
    }
    let mut steps: Vec<Step> = Vec::new();
    for step in sections {
        let offset = step.offset();
        let after = step.required_parsed("after", duration);
        let words = ["delivered", "read", "acknowledged", "resolved"];
        let unless = step.enum_value("unless", &words, Unless::parse).unwrap_or(Unless::Acknowledged);
        let target = read_target(&step, context);
        step.finish();
        let (Some(after), Some(target)) = (after, target) else { continue };
        if steps.last().is_some_and(|last| last.after > after) {
            section
                .report(offset, "this step comes before the one above it; put them in the order of `after`");
        }
        steps.push(Step { after, unless, target });
    }
    steps
}

fn read_target(step: &Section, context: &Context) -> Option<Target> {
    let people = step.strings("notify");
    let topic = step.text("topic");
    let payload = step.plain_text("payload");
    step.plain_text("url");
    let url = step.parsed("url", |text| {
        let known = text.starts_with("http://") || text.starts_with("https://");
        known.then(|| text.to_owned()).ok_or("it must begin with http:// or https://")
    });
    match (people, topic, url) {
        (Some(people), None, None) => Some(Target::People(read_people_names(step, people, context.people))),
        (None, Some(topic), None) => {
            super::devices::check_action(step, &topic);
            let parsed = TopicTemplate::parse(&topic.value, context.topic?);
            let topic =
                parsed.map_err(|error| step.report(topic.offset, format!("`topic`: {error}"))).ok()?;
            Some(Target::Topic { topic, payload: payload.map(|text| text.value).unwrap_or_default() })
        }
        (None, None, Some(url)) => Some(Target::Post { url }),
        (None, None, None) if step.has("url") => None, // reported above
        (_, _, _) => {
            step.report(step.offset(), "a step has one of `notify`, `topic` (with `payload`) and `url`");
            None
        }
    }
}

fn read_offers(section: &Section) -> Vec<BuiltInButton> {
    let mut offers = Vec::new();
    for text in section.strings("buttons").unwrap_or_default() {
        let offer = match text.value.as_str() {
            "acknowledge" => Some(BuiltInButton::Acknowledge),
            "resolve" => Some(BuiltInButton::Resolve),
            other => {
                other.strip_prefix("snooze ").and_then(|time| duration(time).ok()).map(BuiltInButton::Snooze)
            }
        };
        match offer {
            Some(offer) => offers.push(offer),
            None => section.report(
                text.offset,
                format!("`{}` is no button; there are acknowledge, resolve and snooze 1h", text.value),
            ),
        }
    }
    offers
}

/// Whether its alerts are told apart, or can be told apart, by this.
fn has_label(rule: &Rule, name: &str) -> bool {
    let in_key = rule.life.as_ref().is_some_and(|life| life.key.iter().any(|part| part == name));
    in_key || rule.topic.names().any(|level| level == name)
}

/// `[[inhibit_rule]]`: while `source` fires, `target` is silent.
pub fn read_inhibitions(root: &Section, rules: &mut [Rule]) {
    let mut found: BTreeMap<RuleName, Vec<Inhibition>> = BTreeMap::new();
    for section in root.sections("inhibit_rule", "[[inhibit_rule]]") {
        let known = |name: &str| rules.iter().find(|rule| rule.name.0 == name);
        let check = |name: &At<String>| match known(&name.value) {
            Some(rule) if rule.life.is_some() => true,
            Some(_) => {
                let what = format!(
                    "rule `{}` has no state to inhibit with: give it `for` or `resolve_when`",
                    name.value
                );
                section.report(name.offset, what);
                false
            }
            None => {
                section.report(name.offset, format!("there is no rule `{}`", name.value));
                false
            }
        };
        let source = section.required("source").filter(&check);
        let targets: Vec<At<String>> =
            section.strings("target").unwrap_or_default().into_iter().filter(&check).collect();
        let equal = section.strings("equal").unwrap_or_default();
        for name in &equal {
            let rules = source.iter().chain(&targets).filter_map(|rule| known(&rule.value));
            for rule in rules.filter(|rule| !has_label(rule, &name.value)) {
                section.report(
                    name.offset,
                    format!("neither the topic nor the `key` of rule `{}` has `{}`", rule.name, name.value),
                );
            }
        }
        if targets.is_empty() {
            section.report(section.offset(), "it inhibits nothing; list rules in `target`");
        }
        section.finish();
        let Some(source) = source else { continue };
        for target in targets {
            found.entry(RuleName(target.value)).or_default().push(Inhibition {
                source: RuleName(source.value.clone()),
                equal: equal.iter().map(|name| name.value.clone()).collect(),
            });
        }
    }
    for rule in rules {
        if let (Some(life), Some(inhibitions)) = (&mut rule.life, found.remove(&rule.name)) {
            Arc::make_mut(life).inhibited_by = inhibitions;
        }
    }
}
