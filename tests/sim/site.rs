//! The shop that every seed runs: two numbers, three people, five rules, two commands in words, two questions of machines, and
//! what its devices say.

use bellwire::config::{self, Config, LoadOptions};
use bellwire::random::Rng;

use crate::broker::Publication;

/// The connections' names.
pub const NUMBERS: [&str; 2] = ["main", "other"];
const PHONE_NUMBER_IDS: [&str; 2] = ["109876543210123", "209876543210123"];
/// The contacts, with their phones.
pub const PEOPLE: [(&str, &str); 3] =
    [("nino", "15550100001"), ("giorgi", "15550100002"), ("lali", "15550100003")];
/// What a changed configuration may call one of them, and that one's other phone.
const RENAMED: (&str, &str) = ("giga", "giorgi");
pub const NEW_PHONE: (&str, &str) = ("giorgi", "15550100012");

/// Whom a configuration means by this name.
pub fn person(name: &str) -> &str {
    if name == RENAMED.0 { RENAMED.1 } else { name }
}

pub fn phone_number_id(number: &str) -> &'static str {
    PHONE_NUMBER_IDS[usize::from(number != NUMBERS[0])]
}

/// Whose phone that is.
pub fn contact_of(phone: &str) -> &'static str {
    let phone = phone.trim_start_matches('+');
    PEOPLE
        .into_iter()
        .chain([NEW_PHONE])
        .find(|(_, known)| *known == phone)
        .map_or("nobody", |(name, _)| name)
}

/// Over which number a rule writes.
pub fn number_of(rule: &str) -> &'static str {
    NUMBERS[usize::from(["door", "till", "pump"].contains(&rule))]
}

/// The rules differ in what they exercise: roles and several people; one text that repeats, a short life and `hold`;
/// events that their sender names. Two have alerts with a life: one at once with escalations, one after `for`, in
/// groups, to somebody who sleeps.
pub const RULES: &str = r#"
[site]
name = "Corner Bakery"
[mqtt]
url = "mqtt://127.0.0.1:1883"
[[connection]]
name = "main"
phone_number_id = "109876543210123"
access_token_file = "t"
app_secret_file = "s"
verify_token_file = "v"
[[connection]]
name = "other"
phone_number_id = "209876543210123"
access_token_file = "t"
app_secret_file = "s"
verify_token_file = "v"

[[contact]]
id = "nino"
phone = "+15550100001"
roles = ["manager"]
[[contact]]
id = "giorgi"
phone = "+15550100002"
quiet_hours = "06:30-07:30"
[[contact]]
id = "lali"
phone = "+15550100003"
[[team]]
id = "kitchen"
members = ["nino", "giorgi"]

[[rule]]
name = "freezer"
connection = "main"
topic = "site/{area}/freezer/temperature"
payload = "json"
when = "payload.celsius > -15"
severity = "critical"
message = "Freezer in {{ area }} is at {{ payload.celsius }}"
notify = ["kitchen"]
expires = "6h"
[[rule.action]]
id = "stop"
title = "Stop defrost"
topic = "site/{area}/freezer/set"
payload = "stop"
roles = ["manager"]
expires = "2m"
answer = { topic = "site/{area}/freezer/state", when = "payload.defrost == false", refused_when = "payload.fault", within = "1m" }

[[rule]]
name = "door"
connection = "other"
topic = "site/{area}/door"
payload = "text"
message = "Door in {{ area }}: {{ payload }}"
notify = ["lali"]
on_unknown = "hold"
expires = "20m"
[[rule.action]]
id = "lock"
title = "Lock it"
topic = "site/{area}/door/set"
payload = "lock"
expires = "30s"
answer = { within = "1m" }

[[rule]]
name = "till"
connection = "other"
topic = "site/{area}/till"
severity = "info"
message = "Till in {{ area }}: {{ payload.n }}"
notify = ["nino", "lali"]

[[rule]]
name = "boiler"
connection = "main"
topic = "site/{area}/boiler"
when = "payload.celsius > 80"
resolve_when = "payload.celsius < 70"
value = "payload.celsius"
chart = "1h"
severity = "critical"
message = "Boiler of {{ area }} is at {{ value }}"
notify = ["nino"]
repeat_interval = "0s"
buttons = ["acknowledge"]
escalate = [
  { after = "5m", unless = "acknowledged", notify = ["lali"] },
  { after = "10m", unless = "acknowledged", topic = "site/{area}/siren/set", payload = "ON" },
]

[[rule]]
name = "pump"
connection = "other"
topic = "site/{area}/pump"
when = "payload.stuck"
for = "1m"
message = "Pump of {{ area }} is stuck"
notify = ["nino", "giorgi"]
repeat_interval = "0s"
group_by = []

[[command]]
name = "gate"
words = ["open gate"]
topic = "site/gate/set"
payload = "OPEN"
confirm = true
expires = "5m"
answer = { within = "1m" }

[[command]]
name = "horn"
words = ["sound the horn"]
topic = "site/horn/set"
payload = "ON"
approvals = 2

[[ask]]
name = "refund"
connection = "main"
topic = "pos/{till}/refund"
text = "Refund {{ payload.n }} at till {{ till }}?"
choices = ["Approve", "Deny"]
who = ["kitchen"]
within = "2m"
default = "Deny"
response_topic = "pos/{till}/decision"

