//! What the simulator remembers and decides. No sockets: a request and a time go in, an answer and webhooks come out.

use std::collections::{BTreeMap, VecDeque};

use secrecy::SecretString;
use serde_json::{Value, json};

use super::faults::{Fault, Faults, Statuses};
use super::validate;
use crate::time::Timestamp;

/// Messages that are remembered: a flood of a test, with room.
const MESSAGES_MAX: usize = 20_000;
/// Meta, "Pair rate limits": one message in 6 s to a person, with a borrowed burst of 45.
const PAIR_COST_MS: i64 = 6_000;
const PAIR_BURST: i64 = 45;
/// Meta, "Throughput": 80 messages a second a number.
const PER_SECOND: u32 = 80;

#[derive(Debug, Clone)]
pub struct Options {
    /// Where webhooks go; none are sent without it.
    pub webhook: Option<String>,
    pub app_secret: SecretString,
    pub verify_token: SecretString,
    /// Without it any bearer token is taken.
    pub access_token: Option<SecretString>,
    /// Empty: any number.
    pub phone_number_ids: Vec<String>,
}

/// A message that a business sent.
#[derive(Debug, Clone)]
pub struct Sent {
    pub id: String,
    pub phone_number_id: String,
    pub to: String,
    pub body: Value,
    pub status: &'static str,
    pub at: Timestamp,
}

/// A message that a person wrote, for the phone's page.
#[derive(Debug, Clone)]
pub struct Written {
    pub from: String,
    pub text: String,
    pub quotes: Option<String>,
    pub at: Timestamp,
}

#[derive(Debug, Default)]
pub struct World {
    pub sent: VecDeque<Sent>,
    pub written: VecDeque<Written>,
    pub faults: Faults,
    /// What is answered otherwise than usual about the account, by the answer's name.
    pub account: BTreeMap<String, serde_json::Map<String, Value>>,
    /// How far its clock is ahead of the machine's.
    pub ahead_ms: i64,
    pairs: BTreeMap<(String, String), Timestamp>,
    second: BTreeMap<String, (i64, u32)>,
    numbered: u64,
}

/// How a request ends.
#[derive(Debug)]
pub enum Ending {
    /// With this status and body.
    Answer {
        status: u16,
        body: Value,
        retry_after: Option<u32>,
    },
    Html {
        status: u16,
    },
    /// The connection stays open and silent.
    Hang,
    /// The connection is dropped.
    Reset,
}

/// What follows from a request.
#[derive(Debug)]
pub struct Outcome {
    pub ending: Ending,
    pub delay_ms: u64,
    /// The message that was taken, and what happens to its statuses.
    pub accepted: Option<(Sent, Statuses)>,
}

impl World {
    /// `POST /{phone_number_id}/messages`.
    pub fn send(&mut self, phone_number_id: &str, body: Value, now: Timestamp) -> Outcome {
        let to = body["to"].as_str().or_else(|| body["recipient"].as_str()).unwrap_or_default().to_owned();
        if let Err((code, details)) = validate::message(&body) {
            return self.refuse(400, code, &details);
        }
        if body["status"] == "read" {
            return plain(200, json!({ "success": true }));
        }
        let fault = self.faults.take(&to).unwrap_or_default();
        let delay_ms = fault.delay_ms.unwrap_or(0);
        if let Some(ending) = self.fail(&fault) {
            return Outcome { ending, delay_ms, accepted: None };
        }
        if let Some(refused) = self.limit(phone_number_id, &to, now) {
            return refused;
        }
        let sent = self.accept(phone_number_id, to, body, now);
        let input = sent.body["to"].clone();
        let wa_id = sent.to.trim_start_matches('+');
        let answer = json!({ "messaging_product": "whatsapp", "contacts": [{ "input": input, "wa_id": wa_id }],
                             "messages": [{ "id": sent.id }] });
        let ending = match (fault.hang_after_accept, fault.reset_after_accept) {
            (true, _) => Ending::Hang,
            (_, true) => Ending::Reset,
            (false, false) => Ending::Answer { status: 200, body: answer, retry_after: None },
        };
        Outcome { ending, delay_ms, accepted: Some((sent, fault.statuses.unwrap_or_default())) }
    }

    /// Meta's error form (FACTS 4.1).
    pub fn error(&mut self, code: i64, details: &str) -> Value {
        self.numbered += 1;
        json!({ "error": {
            "message": format!("(#{code}) {details}"), "type": "OAuthException", "code": code,
            "error_data": { "messaging_product": "whatsapp", "details": details },
            "fbtrace_id": format!("SIM{:08}", self.numbered),
        }})
    }

    pub fn refuse(&mut self, status: u16, code: i64, details: &str) -> Outcome {
        plain(status, self.error(code, details))
    }

    pub fn mark(&mut self, id: &str, status: &'static str) {
        if let Some(sent) = self.sent.iter_mut().rev().find(|sent| sent.id == id) {
            sent.status = status;
        }
    }

