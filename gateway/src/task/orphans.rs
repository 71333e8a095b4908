//! Rows that a changed configuration has left without an owner: found at the start, and ended with a reason. Whoever
//! was told of it, or waits for it, hears so; whoever is gone gets nothing more.

/// How each ends, and who hears of it.
mod ends;
/// One message that waits again.
mod waits_again;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use sha2::{Digest, Sha256};

pub use ends::end;
pub use waits_again::{came_back, retry};

use crate::alert::alert_key::AlertKey;
use crate::alert::engine::unreachable;
use crate::command::action::{ActionPolicy, ResolvedAction};
use crate::command::approval::Request;
use crate::command::authorise::may;
use crate::command::question::OpenQuestion;
use crate::config::Config;
use crate::contact::Guest;
use crate::event::topic::{TopicPattern, TopicTemplate};
use crate::hex::hex;
use crate::ids::{ConnectionName, ContactId, RuleName};
use crate::outbox::button_token::ButtonSubject;
use crate::outbox::row::Conversation;
use crate::rule::attachment::without_secrets;
use crate::rule::definition::Rule;
use crate::rule::lifecycle_settings::{LifecycleSettings, Target};
use crate::store::{EscalationPost, OpenAlert, QueuedCommand, Result, Running, Store, WaitingAlert};
use crate::time::Timestamp;

/// How a last resort to a topic is named (`store/alerts.rs`).
const LAST_RESORT: &str = ":escalation";

