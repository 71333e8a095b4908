//! What must hold after every step, read from the database as a support person would read it. The promises are those of
//! the README.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;

use bellwire::config::Config;
use bellwire::event::incoming::Event;
use bellwire::ids::MessageId;
use bellwire::outbox::message_state::State;
use bellwire::time::Timestamp;
use rusqlite::{Connection, params};

use crate::Violation;
use crate::asked::Asked;
use crate::broker::{Publication, Token};
use crate::commanded::Commanded;
use crate::consent::Consent;
use crate::in_time::InTime;
use crate::known::Excuses;
use crate::late::Late;
use crate::lattice::{Why, may_follow};
use crate::meta::Meta;
use crate::power::Told;
use crate::restricted::Restricted;
use crate::rows::{self, Row};
use crate::site::Expected;
use crate::watched::Watched;

/// What a flipped bit leaves in a text.
pub const DAMAGE: &str = "\u{2620}";
/// A request under way may be held up by a slow disk for so long; then it must look at the clock again.
const LATE_MS: i64 = 10_000;

pub type Said = (String, Vec<u8>);

#[derive(Debug)]
pub struct Check {
    pub(crate) sql: Connection,
    pub rows: BTreeMap<i64, Row>,
    /// When each message was first seen, by the true time.
    born: BTreeMap<i64, i64>,
    /// How long each was to live, in milliseconds.
    lives: BTreeMap<i64, i64>,
    events: i64,
    /// Which events of the world came to the gateway, and which it acknowledged, by what they said.
    delivered: BTreeMap<Said, BTreeSet<u64>>,
    unpromised: u64,
    pub(crate) acknowledged: BTreeMap<Said, BTreeSet<u64>>,
    pub(crate) counted: BTreeMap<&'static str, BTreeSet<u64>>,
    /// Commands whose PUBACK this process has been told.
    pub answered: BTreeSet<i64>,
    /// Rows about which an operator has decided since the last look.
    pub operated: BTreeSet<i64>,
    /// Rows in which a bit was flipped.
    pub damaged: BTreeSet<i64>,
    pub excuses: Excuses,
    /// What somebody outside was told.
    pub told: Told,
    /// What came about alerts with a life.
    pub watched: Watched,
    /// What people said about what they were asked.
    pub asked: Asked,
    /// What devices say about commands.
    pub commanded: Commanded,
    pub consent: Consent,
    pub restricted: Restricted,
    pub late: Late,
    pub in_time: InTime,
    /// What people wrote, and to which number.
    pub written: BTreeMap<String, &'static str>,
    /// Every state that a message was seen in.
    pub(crate) states: BTreeSet<&'static str>,
    /// The gateway's, and whether a restart may find another one: then what becomes of an event is not known beforehand.
    pub config: Rc<Config>,
    pub may_change: bool,
    /// Messages to people whom a changed rule does not tell, and that nobody else has.
    pub(crate) excused: BTreeSet<i64>,
}

impl Check {
    pub fn new(directory: &Path, config: &Rc<Config>, may_change: bool) -> Self {
        Self {
            sql: Self::open(directory),
            rows: BTreeMap::new(),
            born: BTreeMap::new(),
            lives: BTreeMap::new(),
            events: 0,
            delivered: BTreeMap::new(),
            unpromised: 0,
            acknowledged: BTreeMap::new(),
            counted: BTreeMap::new(),
            answered: BTreeSet::new(),
            operated: BTreeSet::new(),
            damaged: BTreeSet::new(),
            excuses: Excuses::new(),
            told: Told::default(),
            watched: Watched::default(),
            asked: Asked::default(),
            commanded: Commanded::default(),
            consent: Consent::default(),
            restricted: Restricted::default(),
            late: Late::default(),
            in_time: InTime::new(config),
            written: BTreeMap::new(),
            states: BTreeSet::new(),
            config: Rc::clone(config),
            may_change,
            excused: BTreeSet::new(),
        }
    }

    pub(crate) fn count(&self, sql: &str, values: impl rusqlite::Params) -> i64 {
        self.sql
            .prepare_cached(sql)
            .and_then(|mut found| found.query_row(values, |row| row.get(0)))
            .expect("a count")
    }

