//! A pattern, a topic, a topic to publish to: one a line.

use bellwire::event::topic::{TopicPattern, TopicTemplate};

use super::text_line;

pub fn topic(data: &[u8]) {
    let Some((pattern, rest)) = text_line(data) else { return };
    let Some((topic, rest)) = text_line(rest) else { return };
    let Ok(pattern) = TopicPattern::parse(pattern) else { return };
    let filter = pattern.filter();
    let bindings = pattern.matches(topic);
    assert_eq!(bindings.is_some(), matches(&filter, topic), "{filter} on {topic}");
    let again = TopicPattern::parse(&filter).expect("a filter is a pattern without names");
    assert_eq!(again.matches(topic).is_some(), bindings.is_some(), "{filter} on {topic}");
    let Some(bindings) = bindings else { return };
    assert_eq!(bindings.len(), pattern.names().count(), "each named level has a value");

    let can_come = !topic.contains(['+', '#', '\0']) && (1..=65_535).contains(&topic.len());
    let Some((template, _)) = text_line(rest).filter(|_| can_come) else { return };
    let Ok(template) = TopicTemplate::parse(template, &pattern) else { return };
    let Some(filled) = template.fill(&bindings) else { return };
    assert!(!filled.contains(['+', '#', '\0']) && (1..=65_535).contains(&filled.len()), "{filled:?}");
    // The look for loops may be too careful, never too lax.
    assert!(template.may_match(&pattern) || pattern.matches(&filled).is_none(), "{filled} is a loop");
}

/// MQTT 5, 4.7, as the standard says it.
fn matches(filter: &str, topic: &str) -> bool {
    fn levels(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            (["#"], _) => true,
            ([first, filter @ ..], [level, topic @ ..]) => {
                (*first == "+" || first == level) && levels(filter, topic)
            }
            (filter, topic) => filter.is_empty() && topic.is_empty(),
        }
    }
    let hidden = topic.starts_with('$') && !filter.starts_with('$');
    let (filter, topic): (Vec<&str>, Vec<&str>) = (filter.split('/').collect(), topic.split('/').collect());
    !hidden && levels(&filter, &topic)
}
