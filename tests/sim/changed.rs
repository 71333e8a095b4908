//! What must hold when a start finds another configuration: what was begun has an owner in it, or an end with a reason; people
//! who heard of an alert hear that it is over; and nobody is written to who is not meant any more.

use std::collections::BTreeSet;
use std::rc::Rc;

use bellwire::config::Config;
use bellwire::contact::Contact;
use bellwire::event::topic::{TopicPattern, TopicTemplate};
use bellwire::ids::{ContactId, MessageId};
use bellwire::outbox::message_state::State;
use bellwire::rule::definition::Rule;
use bellwire::rule::lifecycle_settings::{LifecycleSettings, Target};
use bellwire::time::Timestamp;
use rusqlite::{OptionalExtension, params};
use serde_json::Value;

use crate::Violation;
use crate::check::{Check, DAMAGE};
use crate::rows::Row;

/// A reason that says nothing is none.
const REASON_LENGTH: usize = 10;

/// Something that was begun and has no end yet: its kind, its number or key, and what of it the configuration must still have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Begun {
    kind: &'static str,
    id: String,
    /// By kind: a rule and its key, a name and its topic, or people and numbers.
    of: [String; 5],
}

/// What goes on, kind by kind, as a support person would look for it: number, then up to five words about it.
const LOOKS: [(&str, &str); 8] = [
    ("alert", "SELECT id || '', rule, key, '', '', '' FROM alert WHERE key IS NOT NULL AND state <> 'resolved'"),
    (
        "pending",
        "SELECT key, substr(key, 1, instr(key, char(10)) - 1), substr(key, instr(key, char(10)) + 1), '', '', '' FROM alert_memory
         WHERE kind = 'alert' AND state ->> '$.phase.pending' IS NOT NULL",
    ),
    ("held", "SELECT key, key, '', '', '', '' FROM alert_memory WHERE kind = 'held'"),
    (
        "request",
        "SELECT r.id || '', r.contact, r.deed ->> '$.name', r.deed ->> '$.topic', coalesce(a.rule, ''), r.connection || ' ' || (r.deed ->> '$.roles') FROM request r
         LEFT JOIN alert a ON a.id = r.deed ->> '$.alert' WHERE r.state = 'open'",
    ),
    ("question", "SELECT id || '', name, '', '', '', '' FROM question WHERE state = 'open'"),
    (
        "command",
        "SELECT c.id || '', c.contact, c.action, c.topic, coalesce(a.rule, ''), '' FROM command c LEFT JOIN alert a ON a.id = c.alert
         WHERE c.state = 'queued' AND (c.reply IS NOT NULL OR c.action = ':escalation') AND c.payload NOT LIKE '%' || ?1",
    ),
    ("post", "SELECT id || '', rule, url, '', '', '' FROM post WHERE state = 'queued'"),
    (
        "message",
        "SELECT id || '', contact, connection, '', '', '' FROM message
         WHERE state IN ('queued', 'held', 'unknown') AND digest IS NULL AND contact NOT LIKE 'stranger %'",
    ),
];

impl Check {
    /// What goes on.
    pub fn begun(&self) -> BTreeSet<Begun> {
        let mut found = BTreeSet::new();
        for (kind, look) in LOOKS {
            let mut rows = self.sql.prepare_cached(look).expect("a look");
            let read = |row: &rusqlite::Row| {
                let word = |column| row.get::<_, String>(column);
                Ok(Begun { kind, id: word(0)?, of: [word(1)?, word(2)?, word(3)?, word(4)?, word(5)?] })
            };
            let values: &[&dyn rusqlite::ToSql] = if look.contains("?1") { &[&DAMAGE] } else { &[] };
            found.extend(rows.query_map(values, read).expect("a look").map(|row| row.expect("a row")));
        }
        found
    }

    /// The owner has written this file: the next start finds it.
    pub fn configure(&mut self, config: &Rc<Config>) {
        self.in_time.learn(config);
        self.commanded.known = Some(config.people.contacts.keys().map(|id| id.0.clone()).collect());
        self.watched.configuration_changed();
        self.config = Rc::clone(config);
    }

