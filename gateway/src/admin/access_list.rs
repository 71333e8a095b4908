//! Who needs which right at the broker: an access list for mosquitto (mosquitto.conf(5), `acl_file`), from the configuration.
//!
//! A user has the rights of the section with its name, and of each `pattern` with its name in place of `%u`; mosquitto gives no
//! pattern to a name that has `+`, `#` or `/`. A `deny` goes before everything else, and is for both directions.

/// Devices, by rules, questions and commands.
mod parties;
/// The list as mosquitto reads it.
mod written;

use firmware_bridge::Kind;
use firmware_bridge::mqtt::PREFIX;

use crate::alert::route::{OWN_TOPICS, subscription};
use crate::command::action::ActionPolicy;
use crate::command::question::Question;
use crate::config::Config;
use crate::device::topic as link;
use crate::event::decode::PayloadFormat;
use crate::event::subscription_cover::{covers, overlap};
use crate::event::topic::{Bindings, TopicPattern, TopicTemplate};
use crate::rule::definition::{ButtonAction, Rule};
use crate::rule::lifecycle_settings::Target;
use written::{Line, May, Section};

/// The gateway's user where `[mqtt]` names none yet.
const GATEWAY: &str = "bellwire";
/// Home Assistant's.
const HOME: &str = "homeassistant";

/// A client of the broker with a user of its own, and a topic on which it speaks or is commanded.
#[derive(Debug, Clone)]
pub struct Device {
    pub user: String,
    pub topic: String,
}

/// The list. `client` is the gateway's client id, as far as it is known; `kept` what the broker keeps of the gateway's for Home
/// Assistant (`Store::left_at_broker`).
pub fn list(
    config: &Config,
    client: Option<&str>,
    kept: &[String],
    devices: &[Device],
) -> Result<String, String> {
    let rights = Rights { config, client: client.unwrap_or("+") };
    let gateway = config.mqtt.username.as_deref().unwrap_or(GATEWAY);
    let mut own = rights.gateway(gateway);
    own.lines.extend(former(kept, &own.lines));
    let mut sections = vec![own];
    sections.extend(rights.home());
    sections.extend(rights.discovery());
    sections.push(rights.link());
    for device in devices {
        if device.user == gateway || device.user == HOME {
            return Err(format!("{} is not a device's user; give the device one of its own", device.user));
        }
        sections.push(rights.device(device)?);
    }
    for party in rights.parties() {
        sections.extend(rights.by_name(&party));
        sections.push(rights.together(&party));
    }
    written::list(&written::head(config, client, gateway), &sections)
}

/// What the gateway cannot take back with its other rights: it was kept under another client id or discovery prefix.
fn former(kept: &[String], lines: &[Line]) -> Vec<Line> {
    let has = |topic: &str| {
        lines.iter().any(|line| matches!(line.may, May::Write | May::Both) && covers(&line.topic, topic))
    };
    let why = "kept from before its client id or discovery prefix changed: its next start takes it back, then this line may go";
    kept.iter().filter(|topic| !has(topic)).map(|topic| Line::new(May::Write, topic, why)).collect()
}

struct Rights<'a> {
    config: &'a Config,
    client: &'a str,
}

