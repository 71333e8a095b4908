//! The broker: what it lets us do, what never came, and how durable it is.

use std::path::Path;
use std::time::Duration;

use super::Findings;
use super::access::{Access, Reads};
use crate::alert::route::OWN_TOPICS;
use crate::app;
use crate::config::{Config, Mqtt};
use crate::mqtt::{Grants, Probed, Settings, probe};
use crate::store::Store;
use crate::time::{Clock, SystemClock, duration_for_people};

/// Where Debian's mosquitto reads its settings.
const MOSQUITTO: &str = "/etc/mosquitto";
/// mosquitto 2.0's default: 100 up to 1.5, 1,000 since.
const DEFAULT_QUEUE: u64 = 1_000;
/// A power cut loses what came since the last save; the default is 30 minutes.
const SAVE_MAX_S: u64 = 300;

/// A topic that is silent for less may just be new.
const SILENT: Duration = Duration::from_secs(24 * 3_600);
/// Names that a person reads; the rest are counted.
const NAMED: usize = 8;

pub async fn examine(findings: &mut Findings, config: &Config) {
    let mqtt = &config.mqtt;
    let place = format!("{}:{}", mqtt.host, mqtt.port);
    let settings = Settings::from_config(mqtt, app::subscriptions(config));
    match settings {
        Err(error) => findings.fail("broker", format!("{error:#}"), "correct the [mqtt] section"),
        Ok(settings) => match probe(settings.clone()).await {
            Ok(Probed { limits, outcome, loopback }) => {
                findings.good("broker", format!("{place} lets us in; our client id is {}", mqtt.client_id));
                for limit in limits.in_words() {
                    findings.warn(
                        "broker",
                        limit,
                        "see what else the broker offers, or live with it: /usr/share/doc/bellwire/docs/broker.md",
                    );
                }
                subscriptions(findings, config, &outcome);
                returned(findings, &settings, loopback);
            }
            Err(error) => findings.fail("broker", format!("{place}: {error}"), advice(&error)),
        },
    }
    silent(findings, config);
    let local = ["localhost", "127.0.0.1", "::1"].contains(&mqtt.host.as_str());
    if local && Path::new(MOSQUITTO).exists() {
        let settings = settings_of(Path::new(MOSQUITTO));
        durability(findings, &settings);
        open_to_all(findings, &settings);
        kept_back(findings, config, &settings);
    }
}

/// What the broker answers to each topic.
fn subscriptions(findings: &mut Findings, config: &Config, outcome: &Grants) {
    for (filter, reason) in &outcome.refused {
        let rules = config.rules.iter().filter(|rule| rule.topic.filter() == *filter);
        let rules: Vec<&str> = rules.map(|rule| rule.name.0.as_str()).collect();
        let whose =
            if rules.is_empty() { String::new() } else { format!("; it is of rule {}", rules.join(", ")) };
        findings.fail(
            "broker",
            format!("it refuses to let us read {filter} ({reason}){whose}"),
            format!("let this user read it: {}", access(&config.mqtt, &[filter.as_str()])),
        );
    }
    for filter in &outcome.unsure {
        findings.warn(
            "broker",
            format!("it delivers {filter} with QoS 0 only: what comes while the line breaks is lost"),
            "allow QoS 1 to this user in the broker's settings",
        );
    }
    for (one, two) in &outcome.doubled {
        findings.warn(
            "broker",
            format!("{one} and {two} overlap, and it does not say which copy is whose: such an event may come twice"),
            "use version = \"5\" in [mqtt], or topics that do not overlap; dedupe_key finds the repetition as well",
        );
    }
}

/// Whether our own test message came back: without it nobody would know whether events come.
fn returned(findings: &mut Findings, settings: &Settings, loopback: Option<Result<(), String>>) {
    let topic = &settings.loopback_topic;
    let what = match loopback {
        Some(Ok(())) => {
            return findings.good("broker", format!("our own test message comes back over {topic}"));
        }
        Some(Err(reason)) => format!("it refuses our own test message on {topic} ({reason})"),
        None => format!("it takes our own test message on {topic}, and does not send it back"),
    };
    let what = format!("{what}: nobody would know whether events come");
    findings.fail("broker", what, settings.right_to_loop());
}

/// Rules for which nothing came, as far as is recorded. A broker may grant a subscription and deliver nothing, as mosquitto does with an
/// access list; nothing is published as a test to a topic that devices listen to.
fn silent(findings: &mut Findings, config: &Config) {
    let Ok(store) = Store::open_existing(&config.site.state_directory) else { return };
    let (Ok(known), now) = (store.subscriptions(), SystemClock.now()) else { return };
    let mut found = Vec::new();
    for rule in config.rules.iter().filter(|rule| !rule.topic.as_str().starts_with(OWN_TOPICS)) {
        let filter = rule.topic.filter();
        let Some(time) = known.get(&filter).map(|since| since.until(now)).filter(|time| *time >= SILENT)
        else {
            continue;
        };
        if !store.has_heard(&rule.name.0).unwrap_or(true) {
            found.push((rule.name.0.clone(), filter, time));
        }
    }
    let more = found.len().saturating_sub(NAMED);
    for (rule, filter, time) in found.iter().take(NAMED) {
        let age = duration_for_people(Duration::from_secs(time.as_secs() / 3_600 * 3_600));
        findings.warn(
            "broker",
            format!("nothing has come on {filter} for rule {rule}, for {age}"),
            format!(
                "does its device publish there? If so, the broker keeps it from us without a word; mosquitto needs {}",
                access(&config.mqtt, &[filter.as_str()])
            ),
        );
    }
    if more > 0 {
        findings.warn(
            "broker",
            format!("and nothing for {more} more rules"),
            "bellwire events shows what came",
        );
    }
}

