//! Home Assistant: how the gateway appears in it as a device, and what may be asked from there.
//!
//! The form is Home Assistant's device discovery (home-assistant.io/integrations/mqtt, "Device discovery payload"): one
//! retained message with the device `dev`, the program that tells of it `o`, and its entities `cmps`, each with its
//! platform `p` and an id of its own. Everything that it publishes to is below `bellwire/CLIENT/home-assistant/`, so that
//! one line of the broker's access list guards it (docs/security.md).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::time::Timestamp;

/// Home Assistant keeps no longer state (homeassistant/const.py, `MAX_LENGTH_STATE_STATE`).
const STATE_MAX: usize = 255;
/// What its button publishes unless told otherwise.
pub const PRESS: &str = "PRESS";
/// Its name in silences and in the audit.
pub const NAME: &str = "Home Assistant";
/// What people do: the types of the event entity.
const REPLIES: [&str; 4] = ["tap", "text", "reaction", "file"];
/// What becomes of a message (`store/migrations/home_events.sql`).
const MESSAGES: [&str; 7] = ["sent", "delivered", "read", "failed", "expired", "cancelled", "held"];
/// The origin's address, which Home Assistant shows beside the version.
const URL: &str = "https://bellwire.example/";

/// The gateway as it wants to be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appearance {
    /// Home Assistant's discovery prefix.
    pub prefix: String,
    pub client_id: String,
    pub site: String,
    /// Where its page is, if that can be told.
    pub page: Option<String>,
    /// Whom a notify entity of their own reaches: contacts and teams, id and name.
    pub people: Vec<(String, String)>,
}

/// How the gateway is known to Home Assistant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    pub id: String,
    /// The entities that it has had, each with its platform.
    pub parts: BTreeMap<String, String>,
}

/// What a message from there is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlRequest {
    /// Home Assistant has started, and wants to hear everything again.
    Introduce,
    Mute(bool),
    /// The button: a rule of ours makes a message of it.
    Test,
    /// A text for people: the same way.
    Tell,
    /// Neither ON nor OFF.
    Nonsense,
}

/// What changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityStates {
    pub queue: u64,
    /// Since when the oldest message waits.
    pub oldest: Option<Timestamp>,
    /// How many wait for their person to write.
    pub window: u64,
    pub last_error: Option<String>,
    /// Whether Meta took the tokens when they were last used; `None` before that.
    pub tokens_good: Option<bool>,
    pub is_muted: bool,
}

