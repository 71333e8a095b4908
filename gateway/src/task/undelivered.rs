//! An alert that reached nobody is news: the owner hears of it over what still works, and its escalation goes on at once.

use std::time::Duration;

use rusqlite::Result;

use crate::alert::engine::AlertCommand;
use crate::config::Config;
use crate::contact::Contact;
use crate::contact::severity::Severity;
use crate::ids::ConnectionName;
use crate::outbox::message::{Content, Template};
use crate::reply::inbound::AccountNotice;
use crate::store::{PreviousNotice, Store, Undelivered};
use crate::task::owner_notice::{self, lane};
use crate::time::Timestamp;

/// As long as another copy is under way somebody may still get it. Most are delivered within seconds; at night every minute
/// counts.
const PATIENCE: Duration = Duration::from_secs(60);
/// More at once become one message: after an outage of days there may be thousands.
const ONE_BY_ONE: usize = 3;
const FIELD: &str = "undelivered";

/// What was told: about which number, in which words.
pub type SentNotices = Vec<(ConnectionName, String)>;

pub fn tell(store: &Store, config: &Config, now: Timestamp) -> Result<SentNotices> {
    if !store.has_undelivered()? || !owner_notice::has_room(store, FIELD, now)? {
        return Ok(Vec::new());
    }
    let found = store.undelivered(now - PATIENCE)?;
    for one in &found {
        if let Some((alert, episode)) = one.episode.clone() {
            store.note(&AlertCommand::Undelivered { alert, episode }, now)?;
        }
        store.settle_undelivered(one.id, now)?;
    }
    let news: Vec<&Undelivered> = found.iter().filter(|one| !one.told).collect();
    let mut said = Vec::new();
    if news.len() <= ONE_BY_ONE {
        for one in &news {
            said.extend(say(store, config, one, 0, now)?);
        }
    } else if let Some(first) = news.first() {
        said.extend(say(store, config, first, news.len() - 1, now)?);
    }
    Ok(said)
}

/// Of one alert, and of how many others besides.
fn say(
    store: &Store,
    config: &Config,
    one: &Undelivered,
    others: usize,
    now: Timestamp,
) -> Result<Option<(ConnectionName, String)>> {
    let line = first_line(&one.text);
    let why: Vec<String> = one.people.iter().map(|(who, why)| format!("{who}: {why}")).collect();
    let more = if others == 0 { String::new() } else { format!(", and {others} other alerts") };
    let text = format!("nobody got alert {} of rule {} ({line}){more}; {}", one.id, one.rule, why.join("; "));
    let notice = AccountNotice::of(FIELD.to_owned(), Severity::Critical, text.clone());
    if store.keep_notice(&one.connection, &notice, now)? != PreviousNotice::Not {
        return Ok(None);
    }
    let other = config.connections.iter().find(|connection| connection.name != one.connection);
    if let Some(over) = other.or(config.connections.first()) {
        for owner in config.people.resolve(&config.site.owner) {
            let content = words(config, one, others, owner);
            store.compose(&lane(over, owner), &owner.to, &content, now)?;
        }
    }
    Ok(Some((one.connection.clone(), text)))
}

fn words(config: &Config, one: &Undelivered, others: usize, owner: &Contact) -> Content {
    let name = |id| config.people.contacts.get(id).map_or(&id.0, |contact| &contact.name).clone();
    let mut people: Vec<String> = one.people.iter().map(|(id, _)| name(id)).collect();
    people.dedup();
    let (site, people) = (&config.site.name, people.join(", "));
    let (count, text) = (others.to_string(), first_line(&one.text));
    let blanks = [("site", site.as_str()), ("text", text), ("people", &people), ("count", &count)];
    let said = match others {
        0 => owner.locale.say(|s| s.nobody_got_it, &blanks),
        _ => owner.locale.say(|s| s.nobody_got_them, &blanks),
    };
    // Outside the owner's 24 h: the rule's template, if all that it wants is words.
    let templates = one.templates.iter().filter_map(|template| with_words(template, &said)).collect();
    Content { templates, ..Content::text(said) }
}

fn with_words(template: &Template, said: &str) -> Option<Template> {
    let [parameter] = template.parameters.as_slice() else { return None };
    let plain =
        template.header.is_none() && template.url_suffix.is_none() && template.quick_replies.is_empty();
    let mut parameter = parameter.clone();
    said.clone_into(&mut parameter.text);
    plain.then(|| Template { parameters: vec![parameter], ..template.clone() })
}

fn first_line(text: &str) -> &str {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