    pub fn wrote(&mut self, written: Written) -> String {
        self.written.push_back(written);
        self.written.drain(..self.written.len().saturating_sub(MESSAGES_MAX));
        self.numbered += 1;
        format!("wamid.SIMIN{:012}", self.numbered)
    }

    fn accept(&mut self, phone_number_id: &str, to: String, body: Value, at: Timestamp) -> Sent {
        self.numbered += 1;
        // Never the same twice, in a simulator that was started again either.
        let id = format!("wamid.SIM{:x}{:06}", at.0, self.numbered);
        let sent = Sent { id, phone_number_id: phone_number_id.to_owned(), to, body, status: "accepted", at };
        self.sent.push_back(sent.clone());
        self.sent.drain(..self.sent.len().saturating_sub(MESSAGES_MAX));
        sent
    }

    fn fail(&mut self, fault: &Fault) -> Option<Ending> {
        if fault.reset_before_accept {
            return Some(Ending::Reset);
        }
        if fault.html {
            return Some(Ending::Html { status: fault.status.unwrap_or(502) });
        }
        if let Some(code) = fault.code {
            let status = fault.status.unwrap_or(if code == 190 { 401 } else { 400 });
            let body = self.error(code, "as the simulator was told");
            return Some(Ending::Answer { status, body, retry_after: fault.retry_after });
        }
        let status = fault.status.filter(|status| *status != 200)?;
        Some(Ending::Answer { status, body: Value::Null, retry_after: fault.retry_after })
    }

    fn limit(&mut self, phone_number_id: &str, to: &str, now: Timestamp) -> Option<Outcome> {
        let second = self.second.entry(phone_number_id.to_owned()).or_default();
        if second.0 != now.0 / 1_000 {
            *second = (now.0 / 1_000, 0);
        }
        second.1 += 1;
        if second.1 > PER_SECOND {
            return Some(self.refuse(400, 130_429, "Cloud API message throughput has been reached."));
        }
        // The time up to which the pair has used its allowance; a burst borrows from the future.
        let pair = self.pairs.entry((phone_number_id.to_owned(), to.to_owned())).or_insert(now);
        let paid = Timestamp(pair.0.max(now.0) + PAIR_COST_MS);
        if paid.0 - now.0 > PAIR_COST_MS * PAIR_BURST {
            return Some(self.refuse(400, 131_056, "Too many messages sent from this phone number to the same phone number in a short period of time."));
        }
        *pair = paid;
        None
    }
}

fn plain(status: u16, body: Value) -> Outcome {
    Outcome { ending: Ending::Answer { status, body, retry_after: None }, delay_ms: 0, accepted: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(to: &str) -> Value {
        json!({ "messaging_product": "whatsapp", "to": to, "type": "text", "text": { "body": "hello" } })
    }

    fn code(outcome: &Outcome) -> i64 {
        match &outcome.ending {
            Ending::Answer { body, .. } => body["error"]["code"].as_i64().unwrap_or(0),
            Ending::Html { .. } | Ending::Hang | Ending::Reset => -1,
        }
    }

    #[test]
    fn a_person_gets_45_at_once_and_then_one_in_6_seconds() {
        let mut world = World::default();
        let start = Timestamp(1_790_000_000_000);
        let mut taken = 0;
        while code(&world.send("1", text("+15550100123"), start)) == 0 {
            taken += 1;
        }
        assert_eq!(taken, 45);
        let later = Timestamp(start.0 + 6_000);
        assert_eq!(code(&world.send("1", text("+15550100123"), later)), 0);
        assert_eq!(code(&world.send("1", text("+15550100123"), later)), 131_056);
        assert_eq!(code(&world.send("1", text("+15550100999"), later)), 0, "another person is not concerned");
    }

    #[test]
    fn a_number_sends_80_a_second() {
        let mut world = World::default();
        let now = Timestamp(1_790_000_000_000);
        let codes: Vec<i64> =
            (0..81).map(|n| code(&world.send("1", text(&format!("+1555010{n:04}")), now))).collect();
        assert_eq!(codes.iter().filter(|code| **code == 0).count(), 80);
        assert_eq!(codes[80], 130_429);
    }

    #[test]
    fn every_example_of_metas_is_taken() {
        let folder = format!("{}/../tests/fixtures/cloud-api/requests", env!("CARGO_MANIFEST_DIR"));
        for file in std::fs::read_dir(folder).expect("a folder") {
            let path = file.expect("a file").path();
            let body: Value = serde_json::from_slice(&std::fs::read(&path).expect("readable")).expect("JSON");
            assert_eq!(validate::message(&body), Ok(()), "{}", path.display());
        }
    }

    #[test]
    fn a_fault_concerns_as_many_requests_as_it_says() {
        let mut world = World::default();
        world.faults.0.push(Fault { code: Some(131_047), count: Some(2), ..Fault::default() });
        let now = Timestamp(1_790_000_000_000);
        let codes: Vec<i64> = (0..3).map(|_| code(&world.send("1", text("+15550100123"), now))).collect();
        assert_eq!(codes, [131_047, 131_047, 0]);
    }
}
