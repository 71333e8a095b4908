//! What must hold of commands (promise P5) and of what devices make of them: each has its ends in their order, whoever asked
//! is told each end once, and no device is quoted that has not said so.

use std::collections::{BTreeMap, BTreeSet};

use bellwire::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use crate::Violation;
use crate::broker::Token;
use crate::check::{Check, DAMAGE};
use crate::ports::Published;
use crate::site::Expected;

/// What a device says: whether it is done, and its words.
pub type Verdict = (bool, Option<String>);

/// A command's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    pub state: String,
    reason: Option<String>,
    /// By when the device is to answer, once it was published.
    pub answer_by: Option<i64>,
    /// The message that asked; empty for an escalation or a machine's question.
    reply: String,
    contact: String,
    title: String,
    /// Where the device's state is seen; without it the device answers to the command's own topic.
    state_topic: Option<String>,
    is_awaited: bool,
}

#[derive(Debug, Default)]
pub struct Commanded {
    commands: BTreeMap<i64, Command>,
    /// What devices have said, by topic.
    said: BTreeMap<String, BTreeSet<Verdict>>,
    /// Which commands waited for a state when it came, by the event.
    awaiting: BTreeMap<u64, Vec<i64>>,
    /// How many ends of a command were to be told.
    ends: BTreeMap<i64, i64>,
    /// Whom the configuration has, when it may change: nobody else is told.
    pub known: Option<BTreeSet<String>>,
}

impl Command {
    /// Its device's state said so, which may be another command's doing: this one need not have come.
    pub fn is_ended_by_a_state(&self) -> bool {
        self.state_topic.is_some() && matches!(self.state.as_str(), "done" | "failed")
    }
}

impl Commanded {
    pub fn says(&mut self, topic: &str, verdict: Option<Verdict>) {
        self.said.entry(topic.to_owned()).or_default().extend(verdict);
    }

    /// The broker has handed the gateway an event.
    pub fn delivered(&mut self, sql: &Connection, token: &Token) {
        if token.publication.expected == Expected::State {
            let commands = read(sql).into_iter();
            let waits = |command: &Command| {
                command.state == "published" && command.state_topic.as_ref() == Some(&token.publication.topic)
            };
            let waiting = commands.filter(|(_, command)| waits(command)).map(|(id, _)| id).collect();
            self.awaiting.insert(token.publication.serial, waiting);
        }
    }

    /// P1: what a device shows of itself is acknowledged when the ends that it means are on disk.
    pub fn state_acknowledged(&mut self, sql: &Connection, serial: u64) -> Result<(), Violation> {
        let commands = read(sql);
        let waits = |id: &&i64| commands.get(id).is_some_and(|command| command.state == "published");
        match self.awaiting.get(&serial).and_then(|waiting| waiting.iter().find(waits)) {
            Some(id) => {
                Err(format!("P1: state {serial} was acknowledged, and command {id} still waits for it"))
            }
            None => Ok(()),
        }
    }

    /// After a commit.
    pub fn look(&mut self, sql: &Connection, now: Timestamp) -> Result<(), Violation> {
        let commands = read(sql);
        for (id, old) in &self.commands {
            match commands.get(id) {
                Some(new) if new.state == old.state => {}
                Some(new) if may_follow(old, new) => {}
                new => return Err(format!("P5: command {id} was {old:?} and is {new:?}")),
            }
        }
        let is_new = |(id, command): &(&i64, &Command)| {
            self.commands.get(id).is_none_or(|old| old.state != command.state)
        };
        let changed: Vec<(&i64, &Command)> = commands.iter().filter(is_new).collect();
        for (id, command) in changed {
            self.look_at_end(sql, *id, command, now)?;
            if self.is_told(command) {
                let was_open = self.commands.get(id).is_some_and(|old| old.state == "published");
                let was_silent = was_open && command.state != "silent" && command.is_told_silent(sql);
                if was_silent && command.answer_by.is_none_or(|by| by > now.0) {
                    return Err(format!(
                        "answers: command {id} was told silent before its time: {command:?}"
                    ));
                }
                // One commit may hold both: the time was over, and then the device answered.
                *self.ends.entry(*id).or_default() += 1 + i64::from(was_silent);
            }
        }
        self.commands = commands;
        Ok(())
    }