    /// After a start, before which that was begun.
    pub fn has_started(&mut self, before: &BTreeSet<Begun>, now: Timestamp) -> Result<(), Violation> {
        let config = Rc::clone(&self.config);
        let newest = self.rows.keys().max().copied().unwrap_or_default();
        let after = self.begun();
        if let Some(ghost) = after.iter().find(|one| !is_owned(one, &config)) {
            return Err(format!(
                "changed: this goes on, and the configuration has no place for it: {ghost:?}"
            ));
        }
        for ended in before.difference(&after) {
            self.look_at_end_of(ended, &config, newest, now)?;
            if ended.kind == "alert" {
                self.watched.ended(&ended.of[0], &ended.of[1]);
            }
        }
        self.look_at_audience(&config)
    }

    /// What waits to tell of an alert is for somebody whom its rule tells, or nobody else would hear of it.
    fn look_at_audience(&mut self, config: &Config) -> Result<(), Violation> {
        let waiting = "SELECT m.id, m.contact, a.rule, coalesce(a.state, 'firing'), a.id FROM message m JOIN alert a ON a.id = m.alert
             WHERE m.state IN ('queued', 'held', 'unknown') AND m.digest IS NULL";
        let mut excused = BTreeSet::new();
        {
            let mut waiting = self.sql.prepare_cached(waiting).expect("a look");
            let mut rows = waiting.query([]).expect("a look");
            while let Some(row) = rows.next().expect("a row") {
                let word = |column| row.get::<_, String>(column).expect("a word");
                let (id, contact, rule): (i64, _, _) =
                    (row.get(0).expect("an id"), ContactId(word(1)), word(2));
                let Some(rule) = rule_of(config, &rule) else { continue };
                let people = audience(config, rule);
                if people.contains(&contact) || self.consent.retried.contains(&id) {
                    continue;
                }
                let alert = row.get(4).expect("an id");
                if word(3) == "firing" && self.is_heard_by_some_of(&people, alert) {
                    let rule = &rule.name.0;
                    return Err(format!(
                        "changed: message {id} waits for {contact}, whom {rule} does not tell any more"
                    ));
                }
                excused.insert(id);
            }
        }
        self.excused = excused;
        Ok(())
    }

    /// Whether messages about an alert reached one of these people, or may still.
    fn is_heard_by_some_of(&self, people: &BTreeSet<ContactId>, alert: i64) -> bool {
        let told = "SELECT contact FROM message WHERE alert = ?1 AND state NOT IN ('failed', 'expired', 'cancelled')";
        let mut told = self.sql.prepare_cached(told).expect("a look");
        let mut told = told.query_map([alert], |row| row.get(0).map(ContactId)).expect("a look");
        told.any(|contact| people.contains(&contact.expect("a row")))
    }

    /// It goes on no more, or was changed: its end has a reason, and there was no place for it.
    fn look_at_end_of(
        &self,
        ended: &Begun,
        config: &Config,
        newest: i64,
        now: Timestamp,
    ) -> Result<(), Violation> {
        let wrong = |what: &str| Err(format!("changed: {what}: {ended:?}"));
        let Begun { kind, id, of } = ended;
        let table = |table: &str, states: &str| {
            format!("SELECT reason FROM {table} WHERE id = ?1 AND state IN ({states})")
        };
        let audit = "SELECT detail FROM audit WHERE detail LIKE ?1 || ' ' || ?2 || ':%' OR detail LIKE ?1 || ' ' || ?2 || ' (%'";
        let reason = match *kind {
            "alert" => self.word(&table("alert", "'resolved'"), params![id]),
            "pending" => {
                let records = "SELECT what FROM alert_record WHERE rule = ?1 AND key = ?2 AND at = ?3";
                self.word(records, params![of[0], of[1], now.0])
            }
            // Lines of a list that is for nobody any more, or that another list has.
            "held" => (!config.people.contacts.contains_key(&ContactId(id.clone())))
                .then(|| "the person is gone".to_owned()),
            "request" | "question" => self.word(audit, params![kind, id]),
            "command" => self.word(&table("command", "'refused'"), params![id]),
            "post" => self.word(&table("post", "'failed'"), params![id]),
            _ => self.word("SELECT reason FROM message WHERE id = ?1", params![id]),
        };
        if reason.is_none_or(|reason| reason.len() < REASON_LENGTH) {
            return wrong("this has ended, and nothing says why");
        }
        if *kind != "message" && is_owned(ended, config) {
            return wrong("this has ended, and the configuration has a place for it");
        }
        if *kind == "alert" { self.look_at_news_of(ended, config, newest) } else { Ok(()) }
    }

