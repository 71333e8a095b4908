//! The model Cloud API: takes messages or not, answers or not, and tells later, in any order and more than once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bellwire::ids::{MessageId, Wamid};
use bellwire::outbox::retry_policy::ApiAnswer;
use bellwire::random::Rng;
use bellwire::time::Timestamp;
use bellwire::whatsapp::client::Exchanged;
use bellwire::whatsapp::errors::{ApiMessage, refusal};
use bellwire::whatsapp::signature::sign;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::bodies::{Item, buttons, is_action, status, subject, webhook};
use crate::site::{NUMBERS, contact_of};

/// What Meta signs webhooks with.
pub const APP_SECRET: &str = "the app's";

pub fn signed(secret: &str, body: &[u8]) -> String {
    sign(&SecretString::from(secret), body)
}

/// How a request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Taken,
    TakenThenReset,
    TakenThenHang,
    /// Code 131000: it may have gone out; here it has.
    TakenThenServerError,
    Reset,
    Hang,
    ServerError,
    Offline,
    /// Refused with this code.
    Refused(i64),
}

/// Every way that a request can end; the codes are one of each class that differs in what follows.
const FATES: [Fate; 17] = [
    Fate::TakenThenReset,
    Fate::TakenThenHang,
    Fate::TakenThenServerError,
    Fate::Reset,
    Fate::Hang,
    Fate::ServerError,
    Fate::Offline,
    Fate::Refused(190),
    Fate::Refused(130_429),
    Fate::Refused(131_056),
    Fate::Refused(131_057),
    Fate::Refused(131_026),
    Fate::Refused(131_047),
    Fate::Refused(131_048),
    Fate::Refused(131_049),
    Fate::Refused(132_000),
    Fate::Refused(999_999),
];

/// The client waits this long for an answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// A message that Meta has taken.
#[derive(Debug, Clone)]
pub struct Taken {
    pub wamid: String,
    pub row: i64,
    /// Over which number.
    pub over: &'static str,
    pub to: String,
    pub buttons: Vec<(String, String)>,
    /// Buttons of a question: what waits for a Yes, or what a machine asks.
    pub choices: Vec<(String, String)>,
    /// The statuses that it gets.
    pub words: Vec<&'static str>,
}

impl Taken {
    pub fn fails(&self) -> bool {
        self.words.contains(&"failed")
    }
}

/// A body on its way to the gateway.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub number: u64,
    pub body: Vec<u8>,
    next: Timestamp,
    /// Posted, and given up then.
    pub awaited_until: Option<Timestamp>,
}

#[derive(Debug, Default)]
pub struct Meta {
    /// What happens to most requests over each number at the moment; `None`: all is well.
    pub moods: [Option<Fate>; 2],
    /// To whom it said, over which number, that the window is closed; and who wrote to which.
    pub closed: BTreeSet<(&'static str, &'static str)>,
    pub spoke: BTreeSet<(&'static str, &'static str)>,
    pub is_healed: bool,
    pub taken: Vec<Taken>,
    /// Requests that arrived, by outbox row.
    pub requests: BTreeMap<i64, i64>,
    /// Answers under way, by when they arrive.
    pub answers: Vec<(Timestamp, MessageId, ApiAnswer)>,
    /// The same to hubs, by their request.
    pub to_hubs: Vec<(Timestamp, u64, Exchanged)>,
    items: Vec<Item>,
    pub deliveries: Vec<Delivery>,
    serial: u64,
    /// How far the true time is ahead of a clock that was never set, in milliseconds.
    pub ahead: i64,
}

impl Meta {
    pub fn new(ahead: i64) -> Self {
        Self { ahead, ..Self::default() }
    }