    /// Whether somebody asked for it, and hears of this.
    fn is_told(&self, command: &Command) -> bool {
        let is_there = self.known.as_ref().is_none_or(|known| known.contains(&command.contact));
        is_there && !command.reply.is_empty() && !["queued", "published"].contains(&command.state.as_str())
    }

    /// It has just come to this.
    fn look_at_end(
        &self,
        sql: &Connection,
        id: i64,
        command: &Command,
        now: Timestamp,
    ) -> Result<(), Violation> {
        let wrong = |what: &str| Err(format!("answers: command {id} {what}: {command:?}"));
        let verdict = match command.state.as_str() {
            "silent" if command.answer_by.is_none_or(|by| by > now.0) => {
                return wrong("counts as not answered before its time");
            }
            "done" => Some((true, command.reason.clone())),
            "failed" => Some((false, command.reason.clone())),
            _ => None,
        };
        // To its own topic a device has answered this command, on another it has shown its state.
        let own = format!("-{id}");
        let heard = |(topic, said): (&String, &BTreeSet<Verdict>)| {
            let concerns = match &command.state_topic {
                Some(state) => topic == state,
                None => topic.ends_with(&own),
            };
            concerns && verdict.as_ref().is_none_or(|verdict| said.contains(verdict))
        };
        if verdict.is_some() && !self.said.iter().any(heard) {
            return wrong("has an end that no device told");
        }
        if !self.is_told(command) {
            return Ok(());
        }
        match command.told(sql) {
            1 => Ok(()),
            0 => wrong("has an end, and who asked is not told"),
            _ => wrong("has an end, and who asked is told twice"),
        }
    }
}

impl Command {
    /// Whether who asked has heard that no answer came.
    fn is_told_silent(&self, sql: &Connection) -> bool {
        let told = "SELECT count(*) FROM message WHERE content ->> '$.quotes' = ?1 AND content ->> '$.text' LIKE '⏳ %'";
        number(sql, told, params![self.reply]) > 0
    }

    /// How many messages tell this end.
    fn told(&self, sql: &Connection) -> i64 {
        let Self { title, reply, contact, .. } = self;
        let reason = self.reason.as_deref().unwrap_or_default();
        let text = match (self.state.as_str(), &self.reason) {
            ("done", None) => {
                let reaction = "SELECT count(*) FROM message WHERE contact = ?1 AND content ->> '$.part.reaction.to' = ?2";
                return number(sql, reaction, params![contact, reply]);
            }
            ("done", Some(said)) => format!("✅ {title}: {said}"),
            ("failed", _) => format!("❌ {title}: {reason}"),
            ("silent", _) => format!("⏳ {title}: sent, but no answer came. Please look yourself."),
            ("expired", _) => format!("❌ {title} was not done: the broker could not be reached in time."),
            _ => format!("❌ {title} was not done: {reason}."),
        };
        // The configuration has no place for it any more; and over another number nothing can be quoted.
        let taken_out = format!("❌ {title} was not done: it was taken out of the configuration.");
        let told =
            "SELECT count(*) FROM message WHERE contact = ?1 AND coalesce(content ->> '$.quotes', ?2) = ?2
             AND content ->> '$.text' IN (?3, ?4)";
        number(sql, told, params![contact, reply, text, taken_out])
    }
}

/// Which states may follow each other. A device may be faster than the broker's acknowledgement and slower than we wait.
fn may_follow(old: &Command, new: &Command) -> bool {
    let (old_state, new_state) = (old.state.as_str(), new.state.as_str());
    match (old_state, new_state) {
        ("queued", "published" | "refused" | "expired") => true,
        ("published", "silent" | "done" | "failed") | ("queued" | "silent", "done" | "failed") => {
            new.is_awaited
        }
        // It was published, and its acknowledgement was lost; a state on a topic may be anything by then.
        ("expired" | "refused", "done" | "failed") => new.is_awaited && new.state_topic.is_none(),
        (_, _) => false,
    }
}