/// Who may what, where mosquitto is reached by others than this machine. Without a `listener` it is not (mosquitto.conf(5)).
fn open_to_all(findings: &mut Findings, settings: &[(String, String)]) {
    let has = |names: &[&str]| settings.iter().any(|(key, _)| names.contains(&key.as_str()));
    let mut listeners = settings.iter().filter(|(key, _)| key == "listener").map(|(_, value)| value.as_str());
    let is_local = |place: &str| {
        place.starts_with('/') // a socket of this machine
            || place == "localhost"
            || place.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    };
    let Some(open) = listeners.find(|value| !value.split_whitespace().nth(1).is_some_and(is_local)) else {
        return;
    };
    if has(&["acl_file", "plugin", "global_plugin", "auth_plugin"]) {
        return;
    }
    let is_anonymous = settings.iter().any(|(key, value)| key == "allow_anonymous" && value == "true");
    let who = if is_anonymous {
        "everybody who reaches it"
    } else {
        "each user of it, and so each device with a password,"
    };
    findings.warn(
        "broker",
        format!(
            "mosquitto listens on {open} and has no access list: {who} may raise every alarm, and command what we command"
        ),
        "bellwire acl makes one from the configuration, and says what to do with it",
    );
}

/// What mosquitto's access list keeps from our rules. Where we may not read it, nothing can be said.
fn kept_back(findings: &mut Findings, config: &Config, settings: &[(String, String)]) {
    let file = settings.iter().rev().find(|(key, _)| key == "acl_file").map(|(_, value)| value);
    let Some((file, text)) = file.and_then(|file| Some((file, std::fs::read_to_string(file).ok()?))) else {
        return;
    };
    let mqtt = &config.mqtt;
    let access_list = Access::read(&text, mqtt.username.as_deref(), &mqtt.client_id);
    for rule in config.rules.iter().filter(|rule| !rule.topic.as_str().starts_with(OWN_TOPICS)) {
        let (filter, name) = (rule.topic.filter(), &rule.name);
        let next = format!("mosquitto needs {}", access(mqtt, &[filter.as_str()]));
        match access_list.reads(&filter) {
            Reads::All => {}
            Reads::Part => {
                let what = format!("{file} keeps part of {filter} from rule {name}, without a word");
                findings.warn("broker", what, next);
            }
            Reads::Nothing => {
                let what =
                    format!("{file} keeps {filter} from rule {name}, without a word: it hears nothing");
                findings.fail("broker", what, next);
            }
        }
    }
}

/// The lines of mosquitto's `acl_file` that allow it.
fn access(mqtt: &Mqtt, filters: &[&str]) -> String {
    let who = mqtt.username.as_ref().map_or(String::new(), |user| format!(" under `user {user}`"));
    let lines: Vec<String> = filters.iter().map(|filter| format!("`topic read {filter}`")).collect();
    format!("{}{who} in its acl_file", lines.join(" and "))
}

fn advice(error: &str) -> &'static str {
    let lower = error.to_lowercase();
    if lower.contains("refused") && !lower.contains("connection refused") || lower.contains("authori") {
        "check username and password_file in [mqtt], and what the broker allows this user"
    } else if lower.contains("certificate") {
        "check ca_file in [mqtt], the name in the url, and the machine's clock"
    } else {
        "is the broker running, and the url in [mqtt] right? (systemctl status mosquitto)"
    }
}

/// All lines of mosquitto's configuration that say something. Unreadable files say nothing.
fn settings_of(folder: &Path) -> Vec<(String, String)> {
    let mut files = vec![folder.join("mosquitto.conf")];
    let parts = std::fs::read_dir(folder.join("conf.d")).into_iter().flatten().flatten();
    let mut parts: Vec<_> = parts.map(|part| part.path()).collect();
    parts.sort();
    files.extend(parts.into_iter().filter(|path| path.extension().is_some_and(|end| end == "conf")));
    let texts = files.iter().filter_map(|file| std::fs::read_to_string(file).ok());
    let read = |line: &str| {
        let (key, value) = line.trim().split_once(char::is_whitespace)?;
        (!key.starts_with('#')).then(|| (key.to_owned(), value.trim().to_owned()))
    };
    texts.flat_map(|text| text.lines().filter_map(read).collect::<Vec<_>>()).collect()
}