impl Rights<'_> {
    fn own(&self, rest: &str) -> String {
        format!("bellwire/{}/{rest}", self.client)
    }

    /// Those that hear something of the broker's; what Home Assistant asks has lines of its own.
    fn rules(&self) -> impl Iterator<Item = &Rule> {
        let home = self.config.home_assistant.as_ref().map(|home| &home.appearance);
        let asked = home
            .map(|home| [home.test_topic(), home.notify_topic(), home.request_topic()])
            .unwrap_or_default();
        let is_own =
            move |topic: &str| topic.starts_with(OWN_TOPICS) || asked.iter().any(|asked| asked == topic);
        self.config.rules.iter().map(AsRef::as_ref).filter(move |rule: &&Rule| !is_own(rule.topic.as_str()))
    }

    /// Every topic that something of ours commands on, with what does.
    fn commands(&self) -> Vec<(String, String)> {
        let actions = self
            .rules()
            .flat_map(|rule| actions_of(rule).into_iter().map(|(why, topic, _)| (topic.filter(), why)));
        let steps =
            self.rules().flat_map(|rule| steps_of(rule).map(|topic| (topic.filter(), escalation(rule))));
        let spoken =
            self.config.commands.iter().map(|one| (one.topic.filter(), format!("command {}", one.name)));
        let onward =
            self.config.onward.iter().map(|one| (one.topic.filter(), format!("onward {}", one.name)));
        actions.chain(steps).chain(spoken).chain(onward).collect()
    }

    fn gateway(&self, user: &str) -> Section {
        let mut lines = Vec::new();
        let mut may = |may, topic: String, why: String| lines.push(Line { why, may, topic });
        for rule in self.rules() {
            may(May::Read, subscription(rule), format!("rule {}", rule.name));
            if let Some(topic) = node(rule, "NCMD") {
                may(May::Write, topic, format!("rule {} asks for births", rule.name));
            }
        }
        for question in &self.config.questions {
            may(May::Read, question.topic.filter(), format!("question {}", question.name));
            for topic in decisions(question) {
                may(May::Write, topic, format!("decisions of question {}", question.name));
            }
        }
        for (topic, why) in self.commands().into_iter().filter(|(topic, _)| !is_of_link(topic)) {
            may(May::Write, topic, why);
        }
        for (why, terms) in self.terms() {
            if let Some(topic) = self.answer(terms) {
                may(May::Read, topic, format!("answers to {why}"));
            }
        }
        if let Some(home) = self.config.home_assistant.as_ref().map(|home| &home.appearance) {
            let why = "Home Assistant";
            may(May::Read, home.birth_topic(), why.into());
            // The id is of the first start, whatever the client id is today.
            may(May::Write, format!("{}/device/+/config", home.prefix), why.into());
            may(May::Read, self.own("home-assistant/+/set"), why.into());
            may(May::Read, self.own("home-assistant/notify"), why.into());
            for told in TELLS_HOME {
                may(May::Write, self.own(told), why.into());
            }
        }
        may(May::Write, self.own("status"), "whether it is there, as its will too".into());
        may(May::Write, self.own("notice"), "what the owner should know".into());
        may(
            May::Both,
            self.own("loopback"),
            "its own test message, by which it knows that events come".into(),
        );
        for kind in link::LISTENS {
            may(May::Read, link::of("+", kind), "devices that speak the device protocol".into());
        }
        for kind in ANSWERS {
            may(May::Write, link::of("+", kind), "devices that speak the device protocol".into());
        }
        Section {
            about: vec!["The gateway: reads what rules are about, writes commands.".into()],
            user: Some(user.to_owned()),
            lines,
        }
    }

    /// Home Assistant has its discovery to itself, and is the only one that may mute and write to people.
    fn home(&self) -> Option<Section> {
        let prefix = &self.config.home_assistant.as_ref()?.appearance.prefix;
        let line = |may, topic, why: &str| Line { why: why.into(), may, topic };
        let lines = vec![
            line(May::Both, format!("{prefix}/#"), "discovery, and its own start"),
            line(May::Read, self.own("status"), "the gateway as a device"),
            line(
                May::Write,
                self.own("home-assistant/+/set"),
                "its switch, button and texts: nobody else may mute, or write to people",
            ),
            line(May::Write, self.own("home-assistant/notify"), "its requests"),
        ];
        let told = TELLS_HOME.map(|told| line(May::Read, self.own(told), "the gateway as a device"));
        // Its automations do what people tap, and ask them.
        let commands = self.commands().into_iter().filter(|(topic, _)| !is_of_link(topic));
        let commands = commands.map(|(topic, why)| line(May::Read, topic, &why));
        let asks = self.config.questions.iter().flat_map(|question| {
            let asks = line(May::Write, question.topic.filter(), &format!("question {}", question.name));
            let decided =
                decisions(question).into_iter().map(|topic| line(May::Read, topic, "its decisions"));
            std::iter::once(asks).chain(decided)
        });
        let lines = lines.into_iter().chain(told).chain(commands).chain(asks).collect();
        Some(Section { about: vec!["Home Assistant.".into()], user: Some(HOME.into()), lines })
    }

    /// Other devices show themselves there, too: each under its own name as node or object id.
    fn discovery(&self) -> Option<Section> {
        let prefix = &self.config.home_assistant.as_ref()?.appearance.prefix;
        let own = ["+/%u/config", "+/%u/+/config"].map(|rest| Line {
            why: "its own discovery".into(),
            may: May::Write,
            topic: format!("{prefix}/{rest}"),
        });
        let about = vec![
            "Devices that Home Assistant finds by itself: each may show itself under its user's name.".into(),
        ];
        Some(Section { about, user: None, lines: own.into() })
    }

    /// Devices that speak the protocol of firmware-bridge.
    fn link(&self) -> Section {
        let line = |may, kind, why: &str| Line { why: why.into(), may, topic: link::of("%u", kind) };
        let says = link::LISTENS.map(|kind| line(May::Write, kind, "what a device says"));
        let hears = ANSWERS.map(|kind| line(May::Read, kind, "what it is told"));
        let about = vec![
            "Devices that speak the device protocol: each logs in under its own name, the user freezer-2 for the device".into(),
            format!("freezer-2 at {PREFIX}/freezer-2/…, and can neither speak for another nor hear what another is told."),
        ];
        Section { about, user: None, lines: says.into_iter().chain(hears).collect() }
    }

    /// One device, by a topic of its own.
    fn device(&self, device: &Device) -> Result<Section, String> {
        let topic = &device.topic;
        let exact = TopicPattern::parse(topic).ok().filter(|_| !topic.contains(['+', '#', '{', '}']));
        let exact = exact
            .ok_or_else(|| format!("{topic} is no topic of one device: write it out, without wildcards"))?;
        let mut lines = Vec::new();
        let mut may = |may, topic: &str, why: String| lines.push(Line::new(may, topic, &why));
        let all = self
            .config
            .commands
            .iter()
            .map(|one| (format!("command {}", one.name), &one.topic, Some(&one.terms)));
        let onward = self.config.onward.iter().map(|one| (format!("onward {}", one.name), &one.topic, None));
        for (why, _, terms) in all.chain(onward).filter(|one| one.1.may_match(&exact)) {
            terms
                .into_iter()
                .flat_map(|terms| self.answer(terms))
                .for_each(|answer| may(May::Write, &answer, format!("answers to {why}")));
            may(May::Read, topic, why);
        }
        let is_commanded = self.commands().iter().any(|(command, _)| covers(command, topic));
        if !is_commanded && !self.is_somebodys(topic) {
            for rule in self.rules() {
                let Some(bindings) = rule.topic.matches(topic) else { continue };
                may(May::Write, topic, format!("rule {}", rule.name));
                for (why, action, terms) in actions_of(rule) {
                    action.fill(&bindings).iter().for_each(|topic| may(May::Read, topic, why.clone()));
                    self.answer_of(terms, &bindings)
                        .iter()
                        .for_each(|topic| may(May::Write, topic, format!("answers to {why}")));
                }
                steps_of(rule)
                    .filter_map(|step| step.fill(&bindings))
                    .for_each(|topic| may(May::Read, &topic, escalation(rule)));
            }
            for question in &self.config.questions {
                let Some(bindings) = question.topic.matches(topic) else { continue };
                may(May::Write, topic, format!("question {}", question.name));
                let decided = question.response_topic.as_ref().and_then(|topic| topic.fill(&bindings));
                let topics = decided.map_or_else(|| decisions(question), |topic| vec![topic]);
                topics.iter().for_each(|topic| may(May::Read, topic, "its decisions".into()));
            }
        }
        if lines.is_empty() {
            return Err(format!(
                "nothing of the configuration hears or commands on {topic}; see its rules, questions and commands"
            ));
        }
        Ok(Section {
            about: vec![format!("The device {}.", device.user)],
            user: Some(device.user.clone()),
            lines,
        })
    }

    /// What none who speaks on this topic may speak on, although a wildcard of it would let them.
    fn closed(&self, topic: &str) -> Vec<(String, String)> {
        let mut closed = self.somebodys();
        closed.extend(self.commands().into_iter().filter(|(command, _)| !is_of_link(command)));
        closed.retain(|(other, _)| overlap(other, topic));
        closed
    }

    /// What has a section of its own.
    fn somebodys(&self) -> Vec<(String, String)> {
        let ours = ["status", "notice", "loopback", "answer/+", "home-assistant/#"];
        let ours = ours.map(|rest| (self.own(rest), "the gateway's own".to_owned()));
        let home = self.config.home_assistant.as_ref();
        let home = home.map(|home| (format!("{}/#", home.appearance.prefix), "Home Assistant's".to_owned()));
        let devices = (format!("{PREFIX}/#"), "devices that speak the device protocol".to_owned());
        ours.into_iter().chain([devices]).chain(home).collect()
    }

    fn is_somebodys(&self, filter: &str) -> bool {
        self.somebodys().iter().any(|(theirs, _)| covers(theirs, filter))
    }

    fn terms(&self) -> impl Iterator<Item = (String, &ActionPolicy)> {
        let actions = self.rules().flat_map(actions_of).map(|(why, _, terms)| (why, terms));
        actions.chain(self.config.commands.iter().map(|one| (format!("command {}", one.name), &one.terms)))
    }

    /// Where a device answers a command.
    fn answer(&self, terms: &ActionPolicy) -> Option<String> {
        let answer = terms.answer.as_ref()?;
        Some(answer.topic.as_ref().map_or_else(|| self.own("answer/+"), TopicTemplate::filter))
    }

    fn answer_of(&self, terms: &ActionPolicy, bindings: &Bindings) -> Option<String> {
        let answer = terms.answer.as_ref()?;
        answer.topic.as_ref().map_or_else(|| Some(self.own("answer/+")), |topic| topic.fill(bindings))
    }
}

