//! What the simulator remembers and decides. No sockets: a request and a time go in, an answer and webhooks come out.

use std::collections::VecDeque;

use secrecy::SecretString;
use serde_json::{Value, json};

use crate::account::Account;
use crate::buttons::{self, Button};
use crate::faults::{Fault, Faults, Statuses};
use crate::graph::Refusal;
use crate::limits::{Form, Limits};
use crate::media::{self, Media};
use crate::people::{People, Person};
use crate::plan::plan;
use crate::price::Prices;
use crate::templates::{Catalogue, judge};
use crate::time::Timestamp;
use crate::validate::{self, Recipient, Request};
use crate::wamid::wamid;
use crate::webhooks::Forms;

/// Messages that are remembered: a flood of a test, with room.
const MESSAGES_MAX: usize = 20_000;

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
    /// As the request gave it.
    pub to: String,
    pub recipient: Recipient,
    pub person: Person,
    /// Of a group: whom statuses name.
    pub participants: Vec<Person>,
    pub kind: String,
    pub body: Value,
    pub buttons: Vec<Button>,
    /// The words that a template is filled to.
    pub filled: Option<String>,
    pub pricing: Value,
    pub status: &'static str,
    pub at: Timestamp,
}

/// A message that a person wrote.
#[derive(Debug, Clone)]
pub struct Written {
    pub id: String,
    pub from: String,
    pub user_id: String,
    pub kind: String,
    pub text: String,
    pub quotes: Option<String>,
    pub at: Timestamp,
    /// The business marked it as read, or showed that it types.
    pub read: bool,
    pub typing: bool,
}

#[derive(Debug, Default)]
pub struct World {
    pub sent: VecDeque<Sent>,
    pub written: VecDeque<Written>,
    pub faults: Faults,
    /// How far its clock is ahead of the machine's.
    pub ahead_ms: i64,
    pub limits: Limits,
    pub people: People,
    pub catalogue: Catalogue,
    pub media: Media,
    pub account: Account,
    pub forms: Forms,
    prices: Prices,
    numbered: u64,
}

/// How a request ends.
#[derive(Debug)]
pub enum Ending {
    /// With this status and body.
    Answer {
        status: u16,
        body: Value,
        headers: Vec<(String, String)>,
    },
    Html {
        status: u16,
    },
    /// The connection stays open and silent.
    Hang,
    /// The connection is dropped.
    Reset,
}

/// What happens to a message that was taken.
#[derive(Debug, Default)]
pub struct Plan {
    /// Its statuses, in order.
    pub words: Vec<&'static str>,
    /// Why it fails.
    pub error: Option<Refusal>,
    pub wishes: Statuses,
}

/// What follows from a request.
#[derive(Debug)]
pub struct Outcome {
    pub ending: Ending,
    pub delay_ms: u64,
    pub accepted: Option<(Sent, Plan)>,
}

impl World {
    /// `POST /{phone_number_id}/messages`.
    pub fn send(&mut self, number: &str, body: Value, now: Timestamp) -> Outcome {
        let (mut recipient, kind) = match validate::message(&body) {
            Err(refusal) => return self.refuse(&refusal),
            Ok(Request::Read { message_id, typing }) => {
                self.mark_read(&message_id, typing);
                return plain(200, json!({ "success": true }));
            }
            Ok(Request::Message { recipient, kind }) => (recipient, kind),
        };
        if let (Recipient::Phone(_), Some(to)) = (&recipient, body["to"].as_str())
            && self.people.has_phone(to)
        {
            recipient = Recipient::Phone(to.to_owned()); // of somebody who wrote before, even when it looks American
        }
        let filled = match self.look_up(number, &recipient, &kind, &body, now) {
            Ok(filled) => filled,
            Err(refusal) => return self.refuse(&refusal),
        };
        let to = body["to"].as_str().or_else(|| body["recipient"].as_str()).unwrap_or_default().to_owned();
        let fault = self.faults.take(&to).unwrap_or_default();
        let delay_ms = fault.delay_ms.unwrap_or(0);
        if let Some(ending) = self.fail(&fault) {
            return Outcome { ending, delay_ms, accepted: None };
        }
        let person = self.people.addressed(&recipient);
        let later = match self.admit(number, &recipient, &person, &kind, now) {
            Err((Form::Direct, refusal)) => return self.refuse(&refusal),
            Err((Form::Later, refusal)) => Some(refusal),
            Ok(()) => self.doomed(&person, &kind, &body),
        };
        let held = kind == "template" && self.template(&body).is_some_and(|template| template.held);
        let address = (to, recipient, person);
        let sent = self.accept(number, address, kind, body, filled, now);
        let plan = plan(&sent, held, later, fault.statuses.unwrap_or_default());
        let answer = answer(&sent, held);
        let ending = match (fault.hang_after_accept, fault.reset_after_accept) {
            (true, _) => Ending::Hang,
            (_, true) => Ending::Reset,
            (false, false) => Ending::Answer { status: 200, body: answer, headers: Vec::new() },
        };
        Outcome { ending, delay_ms, accepted: Some((sent, plan)) }
    }

