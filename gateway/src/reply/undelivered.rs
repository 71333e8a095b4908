//! An alert that reached nobody is news: what the owner is told of it, over what still works.

use crate::alert::alert_key::AlertKey;
use crate::contact::Contact;
use crate::contact::severity::Severity;
use crate::ids::{AlertId, ConnectionName, ContactId};
use crate::outbox::message::{Content, Template};
use crate::reply::context::SiteContext;
use crate::reply::effect::OwnerNotice;
use crate::reply::inbound::AccountNotice;
use crate::reply::owner_notice::{NoticeRoute, told};

/// Under which notices of it are counted.
pub const FIELD: &str = "undelivered";
/// More at once become one message: after an outage of days there may be thousands.
const ONE_BY_ONE: usize = 3;

/// An alert that nobody is known to have got.
#[derive(Debug, Clone)]
pub struct Undelivered {
    pub id: AlertId,
    pub rule: String,
    /// Of an alert with a life: what it is, and which time that it fired.
    pub episode: Option<(AlertKey, u32)>,
    pub connection: ConnectionName,
    /// Its words.
    pub text: String,
    pub templates: Vec<Template>,
    /// To whom it went, and what became of that.
    pub people: Vec<(ContactId, String)>,
    /// The owner was told of it before.
    pub told: bool,
}

/// The notices about those of which the owner has not heard.
#[must_use]
pub fn notices(found: &[Undelivered], site: &SiteContext) -> Vec<OwnerNotice> {
    let news: Vec<&Undelivered> = found.iter().filter(|one| !one.told).collect();
    match news.as_slice() {
        [first, ..] if news.len() > ONE_BY_ONE => vec![notice(first, news.len() - 1, site)],
        news => news.iter().map(|one| notice(one, 0, site)).collect(),
    }
}

/// Of one alert, and of how many others besides.
fn notice(one: &Undelivered, others: usize, site: &SiteContext) -> OwnerNotice {
    let line = first_line(&one.text);
    let why: Vec<String> = one.people.iter().map(|(who, why)| format!("{who}: {why}")).collect();
    let more = if others == 0 { String::new() } else { format!(", and {others} other alerts") };
    let text = format!("nobody got alert {} of rule {} ({line}){more}; {}", one.id, one.rule, why.join("; "));
    let notice = AccountNotice::of(FIELD.to_owned(), Severity::Critical, text);
    let words = |owner: &Contact| words(one, others, owner, site);
    told(site, &one.connection, notice, NoticeRoute::AnotherFirst, &words)
}

fn words(one: &Undelivered, others: usize, owner: &Contact, site: &SiteContext) -> Content {
    let mut people: Vec<&str> = one.people.iter().map(|(id, _)| site.people.name(id)).collect();
    people.dedup();
    let people = people.join(", ");
    let (count, text) = (others.to_string(), first_line(&one.text));
    let blanks = [("site", site.name), ("text", text), ("people", &people), ("count", &count)];
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