/// What the gateway says to Home Assistant, besides its discovery.
const TELLS_HOME: [&str; 5] = [
    "home-assistant/state",
    "home-assistant/action",
    "home-assistant/answer/+",
    "home-assistant/event/+",
    "home-assistant/to/+",
];
/// What the gateway says to devices.
const ANSWERS: [Kind; 4] = [Kind::Welcome, Kind::Ack, Kind::Command, Kind::Version];

fn is_of_link(topic: &str) -> bool {
    link::read_command(topic).is_some()
}

fn actions_of(rule: &Rule) -> Vec<(String, &TopicTemplate, &ActionPolicy)> {
    let read = |action: &'_ ButtonAction| format!("rule {}, action {}", rule.name, action.id);
    rule.actions.iter().map(|action| (read(action), &action.topic, &action.terms)).collect()
}

fn steps_of(rule: &Rule) -> impl Iterator<Item = &TopicTemplate> {
    rule.life.iter().flat_map(|life| &life.escalate).filter_map(|step| match &step.target {
        Target::Topic { topic, .. } => Some(topic),
        Target::People(_) | Target::Post { .. } => None,
    })
}

fn escalation(rule: &Rule) -> String {
    format!("rule {}, when nobody acts", rule.name)
}

/// A Sparkplug node's topics of one kind, if the rule is about nodes.
fn node(rule: &Rule, word: &str) -> Option<String> {
    let filter = subscription(rule);
    let levels: Vec<&str> = filter.split('/').collect();
    match (rule.payload, &levels[..]) {
        (PayloadFormat::Sparkplug, [space, group, "+", node, "#"]) => {
            let devices = if word.starts_with('D') { "/+" } else { "" };
            Some(format!("{space}/{group}/{word}/{node}{devices}"))
        }
        _ => None,
    }
}

