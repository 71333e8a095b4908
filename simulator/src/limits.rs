//! Meta's limits by the simulator's clock: throughput, pair rate, and the 24 h window (docs/cloud-api.md 5.1, 5.2, 5.6).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::graph::Refusal;
use crate::time::Timestamp;

/// Meta, "Pair rate limits": one message in 6 s to a person, with a borrowed burst of 45.
const PAIR_COST_MS: i64 = 6_000;
const PAIR_BURST: i64 = 45;
/// Meta, "Throughput": 80 messages a second a number.
const PER_SECOND: u32 = 80;
/// The customer service window.
const WINDOW_MS: i64 = 24 * 3_600_000;
/// Pairs that are remembered, as many as messages. What is over is forgotten first, since it changes no answer.
const PAIRS_MAX: usize = 20_000;

/// How a limit shows itself. Meta documents 131047 and 131056 in both forms (docs/cloud-api.md 4.2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// As the answer to the request.
    #[default]
    Direct,
    /// The request is accepted, and a `failed` status follows.
    Later,
}

/// `/_simulator/limits`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LimitRules {
    /// 131056.
    pub pair: bool,
    /// 130429.
    pub throughput: bool,
    /// Of the pair limit.
    pub form: Form,
}

impl Default for LimitRules {
    fn default() -> Self {
        Self { pair: false, throughput: true, form: Form::Direct }
    }
}

/// `/_simulator/window`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct WindowRules {
    pub enforce: bool,
    pub form: Form,
    /// Whether a reaction opens it: Meta's page does not say.
    pub reaction_opens: bool,
}

/// A business number and a person's user id.
type Pair = (String, String);

#[derive(Debug, Default)]
pub struct Limits {
    pub rules: LimitRules,
    pub window: WindowRules,
    /// The time up to which a pair has used its allowance; a burst borrows from the future.
    paid: BTreeMap<Pair, Timestamp>,
    second: BTreeMap<String, (i64, u32)>,
    wrote: BTreeMap<Pair, Timestamp>,
}

impl Limits {
    /// Counts a message; what is over a limit is refused, at once or later.
    pub fn count(&mut self, number: &str, user: &str, now: Timestamp) -> Result<(), (Form, Refusal)> {
        if self.rules.throughput {
            let second = self.second.entry(number.to_owned()).or_default();
            if second.0 != now.0 / 1_000 {
                *second = (now.0 / 1_000, 0);
            }
            second.1 += 1;
            if second.1 > PER_SECOND {
                let details = "Cloud API message throughput has been reached.";
                return Err((Form::Direct, Refusal::new(130_429, details)));
            }
        }
        if self.rules.pair { self.pay(number, user, now) } else { Ok(()) }
    }

    fn pay(&mut self, number: &str, user: &str, now: Timestamp) -> Result<(), (Form, Refusal)> {
        if self.paid.len() >= PAIRS_MAX {
            self.paid.retain(|_, paid| *paid > now);
        }
        let pair = self.paid.entry((number.to_owned(), user.to_owned())).or_insert(now);
        let paid = Timestamp(pair.0.max(now.0) + PAIR_COST_MS);
        if paid.0 - now.0 > PAIR_COST_MS * PAIR_BURST {
            let details = "Too many messages sent from the sender phone number to the same recipient phone number in a short period of time.";
            return Err((self.rules.form, Refusal::new(131_056, details)));
        }
        *pair = paid;
        Ok(())
    }

    /// A person wrote: the window of the pair opens, or stays open longer.
    pub fn opened(&mut self, number: &str, user: &str, at: Timestamp) {
        if self.wrote.len() >= PAIRS_MAX {
            self.wrote.retain(|_, wrote| at.0 - wrote.0 < WINDOW_MS);
        }
        let wrote = self.wrote.entry((number.to_owned(), user.to_owned())).or_insert(at);
        *wrote = (*wrote).max(at);
    }

    pub fn is_open(&self, number: &str, user: &str, now: Timestamp) -> bool {
        let wrote = self.wrote.get(&(number.to_owned(), user.to_owned()));
        wrote.is_some_and(|wrote| now.0 - wrote.0 < WINDOW_MS)
    }

    /// Whether a free-form message may go, when that is enforced.
    pub fn admit(&self, number: &str, user: &str, now: Timestamp) -> Result<(), (Form, Refusal)> {
        if !self.window.enforce || self.is_open(number, user, now) {
            return Ok(());
        }
        let details = match self.window.form {
            Form::Direct => {
                "More than 24 hours have passed since the recipient last replied to the sender number."
            }
            Form::Later => {
                "Message failed to send because more than 24 hours have passed since the customer last replied to this number."
            }
        };
        Err((self.window.form, Refusal::new(131_047, details)))
    }

    /// The open windows: number, user id, when each closes.
    pub fn open(&self, now: Timestamp) -> impl Iterator<Item = (&str, &str, Timestamp)> {
        self.wrote
            .iter()
            .filter(move |(_, wrote)| now.0 - wrote.0 < WINDOW_MS)
            .map(|((number, user), wrote)| (number.as_str(), user.as_str(), Timestamp(wrote.0 + WINDOW_MS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp(1_790_000_000_000);

    #[test]
    fn the_pair_limit_allows_45_then_one_per_six_seconds() {
        let mut limits =
            Limits { rules: LimitRules { pair: true, ..LimitRules::default() }, ..Limits::default() };
        let taken = (0..60).take_while(|_| limits.count("1", "nino", START).is_ok()).count();
        assert_eq!(taken, 45);
        let later = Timestamp(START.0 + 6_000);
        assert_eq!(limits.count("1", "nino", later), Ok(()));
        let refused = limits.count("1", "nino", later).map_err(|(_, refusal)| refusal.code);
        assert_eq!(refused, Err(131_056));
        assert_eq!(limits.count("1", "giorgi", later), Ok(()), "another person is not concerned");
    }

    #[test]
    fn a_number_sends_80_a_second() {
        let mut limits = Limits::default();
        let taken = (0..81).filter(|n| limits.count("1", &n.to_string(), START).is_ok()).count();
        assert_eq!(taken, 80);
        assert_eq!(limits.count("1", "nino", Timestamp(START.0 + 1_000)), Ok(()));
    }

    #[test]
    fn a_window_is_open_for_24_hours_after_a_message() {
        let mut limits = Limits::default();
        limits.window.enforce = true;
        assert!(limits.admit("1", "nino", START).is_err());
        limits.opened("1", "nino", START);
        assert!(limits.admit("1", "nino", Timestamp(START.0 + WINDOW_MS - 1)).is_ok());
        assert!(limits.admit("2", "nino", START).is_err(), "another number has its own window");
        assert!(limits.admit("1", "nino", Timestamp(START.0 + WINDOW_MS)).is_err());
    }
}
