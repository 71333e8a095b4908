//! What happens to a message that was taken: `sent`, `delivered`, `read`, `played`, or `failed` (docs/cloud-api.md 3.7).

use std::time::Duration;

use serde_json::{Value, json};

use crate::encoding::hex;
use crate::graph::Refusal;
use crate::people::Person;
use crate::state::Simulator;
use crate::time::Timestamp;
use crate::validate::Recipient;
use crate::webhooks::{Forms, messages, written};
use crate::world::{Plan, Sent};

/// Between sent, delivered and read.
const STEP: Duration = Duration::from_millis(30);

impl Simulator {
    /// Sends the statuses of a message as its plan says.
    pub fn receipts(&self, sent: Sent, plan: Plan) {
        let simulator = self.clone();
        tokio::spawn(async move {
            let mut words = plan.words;
            if let Some(last) =
                plan.wishes.last.as_ref().and_then(|last| words.iter().position(|word| word == last))
            {
                words.truncate(last + 1);
            }
            if plan.wishes.reorder {
                words.reverse();
            }
            for word in words {
                tokio::time::sleep(STEP).await;
                let (values, url) = {
                    let mut world = simulator.world.lock().await;
                    world.mark(&sent.id, word);
                    let now = Self::now(&world);
                    let error = plan.error.as_ref().filter(|_| word == "failed");
                    let of = |person| {
                        let status = status(&world.forms, &sent, person, word, now, error);
                        let contacts = contacts(&world.forms, &sent, person, word);
                        messages(&world.account, &sent.phone_number_id, contacts, "statuses", &[status])
                    };
                    let values: Vec<Value> = sent.told().iter().map(of).collect();
                    (values, simulator.callback(&world, &sent.phone_number_id))
                };
                // Held messages tell nobody.
                if plan.wishes.drop || word == "held" {
                    continue;
                }
                let Some(url) = url else { continue };
                for body in values.iter().map(written) {
                    for _ in 0..plan.wishes.duplicate.unwrap_or(1) {
                        simulator.postman.deliver(&url, &body, plan.wishes.forge).await;
                    }
                }
            }
        });
    }
}

impl Sent {
    /// Whom its statuses are about: the person, or each participant of the group.
    pub fn told(&self) -> &[Person] {
        if self.participants.is_empty() { std::slice::from_ref(&self.person) } else { &self.participants }
    }
}

/// One entry of `statuses[]`, about one person.
pub fn status(
    forms: &Forms,
    sent: &Sent,
    person: &Person,
    word: &str,
    at: Timestamp,
    error: Option<&Refusal>,
) -> Value {
    let mut status = json!({ "id": sent.id, "status": word, "timestamp": (at.0 / 1_000).to_string() });
    let to_user = matches!(sent.recipient, Recipient::User(_));
    // A failed status names the user id only when it was addressed (docs/cloud-api.md 3.6).
    if let Some(wa_id) = sent.person.wa_id.as_ref().filter(|_| word != "failed" || !to_user) {
        status["recipient_id"] = json!(wa_id);
    }
    if matches!(sent.recipient, Recipient::Group(_)) {
        status["recipient_type"] = json!("group");
        status["recipient_participant_id"] = json!(person.wa_id);
        if forms.user_ids {
            status["recipient_participant_user_id"] = json!(person.user_id);
        }
    } else if forms.user_ids && (word != "failed" || to_user) {
        status["recipient_user_id"] = json!(sent.person.user_id);
    }
    if let Some(hash) = sent.body["recipient_identity_key_hash"].as_str() {
        status["recipient_identity_key_hash"] = json!(hash);
    }
    if let Some(data) = sent.body["biz_opaque_callback_data"].as_str() {
        status["biz_opaque_callback_data"] = json!(data);
    }
    if word == "sent" || word == "delivered" {
        status["pricing"] = sent.pricing.clone();
        if forms.has_conversation() {
            status["conversation"] = conversation(sent, word);
        }
    }
    if let Some(error) = error {
        status["errors"] = error.in_webhook();
    }
    status
}

/// v23 and older: an id of its own for each message, with an end on `sent` alone.
fn conversation(sent: &Sent, word: &str) -> Value {
    let id = hex(&sent.id.bytes().rev().take(16).collect::<Vec<u8>>());
    let mut conversation = json!({ "id": id, "origin": { "type": sent.pricing["category"] } });
    if word == "sent" {
        let end = sent.at.0 / 1_000 + 86_400;
        conversation["expiration_timestamp"] = json!(end.to_string());
    }
    conversation
}

/// Statuses name the person too since there are user ids, of a group the participant; `failed` ones do not (docs/cloud-api.md 3.6)
/// unless that was asked for: pywa's examples have it.
pub fn contacts(forms: &Forms, sent: &Sent, person: &Person, word: &str) -> Vec<Value> {
    let group = matches!(sent.recipient, Recipient::Group(_));
    if !group && (!forms.user_ids || (word == "failed" && !forms.failed_contacts)) {
        return Vec::new();
    }
    vec![person.contact(forms.user_ids, true)]
}