/// Where a question's decisions may go (`Question::refuses`).
fn decisions(question: &Question) -> Vec<String> {
    let mut topics: Vec<String> = question.response_topics.iter().map(TopicPattern::filter).collect();
    if topics.is_empty() && question.response_topic.is_none() {
        let filter = question.topic.filter();
        topics
            .extend(filter.split('/').next().filter(|first| *first != "+").map(|first| format!("{first}/#")));
    }
    topics.extend(question.response_topic.as_ref().map(TopicTemplate::filter));
    topics
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LoadOptions, read};

    const SITE: &str = r##"
[site]
name = "Bar"
[mqtt]
url = "mqtt://127.0.0.1"
client_id = "bw"
username = "gateway"
[home_assistant]
notify = ["nino"]
[[connection]]
name = "main"
phone_number_id = "1"
access_token_file = "t"
app_secret_file = "s"
verify_token_file = "v"
[[contact]]
id = "nino"
phone = "+995 555 12 34 56"
[[rule]]
name = "freezer"
topic = "site/{area}/freezer/{unit}/temperature"
message = "x"
notify = ["nino"]
resolve_after = "1h"
escalate = [{ after = "1m", topic = "site/{area}/siren", payload = "ON" }]
[[rule.action]]
id = "stop"
title = "Stop"
topic = "site/{area}/freezer/{unit}/set"
payload = "STOP"
answer = { topic = "site/{area}/freezer/{unit}/state", when = "payload == 'stopped'" }
[[rule]]
name = "door"
topic = "doors/{door}/state"
message = "x"
notify = ["nino"]
[[rule.action]]
id = "shut"
title = "Shut"
topic = "doors/{door}/set"
payload = "SHUT"
[[rule]]
name = "yard"
topic = "yard/{lamp}/#"
message = "x"
notify = ["nino"]
[[rule.action]]
id = "gate"
title = "Gate"
topic = "gates/yard/set"
payload = "OPEN"
answer = {}
[[rule]]
name = "wide"
topic = "{place}/{thing}/status"
message = "x"
notify = ["nino"]
[[rule]]
name = "looks-on"
topic = "homeassistant/sensor/{name}/state"
message = "x"
notify = ["nino"]
[[rule]]
name = "link"
topic = "bellwire/device/{device}/event"
message = "x"
notify = ["nino"]
[[rule.action]]
id = "defrost"
title = "Defrost"
topic = "bellwire/device/{device}/command/defrost"
payload = "1"
[[rule]]
name = "plant"
topic = "spBv1.0/g/NDATA/{node}"
payload = "sparkplug"
message = "x"
notify = ["nino"]
[[command]]
name = "siren"
words = ["siren"]
topic = "site/siren"
payload = "ON"
[[ask]]
name = "refund"
topic = "pos/{till}/refund"
text = "x"
choices = ["Yes", "No"]
who = ["nino"]
within = "1m"
default = "No"
response_topic = "pos/{till}/decision"
[[onward]]
name = "printer"
word = "print"
topic = "kitchen/printer"
"##;

    fn site() -> Config {
        read("t.toml", SITE, &LoadOptions { without_secrets: true, ..LoadOptions::default() }).expect("good")
    }

    /// The rights of a user, with those that each has by its name: `read topic`.
    fn rights(text: &str, user: &str) -> Vec<String> {
        let mut is_theirs = false;
        let mut found = Vec::new();
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("user", name)) => is_theirs = name == user,
                Some(("topic", right)) if is_theirs => found.push(right.to_owned()),
                Some(("pattern", right)) => found.push(right.replace("%u", user)),
                Some(_) | None => {}
            }
        }
        found
    }

    /// As mosquitto judges it.
    fn may(text: &str, user: &str, word: &str, topic: &str) -> bool {
        let rights = rights(text, user);
        let has = |words: &[&str]| {
            let mut fitting = rights.iter().filter_map(|right| right.split_once(' '));
            fitting.any(|(kind, filter)| words.contains(&kind) && covers(filter, topic))
        };
        !has(&["deny"]) && has(&[word, "readwrite"])
    }

    #[test]
    fn the_access_list_allows_all_of_the_gateways_topics() {
        let config = site();
        let text = list(&config, Some("bw"), &[], &[]).expect("a list");
        for filter in crate::app::subscriptions(&config) {
            assert!(may(&text, "gateway", "read", &filter), "{filter}:\n{text}");
        }
        for topic in [
            "site/bar/freezer/2/set",
            "site/bar/siren",
            "doors/front/set",
            "gates/yard/set",
            "bellwire/device/f/command",
            "bellwire/device/f/welcome",
            "spBv1.0/g/NCMD/n",
            "site/siren",
            "pos/1/decision",
            "kitchen/printer",
            "bellwire/bw/status",
            "bellwire/bw/notice",
            "bellwire/bw/loopback",
            "homeassistant/device/bw/config",
            "bellwire/bw/home-assistant/state",
            "bellwire/bw/home-assistant/action",
            "bellwire/bw/home-assistant/answer/tests",
        ] {
            assert!(may(&text, "gateway", "write", topic), "{topic}:\n{text}");
        }
        assert!(!may(&text, "gateway", "write", "site/bar/freezer/2/temperature"));
    }

    #[test]
    fn a_device_may_use_its_own_topics_only() {
        let freezer = |user: &str, topic: &str| Device { user: user.into(), topic: topic.into() };
        let devices = [freezer("f2", "site/bar/freezer/2/temperature"), freezer("horn", "site/siren")];
        let text = list(&site(), Some("bw"), &[], &devices).expect("a list");
        for (user, word, topic, is_right) in [
            ("f2", "write", "site/bar/freezer/2/temperature", true),
            ("f2", "read", "site/bar/freezer/2/set", true),
            ("f2", "write", "site/bar/freezer/2/state", true),
            ("f2", "read", "site/bar/siren", true),
            ("f2", "write", "site/bar/freezer/3/temperature", false),
            ("f2", "write", "site/bar/freezer/2/set", false),
            ("f2", "read", "site/bar/freezer/3/set", false),
            ("horn", "read", "site/siren", true),
            ("horn", "write", "site/siren", false),
            ("front", "write", "doors/front/state", true),
            ("front", "read", "doors/front/set", true),
            ("front", "write", "doors/front/set", false),
            ("front", "write", "doors/back/state", false),
            ("front", "read", "doors/back/set", false),
            ("rule-door", "write", "doors/back/state", true),
            ("rule-door", "write", "doors/back/set", false),
            ("7", "write", "bellwire/device/7/hello", true),
            ("7", "read", "bellwire/device/7/command", true),
            ("7", "write", "bellwire/device/8/event", false),
            ("7", "read", "bellwire/device/8/command", false),
            ("7", "write", "bellwire/device/7/command", false),
            ("rule-yard", "write", "yard/lamp/on", true),
            ("rule-yard", "read", "gates/yard/set", true),
            ("rule-yard", "write", "gates/yard/set", false),
            ("rule-yard", "write", "bellwire/bw/answer/t-1", true),
            ("rule-wide", "write", "any/thing/status", true),
            ("rule-wide", "write", "bellwire/bw/status", false),
            ("rule-wide", "write", "bellwire/device/status", false),
            ("rule-wide", "write", "homeassistant/x/status", false),
            ("rule-looks-on", "write", "homeassistant/sensor/x/state", false),
            ("homeassistant", "write", "homeassistant/sensor/x/state", true),
            ("rule-plant", "write", "spBv1.0/g/DDATA/n/d", true),
            ("rule-plant", "write", "spBv1.0/g/NCMD/n", false),
            ("rule-plant", "read", "spBv1.0/g/NCMD/n", true),
            ("command-siren", "read", "site/siren", true),
            ("1", "write", "pos/1/refund", true),
            ("1", "read", "pos/1/decision", true),
            ("1", "write", "pos/1/decision", false),
            ("1", "read", "pos/2/decision", false),
            ("onward-printer", "read", "kitchen/printer", true),
            ("homeassistant", "write", "bellwire/bw/home-assistant/mute/set", true),
            ("homeassistant", "write", "bellwire/bw/home-assistant/notify", true),
            ("homeassistant", "read", "bellwire/bw/home-assistant/event/reply", true),
            ("homeassistant", "read", "doors/front/set", true),
            ("homeassistant", "write", "pos/1/refund", true),
            ("homeassistant", "read", "pos/1/decision", true),
            ("homeassistant", "write", "pos/1/decision", false),
            ("front", "write", "homeassistant/light/front/config", true),
            ("front", "write", "homeassistant/light/front/lamp/config", true),
            ("front", "write", "homeassistant/light/back/config", false),
            ("homeassistant", "read", "bellwire/bw/home-assistant/action", true),
            ("homeassistant", "write", "bellwire/bw/home-assistant/action", false),
            ("homeassistant", "read", "homeassistant/device/bw/config", true),
            ("homeassistant", "write", "doors/front/set", false),
            ("nobody", "write", "site/bar/freezer/2/temperature", false),
        ] {
            assert_eq!(may(&text, user, word, topic), is_right, "{user} {word} {topic}:\n{text}");
        }
    }

    #[test]
    fn unknown_devices_and_unwritable_names_are_refused() {
        let device = |user: &str, topic: &str| {
            list(&site(), Some("bw"), &[], &[Device { user: user.into(), topic: topic.into() }])
                .err()
                .unwrap_or_default()
        };
        assert!(device("x", "cellar/1").contains("nothing of the configuration"));
        assert!(device("x", "bellwire/device/7/hello").contains("nothing of the configuration"));
        assert!(device("gateway", "site/siren").contains("one of its own"));
        assert!(device("x", "site/+/freezer/2/temperature").contains("without wildcards"));
        assert!(device("x\nuser y", "site/siren").contains("fits into no line"));
    }

    #[test]
    fn retained_topics_of_former_client_ids_may_be_cleared() {
        let kept =
            ["ha/device/old/config", "homeassistant/device/bw/config", "bellwire/old/home-assistant/to/nino"];
        let text = list(&site(), Some("bw"), &kept.map(str::to_owned), &[]).expect("a list");
        for topic in kept {
            assert!(may(&text, "gateway", "write", topic), "{topic}:\n{text}");
        }
        assert!(!may(&text, "gateway", "write", "bellwire/old/home-assistant/to/giorgi"), "{text}");
        assert!(!text.contains("write homeassistant/device/bw/config"), "it may that already:\n{text}");
        assert_eq!(text.matches("then this line may go").count(), 1, "{text}");
    }

    #[test]
    fn the_client_id_is_a_wildcard_before_the_first_start() {
        let text = list(&site(), None, &[], &[]).expect("a list");
        assert!(may(&text, "gateway", "write", "bellwire/bw/loopback"), "{text}");
        assert!(may(&text, "gateway", "write", "homeassistant/device/bw/config"));
        assert!(text.contains("make this list again after it"));
    }
}
