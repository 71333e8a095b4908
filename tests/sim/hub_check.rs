//! What must hold of a site behind a hub: Meta is asked once under each key, nobody knows only where something has ended in the middle,
//! what was answered 200 is kept and reaches the site, and the site's place is never before what it has.

use std::collections::{BTreeMap, BTreeSet};

use bellwire::outbox::retry_policy::ApiAnswer;
use bellwire::whatsapp::client::Exchanged;
use bellwire_hub::engine::Log;
use bellwire_hub::incoming::split;
use bellwire_hub::sites::digest;
use rusqlite::OptionalExtension;

use crate::Violation;
use crate::check::Check;
use crate::hubs::{Hubs, SHOP};

/// May have gone out (docs/cloud-api.md).
const SOMETHING_WENT_WRONG: i64 = 131_000;

/// What is known of a send.
#[derive(Debug, Clone, Default)]
struct Key {
    /// Meta was asked, and it is not sure that it did not take it.
    is_asked: bool,
    is_taken: bool,
    /// A hub ended in the middle, or Meta's answer told nothing.
    is_excused: bool,
    /// Some exchange about it was lost.
    is_cut: bool,
}

#[derive(Debug, Default)]
pub struct Keys {
    keys: BTreeMap<String, Key>,
    /// Which have left the site, and which came to Meta.
    left: BTreeSet<String>,
    came: BTreeSet<String>,
    /// How far the site's place was looked at, of which life of the log.
    looked: (u64, u64),
    /// What happened at least once.
    pub reached: BTreeSet<&'static str>,
}

/// Which message a key is of.
pub fn row_of(key: &str) -> i64 {
    key.split('/').nth(2).and_then(|row| row.parse().ok()).expect("a key of ours")
}

/// Under which the engine has it.
fn row_key(key: &str) -> String {
    format!("{SHOP}.{}", &digest(key)[..32])
}

impl Keys {
    fn of(&mut self, key: &str) -> &mut Key {
        self.keys.entry(key.to_owned()).or_default()
    }

    /// The site asks a hub; whether it is for the first time.
    pub fn leaves(&mut self, key: &str) -> bool {
        self.left.insert(key.to_owned())
    }

    /// Whether a hub was asked to send that message, whatever it said.
    pub fn has_left(&self, row: i64) -> bool {
        self.left.iter().any(|key| row_of(key) == row)
    }

    pub fn excuse(&mut self, key: &str) {
        self.reached.insert("crash in the middle");
        self.of(key).is_excused = true;
    }

    pub fn cut(&mut self, key: &str) {
        self.of(key).is_cut = true;
    }

    /// A hub asks Meta; whether it is the first request under this key.
    pub fn asks(&mut self, key: &str) -> Result<bool, Violation> {
        match self.keys.get(key).is_some_and(|known| known.is_asked) {
            false => Ok(self.came.insert(key.to_owned())),
            true => Err(format!("hub: Meta is asked twice under {key}")),
        }
    }

    /// What came of it: whether Meta took it, and whether its answer tells.
    pub fn asked(&mut self, key: &str, may_be_taken: bool, is_taken: bool, is_told: bool) {
        let known = self.of(key);
        known.is_asked |= may_be_taken;
        known.is_taken |= is_taken;
        known.is_excused |= !is_told;
    }
}

impl Hubs {
    /// A hub answers the site about a message.
    pub fn tells(&mut self, key: &str, answer: &Exchanged) -> Result<(), Violation> {
        let Ok((_, headers, _)) = answer else { return Ok(()) };
        let word = headers.get("bellwire-hub").and_then(|word| word.to_str().ok()).unwrap_or_default();
        let words = ["answer", "again", "wait", "unknown"];
        self.keys.reached.extend(words.into_iter().find(|known| *known == word));
        let is_unknown = word == "unknown";
        let is_excused = self.keys.keys.get(key).is_some_and(|known| known.is_excused);
        if is_unknown && !is_excused && !self.engine.is_troubled(&row_key(key)) {
            return Err(format!("hub: nobody is said to know about {key}, and nothing ended in the middle"));
        }
        Ok(())
    }

