//! A house with a rule for every kind of payload, and what is asked of whatever its rules decide.

use std::sync::LazyLock;

use bellwire::alert::effect::told_once;
use bellwire::alert::intake::Decision;
use bellwire::config::{Config, LoadOptions, Problems, read};
use bellwire::contact::{Phone, Recipient};
use bellwire::event::incoming::{Event, EventSource, Identity};
use bellwire::ids::{AlertId, ContactId, MessageId, StoreTag};
use bellwire::outbox::button_token::ButtonSigner;
use bellwire::outbox::message::Content;
use bellwire::outbox::render::{as_quick_replies, outgoing};
use bellwire::time::Timestamp;
use bellwire::whatsapp::request::{self, RequestContent};
use serde_json::Value;

/// 2026-11-21 06:23 UTC.
pub const NOW: Timestamp = Timestamp(1_795_242_180_000);
/// The longest request: texts of 4,096 characters and less, each escaped to at most six bytes.
const REQUEST_MAX_BYTES: usize = 64 * 1024;
/// Meta's limits (docs/cloud-api.md 1.2, 1.3), in UTF-16 units.
const TEXT: usize = 4_096;
const TEMPLATE_BODY: usize = 1_024;

/// Without a rule.
pub const HEAD: &str = r#"
[site]
name = "Corner Bakery"
time_zone = "Asia/Tbilisi"
[mqtt]
url = "mqtt://127.0.0.1:1883"
[[connection]]
name = "main"
phone_number_id = "109876543210123"
access_token_file = "t"
app_secret_file = "s"
verify_token_file = "v"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
roles = ["manager"]
[[contact]]
id = "giorgi"
phone = "+995 555 65 43 21"
"#;

const RULES: &str = r#"
[[rule]]
name = "any"
topic = "any/{area}/{unit}"
when = "payload.celsius is not number or payload.celsius > -15"
message = "{{ area }} {{ unit }}: {{ payload }}"
notify = ["nino", "giorgi"]
template = { name = "alarm_v1", language = "en", parameters = ["{{ text }}", "{{ payload }} {{ topic }}", "{{ unit }}"] }
[[rule.action]]
id = "set"
title = "Set it"
topic = "do/{area}/{unit}/set"
payload = "1"
roles = ["manager"]
[[rule]]
name = "json"
topic = "json/{area}"
payload = "json"
when = "payload.celsius > -15"
resolve_when = "payload.celsius < -17"
value = "payload.celsius"
window = "10m"
dedupe_key = "payload.n"
message = "{{ area }} {{ value | round(1) }}"
notify = ["nino"]
buttons = ["acknowledge", "snooze 1h"]
escalate = [{ after = "10m", unless = "acknowledged", topic = "siren/{area}", payload = "ON" }]
[[rule]]
name = "text"
topic = "text/#"
payload = "text"
message = "{{ topic }}: {{ payload }}"
notify = ["nino"]
[[rule]]
name = "number"
topic = "number/{area}"
payload = "number"
value = "payload"
when = "value > 3 and previous != value"
for = "1m"
message = "{{ area }} {{ value }}"
notify = ["giorgi"]
[[rule]]
name = "cbor"
topic = "cbor/{area}"
payload = "cbor"
message = "{{ payload }}"
notify = ["nino"]
[[rule]]
name = "postcard"
topic = "postcard/{area}"
payload = "postcard"
message = "{{ payload.device }} {{ payload }}"
notify = ["nino"]
[[rule]]
name = "picture"
topic = "picture/{area}"
attach = { kind = "image", from = "payload" }
message = "A picture of {{ area }}"
notify = ["nino"]
"#;

pub fn house() -> &'static Config {
    static HOUSE: LazyLock<Config> =
        LazyLock::new(|| parse(&format!("{HEAD}{RULES}")).expect("the house is right"));
    &HOUSE
}

pub fn parse(text: &str) -> Result<Config, Problems> {
    read("house.toml", text, &LoadOptions { without_secrets: true, ..LoadOptions::default() })
}

/// What the rules make of one event, looked at as Meta and the device's owner would.
pub fn decide(config: &Config, topic: &str, content_type: Option<&str>, payload: &[u8]) -> Decision {
    let event = Event {
        source: EventSource::Mqtt,
        topic: topic.to_owned(),
        payload: payload.to_vec().into(),
        content_type: content_type.map(str::to_owned),
        identity: Identity::Packet { id: 7, redelivered: false },
        retained: false,
        expires_in_s: None,
        received_at: NOW,
        happened_at: None,
    };
    let judge = config.rule_set().expect("a configuration that was read has rules that compile");
    let mut watch = judge.watch();
    let decision = judge.decide(event, &mut watch, NOW);
    let concerned = config.rules.iter().filter(|rule| rule.topic.matches(topic).is_some()).count();
    let once = told_once(&decision.effects);
    assert_eq!(once.len() + decision.ignored.len(), concerned, "each rule says what it made of it");
    for (_, messages) in once {
        assert!(!messages.is_empty(), "an alert for nobody");
        for (content, _) in messages {
            can_be_sent(content);
        }
    }
    decision
}

/// Meta takes it: within its limits, in each form that it may have.
pub fn can_be_sent(content: &Content) {
    let tag = StoreTag::new("0badcafe");
    let seal = ButtonSigner::new(tag.clone(), [7; 32]);
    let to = Recipient::Phone(Phone::parse("+995555123456").expect("a number"));
    let content = outgoing(content, &seal, Some(AlertId(1)), &ContactId("nino".into()), NOW);
    let sentences = bellwire::contact::language::Language::English.sentences();
    let free = RequestContent::Free { content: &content, more: &tag.more(MessageId(1)), sentences };
    let body = send(free, &to);
    let text = body.pointer("/text/body").or_else(|| body.pointer("/interactive/body/text"));
    if let Some(text) = text.and_then(Value::as_str) {
        assert!(length(text) <= TEXT, "{} characters", length(text));
    }
    for index in 0..content.templates.len() {
        let template = as_quick_replies(&content, index, 3);
        let body = send(RequestContent::Template { template: &template, words: &content.text }, &to);
        let components = body["template"]["components"].as_array().cloned().unwrap_or_default();
        let body = components.into_iter().find(|component| component["type"] == "body").unwrap_or_default();
        let mut all = 0;
        for parameter in body["parameters"].as_array().into_iter().flatten() {
            let text = parameter["text"].as_str().unwrap_or_default();
            assert!(!text.is_empty() && !text.contains(['\n', '\r', '\t']), "{text:?}");
            assert!(!text.contains("     "), "{text:?}");
            all += length(text);
        }
        assert!(all <= TEMPLATE_BODY, "{all} characters in a template");
    }
}

fn send(form: RequestContent, to: &Recipient) -> Value {
    let body = request::body(form, to, "bellwire/0badcafe/1");
    assert!(body.len() <= REQUEST_MAX_BYTES, "{} bytes", body.len());
    serde_json::from_slice(&body).expect("a request is JSON")
}

fn length(text: &str) -> usize {
    text.encode_utf16().count()
}
