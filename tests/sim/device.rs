//! The model device: it obeys each command once, by the command's id (promise P5), and says what it made of it: in time,
//! late, twice, in words that nobody understands, or never.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwire::random::Rng;
use bellwire::time::Timestamp;

use crate::broker::Publication;
use crate::commanded::Verdict;
use crate::ports::Published;
use crate::site::Expected;

/// `within` of every answer that is awaited.
const WITHIN_MS: u64 = 60_000;

/// One thing that it says.
#[derive(Debug, Clone)]
pub struct Answer {
    at: Timestamp,
    /// Shows a state on its own topic, instead of answering the command.
    is_state: bool,
    topic: String,
    command: i64,
    /// `None`: noise.
    verdict: Option<Verdict>,
    /// Makes the words its own.
    number: u64,
}

#[derive(Debug, Default)]
pub struct Device {
    /// How often each command came, by its id on the wire.
    pub heard: BTreeMap<String, u32>,
    /// What it did, in order.
    pub done: Vec<(Timestamp, String, String)>,
    /// What it is about to say.
    answers: Vec<Answer>,
    number: u64,
}

impl Device {
    pub fn hear(
        &mut self,
        (wire_id, prefix): (&str, &str),
        command: &Published,
        now: Timestamp,
        dice: &mut Rng,
    ) {
        let times = self.heard.entry(wire_id.to_owned()).or_default();
        *times += 1;
        let is_first = *times == 1;
        if is_first {
            self.done.push((now, command.topic.clone(), command.payload.clone()));
        }
        // Asked again, it may well say again what it said.
        if !command.answers || (!is_first && dice.below(2) == 0) {
            return;
        }
        let soon = |dice: &mut Rng| now + Duration::from_millis(dice.below(WITHIN_MS * 9 / 10));
        let late = |dice: &mut Rng| now + Duration::from_millis(WITHIN_MS + dice.below(600_000));
        let to = (wire_id, prefix);
        match dice.below(12) {
            0..5 => self.plan(to, command, soon(dice), true, dice),
            5 | 6 => self.plan(to, command, late(dice), true, dice),
            7 => {
                self.plan(to, command, soon(dice), true, dice);
                self.plan(to, command, late(dice), true, dice);
            }
            8 => {
                self.plan(to, command, soon(dice), true, dice);
                let again = self.answers.last().cloned();
                self.answers.extend(again);
            }
            9 => {
                self.plan(to, command, now, false, dice);
                self.plan(to, command, soon(dice), true, dice);
            }
            10 => self.plan(to, command, soon(dice), false, dice),
            _ => {}
        }
    }

    fn plan(
        &mut self,
        (wire_id, prefix): (&str, &str),
        command: &Published,
        at: Timestamp,
        is_clear: bool,
        dice: &mut Rng,
    ) {
        self.number += 1;
        let number = self.number;
        let state = command.topic.strip_suffix("/freezer/set").map(|area| format!("{area}/freezer/state"));
        let is_state = state.is_some();
        let verdict = match (dice.below(4), is_state) {
            (0, true) => (false, Some(format!("fault {number}"))),
            (_, true) | (1, false) => (true, None),
            (0, false) if dice.below(2) == 0 => (false, Some("the device refused".to_owned())),
            (0, false) => (false, Some(format!("stuck {number}"))),
            (_, false) => (true, Some(format!("did {number}"))),
        };
        self.answers.push(Answer {
            at,
            is_state,
            topic: state.unwrap_or_else(|| format!("{prefix}{wire_id}")),
            command: command.id.0,
            verdict: is_clear.then_some(verdict),
            number,
        });
    }

    /// When it says something next.
    pub fn next_at(&self) -> Option<Timestamp> {
        self.answers.iter().map(|answer| answer.at).min()
    }

    /// What it says now.
    pub fn say(&mut self, now: Timestamp) -> Option<Answer> {
        let due = self.answers.iter().position(|answer| answer.at <= now)?;
        Some(self.answers.remove(due))
    }

    /// The machine's clock has moved, and the device's has not.
    pub fn clock_moved(&mut self, by: i64) {
        self.answers.iter_mut().for_each(|answer| answer.at = Timestamp(answer.at.0 + by));
    }
}

impl Answer {
    pub fn verdict(&self) -> Option<Verdict> {
        self.verdict.clone()
    }

    pub fn publication(&self, serial: u64, dice: &mut Rng) -> Publication {
        let number = self.number;
        let payload = match (self.is_state, &self.verdict) {
            (true, Some((true, _))) => format!("{{\"defrost\": false, \"n\": {number}}}").into_bytes(),
            (true, Some((false, _))) => {
                format!("{{\"fault\": true, \"text\": \"fault {number}\"}}").into_bytes()
            }
            (true, None) => format!("{{\"defrost\": true, \"n\": {number}}}").into_bytes(),
            (false, Some((true, None))) => b"ok".to_vec(),
            (false, Some((true, Some(words)))) => {
                format!("{{\"ok\": true, \"text\": \"{words}\"}}").into_bytes()
            }
            (false, Some((false, Some(words)))) if words.starts_with("stuck") => {
                format!("{{\"ok\": false, \"reason\": \"{words}\"}}").into_bytes()
            }
            (false, Some((false, _))) => b"false".to_vec(),
            (false, None) => vec![0xff, 0xfe, 0],
        };
        let expected = match (self.is_state, &self.verdict) {
            (_, None) => Expected::Counted("no-rule"),
            (true, Some(_)) => Expected::State,
            (false, Some(_)) => Expected::Answer { command: self.command },
        };
        let qos1 = dice.below(6) > 0;
        Publication { serial, topic: self.topic.clone(), payload, id: None, qos1, retained: false, expected }
    }
}