    /// Who heard of the alert hears that nobody watches it any more, or a record says why not.
    fn look_at_news_of(&self, alert: &Begun, config: &Config, newest: i64) -> Result<(), Violation> {
        let heard = "SELECT DISTINCT contact FROM message WHERE alert = ?1 AND id <= ?2
             AND state IN ('accepted', 'sent', 'delivered', 'read', 'played')";
        let told = "SELECT count(*) FROM message WHERE alert = ?1 AND contact = ?3 AND id > ?2 AND content ->> '$.text' LIKE '⏹%'";
        let quiet = "SELECT count(*) FROM alert_record WHERE rule = ?1 AND key = ?2 AND what = 'not to ' || ?3 || ': quiet hours'";
        let mut people = self.sql.prepare_cached(heard).expect("a look");
        let people =
            people.query_map(params![alert.id, newest], |row| row.get::<_, String>(0)).expect("a look");
        for contact in people.map(|contact| contact.expect("a row")) {
            let is_there = config.people.contacts.contains_key(&ContactId(contact.clone()));
            let hears = self.count(told, params![alert.id, newest, contact]) == 1
                || self.count(quiet, params![alert.of[0], alert.of[1], contact]) > 0;
            if is_there && !hears {
                return Err(format!(
                    "changed: {contact} heard of an alert, and not that it is over: {alert:?}"
                ));
            }
        }
        Ok(())
    }

    /// A request leaves: to somebody whom the configuration has, at that number, about something that is still theirs.
    pub fn is_meant(&self, id: MessageId, body: &[u8]) -> Result<(), Violation> {
        let of = "SELECT m.contact, coalesce(a.rule, ''), coalesce(a.state, 'firing'),
             EXISTS (SELECT 1 FROM message o WHERE o.digest = m.id) OR m.alert IS NULL, coalesce(m.alert, 0)
             FROM message m LEFT JOIN alert a ON a.id = m.alert WHERE m.id = ?1";
        let read = |row: &rusqlite::Row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, String>(2)?,
                row.get::<_, bool>(3)?,
                row.get::<_, i64>(4)?,
            ))
        };
        let (contact, rule, state, is_other, alert) =
            self.sql.prepare_cached(of).and_then(|mut found| found.query_row([id.0], read)).expect("a row");
        let wrong = |what: &str| Err(format!("changed: message {id} to {contact} leaves, {what}"));
        if contact.starts_with("stranger ") {
            return Ok(());
        }
        let Some(person) = self.config.people.contacts.get(&ContactId(contact.clone())) else {
            return wrong("who is not in the configuration any more");
        };
        let body: Value = serde_json::from_slice(body).expect("the request is JSON");
        let to = body["to"].as_str().unwrap_or_default().trim_start_matches('+');
        if to != person.to.address().trim_start_matches('+') {
            return wrong(&format!("to {to}, which is not their number any more"));
        }
        let asks = "SELECT q.name FROM asked a JOIN question q ON a.kind = 'question' AND q.id = a.number
             WHERE a.message = ?1 AND q.state = 'open'";
        if let Some(name) = self.word(asks, [id.0]) {
            let question = self.config.questions.iter().find(|known| known.name == name);
            let who = question.map(|question| self.config.people.resolve(&question.who)).unwrap_or_default();
            if !who.iter().any(|voter| voter.id == person.id) {
                return wrong(&format!("and {name} is not asked of them any more"));
            }
        }
        let Some(rule) = rule_of(&self.config, &rule) else { return Ok(()) };
        let people = audience(&self.config, rule);
        if is_other
            || state != "firing"
            || self.excused.contains(&id.0)
            || self.consent.retried.contains(&id.0)
            || people.contains(&person.id)
            // A failure that came late brought it back, and nobody else would hear of it.
            || !self.is_heard_by_some_of(&people, alert)
        {
            return Ok(());
        }
        wrong(&format!("and rule {} does not tell them any more", rule.name.0))
    }
}

/// How reasons begin with which a start cancels messages.
const UNMEANT: [&str; 6] = [
    "the person is not",
    "the rule does not tell",
    "whoever asked",
    "it is not in the configuration",
    "it does something else",
    "the number over which",
];