impl Appearance {
    /// The device's id: what Home Assistant allows in one, `[a-zA-Z0-9_-]`.
    #[must_use]
    pub fn id(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '-' };
        self.client_id.chars().map(plain).collect()
    }

    /// `id`: under which it is known there (`Store::meet_home`).
    #[must_use]
    pub fn discovery_topic(&self, id: &str) -> String {
        format!("{}/device/{id}/config", self.prefix)
    }

    /// Where what came of something is told, by its kind.
    #[must_use]
    pub fn event_topic(&self, kind: &str) -> String {
        self.own(&format!("event/{kind}"))
    }

    /// What became last of a message to somebody.
    #[must_use]
    pub fn person_topic(&self, contact: &str) -> String {
        self.own(&format!("to/{contact}"))
    }

    /// Where Home Assistant says that it has started.
    #[must_use]
    pub fn birth_topic(&self) -> String {
        format!("{}/status", self.prefix)
    }

    #[must_use]
    pub fn state_topic(&self) -> String {
        self.own("state")
    }

    #[must_use]
    pub fn mute_topic(&self) -> String {
        self.own("mute/set")
    }

    #[must_use]
    pub fn test_topic(&self) -> String {
        self.own("test/set")
    }

    #[must_use]
    pub fn notify_topic(&self) -> String {
        self.own("notify/set")
    }

    /// Requests of automations (`alert/request.rs`).
    #[must_use]
    pub fn request_topic(&self) -> String {
        self.own("notify")
    }

    /// Where taps on what a request offers are published.
    #[must_use]
    pub fn action_topic(&self) -> String {
        self.own("action")
    }

    /// Where a request may have its outcome sent (MQTT 5, 3.3.2.3.5): we publish with our own rights, so nowhere else.
    #[must_use]
    pub fn may_answer(&self, topic: &str) -> bool {
        let name = self.below_own(topic).and_then(|own| own.strip_prefix("answer/"));
        name.is_some_and(|name| !name.is_empty() && !name.contains(['/', '+', '#']))
    }

    fn own(&self, rest: &str) -> String {
        format!("bellwire/{}/home-assistant/{rest}", self.client_id)
    }

    /// `None`: it is about something else.
    #[must_use]
    pub fn read(&self, topic: &str, payload: &[u8]) -> Option<ControlRequest> {
        if let Some(own) = self.below_own(topic) {
            return match (own, payload) {
                ("mute/set", b"ON") => Some(ControlRequest::Mute(true)),
                ("mute/set", b"OFF") => Some(ControlRequest::Mute(false)),
                ("mute/set", _) => Some(ControlRequest::Nonsense),
                ("test/set", pressed) if pressed == PRESS.as_bytes() => Some(ControlRequest::Test),
                ("notify/set" | "notify", _) => Some(ControlRequest::Tell),
                (_, _) => None,
            };
        }
        let is_birth = topic.strip_prefix(&self.prefix) == Some("/status") && payload == b"online";
        is_birth.then_some(ControlRequest::Introduce)
    }

    /// Each event is asked this: it takes no memory.
    fn below_own<'a>(&self, topic: &'a str) -> Option<&'a str> {
        topic
            .strip_prefix("bellwire/")?
            .strip_prefix(self.client_id.as_str())?
            .strip_prefix("/home-assistant/")
    }

    /// What is published, retained, to [`Self::discovery_topic`].
    #[must_use]
    pub fn discovery(&self, version: &str, known: &Presence) -> Value {
        let status = format!("bellwire/{}/status", self.client_id);
        let mut device = json!({
            "identifiers": [known.id],
            "name": format!("Bellwire {}", self.site),
            "manufacturer": "Bellwire",
            "model": "MQTT to WhatsApp gateway",
            "sw_version": version,
        });
        if let Some(page) = &self.page {
            device["configuration_url"] = page.clone().into();
        }
        // What it was shown with once and is not any more is taken away by its platform alone.
        let gone = known.parts.iter().map(|(key, platform)| (key.clone(), json!({ "p": platform })));
        let mut parts: serde_json::Map<String, Value> = gone.collect();
        for (key, mut part) in self.parts() {
            part["unique_id"] = format!("{}_{key}", known.id).into();
            // All but the one that says whether it is there are unavailable when it is not: our last will says so. A text
            // waits at the broker meanwhile, and what came last of something stays so.
            let is_always = key == "connected" || part["p"] == "notify" || part["p"] == "event";
            if !is_always {
                part["availability_topic"] = status.clone().into();
            }
            parts.insert(key, part);
        }
        json!({ "dev": device, "o": { "name": "Bellwire", "sw": version, "url": URL }, "cmps": parts })
    }

    /// Its entities by their keys.
    fn parts(&self) -> Vec<(String, Value)> {
        let status = format!("bellwire/{}/status", self.client_id);
        let fixed = self.shown(&status).into_iter().chain(self.asked()).chain(self.heard());
        let of_people = self.people.iter().map(|(id, name)| {
            let template = format!("{{{{ {{'to': '{id}', 'message': value}} | to_json }}}}");
            let part = json!({
                "p": "notify", "name": format!("WhatsApp {name}"), "icon": "mdi:whatsapp", "command_topic": self.request_topic(),
                "command_template": template, "json_attributes_topic": self.person_topic(id), "qos": 1,
            });
            (format!("notify_{id}"), part)
        });
        fixed.map(|(key, part)| (key.to_owned(), part)).chain(of_people).collect()
    }

    /// Every key that it has or had, with its platform.
    #[must_use]
    pub fn platforms(&self) -> BTreeMap<String, String> {
        let own = |(key, part): (String, Value)| (key, part["p"].as_str().unwrap_or_default().to_owned());
        let before = [("oldest".to_owned(), "sensor".to_owned())]; // a duration until 0.9
        before.into_iter().chain(self.parts().into_iter().map(own)).collect()
    }

    /// What people do, and what becomes of messages and requests.
    fn heard(&self) -> Vec<(&'static str, Value)> {
        let event = |name: &str, icon: &str, kind: &str, types: &[&str]| {
            json!({
                "p": "event", "name": name, "icon": icon, "state_topic": self.event_topic(kind), "event_types": types, "qos": 1,
            })
        };
        vec![
            ("reply", event("Reply", "mdi:gesture-tap-button", "reply", &REPLIES)),
            ("message", event("Message", "mdi:message-check", "message", &MESSAGES)),
            ("request", event("Request", "mdi:message-alert", "request", &["accepted", "refused"])),
        ]
    }

    fn shown(&self, status: &str) -> Vec<(&'static str, Value)> {
        let state = self.state_topic();
        vec![
            (
                "connected",
                json!({
                    "p": "binary_sensor", "name": "Connected", "device_class": "connectivity",
                    "entity_category": "diagnostic", "state_topic": status, "payload_on": "online",
                    "payload_off": "offline",
                }),
            ),
            (
                "queue",
                json!({
                    "p": "sensor", "name": "Messages waiting", "icon": "mdi:tray-full", "state_class": "measurement",
                    "state_topic": state, "value_template": "{{ value_json.queue }}",
                }),
            ),
            (
                "waits_since",
                json!({
                    "p": "sensor", "name": "Oldest message", "device_class": "timestamp", "entity_category": "diagnostic",
                    "state_topic": state, "value_template": "{{ value_json.oldest }}",
                }),
            ),
            (
                "window",
                json!({
                    "p": "sensor", "name": "Held for a reply", "icon": "mdi:message-lock", "state_class": "measurement",
                    "state_topic": state, "value_template": "{{ value_json.window }}",
                }),
            ),
            (
                "last_error",
                json!({
                    "p": "sensor", "name": "Last error", "icon": "mdi:message-alert", "entity_category": "diagnostic",
                    "state_topic": state, "value_template": "{{ value_json.last_error }}",
                }),
            ),
            (
                "token",
                json!({
                    "p": "binary_sensor", "name": "Access token", "device_class": "problem",
                    "entity_category": "diagnostic", "state_topic": state,
                    "value_template": "{{ value_json.token }}", "payload_on": "refused", "payload_off": "good",
                }),
            ),
        ]
    }

    fn asked(&self) -> Vec<(&'static str, Value)> {
        vec![
            (
                "mute",
                json!({
                    "p": "switch", "name": "Mute", "icon": "mdi:bell-sleep", "state_topic": self.state_topic(),
                    "value_template": "{{ value_json.mute }}", "command_topic": self.mute_topic(), "qos": 1,
                }),
            ),
            (
                "test",
                json!({
                    "p": "button", "name": "Send test", "icon": "mdi:message-check",
                    "entity_category": "diagnostic", "command_topic": self.test_topic(), "payload_press": PRESS,
                    "qos": 1,
                }),
            ),
            (
                "notify",
                json!({
                    "p": "notify", "name": "WhatsApp", "icon": "mdi:whatsapp", "command_topic": self.notify_topic(),
                    "qos": 1,
                }),
            ),
        ]
    }
}

