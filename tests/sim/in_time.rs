//! What must hold of what people ask for: it acts when it is read within the time that it may take, by Meta's own time, and not
//! when it is read later; then whoever asked hears that it came too late.

use std::collections::BTreeMap;

use bellwire::config::Config;
use bellwire::time::Timestamp;
use rusqlite::{Connection, Row};

use crate::Violation;

#[derive(Debug)]
pub struct InTime {
    /// How long each action and command may take, in milliseconds.
    lives: BTreeMap<String, i64>,
    /// Which replies have been read, and whether they were refused since they came too late.
    read: BTreeMap<String, bool>,
}

struct Reply {
    wamid: String,
    outcome: String,
    reason: String,
    at: i64,
    /// What it asked for.
    asked: String,
}

impl InTime {
    pub fn new(config: &Config) -> Self {
        let mut own = Self { lives: BTreeMap::new(), read: BTreeMap::new() };
        own.learn(config);
        own
    }

    /// What another configuration has.
    pub fn learn(&mut self, config: &Config) {
        let of_rules =
            config.rules.iter().flat_map(|rule| &rule.actions).map(|action| (&action.id, &action.terms));
        let in_words = config.commands.iter().map(|command| (&command.name, &command.terms));
        let life = |terms: &bellwire::command::action::ActionPolicy| {
            i64::try_from(terms.expires.as_millis()).expect("short")
        };
        self.lives.extend(of_rules.chain(in_words).map(|(name, terms)| (name.clone(), life(terms))));
    }

    /// After a commit: what is new has been read just now. After a power cut it may be read again.
    pub fn look(&mut self, sql: &Connection, now: Timestamp) -> Result<(), Violation> {
        let count: i64 = sql
            .prepare_cached("SELECT count(*) FROM reply")
            .and_then(|mut count| count.query_row([], |row| row.get(0)))
            .expect("a look");
        if usize::try_from(count) == Ok(self.read.len()) {
            return Ok(()); // nothing is new: this is asked after every commit
        }
        let mut read = BTreeMap::new();
        for reply in read_all(sql) {
            let known = self.read.get(&reply.wamid).copied();
            let late = known.map_or_else(|| self.judge(&reply, now), Ok)?;
            read.insert(reply.wamid, late);
        }
        self.read = read;
        Ok(())
    }

    fn judge(&self, reply: &Reply, now: Timestamp) -> Result<bool, Violation> {
        let refused = reply.outcome == "say" && reply.reason.contains(" came too late: ");
        let asked = match reply.outcome.as_str() {
            "command" | "confirm" => reply.asked.as_str(),
            _ if refused => reply.reason.split(' ').next().unwrap_or_default(),
            _ => return Ok(false),
        };
        let Some(life) = self.lives.get(asked) else {
            return Err(format!("P4: {} asked for {asked:?}, which nobody has set up", reply.wamid));
        };
        let age = (now.0 - reply.at).max(0);
        match (refused, age >= *life) {
            (true, false) => {
                Err(format!("P4: {} came too late for {asked}, {age} ms old of {life}", reply.wamid))
            }
            (false, true) => Err(format!("P4: {} acts as {asked}, {age} ms old of {life}", reply.wamid)),
            (late, _) => Ok(late),
        }
    }

    pub fn came_too_late(&self, wamid: &str) -> bool {
        self.read.get(wamid) == Some(&true)
    }
}

fn read_all(sql: &Connection) -> Vec<Reply> {
    let read = |row: &Row| {
        Ok(Reply {
            wamid: row.get(0)?,
            outcome: row.get(1)?,
            reason: row.get(2)?,
            at: row.get(3)?,
            asked: row.get(4)?,
        })
    };
    sql.prepare_cached(
        "SELECT r.wamid, r.outcome, coalesce(r.reason, ''), r.at, coalesce(c.action, q.deed ->> '$.name', '')
         FROM reply r LEFT JOIN command c ON c.reply = r.wamid LEFT JOIN request q ON q.reply = r.wamid",
    )
    .and_then(|mut found| found.query_map([], read)?.collect())
    .expect("a look")
}