    pub fn refuse(&mut self, refusal: &Refusal) -> Outcome {
        self.numbered += 1;
        plain(refusal.status(), refusal.body(&self.trace()))
    }

    pub fn mark(&mut self, id: &str, status: &'static str) {
        if let Some(sent) = self.sent.iter_mut().rev().find(|sent| sent.id == id) {
            sent.status = status;
        }
    }

    /// A new id for what a person writes.
    pub fn inbound_id(&mut self, who: &str, now: Timestamp) -> String {
        self.numbered += 1;
        wamid(who, 0x12, now, self.numbered)
    }

    pub fn wrote(&mut self, written: Written) {
        self.written.push_back(written);
        self.written.drain(..self.written.len().saturating_sub(MESSAGES_MAX));
    }

    /// What a fault makes of a request.
    pub fn fail(&mut self, fault: &Fault) -> Option<Ending> {
        if fault.reset_before_accept {
            return Some(Ending::Reset);
        }
        if fault.html {
            return Some(Ending::Html { status: fault.status.unwrap_or(502) });
        }
        let retry_after = fault.retry_after.map(|seconds| ("retry-after".to_owned(), seconds.to_string()));
        let headers = fault.headers.clone().into_iter().chain(retry_after).collect();
        if let Some(code) = fault.code {
            let status = fault.status.unwrap_or(if code == 190 { 401 } else { 400 });
            self.numbered += 1;
            let body = Refusal::new(code, "as the simulator was told").body(&self.trace());
            return Some(Ending::Answer { status, body, headers });
        }
        let status = fault.status.filter(|status| *status != 200)?;
        Some(Ending::Answer { status, body: Value::Null, headers })
    }

    /// The held messages of a template, with what becomes of them: a failure, or delivery.
    pub fn release(&mut self, name: &str, language: &str, error: Option<&Refusal>) -> Vec<(Sent, Plan)> {
        let is_it = |sent: &&mut Sent| {
            let template = &sent.body["template"];
            sent.status == "held" && template["name"] == name && template["language"]["code"] == language
        };
        let mut released = Vec::new();
        for sent in self.sent.iter_mut().filter(is_it) {
            sent.status = "accepted";
            released.push((sent.clone(), plan(sent, false, error.cloned(), Statuses::default())));
        }
        released
    }

    fn trace(&self) -> String {
        format!("SIM{:08}", self.numbered)
    }

    fn template(&self, body: &Value) -> Option<&crate::templates::Template> {
        let template = &body["template"];
        self.catalogue.find(template["name"].as_str()?, template["language"]["code"].as_str()?)
    }

    /// What is refused because of what is, or is not, there; a template's words otherwise.
    fn look_up(
        &self,
        number: &str,
        recipient: &Recipient,
        kind: &str,
        body: &Value,
        now: Timestamp,
    ) -> Result<Option<String>, Refusal> {
        let mut filled = None;
        if self.account.number(number).is_some_and(|number| number.deregistered) {
            return Err(Refusal::new(133_010, "The phone number is not registered on the platform."));
        }
        if let (Some(number), Some(user)) = (self.account.number(number), self.people.user_id(recipient))
            && number.business.has_blocked(&user)
        {
            return Err(Refusal::new(
                130_403,
                "Unblock the user first: DELETE /{phone_number_id}/block_users.",
            ));
        }
        if kind == "template" {
            let Some(template) = self.template(body) else {
                let (name, language) = (&body["template"]["name"], &body["template"]["language"]["code"]);
                let details = format!("template name ({name}) does not exist in {language}").replace('"', "");
                return Err(Refusal::new(132_001, details));
            };
            if template.category == "AUTHENTICATION" && matches!(recipient, Recipient::User(_)) {
                let details =
                    "Business-scoped User ID (BSUID) recipients are not supported for this message.";
                return Err(Refusal::new(131_062, details));
            }
            filled = Some(judge(template, &body["template"]["components"])?);
        }
        for (kind, medium) in media::attachments(body) {
            if let Some(id) = medium["id"].as_str() {
                self.media.usable(id, kind, now)?;
            }
        }
        Ok(filled)
    }