fn durability(findings: &mut Findings, settings: &[(String, String)]) {
    let last =
        |key: &str| settings.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    let number = |key: &str| last(key).and_then(|value| value.parse::<u64>().ok());
    let advice = "copy /usr/share/doc/bellwire/examples/mosquitto.conf (in a clone: config/mosquitto.conf) to /etc/mosquitto/conf.d/bellwire.conf, then: systemctl restart mosquitto";
    let queue = number("max_queued_messages").unwrap_or(DEFAULT_QUEUE);
    let every = number("autosave_interval").unwrap_or(1_800);
    if last("persistence") != Some("true") {
        findings.warn("broker", "mosquitto keeps nothing over its restart", advice);
    } else if queue != 0 && queue <= DEFAULT_QUEUE {
        findings.warn(
            "broker",
            format!(
                "mosquitto keeps {queue} events while bellwire is away, and drops the rest without a word"
            ),
            advice,
        );
    } else if last("autosave_on_changes") != Some("true") && (every == 0 || every > SAVE_MAX_S) {
        findings.warn(
            "broker",
            format!("mosquitto saves every {every} s: a power cut loses what it took since"),
            advice,
        );
    } else {
        findings.good("broker", "mosquitto keeps events while bellwire is away");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    fn verdict(text: &str) -> Severity {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("conf.d")).expect("made");
        std::fs::write(folder.path().join("mosquitto.conf"), "persistence true\n").expect("written");
        std::fs::write(folder.path().join("conf.d/x.conf"), text).expect("written");
        let mut findings = Findings::default();
        durability(&mut findings, &settings_of(folder.path()));
        findings.found[0].severity
    }

    #[test]
    fn a_rule_blocked_by_mosquittos_access_list_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let list = folder.path().join("acl");
        std::fs::write(&list, "user bar\ntopic read site/+/door\n").expect("written");
        let text = "[site]\nname = \"S\"\n[mqtt]\nurl = \"mqtt://127.0.0.1\"\nusername = \"bar\"\n[[contact]]\nid = \"nino\"\n\
                    phone = \"+995 555 12 34 56\"\n[[connection]]\nname = \"main\"\nphone_number_id = \"1\"\n\
                    access_token_file = \"t\"\napp_secret_file = \"s\"\nverify_token_file = \"v\"\n";
        let rule = |name: &str, topic: &str| {
            format!(
                "[[rule]]\nname = \"{name}\"\ntopic = \"{topic}\"\nmessage = \"x\"\nnotify = [\"nino\"]\n"
            )
        };
        let text =
            [text, &rule("door", "site/a/door"), &rule("till", "till/{n}"), &rule("all", "site/#")].concat();
        let wishes = crate::config::LoadOptions { without_secrets: true, ..Default::default() };
        let config = crate::config::read("b.toml", &text, &wishes).expect("good");
        let mut findings = Findings::default();
        let settings = [("acl_file".to_owned(), list.display().to_string())];
        kept_back(&mut findings, &config, &settings);
        let found: Vec<_> = findings.found.iter().map(|one| (one.severity, one.what.as_str())).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].0 == Severity::Error && found[0].1.contains("keeps till/+ from rule till"),
            "{found:?}"
        );
        assert!(found[1].0 == Severity::Warning && found[1].1.contains("part of site/#"), "{found:?}");
        let next = findings.found[0].next.as_deref().unwrap_or_default();
        assert!(next.contains("`topic read till/+` under `user bar`"), "{next}");
    }

    #[test]
    fn a_reachable_mosquitto_without_access_list_is_reported() {
        let told = |text: &str| {
            let read =
                |line: &str| line.split_once(' ').map(|(key, value)| (key.to_owned(), value.to_owned()));
            let settings: Vec<_> = text.lines().filter_map(read).collect();
            let mut findings = Findings::default();
            open_to_all(&mut findings, &settings);
            findings.found.first().map(|one| one.what.clone()).unwrap_or_default()
        };
        for quiet in [
            "",
            "allow_anonymous true",
            "listener 1883 127.0.0.1\nallow_anonymous true",
            "listener 1883 localhost",
            "listener 1883 ::1",
            "listener 0 /run/mosquitto.sock",
            "listener 1883\nacl_file /etc/mosquitto/acl",
            "listener 1883\nplugin /usr/lib/mosquitto_dynamic_security.so",
        ] {
            assert_eq!(told(quiet), "", "{quiet}");
        }
        assert!(
            told("listener 1883\nallow_anonymous true").contains("on 1883 and has no access list: everybody")
        );
        let other = told("listener 1883 127.0.0.1\nlistener 8883 0.0.0.0\npassword_file /etc/mosquitto/p");
        assert!(other.contains("on 8883 0.0.0.0") && other.contains("each user"), "{other}");
    }

    #[test]
    fn the_distributions_settings_are_not_enough_and_ours_are() {
        assert_eq!(verdict(""), Severity::Warning);
        assert_eq!(verdict("# max_queued_messages 0\n"), Severity::Warning);
        assert_eq!(verdict("max_queued_messages 0\n"), Severity::Warning);
        assert_eq!(verdict("max_queued_messages 0\nautosave_interval 60\n"), Severity::Good);
        assert_eq!(verdict(include_str!("../../../config/mosquitto.conf")), Severity::Good);
    }
}