    /// The machine's clock has moved, and Meta's has not: all is due when it was due.
    pub fn machine_clock_moved(&mut self, by: i64) {
        let moved = |at: Timestamp| Timestamp(at.0 + by);
        self.answers.iter_mut().for_each(|(at, _, _)| *at = moved(*at));
        self.to_hubs.iter_mut().for_each(|(at, _, _)| *at = moved(*at));
        self.items.iter_mut().for_each(|item| item.at = moved(item.at));
        for delivery in &mut self.deliveries {
            delivery.next = moved(delivery.next);
            delivery.awaited_until = delivery.awaited_until.map(moved);
        }
    }

    /// What Meta calls that time.
    pub fn told(&self, at: Timestamp) -> Timestamp {
        if at.is_sane() { at } else { Timestamp(at.0 + self.ahead) }
    }

    pub fn change_mood(&mut self, dice: &mut Rng) {
        let index = usize::try_from(dice.below(FATES.len() as u64 * 2)).unwrap_or(0);
        let mood = FATES.get(index).copied();
        match dice.below(3) {
            0 => self.moods[0] = mood,
            1 => self.moods[1] = mood,
            _ => self.moods = [mood; 2], // it is Meta's, or the line's
        }
    }

    /// One request over one of the numbers.
    pub fn receive(
        &mut self,
        body: &[u8],
        (row, over): (MessageId, &'static str),
        now: Timestamp,
        dice: &mut Rng,
    ) -> Fate {
        *self.requests.entry(row.0).or_default() += 1;
        let (fate, wait, answer) = self.judge(body, (row, over), now, dice);
        self.answers.push((now + wait, row, answer));
        fate
    }

    /// What becomes of it, and which answer arrives when.
    pub fn judge(
        &mut self,
        body: &[u8],
        (row, over): (MessageId, &'static str),
        now: Timestamp,
        dice: &mut Rng,
    ) -> (Fate, Duration, ApiAnswer) {
        let body: Value = serde_json::from_slice(body).expect("the request is JSON");
        let (body, to) = (&body, contact_of(body["to"].as_str().unwrap_or_default()));
        // No certificate is valid yet for who believes that it is 1970 (docs/reliability.md F17).
        let fate = if now.is_sane() { self.fate(over, dice) } else { Fate::Offline };
        let quick = Duration::from_millis(50 + dice.below(900));
        let ambiguous = |detail: &str, http_status| ApiAnswer::Ambiguous {
            detail: detail.to_owned(),
            http_status,
            fbtrace_id: None,
        };
        let refused = |code, retry_after| {
            ApiAnswer::Refused(refusal(ApiMessage {
                code,
                details: "a fault of the simulation".into(),
                http_status: Some(400),
                retry_after,
                ..ApiMessage::default()
            }))
        };
        let (wait, answer) = match fate {
            Fate::Taken => {
                let wamid = self.take(body, (row, over), now, dice);
                (quick, ApiAnswer::Accepted(Wamid(wamid).into()))
            }
            Fate::TakenThenReset => {
                self.take(body, (row, over), now, dice);
                (quick, ambiguous("the connection broke before the answer", None))
            }
            Fate::TakenThenHang => {
                self.take(body, (row, over), now, dice);
                (ANSWER_DEADLINE, ambiguous("no answer came within 30 s", None))
            }
            Fate::TakenThenServerError => {
                self.take(body, (row, over), now, dice);
                (quick, refused(131_000, None))
            }
            Fate::Reset => (quick, ambiguous("the connection broke before the answer", None)),
            Fate::Hang => (ANSWER_DEADLINE, ambiguous("no answer came within 30 s", None)),
            Fate::ServerError => (quick, ambiguous("the answer is not the Cloud API's", Some(502))),
            Fate::Offline => (quick, ApiAnswer::Offline("connection refused".into())),
            Fate::Refused(code) => {
                if code == 131_047 {
                    self.closed.insert((over, to));
                }
                let told = (code == 130_429 && dice.below(2) == 0).then_some(Duration::from_secs(40));
                (quick, refused(code, told))
            }
        };
        (fate, wait, answer)
    }

    fn fate(&self, over: &str, dice: &mut Rng) -> Fate {
        if self.is_healed {
            return Fate::Taken;
        }
        match self.moods[usize::from(over != NUMBERS[0])] {
            Some(fate) if dice.below(10) > 0 => fate,
            Some(_) => Fate::Taken,
            None if dice.below(8) > 0 => Fate::Taken,
            None => FATES[usize::try_from(dice.below(FATES.len() as u64)).unwrap_or(0)],
        }
    }

    fn take(
        &mut self,
        request: &Value,
        (row, over): (MessageId, &'static str),
        now: Timestamp,
        dice: &mut Rng,
    ) -> String {
        self.serial += 1;
        let wamid = format!("wamid.out{}", self.serial);
        let callback = request["biz_opaque_callback_data"].as_str().expect("our thread back").to_owned();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let words: Vec<&'static str> = match dice.below(20) {
            0..11 => vec!["sent", "delivered", "read"],
            11 => vec!["delivered", "played"],
            12..15 => vec!["sent", "delivered"],
            15 => vec!["read"],
            16 | 17 => vec!["sent"],
            18 => vec!["sent", "failed"],
            _ => vec!["failed"],
        };
        let mut at = now;
        for word in &words {
            // Mostly soon, sometimes after the grace time, sometimes after hours without a phone.
            let late = [4_000, 4_000, 4_000, 40_000, 9_000_000][usize::try_from(dice.below(5)).unwrap_or(0)];
            at = at + Duration::from_millis(dice.below(late));
            let value = status(&wamid, word, &callback, self.told(at), dice);
            if value["errors"][0]["code"] == 131_047 {
                self.closed.insert((over, contact_of(&text(&request["to"]))));
            }
            self.items.push(Item { at, over, key: "statuses", value });
        }
        let shown = buttons(&request["interactive"]["action"]);
        self.taken.push(Taken {
            wamid: wamid.clone(),
            row: row.0,
            over,
            to: text(&request["to"]).trim_start_matches('+').to_owned(),
            buttons: shown.iter().filter(|(id, _)| is_action(id)).cloned().collect(),
            choices: shown.into_iter().filter(|(id, _)| subject(id).starts_with(['r', 'q'])).collect(),
            words,
        });
        wamid
    }

    /// A person's message to one of the numbers; it is told now, or late.
    pub fn write(
        &mut self,
        mut message: Value,
        over: &'static str,
        now: Timestamp,
        dice: &mut Rng,
    ) -> String {
        self.spoke.insert((over, contact_of(message["from"].as_str().unwrap_or_default())));
        self.serial += 1;
        let wamid = format!("wamid.in{}", self.serial);
        message["id"] = json!(wamid);
        message["timestamp"] = json!((self.told(now).0 / 1_000).to_string());
        let late = [2_000, 2_000, 2_000, 60_000, 3_600_000][usize::try_from(dice.below(5)).unwrap_or(0)];
        let at = now + Duration::from_millis(dice.below(late));
        self.items.push(Item { at, over, key: "messages", value: message });
        wamid
    }

    /// Puts what is due into a body, in any order, some of it to be told once more.
    pub fn collect(&mut self, now: Timestamp, dice: &mut Rng) -> bool {
        let (mut due, later): (Vec<Item>, Vec<Item>) =
            std::mem::take(&mut self.items).into_iter().partition(|item| item.at <= now);
        self.items = later;
        let mut body = Vec::new();
        let wanted = 1 + dice.below(6);
        while !due.is_empty() && (body.len() as u64) < wanted {
            let index = usize::try_from(dice.below(due.len() as u64)).unwrap_or(0);
            let item = due.swap_remove(index);
            if !self.is_healed && dice.below(8) == 0 {
                let at = now + Duration::from_millis(dice.below(30_000));
                self.items.push(Item { at, ..item.clone() });
            }
            body.push(item);
        }
        self.items.append(&mut due);
        if body.is_empty() {
            return false;
        }
        self.serial += 1;
        let body = webhook(&body);
        self.deliveries.push(Delivery { number: self.serial, body, next: now, awaited_until: None });
        true
    }

    /// Somebody else who knows the address writes as a person, and asks for the gate or taps a button of theirs.
    pub fn forge(&mut self, now: Timestamp, dice: &mut Rng) -> (Vec<u8>, String) {
        self.serial += 1;
        let tapped = self.taken.iter().rev().find_map(|taken| Some((&taken.to, taken.buttons.first()?)));
        let mut value = match tapped {
            Some((to, (id, title))) => json!({ "from": to, "type": "interactive",
                "interactive": { "type": "button_reply", "button_reply": { "id": id, "title": title } } }),
            None => json!({ "from": "15550100001", "type": "text", "text": { "body": "open gate" } }),
        };
        value["id"] = json!(format!("wamid.forged{}", self.serial));
        value["timestamp"] = json!((self.told(now).0 / 1_000).to_string());
        let body = webhook(&[Item { at: now, over: NUMBERS[0], key: "messages", value }]);
        // With a secret that is not ours; with a signature that was Meta's, of another body; without any.
        let signature = match dice.below(3) {
            0 => signed("guessed", &body),
            1 => signed(APP_SECRET, b"{}"),
            _ => String::new(),
        };
        (body, signature)
    }

    /// A body to post now. Meta gives an answer 5 s, as the gateway's door does.
    pub fn next_post(&mut self, now: Timestamp, dice: &mut Rng) -> Option<(u64, Vec<u8>)> {
        let is_due = |delivery: &&mut Delivery| delivery.awaited_until.is_none() && delivery.next <= now;
        let mut due: Vec<&mut Delivery> = self.deliveries.iter_mut().filter(is_due).collect();
        let index = usize::try_from(dice.below(due.len() as u64)).unwrap_or(0);
        let delivery = due.get_mut(index)?;
        delivery.awaited_until = Some(now + Duration::from_secs(5));
        Some((delivery.number, delivery.body.clone()))
    }

    /// The gateway answered 200, or 503.
    pub fn posted(&mut self, number: u64, kept: bool, now: Timestamp) {
        if kept {
            self.deliveries.retain(|delivery| delivery.number != number);
        } else {
            self.retry(now, |delivery| delivery.number == number);
        }
    }

    /// Answers that did not come in time; `all` when the line is cut.
    pub fn give_up(&mut self, now: Timestamp, all: bool) {
        self.retry(now, |delivery| delivery.awaited_until.is_some_and(|until| all || until <= now));
    }

    fn retry(&mut self, now: Timestamp, which: impl Fn(&Delivery) -> bool) {
        for delivery in self.deliveries.iter_mut().filter(|delivery| which(delivery)) {
            delivery.awaited_until = None;
            delivery.next = now + Duration::from_secs(20);
        }
    }

    /// When something of Meta's happens next.
    pub fn next_at(&self) -> Option<Timestamp> {
        let answers = self.answers.iter().map(|(at, _, _)| *at);
        let items = self.items.iter().map(|item| item.at);
        let posts = self.deliveries.iter().map(|delivery| delivery.awaited_until.unwrap_or(delivery.next));
        let to_hubs = self.to_hubs.iter().map(|(at, _, _)| *at);
        answers.chain(to_hubs).chain(items).chain(posts).min()
    }

    pub fn has_due(&self, now: Timestamp) -> bool {
        self.items.iter().any(|item| item.at <= now)
    }

    pub fn has_post(&self, now: Timestamp) -> bool {
        self.deliveries.iter().any(|delivery| delivery.awaited_until.is_none() && delivery.next <= now)
    }

    /// Whether everything has been told.
    pub fn is_empty(&self) -> bool {
        let is_told = self.answers.is_empty() && self.to_hubs.is_empty();
        self.items.is_empty() && self.deliveries.is_empty() && is_told
    }
}
