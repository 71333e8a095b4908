//! What goes on, for whoever asks by "status".

use crate::config::Config;
use crate::contact::language::Locale;
use crate::ids::ContactId;
use crate::store::{OngoingLine, Store};
use crate::time::Timestamp;

/// What is going on, line by line.
pub(crate) fn status(
    store: &Store,
    config: &Config,
    now: Timestamp,
    locale: &Locale,
) -> rusqlite::Result<String> {
    let mut lines = vec![format!("{}, {}", config.site.name, locale.time(now))];
    let going = store.going_on(now)?;
    let (open, told): (Vec<&OngoingLine>, Vec<&OngoingLine>) = going.iter().partition(|going| going.is_open);
    let has_life = config.rules.iter().any(|rule| rule.life.is_some());
    if !open.is_empty() || has_life {
        lines.push(locale.plain(if open.is_empty() { |s| s.nothing_fires } else { |s| s.now_firing }));
    }
    lines.extend(open.into_iter().map(|going| line(config, going, locale)));
    if !told.is_empty() {
        lines.push(locale.plain(|s| s.told_lately));
    }
    lines.extend(told.into_iter().map(|going| line(config, going, locale)));
    if going.is_empty() && !has_life {
        lines.push(locale.plain(|s| s.none_lately));
    }
    Ok(lines.join("\n"))
}

fn line(config: &Config, going: &OngoingLine, locale: &Locale) -> String {
    let rule = config.rules.iter().find(|rule| rule.name.0 == going.rule);
    let expects = rule.and_then(|rule| rule.life.as_ref()).is_some_and(|life| life.expect.is_some());
    let at = locale.time(going.at);
    let state = match (going.is_open, expects) {
        (true, true) => locale.say(|s| s.offline_since, &[("at", &at)]),
        (true, false) => locale.say(|s| s.since, &[("at", &at)]),
        (false, _) => at,
    };
    let places: Vec<&str> = going.bindings.values().map(String::as_str).collect();
    let care = going.care.as_ref().map(|care| {
        let person = config.people.contacts.get(&ContactId(care.clone()));
        format!(" 👍 {}", person.map_or(care, |person| &person.name))
    });
    format!("• {} {}: {state}{}", going.rule, places.join(" "), care.unwrap_or_default())
}