impl Check {
    /// Whether a message was cancelled since the configuration has no place for it any more.
    pub(crate) fn is_unmeant(&self, row: &Row) -> bool {
        row.state == State::Cancelled && UNMEANT.iter().any(|reason| row.reason.starts_with(reason))
    }

    fn word(&self, query: &str, values: impl rusqlite::Params) -> Option<String> {
        let mut found = self.sql.prepare_cached(query).expect("a look");
        found.query_row(values, |row| row.get::<_, Option<String>>(0)).optional().expect("a look").flatten()
    }
}

/// Whether the configuration has a place for it.
fn is_owned(begun: &Begun, config: &Config) -> bool {
    let [first, second, third, fourth, fifth] = begun.of.each_ref().map(String::as_str);
    let person = |id: &str| config.people.contacts.get(&ContactId(id.to_owned()));
    match begun.kind {
        "alert" | "pending" => life(config, first).is_some_and(|life| {
            let names: Vec<&str> =
                second.split(' ').filter_map(|part| part.split_once('=')).map(|(name, _)| name).collect();
            names == life.key
        }),
        "held" => person(first).is_some(),
        "request" => fifth.split_once(' ').is_some_and(|(number, roles)| {
            let roles: BTreeSet<String> = serde_json::from_str(roles).expect("a list");
            has_number(config, number)
                && person(first).is_some_and(|asker| may(config, asker, Some(&roles), second, third, fourth))
        }),
        "question" => config.questions.iter().any(|known| known.name == first),
        "command" if second == ":escalation" => steps(config, fourth)
            .any(|target| matches!(target, Target::Topic { topic, .. } if leads_to(topic, third))),
        "command" => person(first).is_some_and(|asker| may(config, asker, None, second, third, fourth)),
        "post" => steps(config, first).any(|target| matches!(target, Target::Post { url } if url == second)),
        _ => person(first).is_some() && has_number(config, second),
    }
}

fn has_number(config: &Config, name: &str) -> bool {
    config.connections.iter().any(|known| known.name.0 == name)
}

fn rule_of<'a>(config: &'a Config, name: &str) -> Option<&'a Rule> {
    config.rules.iter().map(|rule| &**rule).find(|rule| rule.name.0 == name)
}

fn life<'a>(config: &'a Config, name: &str) -> Option<&'a LifecycleSettings> {
    rule_of(config, name).and_then(|rule| rule.life.as_deref())
}

fn steps<'a>(config: &'a Config, name: &str) -> impl Iterator<Item = &'a Target> {
    life(config, name).into_iter().flat_map(|life| &life.escalate).map(|step| &step.target)
}

fn leads_to(template: &TopicTemplate, topic: &str) -> bool {
    TopicPattern::parse(&template.filter()).is_ok_and(|pattern| pattern.matches(topic).is_some())
}

/// Whether this person, among others who may, could still ask for an action of a rule, or a command in words, that does that.
fn may(
    config: &Config,
    asker: &Contact,
    roles: Option<&BTreeSet<String>>,
    name: &str,
    topic: &str,
    of_rule: &str,
) -> bool {
    let actions = rule_of(config, of_rule).into_iter().flat_map(|rule| &rule.actions);
    let actions = actions.filter(|action| action.id == name).map(|action| (&action.topic, &action.terms));
    let commands = config.commands.iter().filter(|command| command.name == name && of_rule.is_empty());
    let mut all = actions.chain(commands.map(|command| (&command.topic, &command.terms)));
    all.any(|(template, terms)| {
        leads_to(template, topic)
            && roles.is_none_or(|roles| *roles == terms.roles)
            && (terms.roles.is_empty() || terms.roles.iter().any(|role| asker.roles.contains(role)))
    })
}

/// Everybody whom a rule may tell, now or at one of its steps.
fn audience(config: &Config, rule: &Rule) -> BTreeSet<ContactId> {
    let steps = steps(config, &rule.name.0).filter_map(|target| match target {
        Target::People(names) => Some(names.as_slice()),
        Target::Topic { .. } | Target::Post { .. } => None,
    });
    let all = std::iter::once(rule.notify.as_slice()).chain(steps);
    all.flat_map(|names| config.people.resolve(names)).map(|contact| contact.id.clone()).collect()
}