/// Something that goes on and has no owner in the configuration.
#[derive(Debug)]
pub enum Orphan {
    /// No event can end it.
    Alert(Box<OpenAlert>, &'static str),
    /// Its `for` runs, and no event can make it fire.
    Pending(AlertKey, &'static str),
    /// Quiet hours hold this many alerts back for nobody.
    Held(ContactId, usize),
    /// The rule does not tell this person any more, and somebody whom it tells has the same.
    Untold(WaitingAlert),
    /// Messages to somebody who is gone.
    Messages(ContactId, usize),
    /// Messages over a number that is gone.
    Lane(Conversation),
    /// Something that waits for a Yes.
    Request(Box<Request>, &'static str),
    Question(Box<OpenQuestion>),
    /// A question goes on, and this person is not asked any more: number, name.
    Voter(i64, String, ContactId),
    Command(QueuedCommand, &'static str),
    Invitation(Box<Guest>),
    /// A last resort over HTTP.
    Post(EscalationPost),
}

impl fmt::Display for Orphan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alert(one, why) => write!(f, "alert {} ({}) ends: {why}", one.id, one.alert),
            Self::Pending(alert, why) => write!(f, "{alert}, whose `for` runs, will not fire: {why}"),
            Self::Held(contact, lines) => {
                let lines = counted(*lines, "alert");
                write!(f, "{lines} that quiet hours hold back for {contact} will not be told: {CONTACT_GONE}")
            }
            Self::Untold(WaitingAlert { message, rule, contact, .. }) => {
                write!(f, "message {message} of {rule} to {contact} will be cancelled: {UNTOLD}")
            }
            Self::Messages(contact, messages) => {
                let messages = counted(*messages, "message");
                write!(f, "{messages} to {contact} will be cancelled: {CONTACT_GONE}")
            }
            Self::Lane(Conversation { connection, contact }) => write!(
                f,
                "what waits for {contact} over the number {connection} leaves over another: {connection} is not in the configuration any more"
            ),
            Self::Request(request, why) => {
                write!(
                    f,
                    "“{}”, which {} asked for, will not be done: {why}",
                    request.action.title, request.pending.asker
                )
            }
            Self::Question(question) => write!(
                f,
                "question {} ({}) is decided now, `{}`: it is not in the configuration any more",
                question.id, question.name, question.default_choice
            ),
            Self::Voter(id, name, contact) => {
                write!(f, "what asks {contact} about question {id} ({name}) will be cancelled: {NOT_ASKED}")
            }
            Self::Command(command, why) => {
                write!(f, "command {} ({}) will not be published: {why}", command.id, command.name)
            }
            Self::Invitation(guest) => {
                write!(
                    f,
                    "the invitation of {} does not count any more: {} may not invite",
                    guest.name, guest.by
                )
            }
            Self::Post(post) => {
                write!(
                    f,
                    "the last resort of {} is not posted to {}: {STEP_GONE}",
                    post.alert,
                    without_secrets(&post.url)
                )
            }
        }
    }
}

const CONTACT_GONE: &str = "the person is not in the configuration any more";
const UNTOLD: &str = "the rule does not tell this person any more";
const NOT_ASKED: &str = "the person is not asked any more";
const ASKER_GONE: &str = "whoever asked is not in the configuration any more";
const ASKER_MAY_NOT: &str = "whoever asked may not any more";
const GONE: &str = "it is not in the configuration any more";
const CHANGED: &str = "it does something else, or wants other people, in the configuration now";
const STEP_GONE: &str = "its rule has no such step any more";
const NUMBER_GONE: &str = "the number over which it was asked is not in the configuration any more";

/// The sentences about what the next start would end; nothing is written. `None`: there is no database of this version
/// to look at.
pub fn foreseen(config: &Config, now: Timestamp) -> anyhow::Result<Option<Vec<String>>> {
    let Some(store) = Store::open_to_read(&config.site.state_directory)? else { return Ok(None) };
    let live = Config { people: config.people.with(&store.guests()?), ..config.clone() };
    Ok(Some(find(&store, &live, now)?.iter().map(Orphan::to_string).collect()))
}

/// The numbers that there are, with those that were disconnected on the page: what waits for them waits until they are
/// connected again.
fn numbers(store: &Store, config: &Config) -> Result<BTreeSet<ConnectionName>> {
    let kept = store.kept_connections()?.into_iter().map(|kept| ConnectionName(kept.name));
    Ok(config.connections.iter().map(|known| known.name.clone()).chain(kept).collect())
}

/// Ends or moves what waits for a number that was deleted while the daemon runs, and what was asked over it. `config`
/// is without it.
pub fn end_of_number(
    store: &Store,
    config: &Config,
    number: &ConnectionName,
    now: Timestamp,
) -> Result<Vec<String>> {
    let is_of = |orphan: &Orphan| match orphan {
        Orphan::Lane(lane) => lane.connection == *number,
        Orphan::Request(request, _) => request.connection == *number,
        Orphan::Alert(..)
        | Orphan::Pending(..)
        | Orphan::Held(..)
        | Orphan::Untold(..)
        | Orphan::Messages(..)
        | Orphan::Question(..)
        | Orphan::Voter(..)
        | Orphan::Command(..)
        | Orphan::Invitation(..)
        | Orphan::Post(..) => false,
    };
    ends::end_all(store, config, find(store, config, now)?.into_iter().filter(is_of).collect(), now)
}

/// Finds what goes on without an owner. `config` is with the guests.
pub fn find(store: &Store, config: &Config, now: Timestamp) -> Result<Vec<Orphan>> {
    let running = store.running(now)?;
    let (lanes, guests) = (running.lanes.clone(), running.guests.clone());
    let numbers = numbers(store, config)?;
    let mut found = not_asked(store, &running.questions, config)?;
    found.extend(untold(store, config)?);
    found.extend(judge(running, config, &numbers));
    let people: BTreeSet<&ContactId> = lanes.iter().map(|lane| &lane.contact).collect();
    for contact in people.into_iter().filter(|contact| is_gone(contact, config)) {
        let messages = store.waiting_for(contact, guests.contains(contact))?.len();
        found.extend((messages > 0).then(|| Orphan::Messages(contact.clone(), messages)));
    }
    Ok(found)
}

/// Whom each rule may tell.
fn audiences(config: &Config) -> BTreeMap<&RuleName, BTreeSet<ContactId>> {
    config.rules.iter().map(|rule| (&rule.name, config.people.ever(rule.tells()))).collect()
}

/// Changes with whom each rule may tell.
fn audience_word(config: &Config) -> String {
    let mut hash = Sha256::new();
    for (rule, people) in audiences(config) {
        hash.update(format!("{rule}\n"));
        people.iter().for_each(|contact| hash.update(format!(" {contact}\n")));
    }
    hex(&hash.finalize())
}

/// Looked for only when the rules tell others than at the last start: it walks through all that waits. What nobody else would
/// hear of stays: rather the one who was taken off hears of an alert than nobody.
fn untold(store: &Store, config: &Config) -> Result<Vec<Orphan>> {
    if store.audience()?.is_some_and(|word| word == audience_word(config)) {
        return Ok(Vec::new());
    }
    let audiences = audiences(config);
    let mut others = Vec::new();
    store.waiting_alerts(|one| {
        let is_named = audiences.get(&one.rule).is_none_or(|people| people.contains(&one.contact));
        others.extend((!is_named && !is_gone(&one.contact, config)).then_some(one));
    })?;
    let mut found = Vec::new();
    for one in others {
        let Some(people) = audiences.get(&one.rule) else { continue };
        if is_untold(store, &one, people)? {
            found.push(Orphan::Untold(one));
        }
    }
    Ok(found)
}

/// It is for nobody whom the rule tells, and somebody whom it tells has the same.
fn is_untold(store: &Store, one: &WaitingAlert, people: &BTreeSet<ContactId>) -> Result<bool> {
    Ok(!people.contains(&one.contact) && store.told_of(one.alert)?.keys().any(|told| people.contains(told)))
}

/// Questions that go on, with those who are not asked any more and have not been reached.
fn not_asked(store: &Store, questions: &[OpenQuestion], config: &Config) -> Result<Vec<Orphan>> {
    let mut found = Vec::new();
    for question in questions {
        let Some(known) = config.questions.iter().find(|known| known.name == question.name) else { continue };
        let asked = config.people.resolve(&known.who);
        let others =
            question.voters.iter().filter(|voter| !asked.iter().any(|contact| contact.id.0 == **voter));
        for voter in others.map(|voter| ContactId(voter.clone())).filter(|voter| !is_gone(voter, config)) {
            if !store.waiting_to_ask_one(ButtonSubject::Question(question.id), &voter)?.is_empty() {
                found.push(Orphan::Voter(question.id, question.name.clone(), voter));
            }
        }
    }
    Ok(found)
}

/// Strangers get a polite answer, and are in no configuration.
fn is_gone(contact: &ContactId, config: &Config) -> bool {
    !config.people.contacts.contains_key(contact) && !contact.0.starts_with("stranger ")
}

fn judge(running: Running, config: &Config, numbers: &BTreeSet<ConnectionName>) -> Vec<Orphan> {
    let mut found = Vec::new();
    for one in running.alerts {
        found.extend(unwatched(&one, config).map(|why| Orphan::Alert(Box::new(one), why)));
    }
    for (alert, memory) in running.pending {
        let why = unreachable(life(config, &alert.rule), &alert, &memory);
        found.extend(why.map(|why| Orphan::Pending(alert, why)));
    }
    for (contact, held) in running.held.into_iter().filter(|(contact, _)| is_gone(contact, config)) {
        found.push(Orphan::Held(contact, held.lines.len()));
    }
    let knows = |name: &ConnectionName| numbers.contains(name);
    let lanes =
        running.lanes.into_iter().filter(|lane| !knows(&lane.connection) && !config.connections.is_empty());
    found.extend(lanes.filter(|lane| !is_gone(&lane.contact, config)).map(Orphan::Lane));
    for (request, rule) in running.requests {
        let why = undone(&request, rule.as_ref(), config);
        let why = why.or_else(|| (!knows(&request.connection)).then_some(NUMBER_GONE));
        found.extend(why.map(|why| Orphan::Request(Box::new(request), why)));
    }
    let asks = |question: &OpenQuestion| config.questions.iter().any(|known| known.name == question.name);
    let questions = running.questions.into_iter().filter(|question| !asks(question));
    found.extend(questions.map(|question| Orphan::Question(Box::new(question))));
    for command in running.commands {
        found.extend(unwanted(&command, config).map(|why| Orphan::Command(command, why)));
    }
    let may_invite = |guest: &Guest| crate::task::live_config::is_owner(config, &guest.by);
    let invitations = running.invitations.into_iter().filter(|guest| !may_invite(guest));
    found.extend(invitations.map(|guest| Orphan::Invitation(Box::new(guest))));
    let posts = |post: &EscalationPost| {
        steps(config, &post.alert.rule)
            .any(|target| matches!(target, Target::Post { url } if *url == post.url))
    };
    found.extend(running.posts.into_iter().filter(|post| !posts(post)).map(Orphan::Post));
    found
}

fn rule<'a>(config: &'a Config, name: &RuleName) -> Option<&'a Rule> {
    config.rules.iter().map(AsRef::as_ref).find(|rule: &&Rule| rule.name == *name)
}