impl EntityStates {
    /// What is published, retained, to [`Appearance::state_topic`].
    #[must_use]
    pub fn payload(&self) -> String {
        let error: String = self.last_error.as_deref().unwrap_or("none").chars().take(STATE_MAX).collect();
        // A template renders null as None, which Home Assistant takes for unknown.
        let token = self.tokens_good.map(|good| if good { "good" } else { "refused" });
        let mute = if self.is_muted { "ON" } else { "OFF" };
        json!({
            "queue": self.queue, "oldest": self.oldest.map(Timestamp::rfc3339), "window": self.window, "last_error": error, "token": token, "mute": mute,
        })
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bakery() -> Appearance {
        Appearance {
            prefix: "homeassistant".into(),
            client_id: "bellwire-corner.bakery".into(),
            site: "Corner Bakery".into(),
            page: None,
            people: vec![("nino".into(), "Nino".into()), ("kitchen".into(), "kitchen".into())],
        }
    }

    fn known() -> Presence {
        Presence { id: bakery().id(), parts: bakery().platforms() }
    }

    #[test]
    fn the_device_is_one_message() {
        assert_eq!(
            bakery().discovery_topic(&bakery().id()),
            "homeassistant/device/bellwire-corner-bakery/config"
        );
        let found = bakery().discovery("1.2.3", &known());
        assert_eq!(
            found["dev"],
            json!({
                "identifiers": ["bellwire-corner-bakery"], "name": "Bellwire Corner Bakery",
                "manufacturer": "Bellwire", "model": "MQTT to WhatsApp gateway", "sw_version": "1.2.3",
            })
        );
        assert_eq!(
            found["o"],
            json!({ "name": "Bellwire", "sw": "1.2.3", "url": "https://bellwire.example/" })
        );
        let keys: Vec<&String> = found["cmps"].as_object().expect("an object").keys().collect();
        assert_eq!(
            keys,
            [
                "connected",
                "last_error",
                "message",
                "mute",
                "notify",
                "notify_kitchen",
                "notify_nino",
                "oldest",
                "queue",
                "reply",
                "request",
                "test",
                "token",
                "waits_since",
                "window",
            ]
        );
        assert_eq!(
            found["cmps"]["mute"],
            json!({
                "p": "switch", "unique_id": "bellwire-corner-bakery_mute", "name": "Mute",
                "icon": "mdi:bell-sleep",
                "state_topic": "bellwire/bellwire-corner.bakery/home-assistant/state",
                "value_template": "{{ value_json.mute }}",
                "command_topic": "bellwire/bellwire-corner.bakery/home-assistant/mute/set", "qos": 1,
                "availability_topic": "bellwire/bellwire-corner.bakery/status",
            })
        );
        assert_eq!(
            found["cmps"]["connected"],
            json!({
                "p": "binary_sensor", "unique_id": "bellwire-corner-bakery_connected", "name": "Connected",
                "device_class": "connectivity", "entity_category": "diagnostic",
                "state_topic": "bellwire/bellwire-corner.bakery/status", "payload_on": "online",
                "payload_off": "offline",
            })
        );
        let page = Appearance { page: Some("http://shop.local:8080/".into()), ..bakery() };
        assert_eq!(page.discovery("1", &known())["dev"]["configuration_url"], "http://shop.local:8080/");
    }

    #[test]
    fn notify_texts_wait_offline_and_renaming_keeps_the_device() {
        let found = bakery().discovery("1.2.3", &known());
        assert_eq!(found["cmps"]["oldest"], json!({ "p": "sensor" }), "what it once had is taken away");
        assert_eq!(
            found["cmps"]["notify_nino"],
            json!({
                "p": "notify", "unique_id": "bellwire-corner-bakery_notify_nino", "name": "WhatsApp Nino", "icon": "mdi:whatsapp",
                "command_topic": "bellwire/bellwire-corner.bakery/home-assistant/notify",
                "command_template": "{{ {'to': 'nino', 'message': value} | to_json }}",
                "json_attributes_topic": "bellwire/bellwire-corner.bakery/home-assistant/to/nino", "qos": 1,
            }),
            "a text waits at the broker: it has no availability"
        );
        let renamed = Appearance { client_id: "bellwire-the-corner".into(), ..bakery() };
        let found = renamed.discovery("1", &known());
        assert_eq!(
            found["dev"]["identifiers"][0], "bellwire-corner-bakery",
            "another name is no other device"
        );
        assert_eq!(found["cmps"]["queue"]["unique_id"], "bellwire-corner-bakery_queue");
    }

    #[test]
    fn the_state_is_one_message() {
        let state = EntityStates {
            queue: 3,
            oldest: Some(Timestamp(1_795_242_180_000)),
            window: 2,
            last_error: Some("x".repeat(300)),
            tokens_good: Some(false),
            is_muted: true,
        };
        let error = "x".repeat(255);
        assert_eq!(
            state.payload(),
            format!(
                r#"{{"last_error":"{error}","mute":"ON","oldest":"2026-11-21T06:23:00Z","queue":3,"token":"refused","window":2}}"#
            )
        );
        let new = EntityStates {
            queue: 0,
            oldest: None,
            window: 0,
            last_error: None,
            tokens_good: None,
            is_muted: false,
        };
        assert_eq!(
            new.payload(),
            r#"{"last_error":"none","mute":"OFF","oldest":null,"queue":0,"token":null,"window":0}"#
        );
    }

    #[test]
    fn control_topics_and_payloads_are_recognised() {
        let read = |topic: &str, payload: &str| bakery().read(topic, payload.as_bytes());
        let own = |rest: &str| format!("bellwire/bellwire-corner.bakery/home-assistant/{rest}");
        assert_eq!(read("homeassistant/status", "online"), Some(ControlRequest::Introduce));
        assert_eq!(read("homeassistant/status", "offline"), None);
        assert_eq!(read(&own("mute/set"), "ON"), Some(ControlRequest::Mute(true)));
        assert_eq!(read(&own("mute/set"), "OFF"), Some(ControlRequest::Mute(false)));
        assert_eq!(read(&own("mute/set"), "on"), Some(ControlRequest::Nonsense));
        assert_eq!(read(&own("test/set"), "PRESS"), Some(ControlRequest::Test));
        assert_eq!(read(&own("test/set"), "anything"), None);
        assert_eq!(read(&own("notify/set"), "The cake is ready"), Some(ControlRequest::Tell));
        assert_eq!(read(&own("notify"), "{}"), Some(ControlRequest::Tell));
        assert_eq!(read(&own("state"), "ON"), None);
        assert_eq!(read("bellwire/other/home-assistant/mute/set", "ON"), None);
    }

    #[test]
    fn topics_contain_the_client_id() {
        let appearance = Appearance { client_id: "Back_ery-1 ä".into(), ..bakery() };
        assert_eq!(appearance.id(), "Back_ery-1--");
        let own = "bellwire/Back_ery-1 ä/home-assistant/test/set";
        assert_eq!(
            (appearance.test_topic().as_str(), appearance.birth_topic()),
            (own, format!("{}/status", appearance.prefix))
        );
    }
}