    fn admit(
        &mut self,
        number: &str,
        recipient: &Recipient,
        person: &Person,
        kind: &str,
        now: Timestamp,
    ) -> Result<(), (Form, Refusal)> {
        // Groups have no customer service window, and templates need none.
        let free = kind == "template" || matches!(recipient, Recipient::Group(_));
        let window = if free { Ok(()) } else { self.limits.admit(number, &person.user_id, now) };
        // What is refused at once uses up nothing of the limits.
        if !matches!(window, Err((Form::Direct, _))) {
            self.limits.count(number, &person.user_id, now)?;
        }
        window
    }

    /// Why a message that is taken will fail.
    fn doomed(&self, person: &Person, kind: &str, body: &Value) -> Option<Refusal> {
        if person.wa_id.as_ref().is_some_and(|wa_id| self.people.is_gone(wa_id)) {
            return Some(Refusal::new(131_026, "Message Undeliverable."));
        }
        if let Some(id) = body["reaction"]["message_id"].as_str().filter(|_| kind == "reaction") {
            let known = self.written.iter().any(|written| written.id == id);
            if !known && !self.sent.iter().any(|sent| sent.id == id) {
                let details = "The message to react to is unknown or more than 30 days old.";
                return Some(Refusal::new(131_009, details));
            }
        }
        let link = media::attachments(body).into_iter().find_map(|(_, medium)| medium["link"].as_str());
        let details = "Downloading media from weblink failed: the address is in a private network";
        link.filter(|link| media::is_private(link)).map(|_| Refusal::new(131_053, details))
    }

    fn accept(
        &mut self,
        number: &str,
        (to, recipient, person): (String, Recipient, Person),
        kind: String,
        body: Value,
        filled: Option<String>,
        at: Timestamp,
    ) -> Sent {
        self.numbered += 1;
        let template = self.template(&body).filter(|_| kind == "template");
        let buttons = buttons::of(&body, template);
        let category = template.map(|template| template.category.clone());
        let pricing = match category {
            Some(category) => {
                let open = self.limits.is_open(number, &person.user_id, at);
                self.prices.template(&category, open, at)
            }
            None => self.prices.service(number, at),
        };
        // Never the same twice, in a simulator that was started again either.
        let id = wamid(person.wa_id.as_deref().unwrap_or(&person.user_id), 0x11, at, self.numbered);
        let phone_number_id = number.to_owned();
        let participants = match &recipient {
            Recipient::Group(group) => self.people.participants(group),
            Recipient::Phone(_) | Recipient::User(_) => Vec::new(),
        };
        let status = "accepted";
        self.account.number_mut(number);
        let sent = Sent {
            id,
            phone_number_id,
            to,
            recipient,
            person,
            participants,
            kind,
            body,
            buttons,
            filled,
            pricing,
            status,
            at,
        };
        self.sent.push_back(sent.clone());
        self.sent.drain(..self.sent.len().saturating_sub(MESSAGES_MAX));
        sent
    }

    /// Marks all earlier messages of the person too (docs/cloud-api.md 1.4).
    fn mark_read(&mut self, id: &str, typing: bool) {
        let Some(at) = self.written.iter().rposition(|written| written.id == id) else { return };
        let user = self.written[at].user_id.clone();
        self.written[at].typing |= typing;
        for written in self.written.iter_mut().take(at + 1).filter(|written| written.user_id == user) {
            written.read = true;
        }
    }
}

/// docs/cloud-api.md 1.5. To a user id there is no `wa_id`.
fn answer(sent: &Sent, held: bool) -> Value {
    let contact = match &sent.recipient {
        Recipient::Phone(wa_id) => json!({ "input": sent.to, "wa_id": wa_id }),
        Recipient::User(user_id) => json!({ "input": user_id, "user_id": user_id }),
        Recipient::Group(id) => json!({ "input": id, "wa_id": id }),
    };
    let mut message = json!({ "id": sent.id });
    if sent.kind == "template" {
        message["message_status"] = json!(if held { "held_for_quality_assessment" } else { "accepted" });
    }
    json!({ "messaging_product": "whatsapp", "contacts": [contact], "messages": [message] })
}

fn plain(status: u16, body: Value) -> Outcome {
    Outcome { ending: Ending::Answer { status, body, headers: Vec::new() }, delay_ms: 0, accepted: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_concerns_as_many_requests_as_it_says() {
        let mut world = World::default();
        world.faults.0.push(Fault { code: Some(131_047), count: Some(2), ..Fault::default() });
        let now = Timestamp(1_790_000_000_000);
        let text =
            json!({ "messaging_product": "whatsapp", "to": "+15550100123", "text": { "body": "hello" } });
        let codes: Vec<i64> = (0..3)
            .map(|_| match world.send("1", text.clone(), now).ending {
                Ending::Answer { body, .. } => body["error"]["code"].as_i64().unwrap_or(0),
                Ending::Html { .. } | Ending::Hang | Ending::Reset => -1,
            })
            .collect();
        assert_eq!(codes, [131_047, 131_047, 0]);
    }
}