    /// The broker has handed the gateway an event.
    pub fn deliver(&mut self, token: &Token) {
        self.excuses.delivered(token);
        self.watched.delivered(token);
        self.commanded.delivered(&self.sql, token);
        let publication = &token.publication;
        let said = (publication.topic.clone(), publication.payload.clone());
        self.delivered.entry(said).or_default().insert(publication.serial);
    }

    /// The same at QoS 0, where it has no number of its own.
    pub fn deliver_unpromised(&mut self, event: &Event) {
        self.unpromised += 1;
        let said = (event.topic.clone(), event.payload.to_vec());
        self.delivered.entry(said).or_default().insert(u64::MAX - self.unpromised);
    }

    /// P1, P2: what is acknowledged is on disk, whole: the event, its alert, its messages; or it is counted.
    pub fn acknowledge(&mut self, token: &Token) -> Result<(), Violation> {
        let Publication { topic, payload, serial, expected, .. } = &token.publication;
        let (found, wanted) = match expected {
            Expected::Counted(word) => {
                let counted = self.counted.entry(word).or_default();
                counted.insert(*serial);
                let wanted = counted.len();
                (self.tallied(word), wanted)
            }
            Expected::Watched { fires } => {
                self.watched.acknowledged(token, *fires);
                return Ok(());
            }
            // Its question may be gone.
            Expected::Asked { .. } if self.may_change => {
                self.acknowledged.entry((topic.clone(), payload.clone())).or_default().insert(*serial);
                return Ok(());
            }
            Expected::Alert { .. }
            | Expected::Unreadable
            | Expected::Asked { .. }
            | Expected::Answer { .. }
            | Expected::State => {
                let said = self.acknowledged.entry((topic.clone(), payload.clone())).or_default();
                said.insert(*serial);
                let wanted = match expected {
                    Expected::Answer { .. } => 1, // it has one end, however often the device says so
                    Expected::State => return self.commanded.state_acknowledged(&self.sql, *serial),
                    Expected::Alert { .. }
                    | Expected::Unreadable
                    | Expected::Asked { .. }
                    | Expected::Counted(_)
                    | Expected::Watched { .. } => said.len(),
                };
                (self.whole_events(topic, payload, *expected), wanted)
            }
        };
        self.told.acknowledged((topic.clone(), payload.clone()), *expected, found);
        self.excuses.acknowledged(token);
        let wanted = i64::try_from(wanted).unwrap_or(i64::MAX);
        if found < wanted && !self.excuses.lost_events(token, wanted - found) {
            return Err(format!(
                "P1: event {serial} on {topic} was acknowledged as number {wanted} of its kind, and {found} are on disk"
            ));
        }
        Ok(())
    }

    pub(crate) fn tallied(&self, word: &str) -> i64 {
        self.count("SELECT coalesce(sum(count), 0) FROM tally WHERE outcome = ?1", [word])
    }

    pub(crate) fn bodies(&self, body: &[u8]) -> i64 {
        self.count("SELECT count(*) FROM inbox WHERE body = ?1", [body])
    }