fn life<'a>(config: &'a Config, name: &RuleName) -> Option<&'a LifecycleSettings> {
    rule(config, name).and_then(|rule| rule.life.as_deref())
}

fn steps<'a>(config: &'a Config, name: &RuleName) -> impl Iterator<Item = &'a Target> {
    life(config, name).into_iter().flat_map(|life| &life.escalate).map(|step| &step.target)
}

/// The reason why nothing ends this alert.
pub fn unwatched(one: &OpenAlert, config: &Config) -> Option<&'static str> {
    match &one.memory {
        Some(memory) => unreachable(life(config, &one.alert.rule), &one.alert, memory).or_else(|| {
            let is_it = memory.firing().is_some() && memory.episode == one.episode;
            (!is_it)
                .then_some("nothing is remembered of it: what still holds is a new alert with its next event")
        }),
        None if life(config, &one.alert.rule).is_none() => {
            Some("its rule is gone, or its alerts have no states any more")
        }
        None => Some("nothing is remembered of it: what still holds is a new alert with its next event"),
    }
}

/// What an id or a name stands for now: topic, payload where it is the same for all, and terms.
fn definition<'a>(
    config: &'a Config,
    of: Option<&RuleName>,
    name: &str,
) -> Option<(&'a TopicTemplate, Option<&'a str>, &'a ActionPolicy)> {
    let actions = of.and_then(|of| rule(config, of)).into_iter().flat_map(|rule| &rule.actions);
    let mut actions = actions.filter(|action| action.id == name);
    let action = actions.next().map(|action| (&action.topic, Some(action.payload.as_str()), &action.terms));
    let spoken = || config.commands.iter().find(|spoken| spoken.name == name && of.is_none());
    let onward = || config.onward.iter().find(|onward| onward.name == name);
    action
        .or_else(|| spoken().map(|spoken| (&spoken.topic, None, &spoken.terms)))
        .or_else(|| onward().map(|onward| (&onward.topic, None, &onward.terms)))
}

