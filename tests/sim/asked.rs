//! What must hold of all that is asked: commands that need a Yes, or two people's, and questions of machines. Nobody's word
//! counts who did not say it, nothing is done without enough of them, and each has one end.

use std::collections::{BTreeMap, BTreeSet};

use bellwire::time::Timestamp;
use rusqlite::Connection;

use crate::Violation;
use crate::site::person;

/// Who says what about which thing: `r7` for a request, `q3` for a question, as in the buttons.
type Said = (String, String, String);

#[derive(Debug, Default)]
pub struct Asked {
    /// What people have tapped or written, whether it counts or not.
    said: BTreeSet<Said>,
    requests: BTreeMap<i64, String>,
    decisions: BTreeMap<i64, Option<String>>,
    /// The last entry of the audit, in which each change of these stands.
    audited: i64,
}

#[derive(Debug)]
struct Request {
    id: i64,
    asker: String,
    confirm: bool,
    approvals: u32,
    agreed: Vec<String>,
    expires_at: i64,
    state: String,
}

#[derive(Debug)]
struct Question {
    id: i64,
    needed: i64,
    expires_at: i64,
    default: String,
    decision: Option<String>,
}

impl Asked {
    pub fn say(&mut self, by: &str, subject: &str, word: &str) {
        self.said.insert((by.to_owned(), subject.to_owned(), word.to_lowercase()));
    }

    fn has_said(&self, by: &str, subject: &str, word: &str) -> bool {
        self.said.contains(&(person(by).to_owned(), subject.to_owned(), word.to_lowercase()))
    }

    /// After a commit.
    pub fn look(&mut self, sql: &Connection, now: Timestamp) -> Result<(), Violation> {
        let audited = number(sql, "SELECT coalesce(max(id), 0) FROM audit");
        if audited == self.audited {
            return Ok(());
        }
        self.audited = audited;
        let requests = requests(sql);
        for request in &requests {
            self.look_at_request(sql, request, now)?;
        }
        self.requests = requests.into_iter().map(|request| (request.id, request.state)).collect();
        let questions = questions(sql);
        for question in &questions {
            self.look_at_question(sql, question, now)?;
        }
        self.decisions = questions.into_iter().map(|question| (question.id, question.decision)).collect();
        let wrong = [
            (
                "a request is done without its command, or the other way round",
                "SELECT count(*) FROM request r WHERE (state = 'done') <> EXISTS (SELECT 1 FROM command c WHERE c.reply = r.reply)",
            ),
            (
                "a command that needs a Yes was never asked about",
                "SELECT count(*) FROM command c WHERE action IN ('gate', 'horn') AND NOT EXISTS (SELECT 1 FROM request r WHERE r.reply = c.reply)",
            ),
            (
                "a machine's question has no decision, or two",
                "SELECT (SELECT count(*) FROM command WHERE topic LIKE 'pos/%/decision') <> (SELECT count(*) FROM question WHERE state = 'decided')",
            ),
            // Under another name it is another question, which knows nothing of the one before: that one has its end.
            (
                "a question is asked twice",
                "SELECT count(*) FROM question a JOIN question b ON b.text = a.text AND b.id > a.id
                 WHERE b.name = a.name OR a.state = 'open'",
            ),
        ];
        for (what, query) in wrong {
            if number(sql, query) > 0 {
                return Err(format!("asked: {what}"));
            }
        }
        Ok(())
    }

