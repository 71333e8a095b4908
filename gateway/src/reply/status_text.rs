//! The answer to "status": what goes on.

use crate::contact::language::Locale;
use crate::event::topic::Bindings;
use crate::ids::ContactId;
use crate::reply::context::SiteContext;
use crate::time::Timestamp;

/// An alert that goes on, or was told lately.
#[derive(Debug, Clone)]
pub struct OngoingLine {
    pub rule: String,
    pub bindings: Bindings,
    pub at: Timestamp,
    /// The person who takes care of it, by a contact's id, or a sentence.
    pub care: Option<String>,
    /// It has a life of its own, and goes on now.
    pub is_open: bool,
}

/// The lines of what goes on.
#[must_use]
pub fn status(site: &SiteContext, ongoing: &[OngoingLine], locale: &Locale) -> String {
    let mut lines = vec![format!("{}, {}", site.name, locale.time(site.now))];
    let (open, told): (Vec<&OngoingLine>, Vec<&OngoingLine>) =
        ongoing.iter().partition(|going| going.is_open);
    let has_life = site.rules.iter().any(|rule| rule.life.is_some());
    if !open.is_empty() || has_life {
        lines.push(locale.plain(if open.is_empty() { |s| s.nothing_fires } else { |s| s.now_firing }));
    }
    lines.extend(open.into_iter().map(|going| line(site, going, locale)));
    if !told.is_empty() {
        lines.push(locale.plain(|s| s.told_lately));
    }
    lines.extend(told.into_iter().map(|going| line(site, going, locale)));
    if ongoing.is_empty() && !has_life {
        lines.push(locale.plain(|s| s.none_lately));
    }
    lines.join("\n")
}

fn line(site: &SiteContext, going: &OngoingLine, locale: &Locale) -> String {
    let rule = site.rules.iter().find(|rule| rule.name.0 == going.rule);
    let expects = rule.and_then(|rule| rule.life.as_ref()).is_some_and(|life| life.expect.is_some());
    let at = locale.time(going.at);
    let state = match (going.is_open, expects) {
        (true, true) => locale.say(|s| s.offline_since, &[("at", &at)]),
        (true, false) => locale.say(|s| s.since, &[("at", &at)]),
        (false, _) => at,
    };
    let places: Vec<&str> = going.bindings.values().map(String::as_str).collect();
    let care = going.care.as_ref().map(|care| {
        let person = site.people.contacts.get(&ContactId(care.clone()));
        format!(" 👍 {}", person.map_or(care, |person| &person.name))
    });
    format!("• {} {}: {state}{}", going.rule, places.join(" "), care.unwrap_or_default())
}