impl Check {
    /// P5: never after its time, and never again once the broker's answer has come.
    pub fn publish(&mut self, command: &Published, now: Timestamp) -> Result<(), Violation> {
        let id = command.id;
        if command.payload.contains(DAMAGE) {
            return Err(format!("P2: command {id} is damaged on disk, and is published"));
        }
        let found = self
            .sql
            .query_row("SELECT expires_at, state, changed_at FROM command WHERE id = ?1", [id.0], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
            })
            .optional()
            .expect("a look");
        let Some((expires_at, state, changed_at)) = found else {
            return Err(format!("P5: command {id} is published, and it is not on disk"));
        };
        if expires_at <= now.0 {
            return Err(format!("P5: command {id} is published {} ms after its time", now.0 - expires_at));
        }
        // An alert of every area at once, as a changed rule may have it, is of the last one that it heard of.
        let of = "SELECT e.topic FROM command c JOIN alert a ON a.id = c.alert JOIN event e ON e.id = a.event
             WHERE c.id = ?1 AND a.key IS NOT ''";
        let alarm = self.sql.query_row(of, [id.0], |row| row.get::<_, String>(0)).optional().expect("a look");
        let area = |topic: &str| topic.split('/').nth(1).map(str::to_owned);
        if alarm.as_ref().is_some_and(|topic| area(topic) != area(&command.topic)) {
            return Err(format!("P5: command {id} goes to {}, and its alert is of {alarm:?}", command.topic));
        }
        // A command whose PUBACK was lost, and that was loaded in the instant in which its device's answer came, goes again:
        // that is QoS 1.
        let has_just_ended = matches!(state.as_str(), "done" | "failed") && changed_at == now.0;
        if (state != "queued" && !has_just_ended) || self.answered.contains(&id.0) {
            return Err(format!("P5: command {id} is published again, and it is {state}"));
        }
        Ok(())
    }

    pub fn commands(&self) -> BTreeMap<i64, Command> {
        read(&self.sql)
    }

    /// At the end: who asked has heard of each end once.
    pub fn judge_commands(&self) -> Result<(), Violation> {
        for (id, ends) in &self.commanded.ends {
            let Some(command) = self.commanded.commands.get(id) else { continue };
            let told = "SELECT count(*) FROM message m, (SELECT replace(content ->> '$.text', ?2, '') AS text, id FROM message) t
                 WHERE m.id = t.id AND (content ->> '$.part.reaction.to' = ?1 OR (content ->> '$.quotes' = ?1 AND
                 (text LIKE '✅ ' || ?3 || ':%' OR text LIKE '❌ ' || ?3 || ':%' OR text LIKE '❌ ' || ?3 || ' was not done:%'
                 OR text LIKE '⏳ ' || ?3 || ': sent%')))";
            let told = self.count(told, params![command.reply, DAMAGE, command.title]);
            // Over another number, where theirs is gone, nothing can be quoted or marked; two of one title are not told apart there.
            let elsewhere = "SELECT count(*) FROM message m, command c WHERE c.id = ?1 AND m.contact = c.contact AND m.connection <> c.connection
                 AND content ->> '$.quotes' IS NULL AND instr(content ->> '$.text', ?2) > 0";
            let elsewhere = self.count(elsewhere, params![id, command.title]);
            if told > *ends || told + elsewhere < *ends {
                return Err(format!(
                    "answers: command {id} has {ends} ends, and {told} were told: {command:?}"
                ));
            }
        }
        Ok(())
    }
}

fn read(sql: &Connection) -> BTreeMap<i64, Command> {
    let columns = "id, state, reason, CASE WHEN answer IS NULL THEN NULL ELSE answer_by END, coalesce(reply, ''), contact, title,
         answer ->> '$.topic', answer IS NOT NULL";
    let mut found = sql.prepare_cached(&format!("SELECT {columns} FROM command")).expect("a look");
    let read = |row: &rusqlite::Row| {
        let command = Command {
            state: row.get(1)?,
            reason: row.get(2)?,
            answer_by: row.get(3)?,
            reply: row.get(4)?,
            contact: row.get(5)?,
            title: row.get(6)?,
            state_topic: row.get(7)?,
            is_awaited: row.get(8)?,
        };
        Ok((row.get(0)?, command))
    };
    found.query_map([], read).expect("a look").map(|row| row.expect("a row")).collect()
}

fn number(sql: &Connection, query: &str, values: impl rusqlite::Params) -> i64 {
    sql.prepare_cached(query)
        .and_then(|mut query| query.query_row(values, |row| row.get(0)))
        .expect("a count")
}