    fn look_at_request(&self, sql: &Connection, request: &Request, now: Timestamp) -> Result<(), Violation> {
        let subject = format!("r{}", request.id);
        let before = self.requests.get(&request.id).map_or("open", String::as_str);
        let wrong = |what: &str| Err(format!("asked: {subject} {what}: {request:?}, before: {before}"));
        if before != "open" && before != request.state {
            return wrong("has two ends");
        }
        for name in &request.agreed {
            let asked_for_it = *name == request.asker && !request.confirm;
            if !asked_for_it && !self.has_said(name, &subject, "yes") {
                return wrong("counts the Yes of somebody who never said it");
            }
        }
        let is_new = before != request.state;
        match request.state.as_str() {
            "done" if request.agreed.len() < request.approvals as usize => {
                wrong("is done, and too few want it")
            }
            "done" if !request.agreed.contains(&request.asker) => {
                wrong("is done, and who asked has not confirmed")
            }
            "expired"
                if is_new && request.expires_at > now.0 && !was_taken_out(sql, "request", request.id) =>
            {
                wrong("has expired before its time")
            }
            "declined" if !self.said.iter().any(|(_, about, word)| *about == subject && word == "no") => {
                wrong("is declined, and nobody said No")
            }
            _ => Ok(()),
        }
    }

    fn look_at_question(
        &self,
        sql: &Connection,
        question: &Question,
        now: Timestamp,
    ) -> Result<(), Violation> {
        let subject = format!("q{}", question.id);
        let before = self.decisions.get(&question.id).cloned().flatten();
        let wrong = |what: &str| Err(format!("asked: {subject} {what}: {question:?}, before: {before:?}"));
        if before.is_some() && before != question.decision {
            return wrong("is decided twice");
        }
        let votes = votes(sql, question.id);
        if votes.iter().any(|(by, choice)| !self.has_said(by, &subject, choice)) {
            return wrong("counts the vote of somebody who never gave it");
        }
        let Some(decision) = &question.decision else { return Ok(()) };
        let count = votes.iter().filter(|(_, choice)| choice == decision).count();
        let is_theirs = i64::try_from(count).unwrap_or(i64::MAX) >= question.needed;
        let is_time = question.expires_at <= now.0 || was_taken_out(sql, "question", question.id);
        let by_the_clock = *decision == question.default && is_time;
        if before.is_none() && !is_theirs && !by_the_clock {
            return wrong("is decided by nobody, before its time");
        }
        Ok(())
    }
}

/// Whether the audit says that the configuration has no place for it any more.
fn was_taken_out(sql: &Connection, what: &str, id: i64) -> bool {
    let taken = format!(
        "SELECT count(*) FROM audit WHERE what = 'expired' AND detail LIKE '{what} {id}: %' AND detail NOT LIKE '%the time is over'"
    );
    number(sql, &taken) > 0
}

fn requests(sql: &Connection) -> Vec<Request> {
    let query = "SELECT id, contact, confirm, approvals, agreed, expires_at, state FROM request";
    let mut found = sql.prepare_cached(query).expect("a look");
    let read = |row: &rusqlite::Row| {
        let agreed: String = row.get(4)?;
        Ok(Request {
            id: row.get(0)?,
            asker: row.get(1)?,
            confirm: row.get(2)?,
            approvals: row.get(3)?,
            agreed: serde_json::from_str(&agreed).expect("a list"),
            expires_at: row.get(5)?,
            state: row.get(6)?,
        })
    };
    found.query_map([], read).expect("a look").map(|row| row.expect("a row")).collect()
}

fn questions(sql: &Connection) -> Vec<Question> {
    let query = "SELECT id, needed, expires_at, default_choice, decision FROM question";
    let mut found = sql.prepare_cached(query).expect("a look");
    let read = |row: &rusqlite::Row| {
        Ok(Question {
            id: row.get(0)?,
            needed: row.get(1)?,
            expires_at: row.get(2)?,
            default: row.get(3)?,
            decision: row.get(4)?,
        })
    };
    found.query_map([], read).expect("a look").map(|row| row.expect("a row")).collect()
}

fn votes(sql: &Connection, question: i64) -> Vec<(String, String)> {
    let mut found =
        sql.prepare_cached("SELECT contact, choice FROM vote WHERE question = ?1").expect("a look");
    let rows = found.query_map([question], |row| Ok((row.get(0)?, row.get(1)?))).expect("a look");
    rows.map(|row| row.expect("a row")).collect()
}

fn number(sql: &Connection, query: &str) -> i64 {
    sql.prepare_cached(query).and_then(|mut query| query.query_row([], |row| row.get(0))).expect("a number")
}