[[ask]]
name = "discount"
connection = "other"
topic = "pos/{till}/discount"
text = "Discount {{ payload.n }} at till {{ till }}?"
choices = ["Approve", "Deny"]
who = ["kitchen"]
answers = 2
within = "20m"
default = "Deny"
response_topic = "pos/{till}/decision"
"#;

pub fn config() -> Config {
    read(RULES)
}

/// The same shop with both numbers at a hub.
pub fn behind_a_hub() -> Config {
    let secrets = "access_token_file = \"t\"\napp_secret_file = \"s\"\nverify_token_file = \"v\"\n";
    read(&RULES.replace(secrets, "hub = \"https://hub.example\"\nhub_token_file = \"t\"\n"))
}

pub fn read(text: &str) -> Config {
    let wishes = LoadOptions { without_secrets: true, ..LoadOptions::default() };
    config::read("sim.toml", text, &wishes).expect(text)
}

/// What becomes of an event, by the rules above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Expected {
    /// An event row with one alert and this many messages.
    Alert { messages: i64 },
    /// An event row without an alert.
    Unreadable,
    /// Counted under this word.
    Counted(&'static str),
    /// A machine asks: the number is in the question's text.
    Asked { number: u64 },
    /// It begins an alert with a life, or ends it.
    Watched { fires: bool },
    /// What a device makes of this command.
    Answer { command: i64 },
    /// The state of a device, which ends what waits for it.
    State,
}

/// One event of some device. `serial` makes each payload its own, except the door's: honest repetitions are alike.
pub fn event(serial: u64, dice: &mut Rng) -> Publication {
    let area = ["bar", "hall"][usize::from(dice.below(2) == 1)];
    let (topic, payload, id, expected) = match dice.below(16) {
        0..4 => (
            format!("site/{area}/freezer/temperature"),
            format!("{{\"celsius\": -5, \"n\": {serial}}}").into_bytes(),
            None,
            Expected::Alert { messages: 2 },
        ),
        4..7 => (format!("site/{area}/door"), b"open".to_vec(), None, Expected::Alert { messages: 1 }),
        7 => (
            format!("site/{area}/till"),
            format!("{{\"n\": {serial}}}").into_bytes(),
            Some(format!("till-{serial}")),
            Expected::Alert { messages: 2 },
        ),
        8 => (
            format!("site/{area}/freezer/temperature"),
            format!("{{\"celsius\": -20, \"n\": {serial}}}").into_bytes(),
            None,
            Expected::Counted("condition-false"),
        ),
        9 | 10 => {
            let fires = dice.below(2) == 0;
            let celsius = if fires { 90 } else { 60 };
            let payload = format!("{{\"celsius\": {celsius}, \"n\": {serial}}}").into_bytes();
            (format!("site/{area}/boiler"), payload, None, Expected::Watched { fires })
        }
        11 | 12 => {
            let fires = dice.below(3) > 0;
            let payload = format!("{{\"stuck\": {fires}, \"n\": {serial}}}").into_bytes();
            (format!("site/{area}/pump"), payload, None, Expected::Watched { fires })
        }
        13 | 14 => {
            let what = ["refund", "discount"][usize::from(dice.below(2) == 1)];
            let asked = Expected::Asked { number: serial };
            (format!("pos/1/{what}"), format!("{{\"n\": {serial}}}").into_bytes(), None, asked)
        }
        _ => (
            format!("site/{area}/freezer/temperature"),
            format!("not JSON {serial}").into_bytes(),
            None,
            Expected::Unreadable,
        ),
    };
    // What is watched or asked must come, or nobody can say how it has to end.
    let qos1 = dice.below(10) > 0 || matches!(expected, Expected::Watched { .. } | Expected::Asked { .. });
    Publication { serial, topic, payload, id, qos1, retained: false, expected }
}

/// One of those that a device says when it does not stop talking.
pub fn mad(serial: u64, dice: &mut Rng) -> Publication {
    let (topic, payload, id, messages) = match dice.below(8) {
        0..4 => ("site/hall/door", format!("open {serial}").into_bytes(), None, 1),
        4..7 => {
            ("site/hall/till", format!("{{\"n\": {serial}}}").into_bytes(), Some(format!("till-{serial}")), 2)
        }
        _ => (
            "site/hall/freezer/temperature",
            format!("{{\"celsius\": -5, \"n\": {serial}}}").into_bytes(),
            None,
            2,
        ),
    };
    let (topic, expected) = (topic.to_owned(), Expected::Alert { messages });
    Publication { serial, topic, payload, id, qos1: true, retained: false, expected }
}

/// What the broker keeps for whoever subscribes: warm enough for an alert, if it were an event, and the end of a command,
/// if it were an answer (promise P6).
pub fn retained(serial: u64) -> [Publication; 2] {
    let kept = |serial, topic: &str, payload: &[u8], counted| Publication {
        serial,
        topic: topic.into(),
        payload: payload.to_vec(),
        id: None,
        qos1: true,
        retained: true,
        expected: Expected::Counted(counted),
    };
    [
        kept(serial, "site/bar/freezer/temperature", br#"{"celsius": -3, "kept": true}"#, "retained"),
        kept(serial + (1 << 40), "site/bar/freezer/state", br#"{"defrost": false, "kept": true}"#, "no-rule"),
    ]
}