fn leads_to(template: &TopicTemplate, topic: &str) -> bool {
    TopicPattern::parse(&template.filter()).is_ok_and(|pattern| pattern.matches(topic).is_some())
}

/// Why what waits for a Yes is not what the configuration means any more.
fn undone(request: &Request, of: Option<&RuleName>, config: &Config) -> Option<&'static str> {
    let (ResolvedAction { name, topic, payload, roles, .. }, pending) = (&request.action, &request.pending);
    let Some(asker) = config.people.contacts.get(&pending.asker) else { return Some(ASKER_GONE) };
    let Some((template, same, terms)) = definition(config, of, name) else { return Some(GONE) };
    let is_same =
        leads_to(template, topic) && same.is_none_or(|same| same == payload) && *roles == terms.roles;
    let is_enough = pending.approvals >= terms.approvals && (pending.confirm || !terms.confirm);
    if !is_same || !is_enough {
        return Some(CHANGED);
    }
    may(asker, &terms.roles, topic).is_err().then_some(ASKER_MAY_NOT)
}

fn unwanted(command: &QueuedCommand, config: &Config) -> Option<&'static str> {
    if command.name == LAST_RESORT {
        let of = command.rule.as_ref();
        let mut targets = of.into_iter().flat_map(|of| steps(config, of));
        let is_step = |target: &Target| matches!(target, Target::Topic { topic, .. } if leads_to(topic, &command.topic));
        return (!targets.any(is_step)).then_some(STEP_GONE);
    }
    if !command.is_asked {
        return None; // a decision: the machine waits for it
    }
    let Some(asker) = config.people.contacts.get(&command.contact) else { return Some(ASKER_GONE) };
    let Some((template, same, terms)) = definition(config, command.rule.as_ref(), &command.name) else {
        return Some(GONE);
    };
    if !leads_to(template, &command.topic) || same.is_some_and(|same| same != command.payload) {
        return Some(CHANGED);
    }
    may(asker, &terms.roles, &command.topic).is_err().then_some(ASKER_MAY_NOT)
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