    /// The site has its answer, after all that it asked.
    pub fn settled(&self, key: &str, answer: &ApiAnswer) -> Result<(), Violation> {
        let Some(known) = self.keys.keys.get(key) else { return Ok(()) };
        let wrong = |what: &str| Err(format!("hub: {key} {what}: {answer:?}, {known:?}"));
        match answer {
            ApiAnswer::Accepted(_) if !known.is_taken => wrong("counts as sent, and Meta does not have it"),
            ApiAnswer::Refused(refusal) if known.is_taken && refusal.code != SOMETHING_WENT_WRONG => {
                wrong("counts as not sent, and Meta has it")
            }
            ApiAnswer::Offline(_) | ApiAnswer::NotAsked(_) if known.is_taken => {
                wrong("counts as not sent, and Meta has it")
            }
            ApiAnswer::Ambiguous { .. }
                if !known.is_excused && !known.is_cut && !self.engine.is_troubled(&row_key(key)) =>
            {
                wrong("counts as unknown, and nothing was lost")
            }
            ApiAnswer::Accepted(_)
            | ApiAnswer::Refused(_)
            | ApiAnswer::Offline(_)
            | ApiAnswer::NotAsked(_)
            | ApiAnswer::Ambiguous { .. } => Ok(()),
        }
    }

    /// Meta is told 200.
    pub fn keeps(&self, body: &[u8]) -> Result<(), Violation> {
        match self.engine.log(Log::Raw).items.iter().any(|item| item.body == body) {
            true => Ok(()),
            false => Err("hub: a webhook was answered 200, and it is not kept".to_owned()),
        }
    }

    /// The site's place, as it is on its disk: of which life of the log, and how far.
    pub fn place(check: &Check) -> (u64, u64) {
        let cursor: Option<String> =
            check.sql.query_row("SELECT cursor FROM hub", [], |row| row.get(0)).optional().expect("a look");
        let cursor = cursor.as_deref().and_then(|cursor| cursor.split_once('-'));
        cursor.map_or((0, 0), |(life, sequence)| {
            (u64::from_str_radix(life, 16).unwrap_or(0), sequence.parse().unwrap_or(0))
        })
    }

    /// After a commit: everything up to the site's place is on its disk.
    pub fn look(&mut self, check: &Check) -> Result<(), Violation> {
        let place = Self::place(check);
        if place.0 != self.engine.number(Log::Inbound) || place == self.keys.looked {
            return Ok(());
        }
        let life = self.engine.log(Log::Inbound);
        let from = if self.keys.looked.0 == place.0 { self.keys.looked.1.min(place.1) } else { 0 };
        for item in life.items.iter().filter(|item| item.sequence > from && item.sequence <= place.1) {
            if check.bodies(&item.body) == 0 {
                return Err(format!(
                    "hub: the site's place is {place:?}, and {} is not on its disk",
                    item.sequence
                ));
            }
        }
        self.keys.looked = place;
        Ok(())
    }

    /// Whether the site has all that there is.
    pub fn is_drained(&self, check: &Check) -> bool {
        let (life, last) = (self.engine.number(Log::Inbound), self.engine.end(Log::Inbound).sequence);
        let has_all = last == 0 || Self::place(check) == (life, last);
        has_all && self.engine.routed() == self.engine.end(Log::Raw).sequence && !self.is_sending()
    }

    /// At the end: each message and status that was answered 200 is on the site's disk.
    pub fn judge(&self, check: &Check) -> Result<(), Violation> {
        if let Some(item) = self.engine.log(Log::Unrouted).items.first() {
            return Err(format!("hub: there is one site, and this is for none: {item:?}"));
        }
        for kept in self.engine.log(Log::Raw).items {
            for item in split(&kept.body)? {
                if check.bodies(&item.body) == 0 {
                    let text = String::from_utf8_lossy(&item.body).into_owned();
                    return Err(format!("hub: it was answered 200 and never came to the site: {text}"));
                }
            }
        }
        Ok(())
    }
}