    pub(crate) fn whole_events(&self, topic: &str, payload: &[u8], expected: Expected) -> i64 {
        let (outcome, messages) = match expected {
            Expected::Asked { number } => {
                let text = format!("% {number} at till 1?%");
                return self.count("SELECT count(*) FROM question WHERE text LIKE ?1", [text]);
            }
            Expected::Answer { command } => {
                let answered = "SELECT count(*) FROM command WHERE id = ?1 AND state IN ('done', 'failed')";
                return self.count(answered, [command]);
            }
            Expected::Alert { messages } => ("alerted", messages),
            Expected::Unreadable | Expected::State | Expected::Counted(_) | Expected::Watched { .. } => {
                ("undecodable", 0)
            }
        };
        self.count(
            "SELECT count(*) FROM event e WHERE topic = ?1 AND payload = ?2 AND outcome = ?3 AND (?5 OR ?4 =
                 (SELECT count(*) FROM message m JOIN alert a ON a.id = m.alert WHERE a.event = e.id))",
            params![topic, payload, outcome, messages, self.may_change],
        )
    }

    /// P3, P9: a request leaves only for a row that says `sending`, with its attempt written down, and not when too old.
    /// P2: what a flipped bit has changed does not leave.
    pub fn post(&mut self, id: MessageId, body: &[u8], meta: &Meta, now: Timestamp) -> Result<(), Violation> {
        if String::from_utf8_lossy(body).contains(DAMAGE) {
            return Err(format!("P2: message {id} is damaged on disk, and leaves"));
        }
        let earlier = meta.requests.get(&id.0).copied().unwrap_or(0);
        let Some(row) = self.rows.get(&id.0) else {
            return Err(format!("P3: a request leaves for message {id}, which is not on disk"));
        };
        let attempts = self.count("SELECT count(*) FROM attempt WHERE message = ?1", [id.0]);
        if attempts <= earlier {
            return Err(format!(
                "P3: request {} leaves for message {id}, and {attempts} are on disk",
                earlier + 1
            ));
        }
        // A receipt of an earlier copy may have come in between; it is too late to stop this one.
        let is_proven = matches!(row.state, State::Sent | State::Delivered | State::Read | State::Played);
        if row.state != State::Sending && !is_proven {
            return Err(format!("P3: a request leaves for message {id}, which is {}", row.state.as_str()));
        }
        // A clock that was never set judges no age (docs/reliability.md F17).
        let life = self.lives.get(&id.0).copied().unwrap_or_default();
        let late = now.0 - row.expires_at.min(row.created_at + life);
        if Timestamp(row.created_at).is_sane() && late > LATE_MS {
            return Err(format!("P9: message {id} leaves {late} ms after it expired"));
        }
        Ok(())
    }

    /// P8: a second copy at Meta only if the row says that there may be one. One that failed at Meta is no copy.
    pub fn taken(&mut self, meta: &Meta, row: i64) -> Result<(), Violation> {
        let copies = meta.taken.iter().filter(|taken| taken.row == row && !taken.fails()).count();
        match self.rows.get(&row) {
            Some(found) if copies > 1 && !found.is_marked => {
                Err(format!("P8: Meta has {copies} copies of message {row}, and the row says nothing"))
            }
            Some(_) if copies > 1 && self.must_not_come_twice(row) => {
                Err(format!("P8: Meta has {copies} copies of message {row}, which must not come twice"))
            }
            Some(_) => Ok(()),
            None => Err(format!("P3: Meta has message {row}, which is not on disk")),
        }
    }

    /// The door's rule says so, and no operator has said otherwise.
    fn must_not_come_twice(&self, row: i64) -> bool {
        let doors = "SELECT count(*) FROM message m JOIN alert a ON a.id = m.alert
             WHERE (m.id = ?1 OR m.digest = ?1) AND a.rule = 'door'";
        !self.consent.retried.contains(&row) && self.count(doors, [row]) > 0
    }

    /// P4: 200 only for a body that is on disk.
    pub fn kept(&mut self, body: &[u8]) -> Result<(), Violation> {
        match self.bodies(body) {
            0 => Err("P4: a webhook was answered 200, and its body is not on disk".to_owned()),
            found => {
                self.told.kept(body, found);
                Ok(())
            }
        }
    }

    /// After a commit: nothing vanishes, no state goes back, no event raises two alerts, no state is an event.
    pub fn look(&mut self, meta: &Meta, now: Timestamp, ahead: i64) -> Result<(), Violation> {
        let rows = rows::read(&self.sql);
        for (id, old) in &self.rows {
            let Some(new) = rows.get(id) else { return Err(format!("P2: message {id} is gone")) };
            let fails = fails(meta, new.carrier);
            let operated = self.operated.contains(id) || self.operated.contains(&new.carrier);
            let age = now.0 + ahead - self.born.get(id).copied().unwrap_or_default();
            // By its own clock; and one that was never set expires nothing (docs/reliability.md F17).
            let known = Timestamp(new.created_at).is_sane() || Timestamp(new.expires_at).is_sane();
            let old_enough = known || age >= new.expires_at - new.created_at;
            let carrier = rows.get(&new.carrier);
            let expires_at = carrier.map_or(0, |carrier| carrier.expires_at.min(new.expires_at));
            let expired = expires_at <= now.0 && old_enough;
            let damaged = self.damaged.contains(id) || self.damaged.contains(&new.carrier);
            let is_once = carrier.is_some_and(|carrier| carrier.is_once);
            let is_unmeant = self.may_change && self.is_unmeant(new);
            let fails_late = fails_late(meta, new.carrier);
            let why = Why { fails, fails_late, operated, expired, damaged, is_once, is_unmeant };
            // One commit may hold both the receipt and what overwrites it.
            let returns =
                new.state == State::Sending || (new.state == State::Held && !new.held_for.is_empty());
            let proven = returns && old.state != new.state && self.is_proven(new.carrier, fails);
            if proven || !may_follow(old, new, why) {
                return Err(format!(
                    "lattice: message {id} went from {} to {} ({})",
                    old.state.as_str(),
                    new.state.as_str(),
                    new.reason
                ));
            }
            if old.is_marked && !new.is_marked || new.attempts < old.attempts {
                return Err(format!(
                    "P8: message {id} forgot that it may have gone out: {old:?}, then {new:?}"
                ));
            }
        }
        for (id, row) in &rows {
            self.born.entry(*id).or_insert(now.0 + ahead);
            // A person, or an operator, may let it live on.
            let again =
                self.operated.contains(id) || self.rows.get(id).is_some_and(|old| old.state == State::Held);
            let life = row.expires_at - row.created_at;
            self.lives.entry(*id).and_modify(|old| *old = if again { life } else { *old }).or_insert(life);
        }
        self.look_at_numbers(&rows, meta)?;
        self.restricted.look(&self.rows, &rows, now)?;
        self.consent.look(&self.sql, &self.rows, &rows)?;
        self.late.look(&self.rows, &rows);
        self.states.extend(rows.values().map(|row| row.state.as_str()));
        self.rows = rows;
        self.operated.clear();
        self.commanded.look(&self.sql, now)?;
        if self.count("SELECT count(*) FROM inbox WHERE instr(body, 'wamid.forged')", []) > 0 {
            return Err("P4: a webhook that is not Meta's was kept".to_owned());
        }
        self.watched.look(&self.sql)?;
        self.in_time.look(&self.sql, now)?;
        self.asked.look(&self.sql, now)?;
        self.look_at_events()
    }

    /// Whether a receipt on disk says that a copy has arrived: nothing is to be sent any more.
    fn is_proven(&self, id: i64, fails: bool) -> bool {
        let words =
            if fails { "('delivered', 'read', 'played')" } else { "('sent', 'delivered', 'read', 'played')" };
        self.count(&format!("SELECT count(*) FROM receipt WHERE message = ?1 AND status IN {words}"), [id])
            > 0
    }

    fn look_at_events(&mut self) -> Result<(), Violation> {
        let events = self.count("SELECT count(*) FROM event", []);
        if events == self.events {
            return Ok(());
        }
        if events < self.events {
            return Err(format!("P2: there were {} events, and there are {events}", self.events));
        }
        self.events = events;
        for (said, serials) in &self.delivered {
            let found = self.count(
                "SELECT count(*) FROM event WHERE topic = ?1 AND payload = ?2",
                params![said.0, said.1],
            );
            // A rule with another name knows nothing of what the one before has taken.
            let is_watched = said.0.ends_with("/boiler") || said.0.ends_with("/pump");
            if self.may_change && is_watched {
                continue;
            }
            if found > i64::try_from(serials.len()).unwrap_or(i64::MAX) {
                return Err(format!(
                    "one alert an event: {serials:?} on {} are {found} events on disk",
                    said.0
                ));
            }
        }
        let doubled = "SELECT count(*) FROM (SELECT 1 FROM message JOIN alert a ON a.id = alert WHERE a.key IS NULL GROUP BY alert, contact HAVING count(*) > 1)";
        match self.count(doubled, [])
            + self.count("SELECT count(*) FROM event WHERE payload LIKE '%kept%'", [])
        {
            0 => Ok(()),
            _ => Err("P6: a retained message raised an alert, or one person is told twice of one".to_owned()),
        }
    }
}

fn fails_late(meta: &Meta, row: i64) -> bool {
    meta.taken.iter().any(|taken| taken.row == row && taken.fails() && taken.words.len() > 1)
}

/// Whether Meta reports, or will report, that a copy of it failed.
pub(crate) fn fails(meta: &Meta, row: i64) -> bool {
    meta.taken.iter().any(|taken| taken.row == row && taken.fails())
}
